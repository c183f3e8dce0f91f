"""Arrays in, Fit out: no names, no tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import numpy as np

from jaxglm.design import Constant, Dense, Layout
from jaxglm.errors import DataError, FitError, InputError, Status, row_count
from jaxglm.families import suggest
from jaxglm.kernels import Careful, FitPoint, Meat, Model, Newton, Point, Statistics, Unsound
from jaxglm.solvers import drive, starts
from jaxglm.solvers.information import Information
from jaxglm.solvers.rank import Rank
from jaxglm.sources import Source


@dataclass(frozen=True)
class Options:
    """How to solve; see :func:`jaxglm.glm` for the meaning of each."""

    tol: float = 1e-8
    max_iter: int = 100
    curvature: str = "late"
    information: str = "expected"
    start: np.ndarray | None = None
    probability_weights: bool = False
    use_t: bool | None = None


@dataclass(frozen=True)
class Fit:
    """A fitted model as arrays; P coefficients, of which `rank` are estimated.

    Attributes
    ----------
    model : Model
    source : Source or None
        The rows, kept for residuals and other kinds of covariance.
    theta : (P,) coefficients, NaN where aliased
    rank : Rank
    informations : dict from "expected" / "observed" to Information at phi = 1
    information : the kind that is reported
    held : (P,) bool, coefficients held at the limit of their predictor, such as log alpha where alpha = 0
    natural : (P,) bool, coefficients that are logs of the parameter that is reported
    scale : dispersion phi, Pearson chi2 / df_resid, or 1 where it is known
    llf : log-likelihood in nats, NaN under probability weights
    nobs : observations that the rows stand for
    weight : sum of all weights
    """

    model: Model
    source: Source | None
    options: Options
    theta: np.ndarray
    rank: Rank
    informations: dict[str, Information]
    information: str
    status: Status
    tolerance: float
    recession: np.ndarray | None
    column_lengths: np.ndarray
    n_iter: int
    n_passes: dict[str, int]
    n_rows: int
    nobs: float
    weight: float
    deviance: float
    null_deviance: float
    pearson_chi2: float
    scale: float
    llf: float
    df_resid: float
    df_null: float
    has_intercept: bool
    held: np.ndarray
    natural: np.ndarray
    meat: np.ndarray | None = None

    @property
    def active(self) -> np.ndarray:
        """Coefficients with a standard error: neither aliased nor held at a limit, (P,) bool."""
        return self.rank.active & ~self.held

    @property
    def bread(self) -> Information:
        """The information that is reported."""
        return self.informations[self.information]

    @property
    def coefficients(self) -> np.ndarray:
        """theta with 0 for aliased columns, as predictions need it."""
        return np.where(self.rank.active, self.theta, 0.0)

    @property
    def n_parameters(self) -> int:
        """Estimated numbers, the dispersion included where it is estimated."""
        return int(self.rank.active.sum()) + (not self.model.family.dispersion_known)

    def without_source(self) -> Fit:
        """The same fit without its rows."""
        return replace(self, source=None)


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
    Passes over the rows: one survey, one per Newton step, one or two for the fit statistics; an extra one where the
    last step used the observed and the expected information is reported. The Gaussian family with the identity link
    takes one Newton pass, one more where its columns are ill-conditioned, and one for the statistics.
    """
    if model.layout.n_coefficients == 0:
        raise FitError("the model has no columns, so there is nothing to estimate; add a term or the intercept (~ 1)")
    facts = drive.survey(source, model)
    _check(source, model, facts, name_row, name_column)
    found, extra = drive.decide_rank(source, model, facts)
    if not found.active.any():
        raise FitError("every column of the design is zero, so there is nothing to estimate; check the data")
    kind = options.information if model.family.has_expected else "observed"
    solution = drive.solve(
        source, model, facts, found, tol=options.tol, max_iter=options.max_iter, curvature=options.curvature,
        start=_working(options.start, natural, name_column), want=(kind,),
    )  # fmt: skip
    if solution.status is Status.NOT_FINITE:
        raise FitError(Status.NOT_FINITE.sentence)
    null, null_passes = _null_constant(source, model, facts, solution, has_intercept, has_offset, options)
    sums, scale, stat_passes = _statistics(source, model, solution, facts, null)
    passes = {"survey": 1, "rank": extra, **solution.n_passes, "null": null_passes, "statistics": stat_passes}
    n_obs = float(facts.n_obs)
    information = solution.expected if kind == "expected" else solution.observed
    return Fit(
        model=model, source=source, options=options, theta=np.where(found.active, solution.theta, np.nan), rank=found,
        informations=_both(model, kind, information), information=kind, status=solution.status,
        tolerance=solution.tolerance, recession=solution.recession,
        column_lengths=np.sqrt(np.diagonal(facts.gram)), n_iter=solution.n_iter,
        n_passes={k: v for k, v in passes.items() if v}, n_rows=int(facts.n_rows), nobs=n_obs,
        weight=float(facts.weight), deviance=float(sums.deviance), null_deviance=float(sums.null_deviance),
        pearson_chi2=float(sums.pearson), scale=scale, has_intercept=has_intercept, held=solution.held,
        natural=np.zeros(len(found.active), bool) if natural is None else natural,
        llf=np.nan if options.probability_weights else float(sums.llf),
        df_resid=_df_resid(model, facts, found), df_null=n_obs - (1 if has_intercept else 0),
        meat=_meat(source, model, solution.theta) if options.probability_weights else None,
    )  # fmt: skip


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
    sound = np.all(np.isfinite(facts.gram)) and np.isfinite(facts.weight)
    if sound and int(facts.n_bad_y) == 0:
        return
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
    raise DataError("weights are not finite")


def _other_family(y: np.ndarray) -> str:
    """Which families could have such a response."""
    found = suggest(y)
    return f" The response holds {found.values}; {' or '.join(found.names)} can have them." if found.names else ""


def _null_constant(source, model, facts, solution, has_intercept, has_offset, options) -> tuple[np.ndarray, int]:
    """The null model's mean predictor without its offset, and the passes this took; other predictors stay as fitted."""
    family, layout = model.family, model.layout
    if not has_intercept or not family.has("unit_deviance"):
        return np.zeros(()), 0
    # A constant mean is estimated by the mean of y, whatever else is constant.
    if not has_offset and all(isinstance(design, Constant) for design in layout.designs[1:]):
        return np.asarray(starts.on_link_scale(family, float(facts.total) / float(facts.size))), 0
    theta = solution.theta

    def with_others(rows):
        """The rows of the null model: what the other predictors add becomes part of their offset."""
        offset = rows.offset
        if layout.n_predictors > 1:
            offset = model.eta(rows, theta).at[:, 0].set(0.0 if offset is None else offset[:, 0])
        return rows._replace(x=((),) + (rows.y[:, None][:, :0],) * (layout.n_predictors - 1), offset=offset)

    bare = source.replace(with_others)
    constant = Model(family, Layout((Constant(),) + (Dense(0),) * (layout.n_predictors - 1)))
    sub = drive.survey(bare, constant)
    found, _ = drive.decide_rank(bare, constant, sub)
    start = np.array([starts.on_link_scale(family, starts.center_of(sub, family.mean_range))])
    null = drive.solve(
        bare, constant, sub, found, tol=options.tol, max_iter=options.max_iter, want=(),
        start=start if layout.n_predictors > 1 else None,
    )  # fmt: skip
    return null.theta[0], 1 + sum(null.n_passes.values())


def _df_resid(model: Model, facts, found: Rank) -> float:
    """Observations minus coefficients of the mean; as in R, other parameters of the distribution do not count."""
    return float(facts.n_obs) - int(found.active[: model.layout.designs[0].n_columns].sum())


def _statistics(source, model, solution, facts, null):
    """Fit statistics; a second pass where the log-likelihood needs the dispersion that the first one estimates."""
    family = model.family
    if "qr" in solution.n_passes:
        # Columns so nearly dependent that rounding of eta would show in the deviance.
        model = Careful(family, model.layout)

    def sums(phi):
        point = FitPoint(solution.theta, null, np.asarray(phi))
        return jax.tree.map(np.asarray, source.reduce(Statistics(), model, point))

    first = sums(1.0)
    if family.dispersion_known:
        return first, 1.0, 1
    count = float(facts.n_obs) if family.prior_divides_phi else float(facts.weight)
    df = _df_resid(model, facts, solution.rank)
    scale = float(first.pearson) / df if df > 0 else np.nan
    llf = family.llf_from_deviance(float(first.deviance), count, float(first.log_prior))
    if llf is not None:
        return first._replace(llf=llf), scale, 1
    return sums(float(first.deviance) / count), scale, 2


def _meat(source: Source, model: Model, theta: np.ndarray) -> np.ndarray:
    return np.asarray(source.reduce(Meat(), model, theta))


def with_information(fit: Fit, kind: str) -> Fit:
    """The fit with another kind of information reported; one pass if it is not there yet.

    Raises
    ------
    ValueError
        The rows were not kept, or the family has no expected information.
    """
    if kind in fit.informations:
        return replace(fit, information=kind)
    if fit.source is None:
        raise ValueError("rows were not kept")
    if kind == "expected" and not fit.model.family.has_expected:
        raise ValueError("no expected information")
    point = Point(fit.coefficients, np.asarray(kind == "observed"), np.asarray(False), np.asarray(0.0))
    matrix = fit.source.reduce(Newton(), fit.model, point).information
    information = drive.factor(matrix, fit.active)
    return replace(fit, information=kind, informations={**fit.informations, kind: information})
