"""New responses drawn from a fitted model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxglm import precision
from jaxglm.errors import InputError, InputTypeError
from jaxglm.families import Family
from jaxglm.fitted import Fit
from jaxglm.inference.residuals import as_draws, need_rows, require
from jaxglm.kernels import Given

#: Rows drawn in one call, so that memory beyond the result stays bounded.
_ROWS = 1 << 16
#: Draws of a call that code is compiled quickly for.
_FEW = 1 << 17


def simulate(fit: Fit, n: int, seed: int | None) -> np.ndarray:
    """Draws (rows, n) of the response at the estimates, the dispersion at its Pearson estimate.

    The draw of a row depends on the seed, its position and the number of the draw, and on nothing else; where others
    hold further rows, it is the position among all, and the draws are those of the rows of this process.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise InputTypeError(f"n is the number of draws, a whole number, not {n!r}")
    if n < 1:
        raise InputError(f"n is the number of draws and must be at least 1, not {n}")
    if seed is None:
        seed = int(np.random.default_rng().integers(2**31))
    with precision.scope():
        sampler = Sampler.of(fit, "simulate()", n)
        # Keys lie on the host: to take them apart on the device is a program of n results.
        keys = np.asarray(_split(jax.random.key(seed), n))
        return np.stack([sampler(key) for key in keys], axis=1)


@dataclass(frozen=True)
class Sampler:
    """Draws responses for all fitted rows.

    Attributes
    ----------
    family : Family
    given : what a draw needs of each row, see :class:`jaxglm.kernels.Given`
    first : position of the first of them
    few : whether so few responses are drawn that code is compiled quickly
    """

    family: Family
    given: dict[str, Any]
    first: int = 0
    few: bool = False

    @classmethod
    def of(cls, fit: Fit, what: str, n: int) -> Sampler:
        """For n draws of each row at the estimates, the dispersion at its Pearson estimate.

        Call it inside :func:`jaxglm.precision.scope`.

        Raises
        ------
        NotAvailableError
            The family has no distribution, or the rows were not kept; `what` cannot be had then.
        """
        require(fit, "sample", what)
        source = need_rows(fit, what)
        rows, phi = as_draws(fit, source.own)
        given = rows.map_rows(Given(), fit.model, (fit.coefficients, phi))
        return cls(fit.model.family, given, source.n_before, n * len(given["phi"]) <= _FEW)

    def __call__(self, key: np.ndarray) -> np.ndarray:
        """One response a row, (n,); `key` is the data of one."""
        draw = _draw.quick if self.few else _draw
        out = np.empty(len(self.given["phi"]))
        for start in range(0, len(out), _ROWS):
            part = jax.tree.map(lambda a, s=start: a[s : s + _ROWS], self.given)
            index = np.arange(start, start + len(part["phi"])) + self.first
            out[start : start + _ROWS] = draw(self.family, key, index, part)
        return out


def _drawn(family: Family, data: jax.Array, index: jax.Array, given: dict) -> jax.Array:
    key = jax.random.wrap_key_data(data)

    def one(i, eta, phi, aux):
        return family.sample(jax.random.fold_in(key, i), eta, phi, aux)

    return jax.vmap(one)(index, given["eta"], given["phi"], given["aux"])


_draw = precision.Tiered(_drawn, lean=True, branching=True)
_split = precision.quickly(lambda key, n: jax.random.key_data(jax.random.split(key, n)), static_argnums=1)
