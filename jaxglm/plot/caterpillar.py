"""One coefficient over many groups, in order of size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.errors import InputError, NotAvailableError, near
from jaxglm.plot.base import ACCENT, DOT, LINE, QUIET, caption, new_axes, settle, tidy_axes
from jaxglm.plot.names import readable, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Up to so many groups have their names beside them.
_NAMED = 60


@dataclass(frozen=True)
class GroupedPlot:
    """Pictures of the fits of many groups."""

    results: Any

    def caterpillar(self, term: str, *, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
        """A coefficient and its interval in every group, smallest at the bottom; see :func:`draw`."""
        return draw(self.results, term, alpha=alpha, ax=ax)


def draw(results: Any, term: str, *, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """Estimates of one coefficient in all groups with their confidence intervals, in order of size.

    Intervals that exclude 0 at level alpha are drawn in full, others pale; the dashed line is the median. Groups
    without an estimate are left out and counted in the caption.

    Parameters
    ----------
    results : GroupedResults
    term : str
        Name of a coefficient, as in ``params``.
    alpha : float
        Intervals of level 1 - alpha.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    InputError
        There is no such coefficient.
    NotAvailableError
        No group has an estimate of it.

    Examples
    --------
    >>> import pandas as pd
    >>> import jaxglm as jg
    >>> df = pd.DataFrame({"store": ["a"] * 4 + ["b"] * 4, "price": [1, 2, 3, 4] * 2, "sold": [9, 7, 4, 2, 5, 5, 3, 1]})
    >>> ax = jg.glm_groups("sold ~ price", df, by="store", family="poisson").plot.caterpillar("price")
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['a', 'b']
    """
    names = list(results.labels.texts)
    if term not in names:
        raise InputError(f"there is no coefficient {term!r}.{near(str(term), names)}")
    place = names.index(term)
    estimate = results.params.to_numpy()[:, place]
    limits = results.conf_int(alpha).to_numpy().reshape(len(results), len(names), 2)[:, place]
    there = np.flatnonzero(np.isfinite(estimate))
    if not len(there):
        raise NotAvailableError(f"no group has an estimate of {term!r}")
    order = there[np.argsort(estimate[there], kind="stable")]
    estimate, limits = estimate[order], limits[order]
    named = len(order) <= _NAMED
    ax = new_axes(ax, (6.4, 1.4 + 0.22 * len(order) if named else 6.0))
    y = np.arange(len(order))
    clear = (limits[:, 0] > 0) | (limits[:, 1] < 0)
    # Lines of many groups lie on each other, so that only pale ones show the dots.
    full, pale = (0.9, 0.35) if named else (0.4, 0.15)
    for mask, strength in ((clear, full), (~clear, pale)):
        ax.hlines(
            y[mask], limits[mask, 0], limits[mask, 1], color=LINE, alpha=strength, linewidth=1.6 if named else 0.6
        )
    ax.scatter(estimate, y, s=22 if named else 3, color=LINE if named else DOT, zorder=3, linewidths=0)
    ax.axvline(0.0, color="#8a8a8a", linewidth=1.1, zorder=1.5)
    ax.axvline(float(np.median(estimate)), color=ACCENT, linewidth=1.1, linestyle="--", zorder=1.6)
    ax.set_ylim(-0.8, len(order) - 0.2)
    keys = results.keys[order]
    ax.set_yticks(y if named else [], [shorten(_text(key), 28) for key in keys] if named else [])
    tidy_axes(ax, grid="x")
    ax.set_xlabel(readable(term), color=QUIET, labelpad=6)
    settle(ax)
    left = len(results) - len(order)
    caption(
        ax, f"{len(order):,} groups with {100 * (1 - alpha):g}% confidence intervals", "dashed: median",
        f"{left:,} without an estimate left out" if left else "",
    )  # fmt: skip
    return ax


def _text(key: Any) -> str:
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
