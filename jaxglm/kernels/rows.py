"""Score and curvature of each row, by automatic differentiation in eta."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxglm.families import Family


class RowTerms(NamedTuple):
    """Value (m,), score d nll / d eta (m, K) and curvature (m, K, K) of each row, unweighted."""

    nll: jax.Array
    score: jax.Array
    curvature: jax.Array


def row_terms(
    family: Family, y: jax.Array, eta: jax.Array, aux: dict, observed: jax.Array | bool, scoring: bool = False
) -> RowTerms:
    """Derivatives of the negative log-likelihood of each row.

    Parameters
    ----------
    y : (m,)
    eta : (m, K)
    observed : bool, may be traced
        Observed curvature instead of expected. Without effect where they agree (canonical links)
        or where the family has no expected curvature.
    scoring : bool
        The family's positive definite curvature for steps instead of the expected one, where they differ.

    Notes
    -----
    Differentiation is in eta, row by row, never in the coefficients; XLA compiles it to the cost of
    hand-written derivatives. Rows whose mean is invalid get an infinite value.
    """

    def terms(y, eta, aux):
        def score_of(eta):
            nll, score = jax.value_and_grad(family.nll, argnums=1)(y, eta, aux)
            return score, (nll, score)

        # One sweep for all three: each more would be traced and compiled anew.
        seen, (nll, score) = jax.jacfwd(score_of, has_aux=True)(eta)
        curvature = seen
        if not family.is_canonical and family.has_expected:
            mean = family.scoring if scoring else family.expected
            curvature = jnp.where(observed, seen, mean(y, eta, aux))
        return RowTerms(jnp.where(family.valid(eta), nll, jnp.inf), score, curvature)

    return jax.vmap(terms)(y, eta, aux)
