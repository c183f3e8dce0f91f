"""Natural cubic splines with R's meaning (``splines::ns``).

The basis is that of cubic B-splines whose second derivative vanishes at both
boundary knots; beyond them it goes on as a straight line. The coordinates are
R's: the last columns of the orthogonal factor of the two constraints.
"""

from __future__ import annotations

import numpy as np


def natural_basis(x: np.ndarray, knots: np.ndarray, boundary: tuple[float, float], intercept: bool) -> np.ndarray:
    """Natural spline basis at `x`.

    Parameters
    ----------
    x : float64 array (n,)
        Without nan.
    knots : float64 array (k,)
        Inner knots, ascending.
    boundary : tuple of float
        Below and above these the basis is linear.
    intercept : bool
        Whether the constant lies in the span.

    Returns
    -------
    float64 array (n, k + 1 + intercept)
        Equal to the columns of R's ``ns``. Cost O(n k), memory beyond the result O(n).

    References
    ----------
    de Boor (1978), A Practical Guide to Splines, ch. X; R 4.2 ``splines::ns``.
    """
    low, high = boundary
    t = np.concatenate([[low] * 4, np.sort(knots), [high] * 4])
    size = t.size - 4
    slope = _derivative(np.eye(size), t, 3)
    bend = _derivative(slope, t[1:-1], 2)
    # With four equal knots at each end, the first and last coefficients are the values at the boundaries.
    constraints = np.stack([bend[0], bend[-1]])
    first = 0 if intercept else 1
    q = np.linalg.qr(constraints[:, first:].T, mode="complete")[0][:, 2:]
    to_natural = np.vstack([np.zeros((first, q.shape[1])), q])
    inside = np.clip(x, low, high)
    span, weights = _local(inside, t)
    out = sum(weights[:, j, None] * to_natural[span - 3 + j] for j in range(4))
    below, above = x < low, x > high
    out[below] += (x[below] - low)[:, None] * (slope[0] @ to_natural)
    out[above] += (x[above] - high)[:, None] * (slope[-1] @ to_natural)
    return out


def _derivative(coefficients: np.ndarray, t: np.ndarray, degree: int) -> np.ndarray:
    """Coefficients of the derivative, one degree lower, on the knots ``t[1:-1]``."""
    width = t[degree + 1 : -1] - t[1 : -degree - 1]
    step = np.diff(coefficients, axis=0)
    return degree * np.divide(step, width[:, None], out=np.zeros_like(step), where=width[:, None] > 0)


def _local(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The knot interval of each x, and the values there of the four cubic B-splines that are not zero."""
    span = np.clip(np.searchsorted(t, x, side="right") - 1, 3, t.size - 5)
    values = np.zeros((x.size, 4))
    values[:, 0] = 1.0
    for degree in range(1, 4):
        saved = np.zeros(x.size)
        for r in range(degree):
            right = t[span + r + 1]
            left = t[span + r + 1 - degree]
            gap = right - left
            part = np.divide(values[:, r], gap, out=np.zeros(x.size), where=gap > 0)
            values[:, r] = saved + (right - x) * part
            saved = (x - left) * part
        values[:, degree] = saved
    return span, values
