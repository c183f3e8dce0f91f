"""Blocks of rows of any length, laid into chunks of one shape on the device."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxglm.kernels import Rows
from jaxglm.precision import aligned_empty
from jaxglm.sources.base import chunk_rows, stored_type
from jaxglm.sources.storage import ALIGNMENT, row_bytes

#: Rows of which chunks that are not copied are multiples.
_STEP = 2**10


class Chunk(NamedTuple):
    """Rows for the device, filled up to the common shape with copies of the first one that weigh nothing.

    Attributes
    ----------
    rows : Rows
    count : int
        Rows of the data among them; they come first.
    buffers : arrays of the host that the rows may lie in, by leaf
    """

    rows: Rows
    count: int
    buffers: dict[int, np.ndarray]


class Packer:
    """Lays the blocks of a pass into chunks, in the order of the rows, in memory that is used again.

    On a CPU long stretches of arrays that nobody can write to are not copied if they start where the device can read
    them; so that they do, what is left of a block is then a chunk of its own.

    Parameters
    ----------
    size : int
        Rows of a chunk, at most; twice as many if nothing of them is copied.
    fixed : bool
        Whether they are as many however wide the rows are.
    placed : bool
        Whether chunks are on the device. Else they are arrays of the host where the device is a CPU: a compiled
        function reads those in place too, and to take 20 columns costs it a tenth of what placing each one does.
    """

    def __init__(self, size: int, fixed: bool = True, placed: bool = True):
        self.size, self._fixed = size, fixed
        self._in_place = jax.default_backend() == "cpu"
        self._puts = placed or not self._in_place
        self._free: dict[int, deque[np.ndarray]] = defaultdict(deque)
        self._ones: jax.Array | None = None

    def chunks(self, blocks: Iterator[Rows]) -> Iterator[Chunk]:
        """The chunks of a pass."""
        buffers: dict[int, np.ndarray] = {}
        held = 0
        for block in blocks:
            leaves, structure = _leaves(block)
            stay = [self._in_place and _taken(a) for a in leaves]
            if not self._fixed:
                self.size, self._fixed = min(self.size, chunk_rows(row_bytes(block))), True
                if all(there or self._in_place and _single(a) for there, a in zip(stay, leaves, strict=True)):
                    self.size = _in_place_rows(self.size, len(block.y))
            m, start = len(block.y), 0
            if held and m >= self.size and any(stay):
                yield self._padded(buffers, held, structure)
                buffers, held = {}, 0
            while start < m:
                if not held and m - start >= self.size:
                    yield self._whole(leaves, stay, structure, start)
                    start += self.size
                    continue
                stop = min(start + self.size - held, m)
                for k, leaf in enumerate(leaves):
                    if not held:
                        buffers[k] = self._buffer(k, leaf)
                    buffers[k][held : held + stop - start] = leaf[start:stop]
                held, start = held + stop - start, stop
                if held == self.size:
                    yield self._placed(list(buffers.values()), structure, held, buffers)
                    buffers, held = {}, 0
            # Neither the block nor views of it are kept while the next one is read.
            del block, leaves
        if held:
            yield self._padded(buffers, held, structure)

    def given_back(self, chunks: Iterator[Chunk], in_flight: int) -> Iterator[tuple[Rows, int]]:
        """Rows and counts of chunks; when another one is asked for, all but so many of them have been read."""
        held: deque[dict[int, np.ndarray]] = deque()
        for chunk in chunks:
            yield chunk.rows, chunk.count
            held.append(chunk.buffers)
            if len(held) > in_flight:
                for k, buffer in held.popleft().items():
                    self._free[k].append(buffer)
            # What lies in the memory of a block lets it go, so that the next one comes into the same.
            del chunk

    def _buffer(self, k: int, leaf: np.ndarray) -> np.ndarray:
        """Memory for a chunk of a leaf."""
        try:
            return self._free[k].pop()
        except IndexError:
            return aligned_empty((self.size, *leaf.shape[1:]), stored_type(leaf))

    def _whole(self, leaves: list[np.ndarray], stay: list[bool], structure: Any, start: int) -> Chunk:
        """A chunk out of one block, of whose leaves some `stay` where they lie if the device can read them there."""
        buffers, made = {}, []
        for k, leaf in enumerate(leaves):
            part = leaf[start : start + self.size]
            if stay[k] and not start * leaf.strides[0] % ALIGNMENT:
                made.append(part)
                continue
            if _single(leaf) and leaf[0] == 1.0:
                made.append(self._all_ones(leaf))
                continue
            buffers[k] = self._buffer(k, leaf)
            buffers[k][...] = part
            made.append(buffers[k])
        return self._placed(made, structure, self.size, buffers)

    def _all_ones(self, leaf: np.ndarray) -> jax.Array:
        if self._ones is None:
            ones = aligned_empty((self.size,), stored_type(leaf))
            ones[...] = 1.0
            self._ones = jax.device_put(ones)
        return self._ones

    def _padded(self, buffers: dict[int, np.ndarray], count: int, structure: Any) -> Chunk:
        for buffer in buffers.values():
            buffer[count:] = buffer[0]
        jax.tree.unflatten(structure, list(buffers.values())).freq[count:] = 0.0
        return self._placed(list(buffers.values()), structure, count, buffers)

    def _placed(self, leaves: list[Any], structure: Any, count: int, buffers: dict[int, np.ndarray]) -> Chunk:
        rows = jax.tree.unflatten(structure, leaves)
        return Chunk(jax.device_put(rows) if self._puts else rows, count, buffers)


def _leaves(block: Rows) -> tuple[list[np.ndarray], Any]:
    leaves, structure = jax.tree.flatten(block)
    return [np.asarray(leaf) for leaf in leaves], structure


def _in_place_rows(size: int, m: int) -> int:
    """Rows of chunks out of blocks of m, where others would have `size`.

    They take no memory here, and to start a call takes as long as some thousand rows: up to twice as many, so that none
    of a block is left to be copied.
    """
    if m < 2 * size:
        return size
    parts = -(-m // (2 * size))
    return 2 * size if m % (parts * _STEP) else m // parts


def _single(a: np.ndarray) -> bool:
    """Whether an array is one value that stands for all rows."""
    return a.strides == (0,)


def _taken(a: np.ndarray) -> bool:
    """Whether an array is not copied."""
    return _readable(a) and _lasting(a)


def _readable(a: np.ndarray) -> bool:
    """Whether a device that is a CPU can read the array where it lies."""
    return a.flags.c_contiguous and a.dtype == stored_type(a) and not a.ctypes.data % ALIGNMENT


def _lasting(a: np.ndarray) -> bool:
    """Whether nobody will write to the memory of an array: NumPy must not, and does not own it."""
    if a.flags.writeable:
        return False
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a.base is not None and not a.flags.writeable
