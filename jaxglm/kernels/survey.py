"""What has to be known before a fit: rank, bad values, the mean of y."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxglm.kernels.base import Kernel, Model, Rows, total


class Facts(NamedTuple):
    """Sums over rows with weight.

    Attributes
    ----------
    gram : (P, P) X'X, one block a predictor, zero between predictors, or None
    ones : (P,) X'1, or None
    n_rows, n_obs : rows, and observations they stand for
    n_bad_y : rows whose y the family cannot have
    weight, size, total : sums of w, of w times the row's size, and of w size y
    """

    gram: jax.Array | None
    ones: jax.Array | None
    n_rows: jax.Array
    n_obs: jax.Array
    n_bad_y: jax.Array
    weight: jax.Array
    size: jax.Array
    total: jax.Array


@dataclass(frozen=True)
class Survey(Kernel):
    """One pass over rows without curvature; cost O(m P^2).

    ``products="none"`` leaves out X'X and X'1 (None), which then costs O(m); "own" has the blocks of X'X that the
    elements of the design make with themselves, zero elsewhere, and no X'1. With ``repeats=True`` a row counts as all
    the rows that it stands for.
    """

    products: str = "all"
    repeats: bool = False

    def map(self, model: Model, point: None, rows: Rows) -> Facts:
        family, k = model.family, model.layout.n_predictors
        # Products that decide about rank are in working precision.
        present = rows.freq.astype(float) if self.repeats else (rows.freq > 0).astype(float)
        possible = jax.vmap(family.support)(rows.y, rows.aux)
        size = rows.weight * jax.vmap(family.size)(rows.aux) if rows.aux else rows.weight
        y = jnp.where(possible, rows.y, 0.0)
        gram = ones = None
        if self.products == "own":
            gram = model.layout.own_sums(rows.x, present)
        if self.products == "all":
            gram = model.layout.gram_sums(rows.x, present[:, None, None] * jnp.eye(k))
            ones = model.layout.gradient_sums(rows.x, jnp.broadcast_to(present[:, None], (present.shape[0], k)))
        return Facts(
            gram=gram,
            ones=ones,
            n_rows=total(present),
            n_obs=total(rows.freq),
            n_bad_y=total(present * ~possible),
            weight=total(rows.weight),
            size=total(size),
            total=total(size * y),
        )

    def finish(self, model: Model, value: Facts) -> Facts:
        layout = model.layout
        if self.products == "none":
            return value
        if self.products == "own":
            return value._replace(gram=layout.own_of(value.gram))
        return value._replace(gram=layout.gram_of(value.gram), ones=layout.gradient_of(value.ones))


@dataclass(frozen=True)
class Margins(Kernel):
    """Sums of size and of size times y over the rows of each level; their ratios are the means of the levels.

    Both have one entry an element, in its raw form. Offsets multiply the sizes where they do so with the mean; else the
    third value is the sum of size times the offset.
    """

    def map(self, model: Model, point: None, rows: Rows) -> tuple[list[jax.Array], list[jax.Array], jax.Array]:
        family, layout = model.family, model.layout
        size = rows.weight * jax.vmap(family.size)(rows.aux) if rows.aux else rows.weight
        factor, shift = size, jnp.zeros(())
        if rows.offset is not None and family.link.multiplicative:
            factor = size * jnp.exp(rows.mean_offset)
        elif rows.offset is not None:
            shift = total(size * rows.mean_offset)

        def sums(values):
            return layout.gradient_sums(rows.x, jnp.broadcast_to(values[:, None], (len(values), layout.n_predictors)))

        return sums(factor), sums(size * rows.y), shift
