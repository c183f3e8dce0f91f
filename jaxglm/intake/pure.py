"""Arrays as they are, traced or not: their shapes are checked, their values are not looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design import Constant, Dense, Design, Layout, Split
from jaxglm.errors import InputError, InputTypeError, near
from jaxglm.families import Family
from jaxglm.kernels import Rows
from jaxglm.tree import pytree, static


@pytree
class Operands:
    """Arrays of n rows as they came; `x` has one matrix (n, p), or None for a constant, a predictor."""

    x: tuple[Any, ...]
    y: Any
    offset: Any
    freq: Any
    prior: Any
    aux: dict[str, Any]
    intercept: bool = static()

    @property
    def widths(self) -> list[int]:
        """Coefficients of each predictor."""
        return [1 if x is None else x.shape[1] + self.intercept for x in self.x]

    def dtype(self, *more: Any) -> np.dtype:
        """What to compute in: the widest of all arrays, at least single precision."""
        found = jnp.result_type(*jax.tree.leaves((self, more)))
        return jnp.promote_types(found, jnp.float32) if jnp.issubdtype(found, jnp.floating) else jnp.zeros(()).dtype

    def model(self, dtype: np.dtype) -> tuple[Layout, Rows, np.ndarray]:
        """Layout and rows in `dtype`, and which coefficients belong to columns of a matrix (P,) bool; traceable."""
        n, k = self.x[0].shape[0], len(self.x)
        designs, x, columns = zip(*(_design(part, self.intercept, dtype) for part in self.x), strict=True)

        def taken(value):
            return None if value is None else jnp.asarray(value, dtype)

        offset = taken(self.offset)
        if offset is not None and offset.ndim == 1:
            offset = jnp.zeros((n, k), dtype).at[:, 0].set(offset)
        ones = jnp.ones(n, dtype)
        rows = Rows(
            x, ones if self.y is None else taken(self.y), ones if self.freq is None else taken(self.freq),
            taken(self.prior), offset, {name: taken(value) for name, value in self.aux.items()},
        )  # fmt: skip
        return Layout(designs), rows, np.concatenate(columns)


def _array(name: str, value: Any) -> Any:
    """An array of real numbers, wherever it lies."""
    array = value if hasattr(value, "dtype") and hasattr(value, "shape") else np.asarray(value)
    if array.dtype.kind not in "fiub" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise InputTypeError(f"{name} must hold real numbers, not {array.dtype}; jg.glm takes frames, text and factors")
    return array if isinstance(array, jax.Array) else np.asarray(array)


def shaped(name: str, value: Any, *allowed: tuple[int, ...], required: bool = False) -> Any:
    """An array of one of the shapes, or None."""
    if value is None and not required:
        return None
    array = _array(name, value)
    if array.shape not in allowed:
        shapes = " or ".join(str(shape) if shape else "a scalar" for shape in allowed)
        raise InputError(f"{name} must have shape {shapes}, not {array.shape}")
    return array


def operands(
    family: Family, X: Any, y: Any, *, offset: Any = None, freq_weights: Any = None, var_weights: Any = None,
    aux: dict[str, Any] | None = None, intercept: bool = False,
) -> Operands:  # fmt: skip
    """The arrays, once their shapes go together.

    Raises
    ------
    InputError, InputTypeError
        Shapes that do not, what holds no numbers, names that the family does not read or misses.
    """
    k = len(family.predictors)
    several = isinstance(X, Sequence) and not isinstance(X, str) and any(x is None or np.ndim(x) == 2 for x in X)
    given = list(X) if several else [X] + [None] * (k - 1)
    if len(given) != k or given[0] is None:
        raise InputError(
            f"X must be a matrix (n, p) for the mean, or a sequence of {k} with a matrix or None for each of "
            f"{', '.join(family.predictors)}; it has {len(given)}{' and none for the mean' if given[0] is None else ''}"
        )
    x = [None if part is None else _array("X", part) for part in given]
    n = len(x[0]) if x[0].ndim else 0
    for part in x:
        if part is not None and (part.ndim != 2 or len(part) != n):
            raise InputError(
                f"X must be a matrix (n, p), with the same n for every predictor, not of shape {part.shape}; "
                "a single column is x[:, None], and jax.vmap takes care of leading axes"
            )
    if not sum(1 if part is None else part.shape[1] + intercept for part in x) or not n:
        raise InputError(f"X has shape {x[0].shape}: there is nothing to estimate without rows and columns")
    aux = {} if aux is None else dict(aux)
    _check_aux(family, aux)
    shape = (n,)
    return Operands(
        tuple(x), y if y is None else shaped("y", y, shape), shaped("offset", offset, shape, (n, k)),
        shaped("freq_weights", freq_weights, shape), shaped("var_weights", var_weights, shape),
        {name: shaped(f"aux[{name!r}]", value, shape, required=True) for name, value in aux.items()}, bool(intercept),
    )  # fmt: skip


def _check_aux(family: Family, aux: dict[str, Any]) -> None:
    known = (*family.aux_names, "trials")
    for name in family.aux_names:
        if name not in aux:
            raise InputError(f"the family reads aux[{name!r}]; give aux={{{name!r}: ...}}, one number a row")
    for name in aux:
        if name not in known:
            raise InputError(f"the family does not read aux[{name!r}].{near(name, known)}")


def _design(x: Any, intercept: bool, dtype: np.dtype) -> tuple[Design, Any, list[bool]]:
    """Design of a predictor, its rows, and which of its columns are those of the matrix."""
    if x is None:
        return Constant(), (), [False]
    p, rows = x.shape[1], jnp.asarray(x, dtype)
    if not intercept:
        return Dense(p), rows, [True] * p
    both = Split((Constant(), Dense(p)), ((0,), tuple(range(1, p + 1))))
    return both, ((), rows), [False] + [True] * p
