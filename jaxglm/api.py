"""The functions that users call first."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm import resolve
from jaxglm.errors import InputTypeError
from jaxglm.fit import fit_source
from jaxglm.frames.scan import as_scan
from jaxglm.hosts import Hosts
from jaxglm.inference.covariance import Estimator, covariance, read_beside
from jaxglm.intake import ArrayIntake, Beside, FormulaIntake
from jaxglm.intake.base import Taken
from jaxglm.intake.compact import compact
from jaxglm.intake.mapped import MappedRows
from jaxglm.intake.pieces import Pieces
from jaxglm.intake.whole import looks_whole, unread_first
from jaxglm.kernels import Model
from jaxglm.lazy import parts
from jaxglm.precision import Precision, scope
from jaxglm.progress import shown
from jaxglm.results import Results
from jaxglm.results.labels import Labels, as_text
from jaxglm.results.report import report
from jaxglm.sources import ArraySource, MeshSource, MeshStream, Source, StreamSource
from jaxglm.sources.stream import thinned

if TYPE_CHECKING:
    from jaxglm import apart, checkpoint
else:
    apart, checkpoint = parts("jaxglm", "apart", "checkpoint")


def glm(
    formula: str | Mapping[str, str],
    data: Any,
    family: Any = "gaussian",
    *,
    link: Any = None,
    offset: Any = None,
    exposure: Any = None,
    trials: Any = None,
    freq_weights: Any = None,
    var_weights: Any = None,
    prob_weights: Any = None,
    aux: Mapping[str, Any] | None = None,
    solver: Any = "auto",
    information: str = "expected",
    cov: Any = None,
    start: Any = None,
    tol: float = 1e-8,
    max_iter: int = 100,
    use_t: bool | None = None,
    missing: str = "drop",
    precision: str = "float64",
    keep_data: bool = True,
    devices: Any = None,
    progress: bool | None = None,
    functions: Mapping[str, Callable] | None = None,
    on_separation: str = "warn",
    on_failure: str = "warn",
    checkpoint: Any = None,
    **unknown: Any,
) -> Results:
    """Fit a generalized linear model from a formula.

    Parameters
    ----------
    formula : str, or dict of str by predictor
        Wilkinson/R syntax: ``"y ~ x1 * C(f) + log(x2) + offset(log(t))"``; ``cbind(success, failure) ~ ...`` for
        counts of two outcomes. Families with several predictors take one formula for each, of which only the first
        has a response: ``{"mean": "y ~ x", "dispersion": "~ z"}``.
    data : data frame, path, query, or callable
        pandas, polars, pyarrow, or a dict of arrays. What follows is read anew at every pass, so that its rows never
        have to fit in memory together: Parquet files by path, glob or folder, or with options by
        :func:`jaxglm.scan_parquet`; a pyarrow Dataset; a polars LazyFrame; a DuckDB relation; a callable that returns
        an iterator of frames. They must give the same rows in the same order each time. They are read in a thread of
        their own: a callable must open what belongs to one thread, such as an sqlite3 connection, itself.
    family : str or Family
        "gaussian", "binomial", "poisson", "gamma", "inverse_gaussian", "negative_binomial", "quasipoisson",
        "quasibinomial", or an object such as ``jg.Tweedie(power=1.5)`` or one of :func:`jaxglm.custom_family`.
    link : str or Link, optional
        By default the family's own (identity, logit, log, inverse, inverse_squared).
    offset : str or array, optional
        Column name or values (n,) added to the linear predictor.
    exposure : str or array, optional
        Positive; its log is added to the linear predictor (log link only).
    trials : str or array, optional
        Number of trials of a binomial proportion.
    freq_weights, var_weights, prob_weights : str or array, optional
        A row stands for w rows; a row is w times as precise (R's ``weights=``); a row was sampled with probability
        proportional to 1/w (standard errors are then the survey sandwich). Rows of weight 0 count as absent.
    aux : dict of str to column name or array, optional
        Where a family of your own finds the columns that it reads; by default under their own names.
    solver : {"auto", "newton", "irls", "lbfgs"}, Stochastic or optimizer of optax
        "irls" steps with the expected information only; "newton" with the observed wherever that is positive
        definite; "auto" starts with expected and ends with observed. "lbfgs" and :class:`jaxglm.Stochastic` (or any
        ``optax.adam(1e-2)``) come near by gradients of all rows or of batches, and end as "auto" does. All reach the
        same optimum.
    information : {"expected", "observed"}
        What the standard errors come from; expected agrees with R.
    cov : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "survey"}, Cluster or HAC, optional
        How standard errors are estimated. "nonrobust" trusts the variance of the family, "HC0" to "HC3" do not,
        :class:`jaxglm.Cluster` allows for dependence within clusters and :class:`jaxglm.HAC` for dependence over time.
        By default "survey" under prob_weights, else "nonrobust". ``res.with_cov(...)`` changes it after the fit.
    start : array (P,), optional
        Starting coefficients.
    tol : float
        Allowed remaining error, in standard errors.
    max_iter : int
        Accepted steps allowed.
    use_t : bool, optional
        Student t instead of the normal for tests; by default where the dispersion is estimated.
    missing : {"drop", "raise"}
        Rows with missing values.
    precision : {"float64", "mixed", "float32"}
        "mixed" keeps numeric columns, centered and scaled, in single precision, and multiplies them in it for the
        information; likelihood and gradient stay in double. Coefficients agree to 1e-7 with those of "float64".
        Columns that depend on each other to six digits are multiplied in double, to seven digits are aliased.
        "float32" also computes what belongs to a row in single precision, for devices on which double is slow, and
        ends within 1e-4 standard errors. Sums over rows, and results, are float64 in any. Both pay on accelerators
        and where memory is short; a CPU reads large arrays of float64 where they lie, and is as fast with them.
    keep_data : bool
        Keep the rows for residuals, fitted values and other covariances.
    devices : "all", list of jax devices, or jax.sharding.Mesh, optional
        Cut the rows over several devices, over all axes of a mesh; results are those of one device to rounding. After
        ``jax.distributed.initialize()`` "all" fits the rows that every process passes, and all processes must make the
        same call; see docs/multihost.md.
    progress : bool, optional
        Show a bar, which needs tqdm: which pass, rows a second, time left in it, length of the next step. By default
        only for data that comes in pieces, after some seconds, if tqdm is installed.
    functions : dict of str to callable, optional
        Your own functions for the formula, elementwise on arrays. With Parquet files several threads call them at the
        same time.
    on_separation, on_failure : {"warn", "raise"}
        What to do when estimates are infinite, or the solver stops early.
    checkpoint : path, optional
        A file that keeps what each pass over the rows gave, so that the same call after an interruption goes on from
        the last pass that was finished, to the same result to the bit. It is deleted at the end. Passes before the
        first step (for what a formula learns from a stream, or a sample of its rows) are made again. A file of another
        fit is refused (data in memory are compared by their sums and first rows, of a stream only the number of rows
        and the first ones). It holds one (P, P) matrix for each pass that makes one. Several processes keep one each,
        with their number behind the path.

    Returns
    -------
    Results

    Raises
    ------
    FormulaError, DataError, InputError
        With the row, the column and the remedy.

    Notes
    -----
    Cost is O(n P^2) a pass: two or three such passes and a few of O(n P) for many rows, 5 to 8 for few. Large columns
    of float64 are read where they lie, factors are held as codes, other columns are copied.
    Method: Fisher scoring and Newton with step halving (McCullagh and Nelder 1989, section 2.5).

    Examples
    --------
    >>> import pandas as pd
    >>> import jaxglm as jg
    >>> df = pd.DataFrame({"dose": [1, 2, 3, 4, 5, 6], "died": [0, 0, 1, 0, 1, 1]})
    >>> res = jg.glm("died ~ dose", df, family="binomial")
    >>> print(res.params.round(4).to_dict())
    {'Intercept': -4.2491, 'dose': 1.214}
    """
    resolve.refuse_unknown(unknown, options_of(glm))
    family = resolve.family(family, link)
    beside = Beside(
        offset, exposure, trials, freq_weights, var_weights, prob_weights, resolve.aux(aux, family, named=True)
    )
    resolve.choice("missing", missing, ("drop", "raise"))
    behavior = _Behavior(keep_data, on_separation, on_failure, resolve.covariance(cov, beside.weights), checkpoint)
    placed = resolve.devices(devices)
    intake, taken = _learned(formula, data, family, beside, missing, functions, placed.hosts)
    options = resolve.options(
        solver=solver, information=information, start=start, tol=tol, max_iter=max_iter, use_t=use_t,
        n_coefficients=len(intake.names), probability_weights=prob_weights is not None, family=family,
        precision=precision,
    )  # fmt: skip
    with scope(), shown(resolve.progress(progress, not isinstance(taken, Taken))):
        intake, source = _source(intake, taken, placed, options.precision)
        return _run(source, intake, taken, options, behavior, response=intake.spec.response_name, formula=intake.text)


def fit(
    X: Any,
    y: Any,
    family: Any = "gaussian",
    *,
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
    solver: Any = "auto",
    information: str = "expected",
    cov: Any = None,
    start: Any = None,
    tol: float = 1e-8,
    max_iter: int = 100,
    use_t: bool | None = None,
    missing: str = "drop",
    precision: str = "float64",
    keep_data: bool = True,
    devices: Any = None,
    progress: bool | None = None,
    on_separation: str = "warn",
    on_failure: str = "warn",
    checkpoint: Any = None,
    **unknown: Any,
) -> Results:
    """Fit a generalized linear model from arrays.

    Parameters
    ----------
    X : array or data frame (n, p)
        Numbers; a data frame gives the names. Factors belong in a formula, see :func:`jaxglm.glm`.
    y : array or Series (n,)
        Response; two labels or booleans for the binomial family.
    intercept : bool
        Put a constant before the columns of X (it is never stored). With False, a constant column of X still counts
        as the intercept of the null model.
    names : sequence of str, optional
        Names of the columns; by default those of a frame, else x1, x2, ...
    family, link, offset, exposure, trials, freq_weights, var_weights, prob_weights, aux, solver, information, cov,
    start, tol, max_iter, use_t, missing, precision, keep_data, devices, progress, on_separation, on_failure,
    checkpoint
        As in :func:`jaxglm.glm`; vectors are given as values.

    Returns
    -------
    Results

    Notes
    -----
    Large arrays of float64 or float32 in the order of C, or few columns in the order of Fortran, are read where they
    lie: keep them unchanged as long as residuals or other covariances are wanted (a change is noticed, and an error).
    Smaller ones are copied. A JAX array of these types in the memory of the GPU that computes is used there, with
    precision="float64" on one device. A memory-mapped X (``np.memmap``) never becomes a copy in memory: what cannot be
    used where it lies (other types or orders, rows left out, other devices) is read a piece at a time, at every pass.
    Then 8 bytes a row are held for the response, and for each weight and offset. With p columns, several matrices of
    p x p are held besides: 200 MB each for p = 5,000.

    Examples
    --------
    >>> import numpy as np
    >>> import jaxglm as jg
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> res = jg.fit(X, [1, 2, 4, 9], family=jg.Poisson(), names=["time"])
    >>> print(res.params.round(4).to_dict())
    {'Intercept': -0.0605, 'time': 0.7478}
    """
    resolve.refuse_unknown(unknown, options_of(fit))
    family = resolve.family(family, link)
    beside = Beside(
        offset, exposure, trials, freq_weights, var_weights, prob_weights, resolve.aux(aux, family, named=False)
    )
    resolve.choice("missing", missing, ("drop", "raise"))
    behavior = _Behavior(keep_data, on_separation, on_failure, resolve.covariance(cov, beside.weights), checkpoint)
    placed = resolve.devices(devices)
    _refuse_names(beside)
    # Of numbers in another precision a copy is made, of a file only piece by piece.
    kept = precision == "float64" and not placed.several
    learn = partial(
        ArrayIntake.learn, X, y, family, beside, names=names, intercept=bool(intercept), missing=missing,
        copied=precision != "float64", there=kept and placed.hosts.size == 1, hosts=placed.hosts,
    )  # fmt: skip

    def run(unread: bool) -> Results:
        intake, taken = learn(unread=unread)
        options = resolve.options(
            solver=solver, information=information, start=start, tol=tol, max_iter=max_iter, use_t=use_t,
            n_coefficients=len(intake.names), probability_weights=prob_weights is not None, family=family,
            precision=precision,
        )  # fmt: skip
        with shown(resolve.progress(progress, not isinstance(taken, Taken))):
            intake, source = _source(intake, taken, placed, options.precision)
            return _run(source, intake, taken, options, behavior, response=intake.encoder.name, formula=None)

    with scope():
        # What goes on for long before it looks at its sums has values looked at beforehand.
        return unread_first(run, kept and checkpoint is None and str(solver) == "auto" and looks_whole(X, placed.hosts))


class _Behavior:
    """Checked choices of what to keep and report, and when to raise."""

    def __init__(self, keep_data: bool, on_separation: str, on_failure: str, estimator: Estimator, checkpoint: Any):
        self.estimator, self.checkpoint = estimator, checkpoint
        self.keep_data = bool(keep_data)
        self.on_separation = resolve.choice("on_separation", on_separation, ("warn", "raise"))
        self.on_failure = resolve.choice("on_failure", on_failure, ("warn", "raise"))


@cache
def options_of(function: Callable) -> list[str]:
    """Names of the keyword options of a public function; kept, since a signature takes longer than many a check."""
    return [n for n, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD]


def _refuse_names(beside: Beside) -> None:
    """An error for a column that is named where there is no frame."""
    for name, value in beside.given.items():
        if isinstance(value, str):
            raise InputTypeError(
                f"{name}={value!r} is a name, but fit() takes arrays; use glm() with a frame, or pass the values"
            )


def _learned(
    formula: Any, data: Any, family: Any, beside: Beside, missing: str, functions: Any, hosts: Hosts
) -> tuple[FormulaIntake, Taken | Pieces]:
    """What formulas learn from the data, and its rows."""
    if hosts.size > 1:
        return FormulaIntake.learn_apart(formula, data, family, beside, missing, functions, hosts)
    scan = as_scan(data)
    if scan is None:
        return FormulaIntake.learn(formula, data, family, beside, missing, functions)
    return FormulaIntake.learn_stream(formula, scan, family, beside, missing, functions)


def _source(
    intake: ArrayIntake | FormulaIntake, taken: Taken | Pieces | MappedRows, placed: resolve.Devices, wanted: Precision
) -> tuple[ArrayIntake | FormulaIntake, Source]:
    """The rows where they are computed with, and the intake that makes such rows."""
    if placed.hosts.size > 1:
        return apart.source(intake, taken, placed, wanted, _source)
    if not isinstance(taken, Taken):
        sampled = None
        if wanted.columns is not np.float64:
            # Columns are centered and scaled by rows from all over the data, which a sample of them needs as well.
            (found,) = thinned([taken.blocks], taken.n_rows)
            intake = taken.intake = compact(intake, found.spread(), wanted)
            sampled = found.rows()
        if placed.several:
            return intake, MeshStream(taken.blocks, taken.n_rows, placed.own)
        kept = None if sampled is None else intake.keep(Taken(sampled)).rows
        return intake, StreamSource(taken.blocks, taken.n_rows, apart=taken.apart, sampled=kept)
    intake = compact(intake, taken.rows, wanted)
    rows = intake.keep(taken).rows
    if placed.several:
        return intake, MeshSource.from_rows(rows, placed.own)
    return intake, ArraySource.from_rows(rows, owned=intake.stored is not None)


def _run(
    source, intake, taken: Taken | Pieces | MappedRows, options, behavior, *, response: str, formula: str | None
) -> Results:
    """Fit, warn, and label."""
    model = Model(intake.family, intake.layout)
    names = intake.names
    source.hosts.same("the model or an option", (intake.family, names, options, behavior.estimator.without_rows()))
    beside = read_beside(behavior.estimator, source, intake.codes)
    said = {
        "the coefficients": names, "the formula": formula, "the response": response, "weights": intake.beside.weights,
    }  # fmt: skip
    path = behavior.checkpoint
    with nullcontext(source) if path is None else checkpoint.recorded(source, path, model, options, said) as rows:
        found = fit_source(
            rows, model, options, has_intercept=intake.has_intercept, has_offset=intake.has_offset,
            name_row=taken.name_row, name_column=lambda j: f"column {as_text(names[j])!r}", natural=intake.natural,
        )  # fmt: skip
        # The rows were read a moment ago: no look at whether the user has changed them.
        made = covariance(replace(found, witness=None), behavior.estimator, beside)
    found = replace(found, source=source)
    if isinstance(source, (StreamSource, MeshStream)):
        # Rows that were counted in the first pass, or are now if a checkpoint had all of them.
        source.n_rows = taken.counted()
    labels = Labels(
        names=names, response=response, formula=formula, index=taken.index,
        notes=(*taken.notes, *options.precision.notes, *found.notes),
        weights=intake.beside.weights,
    )  # fmt: skip
    if source.own is not source:
        # Else the process that asks for it first would wait for the others.
        _ = found.llf
    report(found, labels, behavior.on_separation, behavior.on_failure)
    return Results(found if behavior.keep_data else found.without_source(), labels, made, intake)
