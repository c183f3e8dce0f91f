"""Average effects and average predictions of a fit, labelled."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm import precision
from jaxglm.errors import DataWarning, InputError, InputTypeError, near
from jaxglm.frames import Table
from jaxglm.inference import margins as averages
from jaxglm.inference.margins import Estimates, Measure, Tally
from jaxglm.inference.residuals import need_rows
from jaxglm.intake.replay import Piece, Variable, held, pieces, shifted
from jaxglm.kernels import LinkOutcome, LogOutcome, Outcome, Rows, Setting
from jaxglm.results.effects import Effects
from jaxglm.results.predicted import predictor_of
from jaxglm.results.tidy import check_alpha
from jaxglm.sources import ArraySource

if TYPE_CHECKING:
    from jaxglm.results.results import Results

_SCALES = {"response": (Outcome(), "mean"), "link": (LinkOutcome(), "linear")}
_PAIRS = {"base": averages.against_base, "sequential": averages.sequential, "pairwise": averages.pairwise}
#: Most groups of `by`; more are a mistake.
_MOST_GROUPS = 1000


@dataclass(frozen=True)
class Kind:
    """A kind of effect: whether the outcome's log is taken, whether a row is multiplied by x, and names."""

    words: str
    log: bool = False
    times_x: bool = False
    contrast: bool = False


_KINDS = {
    "dydx": Kind("dY/dX"), "eyex": Kind("eY/eX", True, True), "eydx": Kind("eY/dX", True),
    "dyex": Kind("dY/eX", False, True), "contrast": Kind("", contrast=True),
}  # fmt: skip


def _choose(what: str, value: Any, known: Mapping[str, Any]) -> Any:
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{what} must be {' or '.join(map(repr, known))}, not {value!r}")
    return known[value]


@dataclass(frozen=True)
class Plan:
    """What is averaged over which rows: settings of other columns, and groups of rows."""

    res: Any
    measure: Measure
    settings: tuple[dict[str, Any], ...]
    by: tuple[str, ...]
    tally: Tally = field(default_factory=Tally)
    groups: dict[Any, None] = field(default_factory=dict)
    lost: list[Any] = field(default_factory=list)

    def pieces(self) -> Iterator[tuple[Piece, np.ndarray | None, list[Any]]]:
        """Pieces of the rows, the group of each row, and the groups."""
        for piece in pieces(self.res.intake, self.res.fit):
            codes, found = _groups(piece.table, self.by)
            self.groups.update(dict.fromkeys(found))
            if len(self.groups) > _MOST_GROUPS:
                raise InputError(
                    f"by={list(self.by)!r} makes more than {_MOST_GROUPS:,} groups; give a factor, or cut the numbers"
                )
            yield piece, codes, found

    def rows(self, piece: Piece, codes: np.ndarray | None, table: Table, changed: Any, **more: Any) -> Rows:
        """Rows of a piece in a setting."""
        made = piece.rows(table, frozenset(changed))
        return made._replace(x=Setting(made.x, group=codes, **more))

    def add(self, key: Any, found: list[Any], sums: Any, rows: Rows | None = None) -> None:
        """Keep sums, and whether the fit determines them."""
        self.tally.add(key, found, sums)
        if rows is not None and self.res.fit.rank.dependence:
            loose = self.measure.loose(rows)
            if loose.any():
                group = rows.x.group
                bad = found if group is None else [found[g] for g in np.unique(group[loose])]
                self.tally.lose(key, bad)
                self.lost += [(key, g) for g in bad]

    def in_order(self) -> list[Any]:
        """The groups, sorted column by column."""
        return sorted(self.groups, key=lambda g: tuple((isinstance(v, str), v) for v in g))

    def warn(self) -> None:
        """Say that some averages are NaN."""
        if self.lost:
            warnings.warn(
                f"{len(set(self.lost))} averages are NaN: they rest on rows or changes that the aliased fit does not "
                "determine; drop the aliased terms from the formula",
                DataWarning,
                stacklevel=5,
            )


def _groups(table: Table, by: tuple[str, ...]) -> tuple[np.ndarray | None, list[Any]]:
    """Group of each row among those that occur, and the values that make each group."""
    if not by:
        return None, [()]
    factors = [table[name].factor for name in by]
    for name, factor in zip(by, factors, strict=True):
        if factor.missing.any():
            raise InputError(f"by={name!r} is missing in some of the fitted rows; fill it in")
    wide = np.zeros(table.n_rows, np.int64)
    for factor in factors:
        wide = wide * len(factor.levels) + factor.codes
    used, codes = np.unique(wide, return_inverse=True)
    firsts = [int(np.flatnonzero(codes == g)[0]) for g in range(min(len(used), _MOST_GROUPS + 1))]
    return codes.astype(np.int32), [tuple(f.levels[f.codes[i]] for f in factors) for i in firsts]


def _plan(res: Results, at: Any, by: Any, scale: str, log: bool = False) -> Plan:
    """Check what both kinds of average take."""
    outcome, which = _choose("scale", scale, _SCALES)
    predictor_of(res, which)
    need_rows(res.fit, "an average over the fitted rows")
    names = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    settings = _settings(res, at)
    return Plan(res, Measure(res.fit, LogOutcome(outcome) if log else outcome), settings, names)


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


def predictions(res: Results, at: Any, by: Any, scale: str, alpha: float) -> Effects:
    """See :meth:`jaxglm.results.results.Results.predictions`."""
    plan, level = _plan(res, at, by, scale), check_alpha(alpha)
    with precision.scope():
        for piece, codes, found in plan.pieces():
            for s, setting in enumerate(plan.settings):
                rows = plan.rows(piece, codes, held(piece.table, setting), setting)
                plan.add(s, found, plan.measure.level(rows, len(found)), rows if setting else None)
    plan.warn()
    order = [(s, g) for s in range(len(plan.settings)) for g in plan.in_order()]
    made = averages.stack([plan.tally.average(s, g) for s, g in order])
    labels = pd.DataFrame([plan.settings[s] | dict(zip(plan.by, g, strict=True)) for s, g in order])
    title = "Average predictions" + (" on the link scale" if scale == "link" else "")
    return Effects(labels, made, res.covariance, title, _notes(res, at), level)


def margins(
    res: Results, variables: Any, at: Any, by: Any, kind: str, values: Any, reference: str, scale: str, alpha: float
) -> Effects:
    """See :meth:`jaxglm.results.results.Results.margins`."""
    sort, pairs = _choose("kind", kind, _KINDS), _choose("reference", reference, _PAIRS)
    plan, level = _plan(res, at, by, scale, sort.log), check_alpha(alpha)
    jobs = _jobs(res, variables, sort, values, pairs)
    with precision.scope():
        if plan.settings == ({},) and not plan.by and all(job.constant for job in jobs):
            source = plan.measure.as_they_are(res.intake.beside.prob_weights is not None)
            plan.groups[()] = None
            plan.add((0, ""), [()], plan.measure.slopes(source))
        else:
            for piece, codes, found in plan.pieces():
                for s, setting in enumerate(plan.settings):
                    _add(plan, jobs, piece, codes, found, s, setting)
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


def _add(plan: Plan, jobs: Sequence[Job], piece: Piece, codes: Any, found: list[Any], s: int, setting: dict) -> None:
    """What all jobs need of one piece in one setting."""
    table = held(piece.table, setting)
    if any(job.constant for job in jobs):
        rows = plan.rows(piece, codes, table, setting)
        sums = plan.measure.slopes(ArraySource.from_rows(rows), len(found))
        plan.add((s, ""), found, sums, rows if setting else None)
    for job in jobs:
        job.add(plan, piece, codes, found, s, table, setting)


@dataclass(frozen=True)
class Job:
    """The effect of one column; this one is its slope where that is a coefficient times that of the predictor."""

    variable: Variable
    kind: Kind
    constant = True

    def add(self, plan: Plan, piece: Piece, codes: Any, found: list[Any], s: int, table: Table, setting: dict) -> None:
        """Sums of one piece in a setting that is made already."""

    def estimates(self, plan: Plan, s: int, group: Any) -> tuple[list[str], Estimates]:
        """Names and estimates, once all pieces are added."""
        made = plan.measure.constant(plan.tally.average((s, ""), group), self.variable.constant)
        if np.isnan(made.values).any() and plan.res.fit.rank.dependence:
            plan.lost.append((s, self.variable.name, group))
        return [self.kind.words], made


@dataclass(frozen=True)
class SlopeJob(Job):
    """The slope of any column of numbers."""

    constant = False

    def add(self, plan: Plan, piece: Piece, codes: Any, found: list[Any], s: int, table: Table, setting: dict) -> None:
        name = self.variable.name
        base = piece.rows(table, frozenset(setting))
        pairs, offset = piece.intake.tangents(table, name, self.variable.spread, base.x)
        factor = table[name].values if self.kind.times_x else None
        rows = base._replace(x=Setting(base.x, pairs, offset, factor, codes))
        plan.add((s, name), found, plan.measure.tangent(rows, len(found)), rows)

    def estimates(self, plan: Plan, s: int, group: Any) -> tuple[list[str], Estimates]:
        return [self.kind.words], plan.tally.average((s, self.variable.name), group)


@dataclass(frozen=True)
class LevelJob(Job):
    """Differences between average predictions at values of a column."""

    values: tuple[Any, ...]
    pairs: tuple[tuple[int, int], ...]
    constant = False

    def tables(self, table: Table) -> Iterator[Table]:
        """The rows with the column at each value."""
        for value in self.values:
            yield held(table, {self.variable.name: value})

    def add(self, plan: Plan, piece: Piece, codes: Any, found: list[Any], s: int, table: Table, setting: dict) -> None:
        name = self.variable.name
        for i, changed in enumerate(self.tables(table)):
            rows = plan.rows(piece, codes, changed, {*setting, name})
            plan.add((s, name, i), found, plan.measure.level(rows, len(found)), rows)

    def estimates(self, plan: Plan, s: int, group: Any) -> tuple[list[str], Estimates]:
        n = len(self.values)
        levels = averages.stack([plan.tally.average((s, self.variable.name, i), group) for i in range(n)])
        return self.names, levels.combine(averages.differences(self.pairs, n))

    @property
    def names(self) -> list[str]:
        """What each contrast is called."""
        return [f"{self.values[i]} - {self.values[j]}" for i, j in self.pairs]


@dataclass(frozen=True)
class StepJob(LevelJob):
    """Numbers one higher against numbers as they are."""

    def tables(self, table: Table) -> Iterator[Table]:
        yield table
        yield shifted(table, self.variable.name, 1.0)

    @property
    def names(self) -> list[str]:
        return ["+1"]


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
        variable = intake.variable(name)
        if every and variable.stepped:
            warnings.warn(
                f"{name!r} is left out: the model has steps in it; ask for margins({name!r}, values=[...])",
                DataWarning,
                stacklevel=4,
            )
        elif not (every and variable.levels is not None and (kind.log or kind.times_x)):
            jobs.append(_job(variable, kind, values, pairs))
    if not jobs:
        raise InputError("the model has no column of numbers, which this kind of effect is for")
    return jobs


def _job(variable: Variable, kind: Kind, values: Any, pairs: Any) -> Job:
    name, levels = variable.name, variable.levels
    if (levels is not None or values is not None) and (kind.log or kind.times_x):
        raise InputError(f"elasticities are for columns of numbers and their slopes, not for levels or values of {name!r}")
    if values is not None:
        given = tuple(v.item() if isinstance(v, np.generic) else v for v in values)
        if len(set(given)) != len(given) or len(given) < 2:
            raise InputError(f"values must be at least two different values of {name!r}, not {values!r}")
        return LevelJob(variable, kind, given, tuple(pairs(len(given), 0)))
    if levels is not None:
        if len(levels) < 2:
            raise InputError(f"{name!r} has the single level {levels[0]!r}, so there is nothing to compare")
        return LevelJob(variable, kind, tuple(levels), tuple(pairs(len(levels), variable.base)))
    if kind.contrast:
        return StepJob(variable, kind, (0, 1), ((1, 0),))
    return Job(variable, kind) if variable.constant and not kind.times_x else SlopeJob(variable, kind)


def _notes(res: Results, at: Any) -> tuple[str, ...]:
    """Over what the averages go."""
    kinds = [k for k in res.labels.weights if k != "var_weights"]
    words = f"Averages over {res.fit.nobs:,.10g} fitted observations"
    words += f", weighted by {' and '.join(kinds)}" if kinds else ""
    return (words + (", each of them at the values shown." if at else "."),)
