"""The derivative of the model's columns in a column of the data.

Each expression is differentiated by central differences with steps that shrink, row by row, until two of them agree;
products of expressions are differentiated exactly. So every function that a formula may call has a derivative, the
user's own among them, also where only one side of a value is within its reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from jaxglm.errors import DataError, FormulaError
from jaxglm.formula.build import EvaluatedParts, assemble, evaluate_all
from jaxglm.formula.evaluate import evaluate
from jaxglm.formula.spec import FactorSpec, FormulaSpec, OffsetSpec
from jaxglm.formula.values import Matrix
from jaxglm.frames import Numeric, Table, row_name

#: The longest step as a share of the spread of the column, the factor between steps, and their number.
_FIRST, _SHRINK, _STEPS = 2.0**-9, 2.0**-3, 14
#: Relative difference at which two steps agree; the error of the shorter one is thousands of times less.
_AGREE = 1e-9
#: Differences below this share of the values over the step are rounding.
_ROUNDING = 1e-14
#: Places and weights of the stencils of fourth order: on both sides, above, below.
_CENTRAL = ((-2.0, -1.0, 1.0, 2.0), (1 / 12, -8 / 12, 8 / 12, -1 / 12))
_ABOVE = ((0.0, 1.0, 2.0, 3.0, 4.0), (-25 / 12, 48 / 12, -36 / 12, 16 / 12, -3 / 12))
_BELOW = (tuple(-p for p in _ABOVE[0]), tuple(-w for w in _ABOVE[1]))


@dataclass(frozen=True, eq=False)
class Tangents:
    """Rows whose alternating sum, + - + - ..., is the derivative of the model matrix.

    Attributes
    ----------
    x : tuple of row pytrees
        As :attr:`jaxglm.formula.Built.x`.
    offset : float64 array (n,) or None
        Derivative of the offset terms.
    """

    x: tuple[tuple, ...]
    offset: np.ndarray | None


def tangents(spec: FormulaSpec, table: Table, name: str, spread: float) -> Tangents:
    """Derivative of the columns in the numeric column `name`; cost of two to four builds and some evaluations.

    Parameters
    ----------
    spec : FormulaSpec
    table : Table
        Rows in which nothing that the model needs is missing.
    name : str
    spread : float
        Typical size of differences between values of the column; where steps begin.

    Raises
    ------
    FormulaError
        The column makes a factor, which has no derivative.
    DataError
        An expression jumps or is infinitely steep in some row.
    """
    parts = evaluate_all(spec, table, response=False, lenient=False)
    slopes = {i: _slope(f, table, name, spread, spec) for i, f in enumerate(spec.factors) if name in f.variables}
    offset = None
    for item in spec.offsets:
        if name in item.variables:
            part = _slope(item, table, name, spread, spec)
            offset = part if offset is None else offset + part
    made = []
    for together in _apart(spec, slopes):
        made += [_rows(spec, table, parts, {i: slopes[i] for i in together}),
                 _rows(spec, table, parts, {i: np.zeros_like(slopes[i]) for i in together})]  # fmt: skip
    return Tangents(tuple(made), offset)


def constant_slopes(spec: FormulaSpec, name: str) -> dict[int, float] | None:
    """Derivative of each column, by position, if it is the same in every row: `name` stands alone in its terms."""
    using = {i for i, f in enumerate(spec.factors) if name in f.variables}
    if any(name in o.variables for o in spec.offsets):
        return None
    found = {}
    for term, placed in zip(spec.structure, spec.terms, strict=True):
        if using.isdisjoint(term.factors):
            continue
        if len(term.factors) > 1 or spec.factors[term.factors[0]].expr.code is not None or len(placed.columns) > 1:
            return None
        if spec.factors[term.factors[0]].levels is not None:
            return None
        found[placed.columns[0]] = term.scale
    return found


def _apart(spec: FormulaSpec, slopes: dict[int, np.ndarray]) -> list[list[int]]:
    """Factors that may be differentiated at once, since no term holds two of them."""
    numbers = list(slopes)
    if any(len(slopes.keys() & set(term.factors)) > 1 for term in spec.structure):
        return [[i] for i in numbers]
    return [numbers] if numbers else []


def _rows(spec: FormulaSpec, table: Table, parts: EvaluatedParts, values: dict[int, np.ndarray]) -> tuple:
    """Rows in which some factors are worth other numbers."""
    items = list(parts.factors)
    for i, numbers in values.items():
        fields = spec.factors[i].fields
        spans = spec.factors[i].spans_intercept
        value = Numeric(numbers) if fields is None else Matrix(numbers, fields, spans)
        items[i] = replace(items[i], value=value, missing=None, invalid=None)
    changed = replace(parts, factors=tuple(items))
    built = assemble(
        spec, table, changed, missing="keep", lenient=False, extra=None, rows=None, allow_empty=True
    )  # fmt: skip
    return built.x


def _slope(item: FactorSpec | OffsetSpec, table: Table, name: str, spread: float, spec: FormulaSpec) -> np.ndarray:
    """Derivative of one expression in a column, (n,) or (n, k)."""
    shown = item.expr.name
    if getattr(item, "levels", None) is not None:
        raise FormulaError(
            f"{shown!r} is a factor made of {name!r}, so the model has no derivative in {name!r}; "
            f"compare values of it instead, as in margins({name!r}, values=[1, 2])"
        )
    if item.expr.code is None:
        return np.ones(table.n_rows)
    columns = {v: table[v] for v in item.variables}
    x = columns[name].values

    def at(rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The expression at some rows with other values of the column; nan out of its reach."""
        some = {v: column.take(rows) for v, column in columns.items()}
        some[name] = Numeric(points)
        found = evaluate(
            item.expr, Table.of(some, rows.size), spec.functions, state=item.state, variables=item.variables,
            lenient=True,
        )  # fmt: skip
        return np.asarray(found.value.values, float)

    slope, open_rows = differentiate(at, x, spread)
    if open_rows.size:
        row = int(open_rows[0])
        raise DataError(
            f"{shown!r} has no derivative in {name!r} at {name} = {x[row]:.10g} ({row_name(row, table.index)}): it "
            f"jumps or is infinitely steep there; compare values instead, as in margins({name!r}, values=[1, 2])"
        )
    return slope


Function = Callable[[np.ndarray, np.ndarray], np.ndarray]


def differentiate(function: Function, x: np.ndarray, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Derivative of ``function(rows, points)`` at the points x (n,), and the rows where none was found.

    Every row takes the first of ever shorter steps whose difference quotient agrees with that of the one before.
    """
    rows = np.arange(x.size)
    before, _ = _quotient(function, x, rows, spread * _FIRST)
    slope = before.copy()
    for k in range(1, _STEPS):
        step = spread * _FIRST * _SHRINK**k
        now, size = _quotient(function, x, rows, step)
        gap, near = np.abs(now - before), _AGREE * np.abs(now)
        if now.ndim == 2:
            # Columns of a basis are rounded as the largest of them.
            gap, near, size = gap.max(axis=1), near.max(axis=1), size.max(axis=1)
        agreed = gap <= near + _ROUNDING * size / step
        slope[rows[agreed]] = now[agreed]
        rows, before = rows[~agreed], now[~agreed]
        if rows.size == 0:
            break
    return slope, rows


def _quotient(function: Function, x: np.ndarray, rows: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Difference quotient by the first stencil within reach, and the size of the values."""
    out, size = _stencil(function, x, rows, step, *_CENTRAL)
    for places, weights in (_ABOVE, _BELOW):
        lost = np.isnan(out) if out.ndim == 1 else np.isnan(out).any(axis=1)
        if not lost.any():
            break
        out[lost], size[lost] = _stencil(function, x, rows[lost], step, places, weights)
    return out, size


def _stencil(function, x, rows, step, places, weights) -> tuple[np.ndarray, np.ndarray]:
    out, size, width = 0.0, 0.0, 0.0
    with np.errstate(all="ignore"):
        for place, weight in zip(places, weights, strict=True):
            points = x[rows] + place * step
            values = function(rows, points)
            values = np.where(np.isfinite(values), values, np.nan)
            out, size = out + weight * values, np.maximum(size, np.abs(values))
            # What the step became by rounding.
            width = width + weight * (points - x[rows])
        return out / (width if np.ndim(out) == 1 else width[:, None]), size
