"""From a spec and a table to the rows of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.design import Columns, Split
from jaxglm.design import numbers as numbers_design
from jaxglm.errors import DataError, FormulaError, InputError, UnseenLevelError, near
from jaxglm.formula.evaluate import Evaluated, evaluate
from jaxglm.formula.plan import Part, Product
from jaxglm.formula.rows import Selection, select
from jaxglm.formula.spec import FactorSpec, FormulaSpec, ResponseSpec
from jaxglm.formula.values import Matrix, as_factor, describe, numbers
from jaxglm.frames import Factor, Numeric, Table, row_name
from jaxglm.precision import aligned_empty

if TYPE_CHECKING:
    import pandas as pd

#: Values of one column copied at a time, so that source and target stay in cache.
_TILE = 1 << 16


@dataclass(frozen=True, eq=False)
class Response:
    """The left side for the rows that are used.

    Attributes
    ----------
    name : str
    kind : str
        "numeric", "factor" or "counts".
    values : float64 array (m,) or None
        Numeric responses; for truth values 0 and 1 too.
    factor : Factor or None
        Text, categories and truth values: codes into the levels of the fit, the first of which is failure.
    success, failure : float64 array (m,) or None
        Counts.
    """

    name: str
    kind: str
    values: np.ndarray | None = None
    factor: Factor | None = None
    success: np.ndarray | None = None
    failure: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Built:
    """The rows of a model.

    Attributes
    ----------
    x : pytree
        Rows for `design`: a tuple of float64 (m,), or float64 (m, p) where they are many, for the numbers; int32 codes
        (m,) or (codes, numbers) for factors.
    design : Split
    names : tuple of str
    response : Response or None
    offset : float64 array (m,) or None
        Sum of the offset terms, on the link scale.
    keep : bool array (n,) or None
        Which rows of the table are used; None for all.
    n_dropped : int
    dropped_by : dict
        For each column, in how many rows it is missing.
    bad_rows : bool array (m,) or None
        Used rows whose prediction must be nan: an unseen level, or a missing value that was kept.
    index : pandas.Index or None
    extra : dict
        The extra vectors for the rows that are used.
    n_rows : int
        Number of rows that are used, m.
    """

    x: tuple[Any, ...]
    design: Split
    names: tuple[str, ...]
    response: Response | None
    offset: np.ndarray | None
    keep: np.ndarray | None
    n_dropped: int
    dropped_by: dict[str, int]
    bad_rows: np.ndarray | None
    index: pd.Index | None
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    n_rows: int = 0


def build(
    spec: FormulaSpec,
    table: Table,
    *,
    missing: str = "drop",
    response: bool = True,
    unseen: str = "raise",
    extra: Mapping[str, np.ndarray] | None = None,
    rows: np.ndarray | None = None,
    allow_empty: bool = False,
    whole: bool = False,
) -> Built:
    """The rows of `table` under a spec.

    Parameters
    ----------
    spec : FormulaSpec
    table : Table
    missing : {"drop", "raise", "keep"}
        What to do with rows in which something is missing; "keep" marks them in ``bad_rows``.
    response : bool
        Whether to read the left side too.
    unseen : {"raise", "nan"}
        What to do with levels that the fit did not see, and with values outside of a function's reach;
        "nan" marks their rows in ``bad_rows``.
    extra : dict of str to float64 array (n,), optional
        Vectors beside the table, such as weights; a row is dropped too where one of them is nan.
    rows : bool array (n,), optional
        Rows to consider; others are left out without being counted as missing.
    allow_empty : bool
        Whether no row at all is fine, as in a piece of a stream.
    whole : bool
        Whether these very rows were built before and nothing was missing in them, so that values are not looked at.

    Returns
    -------
    Built

    Raises
    ------
    UnseenLevelError
        Names the column, the level, the first row, and the levels that are known.
    DataError
        Missing or infinite values, a column of another kind than at the fit, no rows left.
    """
    lenient = unseen == "nan"
    if unseen not in ("raise", "nan"):
        raise InputError(f"unseen must be 'raise' or 'nan', but is {unseen!r}.")
    evaluated = evaluate_all(spec, table, response=response, lenient=lenient, whole=whole)
    return assemble(
        spec,
        table,
        evaluated,
        missing=missing,
        lenient=lenient,
        extra=extra,
        rows=rows,
        allow_empty=allow_empty,
    )


@dataclass(frozen=True)
class EvaluatedParts:
    """All expressions of a formula on one table."""

    factors: tuple[Evaluated, ...]
    offsets: tuple[Evaluated, ...]
    response: tuple[Evaluated, ...]

    @property
    def all(self) -> tuple[Evaluated, ...]:
        """Every expression, response first."""
        return (*self.response, *self.factors, *self.offsets)


def evaluate_all(
    spec: FormulaSpec, table: Table, *, response: bool, lenient: bool, whole: bool = False
) -> EvaluatedParts:
    """Evaluate what the spec needs, with the state that it learned."""
    side = spec.response if response else None
    wanted = spec.variables + (spec.response_variables if side else ())
    absent = [v for v in wanted if v not in table.columns]
    if absent:
        raise FormulaError(
            f"the data has no column {absent[0]!r}, which the formula {spec.text!r} needs."
            + near(absent[0], table.columns)
        )
    known = {"functions": spec.functions, "lenient": lenient, "whole": whole}

    def run(item: Any) -> Evaluated:
        return evaluate(item.expr, table, state=item.state, variables=item.variables, **known)

    left = []
    if side is not None:
        for expr, state, variables in zip(side.exprs, side.states, side.variables, strict=True):
            left.append(evaluate(expr, table, state=state, variables=variables, **known))
    return EvaluatedParts(tuple(map(run, spec.factors)), tuple(map(run, spec.offsets)), tuple(left))


def assemble(
    spec: FormulaSpec,
    table: Table,
    parts: EvaluatedParts,
    *,
    missing: str,
    lenient: bool,
    extra: Mapping[str, np.ndarray] | None,
    rows: np.ndarray | None,
    allow_empty: bool,
    chosen: Selection | None = None,
) -> Built:
    """Rows from evaluated expressions; `chosen` where the rows were selected before."""
    if chosen is None:
        chosen = select(table, parts.all, missing=missing, lenient=lenient, extra=extra, rows=rows)
    if chosen.n_kept == 0 and not allow_empty:
        raise chosen.nothing_left(table)
    bad = chosen.bad
    codes: dict[int, np.ndarray] = {}
    for number, (factor, item) in enumerate(zip(spec.factors, parts.factors, strict=True)):
        check_kind(factor, item)
        if factor.levels is not None:
            codes[number], unknown = _known_codes(factor, item, chosen, table, lenient)
            if unknown is not None:
                bad = unknown if bad is None else bad | unknown
    rows_of_parts = _Rows(spec, parts.factors, codes, chosen)
    return Built(
        x=tuple(rows_of_parts.part(part) for part in spec.plan),
        design=spec.design,
        names=spec.names,
        response=_response(spec.response, parts.response, chosen, table) if parts.response else None,
        offset=_offset(parts.offsets, chosen),
        keep=chosen.keep,
        n_dropped=chosen.n_dropped,
        dropped_by=chosen.dropped_by,
        bad_rows=bad,
        index=None if table.index is None else chosen.take(table.index),
        extra={k: chosen.take(np.asarray(v)) for k, v in (extra or {}).items()},
        n_rows=chosen.n_kept,
    )


def check_kind(factor: FactorSpec, item: Evaluated) -> None:
    """Refuse a column that changed its kind since the fit."""
    value, name = item.value, factor.expr.name
    if factor.levels is None:
        width = len(factor.fields) if factor.fields is not None else None
        if isinstance(value, Matrix) and len(value.fields) == width:
            return
        if isinstance(value, Numeric) and width is None:
            return
        wanted = "numbers" if width is None else f"{width} columns of numbers"
        raise DataError(f"{name!r} was {wanted} at the fit but is {describe(value)} now; convert the column first.")
    if isinstance(value, Matrix):
        raise DataError(f"{name!r} was a factor at the fit but is {describe(value)} now.")
    if isinstance(value, Numeric) and all(isinstance(v, str) for v in factor.levels) and not value.empty:
        raise DataError(
            f"{name!r} was text or categories at the fit (levels {list(factor.levels[:5])!r}) but is numbers now; "
            "convert the column to text first."
        )


def _known_codes(
    factor: FactorSpec, item: Evaluated, chosen: Selection, table: Table, lenient: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes into the levels of the fit for the rows that are used, and the mask of those that had to be made up."""
    column = as_factor(item.value, factor.expr.name)
    codes = chosen.take(column.recode(factor.levels))
    if codes.size == 0 or codes.min() >= 0:
        return codes, None
    unseen = codes == -2
    if unseen.any() and not lenient:
        raise _unseen(factor.expr.name, factor.levels, column, chosen, unseen, table)
    return np.maximum(codes, 0), (unseen if unseen.any() else None)


def _unseen(
    name: str, levels: Sequence[Any], column: Factor, chosen: Selection, unseen: np.ndarray, table: Table
) -> UnseenLevelError:
    seen = set(levels)
    present = np.unique(chosen.take(column.codes)[unseen])
    new = [column.levels[c] for c in present if column.levels[c] not in seen]
    first = chosen.position(int(np.flatnonzero(unseen)[0]))
    shown = ", ".join(repr(v) for v in new[:5]) + (f" and {len(new) - 5} more" if len(new) > 5 else "")
    known = ", ".join(repr(v) for v in levels[:20]) + (", ..." if len(levels) > 20 else "")
    return UnseenLevelError(
        f"{name!r} has {'a level' if len(new) == 1 else 'levels'} that the fit did not see: {shown} "
        f"(first in {row_name(first, table.index)}); known levels are {known}. "
        "Drop those rows, map them to a known level, or ask for unseen='nan' to get nan there."
    )


def _response(side: ResponseSpec, items: Sequence[Evaluated], chosen: Selection, table: Table) -> Response:
    if side.kind == "counts":
        success, failure = (chosen.take(numbers(i.value, side.name)) for i in items)
        return Response(side.name, "counts", success=chosen.filled(success), failure=chosen.filled(failure))
    value = items[0].value
    if side.kind == "numeric":
        if isinstance(value, Numeric) or getattr(value, "boolean", False):
            return Response(side.name, "numeric", values=chosen.filled(chosen.take(value.values)))
        raise DataError(f"the response {side.name!r} was numbers at the fit but is {describe(value)} now.")
    column = as_factor(value, side.name)
    codes = chosen.take(column.recode(side.levels))
    unseen = codes == -2
    if unseen.any():
        raise _unseen(side.name, side.levels, column, chosen, unseen, table)
    codes = np.maximum(codes, 0)
    factor = Factor(codes, side.levels, column.ordered, side.boolean)
    return Response(side.name, "factor", values=codes.astype(np.float64) if side.boolean else None, factor=factor)


def _offset(items: Sequence[Evaluated], chosen: Selection) -> np.ndarray | None:
    if not items:
        return None
    total = None
    for item in items:
        values = numbers(item.value, f"offset({item.expr.name})")
        total = values if total is None else total + values
    return chosen.filled(chosen.take(total))


class _Rows:
    """Makes the row leaves of the parts; combined codes are shared between parts."""

    def __init__(self, spec: FormulaSpec, items: Sequence[Evaluated], codes: dict[int, np.ndarray], chosen: Selection):
        self.spec = spec
        self.items = items
        self.codes = codes
        self.chosen = chosen
        self.combined: dict[tuple[int, ...], np.ndarray] = {}

    def part(self, part: Part) -> Any:
        if part.kind == "constant":
            return ()
        if part.kind == "dense":
            apart = isinstance(numbers_design(len(part.products)), Columns)
            return tuple(map(self.number, part.products)) if apart else self.dense(part.products)
        codes = self.codes_of(part.factors)
        if not part.scaled:
            return codes
        return codes, self.number(part.products[0])

    def number(self, wanted: Product) -> np.ndarray:
        """One numeric column for the rows that are used; the user's own memory where nothing has to be done."""
        return np.ascontiguousarray(self.chosen.filled(self.chosen.take(self.product(wanted))))

    def codes_of(self, factors: tuple[int, ...]) -> np.ndarray:
        if factors not in self.combined:
            out, size = self.codes[factors[0]], len(self.spec.factors[factors[0]].levels)
            for number in factors[1:]:
                out = out + np.int32(size) * self.codes[number]
                size *= len(self.spec.factors[number].levels)
            self.combined[factors] = np.ascontiguousarray(out, dtype=np.int32)
        return self.combined[factors]

    def column(self, factor: int, place: int | None) -> np.ndarray:
        values = self.items[factor].value.values
        return values if place is None else values[:, place]

    def product(self, wanted: Product) -> np.ndarray:
        """The numbers of one column for all rows of the table."""
        out = None
        for factor, place in wanted.columns:
            column = self.column(factor, place)
            out = column if out is None else out * column
        if out is None:
            return np.full(self.chosen.n_rows, wanted.scale)
        return out if wanted.scale == 1.0 else out * wanted.scale

    def pieces(self, products: Sequence[Product]) -> list[tuple[int | slice, np.ndarray]]:
        """Where to copy what: single columns, and all columns of a basis at once."""
        out: list[tuple[int | slice, np.ndarray]] = []
        j = 0
        while j < len(products):
            wanted = products[j]
            factor, place = wanted.columns[0] if len(wanted.columns) == 1 else (-1, None)
            if place is None or wanted.scale != 1.0:
                out.append((j, self.product(wanted)))
                j += 1
                continue
            stop = j + 1
            while stop < len(products) and products[stop] == Product(1.0, ((factor, place + stop - j),)):
                stop += 1
            out.append((slice(j, stop), self.items[factor].value.values[:, place : place + stop - j]))
            j = stop
        return out

    def dense(self, products: Sequence[Product]) -> np.ndarray:
        pieces = self.pieces(products)
        chosen, m, p = self.chosen, self.chosen.n_kept, len(products)
        out = aligned_empty((m, p))
        step = max(256, _TILE // max(p, 1))
        for start in range(0, m, step):
            rows = slice(start, min(start + step, m))
            source = rows if chosen.where is None else chosen.where[rows]
            for columns, values in pieces:
                out[rows, columns] = values[source]
        if chosen.bad is not None:
            for j in range(p):
                out[:, j] = chosen.filled(out[:, j])
        return out
