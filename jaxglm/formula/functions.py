"""The functions that formulas know.

A function is entered with the names of its arguments; whatever is not in the
table cannot be called. Each receives a :class:`Call`, and its arguments by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxglm.errors import FormulaError
from jaxglm.formula.values import (
    Coded,
    Contrast,
    Value,
    as_factor,
    describe,
    is_number,
    logical,
    numbers,
    truth,
    whole,
)
from jaxglm.frames import Datetime, Factor, Numeric
from jaxglm.frames.column import factor_of, merge_levels, plain_level


@dataclass(frozen=True)
class Call:
    """One call in an expression.

    Attributes
    ----------
    text : str
        The call as written, for errors.
    state : dict
        What the call learned; empty at first and filled in by functions that learn.
    n_rows : int
    lenient : bool
        Whether values outside of what was learned give nan instead of an error.
    """

    text: str
    state: dict[str, Any]
    n_rows: int
    lenient: bool = False


@dataclass(frozen=True)
class Function:
    """A function: its arguments in order, and ``run(call, **arguments)``."""

    params: tuple[str, ...]
    run: Callable[..., Value]
    stateful: bool = False
    variadic: bool = False


def _elementwise(ufunc: Callable[..., np.ndarray]) -> Function:
    def run(call: Call, x: Value) -> Value:
        return wrap(ufunc(numbers(x, call.text)))

    return Function(("x",), run)


def _binary(ufunc: Callable[..., np.ndarray]) -> Function:
    def run(call: Call, x: Value, y: Value) -> Value:
        return wrap(ufunc(numbers(x, call.text), numbers(y, call.text)), whole(x) and whole(y))

    return Function(("x", "y"), run)


def wrap(values: np.ndarray | np.float64, integer: bool = False) -> Numeric | float:
    """A result of arithmetic as a column, or as a constant."""
    return float(values) if np.ndim(values) == 0 else Numeric(values, integer)


def _log(call: Call, x: Value, base: Value = None) -> Value:
    out = np.log(numbers(x, call.text))
    return wrap(out if base is None else out / np.log(numbers(base, call.text)))


def _round(call: Call, x: Value, digits: Value = 0) -> Value:
    if not isinstance(digits, int) or abs(digits) > 20:
        raise FormulaError(f"{call.text}: digits must be a whole number up to 20, but is {digits!r}.")
    return wrap(np.round(numbers(x, call.text), digits))


def _extreme(ufunc: Callable[..., np.ndarray]) -> Function:
    def run(call: Call, *values: Value) -> Value:
        if not values:
            raise FormulaError(f"{call.text} needs at least one column.")
        out = numbers(values[0], call.text)
        for value in values[1:]:
            out = ufunc(out, numbers(value, call.text))
        return wrap(out, all(whole(v) for v in values))

    return Function((), run, variadic=True)


def _clip(call: Call, x: Value, low: Value, high: Value) -> Value:
    parts = [numbers(v, call.text) for v in (x, low, high)]
    return wrap(np.clip(*parts), whole(x) and whole(low) and whole(high))


def _identity(call: Call, x: Value) -> Value:
    return x


def _isna(call: Call, x: Value) -> Value:
    column = x.factor if isinstance(x, Coded) else x
    if not isinstance(column, (Numeric, Factor, Datetime)):
        raise FormulaError(f"{call.text} needs a column but got {describe(x)}.")
    return logical(column.missing.astype(np.int32))


def _ifelse(call: Call, test: Value, yes: Value, no: Value) -> Value:
    codes = truth(test, call.text)
    if isinstance(yes, (str, Factor)) or isinstance(no, (str, Factor)):
        return _choose_level(call, codes, yes, no)
    out = np.where(codes > 0, numbers(yes, call.text), numbers(no, call.text))
    return wrap(np.where(codes < 0, np.nan, out), whole(yes) and whole(no))


def _choose_level(call: Call, codes: np.ndarray, yes: Value, no: Value) -> Factor:
    sides = [_level_column(call, v, codes.size) for v in (yes, no)]
    levels = merge_levels([Factor(s.codes, tuple(sorted(map(plain_level, s.levels), key=str))) for s in sides])
    chosen = np.where(codes > 0, sides[0].recode(levels), sides[1].recode(levels))
    return factor_of(np.where(codes < 0, -1, chosen), levels)


def _level_column(call: Call, value: Value, n_rows: int) -> Factor:
    if isinstance(value, str):
        return Factor(np.zeros(n_rows, dtype=np.int32), (value,))
    return as_factor(value, call.text)


def _combine(call: Call, *values: Value) -> list[Value]:
    if not all(is_number(v) or isinstance(v, (str, bool)) for v in values):
        raise FormulaError(f"{call.text}: c() joins constants only.")
    return list(values)


def _coded(call: Call, x: Value, contrasts: Value = None, levels: Value = None, spans_intercept: Value = True) -> Coded:
    factor, contrast, fixed = as_factor(x, call.text), None, levels is not None
    if isinstance(x, Coded):
        contrast, fixed = x.contrast, x.fixed or fixed
    if levels is not None:
        factor = _relevelled(call, factor, levels)
    if contrasts is not None:
        contrast = _contrast_of(call, contrasts)
    return Coded(factor, contrast, fixed, bool(spans_intercept))


def _relevelled(call: Call, factor: Factor, levels: Value) -> Factor:
    if not isinstance(levels, (list, tuple)) or not levels:
        raise FormulaError(f"{call.text}: levels must be a list of levels, as in levels=['a', 'b'], but is {levels!r}.")
    wanted = tuple(plain_level(v) for v in levels)
    if len(set(wanted)) < len(wanted):
        raise FormulaError(f"{call.text}: levels holds a level twice: {levels!r}.")
    codes = factor.recode(wanted)
    # As in R, a value that is not among the given levels is missing.
    return Factor(np.maximum(codes, -1), wanted, factor.ordered)


def _contrast_of(call: Call, value: Value) -> Contrast:
    if isinstance(value, Contrast):
        return value
    if isinstance(value, (list, tuple, dict)):
        return Contrast("custom", {"contrasts": value})
    if isinstance(value, str):
        raise FormulaError(
            f"{call.text}: contrasts are written as Treatment({value!r}), Sum, Helmert, Poly, Diff or contr.SAS, "
            f"not as the text {value!r}."
        )
    raise FormulaError(
        f"{call.text}: contrasts must be a contrast such as Treatment('a') or Sum, not {describe(value)}."
    )


def _as_factor(call: Call, x: Value, levels: Value = None, labels: Value = None) -> Coded:
    out = _coded(call, x, levels=levels)
    if labels is None:
        return out
    if not isinstance(labels, (list, tuple)) or len(labels) != len(out.factor.levels):
        raise FormulaError(f"{call.text}: labels must be a list with one label for each of the levels.")
    return Coded(factor_of(out.factor.codes, labels), out.contrast, out.fixed)


def _relevel(call: Call, x: Value, ref: Value) -> Coded:
    factor = as_factor(x, call.text)
    if ref not in factor.levels:
        raise FormulaError(f"{call.text}: {ref!r} is not a level; the levels are {list(factor.levels[:20])!r}.")
    # Not fixed: levels that no row has are still left out.
    levels = (plain_level(ref), *(v for v in factor.levels if v != ref))
    return Coded(Factor(factor.recode(levels), levels), None)


def _refused(message: str) -> Function:
    def run(call: Call, *_: Value, **__: Value) -> Value:
        raise FormulaError(f"{call.text}: {message}")

    return Function(("x", "y"), run, variadic=True)


_ONE = (
    "abs fabs sqrt cbrt square exp exp2 expm1 log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh "
    "arcsinh arccosh arctanh floor ceil trunc rint sign reciprocal negative positive deg2rad rad2deg radians degrees"
).split()
_TWO = (
    "add subtract multiply divide true_divide floor_divide power mod remainder maximum minimum fmax fmin hypot arctan2"
).split()
_SAME = "abs sqrt exp exp2 expm1 log2 log10 log1p sin cos tan sinh cosh tanh floor trunc sign".split()
_R_ONE = {"ceiling": np.ceil, "acos": np.arccos, "asin": np.arcsin, "atan": np.arctan}
_R_ONE |= {name: getattr(np, name) for name in _SAME}


def _table() -> dict[str, Function]:
    table = {f"np.{name}": _elementwise(getattr(np, name)) for name in _ONE}
    table |= {f"np.{name}": _binary(getattr(np, name)) for name in _TWO}
    table |= {name: _elementwise(ufunc) for name, ufunc in _R_ONE.items()}
    table |= {
        "np.log": _elementwise(np.log),
        "np.clip": Function(("x", "low", "high"), _clip),
        "np.where": Function(("test", "yes", "no"), _ifelse),
        "np.round": Function(("x", "digits"), _round),
        "log": Function(("x", "base"), _log),
        "round": Function(("x", "digits"), _round),
        "pmin": _extreme(np.minimum),
        "pmax": _extreme(np.maximum),
        "ifelse": Function(("test", "yes", "no"), _ifelse),
        "isna": Function(("x",), _isna),
        "I": Function(("x",), _identity),
        "c": Function((), _combine, variadic=True),
        "C": Function(("x", "contrasts", "levels", "spans_intercept"), _coded),
        "factor": Function(("x", "levels", "labels"), _as_factor),
        "relevel": Function(("x", "ref"), _relevel),
        "offset": _refused("it is a term of its own, as in y ~ x + offset(log(t)), and no part of another."),
        "cbind": _refused("cbind(success, failure) stands alone on the left of '~'."),
    }
    return table


ELEMENTWISE: dict[str, Function] = _table()
