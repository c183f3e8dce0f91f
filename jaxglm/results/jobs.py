"""The averages that effects are made of: over which rows, in which settings, of which columns."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxglm.errors import DataWarning, InputError
from jaxglm.frames import Factor, Table
from jaxglm.frames.column import merge_levels
from jaxglm.hosts import Hosts
from jaxglm.inference import margins as averages
from jaxglm.inference.margins import Estimates, Measure, Tally
from jaxglm.intake.replay import Piece, Variable, held, pieces, shifted
from jaxglm.intake.shared import sent_kinds
from jaxglm.kernels import Rows, Setting
from jaxglm.sources import ArraySource

#: Most groups of `by`; more are a mistake.
_MOST_GROUPS = 1000


@dataclass(frozen=True)
class Kind:
    """A kind of effect: whether the outcome's log is taken, whether a row is multiplied by x, and names."""

    words: str
    log: bool = False
    times_x: bool = False
    contrast: bool = False


@dataclass(frozen=True)
class Plan:
    """What is averaged over which rows: settings of other columns, with levels that these have, and groups of rows."""

    res: Any
    measure: Measure
    settings: tuple[dict[str, Any], ...]
    by: tuple[str, ...]
    known: dict[str, tuple] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    groups: dict[Any, None] = field(default_factory=dict)
    levels: dict[str, dict[tuple, Factor]] = field(default_factory=dict)
    lost: list[Any] = field(default_factory=list)

    def each(self, add: Callable[[Piece, np.ndarray | None, list[Any], int, dict], None]) -> None:
        """Add up every piece in every setting; then there are the sums of all processes."""
        hosts = self.res.fit.source.hosts

        def own() -> None:
            for piece, codes, found in self.pieces():
                for s, setting in enumerate(self.settings):
                    add(piece, codes, found, s, setting)

        hosts.together("averaging over its rows", own)
        if hosts.size > 1:
            self._join(hosts)

    def _join(self, hosts: Hosts) -> None:
        levels = {name: list(found.values()) for name, found in self.levels.items()}
        sent = {"sums": self.tally.sent(), "groups": list(self.groups), "levels": levels, "lost": self.lost}
        found = hosts.gather_values(sent, sent_kinds)
        for kept in (self.tally.weight, self.tally.value, self.tally.gradient, self.groups, self.levels, self.lost):
            kept.clear()
        # In the order of the processes, so that all get the same bits.
        for part in found:
            self.tally.receive(part["sums"])
            self.groups.update(dict.fromkeys(part["groups"]))
            self.lost.extend(part["lost"])
            for name, factors in part["levels"].items():
                self.levels.setdefault(name, {}).update({factor.levels: factor for factor in factors})

    def pieces(self) -> Iterator[tuple[Piece, np.ndarray | None, list[Any]]]:
        """Pieces of the rows, the group of each row, and the groups."""
        for piece in pieces(self.res.intake, self.res.fit, *self.by):
            if not piece.table.n_rows:
                continue
            codes, found = _groups(piece.table, self.by)
            for name in self.by:
                factor = piece.table[name].factor
                self.levels.setdefault(name, {})[factor.levels] = factor.take(slice(0))
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
                self.lost.extend((key, g) for g in bad)

    def in_order(self) -> list[Any]:
        """The groups, column by column in the order of their levels."""
        merged = [merge_levels(list(self.levels[name].values())) for name in self.by]
        places = [{level: i for i, level in enumerate(levels)} for levels in merged]
        return sorted(self.groups, key=lambda g: tuple(place[v] for place, v in zip(places, g, strict=True)))

    def warn(self) -> None:
        """Say that some averages are NaN."""
        if self.lost:
            n = len(set(self.lost))
            warnings.warn(
                f"{'1 average is' if n == 1 else f'{n} averages are'} NaN: the rows or the change of a column are not "
                "determined by the aliased fit; drop the aliased terms from the formula",
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
    _, firsts, codes = np.unique(wide, return_index=True, return_inverse=True)
    return codes.astype(np.int32), [tuple(f.levels[f.codes[i]] for f in factors) for i in firsts]


def add_piece(
    plan: Plan, jobs: Sequence[Job], piece: Piece, codes: Any, found: list[Any], s: int, setting: dict
) -> None:
    """What all jobs need of one piece in one setting."""
    table = held(piece.table, setting, plan.known)
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
            yield held(table, {self.variable.name: value}, {self.variable.name: self.variable.levels or ()})

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


def job_of(variable: Variable, kind: Kind, values: Any, pairs: Any) -> Job:
    name, levels = variable.name, variable.levels
    if (levels is not None or values is not None) and (kind.log or kind.times_x):
        raise InputError(
            f"elasticities are for columns of numbers and their slopes, not for levels or values of {name!r}"
        )
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
