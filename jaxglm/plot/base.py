"""What all pictures share: the library, colors, and axes without clutter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jaxglm.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = "#1f5a99"
BAND = "#1f5a99"
DOT = "#3d3d3d"
QUIET = "#5a5a5a"


def new_axes(ax: Any) -> Axes:
    """The given axes, or new ones; matplotlib's global state is touched only then.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise MissingExtraError("pictures need matplotlib: pip install matplotlib (the extra 'plot')") from None
    return pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")[1]


def tidy_axes(ax: Axes) -> None:
    """Light grid behind the data, no box, no tick marks."""
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color("#b5b5b5")
    ax.tick_params(length=0, pad=5, labelsize=9.5, labelcolor="#333333")
    ax.grid(True, color="#ebebeb", linewidth=0.8)
    ax.set_axisbelow(True)
