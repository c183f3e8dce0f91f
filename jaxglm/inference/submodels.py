"""Submodels of a fit, and the tables of tests that compare them.

A submodel keeps the rows, the columns and all else of the fit, and holds the coefficients of some terms at 0, which
gives the numbers of R's ``anova``, ``drop1`` and ``car::Anova``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from jaxglm.errors import InputError, Status, near
from jaxglm.fitted import Fit
from jaxglm.inference import intervals, likelihood
from jaxglm.inference.covariance import Covariance
from jaxglm.inference.hypotheses import TESTS, denominator, f_tail, wald_of
from jaxglm.inference.refits import refit
from jaxglm.kernels import Facts, Model, Newton, Point, Totals
from jaxglm.solvers import drive, lanes
from jaxglm.sources import Source


@dataclass(frozen=True)
class Row:
    """A line of a table of tests; NaN where a column has no meaning for it.

    Attributes
    ----------
    df, deviance : how many coefficients, and how much deviance, the larger model has gained
    fit : Fit or None, the model of the line
    statistic, p_value : float
    """

    df: float = np.nan
    deviance: float = np.nan
    fit: Fit | None = None
    statistic: float = np.nan
    p_value: float = np.nan


@dataclass(frozen=True)
class Submodels:
    """Submodels of a fit by which of its coefficients they have; each is fitted once.

    Use it inside :func:`jaxglm.precision.scope`.
    """

    fit: Fit
    known: dict[bytes, Fit] = field(default_factory=dict)

    @cached_property
    def source(self) -> Source:
        """The rows."""
        return self.fit.rows

    @cached_property
    def facts(self) -> Facts:
        """What one pass tells of the rows."""
        return drive.survey(self.source, self.fit.model)

    def of(self, *sets: np.ndarray) -> list[Fit]:
        """Submodels by their coefficients (P,) bool; those that are new are fitted side by side."""
        new = {s.tobytes(): s for s in sets if not s.all() and s.tobytes() not in self.known}
        if new:
            fits = refit(self.fit, self.source, self.facts, list(new.values()))
            self.known.update(zip(new, fits, strict=True))
        return [self.fit if s.all() else self.known[s.tobytes()] for s in sets]

    @property
    def stopped(self) -> list[Status]:
        """How submodels ended that did not converge."""
        ended = [fit.status for fit in self.known.values() if fit.rank.active.any()]
        return [status for status in ended if not (status.converged or status is Status.SEPARATED)]

    def scores(self, pairs: Sequence[tuple[Fit, Fit]]) -> list[float]:
        """Score statistics at phi = 1 of submodels against larger ones."""
        model = self.fit.model
        points = [_score_point(small, small.coefficients, model) for small, _ in pairs]
        size = lanes.size_of(len(points), len(self.fit.theta))
        totals = lanes.evaluate(self.source, model, Newton(), points, size)
        return [_score(t, large.rank.active & ~small.held) for t, (small, large) in zip(totals, pairs, strict=True)]


def score_statistic(
    source: Source, fit: Fit, theta: np.ndarray, active: np.ndarray, model: Model | None = None
) -> float:
    """U' I^-1 U of the score U and the information I at theta over the active coefficients; NaN where I has no inverse.

    The information is the kind that the fit reports (Rao 1948; R takes the expected one). One pass.
    """
    model = fit.model if model is None else model
    return _score(source.reduce(Newton(), model, _score_point(fit, theta, model)), active)


def _score_point(fit: Fit, theta: np.ndarray, model: Model) -> Point:
    observed = fit.information == "observed" or not model.family.has_expected
    return Point(theta, np.asarray(observed), np.asarray(False), np.asarray(0.0))


def _score(totals: Totals, active: np.ndarray) -> float:
    factor = drive.factor(totals.information, active)
    score = np.where(active, np.asarray(totals.gradient), 0.0)
    return float(score @ factor.solve(score)) if factor.ok else np.nan


def misfit(fit: Fit) -> float:
    """What falls by the likelihood ratio statistic (at phi = 1) from a model to a larger one.

    The deviance; where other parameters than the mean's are estimated, which the deviance takes as given, or where
    there is none, minus twice the log-likelihood.
    """
    family = fit.model.family
    if family.has("unit_deviance") and len(family.predictors) == 1:
        return fit.deviance
    return -2.0 * fit.llf


def counted(fit: Fit) -> float:
    """Estimated coefficients."""
    return float(fit.rank.active.sum())


def check_test(fit: Fit, test: str | None) -> str:
    """The test that is meant: by default Chisq where the dispersion is known, else F.

    Raises
    ------
    InputError
        An unknown name, or F where the dispersion is known.
    """
    known = fit.model.family.dispersion_known
    if test is None:
        return "Chisq" if known else "F"
    if test not in TESTS:
        raise InputError(f"test must be 'Chisq', 'F' or 'Rao', not {test!r}.{near(str(test), TESTS)}")
    if test == "F" and known:
        raise InputError(
            f"an F test needs a dispersion that is estimated, and that of the {fit.model.family.name} family is known "
            "to be 1; use test='Chisq', or a quasi family if the data vary more"
        )
    return test


def tested(row: Row, test: str, amount: float, scale: float, df_denom: float) -> Row:
    """The line with the test of an amount of deviance, or of a score statistic at phi = 1, as R's ``stat.anova``."""
    if row.df == 0 or np.isnan(amount) or not scale >= 0:
        return row
    with np.errstate(divide="ignore", invalid="ignore"):
        # A perfect fit leaves nothing to divide by.
        statistic, df = np.divide(amount * np.sign(row.df), scale), abs(row.df)
    if np.isinf(statistic):
        return replace(row, statistic=float(statistic), p_value=0.0 if statistic > 0 else np.nan)
    if test == "F":
        ratio = statistic / df
        return replace(row, statistic=ratio, p_value=f_tail(ratio, df, df_denom) if ratio >= 0 else np.nan)
    # A larger model that fits worse is no proof of anything, as where a solver stopped early.
    p_value = intervals.chi2_p_value(statistic, df) if statistic >= 0 else np.nan
    return replace(row, statistic=statistic, p_value=p_value)


def _gains(models: Submodels, pairs: Sequence[tuple[Fit, Fit]], test: str) -> list[Row]:
    """What larger submodels of the fit have over smaller ones, with the dispersion of the whole fit."""
    fit = models.fit
    rows = [Row(counted(large) - counted(small), max(misfit(small) - misfit(large), 0.0)) for small, large in pairs]
    amounts = [row.deviance for row in rows]
    if test == "Rao":
        gaining = [i for i, row in enumerate(rows) if row.df > 0]
        for i, score in zip(gaining, models.scores([pairs[i] for i in gaining]), strict=True):
            amounts[i] = score
    return [tested(row, test, amount, fit.scale, fit.df_resid) for row, amount in zip(rows, amounts, strict=True)]


def sequential(models: Submodels, terms: Sequence[np.ndarray], test: str) -> list[Row]:
    """Type 1: each term added to those before it, after a first line of the model without any.

    `terms` are (P,) bool, one a term; coefficients of none stay in every model.
    """
    free = ~np.logical_or.reduce(terms) if len(terms) else np.ones(len(models.fit.theta), bool)
    fits = models.of(*itertools.accumulate(terms, np.logical_or, initial=free))
    rows = _gains(models, list(itertools.pairwise(fits)), test)
    return [Row(fit=fits[0]), *(replace(row, fit=fit) for row, fit in zip(rows, fits[1:], strict=True))]


def marginal(models: Submodels, terms: Sequence[np.ndarray], above: Sequence[np.ndarray], test: str) -> list[Row]:
    """Type 2: each term added to all others but those that contain it; `above` (P,) bool are the columns of those."""
    pairs = list(zip(terms, above, strict=True))
    fits = models.of(*(~(term | higher) for term, higher in pairs), *(~higher for _, higher in pairs))
    small, large = fits[: len(pairs)], fits[len(pairs) :]
    rows = _gains(models, list(zip(small, large, strict=True)), test)
    return [replace(row, fit=fit) for row, fit in zip(rows, small, strict=True)]


def dropped(models: Submodels, terms: Sequence[np.ndarray], test: str) -> list[Row]:
    """Each term left out, as R's ``drop1``.

    F there divides by deviance / df_resid, and Chisq of the Gaussian is the likelihood ratio at each model's own
    variance.
    """
    whole = models.fit
    rows = [Row(fit=whole)]
    fits = models.of(*(~term for term in terms))
    for without, row in zip(fits, _gains(models, [(fit, whole) for fit in fits], test), strict=True):
        if test == "F":
            base = whole.deviance / whole.df_resid if whole.df_resid > 0 else np.nan
            row = tested(Row(row.df, row.deviance), test, row.deviance, base, whole.df_resid)
        elif test == "Chisq" and whole.model.family.profiled:
            gained = max(_criterion(whole, without) - _criterion(whole, whole), 0.0)
            row = tested(Row(row.df, row.deviance), test, gained, 1.0, np.inf)
        rows.append(replace(row, fit=without))
    return rows


def _criterion(whole: Fit, fit: Fit) -> float:
    """Minus twice the log-likelihood up to a constant, as R's ``drop1`` takes it."""
    if whole.model.family.profiled:
        with np.errstate(divide="ignore"):
            return whole.nobs * float(np.log(fit.deviance / whole.nobs))
    return misfit(fit) / whole.scale if whole.scale > 0 else np.nan


def akaike(whole: Fit, fit: Fit) -> float:
    """AIC of a submodel as R's ``drop1`` gives it: at the dispersion of the whole fit, which has its own AIC."""
    more = _criterion(whole, fit) - _criterion(whole, whole)
    return likelihood.aic(whole) + more + 2 * (counted(fit) - counted(whole))


def wald_rows(fit: Fit, covariance: Covariance, pairs: Sequence[tuple[np.ndarray, np.ndarray]], test: str) -> list[Row]:
    """For each pair of columns (P,) bool the Wald test of the first where those of the second are 0 too.

    Statistics of nested hypotheses differ by that of the difference given the rest, so no model is fitted anew.
    """
    df_denom = denominator(covariance, test)
    rows = []
    for term, rest in pairs:
        outer, df_outer = wald_of(fit, covariance, term | rest)
        inner, df_inner = wald_of(fit, covariance, rest)
        df = df_outer - df_inner
        rows.append(tested(Row(float(df)), test, outer - inner, 1.0, df_denom))
    return rows
