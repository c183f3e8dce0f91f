"""The few rows that teach a formula what all of them would.

Where the rows of a fit lie in several processes, each sends such rows of its own, and all learn the same from those of
all: levels of factors come from one row for each, kinds of columns from any row. Only functions that learn from values
(means, knots, ranges) take their columns whole, 8 bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxglm.errors import DataError
from jaxglm.formula.evaluate import Evaluated, evaluate
from jaxglm.formula.grammar import Expr, columns_of, parse
from jaxglm.formula.learn import Functions, factors_of, learn, learns, read_formula
from jaxglm.formula.rows import select
from jaxglm.formula.several import one_sided
from jaxglm.formula.spec import FormulaSpec
from jaxglm.formula.values import Coded, as_factor
from jaxglm.frames import Column, Datetime, Factor, Table, concat_columns


@dataclass(frozen=True, eq=False)
class Essence:
    """Some rows of a table, and all of some columns.

    Attributes
    ----------
    names : tuple of str
        All columns of the table, which a dot in a formula stands for; empty where there was no table.
    whole : dict of str to Column
        Columns with all n rows.
    some : dict of str to Column
        Columns with the rows at `places` alone.
    places : int array (m,)
        Where they stand among the n rows.
    keep : bool array (n,)
        Which rows are used.
    """

    names: tuple[str, ...] = ()
    whole: dict[str, Any] = field(default_factory=dict)
    some: dict[str, Any] = field(default_factory=dict)
    places: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    keep: np.ndarray = field(default_factory=lambda: np.empty(0, bool))

    @property
    def rows(self) -> Table:
        """The rows at `places`, with all columns that are needed."""
        whole = {name: column.take(self.places) for name, column in self.whole.items()}
        return Table.of(whole | self.some, len(self.places))

    def learn(
        self, texts: Sequence[str], functions: Functions | None, response: bool = True
    ) -> tuple[FormulaSpec, ...]:
        """What formulas, of which only the first has a left side, if any has one, learn from all rows.

        Raises
        ------
        DataError
            There are no rows that can be used, or what formulas raise.
        """
        if not len(self.places):
            raise DataError("no rows are left to fit: in every row of the data something is missing")
        n = len(self.keep)
        # Where a column is not known, it has the value of a row that is used, which teaches nothing new.
        nearest = np.zeros(n, np.int64)
        nearest[self.places] = np.arange(len(self.places))
        some = {name: column.take(nearest) for name, column in self.some.items()}
        table = Table.of(self.whole | some, n)
        functions = dict(functions or {})
        return tuple(
            learn(
                parse(text, self.names, functions),
                table,
                functions=functions,
                response=response and i == 0,
                rows=self.keep,
            )
            for i, text in enumerate(texts)
        )


def essence_of(
    texts: Sequence[str],
    pieces: Iterable[tuple[Table, Mapping[str, np.ndarray]]],
    *,
    functions: Functions | None,
    missing: str,
    beside: Sequence[str] = (),
    response: bool = True,
) -> Essence:
    """The essence of the pieces of a table for some formulas, of which only the first has a left side.

    Parameters
    ----------
    pieces : each with the vectors beside it; a row counts as missing where one of them is nan
    missing : {"drop", "raise"}
    beside : further columns that are wanted
    response : whether the first has one
    """
    reader, parts = None, []
    for table, extra in pieces:
        reader = reader or _Reader(texts, table, dict(functions or {}), missing, tuple(beside), response)
        parts.append(reader.read(table, extra))
    return join(parts)


def join(parts: Sequence[Essence]) -> Essence:
    """The essence of several parts of a table, first part first."""
    parts = [part for part in parts if part.names]
    if not parts:
        return Essence()
    starts = np.cumsum([0, *(len(part.keep) for part in parts)])
    whole = {name: concat_columns([part.whole[name] for part in parts], name) for name in parts[0].whole}
    some = {name: concat_columns([part.some[name] for part in parts], name) for name in parts[0].some}
    places = np.concatenate([part.places + start for part, start in zip(parts, starts, strict=False)])
    return Essence(parts[0].names, whole, some, places, np.concatenate([part.keep for part in parts]))


class _Reader:
    """Takes from each piece the rows that have something new."""

    def __init__(
        self, texts: Sequence[str], first: Table, functions: Functions, missing: str, beside: tuple[str, ...],
        response: bool,
    ):  # fmt: skip
        self.functions, self.missing = functions, missing
        for text in texts[1:]:
            one_sided(text, first, functions)
        sided = [response and i == 0 for i in range(len(texts))]
        parsed = [read_formula(text, first, functions, left) for text, left in zip(texts, sided, strict=True)]
        exprs = [
            e for p, left in zip(parsed, sided, strict=True)
            for e in (*(p.response if left else ()), *factors_of(p), *p.offsets)
        ]  # fmt: skip
        self.exprs = list(dict.fromkeys(exprs))
        self.columns = first.columns
        self.learning = [e for e in self.exprs if learns(e, functions)]
        self.whole = tuple(dict.fromkeys(n for e in self.learning for n in self.variables(e)))
        named = [n for e in self.exprs for n in self.variables(e)]
        self.some = tuple(n for n in dict.fromkeys([*named, *beside]) if n not in self.whole)
        self.seen: dict[Expr, set] = {}

    def variables(self, expr: Expr) -> tuple[str, ...]:
        return columns_of(expr, self.columns, frozenset(self.functions))

    def read(self, table: Table, extra: Mapping[str, np.ndarray]) -> Essence:
        """The essence of one piece."""
        if table.n_rows == 0:
            return Essence()
        items = [evaluate(e, table, self.functions) for e in self.exprs if e not in self.learning]
        stand_ins = [self.stand_in(e, table) for e in self.learning]
        chosen = select(table, [*items, *stand_ins], missing=self.missing, extra=extra)
        kept = np.arange(table.n_rows) if chosen.where is None else chosen.where
        places = kept[:1]
        for item in items:
            if isinstance(item.value, (Factor, Coded, Datetime)):
                places = np.union1d(places, kept[self.new(item, kept)])
        if self.whole:
            keep = np.ones(table.n_rows, bool) if chosen.keep is None else chosen.keep
            whole = {name: _plain(table[name]) for name in self.whole}
        else:
            keep, whole = np.ones(len(places), bool), {}
        some = {name: _plain(table[name].take(places)) for name in self.some}
        return Essence(table.names, whole, some, places if self.whole else np.arange(len(places)), keep)

    def new(self, item: Evaluated, kept: np.ndarray) -> np.ndarray:
        """The first of the used rows with each level that no piece before had."""
        factor = as_factor(item.value, item.expr.name)
        codes, first = np.unique(factor.codes[kept], return_index=True)
        seen = self.seen.setdefault(item.expr, set())
        found = [at for code, at in zip(codes, first, strict=True) if factor.levels[code] not in seen]
        seen.update(factor.levels[code] for code in codes)
        return np.asarray(found, np.int64)

    def stand_in(self, expr: Expr, table: Table) -> Evaluated:
        """Which rows an expression that cannot be evaluated yet will miss."""
        used = self.variables(expr)
        missing = np.logical_or.reduce([table[name].missing for name in used] or [np.zeros(table.n_rows, bool)])
        return Evaluated(expr, None, {}, used, missing if missing.any() else None, None)


def _plain(column: Column) -> Column:
    """Moments as the factor they stand for, which can be sent."""
    return column.factor if isinstance(column, Datetime) else column
