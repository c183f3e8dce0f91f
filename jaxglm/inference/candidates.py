"""Score tests of many single columns, each added in turn to one fit."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design.base import matmul
from jaxglm.kernels import Model, Point, Rows
from jaxglm.kernels.totals import weighted_terms
from jaxglm.solvers.information import Information
from jaxglm.solvers.rank import GRAM_TOLERANCE, QR_TOLERANCE


class Terms(NamedTuple):
    """What columns of the mean predictor meet in the rows of a fit.

    Attributes
    ----------
    score : (n,) weighted derivative of nll in the mean predictor
    curvature : (n,) its weighted second derivative
    crossed : (n, P) curvature between the mean predictor and each coefficient
    basis : (n, r) orthonormal columns of the mean predictor
    """

    score: jax.Array
    curvature: jax.Array
    crossed: jax.Array
    basis: jax.Array


class Scores(NamedTuple):
    """Of each column: slope of the log-likelihood, information given the other coefficients, and whether aliased."""

    slope: np.ndarray
    information: np.ndarray
    aliased: np.ndarray


@jax.jit
def terms(model: Model, rows: Rows, theta: jax.Array, observed: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Weighted score and curvature of the mean predictor, (n,), and curvature against all coefficients, (n, P)."""
    point = Point(theta, observed, None, jnp.zeros(()))
    _, _, score, curvature = weighted_terms(model, point, rows, False)
    columns = model.layout.columns(rows.x, rows.y.shape[0])
    crossed = jnp.einsum("mk,mkp->mp", curvature[:, 0], columns, precision=jax.lax.Precision.HIGHEST)
    return score[:, 0], curvature[:, 0, 0], crossed


def basis(model: Model, rows: Rows, active: np.ndarray) -> np.ndarray:
    """Orthonormal columns of the mean predictor, (n, r)."""
    columns = np.asarray(_columns(model, rows))
    return np.linalg.qr(columns[:, active[: columns.shape[1]]])[0]


@jax.jit
def _columns(model: Model, rows: Rows) -> jax.Array:
    return model.layout.designs[0].columns(rows.x[0], rows.y.shape[0])


@jax.jit
def _block(terms: Terms, columns: jax.Array) -> tuple[jax.Array, ...]:
    """Sums over rows for a block of columns (n, b): in two products, since to read the columns is most of the work."""
    columns = columns.astype(float)
    weights = jnp.concatenate([-terms.score[None], terms.crossed.T, terms.basis.T])
    sums = matmul(weights, columns)
    own, length = matmul(jnp.stack([terms.curvature, jnp.ones_like(terms.curvature)]), columns**2)
    crossed, along = jnp.split(sums[1:], [terms.crossed.shape[1]])
    return sums[0], own, crossed, length, length - jnp.sum(along**2, axis=0)


def scores(terms: Terms, inverse: np.ndarray, columns: np.ndarray) -> Scores:
    """Scores of a block of columns (n, b) of any type of numbers, of which none is missing.

    Parameters
    ----------
    inverse : (P, P) inverse information of the fit at phi = 1, 0 where a coefficient is not estimated

    Notes
    -----
    Cost O(b n P), products of the columns with n x P weights. A column is aliased where its distance from the span
    of those of the mean predictor is a share of its length below the tolerance of a fit; where the products cannot tell
    it is computed. Columns with infinite values have NaN.
    """
    slope, own, crossed, length, left = (np.asarray(a) for a in _block(terms, columns))
    left, spanning = left.copy(), np.asarray(terms.basis)
    for i in np.flatnonzero(left < GRAM_TOLERANCE * length):
        column = columns[:, i].astype(float)
        rest = column - spanning @ (spanning.T @ column)
        rest -= spanning @ (spanning.T @ rest)
        left[i] = rest @ rest
    aliased = np.isfinite(length) & ~(left > QR_TOLERANCE**2 * length)
    with np.errstate(all="ignore"):
        information = own - np.sum(crossed * (inverse @ crossed), axis=0)
    return Scores(slope, np.where(aliased, np.nan, information), aliased)


@jax.jit
def scores_of_own(
    model: Model, rows: Rows, theta: jax.Array, active: jax.Array, observed: jax.Array, columns: jax.Array,
    freq: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    """As :func:`scores` where each column (b, n) has rows (b, n) and a fit (b, P) of its own; O(b n P^2)."""

    def one(theta, active, column, freq):
        own = rows._replace(freq=freq)
        score, curvature, crossed = terms(model, own, theta, observed)
        point = Point(theta, observed, None, jnp.zeros(()))
        _, _, _, whole = weighted_terms(model, point, own, False)
        information = Information.from_matrix(model.layout.gram(own.x, whole), active)
        cross = matmul(column, crossed)
        left = matmul(column**2, curvature)
        given = left - jnp.dot(cross, information.solve(cross))
        return -matmul(column, score), given, ~(given > GRAM_TOLERANCE**2 * left)

    return jax.vmap(one)(theta, active, columns, freq)


def adjusted(p_values: np.ndarray) -> np.ndarray:
    """p-values after Benjamini and Hochberg (1995): the least false discovery rate at which each is a discovery."""
    there = np.flatnonzero(np.isfinite(p_values))
    order = there[np.argsort(p_values[there], kind="stable")]
    count = len(order)
    found = np.full(len(p_values), np.nan)
    scaled = p_values[order] * count / np.arange(1, count + 1)
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return found
