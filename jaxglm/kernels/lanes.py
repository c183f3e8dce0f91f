"""One kernel at many points, in one pass over the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.kernels.base import Kernel, Model, RowMap, Rows
from jaxglm.numerics import namespace

#: Lanes are padded to a multiple of this, and worked on so many at a time where rows are few.
TILE = 8
#: Numbers of a design that a tile of lanes may hold side by side: what stays in cache on a CPU.
_NUMBERS = {"cpu": 2**18}
_NUMBERS_ELSEWHERE = 2**27


class LanePoints(NamedTuple):
    """Where :class:`Lanes` is evaluated.

    Attributes
    ----------
    points : a point of the inner kernel with a leading axis of lanes, a multiple of TILE
    count : how many of the lanes, from the first, are wanted; no new count needs a new compilation
    """

    points: Any
    count: Any


@dataclass(frozen=True)
class Lanes(Kernel):
    """The values of an additive kernel at each of L points, stacked; what lanes beyond the count hold means nothing.

    Costs the inner kernel times the count. A tile of lanes is mapped over at a time, so that beyond the L values
    themselves memory is that of a tile.
    """

    kernel: Kernel

    def map(self, model: Model, point: LanePoints, rows: Rows) -> Any:
        lanes = jax.tree.leaves(point.points)[0].shape[0]
        size = tile(rows.y.shape[0] * model.layout.n_coefficients)

        def of_tile(i):
            at = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, i * size, size), point.points)
            return jax.vmap(lambda p: self.kernel.map(model, p, rows))(at)

        like = jax.eval_shape(of_tile, jax.ShapeDtypeStruct((), jnp.int32))
        total = jax.tree.map(lambda s: jnp.zeros((lanes, *s.shape[1:]), s.dtype), like)

        def body(i, total):
            return jax.tree.map(
                lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part, i * size, 0), total, of_tile(i)
            )

        return jax.lax.fori_loop(0, (jnp.asarray(point.count, jnp.int32) + size - 1) // size, body, total)

    def finish(self, model: Model, value: Any) -> Any:
        leaves = jax.tree.leaves(value)
        if namespace(leaves[0]) is jnp:
            return jax.vmap(lambda one: self.kernel.finish(model, one))(value)
        lanes = [jax.tree.map(lambda a, i=i: a[i], value) for i in range(len(leaves[0]))]
        return jax.tree.map(lambda *parts: np.stack(parts), *(self.kernel.finish(model, one) for one in lanes))


@dataclass(frozen=True)
class Routed(RowMap):
    """All linear predictors "eta" (m, K) and the "mean" (m,) of rows whose codes pick one of thetas (G, P)."""

    code: str = "group"

    def map(self, model: Model, point: jax.Array, rows: Rows) -> dict[str, jax.Array]:
        columns = model.layout.columns(rows.x, rows.y.shape[0])
        eta = jnp.einsum("mkp,mp->mk", columns, point[rows.codes[self.code]], precision=jax.lax.Precision.HIGHEST)
        eta = eta if rows.offset is None else eta + rows.offset
        return {"eta": eta, "mean": jax.vmap(model.family.mean)(eta, rows.aux)}


def tile(numbers: int) -> int:
    """Lanes of a tile for blocks of so many numbers."""
    room = _NUMBERS.get(jax.default_backend(), _NUMBERS_ELSEWHERE) // max(numbers, 1)
    return next((size for size in (TILE, 4, 2) if size <= room), 1)


def stack(points: list[Any], lanes: int) -> LanePoints:
    """Points of the lanes one after the other, and copies of the last up to `lanes`."""
    filled = points + [points[-1]] * (lanes - len(points))
    return LanePoints(jax.tree.map(lambda *parts: np.stack(parts), *filled), np.int32(len(points)))


def padded(count: int) -> int:
    """`count` rounded up to whole tiles."""
    return -(-count // TILE) * TILE
