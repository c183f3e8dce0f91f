"""Fit statistics: deviance, null deviance, Pearson chi-squared, log-likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxglm.kernels.base import Kernel, Model, Rows, total
from jaxglm.kernels.totals import Newton, Point, Totals, weighted_terms


class FitPoint(NamedTuple):
    """theta (P,), the null model's constant mean predictor, and the dispersion of the log density."""

    theta: jax.Array
    null: jax.Array
    phi: jax.Array


class FitSums(NamedTuple):
    """Weighted sums over rows; see :class:`Statistics`. `log_prior` sums the logs of the prior weights."""

    deviance: jax.Array
    null_deviance: jax.Array
    pearson: jax.Array
    llf: jax.Array
    log_prior: jax.Array


@dataclass(frozen=True)
class Statistics(Kernel):
    """Deviance, null deviance, Pearson chi-squared, and the log-likelihood at phi.

    The null model's mean predictor is a constant and the offset; other predictors are as fitted. ``density=False``
    leaves out the log-likelihood (NaN), which costs more than all else where the density has no simple form.
    """

    density: bool = True

    def map(self, model: Model, point: FitPoint, rows: Rows) -> FitSums:
        return self.sums(model, point, rows, model.eta(rows, point.theta))

    def sums(self, model: Model, point: FitPoint, rows: Rows, eta: jax.Array) -> FitSums:
        """The value of a block where eta (m, K) is known."""
        family = model.family
        mean = jnp.broadcast_to(point.null.astype(eta.dtype) + rows.mean_offset, rows.y.shape)
        null = eta.at[:, 0].set(mean) if eta.shape[1] > 1 else mean[:, None]
        deviance = jax.vmap(family.unit_deviance)
        mu = jax.vmap(family.mean)(eta, rows.aux)
        variance = jax.vmap(family.variance)(mu, eta, rows.aux)
        residual = rows.y - mu
        prior = 1.0 if rows.prior is None else rows.prior
        phi = point.phi.astype(eta.dtype)
        phi = phi / prior if family.prior_divides_phi else phi
        count = rows.freq if family.prior_divides_phi else rows.weight
        present = rows.freq > 0
        llf = jnp.full((), jnp.nan)
        if self.density:
            density = jax.vmap(family.logpdf)(rows.y, eta, jnp.broadcast_to(phi, rows.y.shape), rows.aux)
            llf = total(jnp.where(present, count * density, 0.0))
        # A residual that is exactly zero where the variance is zero too (mu at the end of its range) adds nothing.
        chi = jnp.where(residual == 0, 0.0, residual**2 / variance)
        log_prior = jnp.zeros_like(rows.y) if rows.prior is None else jnp.log(rows.prior)
        return FitSums(
            deviance=total(rows.weight * deviance(rows.y, eta, rows.aux)),
            null_deviance=total(rows.weight * deviance(rows.y, null, rows.aux)),
            pearson=total(rows.weight * chi),
            llf=llf,
            log_prior=total(jnp.where(present, rows.freq * log_prior, 0.0)),
        )


class ClosingPoint(NamedTuple):
    """Where :class:`Closing` is evaluated; `newton` is never a start, and its theta serves the statistics too."""

    newton: Point
    null: jax.Array
    phi: jax.Array


@dataclass(frozen=True)
class Closing(Kernel):
    """The last pass of a fit: what :class:`Newton` gives and the fit statistics, with one eta for both."""

    newton: Newton = Newton()
    statistics: Statistics = Statistics()

    def map(self, model: Model, point: ClosingPoint, rows: Rows) -> tuple[Totals, FitSums]:
        terms = weighted_terms(model, point.newton, rows, self.newton.scoring)
        at = FitPoint(point.newton.theta, point.null, point.phi)
        return self.newton.sums(model, rows, terms), self.statistics.sums(model, at, rows, terms[0])

    @property
    def scatters(self) -> bool:
        return self.newton.scatters

    def accumulate(self, total: Any, model: Model, point: ClosingPoint, rows: Rows) -> tuple[Totals, FitSums]:
        terms = weighted_terms(model, point.newton, rows, self.newton.scoring)
        at = FitPoint(point.newton.theta, point.null, point.phi)
        sums = self.statistics.sums(model, at, rows, terms[0])
        return self.newton.add(total[0], model, rows, terms), self.combine(total[1], sums)

    def finish(self, model: Model, value: tuple[Totals, FitSums]) -> tuple[Totals, FitSums]:
        return self.newton.finish(model, value[0]), value[1]


@dataclass(frozen=True)
class NullSums(Kernel):
    """Two sums of which the ratio is the factor c in the means ``c exp(offset)`` of the null model.

    They solve its one equation, sum of w (y - mu) mu / V(mu) = 0, where the link is the log and V = mu^p
    (``family.variance_power``).
    """

    def map(self, model: Model, point: None, rows: Rows) -> tuple[jax.Array, jax.Array]:
        power = model.family.variance_power
        offset = rows.mean_offset
        return (
            total(rows.weight * rows.y * jnp.exp((1.0 - power) * offset)),
            total(rows.weight * jnp.exp((2.0 - power) * offset)),
        )
