"""Scalar functions whose value, slope and curvature stay right in both tails.

Each custom derivative replaces an automatic one that cancels: at eta = 40 the
automatic second derivative of the logistic function, for one, is 0 in float64
where the true value is 4e-18. Third and higher derivatives are automatic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_SQRT2 = math.sqrt(2.0)
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
#: Below minus this the normal tail comes from a continued fraction; it then needs _TERMS levels for 1e-16.
_TAIL = 4.0
_TERMS = 28
#: Counts below which functions of them are looked up; most data have no larger ones.
_COUNTS = 64


def namespace(x: Any) -> Any:
    """NumPy for an array on the host, else jax.numpy: code that uses it runs on either."""
    return np if isinstance(x, (np.ndarray, np.generic)) else jnp


def times(x: jax.Array, value: jax.Array) -> jax.Array:
    """``x * value``, and 0 where x is 0 whatever the value is (infinite, nan).

    The caller makes sure that the derivative of `value` in the dropped branch is not used.
    """
    zero = x == 0
    return jnp.where(zero, 0.0, x * jnp.where(zero, 1.0, value))


@jax.custom_jvp
def sigmoid(x: jax.Array) -> jax.Array:
    """Logistic function 1 / (1 + exp(-x))."""
    return jax.lax.logistic(x)


@sigmoid.defjvp
def _sigmoid_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return sigmoid(x), sigmoid(x) * sigmoid(-x) * dx


@jax.custom_jvp
def softplus(x: jax.Array) -> jax.Array:
    """log(1 + exp(x))."""
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return softplus(x), sigmoid(x) * dx


def looked_up(exact: Callable[[jax.Array], jax.Array], values: np.ndarray) -> Callable[[jax.Array], jax.Array]:
    """A function of y that is `exact`, of which `values` are those at 0, 1, 2 and so on.

    Of many y under ``vmap`` that are all whole numbers so small it is looked up, which takes a third of the time of a
    logarithm.
    """

    @jax.custom_batching.custom_vmap
    def value(y):
        return exact(y)

    @value.def_vmap
    def many(size, batched, y):
        table = jnp.asarray(values, y.dtype)
        small = jnp.all((y >= 0) & (y < len(table)) & (y == jnp.floor(y)))
        return jax.lax.cond(small, lambda y: table[y.astype(jnp.int32)], exact, y), True

    function = jax.custom_jvp(lambda y: value(y))
    # A table has no slope.
    function.defjvp(lambda primals, tangents: (function(*primals), jax.jvp(exact, primals, tangents)[1]))
    return function


def _factorial_series(y: jax.Array) -> jax.Array:
    """Stirling's series ten steps up (Abramowitz and Stegun 1964, 6.1.41) for log(y!).

    It takes two logarithms, a general gamma function ten times as long.
    """
    z = y + 1.0
    small = z < 10.0
    product = z
    for step in range(1, 10):
        product = product * (z + step)
    far = jnp.where(small, z + 10.0, z)
    r = 1.0 / far
    r2 = r * r
    series = 0.0
    for coefficient in (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
        series = series * r2 + coefficient
    stirling = (far - 0.5) * jnp.log(far) - far + _LOG_SQRT_2PI + r * series
    return stirling - jnp.where(small, jnp.log(jnp.where(small, product, 1.0)), 0.0)


def _log_or_zero(y: jax.Array) -> jax.Array:
    return jnp.log(jnp.where(y > 0, y, 1.0))


#: log(y!) = log gamma(y + 1) for y >= 0, with an absolute error of a few 1e-15 times 1 + its value.
log_factorial = looked_up(_factorial_series, np.array([math.log(math.factorial(k)) for k in range(_COUNTS)]))
#: log(y), and 0 where y = 0; for y >= 0.
log_count = looked_up(_log_or_zero, np.log(np.maximum(np.arange(_COUNTS), 1.0)))


def log1mexp(x: jax.Array) -> jax.Array:
    """log(1 - exp(x)) for x < 0 (Maechler 2012); nan for x > 0."""
    near = x > -math.log(2.0)
    return jnp.where(near, jnp.log(-jnp.expm1(jnp.where(near, x, -1.0))), jnp.log1p(-jnp.exp(jnp.where(near, -1.0, x))))


@jax.custom_jvp
def ndtr(x: jax.Array) -> jax.Array:
    """Standard normal distribution function."""
    return 0.5 * jax.lax.erfc(-x / _SQRT2)


@ndtr.defjvp
def _ndtr_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return ndtr(x), jnp.exp(-0.5 * x * x - _LOG_SQRT_2PI) * dx


def _tail_excess(t: jax.Array) -> jax.Array:
    """Inverse Mills ratio minus t for t >= _TAIL, by Laplace's continued fraction."""
    # What the levels left out would add, as if each equaled the next.
    value = 0.5 * (t + jnp.sqrt(t * t + 4.0 * (_TERMS + 1)))
    for k in range(_TERMS, 1, -1):
        value = t + k / value
    return 1.0 / value


def _excess(x: jax.Array) -> jax.Array:
    """x + inverse_mills(x), without cancellation in the lower tail."""
    tail = x < -_TAIL
    far = _tail_excess(jnp.where(tail, -x, _TAIL))
    inner = jnp.where(tail, 0.0, x)
    return jnp.where(tail, far, inner + jnp.exp(-0.5 * inner * inner - _LOG_SQRT_2PI) / ndtr(inner))


@jax.custom_jvp
def inverse_mills(x: jax.Array) -> jax.Array:
    """Standard normal density over distribution function, phi(x) / Phi(x)."""
    tail = x < -_TAIL
    inner = jnp.where(tail, 0.0, x)
    return jnp.where(tail, _excess(x) - x, jnp.exp(-0.5 * inner * inner - _LOG_SQRT_2PI) / ndtr(inner))


@inverse_mills.defjvp
def _inverse_mills_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    ratio = inverse_mills(x)
    return ratio, -ratio * _excess(x) * dx


@jax.custom_jvp
def log_ndtr(x: jax.Array) -> jax.Array:
    """Log of the standard normal distribution function."""
    tail = x < -_TAIL
    far = -0.5 * x * x - _LOG_SQRT_2PI - jnp.log(inverse_mills(jnp.where(tail, x, -_TAIL)))
    upper = x > 0
    near = jnp.where(upper, jnp.log1p(-ndtr(-jnp.where(upper, x, 1.0))), jnp.log(ndtr(jnp.where(upper | tail, 0.0, x))))
    return jnp.where(tail, far, near)


@log_ndtr.defjvp
def _log_ndtr_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return log_ndtr(x), inverse_mills(x) * dx


def _bernoulli_ratio_excess(u: jax.Array, g: jax.Array) -> jax.Array:
    """1 - u - g for g = u / (exp(u) - 1); its power series where the difference cancels."""
    small = u < 0.3
    s = jnp.where(small, u, 0.0)
    s2 = s * s
    series = s2 * (-1 / 12 + s2 * (1 / 720 + s2 * (-1 / 30240 + s2 * (1 / 1209600 - s2 / 47900160))))
    return jnp.where(small, -0.5 * s + series, 1.0 - u - g)


@jax.custom_jvp
def _exponential_hazard(eta: jax.Array) -> jax.Array:
    """u / (exp(u) - 1) with u = exp(eta): the slope of log(1 - exp(-exp(eta)))."""
    u = jnp.minimum(jnp.exp(eta), 1e4)
    tiny = u < jnp.finfo(u.dtype).tiny
    safe = jnp.where(tiny, 1.0, u)
    return jnp.where(tiny, 1.0, safe * jnp.exp(-safe) / -jnp.expm1(-safe))


@_exponential_hazard.defjvp
def _exponential_hazard_jvp(primals, tangents):
    (eta,), (deta,) = primals, tangents
    g = _exponential_hazard(eta)
    u = jnp.minimum(jnp.exp(eta), 1e4)
    return g, g * _bernoulli_ratio_excess(u, g) * deta


@jax.custom_jvp
def log1mexpexp(eta: jax.Array) -> jax.Array:
    """log(1 - exp(-exp(eta))), the log mean of the complementary log-log link."""
    low = eta < -30.0
    # Below -30 the value is eta - exp(eta)/2 to all digits, and exp(-exp(eta)) would round to 1.
    return jnp.where(low, eta - 0.5 * jnp.exp(jnp.minimum(eta, 0.0)), log1mexp(-jnp.exp(jnp.where(low, 0.0, eta))))


@log1mexpexp.defjvp
def _log1mexpexp_jvp(primals, tangents):
    (eta,), (deta,) = primals, tangents
    return log1mexpexp(eta), _exponential_hazard(eta) * deta


@jax.custom_jvp
def expm1exp(eta: jax.Array) -> jax.Array:
    """1 - exp(-exp(eta)), the mean of the complementary log-log link."""
    return -jnp.expm1(-jnp.exp(eta))


@expm1exp.defjvp
def _expm1exp_jvp(primals, tangents):
    (eta,), (deta,) = primals, tangents
    return expm1exp(eta), jnp.exp(eta - jnp.exp(eta)) * deta


#: Up to here log1p is taken from a series.
_NEAR_ZERO = 0.5
_SERIES = tuple(1.0 / (2 * k + 1) for k in range(13, 0, -1))


# Jitted inside of what is jitted: it is traced once, not for every place and derivative that uses it.
@jax.jit
def _log1p_parts(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """L = log(1 + x) / x, 1 - L and L - 1 / (1 + x), each with its own digits near x = 0; x >= 0."""
    near = x < _NEAR_ZERO
    small, far = jnp.where(near, x, 0.0), jnp.where(near, 1.0, x)
    # log1p(x) = 2 atanh(t), and s = atanh(t) / t - 1.
    t = small / (2.0 + small)
    s = jnp.zeros_like(t)
    for c in _SERIES:
        s = t * t * (c + s)
    ratio = jnp.log1p(far) / far
    return (
        jnp.where(near, (1.0 - t) * (1.0 + s), ratio),
        jnp.where(near, t - s + t * s, 1.0 - ratio),
        jnp.where(near, (1.0 - t) * (s + t / (1.0 + t)), ratio - 1.0 / (1.0 + far)),
    )


#: Stirling's series of log gamma in v = 1/z: coefficients of v, v^3, ..., good to float64 for z >= _SHIFT.
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_SHIFT = 8


@partial(jax.jit, static_argnums=1)
def _stirling(v: jax.Array, order: int) -> jax.Array:
    """(v d/dv)^order of log gamma(z) - (z - 1/2) log z + z - log(2 pi) / 2 for v = 1 / z."""
    total = jnp.zeros_like(v)
    for k in range(len(_STIRLING) - 1, -1, -1):
        total = total * v * v + _STIRLING[k] * (2 * k + 1) ** order
    return total * v


class _Rising:
    """What the value and both derivatives of :func:`log_rising` share."""

    def __init__(self, y: jax.Array, log_alpha: jax.Array):
        self.y, self.alpha = y, jnp.exp(log_alpha)
        self.c = 1.0 / (1.0 + _SHIFT * self.alpha)
        self.v = self.alpha * self.c
        self.x = self.v * y
        self.d = 1.0 / (1.0 + self.x)
        self.u = self.v * self.d
        self.steps = [1.0 / (1.0 + j * self.alpha) for j in range(_SHIFT)]
        self.rest = [1.0 / (1.0 + j * self.alpha + self.alpha * y) for j in range(_SHIFT)]


@jax.custom_jvp
def log_rising(y: jax.Array, log_alpha: jax.Array) -> jax.Array:
    """log of (1)(1 + alpha)...(1 + (y - 1) alpha) = log gamma(y + r) - log gamma(r) - y log r with r = 1 / alpha.

    For y >= 0, also between whole numbers. It is 0 at alpha = 0, where differences of log gammas have no digits left.
    Elementary functions only; the derivatives in log alpha are written out, so that they keep their digits and compile
    quickly.
    Method: recurrence to r + 8, then Stirling's series of both log gammas with their leading terms taken together.
    """
    g = _Rising(y, log_alpha)
    ratio, gap, _ = _log1p_parts(g.x)
    body = y * (g.x * ratio - gap) - 0.5 * jnp.log1p(g.x) + _stirling(g.u, 0) - _stirling(g.v, 0)
    factors = [1.0 + g.alpha * y * step for step in g.steps]
    half = _SHIFT // 2
    # Two products, so that float32 does not overflow.
    shift = sum(jnp.log(math.prod(part[1:], start=part[0])) for part in (factors[:half], factors[half:]))
    return y * jnp.log1p(_SHIFT * g.alpha) + body - shift


def _log_rising_in_y(y: jax.Array, log_alpha: jax.Array) -> jax.Array:
    """Derivative of :func:`log_rising` in y."""
    g = _Rising(y, log_alpha)
    shift = sum(g.alpha * rest for rest in g.rest)
    return jnp.log1p(_SHIFT * g.alpha) + jnp.log1p(g.x) - 0.5 * g.u - g.u * _stirling(g.u, 1) - shift


def tangent(*terms):
    """Sum of slope times tangent over the arguments that vary; slopes of the others are not even traced."""
    parts = [slope() * d for d, slope in terms if type(d) is not jax.custom_derivatives.SymbolicZero]
    return sum(parts[1:], parts[0])


@jax.custom_jvp
def log1p_over(mu: jax.Array, log_alpha: jax.Array) -> jax.Array:
    """log(1 + alpha mu) / alpha for mu, alpha >= 0; mu at alpha = 0.

    Value and derivatives share one logarithm and one quotient.
    """
    return mu * _log1p_parts(exp_apart(log_alpha) * mu)[0]


@jax.custom_jvp
def _log1p_excess(mu: jax.Array, log_alpha: jax.Array) -> jax.Array:
    """Minus the derivative of :func:`log1p_over` in log alpha."""
    return mu * _log1p_parts(exp_apart(log_alpha) * mu)[2]


def exp_apart(x: jax.Array) -> jax.Array:
    """exp(x), which XLA does not join with the exponential that it is multiplied by into another one for each row."""
    return jax.lax.optimization_barrier(jnp.exp(x))


def _log1p_over_jvp(primals, tangents):
    (mu, t), (dmu, dt) = primals, tangents
    slope = 1.0 / (1.0 + exp_apart(t) * mu)
    return log1p_over(mu, t), tangent((dmu, lambda: slope), (dt, lambda: -_log1p_excess(mu, t)))


def _log1p_excess_jvp(primals, tangents):
    (mu, t), (dmu, dt) = primals, tangents
    value, x = _log1p_excess(mu, t), exp_apart(t) * mu
    bend = x * (1.0 / (1.0 + x)) ** 2
    return value, tangent((dmu, lambda: bend), (dt, lambda: mu * bend - value))


log1p_over.defjvp(_log1p_over_jvp, symbolic_zeros=True)
_log1p_excess.defjvp(_log1p_excess_jvp, symbolic_zeros=True)


def _log_rising_jvp(primals, tangents):
    (y, log_alpha), (dy, dt) = primals, tangents
    return log_rising(y, log_alpha), tangent(
        (dt, lambda: _rising_slope(y, log_alpha)), (dy, lambda: _log_rising_in_y(y, log_alpha))
    )


log_rising.defjvp(_log_rising_jvp, symbolic_zeros=True)


@jax.custom_jvp
def _rising_slope(y: jax.Array, log_alpha: jax.Array) -> jax.Array:
    """Derivative of :func:`log_rising` in log alpha."""
    g = _Rising(y, log_alpha)
    ends = _stirling(g.u, 1) * g.d - _stirling(g.v, 1)
    body = y * (_SHIFT * g.v) + g.c * (y * _log1p_parts(g.x)[1] - 0.5 * g.x * g.d + ends)
    return body - sum(g.alpha * y * step * rest for step, rest in zip(g.steps, g.rest, strict=True))


def _rising_slope_jvp(primals, tangents):
    (y, log_alpha), (dy, dt) = primals, tangents
    return _rising_slope(y, log_alpha), tangent(
        (dt, lambda: _rising_bend(y, log_alpha)),
        (dy, lambda: jax.grad(_log_rising_in_y, argnums=1)(y, log_alpha)),
    )


_rising_slope.defjvp(_rising_slope_jvp, symbolic_zeros=True)


def _rising_bend(y: jax.Array, log_alpha: jax.Array) -> jax.Array:
    """Second derivative of :func:`log_rising` in log alpha."""
    g = _Rising(y, log_alpha)
    _, gap, moment = _log1p_parts(g.x)
    ends = _stirling(g.u, 1) * g.d - _stirling(g.v, 1)
    lost = _SHIFT * g.v * (y * (1.0 - gap) + 0.5 * g.x * g.d - ends)
    bent = (_stirling(g.u, 2) - _stirling(g.u, 1) * g.x - 0.5 * g.x) * g.d * g.d - _stirling(g.v, 2)
    body = g.c * lost + g.c * g.c * (y * moment + bent)
    terms = zip(g.steps, g.rest, strict=True)
    return body - sum(g.alpha * y * step * rest * (step + rest - 1.0) for step, rest in terms)
