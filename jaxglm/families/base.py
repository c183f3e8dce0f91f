"""What a family is: the cost of one row, and what can be derived from its distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxglm.errors import NotAvailableError
from jaxglm.links import Identity, Link

Aux = dict[str, Any]


class Family(ABC):
    """Contract of a family: functions of *one row*, vectorized by the kernels.

    Every method takes scalars (`y`, the fields of `aux`) and `eta` of shape (K,),
    one entry a linear predictor, and returns a scalar. Negative log-likelihoods are
    in nats with dispersion 1. Subclasses are frozen dataclasses registered as
    pytrees: numbers are leaves, links and flags are static. Only :meth:`nll` must be
    written; what else is missing switches off what depends on it (:meth:`has`).

    Attributes
    ----------
    predictors : tuple of str
        Names of the K linear predictors; the first is that of the mean.
    dispersion_known : bool
        True when phi is 1 by definition; else it is estimated by Pearson chi2 / df.
    mean_range : "real", "positive" or "unit"
        Where the mean must lie (an open set).
    mean_fixes_variance : bool
        Whether the variance is a function of the mean with nothing left to estimate (binomial, Poisson); R then
        studentizes residuals by 1.
    canonical : type of Link, or None
        The link for which observed and expected information agree.
    linear_in_y : bool
        Whether the second derivative of `nll` is linear in y, so that its value at
        y = mean is its expectation (exponential dispersion families).
    pools : bool
        Whether `nll` itself is linear in y, so that of rows with the same predictors their mean response tells all.
    prior_divides_phi : bool
        How prior weights enter the log-likelihood that AIC uses, as in R: True if a
        row of weight w has dispersion phi / w, False if its log density counts w times.
    support_text : str
        The support of y in words, for messages.
    variance_power : float or None
        The p of a variance that is mu^p.
    counted : bool
        Whether y times its size is a whole number whose probability is exp(logpdf), where logpdf is there.
    profiled : bool
        Whether criteria that compare submodels take each at its own dispersion, as R's ``drop1`` does for the Gaussian
        family alone.
    limit : float or None
        Value of the last predictor at which the family has become a simpler one to rounding
        (Poisson within negative binomial); the fit starts there and may end there.
    """

    name: ClassVar[str]
    predictors: ClassVar[tuple[str, ...]] = ("mean",)
    dispersion_known: ClassVar[bool] = True
    mean_fixes_variance: ClassVar[bool] = False
    mean_range: ClassVar[str] = "real"
    canonical: ClassVar[type[Link] | None] = Identity
    linear_in_y: ClassVar[bool] = True
    pools: ClassVar[bool] = False
    prior_divides_phi: ClassVar[bool] = False
    support_text: ClassVar[str] = "any finite number"
    variance_power: ClassVar[float | None] = None
    counted: ClassVar[bool] = False
    profiled: ClassVar[bool] = False
    limit: ClassVar[float | None] = None
    link: Link

    @abstractmethod
    def nll(self, y: jax.Array, eta: jax.Array, aux: Aux) -> jax.Array:
        """Negative log-likelihood of one row in nats, up to terms free of eta, at phi = 1."""

    def mean(self, eta: jax.Array, aux: Aux) -> jax.Array:
        """Mean of y on the response scale."""
        return self.link.inverse(eta[0])

    def variance(self, mu: jax.Array, eta: jax.Array, aux: Aux) -> jax.Array:
        """Variance of y at phi = 1 where the mean is mu; eta gives what other predictors add."""
        return jnp.full_like(mu, jnp.nan)

    def unit_deviance(self, y: jax.Array, eta: jax.Array, aux: Aux) -> jax.Array:
        """Twice the log-likelihood lost against a perfect fit of this row, at phi = 1.

        It takes eta rather than mu so that it stays finite where mu rounds to the end of its range.
        """
        return jnp.full_like(y, jnp.nan)

    def logpdf(self, y: jax.Array, eta: jax.Array, phi: jax.Array, aux: Aux) -> jax.Array:
        """Log density or probability of y, all constants included."""
        return jnp.full_like(y, jnp.nan)

    def support(self, y: jax.Array, aux: Aux) -> jax.Array:
        """Whether y is a possible value."""
        return jnp.isfinite(y)

    def interior(self, y: jax.Array) -> jax.Array:
        """y moved off values at which :meth:`nll` leaves out terms, by less than rounding.

        Derivatives in y are taken there: a term of weight y = 0 may be left out of its value, not of its slope in y.
        """
        return y

    def start(self, y: jax.Array, aux: Aux, center: jax.Array) -> jax.Array:
        """Starting eta of one row, (K,); `center` is the weighted mean of all y.

        A family without it starts from the best constants.
        """
        return jnp.zeros(len(self.predictors))

    def cdf(self, y: jax.Array, eta: jax.Array, phi: jax.Array, aux: Aux) -> jax.Array:
        """Probability of a value <= y."""
        raise NotAvailableError(f"the {self.name} family has no distribution function")

    def sf(self, y: jax.Array, eta: jax.Array, phi: jax.Array, aux: Aux) -> jax.Array:
        """Probability of a value > y, written out where 1 - cdf would lose the upper tail."""
        return 1.0 - self.cdf(y, eta, phi, aux)

    def below(self, y: jax.Array, aux: Aux) -> jax.Array:
        """A number with cdf(number) = P(Y < y): y itself where y has no probability of its own."""
        return y

    def sample(self, key: jax.Array, eta: jax.Array, phi: jax.Array, aux: Aux) -> jax.Array:
        """One random y."""
        raise NotAvailableError(f"the {self.name} family has no distribution to draw from")

    def expected(self, y: jax.Array, eta: jax.Array, aux: Aux) -> jax.Array:
        """Expected second derivative of `nll` in eta, (K, K).

        `y` is there for parts that are left observed because their expectation has no closed form.
        """
        return jax.hessian(self.nll, argnums=1)(self.mean(eta, aux), eta, aux)

    def expected_beside(self, seen: jax.Array, y: jax.Array, eta: jax.Array, aux: Aux) -> jax.Array:
        """The same where the second derivative at y is at hand, so that what is left observed is not computed again."""
        return self.expected(y, eta, aux)

    def scoring(self, y: jax.Array, eta: jax.Array, aux: Aux) -> jax.Array:
        """Positive definite curvature for steps far from the optimum, (K, K)."""
        return self.expected(y, eta, aux)

    @property
    def limiting(self) -> Family | None:
        """The simpler family at :attr:`limit`, without the last predictor."""
        return None

    @property
    def without_steps(self) -> Family | None:
        """The family whose `nll` lacks a part that depends on a count and the last predictor alone, else None.

        That part is the sum of :meth:`step` over all whole numbers below the count, so that many rows with the same
        last predictor need it once for each number and not for each row. Scores and log densities lack it too.
        """
        return None

    def step(self, j: jax.Array, last: jax.Array) -> jax.Array:
        """What a count above j adds to `nll` where the last predictor is `last`, for :attr:`without_steps`."""
        return jnp.zeros_like(j)

    def size(self, aux: Aux) -> jax.Array | float:
        """Weight of the row in the mean of all y (the number of trials of a binomial row)."""
        return 1.0

    def boundary(self, y: jax.Array, aux: Aux) -> jax.Array:
        """-1 or +1 where `nll` falls for ever as the mean predictor goes to that infinity, else 0."""
        return jnp.zeros_like(y)

    def valid(self, eta: jax.Array) -> jax.Array:
        """Whether the mean predictor of one row gives a mean inside ``mean_range``."""
        e = eta[0]
        inside = {"real": lambda: jnp.isfinite(e), "positive": lambda: e > 0, "nonzero": lambda: e != 0}
        ok = inside[self.link.valid_eta]()
        if self.mean_range == "real" or self.link.range == self.mean_range:
            return ok
        if self.mean_range == "positive" and self.link.range == "unit":
            return ok
        mu = self.link.inverse(e)
        return ok & (mu > 0) if self.mean_range == "positive" else ok & (mu > 0) & (mu < 1)

    def with_link(self, link: Link) -> Family:
        """The same family with another link."""
        return replace(self, link=link)

    def parameter(self, predictor: str) -> tuple[str, bool]:
        """Name of a predictor's coefficient where it has no formula, and whether exp(it) is what is reported."""
        return predictor, False

    @property
    def inverse(self) -> Callable[[jax.Array], jax.Array] | None:
        """The mean as an elementwise function of the first predictor, where it depends on nothing else."""
        return self.link.inverse

    @property
    def aux_names(self) -> tuple[str, ...]:
        """Columns that :meth:`nll` reads from aux besides trials."""
        return ()

    @property
    def is_canonical(self) -> bool:
        """Whether observed and expected information are the same function."""
        return self.linear_in_y and self.canonical is not None and isinstance(self.link, self.canonical)

    def has(self, method: str) -> bool:
        """Whether an optional method of the contract is there."""
        return method == "mean" or getattr(type(self), method) is not getattr(Family, method)

    @property
    def has_expected(self) -> bool:
        """Whether there is an expected information."""
        return self.linear_in_y or self.has("expected")

    @property
    def title(self) -> str:
        """The name with its known numbers, for tables."""
        return self.name

    @property
    def link_title(self) -> str:
        """The link, for tables."""
        return str(self.link)

    @property
    def steady(self) -> bool:
        """Whether the expected curvature of a row is the same at every eta: one information serves all steps."""
        return False

    @property
    def quadratic(self) -> bool:
        """Whether `nll` is quadratic in eta, with its least value at the starting eta: one Newton step then ends it."""
        return False

    def llf_from_deviance(self, deviance: float, count: float, log_prior: float) -> float | None:
        """Log-likelihood at phi = deviance / count where sums tell it, else None: it then takes a pass over the rows.

        `log_prior` is the sum of the logs of the prior weights over all `count` observations.
        """
        return None

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.link})"


def off_zero(y: jax.Array) -> jax.Array:
    """y with the smallest positive number for 0, and a derivative of 1."""
    return y + jax.lax.stop_gradient(jnp.where(y == 0, jnp.finfo(y.dtype).tiny, 0.0))


def inside(value: jax.Array, center: jax.Array) -> jax.Array:
    """`value` where it lies on the side of zero of `center` and not close to zero, else a tenth of `center`.

    Gives starting means to links that need a nonzero or positive mean.
    """
    return jnp.where(value * jnp.sign(center) > 0.1 * jnp.abs(center), value, 0.1 * center)
