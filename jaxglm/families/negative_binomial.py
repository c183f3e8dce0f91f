"""The negative binomial family."""

from __future__ import annotations

import math
import numbers
from dataclasses import field
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc, gammainc, gammaincc, gammaln

from jaxglm import numerics
from jaxglm.errors import InputError, InputTypeError
from jaxglm.families.base import Aux, Family, off_zero
from jaxglm.families.poisson import Poisson
from jaxglm.links import Link, Log
from jaxglm.tree import pytree


@pytree
class NegativeBinomial(Family):
    """Counts with variance mu + alpha mu^2 (NB2); alpha = 1 / theta of R's ``glm.nb``, size k = 1 / alpha.

    With `alpha` given there is one predictor. Without it alpha is estimated together with the mean, as a second
    predictor log(alpha) called "dispersion", which may have a formula of its own; alpha = 0 is Poisson.

    Parameters
    ----------
    alpha : float >= 0, optional
        Known dispersion; estimated when absent. Other values need no new compilation.
    link : Link, default Log

    Notes
    -----
    The expected information is that of MASS: expected for the mean, zero between mean and alpha, observed for
    alpha. ``information="observed"`` is the joint observed one of Stata and statsmodels.

    Raises
    ------
    InputError, InputTypeError
        alpha is negative, not finite or not a number.

    Examples
    --------
    >>> import jaxglm as jg
    >>> print(jg.NegativeBinomial(), jg.NegativeBinomial(alpha=0.5, link="sqrt"))
    NegativeBinomial(log) NegativeBinomial(sqrt, alpha=0.5)
    """

    alpha: Any = None
    link: Link = field(default_factory=Log)

    name = "negative_binomial"
    mean_range = "positive"
    canonical = None
    support_text = "numbers >= 0 (counts)"
    counted = True

    def __post_init__(self):
        if self.alpha is None:
            return
        if isinstance(self.alpha, (str, bool)) or not (
            isinstance(self.alpha, numbers.Real) or hasattr(self.alpha, "dtype")
        ):
            raise InputTypeError(f"alpha must be a number >= 0, or None to estimate it, not {self.alpha!r}")
        if isinstance(self.alpha, numbers.Real) and not (self.alpha >= 0 and math.isfinite(self.alpha)):
            raise InputError(
                f"alpha must be a finite number >= 0, not {self.alpha!r}; it is 1 / theta of R's negative.binomial()"
            )

    @property
    def predictors(self) -> tuple[str, ...]:
        """The mean, and log(alpha) where it is estimated."""
        return ("mean", "dispersion") if self.alpha is None else ("mean",)

    @property
    def linear_in_y(self) -> bool:
        """Only with alpha given."""
        return self.alpha is not None

    @property
    def limit(self) -> float | None:
        """log(alpha) of a distribution that is Poisson to rounding."""
        # alpha mu is below rounding of 1 for every mean up to some tens, and its square is no underflow in float32.
        return -35.0 if self.alpha is None else None

    def parameter(self, predictor: str) -> tuple[str, bool]:
        return "alpha", True

    def _alpha(self, eta) -> jax.Array:
        return numerics.exp_apart(eta[1]) if self.alpha is None else jnp.asarray(self.alpha, eta.dtype)

    def _log_alpha(self, eta) -> jax.Array:
        return eta[1] if self.alpha is None else jnp.log(jnp.asarray(self.alpha, eta.dtype))

    def _mean_part(self, y, eta) -> jax.Array:
        """What of the negative log-likelihood depends on the mean."""
        log_alpha = self._log_alpha(eta)
        mu = self.link.inverse(eta[0])
        log_mu = self.link.log_inverse(jnp.where(y == 0, jax.lax.stop_gradient(eta[0]), eta[0]))
        spread = numerics.log1p_over(mu, log_alpha)
        return spread + y * (self._alpha(eta) * spread) - numerics.times(y, log_mu)

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        value = self._mean_part(y, eta)
        return value if self.alpha is not None else value - numerics.log_rising(y, eta[1])

    def variance(self, mu, eta, aux: Aux) -> jax.Array:
        return mu + self._alpha(eta) * mu * mu

    def unit_deviance(self, y, eta, aux: Aux) -> jax.Array:
        spread = numerics.log1p_over(y, self._log_alpha(eta))
        at_y = spread + y * (self._alpha(eta) * spread)
        at_y -= y * numerics.log_count(y)
        return jnp.maximum(2.0 * (self._mean_part(y, eta) - at_y), 0.0)

    def logpdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        rising = numerics.log_rising(y, self._log_alpha(eta))
        return rising - self._mean_part(y, eta) - gammaln(y + 1.0)

    def _mean_curvature(self, eta) -> jax.Array:
        """Expected second derivative in the mean predictor."""
        mu, slope = jax.value_and_grad(self.link.inverse)(eta[0])
        # The slope of mu times that of its log, over 1 + alpha mu: no quotient of two numbers that may underflow.
        return slope * jax.grad(self.link.log_inverse)(eta[0]) / (1.0 + self._alpha(eta) * mu)

    def expected(self, y, eta, aux: Aux) -> jax.Array:
        mean = self._mean_curvature(eta)
        if self.alpha is not None:
            return mean[None, None]
        seen = jax.grad(jax.grad(lambda t: self.nll(y, jnp.stack([eta[0], t]), aux)))(eta[1])
        return jnp.diag(jnp.stack([mean, seen]))

    def expected_beside(self, seen, y, eta, aux: Aux) -> jax.Array:
        mean = self._mean_curvature(eta)
        return mean[None, None] if self.alpha is not None else jnp.diag(jnp.stack([mean, seen[1, 1]]))

    def scoring(self, y, eta, aux: Aux) -> jax.Array:
        mean = self._mean_curvature(eta)
        if self.alpha is not None:
            return mean[None, None]
        # The expected information of log alpha has no closed form. For alpha to 0 it is half the squared share of the
        # variance that is not Poisson; elsewhere it stays within 0.8 and a few times that.
        x = self._alpha(eta) * self.link.inverse(eta[0])
        return jnp.diag(jnp.stack([mean, 0.5 * (x / (1.0 + x)) ** 2]))

    @property
    def limiting(self) -> Family | None:
        """Poisson, where alpha is estimated."""
        return Poisson(self.link) if self.alpha is None else None

    @property
    def without_steps(self) -> Family | None:
        """The part with the mean; gamma functions of counts are products."""
        return _MeanPart(self.alpha, self.link) if self.alpha is None else None

    def step(self, j, last) -> jax.Array:
        return -jnp.log1p(j * jnp.exp(last))

    def _tail(self, y, eta, upper: bool) -> jax.Array:
        alpha, mu, count = self._alpha(eta), self.link.inverse(eta[0]), jnp.floor(y)
        k = jnp.maximum(count, 0.0) + 1.0
        poisson = alpha * mu < 1e-12
        r = 1.0 / jnp.where(poisson, 1.0, alpha)
        x = jnp.where(poisson, 1.0, alpha) * mu
        spread = betainc(k, r, x / (1.0 + x)) if upper else betainc(r, k, 1.0 / (1.0 + x))
        plain = gammainc(k, mu) if upper else gammaincc(k, mu)
        return jnp.where(count < 0, float(upper), jnp.where(poisson, plain, spread))

    def cdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return self._tail(y, eta, False)

    def sf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return self._tail(y, eta, True)

    def below(self, y, aux: Aux) -> jax.Array:
        return jnp.ceil(y) - 1.0

    def sample(self, key, eta, phi, aux: Aux) -> jax.Array:
        one, two = jax.random.split(key)
        alpha, mu = self._alpha(eta), self.link.inverse(eta[0])
        poisson = alpha * mu < 1e-12
        safe = jnp.where(poisson, 1.0, alpha)
        rate = jnp.where(poisson, mu, safe * mu * jax.random.gamma(one, 1.0 / safe, dtype=eta.dtype))
        return jax.random.poisson(two, rate).astype(eta.dtype)

    def support(self, y, aux: Aux) -> jax.Array:
        return jnp.isfinite(y) & (y >= 0)

    def interior(self, y) -> jax.Array:
        return off_zero(y)

    def start(self, y, aux: Aux, center) -> jax.Array:
        mean = self.link.link(y + 0.1)
        return mean[None] if self.alpha is not None else jnp.stack([mean, jnp.full_like(mean, self.limit)])

    def boundary(self, y, aux: Aux) -> jax.Array:
        stays = jnp.zeros_like(y)
        return jnp.where(y == 0, -1.0, stays) if self.link.recedes[0] else stays

    @property
    def title(self) -> str:
        return self.name if self.alpha is None else f"{self.name}, alpha = {self.alpha:.6g}"

    def __str__(self) -> str:
        known = "" if self.alpha is None else f", alpha={self.alpha:.6g}"
        return f"NegativeBinomial({self.link}{known})"


@pytree
class _MeanPart(NegativeBinomial):
    """What of it depends on the mean."""

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        return self._mean_part(y, eta)

    def logpdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return -self._mean_part(y, eta) - numerics.log_factorial(y)
