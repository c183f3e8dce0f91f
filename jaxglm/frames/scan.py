"""Data that comes in pieces and is read anew at every pass, so that it never has to fit in memory."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from jaxglm.errors import DataError, InputError, InputTypeError, JaxglmError, near
from jaxglm.frames.read import read
from jaxglm.frames.table import Origin, Table

#: Most rows of a piece, and the bytes that it should not be larger than.
PIECE_ROWS, PIECE_BYTES = 2**16, 2**25


class Scan(ABC):
    """Rows that come in pieces, the same ones in the same order at every reading.

    A call of it gives an iterator over frames, which is all that ``data=`` of :func:`jaxglm.glm` asks for; what else it
    knows saves reading. :func:`jaxglm.scan_parquet` makes one of files, other kinds are made of what is given as data.

    Attributes
    ----------
    names : tuple of str or None
        The columns that it gives; None where only reading tells.
    n_rows : int or None
        Its rows, where they are known without reading.
    settled : bool
        Whether reading fails where the rows are not what they were when the scan was made.
    """

    names: tuple[str, ...] | None = None
    n_rows: int | None = None
    settled: bool = False

    @abstractmethod
    def read(self) -> Iterator[tuple[Any, Origin]]:
        """Frames of any library, and where their rows come from."""

    @abstractmethod
    def describe(self) -> str:
        """What it reads, in words."""

    def only(self, names: Iterable[str]) -> Scan:
        """The same rows with as few columns as can be read alone; at least those that are named."""
        return self

    def example(self) -> Any:
        """A frame without rows that has its columns, or None where only reading tells."""
        return None

    def part(self, k: int, n: int) -> Scan:
        """Part `k` of `n`, counted from 0: every row is in one of them, and always in the same.

        Pieces are dealt out in turn, so every part is read whole; files are dealt out by row groups, and read in part.
        """
        check_part(k, n)
        return self if n == 1 else _Dealt(self, k, n)

    def apart(self, most: int) -> list[Scan]:
        """The same rows as at most so many scans to be read at the same time, the first rows in the first of them.

        A single one, of all rows, where reading in several places at once does not pay, or cannot be.
        """
        return [self]

    @property
    def identity(self) -> str | None:
        """By which processes know that they read the same files; None for what only this one has."""
        return None

    def __call__(self) -> Iterator[Any]:
        """An iterator over frames, from the first row on."""
        return (frame for frame, _ in self.read())

    def tables(self) -> Iterator[Table]:
        """The frames as tables whose rows know where they come from."""
        for frame, origin in self.read():
            with naming(origin):
                table = read(frame)
            yield replace(table, index=origin)
            # Not held while the next frame is read, which then comes into the same memory.
            del frame, table

    def __repr__(self) -> str:
        rows = "" if self.n_rows is None else f", {self.n_rows:,} rows"
        columns = ""
        if self.names is not None:
            shown = ", ".join(self.names[:8]) + (", ..." if len(self.names) > 8 else "")
            columns = f", {len(self.names)} column{'s' * (len(self.names) != 1)}: {shown}"
        return f"Scan of {self.describe()}{rows}{columns}"


def check_part(k: int, n: int) -> None:
    """Refuse parts that there are not."""
    if n < 1 or not 0 <= k < n:
        raise InputError(f"part(k, n) takes 0 <= k < n, not part({k}, {n})")


class _Dealt(Scan):
    """Every n-th piece of a scan."""

    def __init__(self, whole: Scan, k: int, n: int):
        self.whole, self.k, self.n = whole, k, n
        self.names = whole.names

    def read(self) -> Iterator[tuple[Any, Origin]]:
        for number, piece in enumerate(self.whole.read()):
            if number % self.n == self.k:
                yield piece

    def only(self, names: Iterable[str]) -> Scan:
        return _Dealt(self.whole.only(names), self.k, self.n)

    def example(self) -> Any:
        return self.whole.example()

    def describe(self) -> str:
        return f"part {self.k} of {self.n} of {self.whole.describe()}"


class FrameScan(Scan):
    """What a callable of the user's yields."""

    def __init__(self, frames: Callable[[], Iterable[Any]]):
        self.frames = frames

    def read(self) -> Iterator[tuple[Any, Origin]]:
        for number, frame in enumerate(_pieces(self.frames())):
            yield frame, Origin(f"piece {number}")

    def describe(self) -> str:
        return f"the frames of {getattr(self.frames, '__name__', type(self.frames).__name__)}()"


def _pieces(made: Any) -> Iterable[Any]:
    """The frames in what a callable gave: an iterator of them, a scan or reader, or a single frame."""
    lazy = isinstance(made, Scan) or not (isinstance(made, Iterator) or callable(made))
    inner = as_scan(made) if lazy else None
    if inner is not None:
        return inner()
    if isinstance(made, Iterator) or hasattr(made, "read_next_batch"):
        return made
    if hasattr(made, "columns") or hasattr(made, "column_names") or isinstance(made, dict):
        return [made]
    if isinstance(made, Iterable):
        return made
    raise InputTypeError(
        f"the callable given as data must return an iterator of frames, but returned {type(made).__name__}; write it "
        "as a generator function that yields one frame after the other"
    )


def as_scan(data: Any) -> Scan | None:
    """The scan that data stands for, or None where it is a frame in memory.

    Raises
    ------
    InputTypeError
        An iterator, which can be read but once.
    """
    if isinstance(data, Scan):
        return data
    if isinstance(data, (str, os.PathLike)):
        from jaxglm.frames.parquet import scan_parquet

        return scan_parquet(data)
    library = type(data).__module__.partition(".")[0]
    if library == "pyarrow" and hasattr(data, "get_fragments"):
        from jaxglm.frames.parquet import scan_dataset

        return scan_dataset(data)
    if library == "polars" and hasattr(data, "collect_schema") and hasattr(data, "collect"):
        from jaxglm.frames.lazy import PolarsScan

        return PolarsScan(data)
    if library in ("duckdb", "_duckdb") and hasattr(data, "project"):
        from jaxglm.frames.lazy import DuckScan

        return DuckScan(data)
    if isinstance(data, Iterator) and not hasattr(data, "read_next_batch"):
        raise InputTypeError(
            f"the data is an iterator ({type(data).__name__}), which can be read only once, but a fit reads its rows "
            "several times. Give the function that makes it, as in glm(formula, lambda: (read(f) for f in files)), or "
            "a list of it joined into one frame"
        )
    return FrameScan(data) if callable(data) else None


@contextlib.contextmanager
def naming(origin: Any) -> Iterator[None]:
    """Have errors about a piece say which one it is."""
    try:
        yield
    except JaxglmError as error:
        if not isinstance(origin, Origin) or origin.place in str(error):
            raise
        raise type(error)(f"in {origin.place}: {error}") from error


def piece_rows(width: int, most: int = PIECE_ROWS) -> int:
    """Rows of a piece whose rows have so many bytes: a power of two."""
    rows = most
    while rows > 1024 and rows * width > PIECE_BYTES:
        rows //= 2
    return rows


def known_columns(names: Sequence[str], wanted: Iterable[str], what: str) -> tuple[str, ...]:
    """The wanted columns in the order of the data.

    Raises
    ------
    DataError
        There is no such column.
    """
    wanted = list(wanted)
    for name in wanted:
        if name not in names:
            raise DataError(f"there is no column {name!r} in {what}.{near(str(name), names)}")
    return tuple(name for name in names if name in set(wanted))
