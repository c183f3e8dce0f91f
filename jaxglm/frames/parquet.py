"""Parquet files as a scan: one file, many, or a folder with partitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from jaxglm.errors import DataError, InputError
from jaxglm.frames.files import File, arrow_errors, find_files, footer_of, key_types, opened_file, stamp_of
from jaxglm.frames.scan import Scan, check_part, known_columns, piece_rows
from jaxglm.frames.table import Origin

#: Bytes that a reader holds of each column, which is a page as it is stored and as it is decoded; and those of all
#: readers of a pass together.
_PAGE_BYTES, _APART_BYTES = 2**21, 2**29
#: Most rows of a piece: about the numbers of a page, which is then made into a column while it is in cache. Arrow sets
#: memory apart for a power of two, and where the last rows of a page go beyond that it copies all of them twice.
_PAGE_ROWS = 3 * 2**15
#: Rows of the largest part over the mean of all, up to which reading in parts pays.
_UNEVEN = 1.3
#: Name of the column that carries positions through a filter.
_ROW = "__jaxglm_row__"


def scan_parquet(source: Any, columns: Sequence[str] | None = None, filter: Any = None) -> Scan:
    """Parquet files as data that is read anew at every pass, never held whole.

    Only the columns that a model needs are read, a piece of 98,304 rows at a time. The rows come in the order of the
    files, sorted by name.

    Parameters
    ----------
    source : path, glob, folder, URL or list of paths
        ``"trips.parquet"``, ``"trips/*.parquet"``, ``"trips/"`` with all files below it. Names of folders such as
        ``year=2024`` are columns (numbers if all are whole, else text). URLs (``s3://``, ``gs://``) go to pyarrow.
    columns : sequence of str, optional
        The columns that there shall be; all by default.
    filter : pyarrow expression, or list of tuples, optional
        Rows to keep, as in ``[("year", ">=", 2020), ("dist", "<", 50)]``. Files and row groups that cannot have any
        are not read.

    Returns
    -------
    Scan
        For ``data=`` of :func:`jaxglm.glm`; a call of it gives an iterator over pyarrow record batches.

    Raises
    ------
    DataError
        No file, a file that is damaged, or a column that is absent or of another kind in one of them. A file that
        changes during a fit is an error too.
    MissingExtraError
        pyarrow is not installed.

    Notes
    -----
    Cost: the footer of every file now; a pass reads the columns that it needs. Memory is, for each core that reads, two
    megabytes of each column and a piece, or three where a fit computes with the last two meanwhile.

    Examples
    --------
    >>> import tempfile, pandas as pd, jaxglm as jg
    >>> folder = tempfile.mkdtemp()
    >>> for i in range(2):
    ...     pd.DataFrame({"y": [1, 3, 2], "x": [0.0, 1.0, i]}).to_parquet(f"{folder}/{i}.parquet")
    >>> data = jg.scan_parquet(folder)
    >>> data
    Scan of 2 Parquet files (2 row groups), 6 rows, 2 columns: y, x
    >>> jg.glm("y ~ x", data, "poisson").params.round(4).to_dict()
    {'Intercept': 0.2877, 'x': 0.6931}
    """
    filesystem, files = find_files(source)
    found = [footer_of(filesystem, path, keys) for path, keys in files]
    keys = key_types(found)
    scan = ParquetScan(filesystem, tuple(f for f, _ in found), [s for _, s in found], keys, _expression(filter))
    return scan if columns is None else scan.only(columns)


def scan_dataset(dataset: Any) -> Scan:
    """A pyarrow Dataset as a scan; its Parquet files are read as those of :func:`scan_parquet`."""
    from jaxglm.frames.lazy import DatasetScan

    plain = hasattr(dataset, "filesystem") and not getattr(dataset, "_scan_options", None)
    fragments = list(dataset.get_fragments()) if plain else []
    if not fragments or not all(hasattr(fragment, "row_groups") for fragment in fragments):
        return DatasetScan(dataset)
    import pyarrow.dataset as ds

    keys = [ds.get_partition_keys(fragment.partition_expression) for fragment in fragments]
    found = [footer_of(dataset.filesystem, f.path, given) for f, given in zip(fragments, keys, strict=True)]
    schemas = [schema for _, schema in found]
    types = {name: dataset.schema.field(name).type for given in keys for name in given}
    if set(dataset.schema.names) != {*types, *(name for schema in schemas for name in schema.names)}:
        return DatasetScan(dataset)
    types = {name: kind.value_type if hasattr(kind, "value_type") else kind for name, kind in types.items()}
    return ParquetScan(dataset.filesystem, tuple(f for f, _ in found), schemas, types)


class ParquetScan(Scan):
    """Row groups of Parquet files."""

    settled = True
    #: Whether nothing else reads at the same time, so that columns are decoded by threads of Arrow's.
    _alone = True

    def __init__(self, filesystem: Any, files: tuple[File, ...], schemas: list[Any], keys: dict[str, Any], filter=None):
        self._filesystem, self._files, self._filter = filesystem, files, filter
        self._keys = keys
        self._schema = schemas[0]
        self._faults = _faults(files, schemas)
        names = [n for n in dict.fromkeys(n for s in schemas for n in s.names) if n not in keys]
        self._widths = {n: _width(s.field(n).type) for s in schemas for n in s.names if s.names.count(n) == 1}
        self._physical = tuple(names)
        self.names = (*names, *keys)
        self._units = tuple((f, g) for f, file in enumerate(files) for g in self._groups(file, filter, schemas[0]))
        self._count()

    def _groups(self, file: File, filter: Any, schema: Any) -> Iterable[int]:
        """Row groups that may have rows of the filter."""
        if filter is None:
            return range(len(file.groups))
        import pyarrow.dataset as ds

        guarantee = ds.scalar(True)
        for name, value in file.keys.items():
            guarantee &= ds.field(name).is_null() if value is None else ds.field(name) == value
        fragment = ds.ParquetFileFormat().make_fragment(file.path, self._filesystem, guarantee)
        try:
            parts = fragment.split_by_row_group(filter=filter, schema=self._whole_schema(schema))
        except arrow_errors() as error:
            raise InputError(f"the filter {filter} does not suit the columns of {file.place}: {error}") from None
        return [g.id for part in parts for g in part.row_groups]

    def _whole_schema(self, schema: Any) -> Any:
        import pyarrow as pa

        for name, kind in self._keys.items():
            schema = schema.append(pa.field(name, kind))
        return schema

    def _count(self) -> None:
        rows = sum(self._files[f].groups[g] for f, g in self._units)
        self.n_rows = rows if self._filter is None else None

    def _changed(self, **values: Any) -> ParquetScan:
        made = object.__new__(ParquetScan)
        made.__dict__.update(self.__dict__ | values)
        made._count()
        return made

    def only(self, names: Iterable[str]) -> ParquetScan:
        """The same rows with these columns alone."""
        return self._changed(names=known_columns(self.names, names, self.describe()))

    def part(self, k: int, n: int) -> ParquetScan:
        """Part `k` of `n`: a run of row groups, of about as many rows as the other parts have.

        Raises
        ------
        InputError
            There are fewer row groups than parts.
        """
        check_part(k, n)
        if len(self._units) < n:
            raise InputError(
                f"{self.describe()} cannot be dealt out to {n}: there are {len(self._units)} row groups; write files "
                "with smaller row groups, as with row_group_size= in pyarrow.parquet.write_table"
            )
        ends = np.cumsum([self._files[f].groups[g] for f, g in self._units])
        edges = [0, *(int(np.searchsorted(ends, ends[-1] * i / n, side="left")) + 1 for i in range(1, n)), len(ends)]
        for i in range(1, n):
            # Every part has one at least.
            edges[i] = min(max(edges[i], edges[i - 1] + 1), len(ends) - (n - i))
        return self._changed(_units=self._units[edges[k] : edges[k + 1]])

    def apart(self, most: int) -> list[Scan]:
        """Parts of about as many rows each, for more than half as many readers as there may be."""
        if self._filesystem.type_name != "local":
            # Each reader would wait for answers from far away while it could compute.
            return [self]
        limit = min(most, len(self._units), _APART_BYTES // (_PAGE_BYTES * max(len(self.names), 1)))
        for n in range(limit, most // 2, -1):
            parts = [self.part(k, n) for k in range(n)]
            rows = [sum(s._files[f].groups[g] for f, g in s._units) for s in parts]
            if n > 1 and max(rows) * n <= _UNEVEN * sum(rows):
                return [part._changed(_alone=False) for part in parts]
        return [self]

    def example(self) -> Any:
        """A table without rows."""
        schema = self._whole_schema(self._schema)
        return schema.empty_table().select([n for n in self.names if n in schema.names])

    @property
    def identity(self) -> str:
        return str([(self._files[f].place, g, self._files[f].groups[g]) for f, g in self._units] + [self._filter])

    def describe(self) -> str:
        used = {f for f, _ in self._units}
        plural = "" if len(used) == 1 else "s"
        groups = f"{len(self._units)} row group{'s' * (len(self._units) != 1)}"
        where = " with a filter" if self._filter is not None else ""
        return f"{len(used)} Parquet file{plural} ({groups}){where}"

    def read(self) -> Iterator[tuple[Any, Origin]]:
        for name in self.names:
            if name in self._faults:
                raise DataError(self._faults[name])
        text = "" if self._filter is None else str(self._filter)
        # The columns of an expression are not told; a name too many costs reading only.
        beside = [n for n in (*self._physical, *self._keys) if n in text and n not in self.names]
        wanted = [n for n in self._physical if n in self.names or n in beside]
        # Something must tell how many rows there are.
        wanted = wanted or list(self._physical[:1])
        size = piece_rows(sum(self._widths.get(n, 8) for n in wanted), _PAGE_ROWS)
        for number, units in groupby(self._units, key=lambda unit: unit[0]):
            file = self._files[number]
            for batch, first in self._batches(file, [g for _, g in units], wanted, size):
                origin = Origin(file.place, first, None, file.group)
                yield self._finished(batch, file, origin, first)
                # A batch that is held while the next one is read keeps it from coming into the same memory.
                del batch

    def _finished(self, batch: Any, file: File, origin: Origin, first: int) -> tuple[Any, Origin]:
        """The batch with the keys of its folder, and its rows of the filter."""
        import pyarrow as pa

        for name, kind in self._keys.items():
            if name in self.names or self._filter is not None:
                batch = batch.append_column(name, pa.repeat(pa.scalar(file.keys.get(name), kind), batch.num_rows))
        if self._filter is not None:
            table = pa.Table.from_batches([batch.append_column(_ROW, pa.array(np.arange(batch.num_rows)))])
            batch = table.filter(self._filter)
            origin = origin[batch.column(_ROW).to_numpy()]
        return batch.select(list(self.names)), origin

    def _batches(self, file: File, groups: list[int], wanted: list[str], size: int) -> Iterator[tuple[Any, int]]:
        """Record batches of row groups, with the position in the file of the first row of each."""
        stamp = stamp_of(self._filesystem, file.path)
        if stamp != file.stamp:
            raise DataError(
                f"{file.place} {'is gone' if stamp[0] is None else 'has changed'} since it was found (by its size and "
                "time), so that another pass would not read the same rows; scan it again and fit again, on files that "
                "nothing writes to"
            )
        try:
            with opened_file(self._filesystem, file.path) as opened:
                for run in _runs(groups):
                    row = file.starts[run[0]]
                    batches = opened.iter_batches(size, row_groups=run, columns=wanted, use_threads=self._alone)
                    for batch in batches:
                        yield batch, row
                        row += batch.num_rows
                        del batch
        except arrow_errors() as error:
            raise self._damaged(file, groups, wanted, error) from error

    def _damaged(self, file: File, groups: list[int], wanted: list[str], error: Exception) -> DataError:
        """The error for a file that could not be read; its row groups are tried one by one."""
        where = ""
        for group in groups:
            try:
                with opened_file(self._filesystem, file.path) as opened:
                    opened.read_row_group(group, columns=wanted)
            except arrow_errors() as found:
                where, error = f" in row group {group}, which begins at row {file.starts[group]}", found
                break
        return DataError(
            f"{file.place} cannot be read{where}: {error}; the file is damaged or cut short, write it again"
        )


def _runs(groups: list[int]) -> Iterator[list[int]]:
    """Numbers cut where one is not the next of the last."""
    breaks = [i + 1 for i, (a, b) in enumerate(pairwise(groups)) if b != a + 1]
    for a, b in pairwise([0, *breaks, len(groups)]):
        yield groups[a:b]


def _kind(kind: Any) -> str:
    """What a column of an Arrow type holds, in words."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "numbers"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    return str(kind)


def _width(kind: Any) -> int:
    """Bytes of a value, a guess where they differ."""
    import pyarrow as pa

    return max(kind.bit_width // 8, 1) if pa.types.is_primitive(kind) else 16


def _faults(files: tuple[File, ...], schemas: list[Any]) -> dict[str, str]:
    """What is wrong with a column, for those that are not the same in every file; empty files and columns pass."""
    found: dict[str, str] = {}
    seen: dict[str, tuple[str, File]] = {}
    names = list(dict.fromkeys(n for s in schemas for n in s.names))
    for file, schema in zip(files, schemas, strict=True):
        kinds = {f.name: _kind(f.type) for f in schema}
        for name in names:
            kind = kinds.get(name)
            if kind is None:
                message = f"{file.place} has no column {name!r}, which other files of the scan have"
            elif name in seen and kind not in ("null", seen[name][0]):
                first, where = seen[name]
                message = f"column {name!r} holds {kind} in {file.place} but {first} in {where.place}"
            else:
                if kind != "null":
                    seen.setdefault(name, (kind, file))
                continue
            found.setdefault(name, message + "; write the files with one schema, or leave that file out")
    return found


def _expression(filter: Any) -> Any:
    if filter is None:
        return None
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    if isinstance(filter, ds.Expression):
        return filter
    try:
        return pq.filters_to_expression(filter)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"filter must be a pyarrow expression or a list such as [('year', '>=', 2020)], not {filter!r}: {error}"
        ) from None
