"""Peak memory of a fit in memory.

What a process holds at most beyond the user's X and y while it fits them, against the size of X: at its first fit of so
many rows, and where the programs for these come from a compile cache. The difference is what XLA's compiler takes and
keeps. How much of it all a tenth of the rows takes too is told by "Ten times the rows".
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import harness
import peers
from data import columns
from dense import COLUMNS, FAMILIES, ROWS
from harness import Record

#: Rows of the fit that comes first, so that libraries and compiled code do not count.
WARM = 2_000


def beyond_inputs(family: str, n: int, cache: str = "") -> tuple[float, float]:
    """Megabytes that a fit holds at most beyond X and y, and megabytes of X; with the folder of a compile cache."""
    command = [sys.executable, __file__, "--measure", family, str(n), cache]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1][:200])
    extra, size = json.loads(done.stdout.splitlines()[-1])
    return extra / 1e6, size / 1e6


def measure(family: str, n: int, cache: str) -> None:
    """Print bytes: the extra peak of one fit, and the size of X."""
    if cache:
        import jaxglm as jg

        jg.enable_compile_cache(cache)
    peers.jaxglm(family, *columns(family, WARM, COLUMNS))
    X, y = columns(family, n, COLUMNS)
    before = reset_peak()
    peers.jaxglm(family, X, y)
    print(json.dumps([peak() - before, X.nbytes]))


def reset_peak() -> float:
    """Forget the peak where the system allows it (Linux); the memory in use, or else the peak so far."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    return peak()


def peak() -> float:
    """Peak resident memory in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024.0 * next(float(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource  # not on Windows

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(most) if sys.platform == "darwin" else 1024.0 * most


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """Both families. Memory hardly varies between runs, so each is measured once."""
    n = int(ROWS * scale)
    for family, word in FAMILIES.items():
        case = Record(
            name=f"memory.{word.lower()}",
            what=f"peak memory, {word} fit",
            n=n,
            p=COLUMNS,
            peer="size of X",
            sense="at most",
            floor=1.2,
            aim=0.2,
            unit="MB",
            note=f"resident memory, of a process that has fitted {WARM:,} rows before",
        )
        yield measured(case, family, n)
        kept = replace(
            case, name=f"{case.name}.cached", what=f"{case.what}, compile cache", floor=None, aim=None,
            note="the same with enable_compile_cache(); a run before fills the cache",
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            measured(kept, family, n, folder)
            yield measured(kept, family, n, folder)


def measured(case: Record, family: str, n: int, cache: str = "") -> Record:
    """The record of one fit."""
    try:
        extra, size = beyond_inputs(family, n, cache)
    except Exception as error:
        return replace(case, failed=f"jaxglm failed: {error}")
    return replace(case, ours=extra, theirs=size, ratio=extra / size)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        raise SystemExit(measure(sys.argv[2], int(sys.argv[3]), sys.argv[4]))
    raise SystemExit(harness.main(records, __doc__, ROWS))
