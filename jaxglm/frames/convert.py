"""One column of each library as a plain column.

Every library keeps categories, missing values and text in its own way; each has
its small case here and nothing of it leaves this module.
"""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np

from jaxglm.errors import DataError, InputTypeError
from jaxglm.frames.column import Column, Datetime, Factor, Numeric, factor_of


def from_numpy(values: np.ndarray, what: str) -> Column:
    """A one-dimensional NumPy array of any dtype."""
    kind = values.dtype.kind
    if kind in "iu":
        return Numeric(values, integer=True)
    if kind == "f":
        return Numeric(values)
    if kind == "b":
        return boolean(values)
    if kind in "UTS":
        if kind == "S":
            values = np.char.decode(values, "utf-8")
        return text(values.astype(object))
    if kind == "O":
        return from_objects(np.asarray(values), what)
    if kind in "mM":
        return Datetime(values, str(values.dtype))
    if kind == "c":
        raise DataError(f"{what} holds complex numbers; use their real part, imaginary part or absolute value.")
    try:
        # Narrow floats of machine learning libraries (bfloat16) are extension types to NumPy.
        return Numeric(values.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"{what} has the type {values.dtype}; numbers, text or dates are expected.") from error


def from_list(values: list[Any], what: str) -> Column:
    """A list of Python values."""
    import pandas as pd

    if values and all(type(v) is float for v in values):
        return Numeric(np.array(values))
    if any(isinstance(v, (list, tuple, dict, set)) or np.ndim(v) > 0 for v in values):
        raise InputTypeError(f"{what} must be one-dimensional, but holds a sequence in each row.")
    return from_pandas(pd.Series(values, dtype=object), what)


def boolean(values: np.ndarray, missing: np.ndarray | None = None) -> Factor:
    """A factor with levels False, True, as R has it."""
    codes = values.astype(np.int32)
    if missing is not None and missing.any():
        codes[missing] = -1
    return Factor(codes, (False, True), boolean=True)


def text(values: Any) -> Factor:
    """Levels of text in the order of their characters, in one hashing pass."""
    import pandas as pd

    codes, unique = pd.factorize(values)
    return factor_of(codes, list(unique), sort=True)


def from_pandas(series: Any, what: str) -> Column:
    """A pandas Series of any dtype."""
    import pandas as pd

    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return from_numpy(series.to_numpy(), what)
    if isinstance(dtype, pd.CategoricalDtype):
        return factor_of(np.array(series.array.codes, np.int32), dtype.categories.tolist(), ordered=bool(dtype.ordered))
    if isinstance(dtype, pd.SparseDtype):
        return from_numpy(series.sparse.to_dense().to_numpy(), what)
    if isinstance(dtype, pd.ArrowDtype):
        import pyarrow as pa

        return from_arrow(pa.chunked_array([pa.array(series)]), what)
    if pd.api.types.is_bool_dtype(dtype):
        return boolean(series.to_numpy(dtype=bool, na_value=False), series.isna().to_numpy())
    if pd.api.types.is_numeric_dtype(dtype):
        whole = pd.api.types.is_integer_dtype(dtype)
        if whole and not series.hasnans:
            return Numeric(series.to_numpy(dtype=dtype.numpy_dtype), integer=True)
        return Numeric(series.to_numpy(dtype=np.float64, na_value=np.nan), integer=whole)
    if isinstance(dtype, pd.StringDtype):
        codes, unique = series.factorize()
        return factor_of(codes, list(unique), sort=True)
    if isinstance(dtype, (pd.DatetimeTZDtype, pd.PeriodDtype)):
        return Datetime(series.to_numpy(), str(dtype))
    return from_objects(series.to_numpy(dtype=object), what)


#: What pandas finds among Python objects, and what we make of it.
_NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal", "complex"}
_TIMES = {"datetime", "datetime64", "date", "time", "timedelta", "timedelta64", "period"}


def from_objects(values: np.ndarray, what: str) -> Column:
    """An array of Python objects; one kind of value is expected, missing values aside."""
    import pandas as pd

    found = pd.api.types.infer_dtype(values, skipna=True)
    if found == "string":
        return text(values)
    missing = np.asarray(pd.isna(values))
    if found == "empty" or missing.all():
        return Numeric(np.full(values.shape[0], np.nan))
    if found == "boolean":
        return boolean(np.where(missing, False, values).astype(bool), missing)
    if found in _NUMBERS or (found.startswith("mixed") and _only(values, missing, (int, float, decimal.Decimal))):
        try:
            numbers = np.where(missing, np.nan, values).astype(np.float64)
        except TypeError as error:
            raise DataError(f"{what} holds complex numbers; use their real part or absolute value.") from error
        return Numeric(numbers, integer=found == "integer")
    if found in _TIMES:
        return Datetime(values, found)
    if found == "interval":
        return text(np.array([None if gone else str(v) for v, gone in zip(values, missing, strict=True)], dtype=object))
    raise _mixed(values, missing, what)


def _only(values: np.ndarray, missing: np.ndarray, types: tuple[type, ...]) -> bool:
    return all(isinstance(v, (*types, np.number)) and not isinstance(v, bool) for v in values[~missing])


def _mixed(values: np.ndarray, missing: np.ndarray, what: str) -> Exception:
    """The error for values of several kinds, or of no kind we know."""
    rows = np.flatnonzero(~missing)
    first = values[rows[0]]
    if not isinstance(first, (str, bool, int, float, decimal.Decimal, np.generic)):
        return InputTypeError(
            f"{what} holds values of type {type(first).__name__} (row {rows[0]}: {str(first)[:60]!r}); "
            "numbers, text, truth values or dates are expected."
        )
    kind = str if isinstance(first, str) else (int, float, decimal.Decimal, np.number)
    odd = next((r for r in rows if not isinstance(values[r], kind) or isinstance(values[r], bool)), rows[0])
    if isinstance(first, bool):
        odd = next(r for r in rows if not isinstance(values[r], bool))
    return DataError(
        f"{what} mixes types: row {rows[0]} has {first!r} ({type(first).__name__}) but row {odd} has "
        f"{values[odd]!r} ({type(values[odd]).__name__}); make the whole column text or numbers, "
        "for example with astype(str) or pandas.to_numeric(..., errors='coerce')."
    )


def from_polars(series: Any, what: str) -> Column:
    """A polars Series; null and nan both count as missing."""
    import polars as pl

    if not isinstance(series, pl.Series):
        raise InputTypeError(f"{what} must be one column, but is a polars {type(series).__name__}.")
    dtype = series.dtype
    if dtype == pl.Boolean:
        return boolean(series.fill_null(False).to_numpy(), series.is_null().to_numpy())
    if dtype == pl.Decimal:
        return Numeric(series.cast(pl.Float64).to_numpy())
    if dtype.is_numeric():
        return Numeric(series.to_numpy(), integer=dtype.is_integer())
    if dtype == pl.Enum:
        codes = series.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        return factor_of(codes, dtype.categories.to_list(), ordered=True)
    if dtype == pl.Categorical:
        return _polars_categorical(series)
    if dtype == pl.String:
        return _polars_text(series)
    if dtype.is_temporal():
        return Datetime(series.to_numpy(), str(dtype))
    if dtype == pl.Null:
        return Numeric(np.full(len(series), np.nan))
    if dtype == pl.Object:
        return from_objects(np.array(series.to_list(), dtype=object), what)
    raise InputTypeError(f"{what} has the polars type {dtype}; numbers, text, categories or dates are expected.")


def _polars_categorical(series: Any) -> Factor:
    """Physical codes are shared between columns and have gaps; only what occurs becomes a level, in text order."""
    import polars as pl

    unique = series.drop_nulls().unique()
    physical = unique.to_physical().cast(pl.Int64).to_numpy()
    place = np.full(int(physical.max(initial=-1)) + 2, -1, dtype=np.int64)
    place[physical] = np.arange(physical.size)
    codes = series.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    return factor_of(place[codes], unique.cast(pl.String).to_list(), sort=True)


def _polars_text(series: Any) -> Factor:
    """Join each value with the place of its level; polars hashes faster than a trip through Python objects."""
    import polars as pl

    unique = series.drop_nulls().unique().sort()
    codes = series.replace_strict(unique, pl.int_range(0, len(unique), eager=True), default=-1, return_dtype=pl.Int32)
    return Factor(codes.fill_null(-1).to_numpy(), tuple(unique.to_list()))


def from_arrow(array: Any, what: str) -> Column:
    """A pyarrow Array or ChunkedArray."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.Array):
        if pa.types.is_floating(array.type) or pa.types.is_integer(array.type):
            return Numeric(array.to_numpy(zero_copy_only=False), integer=pa.types.is_integer(array.type))
        array = pa.chunked_array([array])
    if not isinstance(array, pa.ChunkedArray):
        raise InputTypeError(f"{what} must be one column, but is a pyarrow {type(array).__name__}.")
    kind, types = array.type, pa.types
    if types.is_dictionary(kind):
        return _arrow_dictionary(array)
    if types.is_boolean(kind):
        return boolean(pc.fill_null(array, False).to_numpy().astype(bool), pc.is_null(array).to_numpy())
    if types.is_integer(kind) or types.is_floating(kind):
        return Numeric(_arrow_numbers(array), integer=types.is_integer(kind))
    if types.is_decimal(kind):
        return Numeric(_arrow_numbers(array.cast(pa.float64())))
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        coded = _arrow_dictionary(array.dictionary_encode())
        return factor_of(coded.codes, coded.levels, sort=True)
    if types.is_temporal(kind):
        return Datetime(array.to_numpy(), str(kind))
    if types.is_null(kind):
        return Numeric(np.full(len(array), np.nan))
    raise InputTypeError(f"{what} has the Arrow type {kind}; numbers, text, categories or dates are expected.")


def _arrow_numbers(array: Any) -> np.ndarray:
    if array.num_chunks == 1:
        # A single chunk without nulls is a view of Arrow's memory.
        return array.chunk(0).to_numpy(zero_copy_only=False)
    return array.to_numpy()


def _arrow_dictionary(array: Any) -> Factor:
    """Chunks may carry different dictionaries; they are brought together first."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ordered = bool(array.type.ordered)
    chunks = array.unify_dictionaries().chunks
    if not chunks:
        return Factor(np.zeros(0, np.int32), (), ordered)
    codes = [pc.fill_null(c.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False) for c in chunks]
    levels = chunks[-1].dictionary.to_pylist()
    return factor_of(np.concatenate(codes), levels, ordered=ordered)
