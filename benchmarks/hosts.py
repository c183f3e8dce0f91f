"""Two processes of one core each.

A logistic regression from arrays whose rows lie half in each of two processes on this machine, each kept to one core,
against one process with all rows on one of these cores. What is timed is a whole fit with standard errors, after one
that compiles; that of two processes takes as long as the slower of them.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import harness
import numpy as np
from harness import Answer, Record

ROWS, COLUMNS = 4_000_000, 20
#: Made one by one from a seed each, so that the rows are the same however they are shared out.
BLOCKS = 8


def rows(process: int, size: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of one of some processes."""
    mine = np.array_split(np.arange(BLOCKS), size)[process]
    length = n // BLOCKS
    X, y = np.empty((len(mine) * length, COLUMNS)), np.empty(len(mine) * length)
    for k, block in enumerate(mine):
        rng = np.random.default_rng(block)
        part = slice(k * length, (k + 1) * length)
        rng.standard_normal(out=X[part])
        y[part] = rng.random(length) < 1 / (1 + np.exp(0.5 - X[part, :4] @ [0.5, -0.5, 0.25, 0.1]))
    return X, y


def work(process: int, size: int, port: str, core: int, n: int, repeats: int) -> None:
    """Fit in one of some processes; print seconds and what was found."""
    os.sched_setaffinity(0, {core})
    import jax

    if size > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", size, process)
    import jaxglm as jg

    X, y = rows(process, size, n)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        res = jg.fit(X, y, family="binomial", devices="all" if size > 1 else None)
        seconds.append(time.perf_counter() - start)
    print(json.dumps([seconds, list(res.params), list(res.bse)]))


def fits(cores: list[int], n: int, repeats: int) -> tuple[list[float], Answer]:
    """Seconds of each fit by one process a core, the first of which is not to be counted, and what was found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--work"]
    started = [
        subprocess.Popen(
            [*command, *map(str, (k, len(cores), port, core, n, repeats))], stdout=subprocess.PIPE, text=True
        )
        for k, core in enumerate(cores)
    ]
    found = [p.communicate()[0] for p in started]
    if any(p.returncode for p in started):
        raise RuntimeError("a process failed; see what it printed")
    made = [json.loads(text.splitlines()[-1]) for text in found]
    slowest = np.max([seconds for seconds, _, _ in made], axis=0)
    return slowest.tolist(), Answer(np.array(made[0][1]), np.array(made[0][2]))


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """One case; all fits of a kind run one after the other in the same processes."""
    n = max(int(ROWS * scale) // BLOCKS, 1) * BLOCKS
    case = Record(
        name="hosts.two", what="two processes of one core each, logistic", n=n, p=COLUMNS,
        peer="one process of one core", floor=1.7, aim=1.9,
    )  # fmt: skip
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        yield replace(case, skipped="two cores that processes can be kept to are needed")
        return
    try:
        one, alone = fits(cores[:1], n, repeats)
        two, shared = fits(cores[:2], n, repeats)
    except RuntimeError as problem:
        yield replace(case, failed=str(problem))
        return
    yield replace(
        case, ours=float(np.median(two[1:])), theirs=float(np.median(one[1:])), ours_first=two[0], theirs_first=one[0],
        ratio=float(np.median(one[1:]) / np.median(two[1:])), agreement=harness.difference(alone, shared),
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], *map(int, sys.argv[5:]))
    else:
        sys.exit(harness.main(records, __doc__, ROWS))
