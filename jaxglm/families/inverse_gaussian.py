"""The inverse Gaussian family."""

from __future__ import annotations

import math
from dataclasses import field

import jax
import jax.numpy as jnp

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
    dispersion_known = False
    mean_range = "positive"
    canonical = InverseSquared
    support_text = "numbers > 0"

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        precision = 1.0 / self.link.inverse(eta[0])
        return (0.5 * y * precision - 1.0) * precision

    def mean(self, eta, aux: Aux) -> jax.Array:
        return self.link.inverse(eta[0])

    def variance(self, mu, aux: Aux) -> jax.Array:
        return mu**3

    def unit_deviance(self, y, eta, aux: Aux) -> jax.Array:
        mu = self.link.inverse(eta[0])
        return ((y - mu) / mu) ** 2 / y

    def logpdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return -0.5 * (math.log(2 * math.pi) + jnp.log(phi * y**3) + self.unit_deviance(y, eta, aux) / phi)

    def support(self, y, aux: Aux) -> jax.Array:
        return jnp.isfinite(y) & (y > 0)

    def start(self, y, aux: Aux, center) -> jax.Array:
        return self.link.link(inside(y, 1e-3 * center))[None]
