"""Ten times the rows.

What a Poisson fit of 30 columns takes for ten times the rows: at most 10.5 times as long, and as much memory beyond X
and y.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise

import harness
import machine
import memory
import numpy as np
import peers
from data import columns
from dense import COLUMNS
from harness import Answer, Record

ROWS = 10_000_000
SIZES = {"1e5": ROWS // 100, "1e6": ROWS // 10, "1e7": ROWS}
#: A decade may cost this much; half a unit is for noise.
MOST = 10.5
#: Bytes for each byte of X that must be free: X itself, its first tenth, and what the fit needs.
ROOM = 2.5


def fit(X: np.ndarray, y: np.ndarray) -> Answer:
    """A Poisson fit with standard errors; fits to different rows have no common answer."""
    peers.jaxglm("poisson", X, y)
    return Answer(np.empty(0))


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """Time and memory of each decade over the one before."""
    extra = {}
    for (small, fewer), (large, n) in pairwise((name, int(rows * scale)) for name, rows in SIZES.items()):
        case = partial(Record, n=n, p=COLUMNS, peer="a tenth of the rows", sense="at most", floor=MOST)
        time = case(name=f"scaling.time.{large}", what=f"time, {large} rows over {small}", peer="jaxglm")
        peak = case(
            name=f"scaling.memory.{large}",
            what=f"peak memory, {large} rows over {small}",
            unit="MB",
            note="memory below ten times means that part of it does not depend on n",
        )
        needed, free = ROOM * 8 * n * COLUMNS, machine.free_memory()
        if free is not None and free < needed:
            reason = f"needs {needed / 1e9:.1f} GB of free memory, {free / 1e9:.1f} GB are there"
            yield replace(time, skipped=reason)
            yield replace(peak, skipped=reason)
            continue
        X, y = columns("poisson", n, COLUMNS)
        few = X[:fewer].copy(), y[:fewer].copy()
        done = harness.race(time, partial(fit, X, y), partial(fit, *few), repeats)
        yield replace(done, peer="a tenth of the rows", peer_version="")
        del X, y, few
        yield _memory(peak, extra, fewer, n)


def _memory(case: Record, extra: dict[int, float], fewer: int, n: int) -> Record:
    """Peak memory of both sizes; `extra` keeps what has been measured."""
    try:
        for rows in (fewer, n):
            if rows not in extra:
                extra[rows], _ = memory.beyond_inputs("poisson", rows)
    except Exception as error:
        return replace(case, failed=f"jaxglm failed: {error}")
    # Below a megabyte the allocator decides.
    return replace(case, ours=extra[n], theirs=extra[fewer], ratio=extra[n] / max(extra[fewer], 1.0))


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
