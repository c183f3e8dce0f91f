"""How to sum a kernel over rows, whoever holds the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.kernels import Kernel, Model, RowMap, Rows
from jaxglm.precision import aligned_empty

#: Rows of a chunk, by platform: a chunk is one call of a compiled kernel.
CHUNK = {"cpu": 2**16}
_CHUNK_ELSEWHERE = 2**20
#: Bytes of design that an inner block may take on a CPU, so that its temporaries stay in cache.
_BLOCK_BYTES = 2**20


class Source(ABC):
    """Rows of data, and the two ways to use them; it knows no statistics."""

    #: Rows with weight zero that only fill a shape are never counted here.
    n_rows: int

    @abstractmethod
    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        """Combine the kernel's values over all rows; the result stays on the device."""

    @abstractmethod
    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        """The kernel's row values, one host pytree a chunk, in the order of the rows."""

    @abstractmethod
    def replace(self, change: Callable[[Rows], Rows]) -> Source:
        """A source of the same rows, changed by a function that keeps their number."""

    def map_rows(self, kernel: RowMap, model: Model, point: Any) -> Any:
        """The kernel's values of all rows as one host pytree."""
        return jax.tree.map(lambda *parts: np.concatenate(parts), *self.iterate(kernel, model, point))

    #: The rows as one device pytree where they are small enough for a loop on the device, else None.
    resident: Rows | None = None


def chunk_rows() -> int:
    """Rows of a full chunk on the default platform."""
    return CHUNK.get(jax.default_backend(), _CHUNK_ELSEWHERE)


def bucket(n: int) -> int:
    """Smallest allowed chunk length that holds n rows: 64 times 1, 1.5, 2, 3, 4, 6, 8, ... .

    New data sizes then meet compiled code; padding is a third of the rows at most.
    """
    size = 64
    while size < n:
        if size >= 8192 and size + size // 2 >= n:
            return size + size // 2
        size *= 2
    return size


def block_rows(model: Model, m: int) -> int:
    """Rows of an inner block: all of them on an accelerator, what stays in cache on a CPU."""
    if jax.default_backend() != "cpu":
        return m
    target = max(512, _BLOCK_BYTES // (8 * max(model.layout.n_coefficients, 8)))
    size = 512
    while size * 2 <= target and m % (size * 2) == 0:
        size *= 2
    return size if m > size and m % size == 0 else m


def reduce_rows(kernel: Kernel, model: Model, point: Any, rows: Rows, block: int) -> Any:
    """Traceable: combine over the rows, `block` rows at a time."""
    m = rows.y.shape[0]
    if block >= m:
        return kernel.map(model, point, rows)
    blocks = jax.tree.map(lambda a: a.reshape(m // block, block, *a.shape[1:]), rows)
    like = jax.eval_shape(lambda r: kernel.map(model, point, r), jax.tree.map(lambda a: a[0], blocks))

    def body(total, one):
        return kernel.combine(total, kernel.map(model, point, one)), None

    return jax.lax.scan(body, kernel.zero(like), blocks)[0]


@partial(jax.jit, static_argnames=("kernel",))
def _zero(kernel: Kernel, model: Model, point: Any, rows: Rows) -> Any:
    """The kernel's neutral element; compiled once a shape, so that no pass traces the kernel anew."""
    return kernel.zero(jax.eval_shape(kernel.map, model, point, rows))


@partial(jax.jit, static_argnames=("kernel", "block"))
def _add_chunk(kernel: Kernel, model: Model, point: Any, rows: Rows, block: int, total: Any) -> Any:
    """Value of one chunk combined with those before it."""
    return kernel.combine(total, reduce_rows(kernel, model, point, rows, block))


@partial(jax.jit, static_argnames=("kernel",))
def map_chunk(kernel: RowMap, model: Model, point: Any, rows: Rows) -> Any:
    """Row values of one chunk."""
    return kernel.map(model, point, rows)


def reduce_chunks(kernel: Kernel, model: Model, point: Any, chunks: Iterator[Rows]) -> Any:
    """Combine over chunks from the host; dispatch is asynchronous, nothing waits for a value."""
    total = None
    for rows in chunks:
        if total is None:
            total = _zero(kernel, model, point, rows)
        total = _add_chunk(kernel, model, point, rows, block_rows(model, rows.y.shape[0]), total)
    return total


def pad(rows: Rows, size: int) -> Rows:
    """Host rows filled up to `size` with copies of the first row that weigh nothing."""
    m = len(rows.y)
    if m == size:
        return rows

    def fill(a):
        return np.concatenate([a, np.broadcast_to(a[:1], (size - m, *a.shape[1:]))])

    padded = jax.tree.map(fill, rows)
    freq = padded.freq.copy()
    freq[m:] = 0.0
    return padded._replace(freq=freq)


def to_device(rows: Rows, owned: bool = False) -> Rows:
    """The rows on the default device, floats in double precision; the user's memory is never aliased.

    With `owned` matrices are known to be ours and may be taken without a copy.
    """

    def place(a):
        if a.ndim == 2:
            if not owned or a.dtype != np.float64:
                ours = aligned_empty(a.shape)
                ours[...] = a
                a = ours
            return jax.device_put(a)
        return jnp.array(a, dtype=np.int32 if a.dtype.kind == "i" else float, copy=True)

    return jax.tree.map(place, rows)


def cut(rows: Rows, start: int, stop: int) -> Rows:
    """The rows from start to stop."""
    return jax.tree.map(lambda a: a[start:stop], rows)
