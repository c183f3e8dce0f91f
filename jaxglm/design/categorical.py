"""Factors kept as integer codes; a coding says what each level contributes.

With `T` the contrast table (levels x columns) and `H` the one-hot matrix of the
codes, the columns are ``diag(z) H T``, where `z` is 1 or, in an interaction with
a number, that number. H is never formed: ``X b`` is a gather, ``X' r`` a segment
sum, a product of two factors a histogram over pairs of codes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design.base import Element, Rows, by_code, matmul
from jaxglm.numerics import namespace
from jaxglm.tree import pytree, static


class Coding(ABC):
    """Contrast table T of shape (n_levels, n_columns), perhaps never written out."""

    n_levels: int
    n_columns: int

    @abstractmethod
    def expand(self, b: jax.Array) -> jax.Array:
        """T b: one value a level, (n_levels, ...)."""

    @abstractmethod
    def contract(self, h: jax.Array) -> jax.Array:
        """T' h for h of shape (n_levels, ...)."""

    @abstractmethod
    def gram(self, h: jax.Array) -> jax.Array:
        """T' diag(h) T."""

    @abstractmethod
    def table(self) -> jax.Array:
        """T itself."""

    def apart(self, h: np.ndarray) -> list[tuple[Coding, np.ndarray]]:
        """The coding of each factor that stands under the code, with its own sums; h (n_levels,) has those of all."""
        return [(self, h)]

    def nearest(self, values: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """The constant c and b for which c + T b comes nearest to a value a level; host arrays (n_levels,)."""
        columns = np.column_stack([np.ones(self.n_levels), np.asarray(self.table())])
        root = np.sqrt(weights)
        found = np.linalg.lstsq(root[:, None] * columns, root * values, rcond=1e-9)[0]
        return float(found[0]), found[1:]


@pytree
class Indicator(Coding):
    """Each level lights at most one column (treatment coding, full dummies).

    Attributes
    ----------
    column_of_level : int array (n_levels,)
        The column that a level lights, -1 for none (the reference level).
    width : int
        Number of columns.
    """

    column_of_level: jax.Array
    width: int = static()

    @property
    def n_levels(self) -> int:
        return self.column_of_level.shape[0]

    @property
    def n_columns(self) -> int:
        return self.width

    @property
    def _slot(self) -> jax.Array:
        xp = namespace(self.column_of_level)
        return xp.where(self.column_of_level < 0, self.width, self.column_of_level)

    def expand(self, b: jax.Array) -> jax.Array:
        padded = jnp.concatenate([b, jnp.zeros_like(b[:1])]) if self.width else jnp.zeros((1, *b.shape[1:]), b.dtype)
        return padded[self._slot]

    def contract(self, h: jax.Array) -> jax.Array:
        if namespace(h) is jnp:
            return by_code(h, self._slot, self.width + 1)[: self.width]
        if self._lit is not None:
            return h[self._lit]
        whole = np.zeros((self.width + 1, *h.shape[1:]))
        slot = np.asarray(self._slot)
        if np.bincount(slot, minlength=1)[: self.width].max(initial=0) <= 1:
            # One level a column, or none: what several levels share is the slot of no column.
            whole[slot] = h
        else:
            np.add.at(whole, slot, h)
        return whole[: self.width]

    @cached_property
    def _lit(self) -> slice | np.ndarray | None:
        """The levels that light the columns, where each column has one level and they are in the same order."""
        columns = np.asarray(self.column_of_level)
        lit = np.flatnonzero(columns >= 0)
        if len(lit) != self.width or (columns[lit] != np.arange(self.width)).any():
            return None
        run = len(lit) and lit[-1] - lit[0] + 1 == len(lit)
        return slice(int(lit[0]), int(lit[-1]) + 1) if run else lit

    def gram(self, h: jax.Array) -> jax.Array:
        return namespace(h).diag(self.contract(h))

    def table(self) -> jax.Array:
        return self.expand(jnp.eye(self.width))

    def nearest(self, values: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
        slot = np.asarray(self._slot)
        # The last slot is that of levels that light no column.
        sums = np.bincount(slot, weights * values, self.width + 1)
        whole = np.bincount(slot, weights, self.width + 1)
        means = sums / np.where(whole > 0, whole, 1.0)
        return float(means[-1]), means[:-1] - means[-1]


@pytree
class Table(Coding):
    """Any contrast matrix (sum, Helmert, polynomial, the user's own), (n_levels, k)."""

    values: jax.Array

    @property
    def n_levels(self) -> int:
        return self.values.shape[0]

    @property
    def n_columns(self) -> int:
        return self.values.shape[1]

    def expand(self, b: jax.Array) -> jax.Array:
        return matmul(self.values, b)

    def contract(self, h: jax.Array) -> jax.Array:
        if namespace(h) is jnp:
            return jnp.tensordot(self.values.T, h, axes=1, precision=jax.lax.Precision.HIGHEST)
        return np.tensordot(np.asarray(self.values).T, h, axes=1)

    def gram(self, h: jax.Array) -> jax.Array:
        if namespace(h) is jnp:
            return matmul(self.values.T * h, self.values)
        values = np.asarray(self.values)
        return (values.T * h) @ values

    def table(self) -> jax.Array:
        return self.values


def product_coding(first: Coding, second: Coding) -> Coding:
    """Coding of an interaction; combined code = first + n_first * second.

    Levels and columns both run fastest in the first factor.
    """
    if first.indicator and second.indicator:
        a, b = np.asarray(first.column_of_level), np.asarray(second.column_of_level)
        both = (a[None, :] >= 0) & (b[:, None] >= 0)
        column = np.where(both, a[None, :] + first.width * b[:, None], -1)
        return Indicator(column.ravel().astype(np.int32), width=first.width * second.width)
    return Table(np.kron(np.asarray(second.table()), np.asarray(first.table())))


Coding.indicator = False
Indicator.indicator = True


@pytree
class Categorical(Element):
    """Columns ``diag(z) H T`` of one factor or of an interaction of factors.

    Rows are ``codes`` (m,), integers in [0, n_levels), or ``(codes, z)`` where
    ``scaled`` is true and z (m,) is the number that the factor interacts with.
    Memory is 4 bytes a row (12 when scaled) whatever the number of levels.
    """

    coding: Coding
    scaled: bool = static(default=False)

    @property
    def n_columns(self) -> int:
        return self.coding.n_columns

    @property
    def n_raw(self) -> int:
        return self.coding.n_levels

    @property
    def levels(self) -> int | None:
        return None if self.scaled else self.coding.n_levels

    def _codes(self, x: Rows) -> jax.Array:
        return x[0] if self.scaled else x

    def _times(self, x: Rows, values: jax.Array) -> jax.Array:
        if not self.scaled:
            return values
        return values * x[1].reshape((-1,) + (1,) * (values.ndim - 1))

    def columns(self, x: Rows, m: int) -> jax.Array:
        return self._times(x, self.coding.table()[self._codes(x)])

    def terms(self, x: Rows, b: jax.Array, dtype: Any) -> list[jax.Array]:
        return [self._times(x, self.coding.expand(b).astype(dtype)[self._codes(x)]).astype(dtype)]

    def tdot_sums(self, x: Rows, r: jax.Array) -> jax.Array:
        return by_code(self._times(x, r), self._codes(x), self.coding.n_levels)

    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        n_levels = self.coding.n_levels
        pairs = codes.astype(jnp.int32) * n_levels + self._codes(x)
        return by_code(self._times(x, w), pairs, n_codes * n_levels).reshape(n_codes, n_levels)

    def cross_sums(self, x: Rows, other: Element, xo: Rows, w: jax.Array) -> jax.Array:
        return other.tally(xo, self._times(x, w), self._codes(x), self.coding.n_levels)

    def gram_sums(self, x: Rows, w: jax.Array) -> jax.Array:
        squared = self._times(x, self._times(x, w))
        return by_code(squared, self._codes(x), self.coding.n_levels)

    def add_tally(self, total: jax.Array, x: Rows, w: jax.Array, codes: jax.Array) -> jax.Array:
        values = self._times(x, w).astype(float)
        pairs = codes.astype(jnp.int32) * self.coding.n_levels + self._codes(x)
        return total.ravel().at[pairs].add(values, mode="promise_in_bounds").reshape(total.shape)

    def add_cross(self, total: jax.Array, x: Rows, other: Element, xo: Rows, w: jax.Array) -> jax.Array:
        return other.add_tally(total, xo, self._times(x, w), self._codes(x))

    def add_gram(self, total: jax.Array, x: Rows, w: jax.Array) -> jax.Array:
        values = self._times(x, self._times(x, w)).astype(float)
        return total.at[self._codes(x)].add(values, mode="promise_in_bounds")

    def contract(self, sums: jax.Array) -> jax.Array:
        return self.coding.contract(sums)

    def gram(self, sums: jax.Array) -> jax.Array:
        return self.coding.gram(sums)
