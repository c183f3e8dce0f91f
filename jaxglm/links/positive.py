"""Links for a positive mean."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxglm import numerics
from jaxglm.links.base import Link
from jaxglm.tree import pytree


@pytree
class Log(Link):
    """eta = log(mu). exp(coefficient) is a ratio of means (rate ratio)."""

    name = "log"
    range = "positive"
    recedes = (True, True)

    def link(self, mu: jax.Array) -> jax.Array:
        return jnp.log(mu)

    def inverse(self, eta: jax.Array) -> jax.Array:
        return jnp.exp(eta)

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return jnp.asarray(eta)

    def complement(self, eta: jax.Array) -> jax.Array:
        return -jnp.expm1(eta)

    def log_complement(self, eta: jax.Array) -> jax.Array:
        return numerics.log1mexp(eta)


@pytree
class InverseSquared(Link):
    """eta = 1 / mu^2, the canonical link of the inverse Gaussian family; eta > 0."""

    name = "inverse_squared"
    range = "positive"
    valid_eta = "positive"

    def link(self, mu: jax.Array) -> jax.Array:
        return 1.0 / (mu * mu)

    def inverse(self, eta: jax.Array) -> jax.Array:
        return 1.0 / jnp.sqrt(eta)

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return -0.5 * jnp.log(eta)


@pytree
class Sqrt(Link):
    """eta = sqrt(mu); eta > 0, as in R."""

    name = "sqrt"
    range = "positive"
    valid_eta = "positive"

    def link(self, mu: jax.Array) -> jax.Array:
        return jnp.sqrt(mu)

    def inverse(self, eta: jax.Array) -> jax.Array:
        return eta * eta

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return 2.0 * jnp.log(eta)
