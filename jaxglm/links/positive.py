"""Links for a positive mean."""

from __future__ import annotations

import math
import numbers

import jax
import jax.numpy as jnp

from jaxglm import numerics
from jaxglm.errors import InputError, InputTypeError
from jaxglm.links.base import Link
from jaxglm.tree import pytree


@pytree
class Log(Link):
    """eta = log(mu). exp(coefficient) is a ratio of means (rate ratio)."""

    name = "log"
    on_host = True
    range = "positive"
    multiplicative = True
    recedes = (True, True)

    def link(self, mu: jax.Array) -> jax.Array:
        return numerics.namespace(mu).log(mu)

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
    on_host = True
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
    on_host = True
    range = "positive"
    valid_eta = "positive"

    def link(self, mu: jax.Array) -> jax.Array:
        return numerics.namespace(mu).sqrt(mu)

    def inverse(self, eta: jax.Array) -> jax.Array:
        return eta * eta

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return 2.0 * jnp.log(eta)


@pytree
class Power(Link):
    """eta = mu^p with eta > 0, as R's ``power(p)``.

    Parameters
    ----------
    p : float, not 0
        The limit p = 0 is the log link. Other values of p need no new compilation.

    Raises
    ------
    InputError, InputTypeError
        p is 0, not finite or not a number.

    Examples
    --------
    >>> import jaxglm as jg
    >>> print(jg.Gamma(link=jg.links.Power(1 / 3)))
    Gamma(power(0.3333))
    """

    p: float

    name = "power"
    on_host = True
    range = "positive"
    valid_eta = "positive"

    def __post_init__(self):
        if isinstance(self.p, (str, bool)) or self.p is None:
            raise InputTypeError(f"the exponent of a power link must be a number, not {self.p!r}")
        if isinstance(self.p, numbers.Real) and (self.p == 0 or not math.isfinite(self.p)):
            instead = "; mu^0 is the log link: use jg.links.Log()" if self.p == 0 else ""
            raise InputError(f"the exponent of a power link must be a finite number other than 0{instead}")

    def link(self, mu: jax.Array) -> jax.Array:
        return mu**self.p

    def inverse(self, eta: jax.Array) -> jax.Array:
        return eta ** (1.0 / self.p)

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return jnp.log(eta) / self.p

    def __str__(self) -> str:
        return f"power({self.p:.4g})"
