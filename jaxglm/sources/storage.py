"""How the rows of a chunk lie in memory, and how a block of them is taken.

Most leaves are arrays with the rows first. A :class:`Window` stands for such an array without being one, so that a
user's memory can be read where it lies, wherever it starts.
"""

from __future__ import annotations

import ctypes
from typing import Any

import jax
import numpy as np

from jaxglm.kernels import Rows
from jaxglm.tree import pytree, static

#: Bytes on whose multiples a buffer must start for JAX on a CPU to take it without a copy.
ALIGNMENT = 64


@pytree
class Window:
    """Rows of an array that starts `shift` entries after an aligned address.

    Attributes
    ----------
    flat : (at least shift + n_rows * width,) entries in the order of C
    shift : int scalar
    n_rows : int
    width : int or None
        Columns of a row; None for an array of one dimension.
    """

    flat: jax.Array
    shift: jax.Array
    n_rows: int = static()
    width: int | None = static()

    @classmethod
    def of(cls, a: np.ndarray) -> Window:
        """On a contiguous array, without a copy; it is kept alive, and must stay as it is."""
        width = None if a.ndim == 1 else a.shape[1]
        shift = a.ctypes.data % ALIGNMENT // a.itemsize
        # Up to the next multiple of the alignment on both sides, which is memory of the same page.
        size = -(-(shift + a.size) * a.itemsize // ALIGNMENT) * ALIGNMENT // a.itemsize
        start = a.ctypes.data - shift * a.itemsize
        memory = (ctypes.c_char * (size * a.itemsize)).from_address(start)
        memory.owner = a
        flat = np.frombuffer(memory, a.dtype)
        return cls(flat, np.int32(shift), n_rows=a.shape[0], width=width)

    def block(self, start: jax.Array | int, size: int) -> jax.Array:
        """Rows from `start` on, traceable."""
        width = 1 if self.width is None else self.width
        part = jax.lax.dynamic_slice_in_dim(self.flat, self.shift + start * width, size * width)
        return part if self.width is None else part.reshape(size, width)


def is_leaf(a: Any) -> bool:
    """Whether a node of rows stands for an array."""
    return isinstance(a, Window)


def block_of(rows: Rows, start: jax.Array | int, size: int) -> Rows:
    """A block of rows as plain arrays, traceable."""

    def block(a):
        return a.block(start, size) if is_leaf(a) else jax.lax.dynamic_slice_in_dim(a, start, size)

    return jax.tree.map(block, rows, is_leaf=is_leaf)


def on_host(a: Any) -> np.ndarray:
    """A leaf as a NumPy array, on a CPU without a copy."""
    if not is_leaf(a):
        return np.asarray(a)
    shift, width = int(a.shift), 1 if a.width is None else a.width
    part = np.asarray(a.flat)[shift : shift + a.n_rows * width]
    return part if a.width is None else part.reshape(a.n_rows, width)


def plain(rows: Rows) -> Rows:
    """The rows as plain arrays, traceable."""
    return jax.tree.map(lambda a: a.block(0, a.n_rows) if is_leaf(a) else a, rows, is_leaf=is_leaf)


def row_bytes(rows: Rows) -> int:
    """Bytes of a row of the design in working precision, codes as they are."""
    total = 0
    for a in jax.tree.leaves(rows.x, is_leaf=is_leaf):
        width = (a.width or 1) if is_leaf(a) else int(np.prod(a.shape[1:]))
        whole = not is_leaf(a) and np.issubdtype(a.dtype, np.integer)
        total += (4 if whole else 8) * width
    return total
