"""Points: few as dots, many as cells that are darker where there are more; and labels that do not collide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.plot.base import DOT, FAINT, QUIET
from jaxglm.plot.smoother import Smooth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Up to so many points are drawn one by one.
MOST_POINTS = 10_000
#: Height of a line of small letters in points.
_LINE = 12.0
#: Directions in which a label may stand from its point, the best first.
_SIDES = ((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1))


def dots(n: int) -> dict[str, Any]:
    """How n points are drawn: the more there are, the smaller and lighter."""
    return {
        "s": float(np.clip(60.0 - 12.0 * np.log10(max(n, 1)), 10.0, 30.0)),
        "color": DOT,
        "alpha": float(np.clip(200.0 / max(n, 1), 0.12, 0.6)),
        "linewidths": 0,
    }


def cloud(ax: Axes, x: np.ndarray, y: np.ndarray, *, log: bool = False) -> str:
    """All points as dots, or as hexagons where they are many; returns words for the caption."""
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    if len(x) <= MOST_POINTS:
        ax.scatter(x, y, zorder=2, **dots(len(x)))
        return ""
    made = ax.hexbin(
        x, y, gridsize=(64, 36), mincnt=1, bins="log", vmin=0.15, cmap="Greys", linewidths=0.2, zorder=2,
        xscale="log" if log else "linear",
    )  # fmt: skip
    most = int(made.get_array().max())
    # The darkest cell is no black, so that lines and names show on it.
    made.norm.vmax = 4.0 * most
    return f"{len(x):,} rows in cells of up to {most:,}"


def curve(ax: Axes, found: Smooth | None, color: str, factor: float, ends: tuple = (-np.inf, np.inf)) -> None:
    """A smoothed line and its band of `factor` standard errors, cut at the ends of its range; None draws nothing."""
    if found is None:
        return
    low, high = (np.clip(found.mean + sign * factor * found.se, *ends) for sign in (-1.0, 1.0))
    ax.fill_between(found.x, low, high, color=color, alpha=0.18, linewidth=0, zorder=3)
    ax.plot(found.x, found.mean, color=color, linewidth=2.0, zorder=4)


def name_points(ax: Axes, x: Sequence[float], y: Sequence[float], names: Sequence[str]) -> None:
    """Small labels beside points, each where it hides neither another label nor a named point, within the axes."""
    inside, scale = ax.get_window_extent(), ax.figure.dpi / 72.0
    pixels = ax.transData.transform(np.column_stack([x, y]))
    taken = [_box(p[0] - 3 * scale, p[1] - 3 * scale, 6 * scale, 6 * scale) for p in pixels]
    for (px, py), cx, cy, name in zip(pixels, x, y, names, strict=True):
        text = ax.annotate(
            name, (cx, cy), (0, 0), textcoords="offset points", fontsize=8.5, color=QUIET, zorder=6,
            annotation_clip=True, bbox={"facecolor": "white", "alpha": 0.65, "linewidth": 0, "pad": 0.6},
        )  # fmt: skip
        size = text.get_window_extent()
        width, height = size.width + 2 * scale, size.height
        for side in _SIDES:
            gap = 6 * scale if 0 in side else 4 * scale
            left = px + (gap if side[0] > 0 else -gap - width if side[0] < 0 else -width / 2)
            low = py + (gap if side[1] > 0 else -gap - height if side[1] < 0 else -height / 2)
            box = _box(left, low, width, height)
            within = box[0] >= inside.x0 and box[2] <= inside.x1 and box[1] >= inside.y0 and box[3] <= inside.y1
            if within and not any(_meet(box, other) for other in taken):
                text.set_position(((left - px) / scale, (low - py) / scale))
                taken.append(box)
                break
        else:
            # No place is free: a label that would hide another says nothing.
            text.remove()


def _box(left: float, low: float, width: float, height: float) -> tuple[float, float, float, float]:
    return left, low, left + width, low + height


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def end_labels(ax: Axes, y: Sequence[float], texts: Sequence[str], colors: Sequence[str]) -> None:
    """Names of curves at their right ends, outside the axes, moved apart where they would touch."""
    order = np.argsort(y, kind="stable")
    points = np.asarray(y, float)[order]
    height = ax.get_window_extent().height * 72.0 / ax.figure.dpi
    low, high = ax.get_ylim()
    place = (points - low) / (high - low) * height
    apart = place.copy()
    for k in range(1, len(apart)):
        apart[k] = max(apart[k], apart[k - 1] + _LINE)
    # The stack as a whole stays where the curves end.
    apart -= np.mean(apart - place)
    for k, i in enumerate(order):
        ax.annotate(
            texts[i], (1.0, points[k]), (4, apart[k] - place[k]), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="center", ha="left", fontsize=9, color=colors[i], annotation_clip=False,
        )  # fmt: skip


def level_line(ax: Axes, value: float, style: str = "-") -> None:
    """A horizontal line for reference, behind the data."""
    ax.axhline(value, color=FAINT, linewidth=1.1, linestyle=style, zorder=1.5)
