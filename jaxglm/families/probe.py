"""What a family gives at fixed points, by which it is known again."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.families.base import Family
from jaxglm.precision import quickly

#: Responses, and first predictors; each other predictor is a tenth more than the one before it.
_Y, _ETA = (1.0, 0.5, 2.0, 0.0, -0.7), (-1.7, -0.4, 0.0, 0.3, 1.1, 2.3)
#: Rounding on another machine, relative and absolute.
_RELATIVE, _ABSOLUTE = 1e-7, 1e-9


def probe(family: Family) -> dict[str, np.ndarray]:
    """Values of the contract at a grid of responses and predictors, each with the points first; call it in float64.

    The likelihood with its derivatives stands for all that the fit used, the mean and variance for predictions.
    """
    y, shift = (grid.ravel() for grid in np.meshgrid(_Y, _ETA))
    eta = shift[:, None] + 0.1 * np.arange(len(family.predictors))
    return {name: np.asarray(value, float) for name, value in _values(family, jnp.asarray(y), jnp.asarray(eta)).items()}


@quickly
def _values(family: Family, y: jax.Array, eta: jax.Array) -> dict[str, jax.Array]:
    aux = {name: jnp.asarray(1.0) for name in family.aux_names}
    phi = jnp.asarray(1.0)
    nll = partial(family.nll, aux=aux)

    def one(y, eta):
        mu = family.mean(eta, aux)
        found = {"nll": nll(y, eta), "score": jax.grad(nll, 1)(y, eta), "curvature": jax.hessian(nll, 1)(y, eta)}
        found |= {"mean": mu, "variance": family.variance(mu, eta, aux)}
        return found | ({"cdf": family.cdf(y, eta, phi, aux)} if family.has("cdf") else {})

    return jax.vmap(one)(y, eta)


def agree(saved: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> str | None:
    """The first value that differs beyond rounding, or None."""
    for name, value in saved.items():
        other = found.get(name)
        if other is None or other.shape != value.shape:
            return name
        if not np.allclose(other, value, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True):
            return name
    return None
