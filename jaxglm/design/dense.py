"""Dense columns, and the constant column that is never stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design.base import Element, Rows, by_code, matmul
from jaxglm.design.standardized import Standardized, moments
from jaxglm.numerics import namespace
from jaxglm.tree import pytree, static

#: Columns of a panel of X'WX, by platform: wide designs compute the lower triangle panel by panel, which saves close
#: to half. An accelerator multiplies one large matrix faster than a few small ones.
PANEL = {"cpu": 64}
_PANEL_ELSEWHERE = 1024
#: Columns from which turning weighted rows costs less than it saves.
_TURNED = 8
#: Numbers of columns of which weighted rows are turned, though bare ones could be; bytes of a cache line of a CPU; and
#: the multiple to which a product of bare ones is filled up.
_WEIGHTED_FIRST, _LINE, _FILLED = range(_TURNED, 21), 64, 8
#: Most numeric columns that stay apart.
MOST_APART = 64
#: Columns that are laid together at a time on a CPU: its compiler asks of each value which of them it is of.
_TOGETHER = 4
#: Panels of the widest designs, so that the number of products stays small.
_MOST_PANELS = 20


@pytree
class Dense(Element):
    """Numeric columns held as they are: rows are an array (m, p) of any real dtype."""

    width: int = static()

    @property
    def n_columns(self) -> int:
        return self.width

    def standardized(self, x: Rows) -> Element:
        return Standardized(self, *moments(x)) if self.width else self

    def columns(self, x: Rows, m: int) -> jax.Array:
        return x.astype(float)

    def terms(self, x: Rows, b: jax.Array, dtype: Any) -> list[jax.Array]:
        return [matmul(x.astype(dtype), b.astype(dtype))]

    def tdot_sums(self, x: Rows, r: jax.Array) -> jax.Array:
        # Rows on the left: X'r from the right reads X against its grain and takes twice as long.
        return matmul(r.T, x.astype(r.dtype)).T.astype(float)

    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        return by_code(w.astype(float)[:, None] * x, codes, n_codes)

    def cross_sums(self, x: Rows, other: Element, xo: Rows, w: jax.Array) -> jax.Array:
        return other.tdot_sums(xo, w.astype(float)[:, None] * x).T

    def gram_sums(self, x: Rows, w: jax.Array) -> tuple[jax.Array, ...]:
        """Panels of the lower triangle, top to bottom."""
        x = x.astype(w.dtype)
        if self._lays(w):
            return (_product_as_laid(x, w),)
        if self._turns(w):
            return self._panels(_turned(w, x), x)
        weighted = w[:, None] * x
        return tuple(matmul(weighted[:, a:b].T, x[:, :b]).astype(float) for a, b in self._spans)

    def add_gram(self, total: tuple[jax.Array, ...], x: Rows, w: jax.Array) -> tuple[jax.Array, ...]:
        if w.dtype != jnp.float32 or jax.default_backend() != "cpu":
            return super().add_gram(total, x, w)

        def square(root: jax.Array) -> tuple[jax.Array, ...]:
            scaled = jax.lax.optimization_barrier(root[:, None] * x.astype(w.dtype))
            return tuple(matmul(scaled[:, a:b].T, scaled[:, :b]).astype(float) for a, b in self._spans)

        return tuple(map(jnp.add, total, _by_roots(w, square, lambda: self.gram_sums(x, w))))

    @property
    def reads_once(self) -> bool:
        return self.width > 0

    def add_gram_beside(
        self, total: tuple[jax.Array, ...], x: Rows, w: jax.Array, beside: jax.Array
    ) -> tuple[tuple[jax.Array, ...], jax.Array]:
        if beside.dtype != w.dtype or not (self._turns(w) or self._lays(w)):
            return super().add_gram_beside(total, x, w, beside)
        x = x.astype(w.dtype)
        if self._lays(w):
            both = _product_as_laid(x, w, beside)
            return (total[0] + both[:, : self.width],), both[:, self.width :]
        # They stand below the last panel, where rows more cost a product next to nothing.
        *panels, last = self._panels(jnp.concatenate([_turned(w, x), beside.T]), x)
        held = last.shape[0] - beside.shape[1]
        return tuple(map(jnp.add, total, (*panels, last[:held]))), last[held:].T

    def _panels(self, left: jax.Array, x: jax.Array) -> tuple[jax.Array, ...]:
        """Products with X of the rows of each panel, the last of them with all that follow it."""
        *spans, (start, _) = self._spans
        return tuple(matmul(left[a:b], x[:, :b]) for a, b in spans) + (matmul(left[start:], x),)

    def gram(self, sums: tuple[jax.Array, ...]) -> jax.Array:
        if len(sums) == 1:
            return sums[0]
        width, xp = self.width, namespace(sums[0])
        lower = xp.concatenate([xp.pad(s, ((0, 0), (0, width - s.shape[1]))) for s in sums])
        row = xp.arange(width)
        return xp.where(row[:, None] >= row[None, :], lower, lower.T)

    def _turns(self, w: jax.Array) -> bool:
        """Whether products are quicker from weighted rows that are turned first.

        On a CPU XLA multiplies double precision well only where what is summed over lies end to end on the left; its
        products in single precision take either.
        """
        return self.width >= _TURNED and w.dtype == jnp.float64 and jax.default_backend() == "cpu"

    def _lays(self, w: jax.Array) -> bool:
        """Whether :func:`_product_as_laid` is quickest: a CPU turns rows well unless they fill whole cache lines."""
        narrow = self.width > 1 and self.width not in _WEIGHTED_FIRST and len(self._spans) == 1
        uneven = self.width * w.dtype.itemsize % _LINE > 0
        return narrow and uneven and w.dtype == jnp.float64 and jax.default_backend() == "cpu"

    @property
    def _spans(self) -> list[tuple[int, int]]:
        """The columns of each panel."""
        edges = self._edges
        return list(zip(edges[:-1], edges[1:], strict=True))

    @property
    def _edges(self) -> list[int]:
        least = PANEL.get(jax.default_backend(), _PANEL_ELSEWHERE)
        size = max(least, -(-self.width // _MOST_PANELS))
        if self.width < 2 * least:
            size = max(self.width, 1)
        return [*range(0, self.width, size), self.width] if self.width else [0, 0]


def _by_roots(w: jax.Array, square: Callable[[jax.Array], Any], product: Callable[[], Any]) -> Any:
    """X'WX as `square` makes it from the roots of the weights, the product of one matrix with itself.

    A CPU reads half of what it reads for two matrices. Weights below 0, as observed information can have them, have no
    roots: then it is `product`.
    """
    return jax.lax.cond(jnp.all(w >= 0), lambda: square(jnp.sqrt(w)), product)


def _turned(w: jax.Array, x: jax.Array) -> jax.Array:
    """Weighted rows of x (m, p) as (p, m), held apart, or a product would be made of x as it lies."""
    return jax.lax.optimization_barrier((w[:, None] * x).T)


def _product_as_laid(x: jax.Array, w: jax.Array, *beside: jax.Array) -> jax.Array:
    """X'WX for x (m, p), and to the right of it X' times other columns (m, q).

    Both sides lie as a CPU's products read them, so that these lay nothing anew: X turned, the weighted rows as they
    come, filled up to whole registers.
    """
    parts = [w[:, None] * x, *beside]
    width = sum(part.shape[1] for part in parts)
    # Weights, since XLA lays zeros beside columns one number at a time.
    filling = jnp.broadcast_to(w[:, None], (len(x), -width % _FILLED))
    right = jax.lax.optimization_barrier(jnp.concatenate([*parts, filling], axis=1))
    return matmul(jax.lax.optimization_barrier(x.T), right)[:, :width]


@pytree
class Columns(Element):
    """A few numeric columns that lie apart, as those of a data frame do: rows are a tuple of arrays (m,).

    A block of them is laid row upon row, (p, m), which suits all products as well as or better than (m, p); where
    it is laid beforehand, rows are that array.
    """

    width: int = static()

    @property
    def n_columns(self) -> int:
        return self.width

    def laid(self, x: Rows) -> Rows:
        # Held apart, or all that reads the block would lay it anew.
        return jax.lax.optimization_barrier(_upright(x)) if jax.default_backend() == "cpu" else x

    def standardized(self, x: Rows) -> Element:
        centers, scales = zip(*map(moments, x), strict=True)
        return Standardized(self, np.array(centers), np.array(scales))

    def columns(self, x: Rows, m: int) -> jax.Array:
        return _upright(x).astype(float).T

    def terms(self, x: Rows, b: jax.Array, dtype: Any) -> list[jax.Array]:
        return [matmul(b.astype(dtype), _upright(x).astype(dtype))]

    def tdot_sums(self, x: Rows, r: jax.Array) -> jax.Array:
        return matmul(_upright(x).astype(r.dtype), r).astype(float)

    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        return by_code((w.astype(float) * _upright(x)).T, codes, n_codes)

    def cross_sums(self, x: Rows, other: Element, xo: Rows, w: jax.Array) -> jax.Array:
        if other.ones:
            return self.tdot_sums(x, w.astype(float))[:, None]
        return other.tdot_sums(xo, (w.astype(float) * _upright(x)).T).T

    def gram_sums(self, x: Rows, w: jax.Array) -> jax.Array:
        upright = _upright(x).astype(w.dtype)
        return matmul(w * upright, upright.T).astype(float)

    def add_gram(self, total: jax.Array, x: Rows, w: jax.Array) -> jax.Array:
        if isinstance(x, tuple):
            return super().add_gram(total, x, w)

        def square(root: jax.Array) -> jax.Array:
            scaled = jax.lax.optimization_barrier(root * x.astype(w.dtype))
            return matmul(scaled, scaled.T).astype(float)

        return total + _by_roots(w, square, lambda: self.gram_sums(x, w))

    def gram(self, sums: jax.Array) -> jax.Array:
        return sums


class _Accompanied(Element):
    """Columns whose rows are a pair: what :class:`Columns` has, and more that is made of it."""

    width: int

    @property
    def n_columns(self) -> int:
        return self.width

    @property
    def _single(self) -> Columns:
        return Columns(self.width)

    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        return self._single.tally(x[0], w, codes, n_codes)

    def cross_sums(self, x: Rows, other: Element, xo: Rows, w: jax.Array) -> jax.Array:
        return self._single.cross_sums(x[0], other, xo, w)


@pytree
class Twofold(_Accompanied):
    """A few numeric columns held both ways: rows are the pair of a matrix (p, m) and its transpose (m, p).

    Products of many small matrices then take none apart first, which costs a CPU more than the product.
    """

    width: int = static()

    @staticmethod
    def rows_from(upright: jax.Array) -> Rows:
        """The rows of matrices (..., p, m)."""
        return upright, jax.lax.optimization_barrier(jnp.swapaxes(upright, -1, -2))

    def columns(self, x: Rows, m: int) -> jax.Array:
        return x[1].astype(float)

    def terms(self, x: Rows, b: jax.Array, dtype: Any) -> list[jax.Array]:
        return [matmul(b.astype(dtype), x[0].astype(dtype))]

    def tdot_sums(self, x: Rows, r: jax.Array) -> jax.Array:
        return matmul(x[0].astype(r.dtype), r).astype(float)

    def gram_sums(self, x: Rows, w: jax.Array) -> jax.Array:
        return matmul(w * x[0].astype(w.dtype), x[1].astype(w.dtype)).astype(float)

    def gram(self, sums: jax.Array) -> jax.Array:
        return sums


@pytree
class Paired(_Accompanied):
    """Numeric columns beside the products of all pairs of them: rows are two tuples of arrays (m,).

    Many weightings of the same rows then make X'WX of each by one product of matrices, weights by pairs.
    """

    width: int = static()

    @staticmethod
    def products(x: Rows) -> Rows:
        """The pairs of columns (p, m), row upon row of the lower triangle, (p (p + 1) / 2, m)."""
        first, second = np.tril_indices(len(x))
        return x[first] * x[second]

    def columns(self, x: Rows, m: int) -> jax.Array:
        return self._single.columns(x[0], m)

    def terms(self, x: Rows, b: jax.Array, dtype: Any) -> list[jax.Array]:
        return self._single.terms(x[0], b, dtype)

    def tdot_sums(self, x: Rows, r: jax.Array) -> jax.Array:
        return self._single.tdot_sums(x[0], r)

    def gram_sums(self, x: Rows, w: jax.Array) -> jax.Array:
        """The lower triangle, row upon row."""
        return matmul(jnp.stack(x[1]).astype(w.dtype), w).astype(float)

    def gram(self, sums: jax.Array) -> jax.Array:
        first, second = np.tril_indices(self.width)
        place = np.empty((self.width, self.width), int)
        place[first, second] = place[second, first] = np.arange(len(first))
        return sums[place]


def _upright(x: Rows) -> jax.Array:
    """Columns row upon row, (p, m)."""
    if not isinstance(x, tuple):
        return x
    if jax.default_backend() != "cpu":
        return jnp.stack(x)
    parts = [column[None] for column in x]
    while len(parts) > 1:
        some = [jnp.concatenate(parts[i : i + _TOGETHER]) for i in range(0, len(parts), _TOGETHER)]
        # Held apart, or they were made as one again.
        parts = some if len(some) == 1 else list(jax.lax.optimization_barrier(some))
    return parts[0]


def numbers(width: int) -> Columns | Dense:
    """The design of so many numeric columns that come one by one."""
    return Columns(width) if 0 < width <= MOST_APART else Dense(width)


@pytree
class Constant(Element):
    """One column of ones (the intercept); its rows are the empty tuple."""

    @property
    def n_columns(self) -> int:
        return 1

    @property
    def ones(self) -> bool:
        return True

    def columns(self, x: Rows, m: int) -> jax.Array:
        return jnp.ones((m, 1))

    def terms(self, x: Rows, b: jax.Array, dtype: Any) -> list[jax.Array]:
        return [b[0]]

    def tdot_sums(self, x: Rows, r: jax.Array) -> jax.Array:
        return jnp.sum(r.astype(float), axis=0)[None]

    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        return by_code(w, codes, n_codes)[:, None]

    def cross_sums(self, x: Rows, other: Element, xo: Rows, w: jax.Array) -> jax.Array:
        return other.tdot_sums(xo, w.astype(float))[None]

    def gram_sums(self, x: Rows, w: jax.Array) -> jax.Array:
        return jnp.sum(w.astype(float))

    def gram(self, sums: jax.Array) -> jax.Array:
        return sums[None, None]
