"""A line through points: local linear regression, with its standard error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Points beyond this many are first averaged in bins of equal weight.
_MOST = 1000
#: Distinct values below this give no line.
_FEWEST = 5


@dataclass(frozen=True)
class Smooth:
    """A smoothed curve.

    Attributes
    ----------
    x, mean, se : (m,) places, local means and their standard errors
    """

    x: np.ndarray
    mean: np.ndarray
    se: np.ndarray


@dataclass(frozen=True)
class _Bins:
    """Points averaged: places, means, weights, squared weights, spread within."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    squares: np.ndarray
    spread: np.ndarray


def smooth(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None = None,
    count: np.ndarray | None = None,
    *,
    span: float = 0.5,
    places: int = 81,
) -> Smooth | None:
    """Local mean of y along x: lines fitted with tricube weights to the nearest share of the points.

    Parameters
    ----------
    x, y : (n,)
    weight : (n,), optional
        Weight of each point.
    count : (n,), optional
        How many equal observations a point stands for; multiplies the weight.
    span : float
        Share of the weight that each line is fitted to.

    Returns
    -------
    Smooth or None
        None where x has too few distinct values. Standard errors allow for unequal variances (the sandwich).

    Notes
    -----
    Cleveland (1979) without the robustness steps, at a grid of places. Many points are averaged in bins of equal
    weight first, so the cost is that of sorting x.
    """
    weight = np.ones(len(x)) if weight is None else weight
    count = np.ones(len(x)) if count is None else count
    keep = np.isfinite(x) & np.isfinite(y) & (weight * count > 0)
    x, y, weight, count = x[keep], y[keep], weight[keep], count[keep]
    if len(x) == 0 or len(np.unique(x[: 100 * _MOST])) < _FEWEST:
        return None
    bins = _average(x, y, weight, count)
    at = np.linspace(bins.x[0], bins.x[-1], places)
    rows = _hat(bins, np.concatenate([at, bins.x]), span)
    curve = rows @ bins.y
    error = bins.spread + (bins.y - curve[places:]) ** 2
    # Leverage of each bin on itself: residuals are smaller than errors by it.
    free = np.clip(1.0 - np.diagonal(rows[places:]), 0.1, 1.0)
    inner = np.minimum(bins.spread, error)
    error = inner + (error - inner) / free**2
    variance = rows[:places] ** 2 @ (error * bins.squares / bins.weight**2)
    return Smooth(at, curve[:places], np.sqrt(variance))


def _average(x: np.ndarray, y: np.ndarray, weight: np.ndarray, count: np.ndarray) -> _Bins:
    """Points in order of x, averaged where they are many; equal x share a bin."""
    order = np.argsort(x, kind="stable")
    x, y, weight, count = x[order], y[order], weight[order], count[order]
    w = weight * count
    if len(x) > _MOST:
        label = np.minimum((np.cumsum(w) / w.sum() * _MOST).astype(int), _MOST - 1)
        # Points with the same x go with the first of them.
        first = np.concatenate([[0], np.flatnonzero(np.diff(x)) + 1])
        label = np.repeat(label[first], np.diff(np.append(first, len(x))))
        label = np.concatenate([[0], np.cumsum(np.diff(label) != 0)])
    else:
        label = np.concatenate([[0], np.cumsum(np.diff(x) != 0)])
    total = np.bincount(label, w)
    mean_x, mean_y = np.bincount(label, w * x) / total, np.bincount(label, w * y) / total
    spread = np.bincount(label, w * (y - mean_y[label]) ** 2) / total
    return _Bins(mean_x, mean_y, total, np.bincount(label, weight**2 * count), spread)


def _hat(bins: _Bins, at: np.ndarray, span: float) -> np.ndarray:
    """What each bin contributes to the line at each place, (m, bins)."""
    distance = np.abs(at[:, None] - bins.x)
    order = np.argsort(distance, axis=1)
    reached = np.cumsum(bins.weight[order], axis=1) >= span * bins.weight.sum() * (1 - 1e-12)
    # At least three bins, so that a line is determined with one to spare.
    last = np.maximum(np.argmax(reached, axis=1), min(2, len(bins.x) - 1))
    width = np.take_along_axis(distance, np.take_along_axis(order, last[:, None], 1), 1) * (1 + 1e-6)
    kernel = bins.weight * np.clip(1.0 - (distance / np.maximum(width, 1e-300)) ** 3, 0.0, None) ** 3
    total = kernel.sum(axis=1, keepdims=True)
    center = (kernel @ bins.x)[:, None] / total
    spread = (kernel * (bins.x - center) ** 2).sum(axis=1, keepdims=True)
    slope = np.where(spread > 1e-12 * total * width**2, (at[:, None] - center) / np.maximum(spread, 1e-300), 0.0)
    return kernel / total + kernel * slope * (bins.x - center)
