"""Queries of other libraries as scans: they run again at every pass, and give their rows batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jaxglm.errors import DataError
from jaxglm.frames.scan import PIECE_ROWS, Scan, known_columns, piece_rows
from jaxglm.frames.table import Origin


def _batches(made: Iterator[Any], what: str) -> Iterator[tuple[Any, Origin]]:
    """Batches with the position of their first row; an error of the library says how far it came."""
    first, made = 0, iter(made)
    while True:
        try:
            batch = next(made, None)
        except Exception as error:  # every library has errors of its own
            raise DataError(f"{what} failed after row {first}: {type(error).__name__}: {error}") from error
        if batch is None:
            return
        yield batch, Origin(what, first)
        first += batch.height if hasattr(batch, "height") else batch.num_rows


class PolarsScan(Scan):
    """A polars LazyFrame; its query must give the same rows in the same order whenever it runs."""

    def __init__(self, query: Any):
        self.query = query
        self.names = tuple(query.collect_schema().names())

    def read(self) -> Iterator[tuple[Any, Origin]]:
        return _batches(self._collect(), self.describe())

    def _collect(self) -> Iterator[Any]:
        size = piece_rows(8 * len(self.names))
        if hasattr(self.query, "collect_batches"):
            yield from self.query.collect_batches(chunk_size=size, maintain_order=True, engine="streaming")
            return
        start = 0
        while True:
            batch = self.query.slice(start, size).collect()
            yield batch
            start += batch.height
            if batch.height < size:
                return

    def only(self, names: Iterable[str]) -> PolarsScan:
        return PolarsScan(self.query.select(known_columns(self.names, names, self.describe())))

    def example(self) -> Any:
        import polars as pl

        return pl.DataFrame(schema=self.query.collect_schema())

    def describe(self) -> str:
        return "the polars LazyFrame"


class DuckScan(Scan):
    """A DuckDB relation; nothing else may use its connection during a pass."""

    def __init__(self, relation: Any):
        self.relation = relation
        self.names = tuple(relation.columns)

    def read(self) -> Iterator[tuple[Any, Origin]]:
        return _batches(self._collect(), self.describe())

    def _collect(self) -> Iterator[Any]:
        # A relation keeps the result of its last run, so each pass takes a new one.
        quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in self.names)
        fresh = self.relation.project(quoted)
        size = piece_rows(8 * len(self.names))
        reader = fresh.to_arrow_reader if hasattr(fresh, "to_arrow_reader") else fresh.fetch_arrow_reader
        yield from reader(size)

    def only(self, names: Iterable[str]) -> DuckScan:
        made = DuckScan(self.relation)
        made.names = known_columns(self.names, names, self.describe())
        return made

    def describe(self) -> str:
        return "the DuckDB relation"


class DatasetScan(Scan):
    """A pyarrow Dataset that is not of Parquet files, or is a filtered or joined one."""

    def __init__(self, dataset: Any):
        self.dataset = dataset
        self.names = tuple(dataset.schema.names)

    def read(self) -> Iterator[tuple[Any, Origin]]:
        # Batches ahead are what a thread fills while the last one is worked on.
        made = self.dataset.to_batches(
            columns=list(self.names), batch_size=PIECE_ROWS, batch_readahead=2, fragment_readahead=1
        )
        return _batches(made, self.describe())

    def only(self, names: Iterable[str]) -> DatasetScan:
        made = DatasetScan(self.dataset)
        made.names = known_columns(self.names, names, self.describe())
        return made

    def example(self) -> Any:
        return self.dataset.schema.empty_table().select(list(self.names))

    def describe(self) -> str:
        return f"the pyarrow {type(self.dataset).__name__}"
