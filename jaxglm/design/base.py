"""What every kind of design can do.

A design is the *shared* part of a model matrix: its kind, its column count, its
contrast tables. The rows travel beside it as a pytree `x` whose leaves have the
rows first, so that chunks, shards, streams and groups all cut the rows alone.
With `X` the matrix that design and rows stand for, (m, p), every design has

==================  ====================================  ==============
operation           value                                 shape
==================  ====================================  ==============
``terms(x, b, d)``  addends of X b, the rows' in dtype d   (m,) or () each
``dot(x, b, d)``    X b                                   (m,) or ()
``columns(x, m)``   X itself                              (m, p)
``parts``           its elements, each with its places    see :class:`Element`
==================  ====================================  ==============

and sums over rows are made by its elements. No design sees y.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm import precision

Rows = Any
Sums = Any


class Design(ABC):
    """Base of all designs; subclasses are frozen dataclasses registered as pytrees."""

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """Number of columns p."""

    @abstractmethod
    def columns(self, x: Rows, m: int) -> jax.Array:
        """The dense matrix, (m, p)."""

    @abstractmethod
    def terms(self, x: Rows, b: jax.Array, dtype: Any) -> list[jax.Array]:
        """Addends of X b: (m,) each in `dtype`, or scalars in that of b where they are the same in every row."""

    def dot(self, x: Rows, b: jax.Array, dtype: Any = None) -> jax.Array:
        """X b, (m,), in `dtype` (that of b by default); a scalar where it is the same in every row.

        Scalars are added up first, so that large ones that cancel do not cost a row its digits.
        """
        dtype = b.dtype if dtype is None else dtype
        terms = self.terms(x, b, dtype)
        shift = sum(term for term in terms if not term.ndim)
        rows = [term for term in terms if term.ndim]
        return sum(rows, jnp.asarray(shift).astype(dtype))

    @property
    @abstractmethod
    def parts(self) -> tuple[tuple[Element, Sequence[int]], ...]:
        """The elements, each with the places of its columns in the whole."""

    @abstractmethod
    def rows_of_parts(self, x: Rows) -> tuple[Rows, ...]:
        """The rows of each element."""

    @abstractmethod
    def standardized(self, x: Rows) -> Design:
        """The same design with its numeric columns kept centered and scaled; host rows tell by what."""

    @abstractmethod
    def encode(self, x: Rows, dtype: Any) -> Rows:
        """Host rows in the form that this design keeps, from those of the columns themselves, numbers in `dtype`."""

    def laid(self, x: Rows) -> Rows:
        """Rows of a block, traceable, in a form that is quicker to read many times; all methods take either."""
        return x

    def combined(self) -> tuple[Design, Callable[[Rows], Rows]] | None:
        """The same columns in a form over which sums are cheaper, and what makes its rows; None for as it is.

        The function is traceable, and returns leaves that it need not change as they are.
        """
        return None


class Element(Design):
    """A design of one kind, which knows how to sum over rows.

    What a block of rows adds is kept in the cheapest form: a factor sums over its levels, and only the total over
    all rows is contracted to columns. So a pass over many blocks makes each (p, p) matrix once. With `R` the matrix
    in that raw form, (m, n_raw), and `T` its contraction, X = R T:

    ==========================  ======================================  =================
    operation                   value                                   shape
    ==========================  ======================================  =================
    ``tdot_sums(x, r)``         R' r                                    (n_raw,) or (n_raw, q)
    ``tally(x, w, c, L)``       sums of w R over rows with code c       (L, n_raw)
    ``cross_sums(x, o, xo, w)``  R' diag(w) Ro                          (n_raw, n_raw of o)
    ``gram_sums(x, w)``         what :meth:`gram` needs                 pytree
    ``contract(s)``             T' s                                    (p, ...)
    ``gram(sums)``              X' diag(w) X                            (p, p)
    ==========================  ======================================  =================

    The dtype of `w` is the precision of the products; sums are in working precision. The same sums are added to a total
    by ``add_tally``, ``add_cross`` and ``add_gram``: where a block of rows changes few of many sums, in their places.
    """

    @property
    def n_raw(self) -> int:
        """Columns in the raw form."""
        return self.n_columns

    @property
    def levels(self) -> int | None:
        """Number of levels of a factor whose rows are codes and nothing else, else None."""
        return None

    @property
    def ones(self) -> bool:
        """Whether it is one column that is 1 in every row."""
        return False

    @property
    def parts(self) -> tuple[tuple[Element, Sequence[int]], ...]:
        return ((self, range(self.n_columns)),)

    def rows_of_parts(self, x: Rows) -> tuple[Rows, ...]:
        return (x,)

    def standardized(self, x: Rows) -> Element:
        return self

    def encode(self, x: Rows, dtype: Any) -> Rows:
        return x

    def spread(self) -> np.ndarray:
        """How large the columns are where products of them are rounded, (p,); 0 where they are exact."""
        return np.zeros(self.n_columns)

    @property
    def reads_once(self) -> bool:
        """Whether :meth:`add_gram_beside` is what its sums with several weights are best made by."""
        return False

    @abstractmethod
    def tdot_sums(self, x: Rows, r: jax.Array) -> jax.Array:
        """R' r for r of shape (m,) or (m, q)."""

    @abstractmethod
    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        """Sums of w times each raw column over the rows of each code, (n_codes, n_raw)."""

    @abstractmethod
    def cross_sums(self, x: Rows, other: Element, xo: Rows, w: jax.Array) -> jax.Array:
        """R' diag(w) Ro, (n_raw, n_raw of other)."""

    @abstractmethod
    def gram_sums(self, x: Rows, w: jax.Array) -> Sums:
        """Sums over rows from which :meth:`gram` makes the matrix."""

    def add_tally(self, total: jax.Array, x: Rows, w: jax.Array, codes: jax.Array) -> jax.Array:
        """A total (L, n_raw) with one more :meth:`tally`."""
        return total + self.tally(x, w, codes, total.shape[0])

    def add_cross(self, total: jax.Array, x: Rows, other: Element, xo: Rows, w: jax.Array) -> jax.Array:
        """A total with one more :meth:`cross_sums`."""
        return total + self.cross_sums(x, other, xo, w)

    def add_gram(self, total: Sums, x: Rows, w: jax.Array) -> Sums:
        """A total with one more :meth:`gram_sums`."""
        return jax.tree.map(jnp.add, total, self.gram_sums(x, w))

    def add_gram_beside(self, total: Sums, x: Rows, w: jax.Array, beside: jax.Array) -> tuple[Sums, jax.Array]:
        """A total with one more :meth:`gram_sums`, and R' beside (n_raw, q) for weights (m, q)."""
        # One by one: a product with few rows is shared out to threads, which costs more than it is worth.
        sums = [self.tdot_sums(x, weights) for weights in beside.T]
        return self.add_gram(total, x, w), jnp.stack(sums, axis=1)

    def contract(self, sums: jax.Array) -> jax.Array:
        """T' sums, from the raw form to columns."""
        return sums

    @abstractmethod
    def gram(self, sums: Sums) -> jax.Array:
        """X' diag(w) X from its sums, (p, p)."""


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Matrix product at full precision on every platform."""
    return jnp.matmul(a, b, precision=precision.MATMUL)


def by_code(values: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
    """Sums of `values` (m, ...) over the rows of each code, (n_codes, ...)."""
    return jax.ops.segment_sum(values.astype(float), codes, num_segments=n_codes)
