"""The binomial family."""

from __future__ import annotations

from dataclasses import field

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc, gammaln

from jaxglm import numerics
from jaxglm.families.base import Aux, Family, off_zero
from jaxglm.links import Link, Logit
from jaxglm.tree import pytree


def _entropy(y: jax.Array) -> jax.Array:
    """y log y + (1 - y) log(1 - y)."""
    successes = numerics.times(y, jnp.log(jnp.where(y > 0, y, 1.0)))
    return successes + numerics.times(1.0 - y, jnp.log1p(-jnp.where(y < 1, y, 0.0)))


#: Of outcomes that are 0 or 1 it is 0.
_entropy_of_outcomes = numerics.looked_up(_entropy, np.zeros(2))


@pytree
class Binomial(Family):
    """Proportion y of successes in ``aux["trials"]`` trials (1 when absent).

    With 0/1 responses this is logistic, probit, ... regression; with proportions
    and no trials it is the fractional model of Papke and Wooldridge (1996), whose
    log-likelihood is the Bernoulli quasi-likelihood.

    Parameters
    ----------
    link : Link, default Logit
    """

    link: Link = field(default_factory=Logit)

    name = "binomial"
    mean_range = "unit"
    mean_fixes_variance = True
    canonical = Logit
    support_text = "0/1, two labels, or proportions between 0 and 1"
    counted = True
    pools = True

    def _trials(self, aux: Aux) -> jax.Array | float:
        return aux.get("trials", 1.0)

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        return self._trials(aux) * self.link.loss(y, eta[0])

    def variance(self, mu, eta, aux: Aux) -> jax.Array:
        return mu * (1.0 - mu) / self._trials(aux)

    def expected(self, y, eta, aux: Aux) -> jax.Array:
        # 1 - mu comes from the link: where mu rounds to 1 the difference would be lost.
        mu = self.link.inverse(eta[0])
        complement = self.link.complement(eta[0])

        def nll(e):
            return -(mu * self.link.log_inverse(e[0]) + complement * self.link.log_complement(e[0]))

        return self._trials(aux) * jax.hessian(nll)(eta)

    def unit_deviance(self, y, eta, aux: Aux) -> jax.Array:
        loss = _entropy_of_outcomes(y) + self.link.loss(y, eta[0])
        return 2.0 * self._trials(aux) * jnp.maximum(loss, 0.0)

    def logpdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        if "trials" not in aux:
            return -self.link.loss(y, eta[0])
        n = self._trials(aux)
        count = n * y
        ways = gammaln(n + 1.0) - gammaln(count + 1.0) - gammaln(n - count + 1.0)
        # A single trial with a fractional outcome has no probability; its quasi-likelihood has no such constant.
        return -n * self.link.loss(y, eta[0]) + jnp.where(n == 1.0, 0.0, ways)

    def _tail(self, y, eta, aux: Aux, upper: bool) -> jax.Array:
        n, mu, rest = self._trials(aux), self.link.inverse(eta[0]), self.link.complement(eta[0])
        # Rounding of successes / trials must not lose a success.
        count = jnp.floor(n * y + 1e-6)
        inner = jnp.clip(count, 0.0, n - 1.0)
        value = betainc(inner + 1.0, n - inner, mu) if upper else betainc(n - inner, inner + 1.0, rest)
        return jnp.where(count < 0, float(upper), jnp.where(count >= n, 1.0 - upper, value))

    def cdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return self._tail(y, eta, aux, False)

    def sf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return self._tail(y, eta, aux, True)

    def below(self, y, aux: Aux) -> jax.Array:
        return y - 1.0 / self._trials(aux)

    def sample(self, key, eta, phi, aux: Aux) -> jax.Array:
        n = self._trials(aux)
        return jax.random.binomial(key, n, self.link.inverse(eta[0]), dtype=eta.dtype) / n

    def support(self, y, aux: Aux) -> jax.Array:
        return (y >= 0) & (y <= 1)

    def size(self, aux: Aux) -> jax.Array | float:
        return self._trials(aux)

    def interior(self, y) -> jax.Array:
        below = jax.lax.stop_gradient(jnp.where(y == 1, 0.5 * jnp.finfo(y.dtype).eps, 0.0))
        return off_zero(y) - below

    def start(self, y, aux: Aux, center) -> jax.Array:
        n = self._trials(aux)
        return self.link.link((n * y + 0.5) / (n + 1.0))[None]

    def boundary(self, y, aux: Aux) -> jax.Array:
        low = -1.0 if self.link.recedes[0] else 0.0
        # A log link reaches mu = 1 at the finite eta = 0.
        high = 1.0 if self.link.recedes[1] and self.link.range == "unit" else 0.0
        return jnp.where(y == 0, low, jnp.where(y == 1, high, jnp.zeros_like(y)))
