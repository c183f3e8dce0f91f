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

    def expected(y, eta, aux):
        return (family.scoring if scoring else family.expected)(y, eta, aux)

    mixed = not family.is_canonical and family.has_expected

    def several(y, eta, aux):
        def score_of(eta):
            nll, score = jax.value_and_grad(family.nll, argnums=1)(y, eta, aux)
            return score, (nll, score)

        # One sweep for all three: each more would be traced and compiled anew.
        seen, (nll, score) = jax.jacfwd(score_of, has_aux=True)(eta)
        curvature = jnp.where(observed, seen, expected(y, eta, aux)) if mixed else seen
        return RowTerms(jnp.where(family.valid(eta), nll, jnp.inf), score, curvature)

    def single(y, eta, aux):
        """The same numbers as scalars: a last axis of one entry would keep loops over rows from being vectorized."""

        def score_of(eta):
            nll, score = jax.value_and_grad(lambda e: family.nll(y, e[None], aux))(eta)
            return score, (nll, score)

        _, seen, (nll, score) = jax.jvp(score_of, (eta,), (jnp.ones_like(eta),), has_aux=True)
        curvature = jnp.where(observed, seen, expected(y, eta[None], aux)[0, 0]) if mixed else seen
        return RowTerms(jnp.where(family.valid(eta[None]), nll, jnp.inf), score, curvature)

    if eta.shape[1] > 1:
        return jax.vmap(several)(y, eta, aux)
    nll, score, curvature = jax.vmap(single)(y, eta[:, 0], aux)
    return RowTerms(nll, score[:, None], curvature[:, None, None])
