"""Sums over rows of the mean, of its slopes, and of their derivatives in the coefficients: what margins average."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxglm.design import Layout
from jaxglm.design.base import matmul
from jaxglm.families import Family
from jaxglm.kernels.base import Kernel, Model, RowMap, Rows


class Setting(NamedTuple):
    """The ``x`` of rows that were put into a setting; ``freq`` of these rows is their weight in the average.

    Attributes
    ----------
    x : row pytree of the layout
    tangents : tuple of such pytrees
        Their alternating sum, + - + - ..., is the derivative of x in a column of the data.
    tangent_offset : (m, K), derivative of the offset, or None for 0
    factor : (m,) number by which the value of a row is multiplied, or None for 1
    group : (m,) int, group of the row, or None where there is one
    """

    x: Any
    tangents: tuple = ()
    tangent_offset: jax.Array | None = None
    factor: jax.Array | None = None
    group: jax.Array | None = None

    def laid(self, layout: Layout) -> Setting:
        """With rows laid out for many readings; tangents are read but once."""
        return self._replace(x=layout.laid(self.x))


class Sums(NamedTuple):
    """Sums over rows for each of G groups.

    Attributes
    ----------
    weight : (G,)
    value : (q, G)
    gradient : (P, q, G), derivative of the values in theta
    """

    weight: jax.Array
    value: jax.Array
    gradient: Any


@dataclass(frozen=True)
class Outcome:
    """What is averaged, a function of one row; here the mean on the response scale."""

    def value(self, family: Family, eta: jax.Array, aux: dict) -> jax.Array:
        """The outcome of one row."""
        return family.mean(eta, aux)


@dataclass(frozen=True)
class LinkOutcome(Outcome):
    """The linear predictor of the mean."""

    def value(self, family: Family, eta: jax.Array, aux: dict) -> jax.Array:
        return eta[0]


@dataclass(frozen=True)
class LogOutcome(Outcome):
    """The log of another outcome."""

    inner: Outcome = Outcome()

    def value(self, family: Family, eta: jax.Array, aux: dict) -> jax.Array:
        return jnp.log(self.inner.value(family, eta, aux))


@dataclass(frozen=True)
class Average(Kernel):
    """Base of sums over rows ``x = Setting(...)``; cost O(m P q G)."""

    outcome: Outcome = Outcome()
    n_groups: int = 1

    @abstractmethod
    def terms(self, model: Model, theta: jax.Array, eta: jax.Array, rows: Rows) -> tuple[jax.Array, list]:
        """Values (m, q), and pairs of rows of the layout and derivatives of the values in their eta, (m, K, q)."""

    def map(self, model: Model, point: jax.Array, rows: Rows) -> Sums:
        setting = rows.x
        eta = model.eta(rows._replace(x=setting.x), point)
        values, slopes = self.terms(model, point, eta, rows)
        member = jnp.ones((eta.shape[0], 1))
        if setting.group is not None:
            member = (setting.group[:, None] == jnp.arange(self.n_groups)).astype(float)
        weight = member * rows.freq[:, None]
        share = weight if setting.factor is None else weight * setting.factor[:, None]
        total = None
        for x, slope in slopes:
            score = (slope[..., None] * share[:, None, None, :]).reshape(*slope.shape[:2], -1)
            part = model.layout.gradient_sums(x, score)
            total = part if total is None else jax.tree.map(jnp.add, total, part)
        return Sums(jnp.sum(weight, axis=0), matmul(values.T, share), total)

    def finish(self, model: Model, value: Sums) -> Sums:
        gradient = model.layout.gradient_of(value.gradient)
        return value._replace(gradient=gradient.reshape(-1, *value.value.shape))

    def derivatives(self, model: Model, eta: jax.Array, aux: dict) -> tuple[jax.Array, jax.Array]:
        """First and second derivatives of the outcome in eta, (m, K) and (m, K, K)."""

        def gradient(e, a):
            return jax.grad(lambda t: self.outcome.value(model.family, t, a))(e)

        def both(e, a):
            return gradient(e, a), jax.jacfwd(gradient)(e, a)

        return jax.vmap(both)(eta, aux)


@dataclass(frozen=True)
class Level(Average):
    """The outcome itself; q = 1."""

    def terms(self, model: Model, theta: jax.Array, eta: jax.Array, rows: Rows) -> tuple[jax.Array, list]:
        def value(e, a):
            return self.outcome.value(model.family, e, a)

        values, slopes = jax.vmap(jax.value_and_grad(value))(eta, rows.aux)
        return values[:, None], [(rows.x.x, slopes[..., None])]


@dataclass(frozen=True)
class Slopes(Average):
    """Derivative of the outcome in each predictor; q = K.

    With it goes the slope of every column that enters one predictor by itself: coefficient times value.
    """

    def terms(self, model: Model, theta: jax.Array, eta: jax.Array, rows: Rows) -> tuple[jax.Array, list]:
        first, second = self.derivatives(model, eta, rows.aux)
        return first, [(rows.x.x, second)]


@dataclass(frozen=True)
class Tangent(Average):
    """Derivative of the outcome in the column that the tangents belong to; q = 1."""

    def terms(self, model: Model, theta: jax.Array, eta: jax.Array, rows: Rows) -> tuple[jax.Array, list]:
        first, second = self.derivatives(model, eta, rows.aux)
        rate = jnp.zeros_like(eta) if rows.x.tangent_offset is None else rows.x.tangent_offset
        slopes = []
        for i, x in enumerate(rows.x.tangents):
            sign = 1.0 - 2.0 * (i % 2)
            rate = rate + sign * model.layout.eta(x, theta, None, eta.shape[0])
            slopes.append((x, sign * first[..., None]))
        bend = jnp.sum(second * rate[:, None, :], axis=2)
        return jnp.sum(first * rate, axis=1)[:, None], [(rows.x.x, bend[..., None]), *slopes]


@dataclass(frozen=True)
class Loose(RowMap):
    """Whether the rows of a setting, or its tangents, break the dependences ``x @ point = 0`` (P, q), (m,) bool."""

    tolerance: float = 1e-7

    def map(self, model: Model, point: jax.Array, rows: Rows) -> jax.Array:
        m = rows.y.shape[0]

        def sums(x, weights):
            # Each coefficient belongs to one predictor, so the sum over predictors is the row of all columns.
            return matmul(jnp.sum(model.layout.columns(x, m), axis=1), weights)

        def size(x):
            return matmul(jnp.abs(jnp.sum(model.layout.columns(x, m), axis=1)), jnp.abs(point))

        pairs = rows.x.tangents
        gap, scale = sums(rows.x.x, point), size(rows.x.x)
        loose = jnp.any(jnp.abs(gap) > self.tolerance * scale, axis=1)
        if pairs:
            rate = sum((1.0 - 2.0 * (i % 2)) * sums(x, point) for i, x in enumerate(pairs))
            loose |= jnp.any(jnp.abs(rate) > self.tolerance * sum(size(x) for x in pairs), axis=1)
        return loose


@dataclass(frozen=True)
class Alongside(RowMap):
    """What rows have besides their design: ``freq``, ``prior``, ``offset`` and ``aux``, as far as there is any."""

    def map(self, model: Model, point: None, rows: Rows) -> dict[str, Any]:
        return {"freq": rows.freq, "prior": rows.prior, "offset": rows.offset, "aux": dict(rows.aux)}
