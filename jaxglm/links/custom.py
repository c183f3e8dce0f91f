"""A link from the user's own inverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm import precision
from jaxglm.errors import InputError, InputTypeError
from jaxglm.links.base import Link
from jaxglm.tree import pytree, static

#: Where a new inverse is tried out.
_PROBE = np.linspace(-8.0, 8.0, 65)
#: Relative error of a central difference of step 1e-5 beside an exact derivative.
_SLOPE_ERROR = 1e-5
#: Bisection runs over asinh(eta), so that it covers |eta| up to 1e8 and still resolves eta near 0.
_WIDEST, _HALVINGS = 19.0, 70


@pytree
class CustomLink(Link):
    """Made by :meth:`jaxglm.Link.from_inverse`; functions are compared by identity."""

    function: Callable = static()
    function_complement: Callable | None = static(default=None)
    range: str = static(default="real")
    recedes: tuple[bool, bool] = static(default=(False, False))
    rising: bool = static(default=True)

    name = "custom"

    def link(self, mu: jax.Array) -> jax.Array:
        """By bisection; NaN for values that the inverse does not take. Only starting values need it."""
        sign = 1.0 if self.rising else -1.0

        def halve(_, ends):
            low, high = ends
            middle = 0.5 * (low + high)
            below = sign * self.function(jnp.sinh(middle)) < sign * mu
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        wide = jnp.full_like(mu, _WIDEST)
        low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (-wide, wide))
        inside = (low > -_WIDEST) & (high < _WIDEST)
        return jnp.where(inside, jnp.sinh(0.5 * (low + high)), jnp.nan)

    def inverse(self, eta: jax.Array) -> jax.Array:
        return self.function(eta)

    def complement(self, eta: jax.Array) -> jax.Array:
        return 1.0 - self.function(eta) if self.function_complement is None else self.function_complement(eta)

    def log_inverse(self, eta: jax.Array) -> jax.Array:
        return _log(self.inverse(eta), self.complement(eta)) if self.range == "unit" else super().log_inverse(eta)

    def log_complement(self, eta: jax.Array) -> jax.Array:
        return _log(self.complement(eta), self.inverse(eta)) if self.range == "unit" else super().log_complement(eta)

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", "custom")
        return "custom" if name == "<lambda>" else name


def _log(share: jax.Array, rest: jax.Array) -> jax.Array:
    """log(share) with share + rest = 1, from the smaller of the two."""
    small = share < 0.5
    return jnp.where(small, jnp.log(jnp.where(small, share, 1.0)), jnp.log1p(-jnp.where(small, 0.0, rest)))


def from_inverse(function: Callable[[Any], Any], complement: Callable[[Any], Any] | None = None) -> CustomLink:
    """See :meth:`jaxglm.links.base.Link.from_inverse`."""
    for what, value in (("fn", function), ("complement", complement)):
        if not callable(value) and not (what == "complement" and value is None):
            raise InputTypeError(f"{what} must be a function of eta made of jax.numpy operations, not {value!r}")
    with precision.scope():
        eta = jnp.asarray(_PROBE)
        mu = _evaluate(function, eta, "fn")
        slope = _evaluate(jax.grad(function), eta, "the derivative of fn")
        _check_values(mu, slope)
        h = 1e-5
        rough = (_evaluate(function, eta + h, "fn") - _evaluate(function, eta - h, "fn")) / (2 * h)
        off = np.abs(rough - slope) - _SLOPE_ERROR * np.abs(slope) - 1e-9 * (1.0 + np.abs(mu))
        if (off > 0).any():
            i = int(np.argmax(off))
            raise InputError(
                f"the derivative of fn at eta = {_PROBE[i]:g} is {slope[i]:.6g} by autodiff but {rough[i]:.6g} by "
                "differences; write fn with smooth jax.numpy functions"
            )
        if complement is not None:
            rest = _evaluate(complement, eta, "complement")
            if (np.abs(mu + rest - 1.0) > 1e-9).any():
                i = int(np.argmax(np.abs(mu + rest - 1.0)))
                raise InputError(
                    f"complement must be 1 - fn, but at eta = {_PROBE[i]:g} they are {rest[i]:.6g} and {mu[i]:.6g}"
                )
        # A user's function may overflow out there, which says that it has no finite limit.
        far = np.asarray(jax.vmap(function)(jnp.asarray([-700.0, 700.0])), float)
    kind = "real"
    if (mu >= 0).all() and not (np.min(far) < 0):
        kind = "unit" if (mu <= 1).all() and not (np.max(far) > 1) else "positive"
    rising = bool(mu[-1] > mu[0])
    low, high = (far[0] < 1e-3, far[1] > 1 - 1e-3 if kind == "unit" else not far[1] < 1e3)
    recedes = (bool(low), bool(high)) if rising and kind != "real" else (False, False)
    return CustomLink(function, complement, kind, recedes, rising)


def _evaluate(function: Callable, eta: jax.Array, what: str) -> np.ndarray:
    """A function at each eta; its failure as an error of ours."""
    try:
        made = precision.quickly(jax.vmap(function))(eta)
    except Exception as problem:
        raise InputError(
            f"{what} fails for a scalar eta ({type(problem).__name__}: {str(problem).splitlines()[0]}); write it with "
            "jax.numpy functions of one number, without Python branches on its value"
        ) from problem
    if jnp.shape(made) != eta.shape:
        raise InputError(f"{what} must give one number for each eta, but its shape is {jnp.shape(made)[1:]}")
    return np.asarray(made, float)


def _check_values(mu: np.ndarray, slope: np.ndarray) -> None:
    for what, values in (("fn", mu), ("the derivative of fn", slope)):
        if not np.isfinite(values).all():
            i = int(np.argmin(np.isfinite(values)))
            raise InputError(
                f"{what} is {values[i]} at eta = {_PROBE[i]:g}; it must be finite for every real eta (for a link that "
                "is defined only for eta > 0 write a subclass of jg.Link with valid_eta = 'positive')"
            )
    # In a tail the mean may round to the end of its range, so that only the middle must change strictly.
    steps = np.diff(mu) * np.sign(mu[-1] - mu[0])
    wrong = (steps < 0) | ((steps == 0) & (np.abs(_PROBE[1:]) <= 1))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InputError(f"fn must be strictly monotone, but does not change its way near eta = {_PROBE[i]:g}")
