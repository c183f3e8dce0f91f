"""Links for a mean that may be any real number."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxglm.links.base import Link
from jaxglm.numerics import namespace
from jaxglm.tree import pytree


@pytree
class Identity(Link):
    """eta = mu. Coefficients are differences of means.

    Examples
    --------
    >>> import jaxglm as jg
    >>> float(jg.links.Identity().inverse(2.0))
    2.0
    """

    name = "identity"
    on_host = True

    def link(self, mu: jax.Array) -> jax.Array:
        return namespace(mu).asarray(mu)

    def inverse(self, eta: jax.Array) -> jax.Array:
        return jnp.asarray(eta)


@pytree
class Inverse(Link):
    """eta = 1 / mu, the canonical link of the Gamma family."""

    name = "inverse"
    on_host = True
    valid_eta = "nonzero"

    def link(self, mu: jax.Array) -> jax.Array:
        return 1.0 / mu

    def inverse(self, eta: jax.Array) -> jax.Array:
        return 1.0 / eta

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return -jnp.log(eta)
