"""Quantile residuals against the normal distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.errors import InputError, NotAvailableError, near
from jaxglm.inference import intervals
from jaxglm.inference.observed import observed
from jaxglm.plot import marks
from jaxglm.plot.base import ACCENT, BAND, QUIET, caption, label_axes, new_axes, tidy_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Of more points all of the tails, and every so many between, are drawn.
_MOST, _TAIL = 3000, 500
_NAMED = 3
#: Residuals that are meant to have variance 1, dispersion aside.
STANDARD = ("quantile", "deviance", "pearson", "anscombe")


def draw(
    results: Any,
    *,
    kind: str = "quantile",
    alpha: float = 0.05,
    seed: int = 0,
    detrend: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Sorted residuals against the quantiles of the standard normal distribution.

    Parameters
    ----------
    results : Results
    kind : str
        "quantile" residuals are standard normal in a right model of any family. Others ("deviance", "pearson",
        "anscombe") are divided by the square root of the dispersion and are normal only about.
    alpha : float
        Each point of a right model lies in the gray band with probability 1 - alpha (from the beta distribution of
        an order statistic).
    seed : int
        For a discrete response, whose quantile residuals are randomized; another seed gives another picture.
    detrend : bool
        Draw the differences from the diagonal, which shows more in many rows (the worm plot of van Buuren and
        Fredriks 2001).
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    InputError
        `kind` is none of these.
    NotAvailableError
        The rows were not kept, or the family has no distribution function (quasi families: kind="deviance").

    Notes
    -----
    A row with freq_weights w stands for w points at its residual. Of more than 3,000 rows the 500 on either end and
    others at even steps are drawn; the share outside the band is that of all. Cost O(n log n).

    Examples
    --------
    >>> import jaxglm as jg
    >>> ax = jg.fit([[0.0], [1], [2], [3], [4], [5]], [1, 2, 2, 4, 9, 12], "poisson").plot.qq()
    >>> ax.get_xlabel()
    'Standard normal quantile'
    """
    if kind not in STANDARD:
        raise InputError(f"kind={kind!r} has no standard distribution to compare with.{near(str(kind), STANDARD)}")
    residual = results.resid(kind, seed=seed)
    scale = 1.0 if kind == "quantile" else float(np.sqrt(results.scale))
    freq = observed(results.fit, "plot.qq()").freq
    values, index = residual.to_numpy() / (scale or np.nan), residual.index
    keep = np.flatnonzero(~np.isnan(values))
    if not len(keep):
        raise NotAvailableError("the model fits every row exactly, so its residuals have no distribution")
    order = keep[np.argsort(values[keep], kind="stable")]
    ax = new_axes(ax)
    place, band, outside = positions(values[order], freq[order], alpha)
    draw_points(ax, place, values[order], band, outside, [index[i] for i in _ends(order)], detrend)
    word = f"{kind.capitalize()} residual" + ("" if kind == "quantile" else " / √dispersion")
    label_axes(ax, "Standard normal quantile", f"{word} minus normal quantile" if detrend else word)
    shown = "" if len(order) <= _MOST else f"{len(thin(len(order))):,} of {len(order):,} rows drawn"
    caption(ax, f"{100 * np.mean(outside):.2g}% of rows outside the pointwise {100 * (1 - alpha):g}% band", shown)
    return ax


def positions(values: np.ndarray, freq: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal quantiles (m,) of sorted values, the limits (m, 2) between which each should lie, and which do not."""
    total = freq.sum()
    middle = np.cumsum(freq) - 0.5 * freq
    place = intervals.normal_quantile(middle / total)
    # The middle of w equal values is the order statistic halfway between their first and last. The limits of very many
    # points are smooth between those that are drawn.
    rows = thin(len(values))
    band = intervals.normal_quantile(intervals.order_limits(middle[rows] + 0.5, total, alpha))
    if len(rows) < len(values):
        band = np.stack([np.interp(place, place[rows], limit) for limit in band.T], axis=1)
    return place, band, (values < band[:, 0]) | (values > band[:, 1])


def thin(n: int) -> np.ndarray:
    """Which of n sorted points are drawn."""
    if n <= _MOST:
        return np.arange(n)
    inner = np.linspace(_TAIL, n - _TAIL - 1, _MOST - 2 * _TAIL).round().astype(int)
    return np.concatenate([np.arange(_TAIL), inner, np.arange(n - _TAIL, n)])


def _ends(order: np.ndarray) -> np.ndarray:
    """Rows that may be named: those at both ends."""
    return np.concatenate([order[:_NAMED], order[-_NAMED:]]) if len(order) > 2 * _NAMED else order


def draw_points(
    ax: Axes,
    place: np.ndarray,
    values: np.ndarray,
    band: np.ndarray,
    outside: np.ndarray,
    names: list,
    detrend: bool,
) -> None:
    """Points, the band, the line they should follow, and the names of the extremes outside the band."""
    rows = thin(len(place))
    trend = place if detrend else np.zeros_like(place)
    y, band = values - trend, band - trend[:, None]
    ax.fill_between(place[rows], band[rows, 0], band[rows, 1], color=BAND, alpha=0.16, linewidth=0, zorder=2)
    ax.plot(place[rows], (place - trend)[rows], color=BAND, linewidth=1.4, zorder=2.5)
    for mask, color in ((~outside, QUIET), (outside, ACCENT)):
        chosen = rows[mask[rows] & np.isfinite(y[rows])]
        ax.scatter(place[chosen], y[chosen], zorder=3, **(marks.dots(len(rows)) | {"color": color, "alpha": 0.7}))
    tidy_axes(ax)
    ends = _ends(np.arange(len(place)))
    ends_out = [k for k, i in enumerate(ends) if outside[i] and np.isfinite(y[i])]
    ends_out.sort(key=lambda k: -abs(values[ends[k]] - place[ends[k]]))
    picked = ends_out[:_NAMED]
    marks.name_points(ax, place[ends[picked]], y[ends[picked]], [str(names[k]) for k in picked]) if picked else None
