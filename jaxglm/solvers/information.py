"""The information matrix behind a contract: add, solve, diag_inverse, logdet, quad_rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from jaxglm.design.base import matmul
from jaxglm.tree import pytree


@pytree
class Information:
    """A dense information matrix held as a scaled Cholesky factor.

    With D = diag(scale), the information of the active coefficients is
    D L L' D. Scaling by the diagonal first makes the factor indifferent to
    the units of the columns. Coefficients that are not active (aliased columns)
    have a unit row in L, a zero in every solution, and NaN in no product.

    Attributes
    ----------
    lower : (P, P) L
    scale : (P,) square roots of the diagonal, 1 where not active
    active : (P,) bool
    """

    lower: jax.Array
    scale: jax.Array
    active: jax.Array

    @classmethod
    def from_matrix(cls, matrix: jax.Array, active: jax.Array, damping: jax.Array | float = 0.0) -> Information:
        """Factor a matrix; where it is not positive definite :attr:`ok` is False.

        `damping` is added to the unit diagonal of the scaled matrix.
        """
        diagonal = jnp.diagonal(matrix)
        scale = jnp.where(active & (diagonal > 0), jnp.sqrt(jnp.abs(diagonal)), 1.0)
        both = active[:, None] & active[None, :]
        scaled = jnp.where(both, matrix / (scale[:, None] * scale[None, :]), jnp.eye(len(scale)))
        scaled = scaled + jnp.where(active, damping, 0.0) * jnp.eye(len(scale))
        return cls(jnp.linalg.cholesky(scaled), scale, active)

    @classmethod
    def from_triangle(cls, triangle: jax.Array, active: jax.Array) -> Information:
        """From R with R'R = information, such as the leading block of a QR factor.

        The columns that are not active are taken out by a second QR of R itself.
        """
        kept = jnp.where(active, triangle, 0.0)
        norm = jnp.sqrt(jnp.sum(kept**2, axis=0))
        scale = jnp.where(active & (norm > 0), norm, 1.0)
        stacked = jnp.concatenate([kept / scale, jnp.diag(jnp.where(active, 0.0, 1.0))])
        upper = jnp.linalg.qr(stacked, mode="r")
        return cls(upper.T, scale, active)

    @property
    def ok(self) -> jax.Array:
        """Whether the factor exists."""
        return jnp.all(jnp.isfinite(self.lower))

    @property
    def smallest_pivot(self) -> jax.Array:
        """Smallest squared pivot of the scaled matrix: about 1 / its condition number."""
        return jnp.min(jnp.where(self.active, jnp.diagonal(self.lower) ** 2, 1.0))

    def solve(self, v: jax.Array) -> jax.Array:
        """Inverse information times v (P,) or (P, q); zero in coefficients that are not active."""
        mask = self.active if v.ndim == 1 else self.active[:, None]
        scale = self.scale if v.ndim == 1 else self.scale[:, None]
        half = solve_triangular(self.lower, jnp.where(mask, v / scale, 0.0), lower=True)
        return jnp.where(mask, solve_triangular(self.lower.T, half, lower=False) / scale, 0.0)

    def _root_inverse(self) -> jax.Array:
        """A with A'A = inverse information."""
        inverse = solve_triangular(self.lower, jnp.eye(len(self.scale)), lower=True) / self.scale
        return jnp.where(self.active[None, :] & self.active[:, None], inverse, 0.0)

    def inverse(self) -> jax.Array:
        """Inverse information, (P, P)."""
        root = self._root_inverse()
        return matmul(root.T, root)

    def diag_inverse(self) -> jax.Array:
        """Diagonal of the inverse information, (P,)."""
        return jnp.sum(self._root_inverse() ** 2, axis=0)

    def matrix(self) -> jax.Array:
        """The information itself, (P, P); zero where not active."""
        full = matmul(self.lower * self.scale[:, None], (self.lower * self.scale[:, None]).T)
        return jnp.where(self.active[:, None] & self.active[None, :], full, 0.0)

    def logdet(self) -> jax.Array:
        """Log determinant over the active coefficients."""
        logs = jnp.log(jnp.abs(jnp.diagonal(self.lower))) + jnp.log(self.scale)
        return 2.0 * jnp.sum(jnp.where(self.active, logs, 0.0))

    def quad_rows(self, columns: jax.Array) -> jax.Array:
        """x' inverse x for each row x of columns (m, P), (m,)."""
        return jnp.sum(matmul(columns, self._root_inverse().T) ** 2, axis=1)

    def add(self, matrix: jax.Array) -> Information:
        """The information with a matrix (P, P) added."""
        return Information.from_matrix(self.matrix() + matrix, self.active)
