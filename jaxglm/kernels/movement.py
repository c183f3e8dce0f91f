"""How a direction in coefficient space moves the rows: the test for separation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxglm.kernels.base import Kernel, Model, RowMap, Rows


class Moves(NamedTuple):
    """Sums over rows for one direction.

    Attributes
    ----------
    largest : largest absolute change of the mean predictor
    n_moving : rows that change by more than the threshold
    n_wrong : of these, rows that do not move toward their own boundary
    still : (P, P) X'X of the rows that stay
    """

    largest: jax.Array
    n_moving: jax.Array
    n_wrong: jax.Array
    still: jax.Array


@dataclass(frozen=True)
class Movement(Kernel):
    """Moves of the rows along ``point = (direction, threshold)``."""

    additive = False

    def map(self, model: Model, point: tuple[jax.Array, jax.Array], rows: Rows) -> Moves:
        direction, threshold = point
        m, k = rows.y.shape[0], model.layout.n_predictors
        present = rows.freq > 0
        moved = model.layout.eta(rows.x, direction, None, m)
        largest = jnp.max(jnp.abs(moved), axis=1)
        moving = present & (largest > threshold)
        toward = jax.vmap(model.family.boundary)(rows.y, rows.aux) * moved[:, 0] > 0
        # A predictor other than the mean has no boundary to move to.
        if k > 1:
            toward &= jnp.max(jnp.abs(moved[:, 1:]), axis=1) <= threshold
        still = (present & ~moving).astype(moved.dtype)
        return Moves(
            largest=jnp.max(jnp.where(present, largest, 0.0)),
            n_moving=jnp.sum(moving.astype(moved.dtype)),
            n_wrong=jnp.sum((moving & ~toward).astype(moved.dtype)),
            still=model.layout.gram_sums(rows.x, still[:, None, None] * jnp.eye(k)),
        )

    def combine(self, a: Any, b: Any) -> Any:
        return Moves(
            jnp.maximum(a.largest, b.largest),
            *jax.tree.map(jnp.add, (a.n_moving, a.n_wrong, a.still), (b.n_moving, b.n_wrong, b.still)),
        )

    def finish(self, model: Model, value: Moves) -> Moves:
        return value._replace(still=model.layout.gram_of(value.still))


@dataclass(frozen=True)
class Boundaries(RowMap):
    """Model matrix of the mean predictor (m, P) and the boundary that each row tends to (m,)."""

    def map(self, model: Model, point: None, rows: Rows) -> dict[str, jax.Array]:
        return {
            "columns": model.layout.columns(rows.x, rows.y.shape[0])[:, 0],
            "boundary": jax.vmap(model.family.boundary)(rows.y, rows.aux),
        }
