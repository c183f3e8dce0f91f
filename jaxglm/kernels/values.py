"""Values for every row: predictors, means, residuals."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxglm.design.base import matmul
from jaxglm.kernels.base import Model, RowMap, Rows


@dataclass(frozen=True)
class Itself(RowMap):
    """The rows as they are kept."""

    def map(self, model: Model, point: None, rows: Rows) -> Rows:
        return rows


@dataclass(frozen=True)
class Columns(RowMap):
    """Model matrix of the mean predictor, (m, P)."""

    def map(self, model: Model, point: None, rows: Rows) -> jax.Array:
        return model.layout.columns(rows.x, rows.y.shape[0])[:, 0]


@dataclass(frozen=True)
class Matrix(RowMap):
    """Columns of all predictors (m, K, P) and offsets (m, K)."""

    def map(self, model: Model, point: None, rows: Rows) -> dict[str, jax.Array]:
        m = rows.y.shape[0]
        offset = jnp.zeros((m, model.layout.n_predictors)) if rows.offset is None else rows.offset
        return {"columns": model.layout.columns(rows.x, m), "offset": offset}


@dataclass(frozen=True)
class Observed(RowMap):
    """Response, weights of both kinds and size (number of trials) of each row, each (m,)."""

    def map(self, model: Model, point: None, rows: Rows) -> dict[str, jax.Array]:
        one = jnp.ones_like(rows.y)
        size = one * jax.vmap(model.family.size)(rows.aux) if rows.aux else one
        return {"y": rows.y, "freq": rows.freq, "prior": one if rows.prior is None else rows.prior, "size": size}


@dataclass(frozen=True)
class Predictors(RowMap):
    """eta (m, K) at theta."""

    def map(self, model: Model, point: jax.Array, rows: Rows) -> jax.Array:
        return model.eta(rows, point)


@dataclass(frozen=True)
class Predictions(RowMap):
    """One linear predictor, the mean, and the variance of both estimates, each (m,).

    ``point = (theta, covariance)``; without a covariance (None) the variances are left out. That of the mean is by the
    delta method, through every predictor that the mean depends on.
    """

    predictor: int = 0

    def map(self, model: Model, point: tuple[jax.Array, jax.Array | None], rows: Rows) -> dict[str, jax.Array]:
        theta, covariance = point
        eta = model.eta(rows, theta)
        mu, slopes = mean_and_slopes(model, eta, rows.aux)
        found = {"eta": eta[:, self.predictor], "mean": mu}
        if covariance is not None:
            columns = model.layout.columns(rows.x, rows.y.shape[0])
            for name, part in (
                ("eta_variance", columns[:, self.predictor]),
                ("mean_variance", jnp.einsum("mk,mkp->mp", slopes, columns)),
            ):
                found[name] = jnp.sum(matmul(part, covariance) * part, axis=1)
        return found


@dataclass(frozen=True)
class Residuals(RowMap):
    """What is named of R's residuals at theta and of the "mean", each (m,), and the predictors "eta", (m, K)."""

    kinds: tuple[str, ...] = ("response", "pearson", "deviance", "working")

    def map(self, model: Model, point: jax.Array, rows: Rows) -> dict[str, jax.Array]:
        family = model.family
        eta = model.eta(rows, point)
        if self.kinds == ("eta",):
            return {"eta": eta}
        mu, slopes = mean_and_slopes(model, eta, rows.aux)
        prior = jnp.ones_like(mu) if rows.prior is None else rows.prior
        response = rows.y - mu

        def pearson():
            variance = jax.vmap(family.variance)(mu, eta, rows.aux)
            return jnp.where(response == 0, 0.0, response * jnp.sqrt(prior / variance))

        def deviance():
            unit = jax.vmap(family.unit_deviance)(rows.y, eta, rows.aux)
            return jnp.sign(response) * jnp.sqrt(jnp.maximum(prior * unit, 0.0))

        makers = {
            "response": lambda: response,
            "pearson": pearson,
            "deviance": deviance,
            "working": lambda: response / slopes[:, 0],
            "eta": lambda: eta,
            "mean": lambda: mu,
        }
        return {kind: makers[kind]() for kind in self.kinds}


def mean_and_slopes(model: Model, eta: jax.Array, aux: dict) -> tuple[jax.Array, jax.Array]:
    """Mean (m,) and its derivatives in every predictor (m, K)."""
    return jax.vmap(jax.value_and_grad(model.family.mean))(eta, aux)


@dataclass(frozen=True)
class Unsound(RowMap):
    """For error messages: y, whether it is outside the support, and the first column that is not finite (-1: none)."""

    def map(self, model: Model, point: None, rows: Rows) -> dict[str, jax.Array]:
        columns = model.layout.columns(rows.x, rows.y.shape[0])
        bad = jnp.any(~(jnp.abs(columns) < 1e150), axis=1)
        return {
            "y": rows.y,
            "bad_y": (rows.freq > 0) & ~jax.vmap(model.family.support)(rows.y, rows.aux),
            "column": jnp.where(jnp.any(bad, axis=1) & (rows.freq > 0), jnp.argmax(bad, axis=1), -1),
        }


@dataclass(frozen=True)
class Dependence(RowMap):
    """How far each row is from the dependences ``x @ point = 0`` (P, q), relative to its size, (m, q)."""

    def map(self, model: Model, point: jax.Array, rows: Rows) -> jax.Array:
        # Each coefficient belongs to one predictor, so the sum over predictors is the row of all columns.
        columns = jnp.sum(model.layout.columns(rows.x, rows.y.shape[0]), axis=1)
        size = matmul(jnp.abs(columns), jnp.abs(point))
        return jnp.abs(matmul(columns, point)) / jnp.where(size > 0, size, 1.0)
