"""Bootstrap of a logistic regression.

A thousand refits to drawn rows, against a loop of statsmodels over the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import harness
import numpy as np
from harness import Answer, Record

ROWS, COLUMNS, REFITS = 1_000, 10, 1_000
#: Refits of the peer, which takes milliseconds for each.
FEW = 100
SEED = 1


def data() -> tuple[np.ndarray, np.ndarray]:
    """Columns and a response of which half are ones."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS))
    eta = X @ rng.normal(0.0, 0.4, COLUMNS)
    return X, (rng.random(ROWS) < 1 / (1 + np.exp(-eta))).astype(float)


def ours(X: np.ndarray, y: np.ndarray, count: int, few: int) -> Answer:
    """From the arrays to coefficients of every refit, the fit itself included."""
    import jaxglm as jg

    boot = jg.fit(X, y, family="binomial").bootstrap(count, seed=SEED)
    return Answer(boot.params.to_numpy()[:few].ravel())


def statsmodels_loop(X: np.ndarray, y: np.ndarray) -> Answer:
    """A fit to each of the weights that the first refits have."""
    import statsmodels.api as sm

    from jaxglm.bootstrap import Weights

    draw, design = Weights(SEED, np.ones(ROWS)), np.column_stack([np.ones(ROWS), X])
    found = [sm.GLM(y, design, family=sm.families.Binomial(), freq_weights=draw(b)).fit().params for b in range(FEW)]
    return Answer(np.concatenate(found))


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """One case; fewer refits at a smaller scale."""
    count = max(int(REFITS * scale), FEW)
    X, y = data()
    case = Record(
        "resampling.statsmodels", "bootstrap of a logistic regression, time a refit", count, COLUMNS, "statsmodels",
        peer_n=FEW, floor=5.0, aim=20.0, note=f"{ROWS:,} rows; GLM(..., freq_weights=w).fit() in a loop",
    )  # fmt: skip
    yield harness.race(case, partial(ours, X, y, count, FEW), partial(statsmodels_loop, X, y), repeats)


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, REFITS))
