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
    """Triangular factor R, (P + 1, P + 1), of the weighted rows with the residual column last.

    Its leading block satisfies R'R = information and its last column holds Q'r, so that
    solving R step = Q'r gives the Newton step with the condition number of X and not of X'X.
    Needs curvatures that are not negative: use it with the expected information.
    Factors of blocks combine by another QR of the two stacked, so it works on any source
    (Golub and Van Loan 2013, section 5.2). ``plain=True`` takes all curvatures as 1 and no residual:
    then R'R = X'X over the rows with weight.
    """

    plain: bool = False
    additive = False

    def map(self, model: Model, point: Point, rows: Rows) -> jax.Array:
        m, k = rows.y.shape[0], model.layout.n_predictors
        if self.plain:
            root = jnp.sqrt(rows.freq > 0)[:, None, None] * jnp.eye(k)
            residual = jnp.zeros((m, k))
        else:
            _, _, score, curvature = weighted_terms(model, point, rows, True)
            root = self._root(curvature)
            residual = -jax.scipy.linalg.solve_triangular(root, score[..., None], lower=True)[..., 0]
            residual = jnp.where(jnp.isfinite(residual), residual, 0.0)
        columns = model.layout.columns(rows.x, m)
        stacked = jnp.concatenate([jnp.einsum("mlk,mlp->mkp", root, columns), residual[..., None]], axis=2)
        return self._factor(stacked.reshape(m * k, -1))

    def _root(self, curvature: jax.Array) -> jax.Array:
        if curvature.shape[1] == 1:
            return jnp.sqrt(curvature)
        return jnp.linalg.cholesky(curvature)

    def _factor(self, stacked: jax.Array) -> jax.Array:
        size = stacked.shape[1]
        if stacked.shape[0] < size:
            stacked = jnp.concatenate([stacked, jnp.zeros((size - stacked.shape[0], size))])
        return jnp.linalg.qr(stacked, mode="r")

    def combine(self, a: Any, b: Any) -> Any:
        return self._factor(jnp.concatenate([a, b]))
