"""Which columns depend on earlier ones, decided as R does: later columns go, order is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxglm.solvers.information import cholesky

#: Residual of a column, relative to its length, that a Gram matrix still resolves.
GRAM_TOLERANCE = 1e-6
#: Residual below which a column is aliased (R's glm: qr tolerance 1e-11).
QR_TOLERANCE = 1e-11
#: :func:`resolution` from which products in single precision serve.
SINGLE = 1e-3


@dataclass(frozen=True)
class Rank:
    """Outcome of a rank decision over P columns.

    Attributes
    ----------
    active : bool (P,), columns that are kept
    doubtful : whether a Gram matrix could not decide, so that a QR factor is needed
    dependence : for each aliased column, the coefficients (P,) with which earlier columns give it
    """

    active: np.ndarray
    doubtful: bool
    dependence: dict[int, np.ndarray]


def full(p: int) -> Rank:
    """The outcome where all p columns are kept."""
    return Rank(np.ones(p, bool), False, {})


def from_gram(gram: np.ndarray, tolerance: float = GRAM_TOLERANCE) -> Rank:
    """Order-preserving Cholesky of X'X; a pivot that rounding may have made is called doubtful."""
    length = np.sqrt(np.diagonal(gram))
    safe = np.where(length > 0, length, 1.0)
    work = gram / np.outer(safe, safe)
    p = len(length)
    if p and length.all():
        # Where every pivot is large there is nothing to decide.
        whole = cholesky(work)
        if np.isfinite(whole).all() and np.min(np.diagonal(whole)) > tolerance:
            return full(p)
    lower = np.zeros((p, p))
    active = np.zeros(p, bool)
    doubtful = False
    for j in range(p):
        if length[j] == 0:
            continue
        pivot = work[j, j] - np.sum(lower[j, :j] ** 2)
        if pivot < tolerance**2:
            doubtful = True
            continue
        active[j] = True
        lower[j, j] = np.sqrt(pivot)
        lower[j + 1 :, j] = (work[j + 1 :, j] - lower[j + 1 :, :j] @ lower[j, :j]) / lower[j, j]
    return Rank(active, doubtful, {int(j): np.zeros(p) for j in np.flatnonzero(length == 0)})


def from_triangle(triangle: np.ndarray, tolerance: float = QR_TOLERANCE, floor: np.ndarray | float = 0.0) -> Rank:
    """Modified Gram-Schmidt, twice for each column, over the columns of R with R'R = X'X.

    `floor` (P,) is the length of what rounding of each column may have made.
    """
    floor = np.broadcast_to(floor, triangle.shape[1:])
    length = np.sqrt(np.sum(triangle**2, axis=0))
    p = triangle.shape[1]
    active = np.zeros(p, bool)
    basis = np.zeros((triangle.shape[0], 0))
    for j in range(p):
        if length[j] == 0:
            continue
        residual = triangle[:, j] / length[j]
        for _ in range(2):
            residual = residual - basis @ (basis.T @ residual)
        size = np.linalg.norm(residual)
        if size > max(tolerance, floor[j] / length[j]):
            active[j] = True
            basis = np.column_stack([basis, residual / size])
    return Rank(active, False, _dependence(triangle, active))


def _dependence(triangle: np.ndarray, active: np.ndarray) -> dict[int, np.ndarray]:
    """Coefficients of each aliased column on the kept columns before it."""
    found = {}
    for j in np.flatnonzero(~active):
        before = np.flatnonzero(active[:j])
        coefficients = np.zeros(len(active))
        if len(before) and np.any(triangle[:, j]):
            scale = np.sqrt(np.sum(triangle[:, before] ** 2, axis=0))
            solution = np.linalg.lstsq(triangle[:, before] / scale, triangle[:, j], rcond=None)[0]
            solution[np.abs(solution) < 1e-8 * np.max(np.abs(solution))] = 0.0
            coefficients[before] = solution / scale
        found[int(j)] = coefficients
    return found


def resolution(matrix: np.ndarray, spread: np.ndarray) -> float:
    """How well products of columns in single precision resolve a positive definite matrix; 1 is best.

    The smallest part of a column that earlier columns do not explain, by the largest, in units of how much each column
    spreads; columns of which the products are exact (spread 0) do not count.
    """
    rounded = spread > 0
    if not rounded.any():
        return 1.0
    length = np.sqrt(np.diagonal(matrix))
    lower = cholesky(matrix / np.outer(length, length))
    if not np.isfinite(lower).all():
        return 0.0
    left = (np.diagonal(lower) * length)[rounded] / spread[rounded]
    return float((left.min() / left.max()) ** 2)
