"""Many candidate columns, each added in turn to one model, by one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from jaxglm import resolve
from jaxglm.api import options_of
from jaxglm.batched import Batch, Work
from jaxglm.errors import DataError, InputError, InputTypeError, NotAvailableError, Status
from jaxglm.fit import fit_source
from jaxglm.fitted import Fit, Options
from jaxglm.groups import Queue, fit_groups
from jaxglm.inference import candidates as tests
from jaxglm.inference import intervals
from jaxglm.inference.covariance import Estimator
from jaxglm.intake import ArrayIntake, Beside
from jaxglm.intake.base import Taken
from jaxglm.intake.together import as_responses
from jaxglm.kernels import Model
from jaxglm.precision import scope
from jaxglm.progress import Bar
from jaxglm.results.labels import as_text
from jaxglm.sources import ArraySource
from jaxglm.together import Added, Together, blocks

TESTS = ("score", "wald", "lr")
_ALIASED = "it depends on the columns of X, so the model gains nothing from it"
_EMPTY = "it has no row with a value"


def fit_candidates(
    y: Any,
    X: Any,
    candidates: Any,
    family: Any = "gaussian",
    *,
    test: str = "score",
    intercept: bool = True,
    names: Any = None,
    link: Any = None,
    offset: Any = None,
    exposure: Any = None,
    trials: Any = None,
    freq_weights: Any = None,
    var_weights: Any = None,
    prob_weights: Any = None,
    aux: Mapping[str, Any] | None = None,
    solver: str = "auto",
    information: str = "expected",
    cov: Any = None,
    tol: float = 1e-8,
    max_iter: int = 100,
    use_t: bool | None = None,
    missing: str = "drop",
    progress: bool | None = None,
    **unknown: Any,
) -> pd.DataFrame:
    """Test each of many columns, added by itself to a model of y by X.

    Parameters
    ----------
    y : array or Series (n,)
        Response.
    X : array or data frame (n, p), or None
        Columns that every model has; None for the intercept alone.
    candidates : array or data frame (n, m)
        Numbers of any type, read where they lie, a block of columns at a time; the columns of a frame are the index of
        what is returned, else 0, 1, ...
    test : {"score", "wald", "lr"}
        "score" fits the model without candidates once (Rao 1948), "wald" fits each, "lr" takes the likelihood ratio of
        each to the model without it. Other estimated parameters, such as alpha of the negative binomial, are adjusted
        for by "score" and "wald" and estimated anew by "lr".
    cov : {"nonrobust", "HC0", "HC1", "survey"}, optional
        Of ``test="wald"`` alone, as in :func:`jaxglm.fit`.
    missing : {"drop", "raise"}
        Rows where y, X or what is beside them is missing are left out of all models. A row where a candidate is
        missing is left out for that candidate alone, whose test then compares models of the same remaining rows.
    progress : bool, optional
        Show a bar, which needs tqdm; by default only where the work takes more than a second and tqdm is installed.
    family, intercept, names, link, offset, exposure, trials, freq_weights, var_weights, prob_weights, aux, solver,
    information, tol, max_iter, use_t
        As in :func:`jaxglm.fit`.

    Returns
    -------
    DataFrame
        A row a candidate: `coef` and `se` (of "score" those of one Newton step from the model without it, of "lr" no
        `se`), `statistic`, `df`, `df_denom`, `pvalue`, `pvalue_adjusted` (Benjamini and Hochberg 1995, over all
        candidates with a p-value), `nobs`, `status`, and the `reason` where there is no test.

    Raises
    ------
    DataError, InputError
    NotAvailableError
        A test that the family or the weights do not allow.

    Notes
    -----
    All statistics have one degree of freedom. "score" is chi-squared, divided by the dispersion of the model without
    candidates as in R's ``add1(test = "Rao")``. "wald" is the square of z, or of Student's t where the dispersion is
    estimated. "lr" is the fall of the deviance; where the dispersion is estimated it is divided by that of the larger
    model and F, as in R's ``anova(test = "F")``.
    Cost: "score" O(n p) a candidate, a product of matrices; the others a fit each, side by side. Memory is that of a
    block of candidates.

    Examples
    --------
    >>> import numpy as np
    >>> import jaxglm as jg
    >>> x = np.array([0.0, 1, 2, 3, 4, 5, 6, 7])
    >>> genes = np.array([[0, 1, 2, 0, 1, 2, 0, 1], [1, 1, 0, 0, 2, 2, 1, 0]]).T
    >>> y = [0, 3, 8, 1, 4, 12, 2, 6]
    >>> found = jg.fit_candidates(y, x[:, None], genes, family="poisson")
    >>> print(found[["statistic", "pvalue_adjusted"]].round(4).to_dict("list"))
    {'statistic': [20.8942, 1.3142], 'pvalue_adjusted': [0.0, 0.2516]}
    """
    resolve.refuse_unknown(unknown, options_of(fit_candidates))
    resolve.choice("test", test, TESTS)
    resolve.choice("missing", missing, ("drop", "raise"))
    family = resolve.family(family, link)
    beside = Beside(
        offset, exposure, trials, freq_weights, var_weights, prob_weights, resolve.aux(aux, family, named=False)
    )
    estimator = _estimator(cov, test, beside)
    for name, value in beside.given.items():
        if isinstance(value, str):
            raise InputTypeError(f"{name}={value!r} is a name, but fit_candidates() takes arrays; pass the values")
    if X is None:
        X = np.empty((len(y), 0))
    intake, taken = ArrayIntake.learn(X, y, family, beside, names=names, intercept=bool(intercept), missing=missing)
    if not len(intake.names) - len(family.predictors) + 1:
        raise InputError("a model without columns and intercept has nothing to add a candidate to; use intercept=True")
    index = y.index if intake.given.index is None and isinstance(y, pd.Series) else intake.given.index
    values, keys = as_responses(candidates, intake.given.n_rows, index, "candidates")
    added = Added.of(values, taken.positions)
    if missing == "raise" and not added.whole:
        first = int(np.flatnonzero(added.counts < added.counts.max(initial=0))[0])
        raise DataError(f"candidate {keys[first]!r} has missing values; use missing='drop' to leave such rows out")
    options = resolve.options(
        solver=solver, information=information, start=None, tol=tol, max_iter=max_iter, use_t=use_t,
        n_coefficients=len(intake.names), probability_weights=prob_weights is not None, family=family,
        precision="float64",
    )  # fmt: skip
    intake = replace(intake, apart=False)
    null = _without(intake, taken, options, estimator)
    job = _Job(null, added, keys, intake)
    with Bar(len(keys), progress, " candidates") as bar:
        found = {"score": _score, "wald": _wald, "lr": _ratio}[test](job, bar.add)
    return _frame(job, found)


def _without(intake: ArrayIntake, taken: Taken, options: Options, estimator: Estimator) -> Work:
    """The model without candidates."""
    rows = taken.rows._replace(x=_upright(taken.rows.x, len(intake.columns)))
    return Work(
        rows=rows, segments=Together.of({"y": rows.y[:, None]}), model=Model(intake.family, intake.layout),
        options=options, estimator=estimator, has_intercept=intake.has_intercept, has_offset=intake.has_offset,
        natural=intake.natural, name_row=taken.name_row,
        name_column=lambda j: f"column {as_text(intake.names[j])!r}",
    )  # fmt: skip


def _estimator(cov: Any, test: str, beside: Beside) -> Estimator:
    """How standard errors are estimated."""
    estimator = resolve.covariance(cov, beside.weights)
    if test != "wald" and beside.prob_weights is not None:
        raise NotAvailableError(f"under prob_weights there is no likelihood for test={test!r}; use test='wald'")
    if test != "wald" and cov is not None:
        raise InputError(f"cov= belongs to test='wald'; test={test!r} uses the variance of the family")
    if estimator.reads_beside:
        raise InputError("cov= of candidates is a name such as 'HC1'; clusters and times are those of single fits")
    return estimator


def _upright(x: tuple, width: int) -> tuple:
    """Rows whose matrix is one array (n, p)."""
    matrix = x[0][-1]
    if isinstance(matrix, tuple):
        matrix = np.column_stack(matrix)
    return ((*x[0][:-1], np.asarray(matrix).reshape(-1, width)), *x[1:])


@dataclass(frozen=True)
class _Job:
    """What all candidates share: the model without them, the columns, their names."""

    null: Work
    added: Added
    keys: pd.Index
    intake: ArrayIntake

    @property
    def place(self) -> int:
        """Of a candidate's coefficient."""
        return self.null.model.layout.designs[0].n_columns

    def whole(self) -> Fit:
        """The fit without candidates, to all rows."""
        null = self.null
        with scope():
            fit = fit_source(
                ArraySource.from_rows(null.rows), null.model, null.options, has_intercept=null.has_intercept,
                has_offset=null.has_offset, natural=null.natural, name_row=null.name_row, name_column=null.name_column,
            )  # fmt: skip
        if not fit.status.converged:
            raise DataError(f"the model without candidates has no estimates: {fit.status.sentence}")
        return fit

    def nulls(self, members: np.ndarray) -> Batch:
        """Fits without candidates, each to the rows that one of them has."""
        there = ~np.isnan(self.added.columns(members).astype(float))
        y = np.broadcast_to(self.null.rows.y[:, None], there.T.shape)
        own = {"y": y, "freq": there.T * np.asarray(self.null.rows.freq)[:, None]}
        return fit_groups(replace(self.null, segments=Together.of(own)))[0]

    def lacking(self) -> list[np.ndarray]:
        """Candidates with missing values, in blocks."""
        n = len(self.null.rows.y)
        at = np.flatnonzero((self.added.counts < n) & (self.added.counts > 0))
        return [at[block] for block in blocks(n, len(at))]


@dataclass(frozen=True)
class _Found:
    """One number a candidate, NaN where there is none; `reasons` says why."""

    coef: np.ndarray
    se: np.ndarray
    statistic: np.ndarray
    df_denom: np.ndarray
    nobs: np.ndarray
    status: np.ndarray
    reasons: np.ndarray

    @classmethod
    def empty(cls, count: int) -> _Found:
        numbers = [np.full(count, np.nan) for _ in range(5)]
        numbers[3][:] = np.inf
        return cls(*numbers, np.full(count, "UNUSABLE", object), np.full(count, "", object))

    def fail(self, at: Any, status: str, reason: str) -> None:
        self.status[at], self.reasons[at] = status, reason
        for values in (self.coef, self.se, self.statistic):
            values[at] = np.nan


def _frame(job: _Job, found: _Found) -> pd.DataFrame:
    with np.errstate(invalid="ignore"):
        root = np.sqrt(found.statistic)
    p_values = np.where(
        np.isinf(found.df_denom), intervals.p_values(root, np.inf),
        intervals.t_p_values(root, np.where(np.isinf(found.df_denom), 1.0, found.df_denom)),
    )  # fmt: skip
    return pd.DataFrame(
        {
            "coef": found.coef, "se": found.se, "statistic": found.statistic, "df": 1.0, "df_denom": found.df_denom,
            "pvalue": p_values, "pvalue_adjusted": tests.adjusted(p_values), "nobs": found.nobs,
            "status": found.status, "reason": found.reasons,
        },
        index=job.keys,
    )  # fmt: skip


def _score(job: _Job, report: Callable[[int], None]) -> _Found:
    fit, rows, added = job.whole(), job.null.rows, job.added
    found = _Found.empty(len(added.counts))
    n = len(rows.y)
    observed = np.asarray(fit.information == "observed" or not fit.model.family.has_expected)
    with scope():
        inverse = np.asarray(fit.bread.inverse())
        made = tests.terms(fit.model, rows, fit.coefficients, observed)
        shared = tests.Terms(*made, tests.basis(fit.model, rows, fit.rank.active))

        def test(block: slice) -> int:
            at = np.arange(block.start, block.stop)[added.counts[block] == n]
            if len(at):
                got = tests.scores(shared, inverse, added.upright(at))
                _put_score(found, at, got, fit.scale, fit.nobs)
                found.fail(at[~np.isfinite(got.slope)], "UNUSABLE", "it is infinite in some row")
            return len(at)

        queue = Queue(report)
        queue.run([partial(test, block) for block in blocks(n, len(added.counts))])
        if queue.stopped:
            raise KeyboardInterrupt
        for members in job.lacking():
            nulls = job.nulls(members)
            columns = added.columns(members).astype(float)
            there = ~np.isnan(columns)
            got = tests.scores_of_own(
                fit.model, rows, np.where(nulls.active, nulls.theta, 0.0), nulls.active & ~nulls.held, observed,
                np.where(there, columns, 0.0), np.where(there, rows.freq, 0.0),
            )  # fmt: skip
            _put_score(found, members, tests.Scores(*map(np.asarray, got)), nulls.scale, nulls.nobs)
            for place, g in enumerate(members):
                if not Status(int(nulls.status[place])).converged:
                    found.fail(g, Status(int(nulls.status[place])).name, _why(nulls, place))
            report(len(members))
    found.reasons[added.counts == 0], found.nobs[added.counts == 0] = _EMPTY, 0.0
    return found


def _put_score(found: _Found, at: np.ndarray, got: tests.Scores, scale: Any, nobs: Any) -> None:
    with np.errstate(invalid="ignore", divide="ignore"):
        found.coef[at] = got.slope / got.information
        found.se[at] = np.sqrt(scale / got.information)
        found.statistic[at] = got.slope**2 / got.information / scale
    found.nobs[at], found.status[at] = nobs, "TESTED"
    found.fail(at[got.aliased], "ALIASED", _ALIASED)


def _why(batch: Batch, place: int) -> str:
    return batch.messages.get(place) or Status(int(batch.status[place])).sentence


def _fits(job: _Job, report: Callable[[int], None]) -> tuple[Batch, _Found]:
    """The fits with each candidate, and what they found but for the statistic."""
    null, place = job.null, job.place
    intake = replace(job.intake, columns=(*job.intake.columns, "candidate"))
    model = Model(null.model.family, intake.layout)
    work = replace(
        null, segments=job.added, model=model, natural=intake.natural,
        name_column=lambda j: f"column {as_text(intake.names[j])!r}" if j != place else "the candidate",
    )  # fmt: skip
    batch, _ = fit_groups(work, report)
    found = _Found.empty(len(job.keys))
    found.nobs[:], found.coef[:] = batch.nobs, batch.theta[:, place]
    with np.errstate(invalid="ignore"):
        found.se[:] = np.sqrt(batch.variances[:, place])
    use_t = null.options.use_t
    if not model.family.dispersion_known if use_t is None else use_t:
        found.df_denom[:] = np.where(batch.df_resid > 0, batch.df_resid, np.nan)
    for g, status in enumerate(batch.status.tolist()):
        found.status[g] = Status(status).name
        if not Status(status).converged:
            found.fail(g, Status(status).name, _why(batch, g))
        elif not batch.active[g, place]:
            found.fail(g, "ALIASED", _ALIASED)
    found.reasons[job.added.counts == 0] = _EMPTY
    return batch, found


def _wald(job: _Job, report: Callable[[int], None]) -> _Found:
    _, found = _fits(job, report)
    with np.errstate(invalid="ignore", divide="ignore"):
        found.statistic[:] = (found.coef / found.se) ** 2
    return found


def _ratio(job: _Job, report: Callable[[int], None]) -> _Found:
    family = job.null.model.family
    single = family.has("unit_deviance") and len(family.predictors) == 1
    if not single and not family.has("logpdf"):
        raise NotAvailableError(f"the {family.name} family has no likelihood, hence no likelihood ratio")
    fit = job.whole()
    batch, found = _fits(job, report)
    without = np.full(len(job.keys), fit.deviance if single else -2.0 * fit.llf)
    for members in job.lacking():
        nulls = job.nulls(members)
        without[members] = nulls.deviance if single else -2.0 * nulls.llf
    fall = np.maximum(without - (batch.deviance if single else -2.0 * batch.llf), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found.statistic[:] = np.where(np.isnan(found.coef), np.nan, fall / batch.scale)
    found.se[:] = np.nan
    return found
