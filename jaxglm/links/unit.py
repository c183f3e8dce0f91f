"""Links for a mean between 0 and 1."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri

from jaxglm import numerics
from jaxglm.links.base import Link
from jaxglm.links.logistic import logistic_loss
from jaxglm.tree import pytree


@pytree
class Logit(Link):
    """eta = log(mu / (1 - mu)). exp(coefficient) is an odds ratio."""

    name = "logit"
    on_host = True
    range = "unit"
    recedes = (True, True)

    def link(self, mu: jax.Array) -> jax.Array:
        xp = numerics.namespace(mu)
        return xp.log(mu) - xp.log1p(-mu)

    def inverse(self, eta: jax.Array) -> jax.Array:
        return numerics.sigmoid(eta)

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return -numerics.softplus(-eta)

    def complement(self, eta: jax.Array) -> jax.Array:
        return numerics.sigmoid(-eta)

    def log_complement(self, eta: jax.Array) -> jax.Array:
        return -numerics.softplus(eta)

    def loss(self, y: jax.Array, eta: jax.Array) -> jax.Array:
        return logistic_loss(y, eta)


@pytree
class Probit(Link):
    """eta = the standard normal quantile of mu."""

    name = "probit"
    range = "unit"
    recedes = (True, True)

    def link(self, mu: jax.Array) -> jax.Array:
        return ndtri(mu)

    def inverse(self, eta: jax.Array) -> jax.Array:
        return numerics.ndtr(eta)

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return numerics.log_ndtr(eta)

    def complement(self, eta: jax.Array) -> jax.Array:
        return numerics.ndtr(-eta)

    def log_complement(self, eta: jax.Array) -> jax.Array:
        return numerics.log_ndtr(-eta)


@pytree
class CLogLog(Link):
    """eta = log(-log(1 - mu)). exp(coefficient) is a hazard ratio in grouped survival times."""

    name = "cloglog"
    on_host = True
    range = "unit"
    recedes = (True, True)

    def link(self, mu: jax.Array) -> jax.Array:
        xp = numerics.namespace(mu)
        return xp.log(-xp.log1p(-mu))

    def inverse(self, eta: jax.Array) -> jax.Array:
        return numerics.expm1exp(eta)

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return numerics.log1mexpexp(eta)

    def complement(self, eta: jax.Array) -> jax.Array:
        return jnp.exp(-jnp.exp(eta))

    def log_complement(self, eta: jax.Array) -> jax.Array:
        return -jnp.exp(eta)


@pytree
class LogLog(Link):
    """eta = -log(-log(mu)), the complementary log-log link of the opposite outcome with the sign turned."""

    name = "loglog"
    on_host = True
    range = "unit"
    recedes = (True, True)

    def link(self, mu: jax.Array) -> jax.Array:
        xp = numerics.namespace(mu)
        return -xp.log(-xp.log(mu))

    def inverse(self, eta: jax.Array) -> jax.Array:
        return jnp.exp(-jnp.exp(-eta))

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return -jnp.exp(-eta)

    def complement(self, eta: jax.Array) -> jax.Array:
        return numerics.expm1exp(-eta)

    def log_complement(self, eta: jax.Array) -> jax.Array:
        return numerics.log1mexpexp(-eta)


@pytree
class Cauchit(Link):
    """eta = the standard Cauchy quantile of mu; outliers in eta weigh less than under logit or probit."""

    name = "cauchit"
    on_host = True
    range = "unit"
    recedes = (True, True)

    def link(self, mu: jax.Array) -> jax.Array:
        # Each half from its own end: tan(pi mu) loses the digits of 1 - mu.
        xp, upper = numerics.namespace(mu), mu > 0.5
        size = 1.0 / xp.tan(xp.pi * xp.where(upper, 1.0 - mu, mu))
        return xp.where(upper, size, -size)

    def inverse(self, eta: jax.Array) -> jax.Array:
        return jnp.arctan2(1.0, -eta) / jnp.pi

    def complement(self, eta: jax.Array) -> jax.Array:
        return jnp.arctan2(1.0, eta) / jnp.pi
