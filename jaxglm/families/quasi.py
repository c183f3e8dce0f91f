"""Quasi-likelihood families: a mean and a variance, no distribution."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import field
from functools import partial

import jax
import jax.numpy as jnp

from jaxglm import numerics, precision
from jaxglm.errors import InputError, InputTypeError
from jaxglm.families.base import Aux, Family
from jaxglm.families.binomial import Binomial
from jaxglm.families.poisson import Poisson
from jaxglm.links import Identity, Link
from jaxglm.quadrature import integrate
from jaxglm.tree import pytree, static


class _NoDistribution:
    """Takes away what needs a distribution; as in R the log-likelihood and the AIC are NaN."""

    dispersion_known, mean_fixes_variance = False, False
    logpdf, cdf, sf, below, sample = Family.logpdf, Family.cdf, Family.sf, Family.below, Family.sample


@pytree
class QuasiPoisson(_NoDistribution, Poisson):
    """Counts with variance phi mu: the estimates of Poisson, standard errors times sqrt(phi).

    Parameters
    ----------
    link : Link, default Log
    """

    name = "quasipoisson"
    support_text = "numbers >= 0"


@pytree
class QuasiBinomial(_NoDistribution, Binomial):
    """Proportions with variance phi mu (1 - mu) / trials: the estimates of binomial, standard errors times sqrt(phi).

    Parameters
    ----------
    link : Link, default Logit
    """

    name = "quasibinomial"


@pytree
class Quasi(Family):
    """A mean and a variance function of your own, without a distribution (Wedderburn 1974).

    The score (y - mu) / V(mu) is exact; the quasi-likelihood, its integral from y to mu, comes from quadrature and
    gives the deviance. Log-likelihood and AIC are NaN, as in R.

    Parameters
    ----------
    variance : callable
        V(mu) of a scalar mean, made of ``jax.numpy`` functions; positive for every mean the model may have. Compiled
        code is kept for it by its identity: define it once, fit often.
    link : Link, default Identity (as in R)

    Raises
    ------
    InputError, InputTypeError
        Not a function, or one that fails or is not positive at a mean of 0.5.

    Examples
    --------
    >>> import jaxglm as jg
    >>> leaf_blotch = jg.Quasi(variance=lambda mu: (mu * (1 - mu)) ** 2, link="logit")
    >>> print(leaf_blotch)
    Quasi(logit)
    """

    function: Callable = static()
    link: Link = field(default_factory=Identity)

    name = "quasi"
    dispersion_known = False
    canonical = None

    def __init__(self, variance: Callable, link: Link | str | None = None):
        object.__setattr__(self, "function", _checked(variance))
        object.__setattr__(self, "link", Identity() if link is None else link)

    def with_link(self, link: Link) -> Quasi:
        # Its function was checked before, and cannot be while a user's code is traced.
        made = copy.copy(self)
        object.__setattr__(made, "link", link)
        return made

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        # Where V(y) = 0 the integral may diverge at y; any other lower end gives the same up to terms free of eta.
        mu = self.link.inverse(eta[0])
        lower = jnp.where(self.function(y) > 0, y, y + 1e-10 * jnp.sign(mu - y))
        return _loss(self.function, y, jax.lax.stop_gradient(lower), mu)

    def variance(self, mu, eta, aux: Aux) -> jax.Array:
        return self.function(mu)

    def unit_deviance(self, y, eta, aux: Aux) -> jax.Array:
        mu = self.link.inverse(eta[0])
        # With y = 0 and a variance that falls like mu^2 or faster no mean fits as well as y itself.
        tiny = float(jnp.finfo(mu.dtype).tiny) ** 0.49 * mu
        diverges = (y == 0) & (tiny * tiny > 1e-3 * jnp.abs(self.function(tiny)))
        return jnp.where(diverges, jnp.inf, jnp.maximum(2.0 * _loss(self.function, y, y, mu), 0.0))

    def start(self, y, aux: Aux, center) -> jax.Array:
        # Off the ends of the range, where the variance may vanish.
        return self.link.link(0.9 * y + 0.1 * center)[None]

    def valid(self, eta: jax.Array) -> jax.Array:
        return super().valid(eta) & (self.function(self.link.inverse(eta[0])) > 0)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _loss(variance: Callable, y: jax.Array, lower: jax.Array, mu: jax.Array) -> jax.Array:
    """Integral of (t - y) / V(t) from `lower` to mu; differentiable in y and mu, with `lower` fixed or equal to y."""
    return integrate(lambda t: (t - y) / variance(t), lower, mu)


def _loss_jvp(variance, primals, tangents):
    (y, lower, mu), (dy, _, dmu) = primals, tangents
    return _loss(variance, y, lower, mu), numerics.tangent(
        (dmu, lambda: (mu - y) / variance(mu)), (dy, lambda: -_span(variance, lower, mu))
    )


_loss.defjvp(_loss_jvp, symbolic_zeros=True)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _span(variance: Callable, lower: jax.Array, mu: jax.Array) -> jax.Array:
    """Integral of 1 / V(t) from `lower` to mu."""
    return integrate(lambda t: 1.0 / variance(t), lower, mu)


@_span.defjvp
def _span_jvp(variance, primals, tangents):
    (lower, mu), (dlower, dmu) = primals, tangents
    return _span(variance, lower, mu), dmu / variance(mu) - dlower / variance(lower)


def _checked(variance: Callable) -> Callable:
    if not callable(variance):
        raise InputTypeError(
            f"variance must be a function of the mean such as lambda mu: mu**2, not {variance!r}; "
            "for constant times mu use jg.QuasiPoisson()"
        )
    try:
        with precision.scope():
            value = precision.quickly(variance)(0.5)
    except Exception as problem:
        raise InputError(
            f"variance fails at a mean of 0.5 ({type(problem).__name__}: {str(problem).splitlines()[0]}); write it "
            "with jax.numpy functions of one number"
        ) from problem
    if jnp.shape(value) != () or not float(value) > 0:
        raise InputError(f"variance must give one positive number for a mean of 0.5, not {value}")
    return variance
