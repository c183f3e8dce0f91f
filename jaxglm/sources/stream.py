"""Rows that come again at every pass: data larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxglm.kernels import Kernel, Model, RowMap, Rows, Walk
from jaxglm.precision import host
from jaxglm.sources.arrays import rechunk
from jaxglm.sources.base import Source, bucket, chunk_rows, cut, map_chunk, pad, reduce_chunks, to_device
from jaxglm.sources.walk import walk_chunks


class StreamSource(Source):
    """A callable that yields host rows anew at every pass.

    Parameters
    ----------
    blocks : callable () -> iterator of Rows
        Blocks of any length, the same rows in the same order at every call.
    n_rows : int
    chunk : int, optional
        Rows of a chunk; memory is a few chunks whatever n is.
    """

    read_anew = True

    def __init__(self, blocks: Callable[[], Iterator[Rows]], n_rows: int, chunk: int | None = None):
        self._blocks = blocks
        self.n_rows = n_rows
        self.chunk = min(chunk or chunk_rows(), bucket(n_rows))

    def _chunks(self) -> Iterator[tuple[Rows, int]]:
        for block in rechunk(self._blocks(), self.chunk):
            yield to_device(pad(block, self.chunk)), len(block.y)

    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        return reduce_chunks(kernel, model, point, self._chunks())

    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        for rows, count in self._chunks():
            yield cut(host(map_chunk(kernel, model, point, rows)), 0, count)

    def walk(self, walk: Walk, model: Model, frame: Any, state: Any, size: int, seed: int) -> tuple[Any, np.ndarray]:
        return walk_chunks(walk, model, frame, state, self._chunks(), size, seed)

    def replace(self, change: Callable[[Rows], Rows]) -> StreamSource:
        return StreamSource(lambda: map(change, self._blocks()), self.n_rows, self.chunk)

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> StreamSource:
        def blocks() -> Iterator[Rows]:
            start = 0
            for block in self._blocks():
                stop = start + len(block.y)
                yield change(block, cut(values, start, stop))
                start = stop

        return StreamSource(blocks, self.n_rows, self.chunk)
