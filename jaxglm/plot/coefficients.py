"""Coefficients with their intervals: a forest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm.errors import InputError, NotAvailableError, near
from jaxglm.inference.parameters import ratio_name
from jaxglm.plot.base import LINE, QUIET, caption, log_axis, new_axes, plain_ticks, settle, tidy_axes
from jaxglm.plot.names import link_words, readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Up to so many coefficients have their numbers written beside them.
_NUMBERED = 45
#: An interval so many times wider than the typical one is cut, lest it hide the others.
_WIDE = 12.0


@dataclass(frozen=True)
class _Row:
    """A line of the picture: a coefficient, or the name of a predictor above its own."""

    name: str
    estimate: float = np.nan
    low: float = np.nan
    high: float = np.nan
    heading: bool = False
    infinite: int = 0

    @property
    def finite(self) -> bool:
        """Whether there is an estimate to draw."""
        return bool(np.isfinite(self.estimate)) and not self.infinite


def draw(
    results: Any,
    *,
    exponentiate: bool = False,
    alpha: float = 0.05,
    intercept: bool = False,
    sort: bool = False,
    only: str | list[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Estimates with their confidence intervals, one line a coefficient.

    Filled dots differ from "no effect" at level alpha, hollow ones do not. Intervals are those of ``conf_int``, so
    they follow the covariance of the result. Parameters on a natural scale (alpha of the negative binomial) are left
    out; aliased coefficients have no dot; intervals many times wider than the others (separation) end in an arrow.

    Parameters
    ----------
    results : Results
    exponentiate : bool
        Odds, rate or hazard ratios, on a log axis.
    alpha : float
        Intervals of level 1 - alpha.
    intercept : bool
        Show the intercept too.
    sort : bool
        Largest estimate first; otherwise in the order of the model.
    only : str or list of str, optional
        Names of the coefficients to show, as in ``params``; all by default.
    ax : matplotlib axes, optional
        New ones are as high as the coefficients need.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    InputError
        The link has no ratios, or a name in `only` is unknown.
    NotAvailableError
        No coefficient is left to show.

    Examples
    --------
    >>> import pandas as pd
    >>> import jaxglm as jg
    >>> df = pd.DataFrame({"dose": [1, 2, 3, 4, 5, 6], "died": [0, 0, 1, 0, 1, 1]})
    >>> ax = jg.glm("died ~ dose", df, family="binomial").plot.coefficients(exponentiate=True)
    >>> ax.get_xlabel(), ax.get_xscale()
    ('Odds ratio', 'log')
    """
    only = [only] if isinstance(only, str) else only
    table = results.tidy(conf_int=True, alpha=alpha, exponentiate=exponentiate)
    rows = _rows(results, table, intercept, sort, only)
    if not any(row.finite or row.infinite for row in rows):
        raise NotAvailableError("there is no coefficient to show besides the intercept; intercept=True shows it")
    longest = max(len(row.name) for row in rows)
    ax = new_axes(ax, (float(np.clip(5.2 + 0.085 * longest, 6.2, 9.2)), 1.25 + 0.27 * len(rows)))
    draw_rows(ax, rows, log=exponentiate)
    word = ratio_name(results.fit) if exponentiate else link_words(results.fit.model.family, "Coefficient ({} link)")
    ax.set_xlabel(word or "Coefficient", color=QUIET, labelpad=6)
    settle(ax)
    caption(ax, f"Estimates with {100 * (1 - alpha):g}% confidence intervals ({results.cov_type} covariance)")
    return ax


def _rows(results: Any, table: pd.DataFrame, intercept: bool, sort: bool, only: list[str] | None) -> list[_Row]:
    """The lines of the picture, from the top."""
    names = list(results.labels.texts)
    if only is not None:
        for name in only:
            if name not in names:
                raise InputError(f"only= names {name!r}, which is no coefficient.{near(name, names)}")
    several = "predictor" in table
    table = table.assign(
        name=names,
        natural=results.fit.natural,
        infinite=_infinite(results.fit),
        group=table["predictor"] if several else "",
        short=table["term"],
    )
    shown = table[~table["natural"]]
    shown = shown[shown["name"].isin(only)] if only is not None else shown
    if not intercept and only is None:
        shown = shown[shown["short"] != "Intercept"]
    rows = []
    for group, part in shown.groupby("group", sort=False):
        part = part.sort_values("estimate", ascending=False) if sort else part
        if several:
            rows.append(_Row(str(group), heading=True))
        rows += [
            _Row(readable(line.short), line.estimate, line.conf_low, line.conf_high, infinite=line.infinite)
            for line in part.itertuples(index=False)
        ]
    return rows


def _infinite(fit: Any) -> np.ndarray:
    """Sign of the infinity that the data drives each coefficient to (separation), else 0; (P,)."""
    if fit.recession is None:
        return np.zeros(len(fit.theta), int)
    share = np.abs(fit.recession) * fit.column_lengths
    return np.where(share > 1e-3 * share.max(), np.sign(fit.recession), 0).astype(int)


def draw_rows(ax: Axes, rows: list[_Row], log: bool) -> None:
    """Dots, intervals, names to the left and numbers to the right."""
    estimate, low, high = (
        np.array([getattr(row, name) if row.finite else np.nan for row in rows]) for name in ("estimate", "low", "high")
    )
    place, null = np.arange(len(rows))[::-1], 1.0 if log else 0.0
    left, right = _limits(estimate, low, high, log)
    if log:
        ax.set_xscale("log")
    ax.set_xlim(left, right)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.axvline(null, color="#8a8a8a", linewidth=1.1, zorder=1.5)
    clear = (low > null) | (high < null)
    with np.errstate(invalid="ignore"):
        ax.hlines(place, np.clip(low, left, right), np.clip(high, left, right), color=LINE, linewidth=1.8, zorder=3)
    seen = (estimate > left) & (estimate < right)
    for mask, fill in ((clear & seen, LINE), (~clear & seen, "white")):
        ax.scatter(
            estimate[mask], place[mask], s=34, facecolor=fill, edgecolor=LINE, linewidths=1.5, zorder=4, clip_on=False
        )
    endless = np.array([row.infinite for row in rows])
    for edge, mark, beyond in ((left, "<", (low < left) | (endless < 0)), (right, ">", (high > right) | (endless > 0))):
        at = np.full(int(beyond.sum()), edge)
        ax.scatter(at, place[beyond], marker=mark, s=30, color=LINE, zorder=5, clip_on=False, linewidths=0)
    _texts(ax, rows, place, log)
    tidy_axes(ax, grid="x")
    if not np.isfinite(estimate).any():
        ax.set_xticks([null], [f"{null:g}"])
    elif log:
        log_axis(ax.xaxis, left, right)
    else:
        plain_ticks(ax)


def _texts(ax: Axes, rows: list[_Row], place: np.ndarray, log: bool) -> None:
    """Names to the left and, of not too many, numbers to the right."""
    ax.set_yticks(place, [row.name for row in rows])
    for text, row in zip(ax.get_yticklabels(), rows, strict=True):
        if row.heading:
            text.set(fontweight="bold")
    for row, y in zip(rows, place, strict=True):
        missing = not row.heading and not row.finite
        if missing:
            words = "no finite estimate" if row.infinite else "aliased, not estimated"
        elif row.heading or len(rows) > _NUMBERED:
            continue
        else:
            words = numbers(row.estimate, row.low, row.high, log)
        ax.text(
            1.02, y, words, transform=ax.get_yaxis_transform(), va="center", ha="left", fontsize=8.5,
            color="#8a8a8a" if missing else QUIET,
        )  # fmt: skip


def numbers(estimate: float, low: float, high: float, ratio: bool = False) -> str:
    """An estimate and its interval, with as many decimals as the interval gives a meaning."""
    values = (estimate, low, high)
    if ratio:
        # Ratios are read by their digits; a narrow interval needs one more.
        with np.errstate(all="ignore"):
            extra = int(np.log(high / low) < 0.1)
            digits = [
                1 + extra - np.floor(np.log10(v)) if v < 0.095 else 2 + extra - (v >= 10) - (v >= 100) for v in values
            ]
    else:
        half = 0.5 * (high - low)
        half = half if np.isfinite(half) and half > 0 else abs(estimate) or 1.0
        digits = [1 - np.floor(np.log10(half))] * 3
    texts = [_number(v, int(np.clip(d, 0, 9)) if np.isfinite(d) else 0) for v, d in zip(values, digits, strict=True)]
    return f"{texts[0]}  ({texts[1]}, {texts[2]})"


def _number(value: float, decimals: int) -> str:
    """Fixed decimals, with a true minus sign."""
    size = abs(value)
    if np.isnan(value):
        text = "?"
    elif np.isinf(value):
        text = "∞"
    else:
        text = f"{size:.1e}" if size >= 1e6 or decimals > 6 else f"{size:,.{decimals}f}"
    return f"−{text}" if value < 0 and text.strip("0.,") else text


def _limits(estimate: np.ndarray, low: np.ndarray, high: np.ndarray, log: bool) -> tuple[float, float]:
    """Limits of the axis: all intervals and "no effect", save for intervals that are very much wider than others."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        lower, upper = (np.log(low), np.log(high)) if log else (low, high)
        middle = np.log(estimate) if log else estimate
    there = np.isfinite(middle)
    width = np.where(np.isfinite(upper - lower), upper - lower, np.inf)
    finite = width[there & np.isfinite(width)]
    most = _WIDE * np.median(finite) if len(finite) else 0.0
    usual = there & (width <= max(most, 1e-300))
    ends = np.concatenate([lower[usual], upper[usual]] if usual.any() else [middle[there], np.zeros(1)])
    left, right = min(ends.min(), 0.0), max(ends.max(), 0.0)
    gap = 0.04 * (right - left) or 1.0
    left, right = left - gap, right + gap
    return (float(np.exp(left)), float(np.exp(right))) if log else (float(left), float(right))
