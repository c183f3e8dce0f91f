"""Two processes of one core each.

A logistic regression from arrays whose rows lie half in each of two processes on this machine, each kept to one core,
against one process with all rows on one of these cores. Both are kept and fit in turn, so that they meet the same
weather. What is timed is a whole fit with standard errors, after one that compiles; that of two processes takes as
long as the slower of them. How much the cores of a machine hinder each other shows in two processes that each fit their
half of the rows alone: nothing that shares the rows can be faster.
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

ROWS, COLUMNS = 6_000_000, 20
#: Made one by one from a seed each, so that the rows are the same however they are shared out.
BLOCKS = 8
#: Seconds that a process may take to end.
PATIENCE = 20


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


def work(process: int, size: int, port: str, core: int, n: int, apart: int) -> None:
    """One of some processes: fit at every line that comes in; print seconds and what was found."""
    os.sched_setaffinity(0, {core})
    import jax

    together = size > 1 and not apart
    if together:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", size, process)
    import jaxglm as jg

    X, y = rows(process, size, n)
    for _ in sys.stdin:
        start = time.perf_counter()
        res = jg.fit(X, y, family="binomial", devices="all" if together else None)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "params": list(res.params), "bse": list(res.bse)}), flush=True)


class Team:
    """Processes that fit together whenever they are asked to, one a core; if `apart`, each its own rows alone."""

    def __init__(self, cores: list[int], n: int, apart: bool = False):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, __file__, "--work"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.members = [
            subprocess.Popen([*command, *map(str, (k, len(cores), port, core, n, int(apart)))], **pipes)
            for k, core in enumerate(cores)
        ]

    def fit(self) -> tuple[float, Answer]:
        """Seconds of the slowest, and what the first one found."""
        for member in self.members:
            member.stdin.write("fit\n")
            member.stdin.flush()
        found = [self._answer(member) for member in self.members]
        answer = Answer(np.array(found[0]["params"]), np.array(found[0]["bse"]))
        return max(one["seconds"] for one in found), answer

    @staticmethod
    def _answer(member: subprocess.Popen) -> dict:
        for line in member.stdout:
            # Libraries print words of their own.
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError("a process ended; see what it printed")

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *error: object) -> None:
        for member in self.members:
            member.stdin.close()
        for member in self.members:
            try:
                member.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                member.kill()


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """One case; the fits of one and of two processes come in turn, the first of each compiles."""
    n = max(int(ROWS * scale) // BLOCKS, 1) * BLOCKS
    case = Record(
        name="hosts.two", what="two processes of one core each, logistic", n=n, p=COLUMNS,
        peer="one process of one core", floor=1.7, aim=1.9, note="compiling is left out: it is in the first run alone",
    )  # fmt: skip
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        yield replace(case, skipped="two cores that processes can be kept to are needed")
        return
    try:
        with Team(cores[:1], n) as alone, Team(cores[:2], n) as both, Team(cores[:2], n, apart=True) as apart:
            found = [(alone.fit(), both.fit(), apart.fit()) for _ in range(repeats + 1)]
    except (RuntimeError, OSError) as problem:
        yield replace(case, failed=str(problem))
        return
    one, two, halves = (np.array([seconds for seconds, _ in kind]) for kind in zip(*found, strict=True))
    yield replace(
        case, ours=float(np.median(two[1:])), theirs=float(np.median(one[1:])), ours_first=float(two[0]),
        theirs_first=float(one[0]), ratio=float(np.median(one[1:] / two[1:])),
        agreement=harness.difference(found[-1][0][1], found[-1][1][1]),
        figures={"times as fast are two that fit their halves alone": float(np.median(one[1:] / halves[1:]))},
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], *map(int, sys.argv[5:]))
    else:
        sys.exit(harness.main(records, __doc__, ROWS))
