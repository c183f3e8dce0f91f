"""Averages over rows of what a model predicts, and of its slopes, with delta-method standard errors.

An average a(theta) = sum w_i h_i(theta) / sum w_i has variance g' V g, with g its derivative in theta and V the
covariance of the coefficients; the rows are taken as given (Oehlert 1992). Sums add over pieces of the rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxglm.fitted import Fit
from jaxglm.inference.covariance import Covariance
from jaxglm.inference.predict import dependences
from jaxglm.kernels import Level, Loose, Outcome, Rows, Setting, Slopes, Tangent
from jaxglm.precision import host
from jaxglm.sources import ArraySource, Source


@dataclass(frozen=True)
class Estimates:
    """Estimates q with their derivative in the coefficients.

    Attributes
    ----------
    values : (q,)
    jacobian : (q, P)
    """

    values: np.ndarray
    jacobian: np.ndarray

    def combine(self, weights: np.ndarray) -> Estimates:
        """Linear combinations, one a row of `weights` (r, q)."""
        # What a combination leaves out may be NaN.
        used = weights != 0
        with np.errstate(invalid="ignore"):
            lost = (used & np.isnan(self.values)).any(axis=1)
        values = weights @ np.nan_to_num(self.values)
        return Estimates(np.where(lost, np.nan, values), weights @ np.nan_to_num(self.jacobian))

    def covariance(self, covariance: Covariance) -> np.ndarray:
        """Covariance of the estimates, (q, q), NaN where an estimate is."""
        clean = np.where(np.isnan(covariance.matrix), 0.0, covariance.matrix)
        made = self.jacobian @ clean @ self.jacobian.T
        # No coefficient has a standard error (a failed fit, a single row): nor has any function of them.
        lost = np.isnan(self.values) | (np.isnan(np.diagonal(covariance.matrix)).all() if len(clean) else True)
        return np.where(lost[:, None] | lost[None, :], np.nan, made)


@dataclass
class Tally:
    """Sums by key, added up piece by piece."""

    weight: dict[Hashable, float] = field(default_factory=dict)
    value: dict[Hashable, np.ndarray] = field(default_factory=dict)
    gradient: dict[Hashable, np.ndarray] = field(default_factory=dict)

    def add(self, key: Hashable, groups: Sequence[Hashable], sums: Any) -> None:
        """Sums of a piece; each of its groups is kept under (key, group)."""
        for g, group in enumerate(groups):
            self._put((key, group), (sums.weight[g], sums.value[:, g], sums.gradient[:, :, g]))

    def _put(self, full: Hashable, parts: Sequence[Any]) -> None:
        for store, part in zip((self.weight, self.value, self.gradient), parts, strict=True):
            store[full] = store[full] + part if full in store else part

    def sent(self) -> dict[str, Any] | None:
        """All sums, in few arrays; None if there are none."""
        if not self.weight:
            return None
        values, gradients = list(self.value.values()), list(self.gradient.values())
        return {
            "keys": list(self.weight), "sizes": [len(value) for value in values],
            "weight": np.array(list(self.weight.values()), float), "value": np.concatenate(values),
            "gradient": np.concatenate(gradients, axis=1),
        }  # fmt: skip

    def receive(self, sent: Mapping[str, Any] | None) -> None:
        """Add what :meth:`sent` of another tally gave."""
        if sent is None:
            return
        edges = np.cumsum(sent["sizes"])[:-1]
        values, gradients = np.split(sent["value"], edges), np.split(sent["gradient"], edges, axis=1)
        for full, *parts in zip(sent["keys"], sent["weight"], values, gradients, strict=True):
            self._put(full, parts)

    def lose(self, key: Hashable, groups: Sequence[Hashable]) -> None:
        """Mark groups whose average the fit does not determine."""
        for group in groups:
            self.value[key, group] = self.value[key, group] * np.nan

    def average(self, key: Hashable, group: Hashable) -> Estimates:
        """Averages of a group: q values."""
        full = (key, group)
        return Estimates(self.value[full] / self.weight[full], self.gradient[full].T / self.weight[full])


@dataclass(frozen=True)
class Measure:
    """Averages over rows of one outcome of a fit.

    Attributes
    ----------
    fit : Fit
    outcome : Outcome
    """

    fit: Fit
    outcome: Outcome

    def level(self, rows: Rows, groups: int = 1) -> Any:
        """Sums of the outcome over host rows ``x = Setting(...)``; cost O(m P)."""
        return self._reduce(Level(self.outcome, _room(groups)), ArraySource.from_rows(rows))

    def slopes(self, source: Source, groups: int = 1) -> Any:
        """Sums of its derivatives in the predictors; cost O(m P K)."""
        return self._reduce(Slopes(self.outcome, _room(groups)), source)

    def tangent(self, rows: Rows, groups: int = 1) -> Any:
        """Sums of its derivative in the column whose tangents the rows have; cost O(m P)."""
        return self._reduce(Tangent(self.outcome, _room(groups)), ArraySource.from_rows(rows))

    def _reduce(self, kernel: Any, source: Source) -> Any:
        return host(source.reduce(kernel, self.fit.model, self.fit.coefficients))

    def as_they_are(self, probability: bool) -> Source:
        """The fitted rows with their weight in averages."""

        def change(rows: Rows) -> Rows:
            weight = rows.weight if probability else rows.freq
            # Sums in working precision, whatever that of the rows is; eta takes that of y.
            return rows._replace(x=Setting(rows.x), y=rows.y.astype(float), freq=weight.astype(float), prior=None)

        return self.fit.rows.replace(change)

    def loose(self, rows: Rows) -> np.ndarray:
        """Rows of a setting that combine columns as an aliased fit does not determine, (m,) bool."""
        found = ArraySource.from_rows(rows).map_rows(Loose(), self.fit.model, dependences(self.fit))
        return found & (rows.freq > 0)

    def constant(self, slopes: Estimates, derivative: dict[int, float]) -> Estimates:
        """The slope in a column from the averages of :meth:`slopes`; `derivative` as in the model's columns."""
        fit = self.fit
        theta, k = fit.coefficients, fit.model.layout.n_predictors
        sizes = [design.n_columns for design in fit.model.layout.designs]
        predictor = np.repeat(np.arange(k), sizes)
        value, jacobian = 0.0, np.zeros(len(theta))
        for place, rate in derivative.items():
            of = predictor[place]
            value = value + rate * theta[place] * slopes.values[of]
            jacobian = jacobian + rate * theta[place] * slopes.jacobian[of]
            jacobian[place] += rate * slopes.values[of]
        direction = np.zeros(len(theta))
        direction[list(derivative)] = list(derivative.values())
        if np.any(np.abs(direction @ dependences(fit)) > 1e-7):
            value = np.nan
        return Estimates(np.array([value]), jacobian[None])


def _room(groups: int) -> int:
    """Groups that are compiled for: a power of two, so that pieces with more or fewer of them share code."""
    return 1 << max(groups - 1, 0).bit_length()


def stack(parts: Sequence[Estimates]) -> Estimates:
    """Estimates one after the other."""
    return Estimates(np.concatenate([p.values for p in parts]), np.concatenate([p.jacobian for p in parts]))


def against_base(n: int, base: int) -> list[tuple[int, int]]:
    """Each level against one, as pairs (level, other)."""
    return [(i, base) for i in range(n) if i != base]


def sequential(n: int, base: int) -> list[tuple[int, int]]:
    """Each level against the one before."""
    return [(i, i - 1) for i in range(1, n)]


def pairwise(n: int, base: int) -> list[tuple[int, int]]:
    """Each level against every one before."""
    return [(i, j) for i in range(1, n) for j in range(i)]


def differences(pairs: Sequence[tuple[int, int]], n: int) -> np.ndarray:
    """Weights of first minus second, (r, n)."""
    weights = np.zeros((len(pairs), n))
    for row, (i, j) in enumerate(pairs):
        weights[row, i], weights[row, j] = 1.0, -1.0
    return weights
