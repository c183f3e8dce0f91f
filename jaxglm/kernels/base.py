"""What a kernel is: a value derived from a block of rows, and how two such values combine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design import Layout
from jaxglm.families import Family
from jaxglm.tree import pytree


class Rows(NamedTuple):
    """A block of m rows; every leaf has the rows first.

    Attributes
    ----------
    x : tuple, one row pytree a predictor, as its design reads them
    y : (m,) response
    freq : (m,) how many observations the row stands for; 0 marks padding
    prior : (m,) prior or probability weight, or None for 1
    offset : (m, K) on the link scale, or None for 0
    aux : dict of (m,) arrays the family reads (trials, ...)
    codes : dict of (m,) integers beside the model (clusters)
    """

    x: Any
    y: jax.Array
    freq: jax.Array
    prior: jax.Array | None = None
    offset: jax.Array | None = None
    aux: dict[str, jax.Array] = {}
    codes: dict[str, jax.Array] = {}

    @property
    def weight(self) -> jax.Array:
        """Weight of the row in every likelihood sum, (m,)."""
        return self.freq if self.prior is None else self.freq * self.prior

    @property
    def mean_offset(self) -> jax.Array | float:
        """Offset of the first predictor, (m,), or 0."""
        # Held apart: a compiler that reads it as a matrix of one column does not vectorize what is made of it.
        return 0.0 if self.offset is None else jax.lax.optimization_barrier(self.offset[:, 0])


@pytree
class Model:
    """The shared part of a fit: a family and the layout of its predictors."""

    family: Family
    layout: Layout

    def laid(self, x: Any) -> Any:
        """The ``x`` of a block of rows, traceable, in a form that is quicker to read many times.

        What holds more than the rows of a layout says itself what of it is laid.
        """
        return x.laid(self.layout) if hasattr(x, "laid") else self.layout.laid(x)

    def eta(self, rows: Rows, theta: jax.Array) -> jax.Array:
        """Linear predictors of a block, (m, K)."""
        return self.layout.eta(rows.x, theta, rows.offset, rows.y.shape[0], rows.y.dtype)


def total(values: jax.Array) -> jax.Array:
    """Sum over the rows, in working precision whatever that of the rows is."""
    return jnp.sum(values.astype(float), axis=0)


@dataclass(frozen=True)
class Kernel(ABC):
    """A sum, or another combination, over rows.

    ``map`` takes the model, a point (any pytree of arguments) and a block of rows.
    Results combine by ``+`` unless a subclass says otherwise; then it also says
    what the neutral element is. ``finish`` turns the combined value of all rows into
    what is wanted. Sources know nothing more of a kernel.
    """

    #: True when results add, so that a mesh may sum them with one collective.
    additive = True
    #: True when the sums are large and a row changes few of them, so that rows are added to the total in its place.
    scatters = False

    @abstractmethod
    def map(self, model: Model, point: Any, rows: Rows) -> Any:
        """The value of one block, in the form in which blocks combine."""

    def finish(self, model: Model, value: Any) -> Any:
        """What the kernel gives, from the value of all rows; made once a pass."""
        return value

    def combine(self, a: Any, b: Any) -> Any:
        """The value of two blocks together."""
        return jax.tree.map(jnp.add, a, b)

    def accumulate(self, total: Any, model: Model, point: Any, rows: Rows) -> Any:
        """A total with the value of one more block."""
        return self.combine(total, self.map(model, point, rows))

    def zero(self, like: Any) -> Any:
        """The neutral element, given shapes and dtypes."""
        return jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), like)


@dataclass(frozen=True)
class Joint(Kernel):
    """Several kernels at one point in one pass; values are tuples."""

    kernels: tuple[Kernel, ...]

    @property
    def additive(self) -> bool:
        return all(k.additive for k in self.kernels)

    @property
    def scatters(self) -> bool:
        return any(k.scatters for k in self.kernels)

    def accumulate(self, total: tuple, model: Model, point: Any, rows: Rows) -> tuple:
        return tuple(k.accumulate(t, model, point, rows) for k, t in zip(self.kernels, total, strict=True))

    def map(self, model: Model, point: Any, rows: Rows) -> tuple:
        return tuple(k.map(model, point, rows) for k in self.kernels)

    def finish(self, model: Model, value: tuple) -> tuple:
        return tuple(k.finish(model, part) for k, part in zip(self.kernels, value, strict=True))

    def combine(self, a: tuple, b: tuple) -> tuple:
        return tuple(k.combine(x, y) for k, x, y in zip(self.kernels, a, b, strict=True))

    def zero(self, like: tuple) -> tuple:
        return tuple(k.zero(part) for k, part in zip(self.kernels, like, strict=True))


@dataclass(frozen=True)
class RowMap(ABC):
    """A value for every row: ``map`` returns a pytree whose leaves have the rows first."""

    #: True where a row is so much work (special functions) that fewer of them pay for code that is fast.
    dear = False

    @abstractmethod
    def map(self, model: Model, point: Any, rows: Rows) -> Any:
        """The values of one block."""


@dataclass(frozen=True)
class Walk(ABC):
    """A state that goes through the rows and changes with every batch of them.

    ``map`` gives the sums of a batch, which add up where a batch lies on several devices; ``move`` takes the state
    on, by the sums of the whole batch. The state keeps its shapes. ``frame`` is what stays the same on the way.
    """

    @abstractmethod
    def map(self, model: Model, frame: Any, state: Any, rows: Rows) -> Any:
        """Sums of a batch at a state."""

    @abstractmethod
    def move(self, model: Model, frame: Any, state: Any, sums: Any, count: jax.Array) -> tuple[Any, jax.Array]:
        """The next state, and a number to keep of a batch of `count` rows."""
