"""The gradient in twice the working precision, for steps that rounding of X b and of X'r would spoil.

A number is held as an unevaluated sum of two floats (Dekker 1971; Ogita, Rump and Oishi 2005). Nothing here needs a
product to be rounded by itself: factors are cut by masks of bits, so that partial products are exact and a compiler
that fuses them with an addition changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.kernels.base import Kernel, Model, Rows
from jaxglm.kernels.rows import row_terms
from jaxglm.kernels.totals import Point
from jaxglm.tree import pytree


class Pair(NamedTuple):
    """The number high + low, where low is at most a rounding of high."""

    high: jax.Array
    low: jax.Array


def two_sum(a: jax.Array, b: jax.Array) -> Pair:
    """a + b and its rounding, exactly (Knuth 1969, section 4.2.2)."""
    high = a + b
    part = high - a
    return Pair(high, (a - (high - part)) + (b - part))


def two_product(a: jax.Array, b: jax.Array) -> Pair:
    """a b and its rounding, to about 1e-23 of the product."""
    (a1, a2), (b1, b2) = _cut(a), _cut(b)
    most, rest = a1 * b1, (a1 * b2 + a2 * b1) + a2 * b2
    high = most + rest
    return Pair(high, rest - (high - most))


def _cut(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The leading half of the bits of a, and the others."""
    info = jnp.finfo(a.dtype)
    whole = np.dtype(f"uint{info.bits}").type
    mask = ~whole((1 << (info.nmant // 2 + 1)) - 1)
    leading = jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(a, whole) & mask, a.dtype)
    return leading, a - leading


def add(x: Pair, y: Pair) -> Pair:
    """x + y, with an error of about 1e-32 (|x| + |y|)."""
    high, low = two_sum(x.high, y.high)
    low = low + (x.low + y.low)
    total = high + low
    return Pair(total, low - (total - high))


def times(x: Pair, y: jax.Array) -> Pair:
    """x y."""
    high, low = two_product(x.high, y)
    return Pair(high, low + x.low * y)


def total(x: Pair, axis: int) -> Pair:
    """Sum over an axis."""
    zero = jnp.zeros((), x.high.dtype)
    return Pair(*jax.lax.reduce(tuple(x), (zero, zero), lambda a, b: tuple(add(Pair(*a), Pair(*b))), (axis,)))


def predictors(model: Model, rows: Rows, theta: jax.Array) -> Pair:
    """Linear predictors of a block, (m, K)."""
    eta = total(two_product(model.layout.columns(rows.x, rows.y.shape[0]), theta), 2)
    return eta if rows.offset is None else add(eta, Pair(rows.offset, jnp.zeros((), eta.high.dtype)))


@pytree
class Careful(Model):
    """A model whose linear predictors are rounded once, for designs whose terms are far larger than their sum."""

    def eta(self, rows: Rows, theta: jax.Array) -> jax.Array:
        return predictors(self, rows, theta).high


@dataclass(frozen=True)
class Compensated(Kernel):
    """Gradient of the negative log-likelihood, a :class:`Pair` of (P,); cost about 50 m P operations.

    With a quadratic nll its error is about 1e-22 of the sum of absolute terms. For other families that holds of eta and
    of the sum; the score between them is that of the rounded eta plus curvature times what rounding took from eta.
    """

    additive = False

    def map(self, model: Model, point: Point, rows: Rows) -> Pair:
        family = model.family
        eta = predictors(model, rows, point.theta)
        zero = jnp.zeros((), eta.high.dtype)
        # The quadratic model at a start; where nll is quadratic that is nll itself, and exact at the response.
        initial = jax.vmap(family.start, in_axes=(0, 0, None))(rows.y, rows.aux, point.center)
        at = initial if family.quadratic else jnp.where(point.start, initial, eta.high)
        terms = row_terms(family, rows.y, at, rows.aux, point.observed, scoring=True)
        beyond = add(eta, Pair(-at, zero))
        change = total(times(Pair(beyond.high[:, None], beyond.low[:, None]), terms.curvature), 2)
        score = times(add(Pair(terms.score, zero), change), rows.weight[:, None])
        columns = model.layout.columns(rows.x, rows.y.shape[0])
        product = times(Pair(score.high[..., None], score.low[..., None]), columns)
        return total(total(product, 0), 0)

    def combine(self, a: Any, b: Any) -> Any:
        return add(a, b)
