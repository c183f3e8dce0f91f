"""The loss of logistic rows, whose value, slope and curvature share one exponential and have no branch."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxglm import numerics

#: log(1 + z) = 2 s q(s^2) with s = z / (2 + z): coefficients of q, right to 4e-20 for 0 <= z <= 1.
_LOG1P = (
    1.0, 0.3333333333333334, 0.19999999999996435, 0.14285714286311463, 0.11111111059551837, 0.09090911711247626,
    0.07692223530229984, 0.06668438407871918, 0.05857637334055213, 0.05488308318973747, 0.03490195249166216,
    0.08244142965694784,
)  # fmt: skip


def _log1p_unit(z: jax.Array) -> jax.Array:
    """log(1 + z) for 0 <= z <= 1, as operations that a CPU does for several rows at once."""
    s = z / (2.0 + z)
    t, value = s * s, _LOG1P[-1]
    for coefficient in _LOG1P[-2::-1]:
        value = value * t + coefficient
    return 2.0 * s * value


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The logistic function of x and of -x, by one exponential."""
    z = jnp.exp(-jnp.abs(x))
    large = 1.0 / (1.0 + z)
    small = z * large
    up = x >= 0
    return jnp.where(up, large, small), jnp.where(up, small, large)


@jax.custom_jvp
def logistic_loss(y: jax.Array, x: jax.Array) -> jax.Array:
    """-(y log(p) + (1 - y) log(1 - p)) with p = 1 / (1 + exp(-x)).

    Value, slope and curvature share one exponential.
    """
    rest = jnp.where(x > 0, numerics.times(1.0 - y, x), numerics.times(-y, x))
    return rest + _log1p_unit(jnp.exp(-jnp.abs(x)))


@logistic_loss.defjvp
def _logistic_loss_jvp(primals, tangents):
    (y, x), (dy, dx) = primals, tangents
    return logistic_loss(y, x), _logistic_slope(y, x) * dx - x * dy


@jax.custom_jvp
def _logistic_slope(y: jax.Array, x: jax.Array) -> jax.Array:
    """Derivative of :func:`logistic_loss` in x."""
    p, q = _halves(x)
    return (1.0 - y) * p - y * q


@_logistic_slope.defjvp
def _logistic_slope_jvp(primals, tangents):
    (y, x), (dy, dx) = primals, tangents
    return _logistic_slope(y, x), _logistic_bend(x) * dx - dy


@jax.custom_jvp
def _logistic_bend(x: jax.Array) -> jax.Array:
    """p (1 - p)."""
    p, q = _halves(x)
    return p * q


@_logistic_bend.defjvp
def _logistic_bend_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return _logistic_bend(x), _logistic_bend(x) * (numerics.sigmoid(-x) - numerics.sigmoid(x)) * dx
