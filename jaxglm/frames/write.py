"""Columns to a Parquet file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from jaxglm.archive import path_of, replacing
from jaxglm.errors import DataError, MissingExtraError, StorageError
from jaxglm.frames.column import Datetime, Factor
from jaxglm.frames.table import Table

#: Rows of a row group.
GROUP_ROWS = 2**18


def write_parquet(path: Any, pieces: Iterable[dict[str, Any]]) -> int:
    """Write pieces of columns, Arrow or NumPy, one after the other; the number of rows.

    The file has a temporary name in the same folder until it is whole, and then replaces an older one. After an error,
    Ctrl-C too, nothing is left. Memory is a row group. Types are those of the first piece.

    Raises
    ------
    StorageError
        The disk is full, or the file cannot be written.
    DataError
        There are no rows, or a column changes its type.
    """
    path, rows, groups = path_of(path, "write"), 0, _groups(pieces)
    reading = False
    try:
        with replacing(path) as stream, contextlib.ExitStack() as closing:
            writer = None
            while True:
                # An error of the source is none of the file.
                reading = True
                group = next(groups, None)
                reading = False
                if group is None:
                    break
                if writer is None:
                    writer = _writer(stream, group.schema)
                    closing.callback(_abandon, writer)
                writer.write_table(group, row_group_size=GROUP_ROWS)
                rows += group.num_rows
            if writer is None:
                raise DataError("there are no rows to write")
            writer.close()
    except OSError as error:
        if reading:
            raise
        raise _unwritten(path, rows, error) from error
    return rows


def _unwritten(path: str, rows: int, error: OSError) -> StorageError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    reason = "no room is left on the disk" if full else str(error)
    remedy = "free some space, or give a path on another disk" if full else "check the path and its permissions"
    return StorageError(
        f"{path!r} could not be written beyond {rows:,} rows: {reason}. Nothing was left behind, and a file that was "
        f"there is as it was; {remedy}"
    )


def _writer(stream: Any, schema: Any) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(stream, schema)


def _abandon(writer: Any) -> None:
    """Close a writer whose file may be gone, so that nothing tries it later."""
    with contextlib.suppress(Exception):
        writer.close()


def _groups(pieces: Iterable[dict[str, Any]]) -> Iterator[Any]:
    """Arrow tables of about a row group's rows."""
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtraError("Parquet files need pyarrow: pip install 'jaxglm[parquet]'") from None
    schema, held, count = None, [], 0
    for piece in pieces:
        table = pa.table({name: _plain(values) for name, values in piece.items()})
        schema = schema or table.schema
        if table.schema != schema:
            try:
                table = table.cast(schema)
            except (pa.ArrowException, ValueError) as error:
                raise DataError(
                    f"columns change their type: {table.schema.to_string()} after {schema.to_string()} ({error}); give "
                    "them one type everywhere, or leave them out of columns="
                ) from error
        held.append(table)
        count += table.num_rows
        if count >= GROUP_ROWS:
            yield pa.concat_tables(held)
            held, count = [], 0
    if held and schema is not None and (count or len(held)):
        yield pa.concat_tables(held)


def _plain(values: Any) -> Any:
    """A column as Arrow, without a dictionary, which may be another in each piece."""
    import pyarrow as pa

    made = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values)
    return made.cast(made.type.value_type) if pa.types.is_dictionary(made.type) else made


def native(frame: Any, table: Table, name: str) -> Any:
    """A column of a frame as the frame has it, for a file."""
    column = table[name]
    library = type(frame).__module__.partition(".")[0]
    if library == "pyarrow":
        return frame.column(name)
    if library == "polars":
        return frame.get_column(name).to_arrow()
    if library == "pandas":
        import pyarrow as pa

        return pa.array(frame[name], from_pandas=True)
    if isinstance(column, Factor):
        return column.labels
    return column.source if isinstance(column, Datetime) else np.asarray(column.source)
