"""How to sum a kernel over rows, whoever holds the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.hosts import ALONE, Hosts
from jaxglm.kernels import Kernel, Model, RowMap, Rows, Walk
from jaxglm.precision import aligned_empty, threads
from jaxglm.sources.storage import block_of, plain, row_bytes

#: Most rows of a chunk, by platform: a chunk is one call of a compiled kernel.
CHUNK = {"cpu": 2**15}
_CHUNK_ELSEWHERE = 2**20
#: Bytes of design that a chunk of wide rows may take on a CPU; every thread works on a chunk of its own.
_CHUNK_BYTES = 2**23
#: How many times as long chunks in memory are at most, since a call takes as long as a few thousand rows to start, and
#: how many each thread then still has.
_LONGER, _CHUNKS_OF_A_THREAD = 4, 3
#: Chunks of which so many are a few.
MANY_CHUNKS = 16
#: Bytes of design that a thread must have to sum, so that it does not take longer to start it.
_THREAD_BYTES = 2**19
#: Bytes of design that an inner block may take on a CPU, so that its temporaries stay in cache.
_BLOCK_BYTES = 2**17
#: Fewest and most rows of such a block.
_SMALLEST_BLOCK, LARGEST_BLOCK = 512, 2**14
#: Sums over pairs of levels that may be added up for one row of data.
_PAIRS_PER_ROW = 4


class Source(ABC):
    """Rows of data, and the ways to use them; it knows no statistics."""

    #: Rows with weight zero that only fill a shape are never counted here.
    n_rows: int

    @abstractmethod
    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        """Combine the kernel's values over all rows; the result stays on the device."""

    @abstractmethod
    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        """The kernel's row values, one host pytree a chunk, in the order of the rows."""

    @abstractmethod
    def walk(self, walk: Walk, model: Model, frame: Any, state: Any, size: int, seed: int) -> tuple[Any, np.ndarray]:
        """Take a state through all rows once, in batches of at most `size` rows in an order that the seed shuffles.

        Gives the state after the last batch, which stays on the device, and what was kept of each batch. The memory
        of the given state is used again.
        """

    @abstractmethod
    def replace(self, change: Callable[[Rows], Rows]) -> Source:
        """A source of the same rows, changed by a function that keeps their number."""

    @abstractmethod
    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> Source:
        """A source of the same rows, changed by a function that also takes their part of values of the host (n, ...).

        `values` is an array or a pytree of arrays.
        """

    def map_rows(self, kernel: RowMap, model: Model, point: Any) -> Any:
        """The kernel's values of all rows as one host pytree."""
        return jax.tree.map(lambda *parts: np.concatenate(parts), *self.iterate(kernel, model, point))

    def sample(self, n: int) -> Source | None:
        """About n rows spread over all of them, in memory; None where that does not pay.

        Where rows are read anew, it is a pass.
        """
        return None

    def condensed(self, model: Model) -> tuple[Source, Model]:
        """A source and a model that give the same sums for less work; these very two where there are none."""
        return self, model

    def pooled(self, model: Model) -> Source:
        """A source of fewer rows with the same sums of the model's `nll` and its derivatives; itself where none is."""
        return self

    @property
    def own(self) -> Source:
        """The rows of this process, where others hold further ones; else all."""
        return self

    #: The processes that hold rows of it; those make every pass together.
    hosts: Hosts = ALONE
    #: Rows of the processes before this one.
    n_before: int = 0

    #: Whether some of the memory that is read belongs to the user, who may change it.
    aliased: bool = False

    #: Whether rows are read anew at every pass, which then takes about as long whatever is computed in it.
    read_anew: bool = False
    #: Whether a row stands for as many rows of the data as its `freq` says.
    repeats: bool = False

    @property
    def sums_on_host(self) -> bool:
        """Whether passes are driven from the host over rows in memory, so that one without X'WX saves most of it."""
        return not self.read_anew and jax.default_backend() == "cpu"

    #: The rows as one device pytree where they are small enough for a loop on the device, else None.
    resident: Rows | None = None


def chunk_rows(width: int = 0, n: int = 0) -> int:
    """Rows of a full chunk on the default platform, for rows of so many bytes, of which there are n in memory."""
    if jax.default_backend() != "cpu":
        return CHUNK.get(jax.default_backend(), _CHUNK_ELSEWHERE)

    def at_most(times: int) -> int:
        size = times * CHUNK["cpu"]
        while size > 512 and width * size > times * _CHUNK_BYTES:
            size //= 2
        return size

    times = 1
    while times < _LONGER and n >= _CHUNKS_OF_A_THREAD * threads() * at_most(2 * times):
        times *= 2
    return at_most(times)


def workers(n: int, rows: Rows) -> int:
    """Threads that it pays to start for sums over n rows such as these."""
    return max(min(threads(), n * row_bytes(rows) // _THREAD_BYTES), 1)


def even_rows(size: int, n: int, lanes: int) -> int:
    """Rows of a chunk of at most `size`, for n rows in a few chunks of about one length, as many for each thread.

    Multiples of an eighth of the most, so that new data sizes meet compiled code.
    """
    count, step = -(-n // size), max(size // 8, 512)
    if not 1 < count < MANY_CHUNKS:
        return size
    return min(size, -(-n // (-(-count // lanes) * lanes * step)) * step)


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


def block_rows(model: Model, rows: Rows) -> int:
    """Rows of an inner block: all of them on an accelerator, what stays in cache on a CPU.

    Models of factors with many levels take more, since a block also adds up sums for all pairs of levels.
    """
    m = rows.y.shape[0]
    if m <= _SMALLEST_BLOCK or jax.default_backend() != "cpu":
        return m
    target = max(_BLOCK_BYTES // max(row_bytes(rows), 16), model.layout.n_sums // _PAIRS_PER_ROW)
    size = _SMALLEST_BLOCK
    while size * 2 <= min(target, LARGEST_BLOCK) and m % (size * 2) == 0:
        size *= 2
    return size if m > size and m % size == 0 else m


def reduce_rows(
    kernel: Kernel, model: Model, point: Any, rows: Rows, block: int, count: jax.Array | int | None = None,
    total: Any = None,
) -> Any:  # fmt: skip
    """Traceable: combine over the first `count` rows (all by default), `block` rows at a time; not finished.

    A `total` of earlier rows is where it starts, by default the neutral element.
    """
    m = rows.y.shape[0]
    if block >= m:
        whole = plain(rows)
        return kernel.map(model, point, whole) if total is None else kernel.accumulate(total, model, point, whole)
    if total is None:
        total = kernel.zero(jax.eval_shape(lambda r: kernel.map(model, point, _block(model, r, 0, block)), rows))

    def body(i, total):
        return kernel.accumulate(total, model, point, _block(model, rows, i * block, block))

    n_blocks = m // block if count is None else (count + block - 1) // block
    return jax.lax.fori_loop(0, n_blocks, body, total)


def _block(model: Model, rows: Rows, start: jax.Array | int, size: int) -> Rows:
    """A block of rows as plain arrays, traceable, laid out for many readings."""
    block = block_of(rows, start, size)
    return block._replace(x=model.laid(block.x))


def add_chunk(kernel: Kernel, model: Model, point: Any, rows: Rows, count: jax.Array, block: int, total: Any) -> Any:
    """Traceable: value of one chunk combined with those before it."""
    if kernel.scatters:
        return reduce_rows(kernel, model, point, rows, block, count, total)
    return kernel.combine(total, reduce_rows(kernel, model, point, rows, block, count))


def map_blocks(kernel: RowMap, model: Model, point: Any, rows: Rows) -> Any:
    """Traceable: row values of one chunk, a block at a time, so that temporaries stay in cache."""
    m, block = rows.y.shape[0], block_rows(model, rows)
    if block >= m:
        return kernel.map(model, point, plain(rows))
    parts = jax.lax.map(
        lambda i: kernel.map(model, point, _block(model, rows, i * block, block)), jnp.arange(m // block)
    )
    return jax.tree.map(lambda a: a.reshape(m, *a.shape[2:]), parts)


def pad(rows: Rows, size: int) -> Rows:
    """Host rows filled up to `size` with copies of the first row that weigh nothing."""
    m = len(rows.y)
    if m == size:
        return rows
    padded = filled(rows, size)
    freq = padded.freq.copy()
    freq[m:] = 0.0
    return padded._replace(freq=freq)


def filled(values: Any, size: int) -> Any:
    """Host arrays of rows, filled up to `size` rows with the first one."""
    return jax.tree.map(lambda a: np.concatenate([a, np.broadcast_to(a[:1], (size - len(a), *a.shape[1:]))]), values)


def stored_type(a: np.ndarray) -> type:
    """In which type an array is kept: codes as int32, float32 as it is, other numbers in working precision."""
    if a.dtype.kind == "i":
        return np.int32
    return np.float32 if a.dtype == np.float32 else float


def stored(rows: Any) -> Any:
    """Copies of host arrays in the types in which they are kept, where a CPU takes them without another copy."""

    def copy(a):
        # Converted by NumPy: JAX would compile a program for it.
        ours = aligned_empty(a.shape, stored_type(a))
        ours[...] = a
        return ours

    return jax.tree.map(copy, rows)


def to_device(rows: Any) -> Any:
    """The rows on the default device; the user's memory is never aliased."""
    return jax.device_put(stored(rows))


def cut(rows: Rows, start: int, stop: int) -> Rows:
    """The rows from start to stop."""
    return jax.tree.map(lambda a: a[start:stop], rows)
