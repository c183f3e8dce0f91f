"""Rows that come in pieces.

Logistic regression with 1,000,000 rows of 20 columns that come 100,000 at a time: a whole fit with standard errors,
beside the exact Newton steps of dask-glm, and beside scikit-learn's `SGDClassifier.partial_fit`, which goes through the
pieces again and again until it is within a tenth of a standard error of the exact answer, and is told when.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import harness
import numpy as np
import peers
from data import columns
from harness import Answer, Record
from stochastic import PIECE, stream

ROWS, COLUMNS = 1_000_000, 20
#: How near scikit-learn has to come, in standard errors, and after how many epochs it is given up.
NEAR, MOST_EPOCHS = 0.1, 40
#: Its step length times the number of rows, and epochs before it begins to average. With 500,000 rows steps of 20, 50,
#: 100 and 500 stay 0.2 to 1.2 standard errors away however many epochs they go on; these come within 0.03 after 24.
STEP, BEFORE = 10.0, 8


def dask_glm(X: np.ndarray, y: np.ndarray) -> Answer:
    """Newton steps over chunks of as many rows as a piece has; no standard errors."""
    import dask.array as da
    from dask_glm.algorithms import newton
    from dask_glm.families import Logistic

    chunks = (PIECE, X.shape[1])
    return Answer(np.asarray(newton(da.from_array(X, chunks), da.from_array(y, PIECE), family=Logistic)))


def descent(X: np.ndarray, y: np.ndarray, exact: Answer, epochs: list[int]) -> Answer:
    """Averaged stochastic gradient steps of scikit-learn, until they are near; only they are timed."""
    from sklearn.linear_model import SGDClassifier

    n, seconds, order = len(y), 0.0, np.random.default_rng(0)
    options = {"learning_rate": "constant", "eta0": STEP / n, "average": BEFORE * n}
    model = SGDClassifier(loss="log_loss", penalty=None, random_state=0, **options)
    for epoch in range(1, MOST_EPOCHS + 1):
        start = time.perf_counter()
        for first in order.permutation(range(0, n, PIECE)):
            rows = slice(first, first + PIECE)
            model.partial_fit(X[rows], y[rows], classes=[0.0, 1.0])
        seconds += time.perf_counter() - start
        found = Answer(np.concatenate([model.intercept_, model.coef_[0]]), seconds=seconds)
        if harness.difference(found, exact) < NEAR:
            epochs.append(epoch)
            return found
    away = harness.difference(found, exact)
    raise RuntimeError(f"still {away:.2g} standard errors away after {MOST_EPOCHS} epochs and {seconds:.3g} s")


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """The exact fit of a stream beside both."""
    n, p = max(int(ROWS * scale), 2 * PIECE), COLUMNS
    X, y = columns("binomial", n, p)
    ours = partial(stream, "binomial", X, y, "auto")
    case = partial(Record, n=n, p=p)
    exact, epochs = peers.jaxglm("binomial", X, y), []
    done = harness.race(
        case(
            name="pieces.sklearn", what="logistic in pieces, against SGDClassifier.partial_fit", peer="scikit-learn",
            tolerance=NEAR, note=f"scikit-learn has no standard errors and ends within {NEAR:g} of one; ours is exact",
        ),
        ours, partial(descent, X, y, exact, epochs), repeats,
    )  # fmt: skip
    yield replace(done, figures={"epochs of scikit-learn": float(epochs[-1])} if epochs else {})
    whole = np.column_stack([np.ones(n), X])
    yield harness.race(
        case(
            name="pieces.dask-glm", what="logistic in pieces, against Newton steps of dask-glm", peer="dask-glm",
            note="dask-glm has chunks of a matrix in memory, a constant column in it, and makes no standard errors",
        ),
        ours, partial(dask_glm, whole, y), repeats,
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
