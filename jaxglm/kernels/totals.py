"""The sums that a Newton step needs, in one pass over the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxglm.kernels.base import Kernel, Model, Rows, total
from jaxglm.kernels.rows import RowTerms, row_terms


class Point(NamedTuple):
    """Where :class:`Newton` is evaluated.

    Attributes
    ----------
    theta : (P,) coefficients
    observed : bool scalar, observed instead of expected curvature
    start : bool scalar, evaluate at the family's starting eta of each row instead of at theta;
        the gradient is then that of the quadratic model at theta. None for never, which saves the starting values
    center : scalar, weighted mean of y, read only when starting
    """

    theta: jax.Array
    observed: jax.Array
    start: jax.Array | None
    center: jax.Array


class Totals(NamedTuple):
    """Sums over rows.

    Attributes
    ----------
    nll : negative log-likelihood in nats at phi = 1
    size : sum of absolute row values, the yardstick of its rounding
    gradient : (P,) derivative of nll
    information : (P, P) its curvature, or None
    pearson : Pearson chi-squared; 0 where the dispersion is known
    level : sum of w mu^2 / V(mu), the scale on which a perfect fit is judged
    """

    nll: jax.Array
    size: jax.Array
    gradient: jax.Array
    information: jax.Array | None
    pearson: jax.Array
    level: jax.Array


def weighted_terms(model: Model, point: Point, rows: Rows, scoring: bool, curved: bool = True):
    """eta and the weighted row terms at a point: (eta, nll, score, curvature); no curvature where none is asked for."""
    family = model.family
    eta = model.eta(rows, point.theta)
    w = rows.weight
    if point.start is None:
        terms = row_terms(family, rows.y, eta, rows.aux, point.observed, scoring, curved)
        return eta, *_weighted(w, terms)
    center = point.center.astype(rows.y.dtype)
    initial = jax.vmap(family.start, in_axes=(0, 0, None))(rows.y, rows.aux, center)
    at = jnp.where(point.start, initial, eta)
    terms = row_terms(family, rows.y, at, rows.aux, point.observed, scoring)
    # At a start the quadratic model is taken at `at` but written around theta.
    shift = jnp.where(point.start, at - eta, 0.0)
    if eta.shape[1] == 1:
        score = (terms.score[:, 0] - terms.curvature[:, 0, 0] * shift[:, 0])[:, None]
    else:
        score = terms.score - jnp.einsum("mkl,ml->mk", terms.curvature, shift)
    return at, *_weighted(w, terms._replace(score=score))


def _weighted(w: jax.Array, terms: RowTerms) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Row terms times the weights of the rows."""
    nll, score, curvature = terms
    if score.shape[1] > 1:
        return w * nll, w[:, None] * score, None if curvature is None else w[:, None, None] * curvature
    # As vectors: loops over an array with a last axis of one entry would not be vectorized.
    curvature = None if curvature is None else (w * curvature[:, 0, 0])[:, None, None]
    return w * nll, (w * score[:, 0])[:, None], curvature


def pearson_terms(model: Model, eta: jax.Array, rows: Rows) -> tuple[jax.Array, jax.Array]:
    """Pearson chi-squared and sum of w mu^2 / V."""
    family = model.family
    mu = jax.vmap(family.mean)(eta, rows.aux)
    variance = jax.vmap(family.variance)(mu, eta, rows.aux)
    w = rows.weight / variance
    return total(w * (rows.y - mu) ** 2), total(w * mu**2)


@dataclass(frozen=True)
class Newton(Kernel):
    """Value, gradient and information of the model; cost O(m P^2).

    Attributes
    ----------
    scoring : bool
        Take the family's curvature for steps in place of the expected information that is reported.
    gram : "full", "coarse" or "none"
        The products of X'WX in working precision, in single precision (errors of about 1e-6 of the diagonal), or left
        out (the information is None), which leaves a cost of O(m P).
    """

    scoring: bool = False
    gram: str = "full"

    def map(self, model: Model, point: Point, rows: Rows) -> Totals:
        return self.sums(model, rows, weighted_terms(model, point, rows, self.scoring, self.gram != "none"))

    @property
    def scatters(self) -> bool:
        return self.gram != "none"

    def accumulate(self, total: Totals, model: Model, point: Point, rows: Rows) -> Totals:
        return self.add(total, model, rows, weighted_terms(model, point, rows, self.scoring, self.gram != "none"))

    def add(self, total: Totals, model: Model, rows: Rows, terms: tuple) -> Totals:
        """A total with the :meth:`sums` of a block."""
        layout = model.layout
        whole = self.combine(total._replace(gradient=None, information=None), self._values(model, rows, terms))
        if self.gram == "none":
            return whole._replace(gradient=self.combine(total.gradient, layout.gradient_sums(rows.x, terms[2])))
        gradient, information = layout.add_sums(
            total.gradient, total.information, rows.x, terms[2], self._precise(terms[3])
        )
        return whole._replace(gradient=gradient, information=information)

    def _precise(self, curvature: jax.Array) -> jax.Array:
        """Curvatures in the precision of the products."""
        return curvature.astype(jnp.float32) if self.gram == "coarse" else curvature

    def sums(self, model: Model, rows: Rows, terms: tuple) -> Totals:
        """The value of a block from its :func:`weighted_terms`."""
        information = None
        if self.gram != "none":
            information = model.layout.gram_sums(rows.x, self._precise(terms[3]))
        gradient = model.layout.gradient_sums(rows.x, terms[2])
        return self._values(model, rows, terms)._replace(gradient=gradient, information=information)

    def _values(self, model: Model, rows: Rows, terms: tuple) -> Totals:
        """The sums of a block that no column takes part in."""
        eta, nll, _, _ = terms
        zero = jnp.zeros(())
        pearson = (zero, zero) if model.family.dispersion_known else pearson_terms(model, eta, rows)
        return Totals(total(nll), total(jnp.abs(nll)), None, None, *pearson)

    def finish(self, model: Model, value: Totals) -> Totals:
        layout = model.layout
        information = None if self.gram == "none" else layout.gram_of(value.information)
        return value._replace(gradient=layout.gradient_of(value.gradient), information=information)
