"""Rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxglm.kernels import Kernel, Model, RowMap, Rows, Walk
from jaxglm.precision import aligned_empty, host, in_threads, threads
from jaxglm.sources.base import (
    LARGEST_BLOCK,
    Source,
    bucket,
    chunk_rows,
    cut,
    filled,
    map_chunk,
    pad,
    reduce_chunks,
    to_device,
)
from jaxglm.sources.storage import Window, is_leaf, on_host, row_bytes
from jaxglm.sources.walk import walk_chunks

#: Bytes of a design from which it is read where it lies; less is copied, so that later writes of the user do no harm.
ALIASED_BYTES = 2**25
#: Rows of each level of a factor that a sample has where there are so many: enough that also a rare outcome occurs.
ROWS_OF_A_LEVEL = 160


class ArraySource(Source):
    """Chunks of fixed shape on the device, summed from the host.

    Small data is one chunk whose length is rounded up to a bucket, so that a loop can
    run on the device and new lengths meet compiled code; large data is chunks of one
    shape, so that one compile serves every n. On a CPU large matrices and columns are
    read where they lie in the user's memory.

    Attributes
    ----------
    aliased : bool
        Whether some of the memory that is read belongs to the user.
    """

    def __init__(self, chunks: list[Rows], counts: list[int], aliased: bool = False):
        self._chunks, self._counts = chunks, counts
        self.n_rows = sum(counts)
        self.aliased = aliased
        self.resident = chunks[0] if len(chunks) == 1 else None

    @classmethod
    def from_rows(cls, rows: Rows, owned: bool = False) -> ArraySource:
        """From one block of host arrays, which may be our own; see the class for what is copied."""
        n, size = len(rows.y), chunk_rows(row_bytes(rows))
        if n <= size:
            return cls([to_device(pad(rows, min(size, bucket(n))))], [n])
        in_place = jax.default_backend() == "cpu" and n * row_bytes(rows) >= ALIASED_BYTES
        chunks, counts, ones = [], [], None
        for start in range(0, n, size):
            part = cut(rows, start, min(start + size, n))
            counts.append(len(part.y))
            if in_place:
                made = _in_place(part, size)
            else:
                made = to_device(pad(part, size))
            if ones is not None and counts[-1] == size and rows.freq.strides == (0,):
                made = made._replace(freq=ones)
            elif counts[-1] == size:
                ones = made.freq
            chunks.append(made)
        return cls(chunks, counts, in_place and not owned)

    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        return reduce_chunks(kernel, model, point, list(zip(self._chunks, self._counts, strict=True)))

    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        def one(rows, count):
            return cut(host(map_chunk(kernel, model, point, rows)), 0, count)

        # As many at a time as there are threads, each on a chunk of its own.
        at_once = threads()
        for start in range(0, len(self._chunks), at_once):
            stop = start + at_once
            pairs = zip(self._chunks[start:stop], self._counts[start:stop], strict=True)
            yield from in_threads([partial(one, *pair) for pair in pairs])

    def walk(self, walk: Walk, model: Model, frame: Any, state: Any, size: int, seed: int) -> tuple[Any, np.ndarray]:
        return walk_chunks(walk, model, frame, state, list(zip(self._chunks, self._counts, strict=True)), size, seed)

    def replace(self, change: Callable[[Rows], Rows]) -> ArraySource:
        return ArraySource([change(rows) for rows in self._chunks], self._counts, self.aliased)

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> ArraySource:
        starts = np.cumsum([0, *self._counts])
        chunks = [
            change(rows, to_device(filled(cut(values, start, start + count), rows.y.shape[0])))
            for rows, start, count in zip(self._chunks, starts, self._counts, strict=False)
        ]
        return ArraySource(chunks, self._counts, self.aliased)

    def sample(self, n: int) -> ArraySource:
        """One row out of each of n stretches of equal length, at places that are the same every time.

        Of levels that then have few rows, more are added: what the rows are chosen by is a column of the design, so
        estimates from them stay unbiased.
        """
        edges = np.linspace(0, self.n_rows, n + 1)
        places = (edges[:-1] + np.random.default_rng(0).random(n) * np.diff(edges)).astype(np.int64)
        places = np.union1d(places, self._of_rare_levels(n / self.n_rows))
        starts = np.cumsum([0, *self._counts])
        parts = []
        for rows, start, stop in zip(self._chunks, starts[:-1], starts[1:], strict=True):
            wanted = places[slice(*np.searchsorted(places, (start, stop)))] - start
            parts.append(jax.tree.map(lambda a, at=wanted: on_host(a)[at], rows, is_leaf=is_leaf))
        whole = jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)
        return ArraySource([to_device(pad(whole, bucket(len(places))))], [len(places)])

    def _of_rare_levels(self, share: float) -> np.ndarray:
        """Places of the first rows of each level that has few among a share of all rows."""
        found = [np.empty(0, np.int64)]
        leaves = [jax.tree.leaves(rows.x, is_leaf=is_leaf) for rows in self._chunks]
        for pieces in zip(*leaves, strict=True):
            if is_leaf(pieces[0]) or pieces[0].dtype.kind != "i":
                continue
            codes = np.concatenate([np.asarray(a)[:m] for a, m in zip(pieces, self._counts, strict=True)])
            rare = np.bincount(codes) * share < ROWS_OF_A_LEVEL
            at = np.flatnonzero(rare[codes])
            few = codes[at].astype(np.int16) if len(rare) < 2**15 else codes[at]
            # Of numbers so short a stable sort is one by digits.
            by_level = at[np.argsort(few, kind="stable")]
            first = np.flatnonzero(np.diff(codes[by_level], prepend=-1))
            rank = np.arange(len(by_level)) - np.repeat(first, np.diff(first, append=len(by_level)))
            found.append(by_level[rank < ROWS_OF_A_LEVEL])
        return np.concatenate(found)


def _in_place(rows: Rows, size: int) -> Rows:
    """A chunk on the CPU whose design is read where it lies as far as possible, and the rest copied.

    Where rows are too few the design is followed by memory that has no values beyond the next block.
    """
    m = len(rows.y)

    def place(a):
        whole = m == size and a.dtype.kind == "f" and a.flags.c_contiguous and a.flags.aligned and a.size
        if not whole:
            ours = aligned_empty((size, *a.shape[1:]), np.int32 if a.dtype.kind == "i" else a.dtype)
            ours[:m] = a
            ours[m : m + LARGEST_BLOCK] = a[0]
            a = ours
        return jax.device_put(Window.of(a) if a.dtype.kind == "f" else a)

    return to_device(pad(rows._replace(x=()), size))._replace(x=jax.tree.map(place, rows.x))


def rechunk(blocks: Iterable[Rows], size: int) -> Iterator[Rows]:
    """Blocks of exactly `size` rows, and a last one with what is left."""
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
