"""Run two fits in turn in one process, compare their answers, and keep a record of it.

Every script of this folder has a function ``records(scale, repeats)`` that yields a `Record` for each case; `main`
runs it from the command line. Import this module before NumPy.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# OpenBLAS reads these when NumPy loads it. Where they are set, they can force a kernel slower than the processor's own
# on NumPy and on most peers, while XLA would not notice.
for _variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_variable, None)

import numpy as np  # noqa: E402

#: Largest difference that still counts as the same answer: of a coefficient in standard errors, of a standard error
#: relative to itself. Peers stop at tolerances of their own; what they leave is far below what anybody reads.
AGREE = 1e-4
#: Seconds in which the threads of the library before go to sleep.
PAUSE = 0.05
#: Peers that are not Python packages, and the R expression for their version.
IN_R = {"R": "getRversion()", "MASS": "packageVersion('MASS')"}


@dataclass(frozen=True)
class Answer:
    """What a fit found.

    Attributes
    ----------
    coefficients : array (p,)
    errors : array (p,), optional
        Standard errors, where the library makes comparable ones.
    seconds : float, optional
        Time taken as the library's own process saw it; by default the caller's clock counts.
    own_scale : bool
        Whether the library's dispersion follows another convention, so that its errors are ours times a number.
    """

    coefficients: np.ndarray
    errors: np.ndarray | None = None
    seconds: float | None = None
    own_scale: bool = False


@dataclass(frozen=True)
class Record:
    """One case, before and after it has been measured.

    Attributes
    ----------
    name, what : str
        ``"theme.case.peer"``, and the same in words.
    n, p : int
        Rows and columns, the intercept not counted.
    peer, peer_version : str
        What jaxglm is measured against.
    peer_n : int, optional
        Rows of the peer where it got fewer; times are then compared per row.
    sense : {"at least", "at most"}
        With "at least", `ratio` is the peer's time over ours; with "at most", our time (or memory) over the peer's.
    floor, aim : float, optional
        What the ratio must reach, and what it should.
    unit : str
        Of `ours` and `theirs`.
    ours, theirs, ours_first, theirs_first : float, optional
        Medians of the counted runs, and the first run, which is not counted.
    ratio : float, optional
        Median of the ratios of neighboring runs. None if the peer took no part or the answers differ.
    agreement, tolerance : float
        Largest difference of the answers (see `difference`), and what is allowed.
    note : str
        What a reader must know to judge the number.
    skipped, failed : str
        Why there is no ratio: the peer's reason, or ours.
    figures : dict of float by name
        More of the case, for a table of its own; the unit is part of the name.
    """

    name: str
    what: str
    n: int
    p: int
    peer: str
    peer_version: str = ""
    peer_n: int | None = None
    sense: str = "at least"
    floor: float | None = None
    aim: float | None = None
    unit: str = "s"
    ours: float | None = None
    theirs: float | None = None
    ours_first: float | None = None
    theirs_first: float | None = None
    ratio: float | None = None
    agreement: float | None = None
    tolerance: float = AGREE
    note: str = ""
    skipped: str = ""
    failed: str = ""
    figures: dict[str, float | None] = field(default_factory=dict)

    @property
    def theme(self) -> str:
        """The script that the case comes from."""
        return self.name.partition(".")[0]

    def reaches(self, goal: float | None) -> bool:
        """Whether the ratio is at the goal or beyond it."""
        if goal is None or self.ratio is None:
            return False
        return self.ratio >= goal if self.sense == "at least" else self.ratio <= goal

    @property
    def verdict(self) -> str:
        """One word: how the ratio stands to floor and aim."""
        if self.failed:
            return "FAILED"
        if self.ratio is None:
            return "skipped"
        if self.floor is None and self.aim is None:
            return "-"
        if self.reaches(self.aim):
            return "aim"
        return "floor" if self.reaches(self.floor) else "NO"


def race(
    case: Record,
    ours: Callable[[], Answer],
    theirs: Callable[[], Answer],
    repeats: int = 3,
    check: Callable[[], Answer] | None = None,
) -> Record:
    """Measure a case.

    Parameters
    ----------
    case : Record
        Names, sizes, goals.
    ours, theirs : callable
        A whole fit each. They run in turn, so that both meet the same weather on the machine.
    repeats : int
        Counted runs of each, after one that is not counted.
    check : callable, optional
        Our fit to the rows that the peer got, if those are fewer.

    Returns
    -------
    Record
        With times, ratio and agreement, or the reason why there are none.
    """
    found = version_of(case.peer)
    if found is None:
        return replace(case, skipped=f"{case.peer} is not installed")
    case = replace(case, peer_version=found)
    times: dict[str, list[float]] = {"failed": [], "skipped": []}
    answers: dict[str, Answer] = {}
    with warnings.catch_warnings():
        # Peers warn about their own future; what matters is checked below.
        warnings.simplefilter("ignore")
        for _ in range(repeats + 1):
            for blame, fit in (("failed", ours), ("skipped", theirs)):
                try:
                    seconds, answers[blame] = _timed(fit)
                except Exception as error:
                    return replace(case, **{blame: _reason(case, blame, error)})
                times[blame].append(seconds)
        try:
            mine = answers["failed"] if check is None else check()
        except Exception as error:
            return replace(case, failed=_reason(case, "failed", error))
    return _finish(case, times["failed"], times["skipped"], difference(answers["skipped"], mine))


def _timed(fit: Callable[[], Answer]) -> tuple[float, Answer]:
    """Seconds and answer of one run, not charged for the garbage and the spinning threads of the run before."""
    gc.collect()
    time.sleep(PAUSE)
    start = time.perf_counter()
    answer = fit()
    seconds = time.perf_counter() - start
    return (seconds if answer.seconds is None else answer.seconds), answer


def _reason(case: Record, blame: str, error: Exception) -> str:
    who = case.peer if blame == "skipped" else "jaxglm"
    message = str(error).strip().splitlines() or [""]
    return f"{who} failed with {type(error).__name__}: {message[0][:200]}"


def _finish(case: Record, mine: list[float], theirs: list[float], agreement: float | None) -> Record:
    """The record of two lists of seconds, each with the uncounted first."""
    mine_row, their_row = np.array(mine[1:]) / case.n, np.array(theirs[1:]) / (case.peer_n or case.n)
    ratios = their_row / mine_row if case.sense == "at least" else mine_row / their_row
    done = replace(
        case,
        ours=float(np.median(mine[1:])),
        theirs=float(np.median(theirs[1:])),
        ours_first=mine[0],
        theirs_first=theirs[0],
        ratio=float(np.median(ratios)),
        agreement=agreement,
    )
    if agreement is not None and not agreement <= case.tolerance:
        # A ratio between two different answers means nothing.
        return replace(done, ratio=None, failed=f"answers differ by {agreement:.1e}, allowed are {case.tolerance:g}")
    return done


def difference(theirs: Answer, ours: Answer) -> float | None:
    """Largest difference of two answers: coefficients in our standard errors, standard errors relative to ours.

    None if there is nothing to compare; coefficients are compared relative to max(1, size) if we have no errors. Of
    errors on a scale of their own, the sizes beside one another are compared.
    """
    if not len(ours.coefficients) or not len(theirs.coefficients):
        return None
    if len(ours.coefficients) != len(theirs.coefficients):
        return float("inf")
    unit = np.maximum(np.abs(ours.coefficients), 1.0) if ours.errors is None else ours.errors
    largest = np.max(np.abs(theirs.coefficients - ours.coefficients) / unit)
    if ours.errors is not None and theirs.errors is not None:
        ratios = theirs.errors / ours.errors
        largest = max(largest, np.max(np.abs(ratios / (np.median(ratios) if theirs.own_scale else 1.0) - 1.0)))
    # NaN must not pass as small.
    return float("inf") if np.isnan(largest) else float(largest)


@cache
def version_of(peer: str) -> str | None:
    """Version of a package of Python or R; None if it cannot be used here."""
    if peer not in IN_R:
        try:
            return version(peer)
        except PackageNotFoundError:
            return None
    if shutil.which("Rscript") is None:
        return None
    done = subprocess.run(["Rscript", "-e", f"cat(format({IN_R[peer]}))"], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def line(record: Record) -> str:
    """A record on one line."""
    start = f"{record.name:<34}"
    if record.ratio is None:
        return f"{start} {record.verdict}: {record.failed or record.skipped}"
    fewer = f" ({record.peer_n:,} rows)" if record.peer_n else ""
    goals = "".join(
        f", {name} {goal:g}" for name, goal in (("floor", record.floor), ("aim", record.aim)) if goal is not None
    )
    checked = "" if record.agreement is None else f", differ by {record.agreement:.0e}"
    more = "".join(f", {value:.3g} {name}" for name, value in record.figures.items() if value is not None)
    return (
        f"{start} n {record.n:,}, p {record.p}: {record.ours:.3g} {record.unit} against {record.theirs:.3g}"
        f" {record.unit}{fewer}, ratio {record.ratio:.3g}{goals} [{record.verdict}]{checked}{more}"
    )


def main(records: Callable[..., Iterable[Record]], title: str, rows: int) -> int:
    """Run the cases of one script from the command line.

    Parameters
    ----------
    records : callable
        ``records(scale, repeats)`` yields the cases.
    title : str
        Shown by ``--help``.
    rows : int
        Rows of the largest case at full scale, which ``--rows`` is compared with.

    Returns
    -------
    int
        Exit status: 1 if a fit of ours failed or answers differ.
    """
    parser = argparse.ArgumentParser(description=title.strip().splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--rows", type=int, default=rows, help=f"rows of the largest case (default {rows:,})")
    size.add_argument("--scale", type=float, help="share of the full number of rows")
    parser.add_argument("--repeats", type=int, default=3, help="counted runs of each (default 3)")
    parser.add_argument("--json", type=Path, help="also write the records to this file")
    asked = parser.parse_args()
    if asked.repeats < 1:
        parser.error("--repeats must be at least 1")
    scale = asked.rows / rows if asked.scale is None else asked.scale
    if not scale > 0:
        parser.error("the number of rows must be positive")
    made = []
    for record in _guarded(records, scale, asked.repeats):
        made.append(record)
        print(line(record), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps([asdict(r) for r in made], indent=1), encoding="utf-8")
    return 1 if any(record.failed for record in made) else 0


def _guarded(records: Callable[..., Iterable[Record]], scale: float, repeats: int) -> Iterable[Record]:
    """The cases, and one more that says why if the script itself breaks between them."""
    try:
        yield from records(scale, repeats)
    except Exception as error:
        traceback.print_exc()
        yield broken(Path(sys.argv[0]).stem, f"the script stopped with {type(error).__name__}: {error}")


def broken(script: str, reason: str) -> Record:
    """Stands for the cases that a script owed."""
    return Record(f"{script}.script", "cases that were not reached", 0, 0, "-", failed=reason)
