"""Rows that come in pieces.

Logistic regression with 1,000,000 rows of 20 columns that come 100,000 at a time: a whole fit with standard errors,
beside the exact Newton steps of dask-glm, and beside scikit-learn's `SGDClassifier.partial_fit`, which goes through the
pieces again and again until it is within half a standard error of the exact answer, and is told when. Pieces are
dicts of columns, made anew at every pass; scikit-learn alone has a matrix in memory.
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

ROWS, COLUMNS = 1_000_000, 20
#: Rows of a piece.
PIECE = 100_000
#: How near scikit-learn has to come, in standard errors, and after how many epochs it is given up.
NEAR, MOST_EPOCHS = 0.5, 40
#: Its step length times the number of rows, and epochs before it begins to average. Of steps of 10, 20, 50, 100 and 500
#: with 500,000 rows these came nearest. How near depends on the order of the rows: once 0.03 after 24 epochs, once 0.39
#: after 40; longer steps mostly stay 0.5 to 1.2 standard errors away.
STEP, BEFORE = 10.0, 8


class Pieces:
    """The rows as frames that are made anew at every pass, each a dict of columns."""

    def __init__(self, X: np.ndarray, y: np.ndarray):
        self.held = {"y": y, **{f"x{j}": np.ascontiguousarray(column) for j, column in enumerate(X.T)}}
        self.starts = range(0, len(y), PIECE)

    def frame(self, start: int) -> dict[str, np.ndarray]:
        """The rows from a start."""
        return {name: column[start : start + PIECE] for name, column in self.held.items()}

    def __call__(self) -> Iterator[dict[str, np.ndarray]]:
        return map(self.frame, self.starts)

    def matrix(self, start: int) -> np.ndarray:
        """The columns of a frame side by side, a constant first."""
        _, *columns = self.frame(start).values()
        return np.column_stack([np.ones(len(columns[0])), *columns])


def ours(pieces: Pieces) -> Answer:
    """A whole fit."""
    import jaxglm as jg

    _, *names = pieces.held
    res = jg.glm(f"y ~ {' + '.join(names)}", pieces, "binomial", progress=False)
    return Answer(res.params.to_numpy(), res.bse.to_numpy())


def dask_glm(pieces: Pieces) -> Answer:
    """Newton steps, of which each makes the matrices of all pieces anew; no standard errors."""
    import dask.array as da
    from dask import delayed
    from dask_glm.algorithms import newton
    from dask_glm.families import Logistic

    y = da.from_array(pieces.held["y"], PIECE)
    made = [
        da.from_delayed(delayed(pieces.matrix)(start), (m, len(pieces.held)), float)
        for start, m in zip(pieces.starts, y.chunks[0], strict=True)
    ]
    return Answer(np.asarray(newton(da.concatenate(made), y, family=Logistic)))


def descent(X: np.ndarray, y: np.ndarray, exact: Answer, epochs: list[int]) -> Answer:
    """Averaged stochastic gradient steps of scikit-learn, until they are near; only they are timed."""
    from sklearn.linear_model import SGDClassifier

    n, seconds, order = len(y), 0.0, np.random.default_rng(0)
    options = {"learning_rate": "constant", "eta0": STEP / n, "average": BEFORE * n}
    model = SGDClassifier(loss="log_loss", penalty=None, random_state=np.random.RandomState(0), **options)
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
    pieces = Pieces(X, y)
    case = partial(Record, n=n, p=p)
    exact, epochs = peers.jaxglm("binomial", X, y), []
    done = harness.race(
        case(
            name="pieces.sklearn", what="logistic in pieces, against SGDClassifier.partial_fit", peer="scikit-learn",
            tolerance=NEAR, note=f"scikit-learn has a matrix, makes no standard errors, ends within {NEAR:g} of one",
        ),
        partial(ours, pieces), partial(descent, X, y, exact, epochs), repeats,
    )  # fmt: skip
    yield replace(done, figures={"epochs of scikit-learn": float(epochs[-1])} if epochs else {})
    yield harness.race(
        case(
            name="pieces.dask-glm", what="logistic in pieces, against Newton steps of dask-glm", peer="dask-glm",
            note="both make the same frames anew at every pass; dask-glm makes no standard errors",
        ),
        partial(ours, pieces), partial(dask_glm, pieces), repeats,
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
