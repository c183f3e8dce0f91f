"""Several factors under one code, so that a sum over the pairs of all their levels takes one histogram."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import Any

import jax
import numpy as np

from jaxglm.design.categorical import Coding
from jaxglm.numerics import namespace
from jaxglm.tree import pytree

#: Most levels of a combined code: sums over pairs of two such codes still fit into a cache.
MOST_LEVELS = 320


@pytree
class Combined(Coding):
    """Columns of several codings side by side; the code of a row runs fastest in the first of them.

    With m rows and f factors under g codes, products take g (g + 1) / 2 sums over the rows in place of f (f + 1) / 2.
    """

    codings: tuple[Coding, ...]

    @property
    def n_levels(self) -> int:
        return prod(coding.n_levels for coding in self.codings)

    @property
    def n_columns(self) -> int:
        return sum(coding.n_columns for coding in self.codings)

    def expand(self, b: jax.Array) -> jax.Array:
        widths = [coding.n_columns for coding in self.codings]
        edges = [0, *accumulate(widths)]
        count, rest = len(widths), b.shape[1:]
        whole = None
        for i, coding in enumerate(self.codings):
            shape = [1] * count
            shape[count - 1 - i] = coding.n_levels
            part = coding.expand(b[edges[i] : edges[i + 1]]).reshape(*shape, *rest)
            whole = part if whole is None else whole + part
        return whole.reshape(self.n_levels, *rest)

    def _over(self, h: jax.Array, *kept: int) -> jax.Array:
        """Sums of h (n_levels, ...) over the levels of all codings but some, in the order of these."""
        count, rest = len(self.codings), h.shape[1:]
        cells = h.reshape(*(coding.n_levels for coding in reversed(self.codings)), *rest)
        axes = [count - 1 - i for i in kept]
        sums = cells.sum(axis=tuple(a for a in range(count) if a not in axes))
        return sums.T if len(axes) == 2 and axes[0] > axes[1] else sums

    def contract(self, h: jax.Array) -> jax.Array:
        parts = [coding.contract(self._over(h, i)) for i, coding in enumerate(self.codings)]
        return namespace(h).concatenate(parts)

    def gram(self, h: jax.Array) -> jax.Array:
        xp, count = namespace(h), len(self.codings)
        blocks: list[list[Any]] = [[None] * count for _ in range(count)]
        for i, first in enumerate(self.codings):
            blocks[i][i] = first.gram(self._over(h, i))
            for j, second in enumerate(self.codings[:i]):
                blocks[i][j] = first.contract(second.contract(self._over(h, j, i)).T)
                blocks[j][i] = blocks[i][j].T
        return xp.concatenate([xp.concatenate(row, axis=1) for row in blocks], axis=0)

    def table(self) -> jax.Array:
        return self.expand(np.eye(self.n_columns))

    def apart(self, h: np.ndarray) -> list[tuple[Coding, np.ndarray]]:
        return [(coding, self._over(h, i)) for i, coding in enumerate(self.codings)]


def combined_codes(codes: Sequence[jax.Array], levels: Sequence[int]) -> jax.Array:
    """The code under which each row stands in :class:`Combined`, from those of its factors; host arrays stay such."""
    whole = codes[-1]
    for code, n in zip(codes[-2::-1], levels[-2::-1], strict=True):
        whole = whole * n + code
    return whole


def groups_of(levels: Sequence[int | None]) -> list[list[int]]:
    """Which parts go together, the largest first; those without levels stay alone, and so do the largest."""
    order = sorted((i for i, n in enumerate(levels) if n), key=lambda i: -levels[i])
    groups: list[list[int]] = []
    for i in order:
        for group in groups:
            if levels[i] * prod(levels[k] for k in group) <= MOST_LEVELS:
                group.append(i)
                break
        else:
            groups.append([i])
    return sorted([sorted(group) for group in groups] + [[i] for i, n in enumerate(levels) if not n])
