"""Taking in many responses beside one matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxglm.errors import DataError, InputError, InputTypeError, row_count
from jaxglm.families import Family
from jaxglm.frames import Datetime, Factor, Table, read, row_name
from jaxglm.intake import response
from jaxglm.intake.arrays import ArrayIntake, as_matrix
from jaxglm.intake.base import Given, Taken
from jaxglm.intake.beside import Beside, check_values, present, total_offset
from jaxglm.intake.whole import complete_rows, constants_of

#: Fields of the rows that a response may have of its own, by the name of the option.
_OWN = {
    "freq_weights": "freq", "var_weights": "prior", "prob_weights": "prior", "offset": "offset", "exposure": "offset",
    "trials": "trials",
}  # fmt: skip
#: Columns that are looked at together.
_BLOCK = 256


class Learned(NamedTuple):
    """What :func:`learn` gives: an intake, the rows that all share, (n, G) arrays of each, and the names of these."""

    intake: ArrayIntake
    taken: Taken
    own: dict[str, np.ndarray]
    keys: pd.Index


def learn(
    X: Any, Y: Any, family: Family, beside: Beside, *, names: Any, intercept: bool, missing: str
) -> Learned:  # fmt: skip
    """Check X, Y and what is beside them against each other.

    Raises
    ------
    DataError, InputError, InputTypeError
    """
    matrix, columns, index = as_matrix(X, names)
    n = matrix.shape[0]
    values, keys = as_responses(Y, n, index)
    beside.check(family)
    wide = {name: _wide(value, name, values.shape, index) for name, value in beside.given.items() if _is_wide(value)}
    extra = replace(beside, **dict.fromkeys(wide)).vectors(Table.of({}, n, index))
    mask = present(extra)
    notes = () if mask is None else (f"{row_count(int((~mask).sum()))} with weight 0 left out.",)
    mask, tally = complete_rows(matrix, columns, np.zeros(n), extra, mask, missing)
    own = {"y": values} | _fields(wide, extra)
    positions = None
    if mask is not None:
        positions = np.flatnonzero(mask)
        matrix, own = matrix[positions], {name: a[positions] for name, a in own.items()}
        extra = {k: v[positions] for k, v in extra.items()}
        index = None if index is None else index[positions]
    if not len(matrix):
        raise DataError(
            "no rows are left to fit" + (": " + " ".join(tally.notes) if tally.notes else "; the data is empty")
        )
    draft = Taken(None, index, positions)
    lacking = _missing(own, missing, keys, draft)
    constant = not intercept and bool(constants_of(matrix))
    # An offset of its own holds that of all.
    shared = {name: v for name, v in extra.items() if "offset" not in own or name not in ("offset", "exposure")}
    given = Given(n, None if not isinstance(X, pd.DataFrame) else X.index, positions)
    intake = ArrayIntake(
        columns, intercept, beside, family, response.Encoder("y"), constant, False, given=given
    )  # fmt: skip
    rows = intake._rows(np.ascontiguousarray(matrix), np.zeros(len(matrix)), shared)
    return Learned(intake, replace(draft, rows=rows, notes=(*notes, *tally.notes, *lacking)), own, keys)


def as_responses(Y: Any, n: int, index: pd.Index | None, what: str = "Y") -> tuple[np.ndarray, pd.Index]:
    """Y as an (n, G) array of numbers, which is not copied where it is one, and the names of its columns."""
    one = "response" if what == "Y" else "candidate"
    if isinstance(Y, pd.DataFrame):
        if index is not None and len(Y) == n and not Y.index.equals(index):
            if not (Y.index.is_unique and index.is_unique and Y.index.isin(index).all()):
                raise DataError(f"{what} and X are frames whose indexes do not match; align them, or pass arrays")
            Y = Y.reindex(index)
        keys = Y.columns if Y.columns.name else Y.columns.rename(one)
        kinds = {np.dtype(t).kind if isinstance(t, np.dtype) else "O" for t in Y.dtypes}
        values = Y.to_numpy() if kinds <= set("fiub") else _from_table(read(Y), n, what)
    elif not isinstance(Y, np.ndarray) and hasattr(Y, "columns") and not hasattr(Y, "__jax_array__"):
        table = read(Y)
        values, keys = _from_table(table, table.n_rows, what), pd.Index(table.names, name=one)
    else:
        values = np.asarray(Y)
        keys = pd.RangeIndex(values.shape[1] if values.ndim == 2 else 0, name=one)
    if values.ndim != 2:
        raise InputError(
            f"{what} must be a matrix with one column a {one}, but has shape {values.shape}"
            + ("; fit() takes one response" if what == "Y" else "")
        )
    if values.dtype.kind not in "fiub":
        raise DataError(
            f"{what} must hold numbers, but has dtype {values.dtype}; turn two labels into 0 and 1, other text into "
            "numbers"
        )
    if values.shape[0] != n:
        raise DataError(f"X has {n} rows but {what} has {values.shape[0]}; each {one} is a column")
    if values.shape[1] == 0:
        raise DataError(f"{what} has no columns")
    if not keys.is_unique:
        raise DataError(f"columns of {what} must have different names, but {keys[keys.duplicated()][0]!r} repeats")
    return values, keys


def _from_table(table: Table, n: int, what: str) -> np.ndarray:
    values = np.empty((n, len(table.names)), order="F")
    for j, name in enumerate(table.names):
        column = table[name]
        if isinstance(column, Datetime) or (isinstance(column, Factor) and not column.boolean):
            raise DataError(
                f"column {name!r} of {what} does not hold numbers; turn labels into 0 and 1, other text into numbers"
            )
        values[:, j] = column.values
    return values


def _is_wide(value: Any) -> bool:
    return len(np.shape(value)) == 2


def _wide(value: Any, name: str, shape: tuple[int, int], index: pd.Index | None) -> np.ndarray:
    """Values of an option for each row and response, checked."""
    if name not in _OWN:
        raise InputError(f"{name} must have one value a row, but has shape {np.shape(value)}")
    if isinstance(value, pd.DataFrame) and index is not None and not value.index.equals(index):
        raise DataError(f"the index of {name} is not that of X; align them, or pass {name}.to_numpy()")
    values = np.asarray(value)
    if values.shape != shape:
        raise DataError(
            f"{name} must have one value a row, or one for each row and response, {shape}; its shape is {values.shape}"
        )
    if values.dtype.kind not in "fiub":
        raise InputTypeError(f"{name} must hold numbers, but has dtype {values.dtype}")
    for block in _blocks(shape[1]):
        part = values[:, block].astype(float)

        def name_row(place: int, width: int = part.shape[1], first: int = block.start) -> str:
            return f"{row_name(place // width, index)}, column {first + place % width}"

        check_values(name, part.ravel(), name_row)
    return values


def _fields(wide: dict[str, np.ndarray], extra: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The options that responses have of their own, as fields of rows; offset and exposure are one."""
    found = {_OWN[name]: v for name, v in wide.items() if _OWN[name] != "offset"}
    offsets = [np.log(v) if name == "exposure" else v for name, v in wide.items() if _OWN[name] == "offset"]
    if offsets:
        common = total_offset(extra, None)
        whole = sum(offsets[1:], offsets[0])
        found["offset"] = whole if common is None else whole + common[:, None]
    return found


def _missing(own: dict[str, np.ndarray], missing: str, keys: pd.Index, draft: Taken) -> tuple[str, ...]:
    """A note on values that single responses lack."""
    count = 0
    for name, values in own.items():
        if values.dtype.kind != "f":
            continue
        for block in _blocks(values.shape[1]):
            holes = np.isnan(values[:, block])
            if missing == "raise" and holes.any():
                i, j = np.argwhere(holes)[0]
                what = "Y" if name == "y" else name
                raise DataError(
                    f"{what} is missing in {draft.name_row(int(i))} of response {keys[block.start + int(j)]!r}; use "
                    "missing='drop' to leave such rows out of that response"
                )
            count += int(holes.sum())
    return (f"{count:,} missing values: such a row is left out of that response alone.",) if count else ()


def _blocks(width: int) -> Iterator[slice]:
    return (slice(i, min(i + _BLOCK, width)) for i in range(0, width, _BLOCK))


def of_response(intake: ArrayIntake, place: int, name: str) -> ArrayIntake:
    """The intake of one response: what it has of its own is a vector."""
    beside = intake.beside
    own = {f.name: getattr(beside, f.name) for f in fields(beside) if f.name != "aux"}
    own = {key: np.asarray(value)[:, place] for key, value in own.items() if _is_wide(value)}
    return replace(intake, beside=replace(beside, **own), encoder=response.Encoder(name))
