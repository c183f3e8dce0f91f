"""Values for every row that need more of the family than its likelihood: tails, draws, Anscombe's residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxglm.design.base import matmul
from jaxglm.kernels.base import Model, RowMap, Rows
from jaxglm.quadrature import integrate


def row_dispersion(rows: Rows, phi: jax.Array) -> jax.Array:
    """Dispersion of each row, phi over its prior weight, (m,)."""
    prior = jnp.ones_like(rows.y) if rows.prior is None else rows.prior
    return phi / prior


@dataclass(frozen=True)
class Tails(RowMap):
    """P(Y <= y), P(Y < y), P(Y > y) and P(Y >= y) of each row, (m, 4), at ``point = (theta, phi)``."""

    dear = True

    def map(self, model: Model, point: tuple[jax.Array, jax.Array], rows: Rows) -> jax.Array:
        theta, phi = point
        family = model.family

        def one(y, eta, phi, aux):
            before = family.below(y, aux)
            at = y[None] if before is y else jnp.stack([y, before])
            # One copy of each function, which may be long, for both points.
            tails = [jax.vmap(lambda v, f=f: f(v, eta, phi, aux))(at) for f in (family.cdf, family.sf)]
            return jnp.concatenate([jnp.broadcast_to(tail, 2) for tail in tails])

        return jax.vmap(one)(rows.y, model.eta(rows, theta), row_dispersion(rows, phi), rows.aux)


@dataclass(frozen=True)
class Anscombe(RowMap):
    """(A(y) - A(mu)) / (A'(mu) sd) with A the integral of V^(-1/3), (m,), at theta.

    The transformation that makes y most nearly normal (McCullagh and Nelder 1989, section 2.4.2); the integral is
    taken numerically, so that one rule serves every variance function.
    """

    def map(self, model: Model, point: jax.Array, rows: Rows) -> jax.Array:
        family = model.family

        def one(y, eta, aux):
            def variance(t):
                return family.variance(t, eta, aux)

            mu = family.mean(eta, aux)
            return integrate(lambda t: variance(t) ** (-1.0 / 3.0), mu, y) / variance(mu) ** (1.0 / 6.0)

        prior = 1.0 if rows.prior is None else jnp.sqrt(rows.prior)
        return prior * jax.vmap(one)(rows.y, model.eta(rows, point), rows.aux)


@dataclass(frozen=True)
class Given(RowMap):
    """What a draw needs of each row: predictors (m, K), dispersion (m,) and aux, at ``point = (theta, phi)``."""

    def map(self, model: Model, point: tuple[jax.Array, jax.Array], rows: Rows) -> dict[str, Any]:
        theta, phi = point
        return {"eta": model.eta(rows, theta), "phi": row_dispersion(rows, phi), "aux": dict(rows.aux)}


@dataclass(frozen=True)
class Spread(RowMap):
    """As :class:`Given`, with the covariance (m, K, K) of the predictors, at ``point = (theta, covariance, phi)``."""

    def map(self, model: Model, point: tuple[jax.Array, jax.Array, jax.Array], rows: Rows) -> dict[str, Any]:
        theta, covariance, phi = point
        columns = model.layout.columns(rows.x, rows.y.shape[0])
        product = matmul(columns, covariance)
        pairs = jnp.sum(product[:, :, None, :] * columns[:, None, :, :], axis=3)
        return Given().map(model, (theta, phi), rows) | {"covariance": pairs}
