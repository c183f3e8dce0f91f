"""The inverse Gaussian family."""

from __future__ import annotations

import math
from dataclasses import field

import jax
import jax.numpy as jnp

from jaxglm import numerics
from jaxglm.families.base import Aux, Family, inside
from jaxglm.links import InverseSquared, Link
from jaxglm.tree import pytree


@pytree
class InverseGaussian(Family):
    """Positive, strongly skewed response with variance phi mu^3.

    Parameters
    ----------
    link : Link, default InverseSquared (as in R); Log is the usual choice in practice
    """

    link: Link = field(default_factory=InverseSquared)

    name = "inverse_gaussian"
    variance_power = 3.0
    dispersion_known = False
    mean_range = "positive"
    canonical = InverseSquared
    support_text = "numbers > 0"

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        precision = 1.0 / self.link.inverse(eta[0])
        return (0.5 * y * precision - 1.0) * precision

    def variance(self, mu, eta, aux: Aux) -> jax.Array:
        return mu**3

    def unit_deviance(self, y, eta, aux: Aux) -> jax.Array:
        mu = self.link.inverse(eta[0])
        return ((y - mu) / mu) ** 2 / y

    def logpdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return -0.5 * (math.log(2 * math.pi) + jnp.log(phi * y**3) + self.unit_deviance(y, eta, aux) / phi)

    def _tail(self, y, eta, phi, sign: float) -> jax.Array:
        mu = self.link.inverse(eta[0])
        root = 1.0 / jnp.sqrt(phi * y)
        # The second term is the reflected path; its factor alone would overflow.
        mirrored = jnp.exp(2.0 / (phi * mu) + numerics.log_ndtr(-root * (y / mu + 1.0)))
        return numerics.ndtr(sign * root * (y / mu - 1.0)) + sign * mirrored

    def cdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return self._tail(y, eta, phi, 1.0)

    def sf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return jnp.maximum(self._tail(y, eta, phi, -1.0), 0.0)

    def sample(self, key, eta, phi, aux: Aux) -> jax.Array:
        # Michael, Schucany and Haas (1976), with the smaller root written without cancellation.
        mu = self.link.inverse(eta[0])
        one, two = jax.random.split(key)
        c = mu * phi * jax.random.normal(one, dtype=eta.dtype) ** 2
        ratio = 1.0 / (1.0 + 0.5 * c + jnp.sqrt(c + 0.25 * c * c))
        first = jax.random.uniform(two, dtype=eta.dtype) * (1.0 + ratio) <= 1.0
        return mu * jnp.where(first, ratio, 1.0 / ratio)

    def support(self, y, aux: Aux) -> jax.Array:
        return jnp.isfinite(y) & (y > 0)

    def start(self, y, aux: Aux, center) -> jax.Array:
        return self.link.link(inside(y, 1e-3 * center))[None]
