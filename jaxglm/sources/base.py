"""How to sum a kernel over rows, whoever holds the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.hosts import ALONE, Hosts
from jaxglm.kernels import Kernel, Model, RowMap, Rows, Walk
from jaxglm.precision import Tiered, aligned_empty, host, in_threads, threads
from jaxglm.progress import begin_pass
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
_MANY_CHUNKS = 16
#: Bytes of design that a thread must have to sum, so that it does not take longer to start it.
_THREAD_BYTES = 2**19
#: Bytes of design that an inner block may take on a CPU, so that its temporaries stay in cache.
_BLOCK_BYTES = 2**17
#: Rows up to which compiling costs more than fast code saves.
FEW_ROWS = 2048
#: The same for rows that are much work.
_FEW_DEAR = 1024
#: Bytes of design up to which that is so: products of columns take most of the time where there are more of these.
_FEW_BYTES = 2**20
#: Rows up to which compiling in full costs more than fast code saves in dozens of fits.
_SOME_ROWS = 2**13
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
    if not 1 < count < _MANY_CHUNKS:
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


def _map_chunk(kernel: Kernel, model: Model, point: Any, rows: Rows) -> Any:
    """The kernel's value of one chunk, whose shapes are those of any block's."""
    return kernel.map(model, point, plain(rows))


def map_blocks(kernel: RowMap, model: Model, point: Any, rows: Rows) -> Any:
    """Traceable: row values of one chunk, a block at a time, so that temporaries stay in cache."""
    m, block = rows.y.shape[0], block_rows(model, rows)
    if block >= m:
        return kernel.map(model, point, plain(rows))
    parts = jax.lax.map(
        lambda i: kernel.map(model, point, _block(model, rows, i * block, block)), jnp.arange(m // block)
    )
    return jax.tree.map(lambda a: a.reshape(m, *a.shape[2:]), parts)


_whole = Tiered(reduce_rows, static_argnums=(0, 4))
_adding = Tiered(add_chunk, side_by_side=True, static_argnums=(0, 5), donate_argnums=6)
_map = Tiered(map_blocks, lean=True, side_by_side=True, static_argnums=0)
_finish_there = jax.jit(lambda kernel, model, value: kernel.finish(model, value), static_argnums=0)
_combine_there = jax.jit(lambda kernel, a, b: kernel.combine(a, b), static_argnums=0, donate_argnums=1)


def zero_of(kernel: Kernel, model: Model, point: Any, rows: Rows) -> Any:
    """The neutral element of a kernel's values."""
    return kernel.zero(_shape_of(kernel, model, point, rows))


def _shape_of(kernel: Kernel, model: Model, point: Any, rows: Rows) -> Any:
    """The shapes of a kernel's values, of which no pass makes another trace."""
    leaves, tree = jax.tree.flatten((model, point, rows))
    return _traced_shape(kernel, tree, tuple(map(_kind, leaves)), jax.config.jax_enable_x64)


def _kind(leaf: Any) -> tuple[tuple[int, ...], Any, bool]:
    """Shape and type of a leaf, and whether its type gives way to that of others, as that of a bare number does."""
    if not hasattr(leaf, "dtype"):
        return (), type(leaf), True
    return leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)


@lru_cache(maxsize=1024)
def _traced_shape(kernel: Kernel, tree: Any, kinds: tuple, _: bool) -> Any:
    like = [jax.ShapeDtypeStruct(shape, dtype, weak_type=weak) for shape, dtype, weak in kinds]
    return jax.eval_shape(partial(_map_chunk, kernel), *jax.tree.unflatten(tree, like))


def suited(function: Tiered, rows: Rows, n: int | None = None, dear: bool = False) -> Callable:
    """The version of a function of rows that is worth compiling where there are n rows in all, by default very many."""
    m = rows.y.shape[0]
    if m <= (_FEW_DEAR if dear else FEW_ROWS) and m * row_bytes(rows) <= _FEW_BYTES:
        return function.quick
    return function if n is None or n > _SOME_ROWS else function.lean


def _add(kernel: Kernel, model: Model, point: Any, rows: Rows, *more: Any, n: int | None = None) -> Any:
    """:func:`add_chunk` to a total, where there are n rows in all."""
    return suited(_adding, rows, n)(kernel, model, point, rows, *more)


def map_chunk(kernel: RowMap, model: Model, point: Any, rows: Rows) -> Any:
    """Row values of one chunk."""
    return suited(_map, rows, dear=kernel.dear)(kernel, model, point, rows)


def reduce_chunks(kernel: Kernel, model: Model, point: Any, chunks: list, repeats: bool = False) -> Any:
    """Combine over chunks and their counts of rows from the host, and finish.

    Dispatch is asynchronous, nothing waits for a value. On a CPU the chunks are dealt out to one thread a core:
    compiled code of such sizes keeps but one core busy. The sum does not depend on which thread is faster. Where rows
    are `repeats` there are many more rows of data.
    """
    held = sum(count for _, count in chunks)
    n = None if repeats else held
    done = begin_pass(held)
    if len(chunks) == 1:
        rows, count = chunks[0]
        total = suited(_whole, rows, n)(kernel, model, point, rows, block_rows(model, rows))
        done(count)
        return finish(kernel, model, [total])
    # Handed over once, not with every chunk; a CPU reads what is small where it lies, at a tenth of that cost.
    few = len(chunks) <= _MANY_CHUNKS and jax.default_backend() == "cpu"
    there = (model, point) if few else jax.device_put((model, point))
    count = min(len(chunks), workers(held, chunks[0][0]))
    if count == 1:
        return finish(kernel, model, [add_chunks(kernel, *there, chunks, done, n=n)])
    # Once, not in every thread: it is work for the interpreter, of which threads wait for each other.
    like = _shape_of(kernel, *there, chunks[0][0])
    jobs = [partial(add_chunks, kernel, *there, chunks[k::count], done, "end", like, n) for k in range(count)]
    return finish(kernel, model, in_threads(jobs))


def finish(kernel: Kernel, model: Model, totals: list[Any]) -> Any:
    """What a kernel gives, from the values of all threads; None of a thread that got no rows."""
    return _finish(kernel, model, reduce(partial(_combine, kernel), [t for t in totals if t is not None]))


def _finish(kernel: Kernel, model: Model, value: Any) -> Any:
    """What a kernel gives; where the device is the host by NumPy, since to compile it would take longer."""
    if jax.default_backend() != "cpu":
        return _finish_there(kernel, model, value)
    with np.errstate(all="ignore"):
        return kernel.finish(model, host(value))


def _combine(kernel: Kernel, a: Any, b: Any) -> Any:
    """The values of two threads together."""
    if jax.default_backend() != "cpu" or not kernel.additive:
        return _combine_there(kernel, a, b)
    return jax.tree.map(np.add, host(a), host(b))


def add_chunks(
    kernel: Kernel, model: Model, point: Any, chunks: Iterable[tuple[Rows, int]], done: Callable[[int], None],
    wait: str = "never", like: Any = None, n: int | None = None,
) -> Any:  # fmt: skip
    """The value of some chunks, not finished; None if there are none.

    `done` is told the rows of each. `wait` for the value at the "end", or after "each" chunk, whose memory is then
    free again. `like` has the shapes of the value, if they are known, `n` is how many rows there are in all.
    """
    total, length, block = None, 0, 0
    for rows, count in chunks:
        if total is None:
            total = zero_of(kernel, model, point, rows) if like is None else kernel.zero(like)
        if len(rows.y) != length:
            length, block = len(rows.y), block_rows(model, rows)
        total = _add(kernel, model, point, rows, np.int32(count), block, total, n=n)
        if wait == "each":
            jax.block_until_ready(total)
        done(count)
        del rows
    return jax.block_until_ready(total) if wait == "end" else total


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
