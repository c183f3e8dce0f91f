"""From the user's data frame to a table of plain columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from jaxglm.errors import DataError, InputTypeError, MissingExtraError
from jaxglm.frames import convert
from jaxglm.frames.column import Column
from jaxglm.frames.table import LazyColumns, Table, check_vector

_KNOWN = (
    "a pandas or polars DataFrame, a polars LazyFrame, a pyarrow Table or RecordBatch, "
    "or a dict of one-dimensional arrays"
)


def read(data: Any) -> Table:
    """The columns of `data`, each converted at its first use.

    Parameters
    ----------
    data : DataFrame and the like
        pandas or polars DataFrame, polars LazyFrame (collected here), pyarrow Table or RecordBatch, dict of
        arrays, Series or lists (NumPy, JAX, ...), NumPy structured array, or whatever narwhals can read.

    Returns
    -------
    Table
        Numbers that are float64 already are views of the user's memory.

    Raises
    ------
    InputTypeError
        Not a kind of data frame.
    DataError
        Columns of different lengths.

    Examples
    --------
    >>> from jaxglm.frames import read
    >>> table = read({"x": [1.0, 2.0], "f": ["a", "b"]})
    >>> table.names, table["f"].levels
    (('x', 'f'), ('a', 'b'))
    """
    if isinstance(data, Table):
        return data
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if isinstance(data, np.ndarray):
        return _from_array(data)
    library = type(data).__module__.partition(".")[0]
    reader = {"pandas": _from_pandas, "polars": _from_polars, "pyarrow": _from_arrow}.get(library)
    if reader is None:
        return _from_other(data)
    return reader(data)


def is_series(value: Any) -> bool:
    """Whether `value` is a pandas Series."""
    return type(value).__name__ == "Series" and hasattr(value, "reindex")


def to_column(values: Any, what: str) -> Column:
    """One column from a one-dimensional array, Series or list of any library."""
    if isinstance(values, Column):
        return values
    library = type(values).__module__.partition(".")[0]
    if library == "pandas" and not is_series(values):
        import pandas as pd

        if isinstance(values, pd.DataFrame):
            raise InputTypeError(f"{what} must be one column but is a frame with columns {list(values.columns)[:5]}.")
        values = pd.Series(values)
    if is_series(values):
        return convert.from_pandas(values, what)
    if library == "polars":
        return convert.from_polars(values, what)
    if library == "pyarrow":
        return convert.from_arrow(values, what)
    if isinstance(values, (list, tuple, range)):
        return convert.from_list(list(values), what)
    if hasattr(values, "__array__"):
        array = np.asarray(values)
        check_vector(array, what)
        return convert.from_numpy(array, what)
    raise InputTypeError(
        f"{what} must be a column name or one value a row (array, Series or list), but got {type(values).__name__}."
    )


def _table(makers: Mapping[str, Callable[[], Column]], n_rows: int, index: Any = None) -> Table:
    return Table(LazyColumns(makers), n_rows, index)


def _twice(name: str) -> Column:
    raise DataError(f"column {name!r} occurs more than once in the data; rename or drop the copies.")


def _from_pandas(data: Any) -> Table:
    import pandas as pd

    if isinstance(data, pd.Series):
        raise InputTypeError(
            f"the data is a single Series ({data.name!r}); give a DataFrame, for example series.to_frame()."
        )
    if not isinstance(data, pd.DataFrame):
        raise InputTypeError(f"the data must be {_KNOWN}, but got {type(data).__name__}.")
    # Columns are read when they are asked for: a frame of our own keeps its rows when the user sorts or drops some.
    data = data.copy(deep=False)
    names = [str(c) for c in data.columns]
    makers: dict[str, Callable[[], Column]] = {}
    for i, name in enumerate(names):
        # By position: labels may repeat, or be numbers.
        makers[name] = partial(_twice, name) if name in makers else partial(_pandas_column, data, i, name)
    return _table(makers, len(data), data.index)


def _pandas_column(data: Any, i: int, name: str) -> Column:
    return convert.from_pandas(data.iloc[:, i], f"column {name!r}")


def _from_polars(data: Any) -> Table:
    if hasattr(data, "collect"):
        data = data.collect()
    if not hasattr(data, "get_column"):
        raise InputTypeError(f"the data must be {_KNOWN}, but got a polars {type(data).__name__}.")
    makers = {c: partial(_polars_column, data, c) for c in data.columns}
    return _table(makers, data.height)


def _polars_column(data: Any, name: str) -> Column:
    return convert.from_polars(data.get_column(name), f"column {name!r}")


def _from_arrow(data: Any) -> Table:
    if hasattr(data, "read_all"):
        data = data.read_all()
    if not hasattr(data, "column_names") and not hasattr(data, "schema"):
        raise InputTypeError(f"the data must be {_KNOWN}, but got a pyarrow {type(data).__name__}.")
    makers: dict[str, Callable[[], Column]] = {}
    for i, name in enumerate(data.schema.names):
        makers[name] = partial(_twice, name) if name in makers else partial(_arrow_column, data, i, name)
    return _table(makers, data.num_rows)


def _arrow_column(data: Any, i: int, name: str) -> Column:
    return convert.from_arrow(data.column(i), f"column {name!r}")


def _from_array(data: np.ndarray) -> Table:
    if data.dtype.names is None:
        raise InputTypeError(
            f"a formula needs named columns, but the data is a plain array of shape {data.shape}; "
            "give a data frame, or use the array interface fit(X, y, ...)."
        )
    return _from_mapping({name: data[name] for name in data.dtype.names})


def _from_mapping(data: Mapping[Any, Any]) -> Table:
    values = {str(k): v for k, v in data.items()}
    if values and all(np.isscalar(v) for v in values.values()):
        values = {k: [v] for k, v in values.items()}
    index = _common_index(values)
    lengths = {name: _length(name, v) for name, v in values.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{k!r}: {n}" for k, n in list(lengths.items())[:8])
        raise DataError(f"all columns must have the same number of rows, but the lengths are {shown}.")
    makers = {name: partial(to_column, v, f"column {name!r}") for name, v in values.items()}
    return _table(makers, next(iter(lengths.values()), 0), index)


def _length(name: str, values: Any) -> int:
    if isinstance(values, Column):
        return values.n_rows
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
        raise InputTypeError(
            f"column {name!r} must hold one value a row (array, Series or list), but is {type(values).__name__}."
        )
    if not isinstance(values, (list, tuple)):
        check_vector(values, f"column {name!r}")
    return len(values)


def _common_index(values: Mapping[str, Any]) -> Any:
    series = {k: v for k, v in values.items() if is_series(v)}
    if not series:
        return None
    first_name, first = next(iter(series.items()))
    for name, other in series.items():
        if not other.index.equals(first.index):
            raise DataError(
                f"the Series {first_name!r} and {name!r} have different indexes, so their rows cannot be paired; "
                "join them in one DataFrame first, as in pandas.DataFrame({...}), which aligns them."
            )
    return first.index


def _from_other(data: Any) -> Table:
    """Whatever narwhals understands (Modin, cuDF, DuckDB results, ...), through Arrow or pandas."""
    if isinstance(data, (list, tuple)) or not hasattr(data, "__class__"):
        raise InputTypeError(f"the data must be {_KNOWN}, but got {type(data).__name__}; try pandas.DataFrame(data).")
    try:
        import narwhals as nw
    except ImportError as error:
        raise MissingExtraError(
            f"data of type {type(data).__name__} is read through narwhals, which is not installed: pip install narwhals"
        ) from error
    try:
        frame = nw.from_native(data)
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
        return _from_pandas(frame.to_pandas()) if frame.implementation.is_pandas_like() else read(frame.to_arrow())
    except TypeError as error:
        raise InputTypeError(f"the data must be {_KNOWN}, but got {type(data).__name__}.") from error
