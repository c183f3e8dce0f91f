"""Integrals of one row by the double exponential rule."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


class Rule:
    """The rule of Takahasi and Mori (1974) with a step: nodes are kept as distances from the nearer end of (0, 1)."""

    def __init__(self, step: float):
        count = round(4.25 / step)
        points = step * np.arange(-count, count + 1)
        self.lower = points < 0
        self.distance = 1.0 / (1.0 + np.exp(np.pi * np.abs(np.sinh(points))))
        self.weight = step * np.pi * np.cosh(points) * self.distance * (1.0 - self.distance)

    def nodes(self, a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Nodes between a and b and their weights, 1-d; a > b gives negative weights.

        Ends where the integrand has an integrable singularity are approached without being reached, up to the
        rounding of a and b themselves.
        """
        length = b - a
        distance, weight = (part.astype(length.dtype) for part in (self.distance, self.weight))
        inward = length * distance
        return jnp.where(self.lower, a + inward, b - inward), length * weight


#: 137 nodes, for integrands with singularities at the ends or beyond them.
COARSE = Rule(0.0625)
#: 273 nodes, for integrands that turn sharply in between.
FINE = Rule(0.03125)


def integrate(function: Callable[[jax.Array], jax.Array], a: jax.Array, b: jax.Array) -> jax.Array:
    """Integral of a smooth scalar function from a to b, to about 1e-12 of its size.

    Between two positive numbers the integration is over log t, so that powers of t cost no digits however far apart
    they are. Values that are not finite count as 0: they are the ends, reached by rounding.
    """
    logs = (a > 0) & (b > 0)
    low, high = (jnp.where(logs, jnp.log(jnp.where(logs, end, 1.0)), end) for end in (a, b))
    t, weight = COARSE.nodes(low, high)
    t = jnp.where(logs, jnp.exp(jnp.where(logs, t, 0.0)), t)
    value = jax.vmap(function)(t) * jnp.where(logs, t, 1.0)
    return jnp.sum(weight * jnp.where(jnp.isfinite(value), value, 0.0))
