"""Negative binomial counts.

Regression with alpha estimated together with the coefficients, small and large.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import harness
import numpy as np
import rscript
from data import columns, first_rows
from harness import Answer, Record

ROWS = 1_000_000
SHAPES = {"small": (20_000, 10), "large": (ROWS, 30)}
#: Rows for the peers, which take too long for a million.
FEW = 100_000
FAMILY = "negative_binomial"


def jaxglm_fit(X: np.ndarray, y: np.ndarray, peer: str) -> Answer:
    """With standard errors; what the peer reports of it is compared."""
    import jaxglm as jg

    res = jg.fit(X, y, family=FAMILY)
    params, errors = res.params.to_numpy(), res.bse.to_numpy()
    # R reports theta = 1 / alpha apart.
    return Answer(params, errors) if peer == "statsmodels" else Answer(params[:-1], errors[:-1])


def statsmodels_fit(X: np.ndarray, y: np.ndarray) -> Answer:
    """By Newton steps, its most exact method. Its standard errors, from the observed information, are not compared."""
    import statsmodels.api as sm

    res = sm.NegativeBinomial(y, sm.add_constant(X, has_constant="add")).fit(method="newton", maxiter=100, disp=0)
    assert np.isfinite(res.bse).all()
    return Answer(res.params)


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """Two sizes, two peers."""
    for size, (rows, p) in SHAPES.items():
        n = max(int(rows * scale), 2_000)
        X, y = columns(FAMILY, n, p)
        few = first_rows(X, y, FEW)
        with tempfile.TemporaryDirectory() as folder:
            for peer in ("statsmodels", "MASS"):
                case = Record(
                    name=f"counts.{size}.{peer}",
                    what="negative binomial",
                    n=n,
                    p=p,
                    peer=peer,
                    peer_n=FEW if FEW < n else None,
                    note="NegativeBinomial, method='newton'; with standard errors"
                    if peer == "statsmodels"
                    else "glm.nb and summary in an R process of its own; reading the data is not counted",
                )
                if peer == "statsmodels":
                    theirs = partial(statsmodels_fit, *few)
                else:
                    theirs = partial(rscript.fit, FAMILY, rscript.write(Path(folder) / "rows.bin", *few))
                yield harness.race(
                    case,
                    partial(jaxglm_fit, X, y, peer),
                    theirs,
                    repeats,
                    partial(jaxglm_fit, *few, peer) if FEW < n else None,
                )


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
