"""A design made of parts of different kinds, each with its place among the columns."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design.base import Design, Rows
from jaxglm.tree import pytree, static


@pytree
class Split(Design):
    """Parts side by side; rows are a tuple with one entry a part.

    Attributes
    ----------
    parts : tuple of Design
    places : tuple of tuple of int
        ``places[i][j]`` is the column of the whole matrix in which column j of part i stands;
        all places together are a permutation of ``range(p)``.
    """

    parts: tuple[Design, ...]
    places: tuple[tuple[int, ...], ...] = static()

    @property
    def n_columns(self) -> int:
        return sum(len(place) for place in self.places)

    @property
    def _order(self) -> np.ndarray:
        """Where each whole column stands in the parts laid end to end."""
        return np.argsort(np.concatenate([np.asarray(p, int) for p in self.places]), kind="stable")

    def _assemble(self, pieces: list[jax.Array], axis: int) -> jax.Array:
        return jnp.take(jnp.concatenate(pieces, axis=axis), self._order, axis=axis)

    def columns(self, x: Rows, m: int) -> jax.Array:
        return self._assemble([d.columns(xi, m) for d, xi in zip(self.parts, x, strict=True)], 1)

    def dot(self, x: Rows, b: jax.Array) -> jax.Array:
        terms = zip(self.parts, x, self.places, strict=True)
        return sum(d.dot(xi, b[np.asarray(place, int)]) for d, xi, place in terms)

    def tdot(self, x: Rows, r: jax.Array) -> jax.Array:
        return self._assemble([d.tdot(xi, r) for d, xi in zip(self.parts, x, strict=True)], 0)

    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        pieces = [d.tally(xi, w, codes, n_codes) for d, xi in zip(self.parts, x, strict=True)]
        return self._assemble(pieces, 1)

    def cross(self, x: Rows, other: Design, xo: Rows, w: jax.Array) -> jax.Array:
        return self._assemble([d.cross(xi, other, xo, w) for d, xi in zip(self.parts, x, strict=True)], 0)

    def gram(self, x: Rows, w: jax.Array) -> jax.Array:
        k = len(self.parts)
        blocks: list[list[jax.Array | None]] = [[None] * k for _ in range(k)]
        for i in range(k):
            blocks[i][i] = self.parts[i].gram(x[i], w)
            for j in range(i):
                blocks[i][j] = self.parts[i].cross(x[i], self.parts[j], x[j], w)
                blocks[j][i] = blocks[i][j].T
        whole = jnp.concatenate([jnp.concatenate(row, axis=1) for row in blocks], axis=0)
        order = self._order
        return whole[order][:, order]
