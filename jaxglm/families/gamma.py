"""The Gamma family."""

from __future__ import annotations

from dataclasses import field

import jax
import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaincc, gammaln

from jaxglm.families.base import Aux, Family, inside
from jaxglm.links import Inverse, Link, Log
from jaxglm.tree import pytree


@pytree
class Gamma(Family):
    """Positive response with variance phi mu^2 (constant coefficient of variation).

    Parameters
    ----------
    link : Link, default Inverse (as in R); Log is the usual choice in practice
    """

    link: Link = field(default_factory=Inverse)

    name = "gamma"
    variance_power = 2.0
    dispersion_known = False
    mean_range = "positive"
    canonical = Inverse
    support_text = "numbers > 0"

    @property
    def steady(self) -> bool:
        return isinstance(self.link, Log)

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        return y / self.link.inverse(eta[0]) + self.link.log_inverse(eta[0])

    def variance(self, mu, eta, aux: Aux) -> jax.Array:
        return mu * mu

    def unit_deviance(self, y, eta, aux: Aux) -> jax.Array:
        excess = (y - self.link.inverse(eta[0])) / self.link.inverse(eta[0])
        return 2.0 * (excess - jnp.log1p(excess))

    def logpdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        shape = 1.0 / phi
        scaled = shape * (jnp.log(shape) - self.link.log_inverse(eta[0]))
        return scaled + (shape - 1.0) * jnp.log(y) - shape * y / self.link.inverse(eta[0]) - gammaln(shape)

    def cdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return gammainc(1.0 / phi, y / (phi * self.link.inverse(eta[0])))

    def sf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return gammaincc(1.0 / phi, y / (phi * self.link.inverse(eta[0])))

    def sample(self, key, eta, phi, aux: Aux) -> jax.Array:
        return phi * self.link.inverse(eta[0]) * jax.random.gamma(key, 1.0 / phi, dtype=eta.dtype)

    def support(self, y, aux: Aux) -> jax.Array:
        return jnp.isfinite(y) & (y > 0)

    def start(self, y, aux: Aux, center) -> jax.Array:
        return self.link.link(inside(y, 1e-3 * center))[None]
