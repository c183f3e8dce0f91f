"""What a part of a factor expression can be worth.

Columns of the frame (numbers, factors, dates), constants, and three things that
only formulas have: several columns at once, a factor with a wish for its coding,
and that wish.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxglm.errors import FormulaError
from jaxglm.frames import Datetime, Factor, Numeric


@dataclass(frozen=True, eq=False)
class Matrix:
    """Several columns of numbers, such as a spline basis.

    Attributes
    ----------
    values : float64 array (n, k)
    fields : tuple of str
        What distinguishes the columns in their names, ``name[field]``.
    spans_intercept : bool
        Whether the columns add up to a constant; in a reduced form the first one is left out.
    """

    values: np.ndarray
    fields: tuple[str, ...]
    spans_intercept: bool = False


@dataclass(frozen=True)
class Contrast:
    """A wish for a coding: its kind ("treatment", "sum", ...) and the arguments it was called with."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Coded:
    """A factor together with how it wants to be coded.

    ``fixed`` says that the user listed the levels, so that unused ones stay.
    """

    factor: Factor
    contrast: Contrast | None = None
    fixed: bool = False
    spans_intercept: bool = True


Value = Any


def describe(value: Value) -> str:
    """What a value is, in words for an error."""
    if isinstance(value, (Factor, Coded)):
        return "a factor (text or categories)"
    if isinstance(value, Datetime):
        return f"dates or times ({value.type_name})"
    if isinstance(value, Matrix):
        return f"{len(value.fields)} columns"
    if isinstance(value, Contrast):
        return "a contrast"
    if isinstance(value, Numeric):
        return "numbers"
    return f"the constant {value!r}"


def is_number(value: Value) -> bool:
    """Whether `value` is a plain real constant."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numbers(value: Value, where: str) -> np.ndarray | np.float64:
    """`value` as float64 numbers, one a row or one for all; truth values count as 0 and 1."""
    if isinstance(value, Numeric):
        return value.values
    if isinstance(value, Factor) and value.boolean:
        return value.values
    if isinstance(value, (bool, int, float)):
        # NumPy's float, not Python's: 9.0 ** 9e9 is then inf at once instead of an error or a very long integer.
        return np.float64(value)
    if isinstance(value, Datetime):
        raise FormulaError(
            f"{where} needs numbers but got dates or times ({value.type_name}); turn them into a number first, for "
            "example days with (df['date'] - df['date'].min()) / pandas.Timedelta('1D')."
        )
    raise FormulaError(f"{where} needs numbers but got {describe(value)}.")


def vector(value: Value, where: str) -> np.ndarray:
    """`value` as one number a row; a constant is refused."""
    out = numbers(value, where)
    if np.ndim(out) == 0:
        raise FormulaError(f"{where} needs a column but got {describe(value)}.")
    return out


def whole(value: Value) -> bool:
    """Whether arithmetic on `value` stays among whole numbers."""
    if isinstance(value, Numeric):
        return value.integer
    return isinstance(value, int) or (isinstance(value, Factor) and value.boolean)


def as_factor(value: Value, where: str) -> Factor:
    """`value` as a factor; numbers take their distinct values as levels."""
    if isinstance(value, Coded):
        return value.factor
    if isinstance(value, (Factor, Numeric, Datetime)):
        return value.factor
    raise FormulaError(f"{where} needs a column but got {describe(value)}.")


def truth(value: Value, where: str) -> np.ndarray:
    """Codes 0, 1, -1 (missing) of a column of truth values."""
    if isinstance(value, bool):
        return np.array([int(value)], dtype=np.int32)
    if isinstance(value, Factor) and value.boolean:
        return value.codes
    raise FormulaError(
        f"{where} needs true/false values, such as a comparison in parentheses, but got {describe(value)}."
    )


def logical(codes: np.ndarray) -> Factor:
    """A column of truth values from codes 0, 1, -1."""
    return Factor(codes.astype(np.int32, copy=False), (False, True), boolean=True)


def rows_of(value: Value) -> int | None:
    """Number of rows of a value, None for a constant."""
    if isinstance(value, (Numeric, Factor, Datetime)):
        return value.n_rows
    if isinstance(value, Coded):
        return value.factor.n_rows
    if isinstance(value, Matrix):
        return value.values.shape[0]
    return None


def missing_rows(value: Value) -> np.ndarray:
    """Mask of the rows in which a value is missing, (n,)."""
    if isinstance(value, Coded):
        return value.factor.missing
    if isinstance(value, Matrix):
        return np.isnan(value.values).any(axis=1)
    return value.missing
