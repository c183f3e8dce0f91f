"""What a family is: the cost of one row, and what can be derived from its distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxglm.links import Identity, Link

Aux = dict[str, Any]


class Family(ABC):
    """Contract of a family: functions of *one row*, vectorized by the kernels.

    Every method takes scalars (`y`, the fields of `aux`) and `eta` of shape (K,),
    one entry a linear predictor, and returns a scalar. Negative log-likelihoods are
    in nats with dispersion 1. Subclasses are frozen dataclasses registered as
    pytrees: numbers are leaves, links and flags are static.

    Attributes
    ----------
    predictors : tuple of str
        Names of the K linear predictors.
    dispersion_known : bool
        True when phi is 1 by definition; else it is estimated by Pearson chi2 / df.
    mean_range : "real", "positive" or "unit"
        Where the mean must lie (an open set).
    canonical : type of Link
        The link for which observed and expected information agree.
    linear_in_y : bool
        Whether the second derivative of `nll` is linear in y, so that its value at
        y = mean is its expectation (exponential dispersion families).
    prior_divides_phi : bool
        How prior weights enter the log-likelihood that AIC uses, as in R: True if a
        row of weight w has dispersion phi / w, False if its log density counts w times.
    support_text : str
        The support of y in words, for messages.
    """

    name: ClassVar[str]
    predictors: ClassVar[tuple[str, ...]] = ("mean",)
    dispersion_known: ClassVar[bool] = True
    mean_range: ClassVar[str] = "real"
    canonical: ClassVar[type[Link]] = Identity
    linear_in_y: ClassVar[bool] = True
    prior_divides_phi: ClassVar[bool] = False
    support_text: ClassVar[str] = "any finite number"
    link: Link

    @abstractmethod
    def nll(self, y: jax.Array, eta: jax.Array, aux: Aux) -> jax.Array:
        """Negative log-likelihood of one row in nats, up to terms free of eta, at phi = 1."""

    @abstractmethod
    def mean(self, eta: jax.Array, aux: Aux) -> jax.Array:
        """Mean of y on the response scale."""

    @abstractmethod
    def variance(self, mu: jax.Array, aux: Aux) -> jax.Array:
        """Variance of y at phi = 1."""

    @abstractmethod
    def unit_deviance(self, y: jax.Array, eta: jax.Array, aux: Aux) -> jax.Array:
        """Twice the log-likelihood lost against a perfect fit of this row, at phi = 1.

        It takes eta rather than mu so that it stays finite where mu rounds to the end of its range.
        """

    @abstractmethod
    def logpdf(self, y: jax.Array, eta: jax.Array, phi: jax.Array, aux: Aux) -> jax.Array:
        """Log density or probability of y, all constants included."""

    @abstractmethod
    def support(self, y: jax.Array, aux: Aux) -> jax.Array:
        """Whether y is a possible value."""

    @abstractmethod
    def start(self, y: jax.Array, aux: Aux, center: jax.Array) -> jax.Array:
        """Starting eta of one row, (K,); `center` is the weighted mean of all y."""

    def expected(self, eta: jax.Array, aux: Aux) -> jax.Array:
        """Expected second derivative of `nll` in eta, (K, K)."""
        at_mean = jax.lax.stop_gradient(self.mean(eta, aux))
        return jax.hessian(self.nll, argnums=1)(at_mean, eta, aux)

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

    @property
    def is_canonical(self) -> bool:
        """Whether observed and expected information are the same function."""
        return self.linear_in_y and isinstance(self.link, self.canonical)

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


def inside(value: jax.Array, center: jax.Array) -> jax.Array:
    """`value` where it lies on the side of zero of `center` and not close to zero, else a tenth of `center`.

    Gives starting means to links that need a nonzero or positive mean.
    """
    return jnp.where(value * jnp.sign(center) > 0.1 * jnp.abs(center), value, 0.1 * center)
