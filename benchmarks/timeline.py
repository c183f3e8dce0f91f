"""Where the time of a fit goes.

Whole fits, cut into what they do: the way from the user's frame or array to the first sum over rows (checks, formula,
codes, copies), the fit to a sample, the passes over all rows by what they sum, and the rest (factors of X'WX, start and
end of threads, statistics, the result). Rows that a fit takes together, as factors allow, are one in its passes. The
ratio is the whole fit over its passes: 1 would be a fit that does nothing else. How far a pass is from what the device
can do is the subject of "Each pass against what the device can do".

What the aims that are missed would need. *Dense columns*: two of four passes make X'WX, most of whose time is the
matrix product itself. Of 30 columns that is made at a fraction of the speed of large squares ("% of products" of that
table): XLA makes both halves of it, since it has no routine for a symmetric product on a CPU, and rows of 30 numbers
have to be laid for it. *Factors*: sums over levels and pairs of levels are additions to places that differ from row to
row; what is left is the way from the frame, and the rest. *A small model*: a third is the start of compiled programs,
the rest Python, for the formula, the result and the summary.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from unittest import mock

import cold
import dense
import factors
import harness
import insurance
import jax
import peers
from data import columns
from harness import Record
from insurance_data import SMALLEST, policies

from jaxglm.kernels import Closing, Kernel, Newton
from jaxglm.solvers import sampled
from jaxglm.sources import arrays

ROWS = 1_000_000
#: What a fit does, in the order of the table.
PASSES = ("gradient", "X'WX", "last pass", "other passes")
#: Times as many fits as repeats, since one is short.
FITS = 5


class Watch:
    """Seconds of a fit by what it does, and of all of it."""

    def __init__(self):
        self.spent: Counter = Counter()
        self._began = time.perf_counter()
        self._inside = False

    def over(self, name: str | Callable[..., str], function: Callable) -> Callable:
        """The function, its time kept under a name or what makes one of the arguments; not where it runs in another."""

        def run(*args, **kwargs):
            if self._inside:
                return function(*args, **kwargs)
            start = time.perf_counter()
            if not self.spent:
                self.spent["before"] = start - self._began
            self._inside = True
            try:
                return jax.block_until_ready(function(*args, **kwargs))
            finally:
                self._inside = False
                self.spent[name if isinstance(name, str) else name(*args)] += time.perf_counter() - start

        return run

    @property
    def total(self) -> float:
        """Seconds until now."""
        return time.perf_counter() - self._began


def kind(kernel: Kernel, *_) -> str:
    """What a pass is for."""
    parts = getattr(kernel, "kernels", (kernel,))
    if any(isinstance(part, Closing) for part in parts):
        return "last pass"
    steps = [part for part in parts if isinstance(part, Newton)]
    return "other passes" if not steps else "gradient" if steps[0].gram == "none" else "X'WX"


@contextmanager
def watched() -> Iterator[Watch]:
    """A watch over whatever fits meanwhile."""
    watch = Watch()
    with ExitStack() as stack:
        for place, name, label in (
            (sampled, "rows_of", "sample"),
            (sampled, "fit_rows", "sample"),
            (arrays, "reduce_chunks", kind),
        ):
            timed = watch.over(label, getattr(place, name))
            stack.enter_context(mock.patch.object(place, name, timed))
        yield watch


def cut(fit: Callable) -> tuple[float, Counter]:
    """Seconds of a fit, and of its parts."""
    with watched() as watch:
        fit()
        total = watch.total
    watch.spent["rest"] = total - sum(watch.spent.values())
    return total, watch.spent


def fits(scale: float) -> Iterator[tuple[str, str, int, int, Callable]]:
    """Name, words, rows, columns and fit of each case."""
    n = int(ROWS * scale)
    for family, word in dense.FAMILIES.items():
        fit = partial(peers.jaxglm, family, *columns(family, n, dense.COLUMNS))
        yield f"dense.{word.lower()}", f"{word}, dense", n, dense.COLUMNS, fit
    flown = factors.flights()
    if flown is not None:
        flown = flown.iloc[: int(len(flown) * max(scale, 0.1))]
        yield "flights", "late flights", len(flown), factors.columns(flown), partial(factors.jaxglm_fit, flown)
    frame = policies(max(int(insurance.ROWS * scale), SMALLEST))
    for name, what, rows, ours, *_ in insurance.models(frame):
        yield f"insurance.{name}", what, rows, insurance.COLUMNS, ours
    yield "small", "a small model and its summary", cold.ROWS, 3, partial(cold.jaxglm_fit, cold.staff(cold.ROWS))


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """The fit of median time of each case."""
    for name, what, n, p, fit in fits(scale):
        first, *others = [cut(fit) for _ in range(FITS * repeats + 1)]
        total, spent = sorted(others, key=lambda run: run[0])[len(others) // 2]
        passes = sum(spent[part] for part in PASSES)
        shown = {"before": spent["before"], "sample": spent["sample"]}
        shown |= {part: spent[part] for part in (*PASSES, "rest")}
        case = Record(name=f"timeline.{name}", what=what, n=n, p=p, peer="its passes", sense="at most")
        figures = {f"ms {part}": 1e3 * seconds for part, seconds in shown.items()}
        yield replace(case, ours=total, theirs=passes, ours_first=first[0], ratio=total / passes, figures=figures)


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
