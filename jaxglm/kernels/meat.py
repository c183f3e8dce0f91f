"""The middle of a sandwich covariance."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from jaxglm.kernels.base import Kernel, Model, Rows
from jaxglm.kernels.rows import row_terms


@dataclass(frozen=True)
class Meat(Kernel):
    """Sum over rows of freq prior^2 s s', (P, P), with s = X' score of a row, at theta."""

    def map(self, model: Model, point: jax.Array, rows: Rows) -> list:
        score = row_terms(model.family, rows.y, model.eta(rows, point), rows.aux, False).score
        w = rows.freq if rows.prior is None else rows.freq * rows.prior**2
        return model.layout.gram_sums(rows.x, w[:, None, None] * score[:, :, None] * score[:, None, :])

    def finish(self, model: Model, value: list) -> jax.Array:
        return model.layout.gram_of(value)
