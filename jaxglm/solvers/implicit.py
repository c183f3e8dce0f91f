"""Derivatives of an optimum in everything it depends on.

Where the gradient g(theta, data) is zero, d theta = -H^-1 dg with H the observed Hessian of the objective (Krantz and
Parks 2002). The iteration itself is never differentiated, so a derivative costs about one more pass over the rows in
either mode, whatever the number of steps.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.kernels import Newton, Point
from jaxglm.solvers.information import Information
from jaxglm.solvers.traced import Problem

_HESSIAN, _GRADIENT = Newton(), Newton(gram="none")


def at(theta: jax.Array, observed: bool) -> Point:
    """Where to evaluate observed or expected totals."""
    return Point(theta, np.asarray(observed), None, np.asarray(0.0))


def factor(matrix: jax.Array, active: jax.Array) -> Information:
    """An information matrix, factored over the coefficients that are estimated; differentiable in the matrix."""
    both = active[:, None] & active[None, :]
    return Information.from_matrix(jnp.where(both, matrix, jnp.eye(len(active))), active)


@jax.custom_jvp
def optimum(problem: Problem, theta: jax.Array, active: jax.Array) -> jax.Array:
    """theta, where the gradient of the problem is zero, as a function of the problem."""
    return theta


def _optimum_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    """Implicit function theorem; linear in the tangents, so that JAX transposes it for reverse mode."""
    problem, theta, active = primals
    theta = optimum(problem, theta, active)
    leaves, structure = jax.tree.flatten(problem)
    # What does not vary is not even traced.
    varying = [
        (i, tangent) for i, tangent in enumerate(structure.flatten_up_to(tangents[0]))
        if type(tangent) is not jax.custom_derivatives.SymbolicZero
    ]  # fmt: skip
    if not varying:
        return theta, jnp.zeros_like(theta)
    places, dots = zip(*varying, strict=True)

    def gradient(*values):
        changed = dict(zip(places, values, strict=True))
        moved = structure.unflatten([changed.get(i, leaf) for i, leaf in enumerate(leaves)])
        return moved.totals(at(theta, True), _GRADIENT).gradient

    _, change = jax.jvp(gradient, tuple(leaves[i] for i in places), dots)
    hessian = problem.totals(at(theta, True), _HESSIAN).information
    return theta, -factor(hessian, active).solve(jnp.where(active, change, 0.0))


optimum.defjvp(_optimum_jvp, symbolic_zeros=True)
