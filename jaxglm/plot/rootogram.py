"""Frequencies of counts, observed and expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.errors import InputError, near
from jaxglm.inference.counts import Counts, count_table
from jaxglm.plot.base import FAINT, LINE, QUIET, caption, label_axes, new_axes, tidy_axes
from jaxglm.plot.names import counted_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Most bars; more counts than this share bars of equal width.
_BARS = 45
_STYLES = ("hanging", "standing", "suspended")


def draw(results: Any, *, width: int | None = None, style: str = "hanging", ax: Axes | None = None) -> Axes:
    """Square roots of the frequencies of each count: bars of the observed ones hang from the expected ones.

    A bar that ends above the zero line has too few observations, one that ends below it too many. Square roots make
    the gaps of rare and common counts comparable: in a right model they stay mostly within Tukey's limits of 1
    (Kleiber and Zeileis 2016).

    Parameters
    ----------
    results : Results
        A model of counts: Poisson, negative binomial, binomial with trials, or a custom likelihood of counts.
    width : int, optional
        Counts to a bar; by default 1, or a round number that gives at most 45 bars.
    style : {"hanging", "standing", "suspended"}
        Standing bars begin at 0; suspended ones show the gaps alone, which is the style for very many rows.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    InputError
        `width` is not a positive whole number, or `style` is unknown.
    NotAvailableError
        The rows were not kept, the response is no count, or its counts have no probability in this family.

    Notes
    -----
    Rows weigh by freq_weights and prob_weights on both sides (the latter scaled
    to the number of equal weights with the same variance, Kish 1965);
    variance weights change no frequency. The bar at the right holds all larger counts. Cost: n times the largest
    count, at most 2e7 probabilities.

    Examples
    --------
    >>> import jaxglm as jg
    >>> ax = jg.fit([[0.0], [1], [2], [3], [4], [5]], [1, 2, 2, 4, 9, 12], "poisson").plot.rootogram()
    >>> ax.get_ylabel()
    '√frequency'
    """
    if style not in _STYLES:
        raise InputError(
            f"style must be 'hanging', 'standing' or 'suspended', not {style!r}.{near(str(style), _STYLES)}"
        )
    if width is not None and (isinstance(width, bool) or not isinstance(width, (int, np.integer)) or width < 1):
        raise InputError(f"width is the number of counts to a bar, a whole number of at least 1, not {width!r}")
    table = count_table(results.fit)
    wide = round_width(len(table.observed) - 1) if width is None else int(width)
    ax = new_axes(ax)
    draw_bars(ax, table, wide, style)
    gaps = style == "suspended"
    label_axes(ax, f"Count of {counted_words(results)}", "√expected − √observed" if gaps else "√frequency")
    words = {
        "hanging": "Bars (observed) hang from the line (expected)",
        "standing": "Bars: observed; line: expected",
        "suspended": "Bars below 0: more observed than expected",
    }
    n = results.fit.rows.own.n_rows
    used = f"{table.n_used:,} of {n:,} rows stand for all" if table.n_used < n else ""
    caption(ax, words[style], f"{wide} counts to a bar" if wide > 1 else "", used)
    return ax


def round_width(counts: int) -> int:
    """Counts to a bar: 1, 2 or 5 times a power of ten, or the like, for at most 45 bars."""
    if counts <= _BARS:
        return 1
    return next(m * 10**e for e in range(9) for m in (1, 2, 5) if counts <= _BARS * m * 10**e)


def grouped(table: Counts, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First count, observed and expected frequency of each bar; the last bar is open and joins what is hardly there.

    Counts beyond the largest observed one form the last bar, unless less than one is expected there: they then
    belong to the bar before.
    """
    m = len(table.observed) - 1
    start = np.arange(0, m, width)
    low = np.append(start, m)
    observed = np.append(np.add.reduceat(table.observed[:-1], start), table.observed[-1])
    expected = np.append(np.add.reduceat(table.expected[:-1], start), table.expected[-1])
    if expected[-1] < 1.0 and len(low) > 1:
        low = low[:-1]
        observed, expected = (np.append(v[:-2], v[-2] + v[-1]) for v in (observed, expected))
    return low, observed, expected


def draw_bars(ax: Axes, table: Counts, width: int, style: str) -> None:
    """Bars, the expected line, and Tukey's limits around 0."""
    low, observed, expected = grouped(table, width)
    place = low + 0.5 * (width - 1)
    # The open bar is drawn as wide as the others.
    seen, meant = np.sqrt(observed), np.sqrt(expected)
    gap, standing, suspended = meant - seen, style == "standing", style == "suspended"
    base = np.zeros_like(seen) if standing or suspended else gap
    height = gap if suspended else seen
    far = ~np.full(len(low), standing) & (np.abs(gap) > 1.0)
    for mask, color in ((~far, "#9db7d5"), (far, "#e0a57f")):
        ax.bar(place[mask], height[mask], 0.82 * width, base[mask], color=color, linewidth=0, zorder=2)
    if not suspended:
        ax.plot(place, meant, color=LINE, linewidth=1.8, marker="o", markersize=3.8, zorder=4)
    if not standing:
        ax.axhspan(-1.0, 1.0, color=FAINT, alpha=0.22, linewidth=0, zorder=1)
        ax.annotate(
            "Tukey's limits ±1", (1.0, -1.0), (-4, -3), xycoords=("axes fraction", "data"), textcoords="offset points",
            fontsize=8.5, color=QUIET, ha="right", va="top",
        )  # fmt: skip
    ax.axhline(0.0, color="#6a6a6a", linewidth=1.1, zorder=3)
    ax.set_xlim(place[0] - 0.7 * width, place[-1] + 0.7 * width)
    ends = np.concatenate([base, base + height, [0.0] if suspended else meant, [0.0] if standing else [-1.0, 1.0]])
    bottom, top = ends.min(), ends.max()
    ax.set_ylim(bottom - (0.0 if standing else 0.09 * (top - bottom)), top + 0.04 * (top - bottom))
    _ticks(ax, low, place, width)
    tidy_axes(ax, grid="y")


def _ticks(ax: Axes, low: np.ndarray, place: np.ndarray, width: int) -> None:
    """First counts of the bars, as many as fit, the open one as "12+"."""
    texts = [f"{v:,}" if width == 1 else f"{v:,}–{v + width - 1:,}" for v in low]
    texts[-1] = f"{low[-1]:,}+"
    most = 14 if width == 1 else 7
    every = int(np.ceil(len(low) / most))
    chosen = list(range(0, len(low), every))
    if chosen[-1] != len(low) - 1:
        if len(low) - 1 - chosen[-1] < every:
            chosen.pop()
        chosen.append(len(low) - 1)
    ax.set_xticks(place[chosen], [texts[i] for i in chosen])
