"""Many groups.

One logistic regression a group from one frame, against a loop of statsmodels over arrays that are ready; groups of very
different sizes against equal ones; time against the number of groups.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import harness
import numpy as np
import pandas as pd
from harness import Answer, Record

GROUPS, LENGTH, COLUMNS = 10_000, 200, 4
ROWS = GROUPS * LENGTH
#: Groups for the peer, which takes a millisecond for each.
FEW = 1_000


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
    yield _skewed(df, groups, repeats)
    yield _linear(scale, repeats)


def _seconds(df: pd.DataFrame, repeats: int) -> float:
    return min(_timed(df) for _ in range(repeats + 1))


def _timed(df: pd.DataFrame) -> float:
    start = time.perf_counter()
    ours(df)
    return time.perf_counter() - start


def _skewed(equal: pd.DataFrame, groups: int, repeats: int) -> Record:
    """Sizes from 5 to 5,000 and about as many rows; very small groups of them are separated."""
    import warnings

    sizes = np.exp(np.random.default_rng(1).uniform(np.log(5), np.log(5000), groups))
    few = np.maximum(sizes * LENGTH * groups / sizes.sum(), 5).astype(int)
    df = frame(few, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skewed, plain = _seconds(df, repeats), _seconds(equal, repeats)
    ratio = (skewed / len(df)) / (plain / len(equal))
    return Record(
        "groups.skewed.jaxglm", "groups of 5 to 5,000 rows, time a row against equal groups", len(df), COLUMNS,
        "jaxglm", sense="at most", floor=2.0, aim=1.3, ours=skewed, theirs=plain, ratio=ratio,
    )  # fmt: skip


def _linear(scale: float, repeats: int) -> Record:
    """Time a group at many groups against that at few; 1 is linear."""
    few, many = max(int(1_000 * scale), 100), max(int(100_000 * scale), 1_000)
    length = 40
    small, large = frame(np.full(few, length)), frame(np.full(many, length))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, all_ = _seconds(small, repeats) / few, _seconds(large, 1) / many
    return Record(
        "groups.linear.jaxglm", f"time a group, {many:,} against {few:,} groups of {length} rows", many * length,
        COLUMNS, "jaxglm", sense="at most", floor=1.5, ours=all_, theirs=one, ratio=all_ / one,
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
