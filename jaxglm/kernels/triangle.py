"""QR of the weighted rows, for designs that normal equations cannot resolve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxglm.kernels.base import Kernel, Model, Rows
from jaxglm.kernels.totals import Point, weighted_terms


@dataclass(frozen=True)
class Triangle(Kernel):
    """Triangular factor R, (P, P), of the weighted rows: R'R = information.

    It has the condition number of X and not of X'X. Needs curvatures that are not negative: use it with the expected
    information. Factors of blocks combine by another QR of the two stacked, so it works on any source
    (Golub and Van Loan 2013, section 5.2). ``plain=True`` takes all curvatures as 1: then R'R = X'X over the rows with
    weight.
    """

    plain: bool = False
    additive = False

    def map(self, model: Model, point: Point, rows: Rows) -> jax.Array:
        m, k = rows.y.shape[0], model.layout.n_predictors
        if self.plain:
            root = jnp.sqrt(rows.freq > 0)[:, None, None] * jnp.eye(k)
        else:
            _, _, _, curvature = weighted_terms(model, point, rows, True)
            root = jnp.sqrt(curvature) if k == 1 else jnp.linalg.cholesky(curvature)
        weighted = jnp.einsum("mlk,mlp->mkp", root, model.layout.columns(rows.x, m))
        return self._factor(weighted.reshape(m * k, -1))

    def _factor(self, stacked: jax.Array) -> jax.Array:
        size = stacked.shape[1]
        if stacked.shape[0] < size:
            stacked = jnp.concatenate([stacked, jnp.zeros((size - stacked.shape[0], size))])
        return jnp.linalg.qr(stacked, mode="r")

    def combine(self, a: Any, b: Any) -> Any:
        return self._factor(jnp.concatenate([a, b]))
