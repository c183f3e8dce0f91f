"""The fitted curve over the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm.errors import InputError, NotAvailableError, UnseenLevelError, near
from jaxglm.frames import Factor, Table
from jaxglm.inference.observed import observed
from jaxglm.plot import marks
from jaxglm.plot.base import (
    BAND,
    COLORS,
    DOT,
    LINE,
    caption,
    label_axes,
    level_ticks,
    new_axes,
    plain_ticks,
    settle,
    shown,
    tidy_axes,
)
from jaxglm.plot.names import mean_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: More points than this hide each other; a random part of them is drawn.
_MOST_POINTS = 4000
#: Where outcomes of 0 and 1 are drawn: this far below 0 and above 1.
_STRIP = (0.025, 0.085)
#: The axis ends at so many times the larger of the highest curve and the responses below this share.
_ROOM, _USUAL = 1.6, 0.98


def draw(
    results: Any,
    variable: str,
    *,
    by: str | None = None,
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
    by : str, optional
        Another column: one curve for each of its levels (at most 7), or for a number at its mean and one standard
        deviation to each side.
    at : dict, optional
        Values at which to hold other columns; by default numbers at their mean, factors at their commonest level.
    alpha : float
        The band covers the mean with probability 1 - alpha at each place (Wald, on the link scale, transformed).
    points : bool
        Draw the observed responses; outcomes of 0 and 1 are spread in strips below 0 and above 1, so that they can
        be counted and hide nothing. Otherwise a rug of short lines shows where the variable has values.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    InputError
        The column is not part of the model, or has too many levels for `by`.
    NotAvailableError
        The columns were not kept (a stream, keep_data=False, or a result from a file), or an aliased column moves
        with this one.

    Notes
    -----
    Weights enter through the fit alone: each row is one point. Of more than 4,000 rows a random part is drawn; the
    caption says so, and how many responses are too far from the curve to be within the axes.

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
            "plot.effect() needs the columns of the data, which were not kept (a stream, keep_data=False, or a result "
            "from a file)"
        )
    needed = [name for name in results.intake.needs if name in table.names]
    _check(table, needed, variable, by, at or {})
    try:
        plan = _plan(results, table, needed, variable, by, at or {}, alpha)
    except UnseenLevelError:
        # Numbers that the formula takes as a factor have no values between its levels.
        plan = _plan(results, _with_factors(results, table, needed), needed, variable, by, at or {}, alpha)
    if not any(np.isfinite(curve["mean"]).any() for curve in plan.curves):
        raise NotAvailableError(
            f"the aliased fit does not determine the mean at other values of {variable!r} with all else held; drop the "
            "aliased terms from the formula"
        )
    ax = new_axes(ax)
    notes = _points(ax, results, plan.column, plan.levels) if points else ()
    draw_curves(ax, plan.grid, plan.curves, plan.levels, [LINE] if by is None else COLORS)
    if not points:
        _rug(ax, plan.column, plan.levels)
    elif not notes[1:]:
        notes += (_limit(ax, np.nanmax([c[["mean", "mean_ci_upper"]] for c in plan.curves])),)
    label_axes(ax, variable, mean_words(results, "Mean", "Probability"))
    tidy_axes(ax)
    plain_ticks(ax)
    if by is not None:
        settle(ax)
        marks.end_labels(ax, [float(c["mean"].iloc[-1]) for c in plan.curves], plan.names, COLORS)
    held = [f"{n} = {shown(plan.frame[n].iloc[0])}" for n in needed if n not in (variable, by)]
    text = f"{100 * (1 - alpha):g}% confidence " + ("intervals" if plan.levels else "band")
    caption(ax, text, "held at " + ", ".join(held[:4]) + (", ..." if held[4:] else "") if held else "", *notes)
    return ax


@dataclass(frozen=True)
class _Plan:
    """What is to be drawn: a column, the levels of a factor, places, one curve a group, and what was predicted for."""

    column: Any
    levels: list | None
    grid: np.ndarray
    curves: list[pd.DataFrame]
    names: list[str]
    frame: pd.DataFrame


def _plan(
    results: Any, table: Table, needed: list[str], variable: str, by: str | None, at: dict[str, Any], alpha: float
) -> _Plan:
    column = table[variable]
    levels = list(column.levels) if isinstance(column, Factor) else None
    grid = np.arange(len(levels)) if levels else np.linspace(np.nanmin(column.values), np.nanmax(column.values), 200)
    frame = pd.DataFrame({name: _held(table, name, at, len(grid)) for name in needed if name != variable})
    numbers = levels is None or not any(isinstance(level, str) for level in levels)
    frame[variable] = np.asarray(levels or grid) if numbers else pd.Series(levels, dtype=object)
    groups = [None] if by is None else _groups(table[by], by)
    frames = [frame if by is None else frame.assign(**{by: _same(group, len(grid))}) for group in groups]
    curves = [_curve(results, part, alpha) for part in frames]
    return _Plan(column, levels, grid, curves, [f"{by} = {shown(group)}" for group in groups], frame)


def _with_factors(results: Any, table: Table, needed: list[str]) -> Table:
    """The columns, as factors where a number between two of their values cannot be predicted for."""
    columns = {name: table[name] for name in needed}
    tried = [name for name, column in columns.items() if not isinstance(column, Factor) and hasattr(column, "values")]
    base = {name: _first(column) for name, column in columns.items()}
    between = {name: np.unique(columns[name].values)[:2].mean() for name in tried}
    frame = pd.DataFrame([base] + [base | {name: between[name]} for name in tried])
    known = results.predict(frame, unseen="nan", **results.intake.mean_offset()).notna().to_numpy()[1:]
    for name, there in zip(tried, known, strict=True):
        if not there:
            values, codes = np.unique(columns[name].values, return_inverse=True)
            levels = tuple(int(v) if v == int(v) else float(v) for v in values)
            columns[name] = Factor(codes.astype(np.int32), levels)
    return Table.of(columns, table.n_rows, table.index)


def _first(column: Any) -> Any:
    """The value of the first row."""
    if isinstance(column, Factor):
        return column.levels[column.codes[0]]
    return column.values[0] if hasattr(column, "values") else column.source[0]


def _check(table: Table, needed: list[str], variable: str, by: str | None, at: dict[str, Any]) -> None:
    """Every name is a column of the model, and none has two roles."""
    if variable not in needed:
        raise InputError(f"{variable!r} is not a column that the model uses.{near(variable, needed)}")
    others = [name for name in needed if name != variable]
    if by is not None and by not in others:
        raise InputError(f"by={by!r} does not name another column of the model.{near(by, others)}")
    for name in at:
        if name not in others or name == by:
            raise InputError(f"at={{{name!r}: ...}} does not name another column of the model.{near(name, others)}")
    for name in (variable, by):
        column = None if name is None else table[name]
        if column is not None and not isinstance(column, Factor) and not hasattr(column, "values"):
            raise InputError(
                f"column {name!r} holds dates or times, which have no axis here; use a number, such as days"
            )


def _held(table: Table, name: str, at: dict[str, Any], n: int) -> Any:
    """n times the value at which a column is held."""
    column = table[name]
    if isinstance(column, Factor):
        commonest = column.levels[int(np.bincount(column.codes[column.codes >= 0]).argmax())]
        return _same(at.get(name, commonest), n)
    if not hasattr(column, "values"):
        return _same(at.get(name, column.source[0]), n)
    return np.full(n, at[name] if name in at else np.nanmean(column.values))


def _same(value: Any, n: int) -> Any:
    return np.full(n, value) if isinstance(value, (float, int)) else pd.Series([value] * n, dtype=object)


def _groups(column: Any, by: str) -> list[Any]:
    """Values of the column of which each has a curve of its own."""
    if isinstance(column, Factor):
        levels = [level for level, there in zip(column.levels, column.present(), strict=True) if there]
        if len(levels) > len(COLORS):
            raise InputError(
                f"by={by!r} has {len(levels)} levels, and more than {len(COLORS)} curves cannot be told apart; hold it "
                "with at=, or draw several pictures on axes of their own"
            )
        return levels
    mean, sd = np.nanmean(column.values), np.nanstd(column.values)
    return [float(v) for v in (mean - sd, mean, mean + sd)]


def _curve(results: Any, frame: pd.DataFrame, alpha: float) -> pd.DataFrame:
    return results.get_prediction(frame, **results.intake.mean_offset()).summary_frame(alpha, obs=False)


def draw_curves(
    ax: Axes, grid: np.ndarray, curves: list[pd.DataFrame], levels: list | None, colors: tuple[str, ...] | list[str]
) -> None:
    """Curves with bands; dots with intervals for factors, side by side where there are several."""
    step = min(0.16, 0.6 / len(curves))
    for k, (found, color) in enumerate(zip(curves, colors, strict=False)):
        low, high = found["mean_ci_lower"], found["mean_ci_upper"]
        if levels:
            error = np.abs(found[["mean_ci_lower", "mean_ci_upper"]].to_numpy().T - found["mean"].to_numpy())
            place = grid + step * (k - 0.5 * (len(curves) - 1))
            ax.errorbar(
                place, found["mean"], yerr=error, fmt="o", markersize=7, color=color, linewidth=2.2, zorder=4,
                linestyle="none",
            )  # fmt: skip
        else:
            shade = 0.2 if len(curves) == 1 else 0.13
            ax.plot(grid, found["mean"], color=color, linewidth=2.2, zorder=4)
            ax.fill_between(grid, low, high, color=color if curves[1:] else BAND, alpha=shade, linewidth=0, zorder=3)
    if levels:
        ax.set_xlim(-0.6, len(levels) - 0.4)
        level_ticks(ax, levels)


def _points(ax: Axes, results: Any, column: Any, levels: list | None) -> tuple[str, ...]:
    """Observed responses against the variable; returns words for the caption, two where the axis is fixed."""
    rng = np.random.default_rng(0)
    y = observed(results.fit, "plot.effect()").y
    x = column.codes.astype(float) if levels else np.asarray(column.values, float)
    n, note = len(y), ""
    if n > _MOST_POINTS:
        chosen = rng.choice(n, _MOST_POINTS, replace=False)
        x, y, note = x[chosen], y[chosen], f"{_MOST_POINTS:,} of {n:,} rows drawn"
    binary = np.isin(y, (0.0, 1.0)).all()
    if binary:
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
    return (note, "") if binary else (note,)


def _limit(ax: Axes, top: float) -> str:
    """Keep a few far responses from flattening the curve; returns words for the caption."""
    y = np.asarray(ax.collections[0].get_offsets())[:, 1]
    room = _ROOM * max(top, float(np.quantile(y, _USUAL))) if len(y) else np.inf
    if not (0 < room < y.max()):
        return ""
    ax.set_ylim(top=room)
    beyond = int(np.sum(y > room))
    return f"{beyond:,} point{'s' if beyond > 1 else ''} above the axis"


def _rug(ax: Axes, column: Any, levels: list | None) -> None:
    """Where the variable has values."""
    if levels:
        return
    x = np.unique(column.values[~np.isnan(column.values)])
    x = x if len(x) <= _MOST_POINTS else x[np.linspace(0, len(x) - 1, _MOST_POINTS).astype(int)]
    ax.plot(
        x, np.full(len(x), 0.022), "|", color=DOT, alpha=float(np.clip(60.0 / len(x), 0.08, 0.6)), markersize=9,
        transform=ax.get_xaxis_transform(), zorder=2, clip_on=False,
    )  # fmt: skip
