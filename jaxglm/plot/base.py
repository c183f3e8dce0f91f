"""What all pictures share: the library, colors, and axes without clutter.

Nothing here sets rcParams: every size and color is given where it is drawn, so a picture looks the same whatever the
user's settings are, and leaves them as they were.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.errors import MissingExtraError
from jaxglm.plot.names import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Blue and vermilion of Okabe and Ito's palette, darkened; they differ in lightness too.
LINE = "#1f5a99"
BAND = "#1f5a99"
ACCENT = "#c8500a"
DOT = "#3d3d3d"
QUIET = "#5a5a5a"
FAINT = "#b5b5b5"
#: Colors of groups, told apart by people with any color vision.
COLORS = (LINE, ACCENT, "#00795c", "#8a4f8a", "#a17600", "#3b8ec2", "#6b6b6b")
#: Width of a whole picture in inches, and what a caption of its letters takes.
_WIDTH, _LETTERS = 6.4, 88


def new_axes(ax: Any, size: tuple[float, float] = (_WIDTH, 4.2)) -> Axes:
    """The given axes, or new ones; matplotlib's global state is touched only then.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    return ax if ax is not None else new_figure(1, 1, size)[1]


def new_figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure and its axes.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise MissingExtraError(
            'pictures need matplotlib, the extra "plot": pip install "jaxglm[plot]" (or pip install matplotlib)'
        ) from None
    return pyplot.subplots(rows, columns, figsize=size, layout="constrained")


def tidy_axes(ax: Axes, grid: str = "both") -> None:
    """Light grid behind the data, no box, no tick marks."""
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(FAINT)
    ax.tick_params(which="both", length=0, pad=5, labelsize=9.5, labelcolor="#333333")
    ax.grid(False)
    ax.grid(True, axis=grid, which="major", color="#ebebeb", linewidth=0.8)
    ax.set_axisbelow(True)


def settle(ax: Axes) -> None:
    """Lay the figure out, so that the size of the axes on the page is known."""
    ax.figure.canvas.figure.draw_without_rendering()


def label_axes(ax: Axes, x: str, y: str) -> None:
    """Names of both axes, long ones in lines."""
    ax.set_xlabel(textwrap.fill(x, 70), color=QUIET, labelpad=6, fontsize=10)
    ax.set_ylabel(textwrap.fill(y, 44), color=QUIET, labelpad=8, fontsize=10)


def caption(ax: Axes, *parts: str) -> None:
    """What is drawn, in small letters above the axes; empty parts are left out."""
    inches = ax.get_position().width * ax.figure.get_figwidth()
    letters = max(24, int(_LETTERS * inches / (0.775 * _WIDTH)))
    text = "; ".join(part for part in parts if part)
    ax.set_title(textwrap.fill(text, letters), fontsize=9, color=QUIET, loc="left", pad=10)


def shown(value: Any) -> str:
    """A value with four significant digits, large ones in full."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (float, np.floating)):
        return str(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def plain_ticks(ax: Axes) -> None:
    """Large numbers on linear axes with separators, not as powers of ten beside the axis."""
    for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        known = axis.get_major_formatter().__class__.__name__ == "ScalarFormatter"
        if 1e4 <= max(map(abs, limits)) < 1e9 and known:
            axis.set_major_formatter("{x:,.0f}")


def level_ticks(ax: Axes, levels: list) -> None:
    """Names of factor levels under the places 0, 1, ...; slanted where they would run into each other."""
    texts = [shorten(str(level), 28) for level in levels]
    ax.set_xticks(range(len(levels)), texts)
    inches = ax.get_position().width * ax.figure.get_figwidth()
    widest = max(map(len, texts)) * 0.085 * len(levels)
    if widest > inches:
        upright = len(levels) > 5.5 * inches
        ax.set_xticks(
            range(len(levels)), texts, rotation=90 if upright else 40, ha="center" if upright else "right",
            rotation_mode="default" if upright else "anchor",
        )  # fmt: skip


def ratio_ticks(low: float, high: float, most: int = 7) -> np.ndarray:
    """Round numbers between two positive limits, evenly spread on a log axis.

    Steps of 1, 2, 5 over decades, or more or fewer of them; powers of ten where those are too many; even steps where
    the limits are close (0.9, 1, 1.1). 1 is among them if it lies within.
    """
    low, high = float(low), float(high)
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = np.array([s * 10.0**d for d in decades for s in steps])
        ticks = ticks[(ticks >= low * (1 - 1e-9)) & (ticks <= high * (1 + 1e-9))]
        if len(ticks) <= most:
            break
    else:
        every = int(np.ceil(len(ticks) / most))
        power = np.round(np.log10(ticks)).astype(int)
        return ticks[power % every == 0]
    if len(ticks) >= 4:
        return ticks
    for step in (m * 10.0**e for e in range(2, -9, -1) for m in (1.0, 0.5, 0.2)):
        ticks = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step
        ticks = ticks[ticks > 0]
        if len(ticks) >= 4:
            break
    return ticks


def log_axis(axis: Any, low: float, high: float, most: int = 7) -> None:
    """Ticks of an axis that is on the log scale already, written as plain numbers."""
    ticks = ratio_ticks(low, high, most)
    axis.set_ticks(ticks, [_ratio(t) for t in ticks])
    axis.set_ticks([], minor=True)


def _ratio(value: float) -> str:
    if 1e-4 <= value < 1e7:
        return f"{value:,.10g}" if value < 1e4 else f"{value:,.0f}"
    return f"$10^{{{round(np.log10(value))}}}$"
