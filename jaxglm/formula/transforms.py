"""Functions that learn from the data: scales, polynomials, splines, cuts.

What a call learns goes into ``call.state`` as plain numbers, text and lists, so
that it can be written to a file; a call that finds its state there learns
nothing. Missing values are left out of learning and stay missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglm.errors import DataError, FormulaError
from jaxglm.formula.functions import Call, Function
from jaxglm.formula.splines import natural_basis
from jaxglm.formula.values import Matrix, Value, is_number, vector
from jaxglm.frames import Factor, Numeric

MAX_DEGREE = 100
MAX_BREAKS = 1000


def _count(call: Call, name: str, value: Value, low: int, high: int = MAX_DEGREE) -> int:
    if isinstance(value, bool) or not is_number(value) or value != int(value) or not low <= value <= high:
        raise FormulaError(f"{call.text}: {name} must be a whole number from {low} to {high}, but is {value!r}.")
    return int(value)


def _flag(call: Call, name: str, value: Value) -> bool:
    if not isinstance(value, bool):
        raise FormulaError(f"{call.text}: {name} must be True or False, but is {value!r}.")
    return value


def _points(call: Call, name: str, value: Value) -> list[float]:
    """A list of finite numbers; one number counts as a list of one."""
    items = [value] if is_number(value) else value
    if not isinstance(items, (list, tuple)) or not all(is_number(v) for v in items) or len(items) > MAX_BREAKS:
        raise FormulaError(f"{call.text}: {name} must be a list of numbers, as in {name}=[1, 2], but is {value!r}.")
    return sorted(float(v) for v in items)


def _bound(call: Call, name: str, value: Value) -> float | None:
    if value is not None and (isinstance(value, bool) or not is_number(value)):
        raise FormulaError(f"{call.text}: {name} must be a number, but is {value!r}.")
    return None if value is None else float(value)


def _learnable(call: Call, x: np.ndarray) -> np.ndarray:
    """The values that are there; learning needs at least one, and no infinite one."""
    known = x[~np.isnan(x)]
    if not np.isfinite(known).all():
        row = int(np.flatnonzero(np.isinf(x))[0])
        raise DataError(f"{call.text}: row {row} is {x[row]}; drop or correct infinite values first.")
    if known.size == 0 and not call.state:
        raise DataError(f"{call.text} has nothing to learn from: every value is missing.")
    return known


def _spread(call: Call, x: np.ndarray, somewhere: float, basis: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``basis`` at the known values of x, rows of nan elsewhere."""
    known = ~np.isnan(x)
    if known.all() and x.size:
        return basis(x)
    points = x[known]
    found = basis(points if points.size else np.array([somewhere]))
    out = np.full((x.size, found.shape[1]), np.nan)
    if points.size:
        out[known] = found
    return out


# Scales ---------------------------------------------------------------------------------------------------------------


def _scale(call: Call, x: Value, center: Value = True, scale: Value = True, ddof: Value = 1) -> Value:
    values = x.values if isinstance(x, Matrix) else vector(x, call.text)
    if not call.state:
        _learn_scale(call, values, center, scale, ddof)
    if call.state["center"] is not None:
        values = values - np.asarray(call.state["center"])
    if call.state["scale"] is not None:
        values = values / np.asarray(call.state["scale"])
    if isinstance(x, Matrix):
        return Matrix(values, tuple(str(i) for i in range(values.shape[1])))
    return Numeric(values)


def _learn_scale(call: Call, values: np.ndarray, center: Value, scale: Value, ddof: Value) -> None:
    rows = ~np.isnan(values) if values.ndim == 1 else ~np.isnan(values).any(axis=1)
    known = values if rows.all() else values[rows]
    _learnable(call, known.ravel())
    middle: Any = None
    if center is True:
        middle = np.mean(known, axis=0)
    elif center is not False:
        middle = _bound(call, "center", center)
    spread: Any = None
    if scale is True:
        count = known.shape[0] - _count(call, "ddof", ddof, 0)
        if count < 1:
            raise DataError(f"{call.text} needs more than {ddof} values to find their spread.")
        deviations = known if middle is None else known - middle
        spread = np.sqrt(np.sum(deviations**2, axis=0) / count)
        if np.any(spread == 0):
            raise DataError(f"{call.text} cannot be scaled: all values are the same ({known.ravel()[0]:.6g}).")
    elif scale is not False:
        spread = _bound(call, "scale", scale)
    call.state.update(
        center=None if middle is None else np.asarray(middle).tolist(),
        scale=None if spread is None else np.asarray(spread).tolist(),
    )


def _center(call: Call, x: Value) -> Value:
    return _scale(call, x, scale=False)


def _standardize(call: Call, x: Value, center: Value = True, rescale: Value = True, ddof: Value = 0) -> Value:
    return _scale(call, x, center, rescale, ddof)


# Polynomials and splines ----------------------------------------------------------------------------------------------


def _poly(call: Call, x: Value, degree: Value = 1, raw: Value = False) -> Matrix:
    from jaxglm.formula import grammar

    values, degree = vector(x, call.text), _count(call, "degree", degree, 1)
    if _flag(call, "raw", raw):
        return Matrix(np.stack([values**k for k in range(1, degree + 1)], axis=1), tuple(map(str, range(degree))))
    known = _learnable(call, values)
    if not call.state and np.unique(known[: 100 * (degree + 1)]).size <= degree and np.unique(known).size <= degree:
        raise DataError(
            f"{call.text}: a polynomial of degree {degree} needs more than {degree} different values, "
            f"but there are {np.unique(known).size}."
        )
    state = {k: dict(enumerate(v)) for k, v in call.state.items()}
    basis = grammar.transform("poly")
    out = _spread(call, values, 0.0, lambda v: np.asarray(basis(v, degree=degree, _state=state)))
    if not call.state:
        call.state.update({k: [float(v[i]) for i in sorted(v)] for k, v in state.items()})
    return Matrix(out, tuple(str(i) for i in range(1, degree + 1)))


_EXTRAPOLATION = ("raise", "clip", "na", "zero", "extend")


def _within(call: Call, x: np.ndarray, extrapolation: Value) -> np.ndarray:
    """Check that new values lie where the spline was learned; where lenient, others become missing."""
    if extrapolation not in _EXTRAPOLATION:
        raise FormulaError(f"{call.text}: extrapolation must be one of {_EXTRAPOLATION}, not {extrapolation!r}.")
    if extrapolation != "raise" or not call.state:
        return x
    low, high = call.state["lower_bound"], call.state["upper_bound"]
    outside = (x < low) | (x > high)
    if not outside.any():
        return x
    if call.lenient:
        return np.where(outside, np.nan, x)
    row = int(np.flatnonzero(outside)[0])
    raise DataError(
        f"{call.text}: row {row} has {x[row]:.10g}, outside of the range from {low:.10g} to {high:.10g} that the "
        "spline covers; add extrapolation='extend' (as R does) or 'clip' to the call, or use ns(), a line out there."
    )


def _formulaic_spline(call: Call, which: str, x: Value, options: dict[str, Any], extrapolation: str) -> dict[str, Any]:
    """Run one of formulaic's splines; its state keeps lists where ours does."""
    from jaxglm.formula import grammar

    values = vector(x, call.text)
    _learnable(call, values)
    values = _within(call, values, extrapolation)
    state = dict(call.state)
    if isinstance(state.get("constraints"), list):
        state["constraints"] = np.array(state["constraints"])
    spline, keys = grammar.transform(which), []

    def basis(points: np.ndarray) -> np.ndarray:
        found = spline(points, _state=state, extrapolation=extrapolation, **options)
        keys[:] = list(found)
        return np.stack([found[k] for k in found], axis=1) if len(found) else np.zeros((points.size, 0))

    try:
        out = _spread(call, values, state.get("lower_bound", 0.0), basis)
    except ValueError as error:
        raise FormulaError(f"{call.text}: {error}") from None
    if not call.state:
        for key, value in state.items():
            call.state[key] = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    return {"values": out, "fields": tuple(str(k) for k in keys)}


def _bs(
    call: Call,
    x: Value,
    df: Value = None,
    knots: Value = None,
    degree: Value = 3,
    include_intercept: Value = False,
    lower_bound: Value = None,
    upper_bound: Value = None,
    extrapolation: Value = "raise",
    intercept: Value = None,
) -> Matrix:
    include = _flag(call, "include_intercept", include_intercept if intercept is None else intercept)
    options = {
        "df": None if df is None else _count(call, "df", df, 1),
        "knots": None if knots is None else _points(call, "knots", knots),
        "degree": _count(call, "degree", degree, 0),
        "include_intercept": include,
        "lower_bound": _bound(call, "lower_bound", lower_bound),
        "upper_bound": _bound(call, "upper_bound", upper_bound),
    }
    return Matrix(**_formulaic_spline(call, "bs", x, options, extrapolation), spans_intercept=include)


def _cubic(which: str) -> Function:
    def run(
        call: Call,
        x: Value,
        df: Value = None,
        knots: Value = None,
        lower_bound: Value = None,
        upper_bound: Value = None,
        constraints: Value = None,
        extrapolation: Value = "extend",
    ) -> Matrix:
        options = {
            "df": None if df is None else _count(call, "df", df, 1),
            "knots": None if knots is None else _points(call, "knots", knots),
            "lower_bound": _bound(call, "lower_bound", lower_bound),
            "upper_bound": _bound(call, "upper_bound", upper_bound),
            "constraints": constraints,
        }
        if constraints is not None and constraints != "center":
            raise FormulaError(f"{call.text}: constraints must be 'center', but is {constraints!r}.")
        return Matrix(**_formulaic_spline(call, which, x, options, extrapolation))

    params = ("x", "df", "knots", "lower_bound", "upper_bound", "constraints", "extrapolation")
    return Function(params, run, stateful=True)


def _ns(
    call: Call,
    x: Value,
    df: Value = None,
    knots: Value = None,
    intercept: Value = False,
    lower_bound: Value = None,
    upper_bound: Value = None,
) -> Matrix:
    values, include = vector(x, call.text), _flag(call, "intercept", intercept)
    known = _learnable(call, values)
    if not call.state:
        if df is not None and knots is not None:
            raise FormulaError(f"{call.text}: give df or knots, not both.")
        low, high = _bound(call, "lower_bound", lower_bound), _bound(call, "upper_bound", upper_bound)
        low, high = float(known.min()) if low is None else low, float(known.max()) if high is None else high
        if not low < high:
            raise DataError(f"{call.text}: the boundary knots {low:.6g} and {high:.6g} must differ and be in order.")
        inner = [] if knots is None else _points(call, "knots", knots)
        if df is not None:
            count = _count(call, "df", df, 1 + include) - 1 - include
            within = known[(known >= low) & (known <= high)]
            inner = np.quantile(within, np.linspace(0, 1, count + 2)[1:-1]).tolist() if count else []
        call.state.update(knots=inner, lower_bound=low, upper_bound=high)
    state = call.state
    bounds = (state["lower_bound"], state["upper_bound"])
    inner = np.array(state["knots"], dtype=np.float64)
    out = _spread(call, values, bounds[0], lambda v: natural_basis(v, inner, bounds, include))
    return Matrix(out, tuple(str(i + 1) for i in range(out.shape[1])), spans_intercept=include)


# Cuts -----------------------------------------------------------------------------------------------------------------


def _cut(
    call: Call, x: Value, breaks: Value, labels: Value = None, right: Value = True, include_lowest: Value = False
) -> Value:
    values, right = vector(x, call.text), _flag(call, "right", right)
    lowest = _flag(call, "include_lowest", include_lowest)
    if not call.state:
        call.state["breaks"] = _breaks(call, values, breaks)
    points = np.array(call.state["breaks"])
    codes = np.searchsorted(points, values, side="left" if right else "right") - 1
    if lowest:
        codes = np.where(values == (points[0] if right else points[-1]), 0 if right else points.size - 2, codes)
    codes = np.where((codes < 0) | (codes > points.size - 2) | np.isnan(values), -1, codes).astype(np.int32)
    if labels is False:
        return Numeric(np.where(codes < 0, np.nan, codes + 1.0), integer=True)
    if labels is None:
        labels = _interval_names(points, right, lowest)
    if not isinstance(labels, (list, tuple)) or len(labels) != points.size - 1 or len(set(labels)) != len(labels):
        raise FormulaError(f"{call.text}: labels must be a list of {points.size - 1} different texts.")
    return Factor(codes, tuple(str(v) for v in labels))


def _breaks(call: Call, values: np.ndarray, breaks: Value) -> list[float]:
    if not is_number(breaks):
        points = _points(call, "breaks", breaks)
        if len(points) < 2 or len(set(points)) < len(points):
            raise FormulaError(f"{call.text}: breaks must be at least two different numbers.")
        return points
    count = _count(call, "breaks", breaks, 2, MAX_BREAKS)
    known = _learnable(call, values)
    low, high = float(known.min()), float(known.max())
    # R widens the range by a thousandth on each side so that both ends lie inside.
    if low == high:
        reach = abs(low) or 1.0
        return np.linspace(low - reach / 1000, high + reach / 1000, count + 1).tolist()
    points = np.linspace(low, high, count + 1)
    points[0], points[-1] = low - (high - low) / 1000, high + (high - low) / 1000
    return points.tolist()


def _interval_names(points: np.ndarray, right: bool, lowest: bool) -> list[str]:
    """R's labels: as few digits, three or more, as keep neighbors apart."""
    for digits in range(3, 17):
        text = [f"{p:.{digits}g}" for p in points]
        if all(a != b for a, b in zip(text, text[1:], strict=False)):
            break
    left, close = ("(", "]") if right else ("[", ")")
    names = [f"{left}{a},{b}{close}" for a, b in zip(text, text[1:], strict=False)]
    if lowest:
        where = 0 if right else -1
        names[where] = f"[{text[0]},{text[1]}]" if right else f"[{text[-2]},{text[-1]}]"
    return names


_BS = ("x", "df", "knots", "degree", "include_intercept", "lower_bound", "upper_bound", "extrapolation", "intercept")

LEARNING: dict[str, Function] = {
    "scale": Function(("x", "center", "scale", "ddof"), _scale, stateful=True),
    "center": Function(("x",), _center, stateful=True),
    "standardize": Function(("x", "center", "rescale", "ddof"), _standardize, stateful=True),
    "poly": Function(("x", "degree", "raw"), _poly, stateful=True),
    "bs": Function(_BS, _bs, stateful=True),
    "ns": Function(("x", "df", "knots", "intercept", "lower_bound", "upper_bound"), _ns, stateful=True),
    "cr": _cubic("cr"),
    "cs": _cubic("cs"),
    "cc": _cubic("cc"),
    "cut": Function(("x", "breaks", "labels", "right", "include_lowest"), _cut, stateful=True),
}
