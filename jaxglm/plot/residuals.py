"""Residuals against what they should not depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.errors import InputError, NotAvailableError, near
from jaxglm.frames import Factor
from jaxglm.inference import intervals
from jaxglm.inference.observed import observed
from jaxglm.inference.residuals import KINDS
from jaxglm.plot import marks
from jaxglm.plot.base import ACCENT, caption, label_axes, level_ticks, log_axis, new_axes, plain_ticks, tidy_axes
from jaxglm.plot.names import mean_words
from jaxglm.plot.smoother import smooth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Kinds in the order in which the first that the family has is taken.
_PREFERRED = ("quantile", "deviance", "pearson", "response")
#: A positive mean that spans such a factor is drawn on a log axis.
_SPAN = 20.0
#: Of few rows the most extreme are named, if a standard normal hardly gives them.
_NAMED, _EXTREME = 3, 3.0


def draw(
    results: Any,
    *,
    kind: str | None = None,
    against: str = "fitted",
    absolute: bool = False,
    alpha: float = 0.05,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Residuals of every row with a smoothed mean, which should stay at 0.

    Parameters
    ----------
    results : Results
    kind : str, optional
        A kind of ``resid``. By default "quantile", standard normal in a right model whatever the family (Dunn and
        Smyth 1996); "deviance", "pearson" or "response" where the family has no distribution function.
    against : str
        "fitted" (the mean; on a log axis where it is positive and spans more than a factor of 20), "linear" (the
        linear predictor), or a column of the data.
    absolute : bool
        Draw sqrt(abs(residual)) instead, which shows whether the variance is right (scale-location).
    alpha : float
        The band covers the local mean with probability 1 - alpha at each place; where it leaves 0, the mean of the
        model is wrong.
    seed : int
        For quantile residuals of a discrete response.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    InputError
        `kind` or `against` is unknown.
    NotAvailableError
        The rows (or, for a column, the data) were not kept; or the family lacks what the kind needs.

    Notes
    -----
    The smoother weighs rows by freq_weights and prob_weights. Up to 10,000 rows are drawn one by one, and the most
    extreme named; more are counted in cells. Cost O(n log n).

    Examples
    --------
    >>> import jaxglm as jg
    >>> ax = jg.fit([[0.0], [1], [2], [3], [4], [5]], [1, 2, 2, 4, 9, 12], "poisson").plot.residuals()
    >>> ax.get_ylabel()
    'Quantile residual'
    """
    kind = default_kind(results) if kind is None else kind
    residual = results.resid(kind, seed=seed)
    x, name, levels = _against(results, against)
    seen = observed(results.fit, "plot.residuals()")
    y, word = residual.to_numpy(), f"{kind.capitalize()} residual"
    target = 0.0
    if absolute:
        y, word = np.sqrt(np.abs(y)), f"√|{kind} residual|"
        # The mean of sqrt|z| for a standard normal z, where the residuals are meant to be one.
        target = 0.8222 if kind == "quantile" else np.nan
    log = against == "fitted" and results.fit.model.family.mean_range != "unit" and 0 < _SPAN * x.min() < x.max()
    ax = new_axes(ax)
    level = f"{100 * (1 - alpha):g}% band"
    note = draw_cloud(ax, x, y, seen.share, seen.freq, target, intervals.quantile(alpha, np.inf), levels, log)
    if levels is None and len(y) <= marks.MOST_POINTS and not absolute and kind != "response":
        _name_extremes(ax, x, y, residual.index)
    label_axes(ax, name, word)
    caption(ax, f"Smoothed mean with {level}" if levels is None else f"Means with {level[:-5]} intervals", note)
    return ax


def default_kind(results: Any) -> str:
    """The best kind of residual that the family has."""
    family = results.fit.model.family
    for kind in _PREFERRED:
        if all(family.has(method) for method in KINDS[kind]):
            return kind
    raise NotAvailableError(
        "this family has no kind of residual; give mean= and variance=, or cdf=, to jg.custom_family()"
    )


def _against(results: Any, against: str) -> tuple[np.ndarray, str, list | None]:
    """Values, their name, and the levels of a factor."""
    if against == "fitted":
        return results.fittedvalues.to_numpy(), mean_words(results, "Fitted mean", "Fitted probability"), None
    if against == "linear":
        return results.linear_predictor.to_numpy(), "Linear predictor", None
    table = results.intake.observed(results.fit)
    if table is None:
        raise NotAvailableError(
            f"residuals against {against!r} need the columns of the data, which were not kept (a stream, "
            "keep_data=False, or a result from a file)"
        )
    if against not in table.names:
        raise InputError(
            f"against= must be 'fitted', 'linear' or a column of the data, not {against!r}.{near(against, table.names)}"
        )
    column = table[against]
    if isinstance(column, Factor):
        return column.codes.astype(float), against, [str(level) for level in column.levels]
    if not hasattr(column, "values"):
        raise InputError(
            f"column {against!r} holds dates or times; add a column of numbers, such as days since a start"
        )
    return np.asarray(column.values, float), against, None


def draw_cloud(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    freq: np.ndarray,
    target: float,
    factor: float,
    levels: list | None,
    log: bool,
) -> str:
    """Points with the line they should follow and the line they do follow; returns words for the caption."""
    if log:
        ax.set_xscale("log")
    if np.isfinite(target):
        marks.level_line(ax, target)
    if levels is not None:
        note = _strips(ax, x, y, weight, freq, factor, levels)
    else:
        note = marks.cloud(ax, x, y, log=log)
        found = smooth(np.log(x) if log else x, y, weight, freq)
        if found is not None and log:
            found = type(found)(np.exp(found.x), found.mean, found.se)
        marks.curve(ax, found, ACCENT, factor)
    tidy_axes(ax)
    if log:
        log_axis(ax.xaxis, *ax.get_xlim())
    plain_ticks(ax)
    return note


def _strips(ax: Axes, codes, y, weight, freq, factor: float, levels: list) -> str:
    """Points by level with the mean of each."""
    # A stream of its own: that of quantile residuals would make the shift depend on them.
    shift = np.random.default_rng([0, 1]).uniform(-0.28, 0.28, len(codes))
    note = marks.cloud(ax, codes + shift, y)
    for k in range(len(levels)):
        here = codes == k
        w = weight[here] * freq[here]
        if not w.sum() > 0:
            continue
        mean = np.average(y[here], weights=w)
        n = freq[here].sum()
        se = np.sqrt(np.sum(freq[here] * weight[here] ** 2 * (y[here] - mean) ** 2)) / w.sum()
        half = factor * se * np.sqrt(n / (n - 1)) if n > 1 else np.nan
        ax.errorbar(k, mean, yerr=half, fmt="o", markersize=6, color=ACCENT, linewidth=2.0, zorder=4)
    ax.set_xlim(-0.6, len(levels) - 0.4)
    level_ticks(ax, levels)
    return note


def _name_extremes(ax: Axes, x: np.ndarray, y: np.ndarray, index: Any) -> None:
    size = np.where(np.isfinite(y) & np.isfinite(x), np.abs(y), -np.inf)
    scale = np.sqrt(np.mean(size[size >= 0] ** 2)) if np.any(size >= 0) else np.inf
    rows = np.argsort(-size, kind="stable")[:_NAMED]
    rows = rows[size[rows] > _EXTREME * max(scale, 1.0)]
    marks.name_points(ax, x[rows], y[rows], [str(index[i]) for i in rows])
