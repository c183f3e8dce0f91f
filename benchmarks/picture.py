"""Draw the ratios of a run with their floors and aims."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from harness import Record

#: Colors that stay apart for the color-blind, and words for the legend.
STATES = {
    "aim": ("#1b7f5c", "reaches the aim"),
    "floor": ("#3b76b8", "reaches the floor"),
    "NO": ("#c8442c", "misses the floor"),
    "-": ("#8a8a8a", "no floor set"),
}
INK = "#222222"
TITLES = {
    "at least": "Times as fast as the other library (right is better)",
    "at most": "Time or memory over what it is held against (left is better)",
}
#: Height of a bar's row in inches.
ROW = 0.27


def draw(records: list[Record], machine: dict, path: Path) -> bool:
    """Write the picture; False if there is nothing to draw, or nothing to draw with."""
    # Cases with figures of their own and no floor are about the machine, not about another library.
    shown = [r for r in records if r.ratio is not None and (r.floor is not None or not r.figures)]
    groups = {sense: [r for r in shown if r.sense == sense] for sense in TITLES}
    groups = {sense: group for sense, group in groups.items() if group}
    if not groups or find_spec("matplotlib") is None:
        return False
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [len(group) + _gaps(group) + 2.6 for group in groups.values()]
    with plt.rc_context({"font.size": 9, "text.color": INK, "axes.labelcolor": INK, "font.family": "sans-serif"}):
        figure, axes = plt.subplots(
            len(groups),
            1,
            figsize=(9.5, ROW * sum(rows) + 0.9),
            height_ratios=rows,
            squeeze=False,
            layout="constrained",
        )
        for panel, (sense, group) in zip(axes[:, 0], groups.items(), strict=True):
            _panel(panel, sense, group)
        _legend(figure, shown)
        where = f"{machine['cpu']}, cores: {machine['cores']}"
        figure.suptitle(f"jaxglm {machine['versions']['jaxglm']} on {where}", fontsize=11, x=0.01, ha="left")
        figure.savefig(path, dpi=150)
        plt.close(figure)
    return True


def _gaps(group: list[Record]) -> float:
    """Rows of empty space between themes."""
    return 0.6 * (len({record.theme for record in group}) - 1)


def _panel(axes, sense: str, group: list[Record]) -> None:
    """One bar a case, with marks for floor and aim and the number beside it."""
    places, place, theme = [], 0.0, group[0].theme
    for record in group:
        if record.theme != theme:
            place, theme = place + 0.6, record.theme
        places.append(place)
        place += 1
    left, right = _scale(axes, group)
    if sense == "at least":
        axes.axvline(1, color=INK, linewidth=1, zorder=3)
    # Faster and slower part at 1; a cost has no such middle.
    start = 1.0 if sense == "at least" else left
    for y, record in zip(places, group, strict=True):
        color = STATES[record.verdict][0]
        axes.barh(y, record.ratio - start, left=start, height=0.62, color=color, alpha=0.85, zorder=2)
        if record.floor is not None:
            axes.plot([record.floor] * 2, [y - 0.38, y + 0.38], color=INK, linewidth=2.2, zorder=4)
        if record.aim is not None:
            axes.plot(record.aim, y, marker="D", markersize=5.5, color="white", markeredgecolor=INK, zorder=5)
    for y, record in zip(places, group, strict=True):
        text = f"{record.ratio:,.0f}" if record.ratio >= 100 else f"{record.ratio:.2g}"
        axes.text(right * 1.03, y, text, va="center", color=STATES[record.verdict][0], fontweight="bold")
    axes.set_yticks(places, [_label(record) for record in group])
    axes.set_ylim(places[-1] + 0.7, places[0] - 0.7)
    axes.set_title(TITLES[sense], fontsize=9.5, loc="left")


def _scale(axes, group: list[Record]) -> tuple[float, float]:
    """A log axis that holds every ratio and mark, with plain numbers on it; its limits."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    marks = [x for r in group for x in (r.ratio, r.floor, r.aim, 1.0) if x is not None and x > 0]
    axes.set_xscale("log")
    axes.set_xlim(min(marks) / 1.25, max(marks) * 1.25)
    axes.xaxis.set_major_locator(FixedLocator([m * 10.0**e for e in range(-3, 5) for m in (1, 2, 5)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.grid(axis="x", color="#e2e2e2", zorder=0)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return axes.get_xlim()


def _label(record: Record) -> str:
    if record.sense == "at most":
        return record.what
    return f"{record.what}, {_short(record.n)} × {_short(record.p)}  vs  {record.peer}"


def _short(size: int) -> str:
    """1,500,000 as 1.5M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{letter}"
    return str(size)


def _legend(figure, records: list[Record]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    seen = {record.verdict for record in records}
    handles = [Patch(color=color, alpha=0.85, label=words) for key, (color, words) in STATES.items() if key in seen]
    handles.append(Line2D([], [], color=INK, linewidth=2, linestyle="none", marker="|", markersize=10, label="floor"))
    handles.append(
        Line2D([], [], linestyle="none", marker="D", color="white", markeredgecolor=INK, markersize=5.5, label="aim")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
