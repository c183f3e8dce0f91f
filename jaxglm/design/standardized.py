"""Numeric columns kept centered and scaled, so that single precision holds them."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design.base import Element, Rows, Sums, by_code
from jaxglm.precision import aligned_empty, in_threads, threads
from jaxglm.tree import pytree

#: Rows that centers and scales are taken from; any that are near serve.
_LOOKED_AT = 4096
#: Rows that are encoded at a time, so that their differences stay in cache.
_TILE = 4096


@pytree
class Standardized(Element):
    """Columns ``center + scale * z`` of which the rows hold z, in any real dtype.

    Operations are those of the columns themselves; coefficients belong to them and not to z. A year rounded to single
    precision is off by 1e-4, its distance from the mean year, in standard deviations, by 1e-7. Sums over rows are made
    of z, beside one sum without it, and only their totals are carried over, in working precision: what rounding
    adds to X'WX is then small in every direction, whatever the centers are.

    Attributes
    ----------
    inner : Element
        The design of z.
    center, scale : (p,)
    """

    inner: Element
    center: jax.Array
    scale: jax.Array

    @property
    def n_columns(self) -> int:
        return self.inner.n_columns

    def laid(self, x: Rows) -> Rows:
        return self.inner.laid(x)

    def columns(self, x: Rows, m: int) -> jax.Array:
        return self.center + self.scale * self.inner.columns(x, m)

    def terms(self, x: Rows, b: jax.Array, dtype: Any) -> list[jax.Array]:
        return [*self.inner.terms(x, self.scale * b, dtype), jnp.sum(self.center * b)]

    def tdot_sums(self, x: Rows, r: jax.Array) -> jax.Array:
        return jnp.concatenate([self.inner.tdot_sums(x, r), jnp.sum(r.astype(float), axis=0)[None]])

    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        first = self.inner.tally(x, w, codes, n_codes)
        return jnp.concatenate([first, by_code(w, codes, n_codes)[:, None]], axis=1)

    def cross_sums(self, x: Rows, other: Element, xo: Rows, w: jax.Array) -> jax.Array:
        first = self.inner.cross_sums(x, other, xo, w)
        return jnp.concatenate([first, other.tdot_sums(xo, w.astype(float))[None]])

    def gram_sums(self, x: Rows, w: jax.Array) -> Sums:
        # Sums of w and of w z exactly as the products with a constant column have them, or they would not cancel.
        return self.inner.gram_sums(x, w), self.tdot_sums(x, w.astype(float))

    def add_gram(self, total: Sums, x: Rows, w: jax.Array) -> Sums:
        return self.inner.add_gram(total[0], x, w), total[1] + self.tdot_sums(x, w.astype(float))

    def contract(self, sums: jax.Array) -> jax.Array:
        shape = (-1,) + (1,) * (sums.ndim - 1)
        return self.scale.reshape(shape) * sums[:-1] + self.center.reshape(shape) * sums[-1:]

    def gram(self, sums: Sums) -> jax.Array:
        inner, first = sums
        scaled, cross = self.scale * first[:-1], first[-1] * self.center
        both = self.center[:, None] * (scaled + 0.5 * cross)[None, :]
        return self.scale[:, None] * self.inner.gram(inner) * self.scale + both + both.T

    def encode(self, x: Rows, dtype: Any) -> Rows:
        if isinstance(x, tuple):
            center, scale = np.asarray(self.center), np.asarray(self.scale)
            return tuple(_encode(column, c, s, dtype) for column, c, s in zip(x, center, scale, strict=True))
        return _encode(x, self.center, self.scale, dtype)

    def spread(self) -> jax.Array:
        return self.scale


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centers and scales of host columns, () or (p,), from rows spread over all of them.

    Scales are powers of two and centers multiples of them, so that whole numbers and dummies are kept exactly.
    """
    some = np.asarray(x[:: max(1, len(x) // _LOOKED_AT)], float)
    with np.errstate(all="ignore"):
        center, scale = some.mean(axis=0), some.std(axis=0)
    # What is not finite is found and named later.
    scale = 2.0 ** np.round(np.log2(np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)))
    return np.round(np.where(np.isfinite(center), center, 0.0) / scale) * scale, scale


def _encode(x: np.ndarray, center: np.ndarray, scale: np.ndarray, dtype: Any) -> np.ndarray:
    """(x - center) / scale, computed in float64 before it is rounded to `dtype`."""
    out = aligned_empty(x.shape, dtype)

    def fill(first: int, last: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(first, last, _TILE):
                stop = min(start + _TILE, last)
                out[start:stop] = (np.asarray(x[start:stop], float) - center) / scale

    edges = np.linspace(0, len(x), threads() + 1 if x.size > 2**20 else 2).astype(int)
    in_threads([partial(fill, a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)])
    return out
