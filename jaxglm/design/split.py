"""A design made of parts of different kinds, each with its place among the columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design.base import Design, Element, Rows
from jaxglm.design.categorical import Categorical
from jaxglm.design.combined import Combined, combined_codes, groups_of
from jaxglm.tree import pytree, static


@pytree
class Split(Design):
    """Parts side by side; rows are a tuple with one entry a part.

    Attributes
    ----------
    kinds : tuple of Element
    places : tuple of tuple of int
        ``places[i][j]`` is the column of the whole matrix in which column j of part i stands;
        all places together are a permutation of ``range(p)``.
    """

    kinds: tuple[Element, ...]
    places: tuple[tuple[int, ...], ...] = static()

    @property
    def n_columns(self) -> int:
        return sum(len(place) for place in self.places)

    @property
    def parts(self) -> tuple[tuple[Element, Sequence[int]], ...]:
        return tuple(zip(self.kinds, self.places, strict=True))

    def rows_of_parts(self, x: Rows) -> tuple[Rows, ...]:
        return x

    def laid(self, x: Rows) -> Rows:
        return tuple(kind.laid(xi) for kind, xi in zip(self.kinds, x, strict=True))

    def standardized(self, x: Rows) -> Split:
        return Split(tuple(kind.standardized(xi) for kind, xi in zip(self.kinds, x, strict=True)), self.places)

    def encode(self, x: Rows, dtype: Any) -> Rows:
        return tuple(kind.encode(xi, dtype) for kind, xi in zip(self.kinds, x, strict=True))

    def combined(self) -> tuple[Split, Callable[[Rows], Rows]] | None:
        levels = [kind.levels for kind in self.kinds]
        groups = groups_of(levels)
        if len(groups) == len(levels):
            return None

        def merged(group):
            return Categorical(Combined(tuple(self.kinds[i].coding for i in group)))

        kinds = tuple(self.kinds[group[0]] if len(group) == 1 else merged(group) for group in groups)
        places = tuple(tuple(place for i in group for place in self.places[i]) for group in groups)

        def change(x):
            return tuple(
                x[group[0]] if len(group) == 1
                else combined_codes(tuple(x[i] for i in group), tuple(levels[i] for i in group))
                for group in groups
            )  # fmt: skip

        return Split(kinds, places), change

    def columns(self, x: Rows, m: int) -> jax.Array:
        order = np.argsort(np.concatenate([np.asarray(p, int) for p in self.places]), kind="stable")
        blocks = [kind.columns(xi, m) for kind, xi in zip(self.kinds, x, strict=True)]
        return jnp.concatenate(blocks, axis=1)[:, order]

    def terms(self, x: Rows, b: jax.Array, dtype: Any) -> list[jax.Array]:
        parts = zip(self.kinds, x, self.places, strict=True)
        return [term for kind, xi, place in parts for term in kind.terms(xi, b[_slice(place)], dtype)]


def _slice(places: tuple[int, ...]) -> slice | np.ndarray:
    """Places as a slice where they follow each other, which costs no gather."""
    first = places[0] if places else 0
    run = places == tuple(range(first, first + len(places)))
    return slice(first, first + len(places)) if run else np.asarray(places, int)
