"""Dense columns, and the constant column that is never stored."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxglm.design.base import Design, Rows, by_code, matmul
from jaxglm.tree import pytree, static


@pytree
class Dense(Design):
    """Numeric columns held as they are: rows are an array (m, p)."""

    width: int = static()

    @property
    def n_columns(self) -> int:
        return self.width

    def columns(self, x: Rows, m: int) -> jax.Array:
        return x

    def dot(self, x: Rows, b: jax.Array) -> jax.Array:
        return matmul(x, b)

    def tdot(self, x: Rows, r: jax.Array) -> jax.Array:
        return matmul(x.T, r)

    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        return by_code(w[:, None] * x, codes, n_codes)

    def cross(self, x: Rows, other: Design, xo: Rows, w: jax.Array) -> jax.Array:
        return other.tdot(xo, w[:, None] * x).T

    def gram(self, x: Rows, w: jax.Array) -> jax.Array:
        return matmul((w[:, None] * x).T, x)


@pytree
class Constant(Design):
    """One column of ones (the intercept); its rows are the empty tuple."""

    @property
    def n_columns(self) -> int:
        return 1

    def columns(self, x: Rows, m: int) -> jax.Array:
        return jnp.ones((m, 1))

    def dot(self, x: Rows, b: jax.Array) -> jax.Array:
        return b[0]

    def tdot(self, x: Rows, r: jax.Array) -> jax.Array:
        return jnp.sum(r, axis=0)[None]

    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        return by_code(w, codes, n_codes)[:, None]

    def cross(self, x: Rows, other: Design, xo: Rows, w: jax.Array) -> jax.Array:
        return other.tdot(xo, w)[None]

    def gram(self, x: Rows, w: jax.Array) -> jax.Array:
        return jnp.sum(w)[None, None]
