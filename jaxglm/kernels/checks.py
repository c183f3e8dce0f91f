"""Sums that say whether a fitted model suits its data: moments, zeros, columns that were left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxglm.design.base import matmul
from jaxglm.kernels.base import Kernel, Model, RowMap, Rows, total
from jaxglm.kernels.rows import row_terms


class MomentSums(NamedTuple):
    """Sums over rows, each row counted `freq` times.

    Attributes
    ----------
    columns : (P,) sums of the columns, and `eta` of the mean predictor
    other : rows whose y is not the outcome 0 or 1 of one trial
    spread : sum of the variances of squared Pearson residuals, or None
    pull : (P,) what estimation takes from them: sum of d log V / d eta_k times the columns
    zeros, expected, zero_spread, zero_pull : the same for the number of zeros, or None
    """

    columns: Any
    eta: jax.Array
    other: jax.Array
    spread: jax.Array | None
    pull: Any
    zeros: jax.Array | None
    expected: jax.Array | None
    zero_spread: jax.Array | None
    zero_pull: Any


@dataclass(frozen=True)
class Moments(Kernel):
    """What rows of the fitted model should look like, at theta; cost O(m P).

    Attributes
    ----------
    fourth : bool
        Variances of squared Pearson residuals. Where the variance is a function V of the mean the fourth cumulant
        over V^2 is V'^2 / V + V'' (Jorgensen 1997, section 2.2.3), which needs no more of the family than V.
    zeros : bool
        Probabilities of y = 0.
    """

    fourth: bool = True
    zeros: bool = True

    def map(self, model: Model, point: jax.Array, rows: Rows) -> MomentSums:
        family, layout = model.family, model.layout
        eta = model.eta(rows, point)
        freq = rows.freq
        trials = jnp.broadcast_to(jax.vmap(family.size)(rows.aux) if rows.aux else 1.0, freq.shape)
        other = ((rows.y != 0) & (rows.y != 1)) | (trials != 1)
        spread = pull = zeros = expected = zero_spread = zero_pull = None
        if self.fourth:
            excess, slopes = jax.vmap(lambda e, aux: _fourth(family, e, aux))(eta, rows.aux)
            prior = 1.0 if rows.prior is None else rows.prior
            spread = total(freq * (2.0 + excess / prior))
            pull = layout.gradient_sums(rows.x, freq[:, None] * slopes)
        if self.zeros:

            def nothing(e, aux):
                return jnp.exp(family.logpdf(jnp.zeros((), e.dtype), e, jnp.ones((), e.dtype), aux))

            chance, slopes = jax.vmap(jax.value_and_grad(nothing))(eta, rows.aux)
            zeros, expected = total(freq * (rows.y == 0)), total(freq * chance)
            zero_spread = total(freq * chance * (1.0 - chance))
            zero_pull = layout.gradient_sums(rows.x, freq[:, None] * slopes)
        ones = jnp.broadcast_to(freq[:, None], eta.shape)
        return MomentSums(
            layout.gradient_sums(rows.x, ones), total(freq * eta[:, 0]), total(freq * other), spread, pull, zeros,
            expected, zero_spread, zero_pull,
        )  # fmt: skip

    def finish(self, model: Model, value: MomentSums) -> MomentSums:
        whole = model.layout.gradient_of
        return value._replace(
            columns=whole(value.columns),
            pull=whole(value.pull) if self.fourth else None,
            zero_pull=whole(value.zero_pull) if self.zeros else None,
        )


def _fourth(family, eta: jax.Array, aux: dict) -> tuple[jax.Array, jax.Array]:
    """Fourth cumulant over the squared variance, and d log V / d eta (K,), of one row."""
    mu = family.mean(eta, aux)

    def variance(mu):
        return family.variance(mu, eta, aux)

    slope = jax.grad(variance)
    excess = slope(mu) ** 2 / variance(mu) + jax.grad(slope)(mu)
    return excess, jax.grad(lambda e: jnp.log(family.variance(family.mean(e, aux), e, aux)))(eta)


class AddedPoint(NamedTuple):
    """Which columns to add to the mean predictor.

    Attributes
    ----------
    theta : (P,) coefficients
    observed : bool, observed instead of expected curvature
    picks : (q,) int, columns of the mean predictor whose squares are added; the square of eta comes before them
    centers : (q + 1,) what is taken off before squaring, that of eta first
    """

    theta: jax.Array
    observed: jax.Array
    picks: jax.Array
    centers: jax.Array


class AddedSums(NamedTuple):
    """Of each added column the score (q + 1,), its information (q + 1,), and that with the model's own (q + 1, P)."""

    score: jax.Array
    own: jax.Array
    cross: jax.Array


@dataclass(frozen=True)
class Added(Kernel):
    """Score and information of squared columns that the model does not have; cost O(m P q)."""

    def map(self, model: Model, point: AddedPoint, rows: Rows) -> AddedSums:
        eta = model.eta(rows, point.theta)
        terms = row_terms(model.family, rows.y, eta, rows.aux, point.observed)
        columns = model.layout.columns(rows.x, rows.y.shape[0])
        values = jnp.concatenate([eta[:, :1], columns[:, 0, point.picks]], axis=1)
        added = (values - point.centers) ** 2
        w = rows.weight
        curvature = w[:, None] * terms.curvature[:, 0]
        return AddedSums(
            score=matmul(-w * terms.score[:, 0], added),
            own=matmul(curvature[:, 0], added**2),
            cross=matmul(added.T, jnp.einsum("mk,mkp->mp", curvature, columns)),
        )


@dataclass(frozen=True)
class Outcomes(RowMap):
    """Mean, response, and how many observations the row stands for, (m,) each, at theta."""

    def map(self, model: Model, point: jax.Array, rows: Rows) -> dict[str, jax.Array]:
        mean = jax.vmap(model.family.mean)(model.eta(rows, point), rows.aux)
        return {"mean": mean, "y": rows.y, "freq": rows.freq}
