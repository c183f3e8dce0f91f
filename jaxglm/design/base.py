"""What every kind of design can do.

A design is the *shared* part of a model matrix: its kind, its column count, its
contrast tables. The rows travel beside it as a pytree `x` whose leaves have the
rows first, so that chunks, shards, streams and groups all cut the rows alone.
With `X` the matrix that design and rows stand for, (m, p):

==================  ====================================  ==============
operation           value                                 shape
==================  ====================================  ==============
``dot(x, b)``       X b                                   (m,) or ()
``tdot(x, r)``      X' r                                  (p,) or (p, q)
``gram(x, w)``      X' diag(w) X                          (p, p)
``cross(x, o, xo, w)``  X' diag(w) Xo                     (p, po)
``tally(x, w, c, L)``   sums of w X over rows with code c     (L, p)
``columns(x, m)``   X itself                              (m, p)
==================  ====================================  ==============

No design sees y.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import jax
import jax.numpy as jnp

from jaxglm import precision

Rows = Any


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
    def dot(self, x: Rows, b: jax.Array) -> jax.Array:
        """X b, (m,); a scalar where it is the same in every row."""

    @abstractmethod
    def tdot(self, x: Rows, r: jax.Array) -> jax.Array:
        """X' r for r of shape (m,) or (m, q)."""

    @abstractmethod
    def tally(self, x: Rows, w: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
        """Sums of w times each column over the rows of each code, (n_codes, p)."""

    @abstractmethod
    def cross(self, x: Rows, other: Design, xo: Rows, w: jax.Array) -> jax.Array:
        """X' diag(w) Xo, (p, po)."""

    @abstractmethod
    def gram(self, x: Rows, w: jax.Array) -> jax.Array:
        """X' diag(w) X, (p, p)."""


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Matrix product at full precision on every platform."""
    return jnp.matmul(a, b, precision=precision.MATMUL)


def by_code(values: jax.Array, codes: jax.Array, n_codes: int) -> jax.Array:
    """Sums of `values` (m, ...) over the rows of each code, (n_codes, ...)."""
    return jax.ops.segment_sum(values, codes, num_segments=n_codes)
