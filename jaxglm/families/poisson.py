"""The Poisson family."""

from __future__ import annotations

from dataclasses import field

import jax
import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaincc

from jaxglm import numerics
from jaxglm.families.base import Aux, Family, off_zero
from jaxglm.links import Link, Log
from jaxglm.tree import pytree


@pytree
class Poisson(Family):
    """Counts with variance equal to the mean.

    Any y >= 0 is accepted; for values that are not whole numbers the fit is a
    quasi-likelihood fit (robust standard errors are then advisable).

    Parameters
    ----------
    link : Link, default Log
    """

    link: Link = field(default_factory=Log)

    name = "poisson"
    variance_power = 1.0
    mean_range = "positive"
    mean_fixes_variance = True
    canonical = Log
    support_text = "numbers >= 0 (counts)"
    counted = True
    pools = True

    def _y_log_mean(self, y, eta) -> jax.Array:
        # Where y = 0 the log is not wanted: it is -inf at mu = 0.
        return numerics.times(y, self.link.log_inverse(jnp.where(y == 0, jax.lax.stop_gradient(eta), eta)))

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        return self.link.inverse(eta[0]) - self._y_log_mean(y, eta[0])

    def variance(self, mu, eta, aux: Aux) -> jax.Array:
        return mu

    def unit_deviance(self, y, eta, aux: Aux) -> jax.Array:
        mu = self.link.inverse(eta[0])
        ratio = numerics.times(y, numerics.log_count(y) - self.link.log_inverse(eta[0]))
        return 2.0 * (ratio - (y - mu))

    def logpdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return self._y_log_mean(y, eta[0]) - self.link.inverse(eta[0]) - numerics.log_factorial(y)

    def cdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        count = jnp.floor(y)
        return jnp.where(count < 0, 0.0, gammaincc(jnp.maximum(count, 0.0) + 1.0, self.link.inverse(eta[0])))

    def sf(self, y, eta, phi, aux: Aux) -> jax.Array:
        count = jnp.floor(y)
        return jnp.where(count < 0, 1.0, gammainc(jnp.maximum(count, 0.0) + 1.0, self.link.inverse(eta[0])))

    def below(self, y, aux: Aux) -> jax.Array:
        return jnp.ceil(y) - 1.0

    def sample(self, key, eta, phi, aux: Aux) -> jax.Array:
        return jax.random.poisson(key, self.link.inverse(eta[0])).astype(eta.dtype)

    def support(self, y, aux: Aux) -> jax.Array:
        return jnp.isfinite(y) & (y >= 0)

    def interior(self, y) -> jax.Array:
        return off_zero(y)

    def start(self, y, aux: Aux, center) -> jax.Array:
        return self.link.link(y + 0.1)[None]

    def boundary(self, y, aux: Aux) -> jax.Array:
        stays = jnp.zeros_like(y)
        return jnp.where(y == 0, -1.0, stays) if self.link.recedes[0] else stays
