"""Score and curvature of each row, by automatic differentiation in eta."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxglm.families import Family


class RowTerms(NamedTuple):
    """Value (m,), score d nll / d eta (m, K) and curvature (m, K, K) or None of each row, unweighted."""

    nll: jax.Array
    score: jax.Array
    curvature: jax.Array | None


def row_terms(
    family: Family, y: jax.Array, eta: jax.Array, aux: dict, observed: jax.Array | bool, scoring: bool = False,
    curved: bool = True,
) -> RowTerms:  # fmt: skip
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
    curved : bool
        False for None in place of the curvature, which then is not even traced.

    Notes
    -----
    Differentiation is in eta, row by row, never in the coefficients; XLA compiles it to the cost of
    hand-written derivatives. Rows whose mean is invalid get an infinite value.
    """
    if not curved:
        return RowTerms(*jax.vmap(lambda y, eta, aux: _sloped(family, y, eta, aux))(y, eta, aux), None)
    if eta.shape[1] > 1:
        return jax.vmap(lambda y, eta, aux: _several(family, y, eta, aux, observed, scoring))(y, eta, aux)
    nll, score, curvature = jax.vmap(lambda y, eta, aux: _single(family, y, eta, aux, observed, scoring))(
        y, eta[:, 0], aux
    )
    return RowTerms(nll, score[:, None], curvature[:, None, None])


def _curvature(family: Family, y, eta, aux: dict, seen: jax.Array, observed, scoring: bool) -> jax.Array:
    """The observed curvature or the other one, (K, K)."""
    if family.is_canonical or not family.has_expected:
        return seen
    other = family.scoring(y, eta, aux) if scoring else family.expected_beside(seen, y, eta, aux)
    return jnp.where(observed, seen, other)


# Jitted inside of what is jitted, so that all kernels share one trace of the derivatives of a row.
@partial(jax.jit, static_argnums=5)
def _several(family: Family, y, eta, aux: dict, observed, scoring: bool) -> RowTerms:
    """Terms of one row."""

    def score_of(eta):
        nll, score = jax.value_and_grad(family.nll, argnums=1)(y, eta, aux)
        return score, (nll, score)

    # One sweep for all three: each more would be traced and compiled anew.
    seen, (nll, score) = jax.jacfwd(score_of, has_aux=True)(eta)
    curvature = _curvature(family, y, eta, aux, seen, observed, scoring)
    return RowTerms(jnp.where(family.valid(eta), nll, jnp.inf), score, curvature)


@jax.jit
def _sloped(family: Family, y, eta, aux: dict) -> tuple[jax.Array, jax.Array]:
    """Value and score of one row."""
    if eta.shape[0] > 1:
        nll, score = jax.value_and_grad(family.nll, argnums=1)(y, eta, aux)
    else:
        nll, score = jax.value_and_grad(lambda e: family.nll(y, e[None], aux))(eta[0])
        score = score[None]
    return jnp.where(family.valid(eta), nll, jnp.inf), score


@partial(jax.jit, static_argnums=5)
def _single(family: Family, y, eta, aux: dict, observed, scoring: bool) -> RowTerms:
    """The same numbers as scalars: a last axis of one entry would keep loops over rows from being vectorized."""

    def score_of(eta):
        nll, score = jax.value_and_grad(lambda e: family.nll(y, e[None], aux))(eta)
        return score, (nll, score)

    _, seen, (nll, score) = jax.jvp(score_of, (eta,), (jnp.ones_like(eta),), has_aux=True)
    curvature = _curvature(family, y, eta[None], aux, seen[None, None], observed, scoring)[0, 0]
    return RowTerms(jnp.where(family.valid(eta[None]), nll, jnp.inf), score, curvature)
