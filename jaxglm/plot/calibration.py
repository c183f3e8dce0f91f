"""Predicted probabilities against observed proportions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.errors import InputError, InputTypeError, NotAvailableError
from jaxglm.inference import intervals
from jaxglm.inference.observed import observed
from jaxglm.plot.base import ACCENT, FAINT, LINE, QUIET, caption, label_axes, new_axes, tidy_axes
from jaxglm.plot.marks import curve
from jaxglm.plot.names import mean_words
from jaxglm.plot.smoother import smooth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Observations that a bin should hold, and how many bins there are at most.
_FILL, _BINS = 25, 12
#: Height of the histogram below the diagonal, in parts of the axis.
_STRIP = 0.16


@dataclass(frozen=True)
class Bins:
    """Rows in order of their prediction, in bins of equal weight; each (m,).

    Attributes
    ----------
    predicted, proportion : weighted means
    low, high : limits of the proportion
    size : effective number of trials
    """

    predicted: np.ndarray
    proportion: np.ndarray
    low: np.ndarray
    high: np.ndarray
    size: np.ndarray


def draw(results: Any, *, bins: int | None = None, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Observed proportions beside the probabilities that were predicted for them; a right model follows the diagonal.

    Parameters
    ----------
    results : Results
        A model of 0/1 responses or proportions.
    bins : int, optional
        Number of groups of equal weight; by default one for each 25 observations, 3 to 12.
    alpha : float
        Wilson intervals of level 1 - alpha for the proportions, and the band of the smoother.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib.axes.Axes
        With the histogram of the predictions below the diagonal.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    InputError
        `bins` is less than 1.
    NotAvailableError
        The rows were not kept, or the mean is no probability.

    Notes
    -----
    The rows are those of the fit, so the picture flatters a model with many coefficients. Rows weigh by their number
    of trials and all weights. The size behind an interval is the number of trials and replicates; under prob_weights
    and var_weights it is that of equal weights with the same variance (Kish 1965), under an estimated dispersion that
    over the dispersion. Cost O(n log n).

    Examples
    --------
    >>> import jaxglm as jg
    >>> res = jg.fit([[0.0], [1], [2], [3], [4], [5]], [0, 0, 1, 0, 1, 1], "binomial")
    >>> ax = res.plot.calibration(bins=2)
    >>> ax.get_xlabel()
    'Predicted probability'
    """
    if bins is not None and (isinstance(bins, bool) or not isinstance(bins, (int, np.integer))):
        raise InputTypeError(f"bins must be a whole number, not {bins!r}")
    if bins is not None and bins < 1:
        raise InputError(f"bins must be at least 1, not {bins}")
    family = results.fit.model.family
    if family.mean_range != "unit":
        raise NotAvailableError(
            f"calibration compares probabilities with proportions, and the mean of the {family.title} family is no "
            "probability; see plot.residuals() and, for counts, plot.rootogram()"
        )
    seen = observed(results.fit, "plot.calibration()")
    p, weight, count = results.fittedvalues.to_numpy(), seen.share * seen.prior, seen.freq * seen.size
    if bins is None:
        bins = int(np.clip(count.sum() // _FILL, 3, _BINS))
    table = binned(p, seen.y, weight, count, bins, alpha, results.scale)
    ax = new_axes(ax, (5.6, 5.4))
    factor = intervals.quantile(alpha, np.inf)
    draw_table(ax, table, smooth(p, seen.y, weight, count, span=0.6), factor, p, weight * count)
    label_axes(ax, "Predicted probability", mean_words(results, "Observed mean", "Observed proportion"))
    caption(ax, f"{len(table.size)} groups with {100 * (1 - alpha):g}% intervals", "line: smoothed proportion")
    return ax


def binned(
    p: np.ndarray, y: np.ndarray, weight: np.ndarray, count: np.ndarray, bins: int, alpha: float, scale: float
) -> Bins:
    """Proportions of rows with similar predictions; equal predictions share a bin."""
    order = np.argsort(p, kind="stable")
    p, y, weight, count = p[order], y[order], weight[order], count[order]
    w = weight * count
    middle = np.cumsum(w) - 0.5 * w
    label = np.minimum((middle / w.sum() * bins).astype(int), bins - 1)
    first = np.concatenate([[0], np.flatnonzero(np.diff(p) > 1e-12) + 1])
    label = np.repeat(label[first], np.diff(np.append(first, len(p))))
    label = np.unique(label, return_inverse=True)[1]
    total = np.bincount(label, w)
    share = np.clip(np.bincount(label, w * y) / total, 0.0, 1.0)
    size = total**2 / np.bincount(label, weight**2 * count) / scale
    limits = intervals.wilson(share, size, alpha)
    return Bins(np.bincount(label, w * p) / total, share, limits[:, 0], limits[:, 1], size)


def draw_table(ax: Axes, table: Bins, line: Any, factor: float, p: np.ndarray, weight: np.ndarray) -> None:
    """The diagonal, groups, the smoothed line, and a histogram in a strip of its own below."""
    top = min(1.0, 1.06 * max(table.high.max(), p.max()))
    low = -_STRIP * top
    ax.plot([0, top], [0, top], color=FAINT, linewidth=1.2, zorder=1.5)
    curve(ax, line, ACCENT, factor, (0.0, 1.0))
    ax.vlines(table.predicted, table.low, table.high, color=LINE, linewidth=1.8, zorder=5)
    ax.scatter(table.predicted, table.proportion, s=32, color=LINE, linewidths=0, zorder=6)
    height, edges = np.histogram(p, bins=40, range=(0.0, top), weights=weight)
    height = height / height.max() * (_STRIP - 0.03) * top
    ax.bar(edges[:-1], height, np.diff(edges), low, align="edge", color="#b9c4cf", linewidth=0, zorder=2)
    # At the end where fewer predictions are.
    right = height[-12:].sum() < height[:12].sum()
    ax.annotate(
        "predictions", (float(right), low), (-3 if right else 3, 3), xycoords=("axes fraction", "data"),
        textcoords="offset points", fontsize=8.5, color=QUIET, ha="right" if right else "left", va="bottom",
    )  # fmt: skip
    ax.set_xlim(-0.015 * top, 1.015 * top)
    ax.set_ylim(low, 1.02 * top)
    tidy_axes(ax)
    ticks = [t for t in ax.get_yticks() if -1e-9 <= t <= top * 1.001]
    ax.set_yticks(ticks)
