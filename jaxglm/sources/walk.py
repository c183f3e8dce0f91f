"""How a state goes through chunks of rows batch by batch, in an order that a seed shuffles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.kernels import Model, Rows, Walk
from jaxglm.precision import Tiered
from jaxglm.sources.storage import plain
from jaxglm.sources.sums import FEW_ROWS

#: Chunks of a stream that are held so that their order can be shuffled.
HELD = 4
#: Chunks of a stream that wait for their turn.
AHEAD = 2


def walk_rows(
    walk: Walk, model: Model, frame: Any, state: Any, rows: Rows, order: jax.Array, count: jax.Array, size: int,
    across: Callable[[Any], Any] = lambda value: value,
) -> tuple[Any, jax.Array]:  # fmt: skip
    """Traceable: the state after the first `count` rows of a chunk of m, and what is kept of each batch (m / size,).

    Parameters
    ----------
    order : (m + size,) int, a permutation of the first `count` rows, and then anything
    size : most rows of a batch; batches are of equal length, or differ by one row
    across : sums over the devices that a batch lies on
    """
    whole, places = plain(rows), jnp.arange(size)
    n_steps = (count + size - 1) // size

    def turn(i, carry):
        state, kept = carry
        start, stop = i * count // n_steps, (i + 1) * count // n_steps
        at = jax.lax.dynamic_slice_in_dim(order, start, size)
        batch = jax.tree.map(lambda a: a[at], whole)
        batch = batch._replace(freq=jnp.where(places < stop - start, batch.freq, 0.0))
        sums = across(walk.map(model, frame, state, batch))
        state, value = walk.move(model, frame, state, sums, across(stop - start))
        return state, kept.at[i].set(value)

    return jax.lax.fori_loop(0, n_steps, turn, (state, jnp.zeros(most_steps(rows.y.shape[0], size))))


def most_steps(m: int, size: int) -> int:
    """Batches of `size` rows in a chunk of m."""
    return -(-m // size)


#: One chunk, in the memory of the state before it.
walk_chunk = Tiered(walk_rows, static_argnums=(0, 7), donate_argnums=3)


def walk_chunks(
    walk: Walk, model: Model, frame: Any, state: Any, chunks: Iterable[tuple[Rows, int]], size: int, seed: int,
    run: Callable | None = None, devices: int = 1,
) -> tuple[Any, np.ndarray]:  # fmt: skip
    """Go once through chunks with their counts of rows, of which the devices hold equal parts.

    Between chunks that are a list nothing waits for a value. Chunks of one length share a permutation of their rows;
    each pass has its own. A list is shuffled whole, other iterables among the few that are held.
    """
    rng = np.random.default_rng(seed)
    orders: dict[int, jax.Array] = {}
    kept = []
    size = max(size // devices, 1)
    for rows, count in _shuffled(chunks, rng):
        own, m = -(-count // devices), rows.y.shape[0] // devices
        if own not in orders:
            order = np.zeros(m + size, np.int32)
            order[:own] = rng.permutation(own)
            orders[own] = jax.device_put(order)
        here = run or (walk_chunk.quick if m <= FEW_ROWS else walk_chunk)
        state, values = here(walk, model, frame, state, rows, orders[own], np.int32(own), min(size, m))
        if not isinstance(chunks, list) and len(kept) >= AHEAD:
            # A stream is not read faster than it is walked, or its chunks would gather in memory.
            jax.block_until_ready(kept[-AHEAD][0])
        kept.append((values, most_steps(own, min(size, m))))
    return state, np.concatenate([np.asarray(values)[:n_steps] for values, n_steps in kept])


def _shuffled(chunks: Iterable[Any], rng: np.random.Generator) -> Iterator[Any]:
    if isinstance(chunks, list):
        yield from (chunks[i] for i in rng.permutation(len(chunks)))
        return
    held: list[Any] = []
    for chunk in chunks:
        held.append(chunk)
        if len(held) > HELD:
            yield held.pop(int(rng.integers(len(held))))
    yield from (held[i] for i in rng.permutation(len(held)))


def walk_dealt(mesh: Any, axis: str) -> Callable:
    """The same for chunks that are cut over the devices of a mesh: every device walks its own part of each batch."""
    return partial(_run_dealt, mesh, axis)


@partial(jax.jit, static_argnums=(0, 1, 2, 9), donate_argnums=5)
def _run_dealt(
    mesh: Any, axis: str, walk: Walk, model: Model, frame: Any, state: Any, rows: Rows, order: jax.Array,
    count: jax.Array, size: int,
) -> tuple[Any, jax.Array]:  # fmt: skip
    def local(model, frame, state, rows, order, count):
        return walk_rows(walk, model, frame, state, rows, order, count, size, lambda v: jax.lax.psum(v, axis))

    whole, cut = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec(axis)
    specs = (whole, whole, whole, cut, whole, whole)
    mapped = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=whole, check_vma=False)
    return mapped(model, frame, state, rows, order, count)
