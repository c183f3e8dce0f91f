"""From all coefficients to K linear predictors and back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design.base import Design, Rows
from jaxglm.tree import pytree


@pytree
class Layout:
    """One design a predictor; theta holds their coefficients end to end.

    Rows are a tuple with one entry a predictor. P is the number of all coefficients.
    """

    designs: tuple[Design, ...]

    @property
    def n_predictors(self) -> int:
        return len(self.designs)

    @property
    def n_coefficients(self) -> int:
        return sum(d.n_columns for d in self.designs)

    def split(self, theta: jax.Array) -> list[jax.Array]:
        """The coefficients of each predictor."""
        return jnp.split(theta, np.cumsum([d.n_columns for d in self.designs])[:-1])

    def eta(self, x: Rows, theta: jax.Array, offset: jax.Array | None, m: int) -> jax.Array:
        """All linear predictors, (m, K), offset included."""
        terms = zip(self.designs, x, self.split(theta), strict=True)
        eta = jnp.stack([jnp.broadcast_to(d.dot(xi, b), (m,)) for d, xi, b in terms], axis=1)
        return eta if offset is None else eta + offset

    def gradient(self, x: Rows, score: jax.Array) -> jax.Array:
        """Sum over rows of X' score, (P,), for score of shape (m, K)."""
        terms = enumerate(zip(self.designs, x, strict=True))
        return jnp.concatenate([d.tdot(xi, score[:, k]) for k, (d, xi) in terms])

    def gram(self, x: Rows, curvature: jax.Array) -> jax.Array:
        """Sum over rows of X' curvature X, (P, P), for curvature of shape (m, K, K)."""
        pairs = list(zip(self.designs, x, strict=True))
        rows = []
        for k, (d, xk) in enumerate(pairs):
            row = [d.cross(xk, o, xl, curvature[:, k, j]) for j, (o, xl) in enumerate(pairs[:k])]
            row.append(d.gram(xk, curvature[:, k, k]))
            rows.append(row)
        size = len(pairs)
        full = [[rows[i][j] if j <= i else rows[j][i].T for j in range(size)] for i in range(size)]
        return jnp.concatenate([jnp.concatenate(row, axis=1) for row in full], axis=0)

    def columns(self, x: Rows, m: int) -> jax.Array:
        """Dense model matrix of each row for all predictors, (m, K, P): eta = columns @ theta."""
        width = self.n_coefficients
        blocks, start = [], 0
        for d, xi in zip(self.designs, x, strict=True):
            block = jnp.zeros((m, width), dtype=float)
            blocks.append(block.at[:, start : start + d.n_columns].set(d.columns(xi, m)))
            start += d.n_columns
        return jnp.stack(blocks, axis=1)
