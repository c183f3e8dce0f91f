"""What leaving out one row does, to first order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design.base import matmul
from jaxglm.kernels.base import Model, RowMap, Rows
from jaxglm.kernels.rows import row_terms


class DeletionPoint(NamedTuple):
    """Where rows are left out.

    Attributes
    ----------
    theta : (P,) coefficients
    root : (P, P) a matrix G with G G' = inverse information
    metric : (P, P) or None
        Blocks of columns N_k with N_k N_k' = V[:, k] V[k, k]^-1 V[k, :], V the inverse information and k the
        coefficients of a predictor; None for one predictor, where that is G
    observed : bool, observed instead of expected curvature
    alone : leverage from which a row is all that determines some coefficient, so that it cannot be left out
    """

    theta: jax.Array
    root: jax.Array
    metric: jax.Array | None
    observed: jax.Array
    alone: jax.Array


class _Step(NamedTuple):
    """A row and its absence: columns (m, K, P), eta, score and t (m, K), Q (m, K, K), leverages (m, K)."""

    columns: jax.Array
    eta: jax.Array
    score: jax.Array
    left: jax.Array
    spread: jax.Array
    hat: jax.Array


def _step(model: Model, point: DeletionPoint, rows: Rows) -> _Step:
    """The one-step change of theta by leaving out one copy of each row, as V X' t.

    With curvature C, score s and Q = X V X' of a row (K x K), (I - X' C X)^-1 X' s = V X' t with t = (1 - C Q)^-1 s
    (Pregibon 1981; for K = 1 that is s / (1 - h)). The diagonal of C Q holds the leverages.
    """
    eta = model.eta(rows, point.theta)
    terms = row_terms(model.family, rows.y, eta, rows.aux, point.observed)
    prior = jnp.ones_like(rows.y) if rows.prior is None else rows.prior
    # Along the log-likelihood, so that a positive score asks for a larger eta.
    score, curvature = -prior[:, None] * terms.score, prior[:, None, None] * terms.curvature
    columns = model.layout.columns(rows.x, rows.y.shape[0])
    if model.layout.n_predictors == 1:
        spread = jnp.sum(matmul(columns[:, 0], point.root) ** 2, axis=1)[:, None]
        hat = curvature[:, 0] * spread
        left = score / jnp.where(hat < point.alone, 1.0 - hat, jnp.nan)
        return _Step(columns, eta, score, left, spread[..., None], hat)
    half = matmul(columns, point.root)
    spread = jnp.einsum("mkp,mlp->mkl", half, half)
    product = jnp.einsum("mkl,mlj->mkj", curvature, spread)
    hat = jnp.diagonal(product, axis1=1, axis2=2)
    rest = jnp.where(jnp.max(hat, axis=1)[:, None, None] < point.alone, jnp.eye(hat.shape[1]) - product, jnp.nan)
    left = jnp.linalg.solve(rest, score[..., None])[..., 0]
    return _Step(columns, eta, score, left, spread, hat)


def _residuals(model: Model, rows: Rows, eta: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Pearson and deviance residuals, NaN where the family lacks what they need, (m,) each."""
    family = model.family
    mu = jax.vmap(family.mean)(eta, rows.aux)
    variance = jax.vmap(family.variance)(mu, eta, rows.aux)
    prior = jnp.ones_like(mu) if rows.prior is None else rows.prior
    response = rows.y - mu
    pearson = jnp.where(response == 0, 0.0 * variance, response * jnp.sqrt(prior / variance))
    deviance = prior * jax.vmap(family.unit_deviance)(rows.y, eta, rows.aux)
    return pearson, jnp.sign(response) * jnp.sqrt(jnp.maximum(deviance, 0.0))


@dataclass(frozen=True)
class Deletion(RowMap):
    """Leverage and the effect of leaving out each row, at ``point`` = :class:`DeletionPoint`; cost O(m P^2).

    ``hat`` (m, K) sums over rows to the coefficients of each predictor; ``distance`` (m, K) is d' V[k, k]^-1 d for
    the one-step change d of a predictor's coefficients; ``local`` (m,) is s' V s; Pearson and deviance residuals (m,).
    """

    def map(self, model: Model, point: DeletionPoint, rows: Rows) -> dict[str, Any]:
        step = _step(model, point, rows)
        if point.metric is None:
            distance = step.left**2 * step.spread[:, 0]
        else:
            part = matmul(jnp.einsum("mkp,mk->mp", step.columns, step.left), point.metric) ** 2
            distance = jnp.stack([jnp.sum(block, axis=1) for block in _by_predictor(model, part)], axis=1)
        local = jnp.einsum("mk,mkl,ml->m", step.score, step.spread, step.score)
        pearson, deviance = _residuals(model, rows, step.eta)
        return {"hat": step.hat, "distance": distance, "local": local, "pearson": pearson, "deviance": deviance}


@dataclass(frozen=True)
class Changes(RowMap):
    """One-step change of all coefficients by each row, (m, P), with what its scaling needs; cost O(m P^2).

    With ``infinitesimal`` it is the derivative V X' s in the weight of the row instead (Cook 1986).
    """

    infinitesimal: bool = False

    def map(self, model: Model, point: DeletionPoint, rows: Rows) -> dict[str, Any]:
        step = _step(model, point, rows)
        pull = jnp.einsum("mkp,mk->mp", step.columns, step.score if self.infinitesimal else step.left)
        change = matmul(matmul(pull, point.root), point.root.T)
        if self.infinitesimal:
            return {"change": change}
        pearson, deviance = _residuals(model, rows, step.eta)
        return {"change": change, "hat": step.hat, "pearson": pearson, "deviance": deviance}


def _by_predictor(model: Model, values: jax.Array) -> list[jax.Array]:
    """The columns of (m, P) that belong to each predictor."""
    return jnp.split(values, np.cumsum([d.n_columns for d in model.layout.designs])[:-1], axis=1)
