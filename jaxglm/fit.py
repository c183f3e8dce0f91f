"""Arrays in, Fit out: no names, no tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np

from jaxglm.design import Constant, Dense, Layout
from jaxglm.errors import DataError, FitError, InputError, NotAvailableError, Status, row_count
from jaxglm.families import suggest
from jaxglm.fitted import Fit, Options, Witness, careful
from jaxglm.kernels import (
    Facts,
    FitPoint,
    FitSums,
    Meat,
    Model,
    Newton,
    NullSums,
    Point,
    Rows,
    Statistics,
    Unsound,
)
from jaxglm.precision import Tiered, host
from jaxglm.solvers import drive, newton, sampled, starts
from jaxglm.solvers.approach import Way, approach
from jaxglm.solvers.information import Information
from jaxglm.solvers.rank import Rank
from jaxglm.sources import Source, plain, suited

#: Distance from the optimum that rounding of rows leaves, in standard errors and units of that rounding.
_REACHED = 1e3


def fit_source(
    source: Source,
    model: Model,
    options: Options,
    *,
    has_intercept: bool,
    has_offset: bool,
    natural: np.ndarray | None = None,
    name_row: Callable[[int], str] = lambda i: f"row {i}",
    name_column: Callable[[int], str] = lambda j: f"column {j}",
) -> Fit:
    """Fit a model to the rows of a source; call it inside :func:`jaxglm.precision.scope`.

    Parameters
    ----------
    has_intercept : bool
        Whether the null model has an intercept.
    has_offset : bool
        Whether any row has an offset, so that the null model has no closed form.
    natural : (P,) bool, optional
        Coefficients to report as their exponential.
    name_row, name_column : callables used in error messages

    Raises
    ------
    DataError
        No rows, values that are not finite, or a response the family cannot have.
    FitError
        No column varies, or no starting point has a finite likelihood.

    Notes
    -----
    Few rows take a survey, a pass for every Newton step, and one for the fit statistics; an extra one where the last
    step used the observed and the expected information is reported. The Gaussian family with the identity link takes
    one Newton pass, one more where its columns are ill-conditioned, and one for the statistics. Many rows in memory
    take a Newton pass from the fit to a sample, about two for gradients alone, and a last one that gives information
    and statistics together (:mod:`jaxglm.solvers.sampled`); with many numeric columns and a canonical link one for
    gradients comes before that Newton pass, and fewer after it. Fewer rows with 64 or more coefficients do the same
    after a survey, from starting values, and so do all but very many rows of factors alone, from the means of levels.
    Where a model of factors alone has many equal rows in memory, all of these passes are over the distinct rows; those
    for steps of the binomial and the Poisson family over the mean response of rows with the same predictors. After a
    road of gradients it is the same, from where that ended in place of the fit to a sample
    (:mod:`jaxglm.solvers.approach`).
    """
    if model.layout.n_coefficients == 0:
        raise FitError("the model has no columns, so there is nothing to estimate; add a term or the intercept (~ 1)")
    kind = options.information if model.family.has_expected else "observed"

    def check(facts):
        _check(source, model, facts, name_row, name_column)

    def null_of(facts, theta, sums=None):
        return _null_constant(*solving, facts, theta, has_intercept, has_offset, options, sums)

    solving = source.condensed(model)
    reached = _REACHED * options.precision.eps if options.precision.eps > newton.EPS else 0.0
    tol, options = options.tol, replace(options, tol=max(options.tol, reached))
    way = Way(start=_working(options.start, natural, name_column))
    if options.road is not None:
        way = approach(options.road, source, model, way.start, options.curvature, options.precision)
    solved = None
    if way.sample is not None or way.start is None:
        solved = sampled.solve(
            *solving, tol=options.tol, max_iter=options.max_iter, curvature=options.curvature, kind=kind,
            precision=options.precision, check=check, null=null_of, sample=way.sample,
            beside=NullSums() if has_intercept and has_offset and _tells_null(model) else None,
        )  # fmt: skip
    if solved is None:
        solved, way = _solve_from(way, *solving, options, kind, check, null_of)
    solution, facts = solved.solution, solved.facts
    if solution.status is Status.CONVERGED and tol < reached:
        tolerance = max(solution.tolerance, reached)
        solution = replace(solution, status=Status.CONVERGED_TO_PRECISION, tolerance=tolerance)
    sums, n_obs, found = solved.sums, float(facts.n_obs), solution.rank
    passes = Counter(way.passes) + Counter({**solution.n_passes, "null": solved.null_passes})
    df_resid = _df_resid(model, facts, found)
    scale = _scale(model.family, sums, df_resid)
    llf = np.nan if options.probability_weights else _llf(model.family, sums, facts)
    information = solution.expected if kind == "expected" else solution.observed
    return Fit(
        model=model, source=source, options=options, theta=np.where(found.active, solution.theta, np.nan), rank=found,
        informations=_both(model, kind, information), information=kind, status=solution.status,
        tolerance=solution.tolerance, recession=solution.recession, column_lengths=solved.column_lengths,
        n_iter=solution.n_iter, n_passes=dict(passes), n_rows=int(facts.n_rows), nobs=n_obs,
        notes=way.notes + _ended(way, solution, information, scale),
        weight=float(facts.weight), deviance=float(sums.deviance), null_deviance=float(sums.null_deviance),
        pearson_chi2=float(sums.pearson), scale=scale, has_intercept=has_intercept,
        held=solution.held, natural=np.zeros(len(found.active), bool) if natural is None else natural,
        known_llf=llf, df_resid=df_resid, df_null=n_obs - (1 if has_intercept else 0),
        meat=_meat(source, model, solution.theta) if options.probability_weights else None,
        witness=Witness(solved.kernel, solved.point, solved.sums),
    )  # fmt: skip


def _solve_from(way: Way, source, model, options, kind, check, null_of) -> tuple[sampled.Closed, Way]:
    """The plain solve from where a road ended, or by itself if that is no good start; and what is to be said of it."""
    if options.road is None or way.start is None:
        return _solve_plainly(source, model, options, kind, way.start, check, null_of), way
    try:
        solved = _solve_plainly(source, model, options, kind, way.start, check, null_of)
    except FitError:
        solved = None
    if solved is not None and (solved.solution.status.converged or solved.solution.status is Status.SEPARATED):
        return solved, way
    note = "From where they ended the exact steps did not converge, so that these began again by themselves."
    again = _solve_plainly(source, model, options, kind, None, check, null_of)
    return again, replace(way, notes=(*way.notes, note))


def _ended(way: Way, solution: drive.Solution, information: Information, scale: float) -> tuple[str, ...]:
    """How far from the estimates a road ended."""
    if way.reached is None or not (solution.status.converged and information.ok and scale > 0):
        return ()
    errors = np.sqrt(scale * np.asarray(information.diag_inverse()))
    active = np.asarray(information.active)
    far = np.max(np.abs(way.reached - solution.theta)[active] / errors[active], initial=0.0)
    return (f"They ended within {far:.2g} standard errors of the estimates.",)


def _solve_plainly(source, model, options, kind, start, check, null_of) -> sampled.Closed:
    """Survey, rank, loop and statistics, each with passes of its own; every kind of data ends well or says why not."""
    facts = drive.survey(source, model)
    check(facts)
    found, extra = drive.decide_rank(source, model, facts)
    if not found.active.any():
        raise FitError("every column of the design is zero, so there is nothing to estimate; check the data")
    solution = drive.solve(
        source, model, facts, found, tol=options.tol, max_iter=options.max_iter, curvature=options.curvature,
        start=start, want=(kind,), precision=options.precision,
    )  # fmt: skip
    if solution.status is Status.NOT_FINITE:
        raise FitError(Status.NOT_FINITE.sentence)
    null, null_passes = null_of(facts, solution.theta)
    at = FitPoint(solution.theta, null, np.asarray(1.0))
    family = model.family
    sums = host(source.reduce(Statistics(family.dispersion_known), careful(model, solution.n_passes), at))
    passes = {"survey": 1, "rank": extra, **solution.n_passes, "statistics": 1}
    lengths = np.sqrt(np.diagonal(facts.gram))
    return sampled.Closed(
        replace(solution, n_passes=passes), facts, lengths, sums, null_passes, Statistics(family.dispersion_known), at
    )


def _working(start: np.ndarray | None, natural: np.ndarray | None, name_column) -> np.ndarray | None:
    """Starting coefficients from starting parameters."""
    if start is None or natural is None or not natural.any():
        return start
    bad = np.flatnonzero(natural & (start <= 0))
    if len(bad):
        raise InputError(f"start of {name_column(int(bad[0]))} must be positive, not {start[bad[0]]:g}")
    return np.where(natural, np.log(np.where(natural, start, 1.0)), start)


def _both(model: Model, kind: str, information: Information) -> dict[str, Information]:
    if model.family.is_canonical:
        return {"expected": information, "observed": information}
    return {kind: information}


def _check(source, model, facts, name_row, name_column) -> None:
    """Turn the flags of the survey into errors that name the row."""
    if int(facts.n_rows) == 0:
        raise DataError("no rows with positive weight are left, so there is nothing to fit")
    sound = (facts.gram is None or np.isfinite(facts.gram).all()) and np.isfinite(facts.weight)
    if sound and int(facts.n_bad_y) == 0:
        return
    source.hosts.together(
        "looking for values that cannot be used", lambda: _find_unsound(source.own, model, facts, name_row, name_column)
    )
    raise DataError("weights are not finite")


def _find_unsound(source, model, facts, name_row, name_column) -> None:
    """Name the first row that has one."""
    position = 0
    for part in source.iterate(Unsound(), model, None):
        bad = np.flatnonzero(part["column"] >= 0)
        if len(bad):
            column = name_column(int(part["column"][bad[0]]))
            raise DataError(
                f"{column} is not finite (or too large to square) in {name_row(position + int(bad[0]))}; "
                "remove or replace such values, or rescale the column"
            )
        bad = np.flatnonzero(part["bad_y"])
        if len(bad) and int(facts.n_bad_y):
            family = model.family
            raise DataError(
                f"the {family.name} family needs {family.support_text}, but the response is "
                f"{part['y'][bad[0]]:g} in {name_row(position + int(bad[0]))} "
                f"({row_count(int(facts.n_bad_y))} in all).{_other_family(part['y'])}"
            )
        position += len(part["y"])


def _other_family(y: np.ndarray) -> str:
    """Which families could have such a response."""
    found = suggest(y)
    return f" The response holds {found.values}; {' or '.join(found.names)} can have them." if found.names else ""


def _others(model: Model, rows: Rows, theta) -> jax.Array:
    """The offset of the first predictor, and all of the others, (m, K)."""
    return model.eta(rows, theta).at[:, 0].set(0.0 if rows.offset is None else rows.offset[:, 0])


_other_predictors = Tiered(_others, lean=True)


def _tells_null(model: Model) -> bool:
    """Whether two sums tell the null model's constant where there are offsets."""
    family = model.family
    known = family.link.multiplicative and family.variance_power is not None and family.has("unit_deviance")
    return known and model.layout.n_predictors == 1


def _null_constant(
    source, model, facts, theta, has_intercept, has_offset, options, sums=None
) -> tuple[np.ndarray, int]:
    """The null model's mean predictor without its offset, and the passes this took; other predictors stay as fitted.

    `sums` are those of NullSums, if they are known.
    """
    family, layout = model.family, model.layout
    if not has_intercept or not family.has("unit_deviance"):
        return np.zeros(()), 0
    # A constant mean is estimated by the mean of y, whatever else is constant.
    if not has_offset and all(isinstance(design, Constant) for design in layout.designs[1:]):
        return np.asarray(starts.on_link_scale(family, float(facts.total) / float(facts.size))), 0
    if _tells_null(model):
        above, below = host(source.reduce(NullSums(), model, None) if sums is None else sums)
        if above > 0 and 0 < below < np.inf:
            return np.log(above / below), int(sums is None)

    def with_others(rows):
        """The rows of the null model: what the other predictors add becomes part of their offset."""
        offset = rows.offset
        if layout.n_predictors > 1:
            offset = suited(_other_predictors, rows)(model, plain(rows), theta)
        return rows._replace(x=((),) + (rows.y[:, None][:, :0],) * (layout.n_predictors - 1), offset=offset)

    bare = source.replace(with_others)
    constant = Model(family, Layout((Constant(),) + (Dense(0),) * (layout.n_predictors - 1)))
    sub = drive.survey(bare, constant)
    found, _ = drive.decide_rank(bare, constant, sub)
    start = np.array([starts.on_link_scale(family, starts.center_of(sub, family.mean_range))])
    null = drive.solve(
        bare, constant, sub, found, tol=options.tol, max_iter=options.max_iter, want=(),
        start=start if layout.n_predictors > 1 else None, precision=options.precision,
    )  # fmt: skip
    return null.theta[0], 1 + sum(null.n_passes.values())


def _df_resid(model: Model, facts, found: Rank) -> float:
    """Observations minus coefficients of the mean; as in R, other parameters of the distribution do not count."""
    return float(facts.n_obs) - int(found.active[: model.layout.designs[0].n_columns].sum())


def _scale(family, sums: FitSums, df: float) -> float:
    """The dispersion: Pearson chi-squared by residual degrees of freedom, or 1 where it is known."""
    if family.dispersion_known:
        return 1.0
    return float(sums.pearson) / df if df > 0 else np.nan


def _llf(family, sums: FitSums, facts) -> float | None:
    """The log-likelihood where sums tell it, else None."""
    if family.dispersion_known or not family.has("logpdf"):
        return float(sums.llf)
    count = float(facts.n_obs) if family.prior_divides_phi else float(facts.weight)
    return family.llf_from_deviance(float(sums.deviance), count, float(sums.log_prior))


def _meat(source: Source, model: Model, theta: np.ndarray) -> np.ndarray:
    return np.asarray(source.reduce(Meat(), model, theta))


def with_information(fit: Fit, kind: str) -> Fit:
    """The fit with another kind of information reported; one pass if it is not there yet.

    Raises
    ------
    NotAvailableError
        The rows were not kept, or the family has no such information.
    """
    if kind in fit.informations:
        return replace(fit, information=kind)
    if kind == "expected" and not fit.model.family.has_expected:
        raise NotAvailableError(
            f"the expected information is not available: the {fit.model.family.title} family has none; keep observed"
        )
    point = Point(fit.coefficients, np.asarray(kind == "observed"), np.asarray(False), np.asarray(0.0))
    matrix = fit.rows.reduce(Newton(), fit.model, point).information
    information = drive.factor(matrix, fit.active)
    return replace(fit, information=kind, informations={**fit.informations, kind: information})


def narrowed(fit: Fit, facts: Facts, solution: drive.Solution, sums: FitSums) -> Fit:
    """The fit of a submodel to the same rows, from where it was solved, without information or standard errors.

    Parameters
    ----------
    facts : of the rows
    sums : fit statistics at the solution
    """
    model, found = fit.model, solution.rank
    if solution.status is Status.NOT_FINITE:
        sums = FitSums(*[np.asarray(np.nan)] * len(sums))
    df_resid = _df_resid(model, facts, found)
    return replace(
        fit, theta=np.where(found.active, solution.theta, np.nan), rank=found, informations={}, status=solution.status,
        tolerance=solution.tolerance, recession=solution.recession, n_iter=solution.n_iter, meat=None,
        n_passes={k: v for k, v in solution.n_passes.items() if v}, deviance=float(sums.deviance),
        pearson_chi2=float(sums.pearson), scale=_scale(model.family, sums, df_resid), held=solution.held,
        df_resid=df_resid, known_llf=np.nan if fit.options.probability_weights else _llf(model.family, sums, facts),
    )  # fmt: skip
