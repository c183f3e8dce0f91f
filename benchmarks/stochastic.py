"""Gradients first.

Fits that come near the optimum by gradients, of batches of rows or of all rows (L-BFGS), and end exactly, against exact
Newton steps alone: Poisson with 10,000,000 rows of 20 columns in memory, the same columns as a stream, and logistic
regression with 400 columns. Both end at the same answer, to 1e-6 standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import harness
import machine
import numpy as np
from data import columns
from harness import Answer, Record

ROWS, COLUMNS = 10_000_000, 20
STREAMED = ROWS // 10
WIDE = (40_000, 400)
#: Rows of a frame of the stream.
PIECE = 100_000
#: Bytes for each byte of X that must be free.
ROOM = 2.0
#: Coefficients in standard errors, and standard errors relative to themselves.
SAME = 1e-6
SOLVERS = ("Stochastic", "lbfgs")
#: Counted runs, at most: the fits are long, and what is asked is which of two is faster at all.
MOST_REPEATS = 1


def fit(family: str, X: np.ndarray, y: np.ndarray, solver: str) -> Answer:
    """A fit of arrays in memory, with standard errors."""
    import jaxglm as jg

    res = jg.fit(X, y, family, solver=jg.Stochastic() if solver == "Stochastic" else solver)
    return Answer(res.params.to_numpy(), res.bse.to_numpy())


def stream(family: str, X: np.ndarray, y: np.ndarray, solver: str) -> Answer:
    """A fit of the same rows in pieces that come anew at every pass."""
    import jaxglm as jg

    names = [f"x{j}" for j in range(X.shape[1])]

    def frames():
        for start in range(0, len(y), PIECE):
            rows = slice(start, start + PIECE)
            yield {"y": y[rows], **{name: X[rows, j] for j, name in enumerate(names)}}

    chosen = jg.Stochastic() if solver == "Stochastic" else solver
    res = jg.glm(f"y ~ {' + '.join(names)}", frames, family, solver=chosen)
    return Answer(res.params.to_numpy(), res.bse.to_numpy())


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """Each solver against the exact one, on rows in memory, on a stream, and with many columns."""
    repeats = min(repeats, MOST_REPEATS)
    n, p = int(ROWS * scale), COLUMNS
    needed, free = ROOM * 8 * n * p, machine.free_memory()
    if free is not None and free < needed:
        case = Record("stochastic.memory", "Poisson in memory", n, p, "exact Newton")
        yield Record(**{**vars(case), "skipped": f"needs {needed / 1e9:.1f} GB of free memory, not {free / 1e9:.1f}"})
    else:
        yield from _pair("memory", "Poisson in memory", partial(fit, "poisson"), "poisson", (n, p), repeats)
    n = int(STREAMED * scale)
    yield from _pair("stream", "Poisson, streamed", partial(stream, "poisson"), "poisson", (n, p), repeats)
    n, p = (max(int(size * min(scale, 1.0) ** 0.5), 100) for size in WIDE)
    yield from _pair("wide", "logistic in memory", partial(fit, "binomial"), "binomial", (n, p), repeats)


def _pair(
    name: str, what: str, run: Callable[..., Answer], family: str, shape: tuple[int, int], repeats: int
) -> Iterator[Record]:
    X, y = columns(family, *shape)
    for solver in SOLVERS:
        case = Record(
            name=f"stochastic.{name}.{solver.lower()}",
            what=f"{what}, {solver}",
            n=shape[0],
            p=shape[1],
            peer="jaxglm",
            tolerance=SAME,
            note='the peer is solver="auto"; a ratio below 1 means that exact steps alone are faster',
        )
        yield harness.race(case, partial(run, X, y, solver), partial(run, X, y, "auto"), repeats)


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
