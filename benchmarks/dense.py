"""Poisson and logistic regression on dense columns.

A million rows of 30 float64 columns, beside every library that can do this fit. jaxglm starts from the user's NumPy
array and makes standard errors.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import harness
import numpy as np
import peers
import rscript
from data import columns, first_rows
from harness import Record

ROWS, COLUMNS = 1_000_000, 30
FAMILIES = {"poisson": "Poisson", "binomial": "logistic"}
#: These take too long, or too many copies of X, for all rows.
FEW = {"statsmodels": 200_000, "R": 200_000}
GOALS = {"glum": (3.0, 5.0), "glum, the same work": (3.0, 5.0), "statsmodels": (30.0, 50.0)}
#: In the order of running. glmax comes last, because its import switches the whole process to 64 bits.
NOTES = {
    "glum": "gradient_tol=1e-8; without standard errors",
    "glum, the same work": "gradient_tol=1e-8; with standard errors (store_covariance_matrix=True, robust=False)",
    "statsmodels": "with standard errors",
    "scikit-learn": "newton-cholesky, tol=1e-8, no penalty; without standard errors",
    "rustystats": "with standard errors; from a polars frame made beforehand",
    "R": "glm and summary, with standard errors, in an R process of its own; reading the data is not counted",
    "glmax": "IRLSFitter(tol=1e-6); with standard errors",
}
SIMPLE = {
    "glum": peers.glum,
    "glum, the same work": peers.glum_errors,
    "statsmodels": peers.statsmodels,
    "scikit-learn": peers.sklearn,
    "glmax": peers.glmax,
}


def fit_of(way: str, family: str, X: np.ndarray, y: np.ndarray, folder: Path) -> Callable:
    """The fit of an installed peer, with the data brought into the form it needs."""
    if way == "rustystats":
        return partial(peers.rustystats, family, peers.polars_frame(X, y))
    if way == "R":
        return partial(rscript.fit, family, rscript.write(folder / "rows.bin", X, y))
    return partial(SIMPLE[way], family, X, y)


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """Each library beside ours, in both families."""
    n = int(ROWS * scale)
    made = {family: columns(family, n, COLUMNS) for family in FAMILIES}
    for way, note in NOTES.items():
        peer, _, suffix = way.partition(", ")
        few = FEW.get(peer, n)
        floor, aim = GOALS.get(way, (None, None))
        for family, word in FAMILIES.items():
            case = Record(
                name=f"dense.{word.lower()}.{peer}" + ("_errors" if suffix else ""),
                what=f"{word}, {suffix}" if suffix else word,
                n=n,
                p=COLUMNS,
                peer=peer,
                peer_n=few if few < n else None,
                floor=floor,
                aim=aim,
                note=note,
            )
            rows = first_rows(*made[family], few)
            ours = partial(peers.jaxglm, family, *made[family])
            check = partial(peers.jaxglm, family, *rows)
            with tempfile.TemporaryDirectory() as folder:
                installed = harness.version_of(peer) is not None
                theirs = fit_of(way, family, *rows, Path(folder)) if installed else check
                yield harness.race(case, ours, theirs, repeats, check if few < n else None)


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
