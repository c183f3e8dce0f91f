"""Many groups.

One logistic regression a group from one frame, against a loop of statsmodels over arrays that are ready; groups of very
different sizes against equal ones; time and memory against the number of groups.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise

import harness
import memory
import numpy as np
import pandas as pd
from harness import Answer, Record

GROUPS, LENGTH, COLUMNS = 10_000, 200, 4
ROWS = GROUPS * LENGTH
#: Groups for the peer, which takes a millisecond for each.
FEW = 1_000
#: Groups where there are very many, and their rows.
MANY, SHORT = 100_000, 40


def frame(sizes: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Rows of all groups in random order, with coefficients of its own for each group."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = rng.normal(size=(len(group), COLUMNS))
    slopes = rng.normal(0.3, 0.2, (len(sizes), COLUMNS))
    eta = np.einsum("np,np->n", X, slopes[group])
    y = (rng.random(len(group)) < 1 / (1 + np.exp(-eta))).astype(float)
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(COLUMNS)]).assign(y=y, group=group)


def ours(df: pd.DataFrame, few: int | None = None) -> Answer:
    """From the frame to coefficients and standard errors of every group."""
    import jaxglm as jg

    grp = jg.glm_groups("y ~ " + " + ".join(f"x{j}" for j in range(COLUMNS)), df, by="group", family="binomial")
    params, errors = grp.params.to_numpy()[:few], grp.bse.to_numpy()[:few]
    return Answer(params.ravel(), errors.ravel())


def statsmodels_loop(arrays: list[tuple[np.ndarray, np.ndarray]]) -> Answer:
    """A fit with standard errors for each of the ready arrays."""
    import statsmodels.api as sm

    found = [sm.GLM(y, X, family=sm.families.Binomial()).fit() for X, y in arrays]
    return Answer(np.concatenate([r.params for r in found]), np.concatenate([r.bse for r in found]))


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """The loop, skewed sizes, and more groups."""
    groups = max(int(GROUPS * scale), 100)
    df = frame(np.full(groups, LENGTH))
    few = min(FEW, groups)
    named = df[df["group"] < few]
    arrays = [
        (
            np.column_stack([np.ones(len(part)), part[[f"x{j}" for j in range(COLUMNS)]].to_numpy()]),
            part["y"].to_numpy(),
        )
        for _, part in named.groupby("group")
    ]
    case = Record(
        "groups.equal.statsmodels", "logistic regression in groups of 200 rows", groups * LENGTH, COLUMNS,
        "statsmodels", peer_n=few * LENGTH, floor=30.0, aim=60.0, note="GLM(...).fit() in a loop over ready arrays",
    )  # fmt: skip
    yield harness.race(case, partial(ours, df), partial(statsmodels_loop, arrays), repeats, partial(ours, df, few))
    yield _skewed(scale, repeats)
    yield from _linear(scale, repeats)
    yield _memory(scale)


def _seconds(df: pd.DataFrame, repeats: int) -> float:
    return min(_timed(df) for _ in range(repeats + 1))


def _timed(df: pd.DataFrame) -> float:
    start = time.perf_counter()
    ours(df)
    return time.perf_counter() - start


def _skewed(scale: float, repeats: int) -> Record:
    """Sizes from 5 to 5,000, half of them below 10, and as many rows; very small groups of them are separated."""
    groups = max(int(MANY * scale), 1_000)
    # Pareto's law of exponent 1: large groups hold as many rows as small ones.
    sizes = np.minimum(5.0 / (1.0 - np.random.default_rng(1).random(groups)), 5000.0).astype(int)
    skewed, plain = frame(sizes, seed=1), frame(np.full(groups, round(sizes.mean())))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slow, fast = _seconds(skewed, repeats), _seconds(plain, repeats)
    ratio = (slow / len(skewed)) / (fast / len(plain))
    return Record(
        "groups.skewed.jaxglm", "groups of 5 to 5,000 rows, time a row against equal groups", len(skewed), COLUMNS,
        "jaxglm", sense="at most", floor=2.0, aim=1.3, ours=slow, theirs=fast, ratio=ratio,
    )  # fmt: skip


def _memory(scale: float) -> Record:
    """Peak memory of a process against its data."""
    groups = max(int(MANY * scale), 1_000)
    case = Record(
        "groups.memory", f"peak memory with the data, groups of {SHORT} rows", groups * SHORT, COLUMNS, "the data",
        sense="at most", floor=2.0, aim=1.5, unit="MB",
        note="resident memory of a process that has fitted groups before",
    )  # fmt: skip
    done = subprocess.run([sys.executable, __file__, "--measure", str(groups)], capture_output=True, text=True)
    if done.returncode:
        return replace(case, failed=(done.stderr.strip().splitlines() or ["no message"])[-1][:200])
    extra, size = json.loads(done.stdout.splitlines()[-1])
    return replace(case, ours=(size + extra) / 1e6, theirs=size / 1e6, ratio=(size + extra) / size)


def measure(groups: int) -> None:
    """Print bytes: the extra peak of many fits, and the size of their frame."""
    ours(frame(np.full(2_000, SHORT)))
    df = frame(np.full(groups, SHORT))
    before = memory.reset_peak()
    ours(df)
    print(json.dumps([memory.peak() - before, int(df.memory_usage(index=False).sum())]))


def _linear(scale: float, repeats: int) -> Iterator[Record]:
    """Time a group of each decade against the one before; 1 is linear."""
    seconds = {}
    for groups in (max(int(MANY * scale * share), 100) for share in (0.01, 0.1, 1.0)):
        df = frame(np.full(groups, SHORT))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seconds[groups] = _seconds(df, repeats if groups < MANY else 1) / groups
    for few, many in pairwise(seconds):
        yield Record(
            f"groups.linear.{many:.0e}".replace("e+0", "e"),
            f"time a group, {many:,} against {few:,} groups of {SHORT} rows", many * SHORT, COLUMNS, "jaxglm",
            sense="at most", floor=1.5, ours=seconds[many], theirs=seconds[few], ratio=seconds[many] / seconds[few],
        )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        raise SystemExit(measure(int(sys.argv[2])))
    raise SystemExit(harness.main(records, __doc__, ROWS))
