"""From all coefficients to K linear predictors and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design.base import Design, Element, Rows
from jaxglm.numerics import namespace
from jaxglm.tree import pytree


class _Placed(NamedTuple):
    """An element of a predictor, and where its columns stand."""

    predictor: int
    part: Element
    places: np.ndarray


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

    @property
    def n_sums(self) -> int:
        """How many sums over rows :meth:`gram_sums` makes of pairs of elements."""
        sizes = [e.part.n_raw for e in self._elements]
        return sum(m * n for i, m in enumerate(sizes) for n in sizes[:i])

    def split(self, theta: jax.Array) -> list[jax.Array]:
        """The coefficients of each predictor."""
        return jnp.split(theta, np.cumsum([d.n_columns for d in self.designs])[:-1])

    def laid(self, x: Rows) -> Rows:
        """Rows of a block, traceable, in a form that is quicker to read many times."""
        return tuple(d.laid(xi) for d, xi in zip(self.designs, x, strict=True))

    def eta(self, x: Rows, theta: jax.Array, offset: jax.Array | None, m: int, dtype: Any = None) -> jax.Array:
        """All linear predictors, (m, K), offset included, in `dtype` (that of theta by default)."""
        terms = zip(self.designs, x, self.split(theta), strict=True)
        eta = [jnp.broadcast_to(d.dot(xi, b, dtype), (m,)) for d, xi, b in terms]
        # Added before they are stacked: loops over a last axis of one entry are not vectorized.
        return jnp.stack(eta if offset is None else [e + offset[:, k] for k, e in enumerate(eta)], axis=1)

    def gradient(self, x: Rows, score: jax.Array) -> jax.Array:
        """Sum over rows of X' score, (P,), for score of shape (m, K)."""
        return self.gradient_of(self.gradient_sums(x, score))

    def gradient_sums(self, x: Rows, score: jax.Array) -> list[jax.Array]:
        """Sums over rows that :meth:`gradient_of` takes, one entry an element."""
        return [e.part.tdot_sums(rows, score[:, e.predictor]) for e, rows in self._with_rows(x)]

    def gradient_of(self, sums: list[jax.Array]) -> jax.Array:
        """X' score from its sums, (P,)."""
        elements = self._elements
        parts = [e.part.contract(s) for e, s in zip(elements, sums, strict=True)]
        whole = namespace(parts[0]).concatenate(parts)
        return whole if _sorted(elements) else whole[_order(elements)]

    def gram(self, x: Rows, curvature: jax.Array) -> jax.Array:
        """Sum over rows of X' curvature X, (P, P), for curvature of shape (m, K, K)."""
        return self.gram_of(self.gram_sums(x, curvature))

    def gram_sums(self, x: Rows, curvature: jax.Array) -> list[list]:
        """Sums over rows that :meth:`gram_of` takes: the lower triangle of pairs of elements.

        Products are in the precision of `curvature`, sums in working precision. Sums that are margins of others are
        left out (None).
        """
        pairs, told = self._with_rows(x), self._told
        rows: list[list] = []
        for i, (e, xe) in enumerate(pairs):
            row = [
                None if (i, j) in told else
                e.part.cross_sums(xe, o.part, xo, curvature[:, e.predictor, o.predictor])
                for j, (o, xo) in enumerate(pairs[:i])
            ]  # fmt: skip
            own = None if (i, i) in told else e.part.gram_sums(xe, curvature[:, e.predictor, e.predictor])
            rows.append([*row, own])
        return rows

    def add_gram_sums(self, total: list[list], x: Rows, curvature: jax.Array, ready: dict | None = None) -> list[list]:
        """A total with the :meth:`gram_sums` of more rows; some of its entries may be `ready`, by their places."""
        pairs, told = self._with_rows(x), self._told
        made = {**dict.fromkeys(told), **(ready or {})}
        rows: list[list] = []
        for i, (e, xe) in enumerate(pairs):
            row = [
                made[i, j] if (i, j) in made else
                e.part.add_cross(total[i][j], xe, o.part, xo, curvature[:, e.predictor, o.predictor])
                for j, (o, xo) in enumerate(pairs[:i])
            ]  # fmt: skip
            own = made.get((i, i))
            if (i, i) not in made:
                own = e.part.add_gram(total[i][i], xe, curvature[:, e.predictor, e.predictor])
            rows.append([*row, own])
        return rows

    def add_sums(
        self, gradient: list[jax.Array], gram: list[list], x: Rows, score: jax.Array, curvature: jax.Array
    ) -> tuple[list[jax.Array], list[list]]:
        """Totals with the :meth:`gradient_sums` and the :meth:`gram_sums` of more rows.

        Columns that are large are read once for their gradient and for their products with constants.
        """
        pairs, slopes, ready = self._with_rows(x), [], {}
        for i, (e, xe) in enumerate(pairs):
            if not e.part.reads_once:
                slopes.append(gradient[i] + e.part.tdot_sums(xe, score[:, e.predictor]))
                continue
            constants = [j for j, (o, _) in enumerate(pairs) if o.part.ones]
            weights = [curvature[:, e.predictor, pairs[j][0].predictor] for j in constants]
            beside = jnp.stack([w.astype(float) for w in (score[:, e.predictor], *weights)]).T
            own = curvature[:, e.predictor, e.predictor]
            ready[i, i], sums = e.part.add_gram_beside(gram[i][i], xe, own, beside)
            slopes.append(gradient[i] + sums[:, 0])
            for j, column in zip(constants, sums.T[1:], strict=True):
                at, shape = ((i, j), (-1, 1)) if i > j else ((j, i), (1, -1))
                ready[at] = gram[at[0]][at[1]] + column.reshape(shape)
        return slopes, self.add_gram_sums(gram, x, curvature, ready)

    @cached_property
    def _told(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Which sums of a pair of elements another pair tells, by the places of both in the lower triangle.

        The sums over pairs of levels of two factors hold those over the levels of each: what a factor makes with
        itself and with a constant. The other factor is the one with the fewest levels.
        """
        elements, told = self._elements, {}
        for i, e in enumerate(elements):
            beside = [o.predictor == e.predictor and k != i for k, o in enumerate(elements)]
            others = [k for k, o in enumerate(elements) if beside[k] and o.part.levels]
            if not e.part.levels or not others:
                continue
            partner = min(others, key=lambda k: elements[k].part.n_raw)
            pair = (max(i, partner), min(i, partner))
            told[i, i] = pair
            for k, o in enumerate(elements):
                if beside[k] and o.part.ones:
                    told[max(i, k), min(i, k)] = pair
        return told

    def _completed(self, sums: list[list]) -> list[list]:
        """All sums of :meth:`gram_sums`, those that were left out too."""
        whole = [list(row) for row in sums]
        for (i, j), (a, b) in self._told.items():
            levels = i if self._elements[i].part.levels else j
            margin = sums[a][b].sum(axis=1 if levels == a else 0)
            whole[i][j] = margin if i == j else margin[:, None] if levels == i else margin[None]
        return whole

    def gram_of(self, sums: list[list]) -> jax.Array:
        """X' curvature X from its sums, (P, P); once a pass, whatever the number of blocks."""
        elements, sums = self._elements, self._completed(sums)
        size = len(elements)
        full: list[list] = [[None] * size for _ in range(size)]
        for i, e in enumerate(elements):
            full[i][i] = e.part.gram(sums[i][i])
            xp = namespace(full[i][i])
            for j, o in enumerate(elements[:i]):
                # Along the first axis sums are quick where the others follow it in memory.
                half = e.part.contract(sums[i][j]).T
                full[j][i] = o.part.contract(np.ascontiguousarray(half) if xp is np else half)
                full[i][j] = full[j][i].T
        xp = namespace(full[0][0])
        whole = xp.concatenate([xp.concatenate(row, axis=1) for row in full], axis=0)
        if _sorted(elements):
            return whole
        # One axis after the other, which is quicker than entry by entry.
        order = _order(elements)
        return xp.take(xp.take(whole, order, axis=0), order, axis=1)

    def own_sums(self, x: Rows, w: jax.Array) -> list:
        """Sums over rows that :meth:`own_of` takes, for weights (m,): one entry an element."""
        return [e.part.gram_sums(rows, w) for e, rows in self._with_rows(x)]

    def own_of(self, sums: list) -> jax.Array:
        """X'wX from its sums, (P, P), with zeros between different elements."""
        whole = np.zeros((self.n_coefficients,) * 2)
        xp = namespace(jax.tree.leaves(sums)[0])
        whole = xp.asarray(whole)
        for e, s in zip(self._elements, sums, strict=True):
            block, at = e.part.gram(s), np.ix_(e.places, e.places)
            if xp is np:
                whole[at] = block
            else:
                whole = whole.at[at].set(block)
        return whole

    def standardized(self, x: Rows) -> Layout:
        """The layout with numeric columns kept centered and scaled, see :class:`Standardized`; x are host rows."""
        return Layout(tuple(d.standardized(xi) for d, xi in zip(self.designs, x, strict=True)))

    def encode(self, x: Rows, dtype: Any) -> Rows:
        """Host rows as this layout keeps them, from those of the columns themselves."""
        return tuple(d.encode(xi, dtype) for d, xi in zip(self.designs, x, strict=True))

    def combined(self) -> tuple[Layout, Callable[[Rows], Rows]] | None:
        """The layout in a form over which sums are cheaper, and what makes its rows, as :meth:`Design.combined`."""
        made = [design.combined() for design in self.designs]
        if not any(made):
            return None
        designs = tuple(new[0] if new else d for new, d in zip(made, self.designs, strict=True))

        def change(x):
            return tuple(new[1](xi) if new else xi for new, xi in zip(made, x, strict=True))

        return Layout(designs), change

    def spread(self) -> np.ndarray:
        """How large each column is where products of columns are rounded, (P,); 0 where they are exact."""
        elements = self._elements
        whole = np.concatenate([np.asarray(e.part.spread()) for e in elements])
        return whole if _sorted(elements) else whole[_order(elements)]

    @cached_property
    def _elements(self) -> list[_Placed]:
        """Elements of all predictors with the places of their columns among all coefficients."""
        found, start = [], 0
        for k, design in enumerate(self.designs):
            found += [_Placed(k, part, start + np.asarray(places, int)) for part, places in design.parts]
            start += design.n_columns
        return found

    def _with_rows(self, x: Rows) -> list[tuple[_Placed, Rows]]:
        rows = [part for d, xi in zip(self.designs, x, strict=True) for part in d.rows_of_parts(xi)]
        return list(zip(self._elements, rows, strict=True))

    def columns(self, x: Rows, m: int) -> jax.Array:
        """Dense model matrix of each row for all predictors, (m, K, P): eta = columns @ theta."""
        width = self.n_coefficients
        blocks, start = [], 0
        for d, xi in zip(self.designs, x, strict=True):
            block = jnp.zeros((m, width), dtype=float)
            blocks.append(block.at[:, start : start + d.n_columns].set(d.columns(xi, m)))
            start += d.n_columns
        return jnp.stack(blocks, axis=1)


def _sorted(elements: list[_Placed]) -> bool:
    """Whether the columns of the elements end to end are in their places already."""
    places = np.concatenate([e.places for e in elements])
    return bool((places == np.arange(len(places))).all())


def _order(elements: list[_Placed]) -> np.ndarray:
    """Where each coefficient stands among the columns of the elements laid end to end."""
    return np.argsort(np.concatenate([e.places for e in elements]), kind="stable")
