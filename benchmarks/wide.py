"""Many dense columns.

Logistic regression on 500,000 rows of 200 columns, and on 20,000 rows of 2,000 columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import harness
import peers
from data import columns
from harness import Record

ROWS, COLUMNS = 500_000, 200
VERY_WIDE = (20_000, 2_000)


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """Both shapes; only the first has a floor."""
    n = int(ROWS * scale)
    X, y = columns("binomial", n, COLUMNS)
    case = Record(
        name="wide.logistic.glum",
        what="logistic",
        n=n,
        p=COLUMNS,
        peer="glum",
        floor=2.0,
        aim=4.0,
        note="gradient_tol=1e-8; without standard errors",
    )
    yield harness.race(case, partial(peers.jaxglm, "binomial", X, y), partial(peers.glum, "binomial", X, y), repeats)
    n, p = (max(int(size * min(scale, 1.0) ** 0.5), 100) for size in VERY_WIDE)
    X, y = columns("binomial", n, p)
    case = Record(
        name="wide.square.scikit-learn",
        what="logistic, very wide",
        n=n,
        p=p,
        peer="scikit-learn",
        note="newton-cholesky, tol=1e-8, no penalty; without standard errors",
    )
    yield harness.race(case, partial(peers.jaxglm, "binomial", X, y), partial(peers.sklearn, "binomial", X, y), repeats)


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
