"""Two fits side by side: whether they can be compared, and the likelihood ratio test."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglm.errors import DataWarning, InputError, NotAvailableError
from jaxglm.fitted import Fit
from jaxglm.inference.hypotheses import HypothesisTest, outcome
from jaxglm.inference.submodels import counted, score_statistic
from jaxglm.kernels import Matrix, Predictors, Survey

#: Numbers in both model matrices up to which it is looked at whether one holds the other.
_SMALL = 4_000_000
#: Distance of a column from the span of others, relative to its length, that rounding explains.
_SPANNED = 1e-7
#: Relative difference of two sums over the same rows.
_SAME = 1e-9


def check_comparable(a: Fit, b: Fit) -> None:
    """Raise unless two fits have the same family and, as far as can be seen, the same rows.

    Raises
    ------
    InputError
        With what differs; missing values that one model drops and the other does not are the usual reason.
    """
    one, other = a.model.family, b.model.family
    if not _same(one, other):
        raise InputError(
            f"the models have different families, {one} and {other}, which no such test compares; compare their AIC"
        )
    if a.n_rows != b.n_rows or not np.isclose(a.nobs, b.nobs, rtol=_SAME):
        raise InputError(
            f"the models were fitted to different rows: {a.nobs:,.10g} and {b.nobs:,.10g} observations. Missing values "
            "in a column that only one of them uses are the usual reason; drop those rows from the data and fit both "
            "again"
        )
    if not np.isclose(a.weight, b.weight, rtol=_SAME):
        raise InputError(f"the models have different weights, which sum to {a.weight:,.10g} and {b.weight:,.10g}")
    if a.source is not None and b.source is not None and a.source is not b.source:
        totals = [float(fit.rows.reduce(Survey("none"), fit.model, None).total) for fit in (a, b)]
        if not np.isclose(*totals, rtol=_SAME):
            raise InputError(
                f"the models have different responses or weights: the weighted sums of y are {totals[0]:.10g} and "
                f"{totals[1]:.10g}"
            )


def _same(one: Any, other: Any) -> bool:
    leaves, others = jax.tree.leaves(one), jax.tree.leaves(other)
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        np.array_equal(x, y) for x, y in zip(leaves, others, strict=True)
    )


def check_nested(small: Fit, large: Fit, names: Callable[[Fit], set[str]], offsets: bool) -> None:
    """Raise where the columns of one model are no combinations of those of the other; warn where that cannot be seen.

    Parameters
    ----------
    names : gives the names of a fit's estimated columns
    offsets : whether either model has an offset, so that names alone prove nothing
    """
    if counted(small) >= counted(large):
        raise InputError(
            f"neither model holds the other: both have {counted(large):g} estimated coefficients"
            if counted(small) == counted(large)
            else "the model that is tested has more coefficients than the other"
        )
    if names(small) <= names(large) and (not offsets or _same_offsets(small, large)):
        return
    size = small.n_rows * (len(small.theta) + len(large.theta)) * len(small.model.family.predictors)
    if small.source is None or large.source is None or size > _SMALL:
        warnings.warn(
            "whether the smaller model is a special case of the larger one was not looked at: their columns have "
            "different names or offsets, and the rows were not kept or are many",
            DataWarning,
            stacklevel=5,
        )
        return
    a, b = (fit.rows.map_rows(Matrix(), fit.model, None) for fit in (small, large))
    rows = a["offset"].size
    wanted = a["columns"].reshape(rows, -1)[:, small.rank.active]
    shift = (a["offset"] - b["offset"]).reshape(rows, 1)
    basis = np.linalg.qr(b["columns"].reshape(rows, -1)[:, large.rank.active])[0]
    columns = np.column_stack([wanted, shift])
    left = columns - basis @ (basis.T @ columns)
    if (np.linalg.norm(left, axis=0) > _SPANNED * np.linalg.norm(columns, axis=0)).any():
        beyond = sorted(names(small) - names(large))
        raise InputError(
            "the models are not nested: the larger one cannot give what the smaller one does"
            + (f" (it lacks {', '.join(beyond[:5])})" if beyond else " (their offsets differ)")
            + "; compare their AIC"
        )


def _same_offsets(a: Fit, b: Fit) -> bool:
    """Whether all predictors have the same offsets, as far as the rows are there; O(n) in memory."""
    if a.source is None or b.source is None:
        return False
    found = [fit.rows.map_rows(Predictors(), fit.model, np.zeros(len(fit.theta))) for fit in (a, b)]
    return bool(np.allclose(*found, rtol=_SAME, atol=0.0))


def likelihood_ratio(small: Fit, large: Fit) -> HypothesisTest:
    """Twice the log-likelihood that the smaller model loses, chi-squared with the coefficients that it lacks.

    Where the dispersion is estimated each model has its own, deviance by weight, as in R's ``logLik``.

    Raises
    ------
    NotAvailableError
        There is no likelihood.
    """
    family = large.model.family
    if not family.has("logpdf"):
        raise NotAvailableError(
            f"the {family.name} family has no likelihood, hence no likelihood ratio; compare deviances by "
            "jg.anova(a, b, test='F')"
        )
    statistic = max(2.0 * (large.llf - small.llf), 0.0)
    return outcome("Likelihood ratio test", statistic, counted(large) - counted(small), np.inf)


def score_between(small: Fit, large: Fit) -> float:
    """Score statistic at phi = 1 of one fit within another, whose columns may have other names.

    Other predictors than the mean's keep what they are in the smaller fit.
    """
    eta = small.rows.map_rows(Predictors(), small.model, small.coefficients)
    source = large.rows.beside(eta, lambda rows, values: rows._replace(offset=values))
    active = large.active
    if small.held.any():
        # What is held at its limit belongs to the last predictor.
        active = active & (np.arange(len(active)) < len(active) - large.model.layout.designs[-1].n_columns)
    return score_statistic(source, large, np.zeros(len(large.theta)), active)
