"""The delta method for any differentiable function of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm import precision
from jaxglm.errors import InputTypeError
from jaxglm.fitted import Fit
from jaxglm.inference import intervals, parameters
from jaxglm.inference.covariance import Covariance

#: What JAX raises where a function asks for the numbers behind what it traces.
_UNTRACEABLE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
REMEDY = (
    "write the function with jax.numpy (import jax.numpy as jnp) and without float(), if or while on parameters "
    "(jnp.where chooses)"
)


@dataclass(frozen=True)
class Delta:
    """Functions of the parameters, m numbers in all.

    Attributes
    ----------
    estimate : (m,)
    jacobian : (m, P) derivatives in the reported parameters
    covariance : (m, m) of the estimates
    df : degrees of freedom of intervals, inf for the normal
    paths : for each number, where in the function's value it stands: keys of dicts and positions
    """

    estimate: np.ndarray
    jacobian: np.ndarray
    covariance: np.ndarray
    df: float
    paths: tuple[tuple, ...]

    @property
    def standard_errors(self) -> np.ndarray:
        """(m,), NaN where a parameter without a standard error matters."""
        return np.sqrt(np.maximum(np.diagonal(self.covariance), 0.0))

    def interval(self, alpha: float) -> np.ndarray:
        """Limits (m, 2): estimate -+ quantile times standard error."""
        return intervals.wald(self.estimate, self.standard_errors, alpha, self.df)


def delta(fit: Fit, covariance: Covariance, function: Callable[[jax.Array], Any]) -> Delta:
    """Values of a function of the parameters with their covariance J C J', J by automatic differentiation.

    Parameters
    ----------
    function : callable
        From the vector of reported parameters (P,), natural ones on their natural scale and 0 for aliased ones, to a
        number, an array or a pytree of them; made of JAX functions.

    Raises
    ------
    InputTypeError
        JAX cannot trace the function, or it gives something that is not a number.

    Notes
    -----
    One evaluation with P tangents, and O(m P^2). Oehlert (1992), A note on the delta method.
    """
    values = parameters.estimates(fit)
    values = np.where(fit.rank.active, values, 0.0)
    shape: list[Any] = []

    def flat(vector):
        leaves, structure = jax.tree_util.tree_flatten_with_path(function(vector))
        shape[:] = [(path, jnp.shape(leaf)) for path, leaf in leaves]
        parts = [_number(leaf).reshape(-1) for _, leaf in leaves]
        return jnp.concatenate(parts) if parts else jnp.zeros(0)

    with precision.scope():
        try:
            at = jnp.asarray(values)
            # As jax.jacfwd does it, with directions that no program has to make.
            estimate, slopes = jax.vmap(lambda t: jax.jvp(flat, (at,), (t,)), out_axes=(None, -1))(np.eye(len(at)))
        except _UNTRACEABLE as problem:
            first = str(problem).splitlines()[0]
            raise InputTypeError(f"the function cannot be differentiated by JAX ({first}); {REMEDY}") from problem
    slopes, estimate = np.asarray(slopes), np.asarray(estimate)
    matrix = parameters.covariance_matrix(fit, covariance)
    # A parameter without a standard error matters only where the function depends on it.
    missing = np.isnan(np.diagonal(matrix))
    with np.errstate(invalid="ignore", over="ignore"):
        found = slopes @ np.where(missing[:, None] | missing, 0.0, matrix) @ slopes.T
    unknown = (slopes[:, missing] != 0).any(axis=1)
    found[unknown[:, None] | unknown] = np.nan
    paths = tuple((*map(_key, path), *at) for path, size in shape for at in np.ndindex(size))
    return Delta(estimate, slopes, found, covariance.df, paths)


def _number(leaf: Any) -> jax.Array:
    """A part of the function's value as floating-point numbers."""
    try:
        found = jnp.asarray(leaf)
        if found.dtype == bool:
            raise TypeError("true or false")
        return found.astype(float)
    except (TypeError, ValueError) as problem:
        if isinstance(problem, _UNTRACEABLE):
            raise
        raise InputTypeError(
            f"the function must give numbers, arrays or dicts of them, not {type(leaf).__name__} ({problem})"
        ) from problem


def _key(entry: Any) -> Any:
    """The key or position that an entry of a JAX path stands for."""
    return next((getattr(entry, name) for name in ("key", "idx", "name") if hasattr(entry, name)), str(entry))
