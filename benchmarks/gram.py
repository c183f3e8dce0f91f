"""A whole fit against one matrix product.

A fit with standard errors, and the time that NumPy takes for `X.T @ X` alone: the least that any Newton fit must do.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import harness
import numpy as np
import peers
from data import columns
from dense import COLUMNS, FAMILIES, ROWS
from harness import Answer, Record


def gram(X: np.ndarray) -> Answer:
    """The product alone; there is nothing to compare."""
    product = X.T @ X
    assert product.shape == (X.shape[1],) * 2
    return Answer(np.empty(0))


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """Both families."""
    n = int(ROWS * scale)
    for family, word in FAMILIES.items():
        X, y = columns(family, n, COLUMNS)
        case = Record(
            name=f"gram.{word.lower()}",
            what=f"{word} fit over X.T @ X",
            n=n,
            p=COLUMNS,
            peer="numpy",
            sense="at most",
            floor=6.0,
            aim=3.0,
            note="NumPy computes half of the symmetric product (syrk) with the kernel named in the head",
        )
        # The product is short: one more or less of its runs decides little, many of them do.
        yield harness.race(case, partial(peers.jaxglm, family, X, y), partial(gram, X), 3 * repeats)


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
