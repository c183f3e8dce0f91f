"""Leverage, residuals and Cook's distances in one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.errors import InputError, InputTypeError, NotAvailableError
from jaxglm.inference.influence import ranks
from jaxglm.plot import marks
from jaxglm.plot.base import ACCENT, caption, label_axes, new_axes, tidy_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Cook's distances of the contours (Cook and Weisberg 1982).
_LEVELS = (0.5, 1.0)
#: The largest leverage with a finite standardized residual.
_FULL = 1.0 - 1e-9


def draw(results: Any, *, label: int = 5, ax: Axes | None = None) -> Axes:
    """Standardized Pearson residuals against leverage, with contours of Cook's distance.

    Parameters
    ----------
    results : Results
    label : int
        How many rows to name, those of the largest Cook's distance.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    NotAvailableError
        The rows were not kept, or the fit has no leverages.

    Notes
    -----
    Leverages and distances are those of ``influence()``, weights included: under freq_weights they are those of one
    of the replicates. The residual is the one from which Cook's distance is made, r^2 = D p (1 - h) / h, with the sign
    of the response residual, so that the contours are exact (with several predictors it is that of a single one with
    the same leverage and distance). Rows of leverage 1 fit themselves and are left out.

    Examples
    --------
    >>> import jaxglm as jg
    >>> res = jg.fit([[0.0], [1], [2], [3], [4], [5]], [1, 2, 2, 4, 9, 12], "poisson")
    >>> ax = res.plot.influence(label=2)
    >>> ax.get_xlabel()
    'Leverage'
    """
    if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
        raise InputTypeError(f"label is the number of rows to name, not {label!r}")
    if label < 0:
        raise InputError(f"label is the number of rows to name and must not be negative, not {label}")
    found = results.influence()
    hat, cook = found.hat.to_numpy(), found.cooks_distance.to_numpy()
    p = ranks(results.fit)[0]
    residual = standardized(hat, cook, results.resid("response").to_numpy(), p)
    if not np.isfinite(residual).any():
        raise NotAvailableError("the model fits every row exactly, so there are no standardized residuals")
    ax = new_axes(ax)
    draw_rows(ax, hat, residual, cook, p, [str(i) for i in found.hat.index], label)
    own = int(np.sum(hat > _FULL))
    note = f"{own:,} rows of leverage 1 left out" if own else ""
    caption(ax, f"Named: the rows of largest Cook's distance, up to {np.nanmax(cook):.3g}", note)
    return ax


def standardized(hat: np.ndarray, cook: np.ndarray, response: np.ndarray, p: int) -> np.ndarray:
    """Pearson residuals over their standard deviation, (n,), from leverages and Cook's distances."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.sqrt(cook * p * (1.0 - hat) / hat)
    return np.where((hat > 0) & (hat <= _FULL), np.copysign(size, response), np.nan)


def draw_rows(
    ax: Axes, hat: np.ndarray, residual: np.ndarray, cook: np.ndarray, p: int, names: list[str], label: int
) -> None:
    """Points, the names of the most influential, and contours within what the points span."""
    keep = np.isfinite(residual)
    marks.level_line(ax, 0.0)
    marks.cloud(ax, hat[keep], residual[keep])
    right = 1.12 * hat[keep].max()
    low, high = min(residual[keep].min(), -2.0), max(residual[keep].max(), 2.0)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    ax.set_xlim(0.0 if right > 3 * hat[keep].min() else 0.9 * hat[keep].min(), right)
    ax.set_ylim(low, high)
    rows = np.argsort(-np.where(keep, cook, -np.inf), kind="stable")[: min(label, int(keep.sum()))]
    ax.scatter(hat[rows], residual[rows], s=34, facecolor="none", edgecolor=ACCENT, linewidths=1.5, zorder=5)
    ax.locator_params(axis="x", nbins=6)
    average = np.mean(hat[keep])
    ax.axvline(average, color="#dddddd", linewidth=1.1, zorder=1.5)
    tidy_axes(ax)
    label_axes(ax, "Leverage", "Standardized Pearson residual")
    # One named below and one above: where leverage is high the contours meet.
    for level, first in zip(_LEVELS, (-1, 1), strict=True):
        _contour(ax, level, p, right, (low, high), first)
    ax.annotate(
        "mean", (average, low), (3, 4), textcoords="offset points", fontsize=8, color="#8a8a8a", va="bottom"
    )  # fmt: skip
    if len(rows):
        marks.name_points(ax, hat[rows], residual[rows], [names[i] for i in rows])


def _contour(ax: Axes, level: float, p: int, right: float, limits: tuple[float, float], first: int) -> None:
    """Where Cook's distance has a value, above and below, as far as that is in sight; named on the `first` side."""
    h = np.linspace(1e-4 * right, min(right, _FULL), 400)
    y = np.sqrt(level * p * (1.0 - h) / h)
    named = False
    for sign in (first, -first):
        end = limits[1] if sign > 0 else -limits[0]
        seen = y <= end
        # A corner of a contour tells nothing.
        if np.mean(seen) < 0.1:
            continue
        ax.plot(h[seen], sign * y[seen], color=ACCENT, linewidth=1.0, linestyle=(0, (5, 3)), zorder=1.8)
        if not named:
            last = y[seen][-1]
            outer = sign if last < 0.85 * end and sign == first else -sign
            ax.annotate(
                f"Cook {level:g}", (h[seen][-1], sign * last), (-2, 4 * outer), textcoords="offset points",
                fontsize=8.5, color=ACCENT, ha="right", va="bottom" if outer > 0 else "top",
            )  # fmt: skip
        named = True
