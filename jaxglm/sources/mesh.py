"""Rows sharded over devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxglm.kernels import Kernel, Model, RowMap, Rows, Walk
from jaxglm.precision import host
from jaxglm.progress import begin_pass
from jaxglm.sources.base import Source, block_rows, bucket, cut, filled, pad, reduce_rows, stored_type
from jaxglm.sources.walk import walk_chunks, walk_dealt

AXIS = "rows"


class MeshSource(Source):
    """Rows cut over the devices of a mesh; sums are one collective.

    Parameters
    ----------
    rows : Rows
        Host arrays.
    devices : sequence of jax.Device
    """

    def __init__(self, rows: Rows, mesh: Mesh, n_rows: int):
        self._rows, self._mesh, self.n_rows = rows, mesh, n_rows

    @classmethod
    def from_rows(cls, rows: Rows, devices: list[jax.Device]) -> MeshSource:
        """Pad the rows to the same bucket on every device and place them."""
        n = len(rows.y)
        mesh = Mesh(np.asarray(devices), (AXIS,))
        share = bucket(-(-n // len(devices)))
        return cls(_placed(pad(rows, share * len(devices)), mesh), mesh, n)

    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        done = begin_pass(self.n_rows)
        value = _reduce(kernel, self._mesh, model, point, self._rows)
        done(self.n_rows)
        return value

    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        yield cut(host(_map(kernel, self._mesh, model, point, self._rows)), 0, self.n_rows)

    def walk(self, walk: Walk, model: Model, frame: Any, state: Any, size: int, seed: int) -> tuple[Any, np.ndarray]:
        chunks = [(self._rows, self._rows.y.shape[0])]
        run = walk_dealt(self._mesh, AXIS)
        return walk_chunks(walk, model, frame, state, chunks, size, seed, run, self._mesh.size)

    def replace(self, change: Callable[[Rows], Rows]) -> MeshSource:
        return MeshSource(change(self._rows), self._mesh, self.n_rows)

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> MeshSource:
        placed = _placed(filled(values, self._rows.y.shape[0]), self._mesh)
        return MeshSource(change(self._rows, placed), self._mesh, self.n_rows)


def _placed(values: Any, mesh: Mesh) -> Any:
    """Host arrays of rows, cut over the devices."""
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    return jax.tree.map(lambda a: jax.device_put(a.astype(stored_type(a)), sharding), values)


@partial(jax.jit, static_argnames=("kernel", "mesh"))
def _reduce(kernel: Kernel, mesh: Mesh, model: Model, point: Any, rows: Rows) -> Any:
    def local(model, point, rows):
        value = reduce_rows(kernel, model, point, rows, block_rows(model, rows))
        if kernel.additive:
            return jax.lax.psum(value, AXIS)
        gathered = jax.lax.all_gather(value, AXIS)
        parts = [jax.tree.map(lambda a, i=i: a[i], gathered) for i in range(mesh.size)]
        return reduce(kernel.combine, parts)

    whole, cut_rows = PartitionSpec(), PartitionSpec(AXIS)
    summed = jax.shard_map(local, mesh=mesh, in_specs=(whole, whole, cut_rows), out_specs=whole, check_vma=False)
    return kernel.finish(model, summed(model, point, rows))


@partial(jax.jit, static_argnames=("kernel", "mesh"))
def _map(kernel: RowMap, mesh: Mesh, model: Model, point: Any, rows: Rows) -> Any:
    whole, cut_rows = PartitionSpec(), PartitionSpec(AXIS)
    return jax.shard_map(kernel.map, mesh=mesh, in_specs=(whole, whole, cut_rows), out_specs=cut_rows, check_vma=False)(
        model, point, rows
    )
