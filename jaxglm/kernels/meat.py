"""The middle of a sandwich covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design.base import matmul
from jaxglm.kernels.base import Kernel, Model, RowMap, Rows
from jaxglm.kernels.rows import row_terms
from jaxglm.numerics import namespace


def _scores(model: Model, theta: jax.Array, rows: Rows) -> jax.Array:
    """Unweighted scores in eta, (m, K), in working precision whatever that of the rows is."""
    return row_terms(model.family, rows.y, model.eta(rows, theta), rows.aux, False, curved=False).score.astype(float)


@dataclass(frozen=True)
class Meat(Kernel):
    """Sum over rows of freq prior^2 s s', (P, P), with s = X' score of a row, at theta."""

    def map(self, model: Model, point: jax.Array, rows: Rows) -> list:
        score = _scores(model, point, rows)
        w = rows.freq if rows.prior is None else rows.freq * rows.prior**2
        return model.layout.gram_sums(rows.x, w[:, None, None] * score[:, :, None] * score[:, None, :])

    def finish(self, model: Model, value: list) -> jax.Array:
        return model.layout.gram_of(value)


class LeveragePoint(NamedTuple):
    """Where :class:`LeverageMeat` is evaluated.

    Attributes
    ----------
    theta : (P,)
    root : (P, P) a matrix G with G G' = inverse information
    observed : bool scalar, whether that is the observed information
    power : scalar, the power of I - H that divides scores
    alone : leverage from which a row alone determines a coefficient, so that what is left of its score is rounding
    """

    theta: jax.Array
    root: jax.Array
    observed: jax.Array
    power: jax.Array
    alone: jax.Array


@dataclass(frozen=True)
class LeverageMeat(Kernel):
    """As :class:`Meat` with the score of each row divided by a power of I - H; NaN where a row has leverage 1.

    H = W X G G' X', (K, K), is the leverage of one of the observations that a row stands for, W its curvature with the
    prior weight.
    """

    def map(self, model: Model, point: LeveragePoint, rows: Rows) -> list:
        terms = row_terms(model.family, rows.y, model.eta(rows, point.theta), rows.aux, point.observed)
        prior = (jnp.ones_like(rows.y) if rows.prior is None else rows.prior).astype(float)
        columns = model.layout.columns(rows.x, rows.y.shape[0])
        half = matmul(columns, point.root)
        spread = jnp.einsum("mkp,mlp->mkl", half, half, precision=jax.lax.Precision.HIGHEST)
        score = prior[:, None] * terms.score
        score = score + _correction(prior[:, None, None] * terms.curvature, spread, score, point.power, point.alone)
        return model.layout.gram_sums(rows.x, rows.freq[:, None, None] * score[:, :, None] * score[:, None, :])

    def finish(self, model: Model, value: list) -> jax.Array:
        return model.layout.gram_of(value)


def _correction(
    curvature: jax.Array, spread: jax.Array, score: jax.Array, power: jax.Array, alone: jax.Array
) -> jax.Array:
    """((I - W Q)^-power - I) s of each row, (m, K), for symmetric W and positive semidefinite Q (m, K, K).

    With Q = L L' it is W L g(L' W L) L' s, where g(h) = ((1 - h)^-power - 1) / h: the symmetric matrix in the middle
    has the eigenvalues of W Q, of which one need not be invertible.
    """
    if score.shape[1] == 1:
        leverage = curvature[:, 0, 0] * spread[:, 0, 0]
        return (leverage * _stretch(leverage, power, alone))[:, None] * score
    values, vectors = jnp.linalg.eigh(spread)
    root = vectors * jnp.sqrt(jnp.maximum(values, 0.0))[:, None, :]
    flipped = jnp.swapaxes(root, 1, 2)
    leverage, axes = jnp.linalg.eigh(matmul(flipped, matmul(curvature, root)))
    inner = jnp.einsum("mkl,mk->ml", matmul(root, axes), score)
    outer = matmul(curvature, matmul(root, axes))
    return jnp.einsum("mkl,ml->mk", outer, _stretch(leverage, power, alone) * inner)


def _stretch(leverage: jax.Array, power: jax.Array, alone: jax.Array) -> jax.Array:
    """g of :func:`_correction`."""
    safe = jnp.where(jnp.abs(leverage) > 1e-200, leverage, 1e-200)
    ratio = jnp.expm1(-power * jnp.log1p(-safe)) / safe
    return jnp.where(leverage >= alone, jnp.nan, ratio)


@dataclass(frozen=True)
class Scores(RowMap):
    """freq prior s of each row, (m, P), with s = X' score, at theta."""

    def map(self, model: Model, point: jax.Array, rows: Rows) -> jax.Array:
        score = _scores(model, point, rows)
        columns = model.layout.columns(rows.x, rows.y.shape[0])
        return jnp.einsum("mk,mkp->mp", rows.weight[:, None] * score, columns, precision=jax.lax.Precision.HIGHEST)


@dataclass(frozen=True)
class ClusterMeat(Kernel):
    """For each set of codes of the rows the sum over clusters of u u', (P, P), u the sum of :class:`Scores` in one.

    Attributes
    ----------
    sizes : tuple of (name, int)
        Sets of codes, and a number of clusters that all codes are below.
    """

    sizes: tuple[tuple[str, int], ...]

    scatters = True

    def map(self, model: Model, point: jax.Array, rows: Rows) -> dict[str, jax.Array]:
        empty = {name: jnp.zeros((size, model.layout.n_coefficients)) for name, size in self.sizes}
        return self.accumulate(empty, model, point, rows)

    def accumulate(self, total: dict, model: Model, point: jax.Array, rows: Rows) -> dict[str, jax.Array]:
        scores = Scores().map(model, point, rows)
        return {name: total[name].at[rows.codes[name]].add(scores) for name, _ in self.sizes}

    def finish(self, model: Model, value: dict) -> dict[str, jax.Array]:
        # On the host by NumPy, which needs no compiling.
        product = matmul if namespace(next(iter(value.values()))) is jnp else np.matmul
        return {name: product(sums.T, sums) for name, sums in value.items()}
