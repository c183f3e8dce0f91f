"""Fit statistics: deviance, null deviance, Pearson chi-squared, log-likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxglm.kernels.base import Kernel, Model, Rows


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

    The null model's mean predictor is a constant and the offset; other predictors are as fitted.
    """

    def map(self, model: Model, point: FitPoint, rows: Rows) -> FitSums:
        family = model.family
        eta = model.eta(rows, point.theta)
        null = eta.at[:, 0].set(point.null + (0.0 if rows.offset is None else rows.offset[:, 0]))
        deviance = jax.vmap(family.unit_deviance)
        mu = jax.vmap(family.mean)(eta, rows.aux)
        variance = jax.vmap(family.variance)(mu, eta, rows.aux)
        residual = rows.y - mu
        prior = 1.0 if rows.prior is None else rows.prior
        phi = point.phi / prior if family.prior_divides_phi else point.phi
        count = rows.freq if family.prior_divides_phi else rows.weight
        density = jax.vmap(family.logpdf)(rows.y, eta, jnp.broadcast_to(phi, rows.y.shape), rows.aux)
        # A residual that is exactly zero where the variance is zero too (mu at the end of its range) adds nothing.
        chi = jnp.where(residual == 0, 0.0, residual**2 / variance)
        present = rows.freq > 0
        log_prior = jnp.zeros_like(rows.y) if rows.prior is None else jnp.log(rows.prior)
        return FitSums(
            deviance=jnp.sum(rows.weight * deviance(rows.y, eta, rows.aux)),
            null_deviance=jnp.sum(rows.weight * deviance(rows.y, null, rows.aux)),
            pearson=jnp.sum(rows.weight * chi),
            llf=jnp.sum(jnp.where(present, count * density, 0.0)),
            log_prior=jnp.sum(jnp.where(present, rows.freq * log_prior, 0.0)),
        )
