"""A table: named columns that are converted only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.errors import DataError, FormulaError, InputTypeError, near
from jaxglm.frames.column import Column, Datetime, Numeric

if TYPE_CHECKING:
    import pandas as pd


class LazyColumns(Mapping[str, Column]):
    """Columns by name; each is converted at its first use and then kept."""

    def __init__(self, makers: Mapping[str, Callable[[], Column]]):
        self._makers = dict(makers)
        self._made: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        column = self._made.get(name)
        if column is None:
            column = self._made[name] = self._makers[name]()
        return column

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass(frozen=True, eq=False)
class Origin:
    """Where the rows of a piece come from; errors then name them by it.

    Attributes
    ----------
    place : str
        What the rows are counted in: "piece 3", "'b.parquet'".
    first : int
        Position there of the first row.
    rows : int array or None
        Positions beyond it, where they are not one after the other.
    detail : callable from position to str, optional
        What is said of a row besides, such as its row group.
    """

    place: str
    first: int = 0
    rows: np.ndarray | None = None
    detail: Callable[[int], str] | None = None

    def __getitem__(self, rows: np.ndarray) -> Origin:
        """The origin of some of the rows, by position or as a mask."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return replace(self, rows=rows if self.rows is None else self.rows[rows])

    def name(self, i: int) -> str:
        """How an error names the row at position `i`."""
        position = self.first + (i if self.rows is None else int(self.rows[i]))
        return f"row {position} of {self.place}" + ("" if self.detail is None else self.detail(position))


@dataclass(frozen=True, eq=False)
class Table:
    """The user's data, whatever library it came from.

    Attributes
    ----------
    columns : mapping of str to Column
        Converted lazily.
    n_rows : int
    index : pandas.Index, Origin or None
        The row labels of a pandas frame; for a piece of a stream where its rows come from; else None.
    """

    columns: Mapping[str, Column]
    n_rows: int
    index: pd.Index | Origin | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The column names, in the order of the frame."""
        return tuple(self.columns)

    def __getitem__(self, name: str) -> Column:
        """The column called `name`.

        Raises
        ------
        FormulaError
            If there is none; near names are shown.
        """
        if name not in self.columns:
            raise FormulaError(f"there is no column {name!r} in the data.{near(name, self.columns)}")
        return self.columns[name]

    def take(self, rows: np.ndarray) -> Table:
        """The rows of a mask or of positions; each column is cut when it is asked for."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        makers = {name: (lambda name=name: self.columns[name].take(rows)) for name in self.columns}
        return Table(LazyColumns(makers), len(rows), None if self.index is None else self.index[rows])

    @classmethod
    def of(cls, columns: Mapping[str, Column], n_rows: int, index: pd.Index | Origin | None = None) -> Table:
        """A table of columns that are ready."""
        return cls(dict(columns), n_rows, index)


def row_name(position: int, index: pd.Index | Origin | None = None) -> str:
    """How an error names a row: its position from 0, and its label where that differs."""
    if index is None:
        return f"row {position}"
    if isinstance(index, Origin):
        return index.name(position)
    label = index[position]
    return f"row {position}" if label == position else f"row {position} (index {label!r})"


def as_column(value: Any, table: Table, what: str) -> Column:
    """A column given by name or as values beside the frame.

    Parameters
    ----------
    value : str, number, or 1-d array, Series or list
        A name of a column; one number for all rows; or one value a row. A pandas Series is
        aligned with the frame by its index.
    table : Table
    what : str
        What the values are for ("offset", "freq_weights"), used in messages.

    Raises
    ------
    FormulaError
        The name is not a column.
    DataError
        Wrong length, or a Series that cannot be aligned.
    InputTypeError
        Not a name nor 1-d values.
    """
    if isinstance(value, str):
        return _named(value, table, what)
    if isinstance(value, Real) and not isinstance(value, bool):
        return Numeric(np.broadcast_to(np.float64(value), (table.n_rows,)))
    from jaxglm.frames.read import is_series, to_column

    if is_series(value):
        value = _aligned(value, table, what)
    column = to_column(value, what)
    if column.n_rows != table.n_rows:
        raise DataError(
            f"{what} has {column.n_rows} values but the data has {table.n_rows} rows; give one value a row "
            "(before rows with missing values are dropped)."
        )
    return column


def as_vector(value: Any, table: Table, what: str) -> np.ndarray:
    """Numbers given by column name or as values beside the frame, float64 (n,), nan where missing.

    Truth values count as 0 and 1. See :func:`as_column` for what `value` may be.
    """
    column = as_column(value, table, what)
    if isinstance(column, Numeric) or getattr(column, "boolean", False):
        return column.values
    kind = f"{column.type_name} values" if isinstance(column, Datetime) else "text or categories"
    name = f" (column {value!r})" if isinstance(value, str) else ""
    raise DataError(f"{what} must be numbers, but got {kind}{name}; convert them to numbers first.")


def _named(name: str, table: Table, what: str) -> Column:
    if name in table.columns:
        return table.columns[name]
    hint = near(name, table.columns)
    if any(c in name for c in "(+*/^"):
        hint = " Expressions are not read here: compute the values first and give them as a column or an array."
    raise FormulaError(f"{what}={name!r} is not a column of the data.{hint}")


def _aligned(series: pd.Series, table: Table, what: str) -> pd.Series:
    """The series in the row order of the table."""
    if len(series) != table.n_rows:
        raise DataError(
            f"{what} is a Series of {len(series)} values but the data has {table.n_rows} rows; "
            "select the rows of the frame first, as in series.loc[frame.index]."
        )
    index = table.index
    if index is None:
        if list(series.index[:2]) == list(range(min(2, len(series)))) and _is_default(series.index):
            return series
        raise DataError(
            f"{what} is a pandas Series with its own index but the data has no index to align it with; "
            f"give {what} as an array in the row order of the data, as in series.to_numpy()."
        )
    if series.index.equals(index):
        return series
    if not (series.index.is_unique and index.is_unique) or not series.index.isin(index).all():
        odd = series.index[~series.index.isin(index)]
        reason = f"label {odd[0]!r} is not in the data" if len(odd) else "labels occur more than once"
        raise DataError(
            f"{what} is a Series whose index does not match the rows of the data ({reason}), so it cannot be aligned; "
            f"give it the index of the frame, or pass series.to_numpy() if it is already in the order of the rows."
        )
    return series.reindex(index)


def _is_default(index: pd.Index) -> bool:
    return bool((np.asarray(index) == np.arange(len(index))).all())


def check_vector(values: Any, what: str) -> None:
    """Refuse what is not one-dimensional."""
    shape = np.shape(values)
    if len(shape) != 1:
        raise InputTypeError(
            f"{what} must hold one value a row (one dimension), but has shape {shape}; "
            "use values.ravel() if it is a single column."
        )
