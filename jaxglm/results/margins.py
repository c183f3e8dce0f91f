"""Average effects and average predictions of a fit, labelled."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm import precision
from jaxglm.errors import DataWarning, InputError, InputTypeError, near
from jaxglm.inference import margins as averages
from jaxglm.inference.margins import Measure
from jaxglm.inference.residuals import need_rows
from jaxglm.intake.replay import Piece, held
from jaxglm.kernels import LinkOutcome, LogOutcome, Outcome
from jaxglm.results.effects import Effects
from jaxglm.results.jobs import Job, Kind, Plan, add_piece, job_of
from jaxglm.results.predicted import predictor_of
from jaxglm.results.tidy import check_alpha

if TYPE_CHECKING:
    from jaxglm.results.results import Results

_SCALES = {"response": (Outcome(), "mean"), "link": (LinkOutcome(), "linear")}
_PAIRS = {"base": averages.against_base, "sequential": averages.sequential, "pairwise": averages.pairwise}
_KINDS = {
    "dydx": Kind("dY/dX"), "eyex": Kind("eY/eX", True, True), "eydx": Kind("eY/dX", True),
    "dyex": Kind("dY/eX", False, True), "contrast": Kind("", contrast=True),
}  # fmt: skip


def predictions(res: Results, at: Any, by: Any, scale: str, alpha: float) -> Effects:
    """Average predictions over the fitted rows (``res.predictions(...)``).

    Parameters
    ----------
    at : dict from column to value or list of values, optional
        Columns that every row is given another value of before it is predicted; lists make a grid, one estimate a
        combination. Offsets and exposures that were named can be set too, others stay those of the row.
    by : str or sequence of str, optional
        Columns of the data: one average for each combination of their values that occurs.
    scale : {"response", "link"}
        The mean, or the linear predictor of the mean.
    alpha : float
        Intervals have level 1 - alpha.

    Returns
    -------
    Effects
        ``.frame()`` has a row for each combination of `at`, within it one a group.

    Raises
    ------
    NotAvailableError
        The rows were not kept, or the family has no mean.
    InputError
        A name that is not a column, an unknown scale, more than 1,000 groups.

    Notes
    -----
    Rows weigh by freq_weights and prob_weights; var_weights say how precise a row is, not how many it stands for, and
    do not weigh; a binomial row counts once, whatever its trials. Standard errors hold the rows fixed (delta method;
    Oehlert 1992) and come from whatever covariance the result has. They are NaN with a warning where an aliased fit
    does not determine the average. Cost: one pass of O(n P) a combination, a chunk of rows in memory at a time. Where
    several processes share the rows, averages are over all of them, and all processes must call it. In R:
    ``marginaleffects::avg_predictions``.

    Examples
    --------
    >>> import pandas as pd
    >>> import jaxglm as jg
    >>> df = pd.DataFrame({"y": [1, 3, 2, 6, 4, 9], "x": [0.0, 1, 2, 3, 4, 5], "f": list("ababab")})
    >>> res = jg.glm("y ~ x + f", df, family="poisson")
    >>> res.predictions(by="f").estimate.round(4)
    array([2.3333, 6.    ])
    """
    plan, level = _plan(res, at, by, scale), check_alpha(alpha)
    with precision.scope():
        plan.each(partial(_add_level, plan))
    plan.warn()
    order = [(s, g) for s in range(len(plan.settings)) for g in plan.in_order()]
    made = averages.stack([plan.tally.average(s, g) for s, g in order])
    labels = pd.DataFrame([plan.settings[s] | dict(zip(plan.by, g, strict=True)) for s, g in order])
    title = "Average predictions" + (" on the link scale" if scale == "link" else "")
    return Effects(labels, made, res.covariance, title, _notes(res, at), level)


def margins(
    res: Results, variables: Any, at: Any, by: Any, kind: str, values: Any, reference: str, scale: str, alpha: float
) -> Effects:
    """Average effects over the fitted rows (``res.margins(...)``).

    Parameters
    ----------
    variables : str or sequence of str, optional
        Columns of the data (not expressions of them); by default all that the model has.
    at, by, scale, alpha
        As in :func:`predictions`.
    kind : {"dydx", "eyex", "eydx", "dyex", "contrast"}
        For columns of numbers the slope, an elasticity (``ey``: of the log of the outcome, ``ex``: in the log of the
        column), or the difference that one unit more makes. Factors always give differences between levels.
    values : sequence, optional
        For one column: values of it to compare, instead of a slope or of all levels.
    reference : {"base", "sequential", "pairwise"}
        Compare each level with the reference level of the model (of `values`, the first), with the one before, or with
        every other.

    Returns
    -------
    Effects
        ``.frame()`` has columns ``term contrast``, those of `at` and `by`, and
        ``estimate std_error statistic p_value conf_low conf_high``.

    Raises
    ------
    NotAvailableError
        The rows were not kept, or the family has no mean.
    InputError
        A name that is not a column, an elasticity of a factor, a single level.
    DataError
        An expression has no derivative in some row: it jumps there.

    Notes
    -----
    Every term that a column is part of moves with it. Derivatives of expressions such as ``bs(x)`` are differences
    whose steps shrink until they agree, to about 1e-10; at the end of a function's reach they are one-sided, at a kink
    the mean of both sides. Columns that stand alone in their terms share one pass of O(n P), whatever their number;
    every other column takes one pass of its own, a factor one a level. Weights and aliasing as in :func:`predictions`.
    In R: ``marginaleffects::avg_slopes`` and ``avg_comparisons``; in Stata: ``margins, dydx()``.

    Examples
    --------
    >>> import pandas as pd
    >>> import jaxglm as jg
    >>> df = pd.DataFrame({"y": [1, 3, 2, 6, 4, 9], "x": [0.0, 1, 2, 3, 4, 5], "f": list("ababab")})
    >>> res = jg.glm("y ~ x + f", df, family="poisson")
    >>> res.margins().frame()[["term", "contrast", "estimate"]].round(3)
      term contrast  estimate
    0    x    dY/dX     1.185
    1    f    b - a     2.541
    """
    sort, pairs = _choose("kind", kind, _KINDS), _choose("reference", reference, _PAIRS)
    plan, level = _plan(res, at, by, scale, sort.log), check_alpha(alpha)
    jobs = _jobs(res, variables, sort, values, pairs)
    with precision.scope():
        if plan.settings == ({},) and not plan.by and all(job.constant for job in jobs):
            source = plan.measure.as_they_are(res.intake.beside.prob_weights is not None)
            plan.groups[()] = None
            plan.add((0, ""), [()], plan.measure.slopes(source))
        else:
            plan.each(partial(add_piece, plan, jobs))
    labels, parts = [], []
    for job in jobs:
        for s, setting in enumerate(plan.settings):
            for group in plan.in_order():
                names, made = job.estimates(plan, s, group)
                more = setting | dict(zip(plan.by, group, strict=True))
                labels += [{"term": job.variable.name, "contrast": name} | more for name in names]
                parts.append(made)
    plan.warn()
    title = "Average effects" + (" on the link scale" if scale == "link" else "")
    return Effects(pd.DataFrame(labels), averages.stack(parts), res.covariance, title, _notes(res, at), level)


def _add_level(plan: Plan, piece: Piece, codes: Any, found: list[Any], s: int, setting: dict) -> None:
    rows = plan.rows(piece, codes, held(piece.table, setting, plan.known), setting)
    plan.add(s, found, plan.measure.level(rows, len(found)), rows if setting else None)


def _choose(what: str, value: Any, known: Mapping[str, Any]) -> Any:
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{what} must be {' or '.join(map(repr, known))}, not {value!r}")
    return known[value]


def _plan(res: Results, at: Any, by: Any, scale: str, log: bool = False) -> Plan:
    """Check what both kinds of average take."""
    outcome, which = _choose("scale", scale, _SCALES)
    predictor_of(res, which)
    need_rows(res.fit, "an average over rows")
    names = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    settings = _settings(res, at)
    measure = Measure(res.fit, LogOutcome(outcome) if log else outcome)
    known = {name: res.intake.variable(name, res.fit.source.hosts).levels or () for name in at or ()}
    return Plan(res, measure, settings, names, known)


def _settings(res: Results, at: Any) -> tuple[dict[str, Any], ...]:
    """All combinations of the values in `at`."""
    if at is None:
        return ({},)
    if not isinstance(at, Mapping):
        raise InputTypeError(f"at is a dict from column to value or list of values, not {at!r}")
    named = [v for v in res.intake.beside.aux.values() if isinstance(v, str)]
    known = [*res.intake.needs, *named]
    lists = []
    for name, values in at.items():
        if name not in known:
            raise InputError(f"at={{{name!r}: ...}} does not name a column of the model.{near(str(name), known)}")
        scalar = isinstance(values, str) or np.ndim(values) == 0
        lists.append([values] if scalar else list(values))
        if not lists[-1]:
            raise InputError(f"at={{{name!r}: ...}} has no value")
    return tuple(dict(zip(at, combination, strict=True)) for combination in itertools.product(*lists))


def _jobs(res: Results, variables: Any, kind: Kind, values: Any, pairs: Any) -> list[Job]:
    """What has to be done for each column that is asked for."""
    intake = res.intake
    every = variables is None
    names = intake.variables if every else (variables,) if isinstance(variables, str) else tuple(variables)
    for name in names:
        if name not in intake.needs:
            raise InputError(f"{name!r} is not a column that the model uses.{near(str(name), intake.needs)}")
    if values is not None and len(names) != 1:
        raise InputError("values= belongs to one column; name it, as in margins('x', values=[1, 2])")
    if not names:
        raise InputError("the model has no column to take the effect of")
    jobs = []
    for name in names:
        variable = intake.variable(name, res.fit.source.hosts)
        if every and variable.stepped:
            warnings.warn(
                f"{name!r} is left out: the model has steps in it; ask for margins({name!r}, values=[...])",
                DataWarning,
                stacklevel=4,
            )
        elif not (every and variable.levels is not None and (kind.log or kind.times_x)):
            jobs.append(job_of(variable, kind, values, pairs))
    if not jobs:
        raise InputError("the model has no column of numbers, which this kind of effect is for")
    return jobs


def _notes(res: Results, at: Any) -> tuple[str, ...]:
    """Over what the averages go."""
    kinds = [k for k in res.labels.weights if k != "var_weights"]
    words = f"Averages over {res.fit.nobs:,.10g} fitted observations"
    words += f", weighted by {' and '.join(kinds)}" if kinds else ""
    return (words + (", each of them at the values shown." if at else "."),)
