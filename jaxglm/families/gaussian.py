"""The Gaussian (normal) family."""

from __future__ import annotations

import math
from dataclasses import field

import jax
import jax.numpy as jnp

from jaxglm import numerics
from jaxglm.families.base import Aux, Family, inside
from jaxglm.links import Identity, Link
from jaxglm.tree import pytree


@pytree
class Gaussian(Family):
    """Normal response with constant variance phi.

    Parameters
    ----------
    link : Link, default Identity

    Examples
    --------
    >>> import jaxglm as jg
    >>> print(jg.Gaussian())
    Gaussian(identity)
    """

    link: Link = field(default_factory=Identity)

    name = "gaussian"
    variance_power = 0.0
    dispersion_known = False
    prior_divides_phi = True
    profiled = True

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        return 0.5 * (y - self.link.inverse(eta[0])) ** 2

    def variance(self, mu, eta, aux: Aux) -> jax.Array:
        return jnp.ones_like(mu)

    def unit_deviance(self, y, eta, aux: Aux) -> jax.Array:
        return (y - self.link.inverse(eta[0])) ** 2

    def logpdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return -0.5 * (math.log(2 * math.pi) + jnp.log(phi) + (y - self.link.inverse(eta[0])) ** 2 / phi)

    def cdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return numerics.ndtr((y - self.link.inverse(eta[0])) / jnp.sqrt(phi))

    def sf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return numerics.ndtr((self.link.inverse(eta[0]) - y) / jnp.sqrt(phi))

    def sample(self, key, eta, phi, aux: Aux) -> jax.Array:
        return self.link.inverse(eta[0]) + jnp.sqrt(phi) * jax.random.normal(key, dtype=eta.dtype)

    @property
    def quadratic(self) -> bool:
        return self.is_canonical

    def llf_from_deviance(self, deviance, count, log_prior) -> float:
        if deviance == 0.0:
            return math.inf
        return 0.5 * (log_prior - count * (math.log(2 * math.pi * deviance / count) + 1.0))

    def support(self, y, aux: Aux) -> jax.Array:
        return jnp.isfinite(y)

    def start(self, y, aux: Aux, center) -> jax.Array:
        if self.link.valid_eta == "real" and self.link.range == "real":
            return self.link.link(y)[None]
        return self.link.link(inside(y, center))[None]
