"""The information matrix behind a contract: add, solve, diag_inverse, logdet, quad_rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from jaxglm.design.base import matmul
from jaxglm.numerics import namespace
from jaxglm.tree import pytree

#: Rows of a block, and terms of a product of blocks, for which a BLAS uses one thread; up to _MOST coefficients.
_BLOCK, _DEPTH, _MOST = 32, 256, 512
#: Coefficients up to which substitution takes less time in Python than the import of scipy.linalg (0.1 s).
_FEW = 32


@pytree
class Information:
    """A dense information matrix held as a scaled Cholesky factor.

    With D = diag(scale), the information of the active coefficients is
    D L L' D. Scaling by the diagonal first makes the factor indifferent to
    the units of the columns. Coefficients that are not active (aliased columns)
    have a unit row in L, a zero in every solution, and NaN in no product.
    Made from arrays of the host it computes with NumPy.

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
        xp = namespace(matrix)
        diagonal = xp.diagonal(matrix)
        scale = xp.where(active & (diagonal > 0), xp.sqrt(xp.abs(diagonal)), 1.0)
        both = active[:, None] & active[None, :]
        unit = xp.eye(len(scale), dtype=matrix.dtype)
        scaled = xp.where(both, matrix / (scale[:, None] * scale[None, :]), unit)
        scaled = scaled + xp.where(active, damping, 0.0).astype(matrix.dtype) * unit
        return cls(cholesky(scaled), scale, active)

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
        return namespace(self.lower).isfinite(self.lower).all()

    @property
    def smallest_pivot(self) -> jax.Array:
        """Smallest squared pivot of the scaled matrix: about 1 / its condition number."""
        xp = namespace(self.lower)
        return xp.min(xp.where(self.active, xp.diagonal(self.lower) ** 2, 1.0))

    def solve(self, v: jax.Array) -> jax.Array:
        """Inverse information times v (P,) or (P, q); zero in coefficients that are not active."""
        mask = self.active if v.ndim == 1 else self.active[:, None]
        scale = self.scale if v.ndim == 1 else self.scale[:, None]
        xp = namespace(self.lower)
        half = _forward(self.lower, xp.where(mask, v / scale, 0.0))
        return xp.where(mask, _backward(self.lower, half) / scale, 0.0)

    def _root_inverse(self) -> jax.Array:
        """A with A'A = inverse information."""
        xp = namespace(self.lower)
        inverse = _inverse(self.lower) / self.scale
        return xp.where(self.active[None, :] & self.active[:, None], inverse, 0.0)

    def root(self) -> jax.Array:
        """G with G G' = inverse information, (P, P); zero where not active."""
        return self._root_inverse().T

    def inverse(self) -> jax.Array:
        """Inverse information, (P, P)."""
        root = self._root_inverse()
        return _product(root.T, root)

    def diag_inverse(self) -> jax.Array:
        """Diagonal of the inverse information, (P,)."""
        return (self._root_inverse() ** 2).sum(axis=0)

    def matrix(self) -> jax.Array:
        """The information itself, (P, P); zero where not active."""
        root = self.lower * self.scale[:, None]
        full = _product(root, root.T)
        return namespace(full).where(self.active[:, None] & self.active[None, :], full, 0.0)

    def logdet(self) -> jax.Array:
        """Log determinant over the active coefficients."""
        xp = namespace(self.lower)
        logs = xp.log(xp.abs(xp.diagonal(self.lower))) + xp.log(self.scale)
        return 2.0 * xp.sum(xp.where(self.active, logs, 0.0))

    def quad_rows(self, columns: jax.Array) -> jax.Array:
        """x' inverse x for each row x of columns (m, P), (m,)."""
        return (_product(columns, self._root_inverse().T) ** 2).sum(axis=1)

    def add(self, matrix: jax.Array) -> Information:
        """The information with a matrix (P, P) added."""
        return Information.from_matrix(self.matrix() + matrix, self.active)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return a @ b if namespace(a) is np else matmul(a, b)


def cholesky(matrix: jax.Array) -> jax.Array:
    """Lower factor; NaN where there is none."""
    if namespace(matrix) is jnp:
        return jnp.linalg.cholesky(matrix)
    try:
        return np.linalg.cholesky(matrix) if not _BLOCK < len(matrix) <= _MOST else _in_blocks(matrix)
    except np.linalg.LinAlgError:
        return np.full_like(matrix, np.nan)


def _in_blocks(matrix: np.ndarray) -> np.ndarray:
    """Lower factor, by products so small that a BLAS uses one thread for them (Golub and Van Loan 2013, section 4.2.9).

    Others it would start turn for milliseconds after their work is done, at the expense of the next pass over the rows.
    """
    # Without the wrappers of NumPy, which take several times as long as the work on a block.
    from scipy.linalg.lapack import dpotrf, dtrtri

    p = len(matrix)
    lower = np.zeros_like(matrix)
    for start in range(0, p, _BLOCK):
        here = slice(start, min(start + _BLOCK, p))
        rest, left = np.array(matrix[start:, here]), lower[here, :start].T
        size = _BLOCK * _DEPTH // start if start else p
        for top in range(start, p, size) if start else ():
            rest[top - start : top - start + size] -= lower[top : top + size, :start] @ left
        width = here.stop - start
        corner, failed = dpotrf(rest[:width], lower=1)
        if failed:
            raise np.linalg.LinAlgError("not positive definite")
        lower[here, here] = corner
        inverse = dtrtri(corner, lower=1)[0].T
        for top in range(here.stop, p, _DEPTH):
            lower[top : top + _DEPTH, here] = rest[top - start : top - start + _DEPTH] @ inverse
    return lower


def _inverse(lower: jax.Array) -> jax.Array:
    """L^-1."""
    p, xp = len(lower), namespace(lower)
    if xp is jnp or not _FEW < p <= _MOST or not np.isfinite(lower).all():
        return _forward(lower, xp.eye(p, dtype=lower.dtype))
    from scipy.linalg.lapack import dtrtri

    inverse = np.zeros_like(lower)
    for start in range(0, p, _BLOCK):
        here = slice(start, min(start + _BLOCK, p))
        corner = dtrtri(lower[here, here], lower=1)[0]
        inverse[here, here] = corner
        for left in range(0, start, _BLOCK):
            columns = slice(left, left + _BLOCK)
            # Products as small as those of :func:`_in_blocks`, for the same reason.
            parts = [slice(top, min(top + _DEPTH, start)) for top in range(left, start, _DEPTH)]
            inverse[here, columns] = -corner @ sum(lower[here, rows] @ inverse[rows, columns] for rows in parts)
    return inverse


def _forward(lower: jax.Array, b: jax.Array) -> jax.Array:
    """L^-1 b."""
    if namespace(lower) is jnp:
        return solve_triangular(lower, b, lower=True)
    return _substitute(lower, b, False)


def _backward(lower: jax.Array, b: jax.Array) -> jax.Array:
    """L'^-1 b."""
    if namespace(lower) is jnp:
        return solve_triangular(lower.T, b, lower=False)
    return _substitute(lower, b, True)


def _substitute(lower: np.ndarray, b: np.ndarray, transposed: bool) -> np.ndarray:
    if not (len(b) and np.isfinite(lower).all()):
        return np.full_like(b, np.nan)
    if len(b) <= _FEW:
        return _by_row(lower.T[::-1, ::-1], b[::-1])[::-1] if transposed else _by_row(lower, b)
    from scipy.linalg.lapack import dtrtrs

    # The transpose lies in memory in the order of LAPACK, and solve_triangular takes as long again to get there.
    return dtrtrs(lower.T, b, lower=0, trans=int(not transposed))[0]


def _by_row(lower: np.ndarray, b: np.ndarray) -> np.ndarray:
    """L^-1 b, row by row."""
    x = np.array(b)
    for i in range(len(b)):
        x[i] = (x[i] - lower[i, :i] @ x[:i]) / lower[i, i]
    return x
