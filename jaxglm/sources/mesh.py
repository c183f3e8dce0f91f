"""Rows sharded over the devices of this process."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxglm.kernels import Kernel, Model, RowMap, Rows, Walk
from jaxglm.precision import Tiered, aligned_empty, host
from jaxglm.progress import begin_pass
from jaxglm.sources.arrays import ArraySource
from jaxglm.sources.base import (
    Source,
    add_chunk,
    block_rows,
    bucket,
    chunk_rows,
    cut,
    map_blocks,
    reduce_rows,
    stored_type,
)
from jaxglm.sources.prefetch import Prefetch
from jaxglm.sources.storage import row_bytes
from jaxglm.sources.sums import _finish, suited, zero_of
from jaxglm.sources.walk import walk_chunks, walk_dealt

AXIS = "rows"
_CUT, _WHOLE = PartitionSpec(AXIS), PartitionSpec()


class _Sharded(Source):
    """Chunks of rows that are cut over devices.

    Every device adds up its own part of each chunk; what the devices found comes together once a pass, by one
    collective. A chunk has as many rows a device as one of a single device has.
    """

    def __init__(self, mesh: Mesh, n_rows: int, share: int):
        self._mesh, self.n_rows, self._share = mesh, n_rows, share

    @abstractmethod
    def _chunks(self) -> Iterable[tuple[Rows, int]]:
        """Chunks as :func:`_dealt` places them, and their counts of rows."""

    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        return _reduce(kernel, self._mesh, model, point, self._told(self._chunks()), self.n_rows)

    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        size = self._mesh.size
        for rows, count in self._chunks():
            made = host(suited(_map, rows, self.n_rows, kernel.dear)(kernel, self._mesh, model, point, rows))
            yield jax.tree.map(lambda a, count=count: _together(a, size, count), made)

    def walk(self, walk: Walk, model: Model, frame: Any, state: Any, size: int, seed: int) -> tuple[Any, np.ndarray]:
        run = walk_dealt(self._mesh, AXIS)
        chunks = self._told(self._chunks())
        return walk_chunks(walk, model, frame, state, chunks, size, seed, run, self._mesh.size)

    def _told(self, chunks: Iterable[tuple[Rows, int]]) -> Iterable[tuple[Rows, int]]:
        """The chunks of a pass, which is reported; a list as it is, since nothing waits between its chunks."""
        done = begin_pass(self.n_rows)
        if isinstance(chunks, list):
            done(self.n_rows)
            return chunks
        return _counted(chunks, done)


class MeshSource(_Sharded):
    """Rows in the memory of several devices; all of them are copied there.

    Parameters
    ----------
    chunks : list of Rows
        Sharded arrays, of the same number of rows on each device.
    counts : list of int
        How many rows each chunk has besides padding.
    mesh : Mesh
        Of one axis, called "rows".
    """

    def __init__(self, chunks: list[Rows], counts: list[int], mesh: Mesh):
        super().__init__(mesh, sum(counts), chunks[0].y.shape[0] // mesh.size)
        self._held, self._counts = chunks, counts

    @classmethod
    def from_rows(cls, rows: Rows, devices: Sequence[jax.Device]) -> MeshSource:
        """From one block of host arrays."""
        n, mesh = len(rows.y), Mesh(np.asarray(devices), (AXIS,))
        share = min(chunk_rows(row_bytes(rows)), bucket(-(-n // mesh.size)))
        step = share * mesh.size
        parts = [cut(rows, start, min(start + step, n)) for start in range(0, n, step)] or [rows]
        return cls([_dealt_rows(part, share, mesh) for part in parts], [len(part.y) for part in parts], mesh)

    def _chunks(self) -> list[tuple[Rows, int]]:
        return list(zip(self._held, self._counts, strict=True))

    def replace(self, change: Callable[[Rows], Rows]) -> MeshSource:
        return MeshSource([change(rows) for rows in self._held], self._counts, self._mesh)

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> MeshSource:
        starts = np.cumsum([0, *self._counts])
        chunks = [
            change(rows, _dealt(cut(values, start, start + count), count, self._share, self._mesh))
            for rows, start, count in zip(self._held, starts, self._counts, strict=False)
        ]
        return MeshSource(chunks, self._counts, self._mesh)

    def sample(self, n: int) -> ArraySource:
        """As from rows in one memory; the sample is on the default device."""
        pieces, counts = [], []
        for rows, count in self._chunks():
            own = -(-count // self._mesh.size)
            for k, device in enumerate(self._mesh.devices.flat):
                pieces.append(jax.tree.map(lambda a, device=device: _part_on(device, a), rows))
                counts.append(int(np.clip(count - k * own, 0, own)))
        return ArraySource(pieces, counts).sample(n)


class MeshStream(_Sharded):
    """Rows that come again at every pass, read ahead in a thread, cut over devices as they come.

    Parameters
    ----------
    blocks : callable () -> iterator of Rows
        As :class:`StreamSource` takes them.
    n_rows : int
    devices : sequence of jax.Device
    chunk : int, optional
        Rows of a chunk on each device.
    """

    read_anew = True

    def __init__(
        self, blocks: Callable[[], Iterator[Rows]], n_rows: int, devices: Sequence[jax.Device], chunk: int | None = None
    ):
        mesh = Mesh(np.asarray(devices), (AXIS,))
        super().__init__(mesh, n_rows, min(chunk or chunk_rows(), bucket(-(-n_rows // mesh.size))))
        self._blocks = blocks

    def _chunks(self) -> Iterator[tuple[Rows, int]]:
        with Prefetch(self._made) as made:
            yield from made.lane()

    def _made(self) -> Iterator[tuple[Rows, int]]:
        for block in _rechunk(self._blocks(), self._share * self._mesh.size):
            yield _dealt_rows(block, self._share, self._mesh), len(block.y)

    def _of(self, blocks: Callable[[], Iterator[Rows]]) -> MeshStream:
        return MeshStream(blocks, self.n_rows, self._mesh.devices, self._share)

    def replace(self, change: Callable[[Rows], Rows]) -> MeshStream:
        return self._of(lambda: map(change, self._blocks()))

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> MeshStream:
        def blocks() -> Iterator[Rows]:
            start = 0
            for block in self._blocks():
                stop = start + len(block.y)
                yield change(block, cut(values, start, stop))
                start = stop

        return self._of(blocks)


def _rechunk(blocks: Iterable[Rows], size: int) -> Iterator[Rows]:
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


def _counted(chunks: Iterable[tuple[Rows, int]], done: Callable[[int], None]) -> Iterator[tuple[Rows, int]]:
    for rows, count in chunks:
        yield rows, count
        done(count)


def _dealt_rows(rows: Rows, share: int, mesh: Mesh) -> Rows:
    """Host rows cut over the devices; those that fill a device up weigh nothing."""
    count = len(rows.y)
    freq = _dealt(rows.freq, count, share, mesh, filler=0.0)
    return _dealt(rows._replace(freq=()), count, share, mesh)._replace(freq=freq)


def _dealt(values: Any, count: int, share: int, mesh: Mesh, filler: float | None = None) -> Any:
    """Host arrays of `count` rows dealt out evenly, the first rows to the first device, in room for `share` rows each.

    What is left of the room holds the first row again, or a filler.
    """
    own = -(-count // mesh.size)
    sharding = NamedSharding(mesh, _CUT)

    def place(a):
        pieces = []
        for k, device in enumerate(mesh.devices.flat):
            part = a[k * own : (k + 1) * own]
            ours = aligned_empty((share, *a.shape[1:]), stored_type(a))
            ours[: len(part)] = part
            ours[len(part) :] = a[0] if filler is None else filler
            pieces.append(jax.device_put(ours, device))
        shape = (share * mesh.size, *a.shape[1:])
        return jax.make_array_from_single_device_arrays(shape, sharding, pieces)

    return jax.tree.map(place, values)


def _together(a: np.ndarray, size: int, count: int) -> np.ndarray:
    """Values of dealt rows in the order of the rows, without those of padding."""
    apart = a.reshape(size, -1, *a.shape[1:])[:, : -(-count // size)]
    return apart.reshape(-1, *a.shape[1:])[:count]


def _part_on(device: jax.Device, a: jax.Array) -> jax.Array:
    """What a device holds of a sharded array."""
    return next(shard.data for shard in a.addressable_shards if shard.device == device)


def _reduce(kernel: Kernel, mesh: Mesh, model: Model, point: Any, chunks: Iterable[tuple[Rows, int]], n: int) -> Any:
    if isinstance(chunks, list) and len(chunks) == 1:
        rows, count = chunks[0]
        own = np.int32(-(-count // mesh.size))
        return _finish(kernel, model, suited(_whole, rows, n)(kernel, mesh, model, point, rows, own))
    total = None
    for rows, count in chunks:
        if total is None:
            total = _zeros(zero_of(kernel, model, point, rows), mesh)
        own = np.int32(-(-count // mesh.size))
        total = suited(_add, rows, n)(kernel, mesh, model, point, rows, own, total)
    # It has no loops that better code would make faster.
    return _finish(kernel, model, _close.quick(kernel, mesh, total))


def _zeros(zero: Any, mesh: Mesh) -> Any:
    """The neutral element on every device."""
    sharding = NamedSharding(mesh, _CUT)
    return jax.tree.map(
        lambda a: jax.device_put(np.broadcast_to(np.asarray(a), (mesh.size, *np.shape(a))), sharding), zero
    )


def _across(kernel: Kernel, mesh: Mesh, value: Any) -> Any:
    """Traceable, on a device: the values of all devices together."""
    if kernel.additive:
        return jax.lax.psum(value, AXIS)
    gathered = jax.lax.all_gather(value, AXIS)
    return reduce(kernel.combine, [jax.tree.map(lambda a, i=i: a[i], gathered) for i in range(mesh.size)])


def _on_mesh(function: Callable, mesh: Mesh, in_specs: tuple, out_specs: Any) -> Callable:
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def _reduce_whole(kernel: Kernel, mesh: Mesh, model: Model, point: Any, rows: Rows, own: jax.Array) -> Any:
    """Value of one chunk that holds all rows."""

    def local(model, point, rows, own):
        return _across(kernel, mesh, reduce_rows(kernel, model, point, rows, block_rows(model, rows), own))

    return _on_mesh(local, mesh, (_WHOLE, _WHOLE, _CUT, _WHOLE), _WHOLE)(model, point, rows, own)


def _add_dealt(kernel: Kernel, mesh: Mesh, model: Model, point: Any, rows: Rows, own: jax.Array, total: Any) -> Any:
    """The sums of every device with its part of one more chunk; no device waits for another."""

    def local(model, point, rows, own, total):
        mine = jax.tree.map(lambda a: a[0], total)
        made = add_chunk(kernel, model, point, rows, own, block_rows(model, rows), mine)
        return jax.tree.map(lambda a: a[None], made)

    return _on_mesh(local, mesh, (_WHOLE, _WHOLE, _CUT, _WHOLE, _CUT), _CUT)(model, point, rows, own, total)


def _close_sums(kernel: Kernel, mesh: Mesh, total: Any) -> Any:
    def local(total):
        return _across(kernel, mesh, jax.tree.map(lambda a: a[0], total))

    return _on_mesh(local, mesh, (_CUT,), _WHOLE)(total)


def _map_dealt(kernel: RowMap, mesh: Mesh, model: Model, point: Any, rows: Rows) -> Any:
    def local(model, point, rows):
        return map_blocks(kernel, model, point, rows)

    return _on_mesh(local, mesh, (_WHOLE, _WHOLE, _CUT), _CUT)(model, point, rows)


_whole = Tiered(_reduce_whole, static_argnums=(0, 1))
_add = Tiered(_add_dealt, static_argnums=(0, 1), donate_argnums=6)
_close = Tiered(_close_sums, static_argnums=(0, 1))
_map = Tiered(_map_dealt, lean=True, static_argnums=(0, 1))
