"""Learn a spec in one reading pass over the pieces of data that is too large to hold.

Levels are collected piece by piece. Only the columns of expressions that learn
something (means, knots, ranges) are kept, 8 bytes a row each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxglm.errors import DataError
from jaxglm.formula import syntax
from jaxglm.formula.evaluate import Evaluated, evaluate
from jaxglm.formula.grammar import Expr, Parsed, columns_of
from jaxglm.formula.learn import (
    Functions,
    categorical_spec,
    factors_of,
    make_spec,
    numerical_spec,
    offset_spec,
    read_formula,
    response_spec,
    used_levels,
)
from jaxglm.formula.library import FUNCTIONS
from jaxglm.formula.rows import Selection, select
from jaxglm.formula.spec import FactorSpec, FormulaSpec
from jaxglm.formula.values import Coded, as_factor
from jaxglm.frames import Column, Factor, Table, concat_columns
from jaxglm.frames.column import merge_levels


def learn_stream(
    formula: str,
    tables: Callable[[], Iterable[Table]],
    *,
    functions: Functions | None = None,
    response: bool = True,
    extra: Callable[[Table], Mapping[str, np.ndarray]] | None = None,
) -> FormulaSpec:
    """Learn a formula from tables that come one after the other.

    Parameters
    ----------
    formula : str
    tables : callable
        Gives a fresh iterator over the pieces at each call; it is called once.
    functions : mapping of str to callable, optional
        The user's own functions; they see one piece at a time, so they must treat each row by itself.
    response : bool
    extra : callable, optional
        Gives the vectors beside a piece (weights); a row counts as dropped where one of them is nan.

    Returns
    -------
    FormulaSpec
        Equal to what :func:`jaxglm.formula.learn` learns from all pieces joined.

    Notes
    -----
    Memory: 8 bytes a row for each column that a learning function (scale, poly, splines, cut into a number of
    intervals) uses, one byte a row where there is any; nothing that grows with the rows otherwise.
    """
    functions = dict(functions or {})
    collector = None
    for table in tables():
        if collector is None:
            parsed = read_formula(formula, table, functions, response)
            collector = _Collector(parsed, functions, response, table)
        collector.add(table, extra(table) if extra is not None else None)
    if collector is None or collector.n_rows == 0:
        raise DataError("the data has no rows.")
    return collector.finish()


@dataclass
class _Levels:
    """The levels of one factor, as far as read."""

    parts: list[Factor] = field(default_factory=list)

    def add(self, item: Evaluated, chosen: Selection) -> None:
        factor = as_factor(item.value, item.expr.name)
        fixed = isinstance(item.value, Coded) and item.value.fixed
        used = set(used_levels(factor, chosen, fixed))
        # Levels keep their whole order until all are known, then those that no row has are left out.
        seen = np.array([i for i, v in enumerate(factor.levels) if v in used], dtype=np.int32)
        part = Factor(seen, factor.levels)
        if self.parts and self.parts[-1].levels == part.levels:
            part = Factor(np.union1d(self.parts.pop().codes, seen).astype(np.int32), part.levels)
        self.parts.append(part)

    def known(self) -> tuple[Any, ...]:
        used = {p.levels[c] for p in self.parts for c in p.codes}
        whole = [p for p in self.parts if p.codes.size] or self.parts[:1]
        levels = [v for v in merge_levels(whole) if v in used]
        if any(isinstance(v, float) for v in levels) and not any(isinstance(v, str) for v in levels):
            # Whole numbers in some pieces and fractions in others are one column of fractions.
            levels = [float(v) for v in levels]
        return tuple(levels)


class _Collector:
    """What the pieces have shown so far."""

    def __init__(self, parsed: Parsed, functions: Functions, response: bool, first: Table):
        self.parsed = parsed
        self.functions = functions
        self.sides = parsed.response if response else ()
        self.exprs = list(dict.fromkeys([*self.sides, *factors_of(parsed), *parsed.offsets]))
        self.columns = first.columns
        self.learning = {e for e in self.exprs if self.learns(e)}
        needed = [n for e in self.exprs if e in self.learning for n in self.variables(e)]
        self.kept: dict[str, list[Column]] = {n: [] for n in needed}
        self.masks: list[np.ndarray] = []
        self.levels: dict[Expr, _Levels] = {}
        self.samples: dict[Expr, Evaluated] = {}
        self.n_rows = self.n_used = 0
        self.lost: dict[str, int] = {}

    def learns(self, expr: Expr) -> bool:
        if expr.code is None:
            return False
        calls = syntax.read(expr.code, frozenset(self.functions)).calls
        names = (syntax.dotted(call.func) for call in calls)
        return any(FUNCTIONS[n].stateful for n in names if n in FUNCTIONS and n not in self.functions)

    def variables(self, expr: Expr) -> tuple[str, ...]:
        return columns_of(expr, self.columns, frozenset(self.functions))

    def add(self, table: Table, extra: Mapping[str, np.ndarray] | None) -> None:
        if table.n_rows == 0:
            return
        items = {e: evaluate(e, table, self.functions) for e in self.exprs if e not in self.learning}
        stand_ins = [self.stand_in(e, table) for e in self.exprs if e in self.learning]
        chosen = select(table, [*items.values(), *stand_ins], missing="drop", extra=extra)
        for expr, item in items.items():
            if isinstance(item.value, (Factor, Coded)):
                self.levels.setdefault(expr, _Levels()).add(item, chosen)
            # A piece without any value says nothing about the kind of a column.
            if expr not in self.samples or (chosen.n_kept and not _says_nothing(item)):
                self.samples[expr] = item
        for name, parts in self.kept.items():
            parts.append(table[name])
        if self.learning:
            self.masks.append(np.ones(table.n_rows, dtype=bool) if chosen.keep is None else chosen.keep)
        self.n_rows += table.n_rows
        self.n_used += chosen.n_kept
        for name, count in chosen.dropped_by.items():
            self.lost[name] = self.lost.get(name, 0) + count

    def stand_in(self, expr: Expr, table: Table) -> Evaluated:
        """Which rows an expression that cannot be evaluated yet will miss."""
        missing = np.zeros(table.n_rows, dtype=bool)
        used = self.variables(expr)
        for name in used:
            missing |= table[name].missing
        return Evaluated(expr, None, {}, used, missing if missing.any() else None, None)

    def finish(self) -> FormulaSpec:
        if self.n_used == 0:
            raise Selection(self.n_rows, dropped_by=self.lost).nothing_left(Table.of({}, self.n_rows))
        chosen = Selection(self.n_rows)
        if self.learning:
            whole = Table.of({n: concat_columns(parts, n) for n, parts in self.kept.items()}, self.n_rows)
            keep = np.concatenate(self.masks)
            items = [evaluate(e, whole, self.functions) for e in self.exprs if e in self.learning]
            chosen = select(whole, items, missing="drop", rows=keep)
            self.samples.update({i.expr: i for i in items})
        factors = tuple(self.factor(e, chosen) for e in factors_of(self.parsed))
        left = [self.samples[e] for e in self.sides]
        levels = self.known_levels(left[0], chosen) if len(left) == 1 else None
        side = response_spec(self.parsed, left, levels) if left else None
        offsets = tuple(offset_spec(self.samples[e]) for e in self.parsed.offsets)
        return make_spec(self.parsed, side, factors, offsets, self.functions)

    def known_levels(self, item: Evaluated, chosen: Selection) -> Sequence[Any] | None:
        if not isinstance(item.value, (Factor, Coded)):
            return None
        if item.expr not in self.learning:
            return self.levels[item.expr].known()
        fixed = isinstance(item.value, Coded) and item.value.fixed
        return used_levels(as_factor(item.value, item.expr.name), chosen, fixed)

    def factor(self, expr: Expr, chosen: Selection) -> FactorSpec:
        item = self.samples[expr]
        levels = self.known_levels(item, chosen)
        return numerical_spec(item) if levels is None else categorical_spec(item, levels)


def _says_nothing(item: Evaluated) -> bool:
    return item.missing is not None and bool(item.missing.all())
