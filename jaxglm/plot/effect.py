"""The fitted curve over the data."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm.errors import InputError, NotAvailableError, near
from jaxglm.frames import Factor, Table
from jaxglm.plot.base import BAND, DOT, LINE, QUIET, new_axes, tidy_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: More points than this hide each other; a random part of them is drawn.
_MOST_POINTS = 4000
#: Where outcomes of 0 and 1 are drawn: this far below 0 and above 1.
_STRIP = (0.025, 0.085)


def draw(
    results: Any,
    variable: str,
    *,
    at: dict[str, Any] | None = None,
    alpha: float = 0.05,
    points: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Predicted mean against one variable, the others held fixed, with its confidence band over the data.

    Parameters
    ----------
    results : Results
    variable : str
        A column of the data (not an expression of one). Numbers give a curve, factors one point a level.
    at : dict, optional
        Values at which to hold other columns; by default numbers at their mean, factors at their commonest level.
    alpha : float
        The band covers the mean with probability 1 - alpha at each place (Wald, on the link scale, transformed).
    points : bool
        Draw the observed responses; outcomes of 0 and 1 are spread in strips below 0 and
        above 1, so that they can be counted and hide nothing.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    InputError
        The column is not part of the model.

    Examples
    --------
    >>> import pandas as pd
    >>> import jaxglm as jg
    >>> df = pd.DataFrame({"dose": [1, 2, 3, 4, 5, 6], "died": [0, 0, 1, 0, 1, 1]})
    >>> ax = jg.glm("died ~ dose", df, family="binomial").plot.effect("dose")
    >>> ax.get_xlabel()
    'dose'
    """
    table = results.intake.observed(results.fit)
    if table is None:
        raise NotAvailableError(
            "plot.effect() needs the columns of the data, which were not kept (a stream, or keep_data=False)"
        )
    needed = [name for name in results.intake.needs if name in table.names]
    if variable not in needed:
        raise InputError(f"{variable!r} is not a column that the model uses.{near(variable, needed)}")
    for name in at or {}:
        if name not in needed or name == variable:
            raise InputError(f"at={{{name!r}: ...}} does not name another column of the model.{near(name, needed)}")
    column = table[variable]
    levels = list(column.levels) if isinstance(column, Factor) else None
    grid = np.arange(len(levels)) if levels else np.linspace(np.nanmin(column.values), np.nanmax(column.values), 200)
    values = levels if levels else grid
    frame = pd.DataFrame({name: _held(table, name, at or {}, len(grid)) for name in needed if name != variable})
    frame[variable] = pd.Series(values, dtype=object) if levels else values
    found = results.get_prediction(frame, **results.intake.mean_offset()).summary_frame(alpha, obs=False)
    ax = new_axes(ax)
    if points:
        _points(ax, results, column, levels)
    if levels:
        error = np.abs(found[["mean_ci_lower", "mean_ci_upper"]].to_numpy().T - found["mean"].to_numpy())
        ax.errorbar(grid, found["mean"], yerr=error, fmt="o", markersize=7, color=LINE, linewidth=2.2, zorder=4)
        ax.set_xlim(-0.6, len(levels) - 0.4)
        ax.set_xticks(grid, [str(v) for v in levels])
    else:
        ax.fill_between(
            grid, found["mean_ci_lower"], found["mean_ci_upper"], color=BAND, alpha=0.2, linewidth=0, zorder=3
        )
        ax.plot(grid, found["mean"], color=LINE, linewidth=2.2, zorder=4)
    _label(ax, results, variable, alpha, frame, needed)
    tidy_axes(ax)
    return ax


def _held(table: Table, name: str, at: dict[str, Any], n: int) -> Any:
    """n times the value at which a column is held."""
    column = table[name]
    if isinstance(column, Factor):
        commonest = column.levels[int(np.bincount(column.codes[column.codes >= 0]).argmax())]
        return pd.Series([at.get(name, commonest)] * n, dtype=object)
    return np.full(n, at[name] if name in at else np.nanmean(column.values))


def _points(ax: Axes, results: Any, column: Any, levels: list | None) -> None:
    """Observed responses against the variable."""
    rng = np.random.default_rng(0)
    y = (results.fittedvalues + results.resid("response")).to_numpy()
    x = column.codes.astype(float) if levels else column.values
    if len(y) > _MOST_POINTS:
        chosen = rng.choice(len(y), _MOST_POINTS, replace=False)
        x, y = x[chosen], y[chosen]
    if np.isin(np.round(y, 9), (0.0, 1.0)).all():
        # Outside the unit range, where no curve or band can be.
        y = np.where(y > 0.5, 1.0, 0.0) + np.sign(y - 0.5) * rng.uniform(*_STRIP, len(y))
        ax.set_ylim(-_STRIP[1] - 0.02, 1.0 + _STRIP[1] + 0.02)
        ax.set_yticks(np.linspace(0.0, 1.0, 6))
    steps = np.unique(x)
    if levels or len(steps) < 40:
        gap = 1.0 if len(steps) < 2 else np.diff(steps).min()
        x = x + rng.uniform(-0.25, 0.25, len(x)) * gap
    # The more points there are, the lighter each is.
    ax.scatter(x, y, s=14, color=DOT, alpha=float(np.clip(200.0 / len(y), 0.12, 0.5)), linewidths=0, zorder=2)


def _label(ax: Axes, results: Any, variable: str, alpha: float, frame: pd.DataFrame, needed: list[str]) -> None:
    family, name = results.fit.model.family, results.labels.response
    what = f"Mean of {name}"
    if family.mean_range == "unit":
        success = results.intake.encoder.levels
        what = f"Probability of {name} = {success[1]}" if success else f"Probability of {name}"
    ax.set_ylabel(what, color=QUIET, labelpad=8)
    ax.set_xlabel(variable, color=QUIET, labelpad=6)
    for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        if max(map(abs, limits)) >= 1e4 and axis.get_major_formatter().__class__.__name__ == "ScalarFormatter":
            axis.set_major_formatter("{x:,.0f}")
    held = [f"{n} = {_shown(frame[n].iloc[0])}" for n in needed if n != variable]
    text = f"{100 * (1 - alpha):g}% confidence " + ("band" if frame[variable].dtype.kind == "f" else "intervals")
    if held:
        text += "; held at " + ", ".join(held[:4]) + (", ..." if len(held) > 4 else "")
    ax.set_title(textwrap.fill(text, 88), fontsize=9, color=QUIET, loc="left", pad=10)


def _shown(value: Any) -> str:
    """A held value with four significant digits, large ones in full."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
