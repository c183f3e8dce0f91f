"""Chunks of rows that are read where they lie in the memory of the user."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import numpy as np

from jaxglm.kernels import Rows
from jaxglm.precision import aligned_empty
from jaxglm.sources.base import LARGEST_BLOCK, cut, stored_type
from jaxglm.sources.storage import Window

#: Rows of a chunk below which it takes longer to start than to sum.
_LEAST = 2**12


def shape_of(most: int, n: int, lanes: int) -> int:
    """Rows for which the chunks of n rows are compiled: at most so many, a power of two, two or more for each thread.

    How many of them count is another matter, so that new data sizes meet compiled code.
    """
    size = most
    while size > _LEAST and n < 2 * lanes * size:
        size //= 2
    return size


def edges_of(n: int, size: int, lanes: int) -> list[int]:
    """Where chunks of at most `size` of n > size rows begin that are read where they lie, and the end.

    As many for each thread, and of about one length. Each is whole blocks, however long these are, and rows up to
    `size` follow its start, so that nothing has to be filled up. What is left, less than such a block, is one more.
    """
    unit = min(size & -size, LARGEST_BLOCK)
    whole = n // unit
    # The last has `size` rows, those before it share the rest.
    before, count = whole - size // unit, -(-whole * unit // size)
    count = max(min(-(-count // lanes) * lanes - 1, before), 1)
    edges = [before * k // count * unit for k in range(count + 1)] + [whole * unit]
    return sorted({*edges, n})


def in_place(rows: Rows, size: int, starts: list[int]) -> list[Rows]:
    """Chunks of `size` rows whose design is read where it lies as far as possible, and the rest copied."""
    n, shifts = len(rows.y), {}
    # What is beside the design is copied at once; of it a chunk is a part that starts on a boundary.
    beside = jax.tree.map(partial(_copied, size=starts[-1] + size), rows._replace(x=(), freq=()))
    ones = jax.device_put(_copied(rows.freq[:size], size)) if rows.freq.strides == (0,) and n >= size else None

    def chunk(start: int) -> Rows:
        stop = min(start + size, n)
        freq = ones
        if ones is None or stop - start < size:
            freq = _copied(rows.freq[start:stop], size)
            freq[stop - start :] = 0.0
        x = jax.tree.map(lambda a: _window(a[start:stop], size, shifts), rows.x)
        return cut(beside, start, start + size)._replace(x=x, freq=freq)

    # All at once: a hundred transfers one by one take as long as a pass.
    return jax.device_put([chunk(start) for start in starts])


def _copied(a: np.ndarray, size: int) -> np.ndarray:
    """A copy in the type in which it is kept, filled up to `size` rows with the first one."""
    ours = aligned_empty((size, *a.shape[1:]), stored_type(a))
    ours[: len(a)], ours[len(a) :] = a, a[:1]
    return ours


def _window(a: np.ndarray, size: int, shifts: dict[int, jax.Array]) -> Window | np.ndarray:
    """A leaf of the design of a chunk of `size` rows, where it lies if it is as long.

    Where rows are too few they are followed by memory that has no values beyond the next block. `shifts` are those
    that other chunks have, on the device.
    """
    if not (len(a) == size and a.dtype.kind == "f" and a.flags.c_contiguous and a.flags.aligned and a.size):
        ours = aligned_empty((size, *a.shape[1:]), np.int32 if a.dtype.kind == "i" else a.dtype)
        ours[: len(a)] = a
        ours[len(a) : len(a) + LARGEST_BLOCK] = a[0]
        a = ours
    if a.dtype.kind != "f":
        return a
    window = Window.of(a)
    at = int(window.shift)
    if at not in shifts:
        shifts[at] = jax.device_put(window.shift)
    return replace(window, shift=shifts[at])
