"""Sums over chunks of rows, driven from the host."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache, partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.kernels import Kernel, Model, RowMap, Rows
from jaxglm.precision import Tiered, host, in_threads
from jaxglm.progress import begin_pass
from jaxglm.sources.base import MANY_CHUNKS, add_chunk, block_rows, map_blocks, reduce_rows, workers
from jaxglm.sources.storage import plain, row_bytes

#: Chunks that are read on while a device computes with those before: those of two pieces of a file.
IN_FLIGHT = 4
#: Rows up to which compiling costs more than fast code saves.
FEW_ROWS = 2048
#: The same for rows that are much work.
_FEW_DEAR = 1024
#: Bytes of design up to which that is so: products of columns take most of the time where there are more of these.
_FEW_BYTES = 2**20
#: Rows up to which compiling in full costs more than fast code saves in dozens of fits.
_SOME_ROWS = 2**13


def _marked(kernel: Kernel, model: Model, point: Any, rows: Rows, count: jax.Array, block: int, total: Any) -> Any:
    """Traceable: a total with one more chunk, and a number that is there when the chunk has been read.

    The memory of the total is given on with the next chunk, so that nobody can wait for it.
    """
    return add_chunk(kernel, model, point, rows, count, block, total), jnp.zeros((), bool)


_whole = Tiered(reduce_rows, static_argnums=(0, 4))
_adding = Tiered(_marked, side_by_side=True, static_argnums=(0, 5), donate_argnums=6)
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


def _map_chunk(kernel: Kernel, model: Model, point: Any, rows: Rows) -> Any:
    """The kernel's value of one chunk, whose shapes are those of any block's."""
    return kernel.map(model, point, plain(rows))


def suited(function: Tiered, rows: Rows, n: int | None = None, dear: bool = False) -> Callable:
    """The version of a function of rows that is worth compiling where there are n rows in all, by default very many."""
    m = rows.y.shape[0]
    if m <= (_FEW_DEAR if dear else FEW_ROWS) and m * row_bytes(rows) <= _FEW_BYTES:
        return function.quick
    return function if n is None or n > _SOME_ROWS else function.lean


def _add(kernel: Kernel, model: Model, point: Any, rows: Rows, *more: Any, n: int | None = None) -> Any:
    """:func:`_marked` of a chunk, where there are n rows in all."""
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
    few = len(chunks) <= MANY_CHUNKS and jax.default_backend() == "cpu"
    there = (model, point) if few else jax.device_put((model, point))
    count = min(len(chunks), workers(held, chunks[0][0]))
    if count == 1:
        return finish(kernel, model, [add_chunks(kernel, *there, chunks, done, n=n)])
    # Once, not in every thread: it is work for the interpreter, of which threads wait for each other.
    like = _shape_of(kernel, *there, chunks[0][0])
    jobs = [partial(add_chunks, kernel, *there, own, done, len(chunks), like, n) for own in _dealt_out(chunks, count)]
    return finish(kernel, model, in_threads(jobs))


def _dealt_out(chunks: list, lanes: int) -> list[list]:
    """The chunks of each thread, so that all have about as many rows: the longest first, each to who has the fewest."""
    dealt, rows = [[] for _ in range(lanes)], [0] * lanes
    for chunk in sorted(chunks, key=lambda chunk: -chunk[1]):
        k = rows.index(min(rows))
        dealt[k].append(chunk)
        rows[k] += chunk[1]
    return dealt


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
    in_flight: int | None = None, like: Any = None, n: int | None = None,
) -> Any:  # fmt: skip
    """The value of some chunks, not finished; None if there are none.

    `done` is told the rows of each. Another chunk is not asked for before all but `in_flight` of them have been read,
    whose memory is then free again, and at the end all are waited for; None for no waiting at all. `like` has the
    shapes of the value, if they are known, `n` is how many rows there are in all.
    """
    total, length, block, marks = None, 0, 0, deque()
    for rows, count in chunks:
        if total is None:
            total = zero_of(kernel, model, point, rows) if like is None else kernel.zero(like)
        if len(rows.y) != length:
            length, block = len(rows.y), block_rows(model, rows)
        total, mark = _add(kernel, model, point, rows, np.int32(count), block, total, n=n)
        if in_flight is not None:
            marks.append(mark)
            if len(marks) > in_flight:
                jax.block_until_ready(marks.popleft())
        done(count)
        del rows
    return total if in_flight is None else jax.block_until_ready(total)
