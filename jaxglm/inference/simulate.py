"""New responses drawn from a fitted model."""

from __future__ import annotations

import jax
import numpy as np

from jaxglm import precision
from jaxglm.errors import InputError, InputTypeError
from jaxglm.fitted import Fit
from jaxglm.inference.residuals import as_draws, need_rows, require
from jaxglm.kernels import Given

#: Rows drawn in one call, so that memory beyond the result stays bounded.
_ROWS = 1 << 16


def simulate(fit: Fit, n: int, seed: int | None) -> np.ndarray:
    """Draws (rows, n) of the response at the estimates, the dispersion at its Pearson estimate.

    The draw of a row depends on the seed, its position and the number of the draw, and on nothing else.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise InputTypeError(f"n is the number of draws, a whole number, not {n!r}")
    if n < 1:
        raise InputError(f"n is the number of draws and must be at least 1, not {n}")
    require(fit, "sample", "simulate()")
    source = need_rows(fit, "simulate()")
    if seed is None:
        seed = int(np.random.default_rng().integers(2**31))
    with precision.scope():
        rows, phi = as_draws(fit, source)
        given = rows.map_rows(Given(), fit.model, (fit.coefficients, phi))
        out = np.empty((len(given["phi"]), n))
        keys = jax.random.split(jax.random.key(seed), n)
        for start in range(0, len(out), _ROWS):
            part = jax.tree.map(lambda a, s=start: a[s : s + _ROWS], given)
            index = np.arange(start, start + len(part["phi"]))
            for k in range(n):
                out[start : start + _ROWS, k] = _draw(fit.model.family, keys[k], index, part)
    return out


@jax.jit
def _draw(family, key, index, given) -> jax.Array:
    def one(i, eta, phi, aux):
        return family.sample(jax.random.fold_in(key, i), eta, phi, aux)

    return jax.vmap(one)(index, given["eta"], given["phi"], given["aux"])
