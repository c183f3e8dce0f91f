"""Tests of hypotheses: what one gives, and the Wald test of linear ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxglm.errors import InputError, NotAvailableError
from jaxglm.fitted import Fit
from jaxglm.inference import intervals, parameters
from jaxglm.inference.covariance import Covariance

TESTS = ("Chisq", "F", "Rao")
#: Share of its length that is left of a row of hypotheses which others imply.
_DEPENDENT = 1e-10


@dataclass(frozen=True, repr=False)
class HypothesisTest:
    """The outcome of a test.

    Attributes
    ----------
    title : str
        What was tested, and how.
    statistic : float
        Chi-squared, or F where `df_denom` is finite.
    df : float
        Restrictions.
    df_denom : float
        Degrees of freedom of the denominator of F; inf for chi-squared.
    p_value : float
    hypothesis : tuple of str
        What the test doubts, one line a restriction; may be empty.
    notes : tuple of str
    """

    title: str
    statistic: float
    df: float
    df_denom: float
    p_value: float
    hypothesis: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        one = np.isinf(self.df_denom)
        degrees = f"{self.df:g}" if one else f"({self.df:g}, {self.df_denom:g})"
        p = "< 1e-16" if self.p_value < 1e-16 else f"= {self.p_value:.4g}"
        figures = f"  {'chi2' if one else 'F'}{degrees if not one else f'({degrees})'} = {self.statistic:.6g}, p {p}"
        return "\n".join([self.title, *(f"  H0: {line}" for line in self.hypothesis), figures, *self.notes])


def outcome(title: str, statistic: float, df: float, df_denom: float, **more) -> HypothesisTest:
    """A test whose statistic is chi-squared on `df`, told as F (statistic / df) where `df_denom` is finite."""
    statistic = float(statistic)
    if np.isinf(df_denom):
        return HypothesisTest(title, statistic, df, df_denom, intervals.chi2_p_value(statistic, df), **more)
    ratio = statistic / df if df > 0 else np.nan
    return HypothesisTest(title, ratio, df, df_denom, f_tail(ratio, df, df_denom), **more)


def f_tail(ratio: float, df: float, df_denom: float) -> float:
    """Upper tail of F, chi-squared where the denominator is infinite; NaN without degrees of freedom."""
    if not df > 0 or not df_denom > 0:
        return np.nan
    if np.isinf(df_denom):
        return intervals.chi2_p_value(ratio * df, df)
    return intervals.f_p_value(ratio, df, df_denom)


def independent_rows(matrix: np.ndarray, values: np.ndarray, texts: tuple[str, ...]) -> list[int]:
    """Rows that the rows before them do not imply.

    Raises
    ------
    InputError
        Restrictions that contradict each other, or one without any coefficient.
    """
    kept, basis = [], np.zeros((0, matrix.shape[1] + 1))
    for i, row in enumerate(matrix):
        length = np.linalg.norm(row)
        if length == 0:
            raise InputError(f"the hypothesis {texts[i]!r} has no coefficient in it")
        whole = np.append(row, values[i]) / length
        left = whole.copy()
        for _ in range(2):
            for other in basis:
                left = left - (left[:-1] @ other[:-1]) * other
        size = np.linalg.norm(left[:-1])
        if size > _DEPENDENT:
            kept.append(i)
            basis = np.vstack([basis, left / size])
        elif abs(left[-1]) > 1e-8 * (1.0 + abs(whole[-1])):
            raise InputError(f"the hypothesis {texts[i]!r} contradicts those before it: {', '.join(texts[:i])}")
    return kept


def wald(
    fit: Fit, covariance: Covariance, matrix: np.ndarray, values: np.ndarray, texts: tuple[str, ...], test: str | None
) -> HypothesisTest:
    """Wald test of ``matrix @ parameters = values``.

    Parameters
    ----------
    matrix : (q, P), of the parameters as they are reported
    values : (q,)
    texts : q lines that say what each row claims
    test : "Chisq", "F" or None for F where the covariance has degrees of freedom

    Raises
    ------
    InputError
        Restrictions contradict each other, concern a coefficient that has no estimate, or claim what lies at the end of
        a parameter's range.
    NotAvailableError
        The covariance has fewer dimensions than there are restrictions.

    Notes
    -----
    d' (R V R')^-1 d with d = R b - q (Wald 1943); F is that over q, on the covariance's degrees of freedom. A row that
    others imply is left out. Cost O(q P^2), no pass over the rows.
    """
    kept = independent_rows(matrix, values, texts)
    matrix, values, texts = matrix[kept], values[kept], tuple(texts[i] for i in kept)
    bound = (np.abs(matrix) @ fit.natural > 0) & (np.abs(matrix) @ ~fit.natural == 0) & (values <= 0)
    if bound.any():
        raise InputError(
            f"{texts[int(np.argmax(bound))]!r} lies at the end of that parameter's range, where a Wald test does not "
            "hold; compare information criteria of fits with and without it"
        )
    if test not in (None, "Chisq", "F"):
        raise InputError(f"test must be 'Chisq' or 'F', not {test!r}")
    used = np.flatnonzero(np.any(matrix != 0, axis=0))
    estimates = np.nan_to_num(parameters.estimates(fit), nan=0.0)
    variance = parameters.covariance_matrix(fit, covariance)[np.ix_(used, used)]
    statistic = quadratic(matrix @ estimates - values, matrix[:, used] @ variance @ matrix[:, used].T, covariance)
    df_denom = denominator(covariance, test)
    kind = "" if covariance.kind == "nonrobust" else f", {covariance.kind} covariance"
    return outcome(f"Wald test{kind}", statistic, float(len(kept)), df_denom, hypothesis=texts)


def denominator(covariance: Covariance, test: str | None) -> float:
    """Degrees of freedom below a Wald statistic.

    Raises
    ------
    InputError
        F is asked for where there are none.
    """
    if test == "F" and np.isinf(covariance.df):
        raise InputError(
            "an F test needs degrees of freedom below it, which this covariance has not (the dispersion is known); use "
            "test='Chisq', or fit with use_t=True"
        )
    return np.inf if test == "Chisq" else covariance.df


def quadratic(distance: np.ndarray, variance: np.ndarray, covariance: Covariance) -> float:
    """distance' variance^-1 distance, (q,) and (q, q)."""
    if len(distance) == 0:
        return 0.0
    size = np.sqrt(np.diagonal(variance))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = variance / np.outer(size, size)
    if not np.isfinite(scaled).all():
        return np.nan
    try:
        lower = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        lower = np.zeros_like(scaled)
    # Below this square of a pivot the matrix has lost a dimension to rounding.
    if np.min(np.diagonal(lower)) ** 2 < 1e-12:
        raise NotAvailableError(
            f"the {covariance.kind} covariance cannot tell the {len(distance)} restrictions apart (it has fewer "
            "dimensions, such as few clusters); test fewer of them"
        )
    return float(np.sum(np.linalg.solve(lower, distance / size) ** 2))


def wald_of(fit: Fit, covariance: Covariance, columns: np.ndarray) -> tuple[float, int]:
    """Chi-squared statistic and degrees of freedom of the hypothesis that some coefficients (P,) bool are all 0."""
    used = np.flatnonzero(columns & fit.active)
    variance = covariance.matrix[np.ix_(used, used)]
    return quadratic(fit.theta[used], variance, covariance), len(used)
