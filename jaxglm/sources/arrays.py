"""Rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from jaxglm.kernels import Kernel, Model, RowMap, Rows
from jaxglm.precision import host
from jaxglm.sources.base import Source, bucket, chunk_rows, cut, map_chunk, pad, reduce_chunks, to_device

#: Full chunks after which a short last one is filled up rather than compiled for.
_FEW = 4


class ArraySource(Source):
    """Chunks of fixed shape on the device, summed from the host.

    Small data is one chunk whose length is rounded up to a bucket, so that a loop can
    run on the device and new lengths meet compiled code; large data is chunks of one
    shape, so that one compile serves every n and nothing is copied whole.
    """

    def __init__(self, chunks: list[Rows], n_rows: int):
        self._chunks = chunks
        self.n_rows = n_rows
        self.resident = chunks[0] if len(chunks) == 1 else None

    @classmethod
    def from_rows(cls, rows: Rows, owned: bool = False) -> ArraySource:
        """From one block of host arrays, copied chunk by chunk; `owned` matrices are used where they lie."""
        size = chunk_rows()
        n = len(rows.y)
        return cls.from_blocks((cut(rows, i, min(i + size, n)) for i in range(0, max(n, 1), size)), owned)

    @classmethod
    def from_blocks(cls, blocks: Iterable[Rows], owned: bool = False) -> ArraySource:
        """From blocks of host rows of any length, taken one at a time."""
        size = chunk_rows()
        chunks, n = [], 0
        for block in rechunk(blocks, size):
            n += len(block.y)
            # A tail after few chunks takes a bucket, which costs a compile; after many, padding costs less.
            whole = size if len(chunks) >= _FEW else min(size, bucket(len(block.y)))
            chunks.append(to_device(pad(block, whole), owned))
        return cls(chunks, n)

    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        return reduce_chunks(kernel, model, point, iter(self._chunks))

    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        left = self.n_rows
        for rows in self._chunks:
            values = host(map_chunk(kernel, model, point, rows))
            yield cut(values, 0, min(left, len(rows.y)))
            left -= len(rows.y)

    def replace(self, change: Callable[[Rows], Rows]) -> ArraySource:
        return ArraySource([change(rows) for rows in self._chunks], self.n_rows)


def rechunk(blocks: Iterable[Rows], size: int) -> Iterator[Rows]:
    """Blocks of exactly `size` rows, and a last one with what is left."""
    import jax

    held: list[Rows] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block.y)
        if count < size:
            continue
        whole = held[0] if len(held) == 1 else jax.tree.map(lambda *parts: np.concatenate(parts), *held)
        whole_end = count - count % size
        for start in range(0, whole_end, size):
            yield cut(whole, start, start + size)
        held = [cut(whole, whole_end, count)] if count > whole_end else []
        count -= whole_end
    if count:
        yield held[0] if len(held) == 1 else jax.tree.map(lambda *parts: np.concatenate(parts), *held)
