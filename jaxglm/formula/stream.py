"""Learn a spec in one reading pass over the pieces of data that is too large to hold.

Levels are collected piece by piece. Only the columns of expressions that learn
something (means, knots, ranges) are kept, 8 bytes a row each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxglm.errors import DataError
from jaxglm.formula.evaluate import Evaluated, evaluate
from jaxglm.formula.grammar import Expr, Parsed, columns_of
from jaxglm.formula.learn import (
    Functions,
    categorical_spec,
    factors_of,
    learns,
    make_spec,
    numerical_spec,
    offset_spec,
    read_formula,
    response_spec,
    used_levels,
)
from jaxglm.formula.rows import Selection, select
from jaxglm.formula.several import one_sided
from jaxglm.formula.spec import FactorSpec, FormulaSpec
from jaxglm.formula.values import Coded, as_factor, describe
from jaxglm.frames import Column, Factor, Table, concat_columns
from jaxglm.frames.column import sort_levels
from jaxglm.frames.scan import naming


def learn_stream(
    texts: Sequence[str],
    tables: Callable[[], Iterable[Table]],
    *,
    functions: Functions | None = None,
    missing: str = "drop",
    extra: Callable[[Table], Mapping[str, np.ndarray]] | None = None,
) -> Streamed:
    """Learn formulas from tables that come one after the other, in one reading of them.

    Parameters
    ----------
    texts : sequence of str
        Formulas of which only the first has a left side.
    tables : callable
        Gives a fresh iterator over the pieces at each call; it is called once.
    functions : mapping of str to callable, optional
        The user's own functions; they see one piece at a time, so they must treat each row by itself.
    missing : {"drop", "raise"}
    extra : callable, optional
        Gives the vectors beside a piece (weights); a row counts as dropped where one of them is nan.

    Returns
    -------
    Streamed
        Its specs are equal to what :func:`jaxglm.formula.learn_several` learns from all pieces joined.

    Raises
    ------
    DataError
        No rows, or a column that holds numbers in one piece and text in another.

    Notes
    -----
    Memory: 8 bytes a row for each column that a learning function (scale, poly, splines, cut into a number of
    intervals) uses, one byte a row where there is any; nothing that grows with the rows otherwise.
    """
    functions = dict(functions or {})
    collector = None
    for table in tables():
        with naming(table.index):
            if collector is None:
                collector = _Collector(_parsed(texts, table, functions), functions, missing, table)
            collector.add(table, extra(table) if extra is not None else None)
    if collector is None or collector.n_rows == 0:
        raise DataError("the data has no rows.")
    return collector.finish()


def columns_read(texts: Sequence[str], names: Sequence[str], functions: Functions | None = None) -> set[str]:
    """The columns that formulas read, of data with these columns."""
    functions = dict(functions or {})
    empty = Table.of(dict.fromkeys(names), 0)
    known = _parsed(texts, empty, functions)
    exprs = {e for p in known for e in (*p.response, *factors_of(p), *p.offsets)}
    return {name for e in exprs for name in columns_of(e, names, frozenset(functions))}


def known_without_data(texts: Sequence[str], empty: Table, *, functions: Functions | None = None) -> Streamed | None:
    """What formulas learn of a table without rows, where rows would teach nothing more; else None.

    That is so where all terms are numbers by type and the response is numbers or truth values.
    """
    if functions:
        # A function of the user's may make anything of values.
        return None
    collector = _Collector(_parsed(texts, empty, {}), {}, "drop", empty)
    if collector.learning:
        return None
    try:
        collector.samples = {e: evaluate(e, empty, {}) for e in collector.exprs}
    except Exception:  # numpy has errors of its own for what has no rows
        return None
    terms = {e for p in collector.parsed for e in (*factors_of(p), *p.offsets)}
    for expr, item in collector.samples.items():
        # Of a response of truth values the levels are known.
        truth = expr not in terms and getattr(item.value, "boolean", False)
        if isinstance(item.value, (Factor, Coded)) and not truth:
            return None
    return collector.made(Selection(0))


def _parsed(texts: Sequence[str], table: Table, functions: Functions) -> list[Parsed]:
    for text in texts[1:]:
        one_sided(text, table, functions)
    return [read_formula(text, table, functions, i == 0) for i, text in enumerate(texts)]


@dataclass(frozen=True)
class Streamed:
    """What pieces taught: a spec for each formula, the rows that were read and those of them that are used."""

    specs: tuple[FormulaSpec, ...]
    n_rows: int
    n_used: int


class _Levels:
    """The levels of one factor, as far as read; each is held once, however many pieces have it."""

    def __init__(self):
        #: All levels in the order in which they came, of which some row has those in `used`.
        self.seen: dict[Any, None] = {}
        self.used: set[Any] = set()
        self.last: tuple[Any, ...] | None = None
        self.several, self.ascending = False, True

    def add(self, item: Evaluated, chosen: Selection) -> None:
        factor = as_factor(item.value, item.expr.name)
        fixed = isinstance(item.value, Coded) and item.value.fixed
        used = used_levels(factor, chosen, fixed)
        if not used:
            return
        self.used.update(used)
        # Levels keep their whole order until all are known, then those that no row has are left out.
        if factor.levels != self.last:
            self.several |= self.last is not None
            self.ascending &= list(factor.levels) == sort_levels(factor.levels)
            self.seen.update(dict.fromkeys(factor.levels))
            self.last = factor.levels

    def known(self) -> tuple[Any, ...]:
        whole = sort_levels(self.seen) if self.several and self.ascending else self.seen
        levels = [v for v in whole if v in self.used]
        if any(isinstance(v, float) for v in levels) and not any(isinstance(v, str) for v in levels):
            # Whole numbers in some pieces and fractions in others are one column of fractions.
            levels = [float(v) for v in levels]
        return tuple(levels)


class _Collector:
    """What the pieces have shown so far, of all formulas together; a row is used if none of them misses anything."""

    def __init__(self, parsed: Sequence[Parsed], functions: Functions, missing: str, first: Table):
        self.parsed = parsed
        self.functions = functions
        self.missing = missing
        found = [e for p in parsed for e in (*p.response, *factors_of(p), *p.offsets)]
        self.exprs = list(dict.fromkeys(found))
        self.columns = first.columns
        self.learning = {e for e in self.exprs if learns(e, functions)}
        needed = [n for e in self.exprs if e in self.learning for n in self.variables(e)]
        self.kept: dict[str, list[Column]] = {n: [] for n in needed}
        self.masks: list[np.ndarray] = []
        self.levels: dict[Expr, _Levels] = {}
        self.samples: dict[Expr, Evaluated] = {}
        self.n_rows = self.n_used = 0
        self.lost: dict[str, int] = {}

    def variables(self, expr: Expr) -> tuple[str, ...]:
        return columns_of(expr, self.columns, frozenset(self.functions))

    def add(self, table: Table, extra: Mapping[str, np.ndarray] | None) -> None:
        if table.n_rows == 0:
            return
        items = {e: evaluate(e, table, self.functions) for e in self.exprs if e not in self.learning}
        stand_ins = [self.stand_in(e, table) for e in self.exprs if e in self.learning]
        chosen = select(table, [*items.values(), *stand_ins], missing=self.missing, extra=extra)
        for expr, item in items.items():
            self.same_kind(expr, item)
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

    def same_kind(self, expr: Expr, item: Evaluated) -> None:
        """Refuse an expression that was of another kind in earlier pieces."""
        before = self.samples.get(expr)
        if before is None or isinstance(item.value, Coded) or _says_nothing(item) or _says_nothing(before):
            return
        if isinstance(item.value, Factor) != isinstance(before.value, (Factor, Coded)):
            raise DataError(
                f"{expr.name!r} is {describe(item.value)}, but {describe(before.value)} in earlier pieces of the data; "
                "give it one type everywhere"
            )

    def stand_in(self, expr: Expr, table: Table) -> Evaluated:
        """Which rows an expression that cannot be evaluated yet will miss."""
        missing = np.zeros(table.n_rows, dtype=bool)
        used = self.variables(expr)
        for name in used:
            missing |= table[name].missing
        return Evaluated(expr, None, {}, used, missing if missing.any() else None, None)

    def finish(self) -> Streamed:
        if self.n_used == 0:
            raise Selection(self.n_rows, dropped_by=self.lost).nothing_left(Table.of({}, self.n_rows))
        if not self.learning:
            return self.made(Selection(self.n_rows))
        whole = Table.of({n: concat_columns(parts, n) for n, parts in self.kept.items()}, self.n_rows)
        keep = np.concatenate(self.masks)
        items = [evaluate(e, whole, self.functions) for e in self.exprs if e in self.learning]
        chosen = select(whole, items, missing=self.missing, rows=keep)
        self.samples.update({i.expr: i for i in items})
        self.n_used = chosen.n_kept
        return self.made(chosen)

    def made(self, chosen: Selection) -> Streamed:
        """The specs; `chosen` are the rows of expressions that were evaluated for all of them."""
        specs = []
        for parsed in self.parsed:
            factors = tuple(self.factor(e, chosen) for e in factors_of(parsed))
            left = [self.samples[e] for e in parsed.response]
            levels = self.known_levels(left[0], chosen) if len(left) == 1 else None
            side = response_spec(parsed, left, levels) if left else None
            offsets = tuple(offset_spec(self.samples[e]) for e in parsed.offsets)
            specs.append(make_spec(parsed, side, factors, offsets, self.functions))
        return Streamed(tuple(specs), self.n_rows, self.n_used)

    def known_levels(self, item: Evaluated, chosen: Selection) -> Sequence[Any] | None:
        if not isinstance(item.value, (Factor, Coded)):
            return None
        if item.expr not in self.learning:
            return self.levels[item.expr].known() if item.expr in self.levels else ()
        fixed = isinstance(item.value, Coded) and item.value.fixed
        return used_levels(as_factor(item.value, item.expr.name), chosen, fixed)

    def factor(self, expr: Expr, chosen: Selection) -> FactorSpec:
        item = self.samples[expr]
        levels = self.known_levels(item, chosen)
        return numerical_spec(item) if levels is None else categorical_spec(item, levels)


def _says_nothing(item: Evaluated) -> bool:
    return item.missing is not None and bool(item.missing.all())
