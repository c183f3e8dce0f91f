"""Which rows of a matrix can be used, and which of its columns are constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from jaxglm import precision
from jaxglm.errors import DataError, HostError
from jaxglm.frames.scan import piece_rows
from jaxglm.hosts import Hosts
from jaxglm.intake.shared import Tally

T = TypeVar("T")

#: Entries from which a sum of them is worth several threads, and from which it takes long enough to be left to others.
_MANY, _UNREAD = 2**20, 2**22
#: Rows of which one is looked at in any case.
_SOME = 64


def complete_rows(matrix, columns, y, extra, mask, missing) -> tuple[np.ndarray | None, Tally]:
    """Mask of the rows to keep (None for all), and what was dropped."""
    by = {"y": np.isnan(y), **{name: np.isnan(v) for name, v in extra.items()}}
    # The sum is not a number if any entry is not; only then is every entry looked at.
    if matrix.size and not np.isfinite(_sum(matrix)):
        by |= {columns[j]: np.isnan(matrix[:, j]) for j in np.flatnonzero(_holes(matrix))}
    by = {name: m & mask if mask is not None else m for name, m in by.items()}
    by = {name: m for name, m in by.items() if m.any()}
    if not by:
        return mask, Tally()
    gone = np.logical_or.reduce(list(by.values()))
    if missing == "raise":
        name, where = next(iter(by.items()))
        raise DataError(
            f"{name} is missing in row {np.flatnonzero(where)[0]}; use missing='drop' to leave such rows out"
        )
    keep = ~gone if mask is None else mask & ~gone
    return keep, Tally(int(gone.sum()), {name: int(m.sum()) for name, m in by.items()})


def looks_whole(X: Any, hosts: Hosts) -> bool:
    """Whether X is a large matrix of float64 in memory, and a look at some of its rows finds no value missing.

    With `hosts`, whether it is so in all of them.
    """
    own, told = hosts.share("looking at some rows of X", lambda: _looks_whole(X), bool)
    return own and all(told)


def _looks_whole(X: Any) -> bool:
    plain = isinstance(X, np.ndarray) and not isinstance(X, np.memmap) and X.dtype == np.float64
    return plain and X.flags.c_contiguous and X.size >= _UNREAD and bool(np.isfinite(X[::_SOME].sum()))


def _sum(matrix: np.ndarray) -> float:
    """The sum of all entries, made by all cores where there are many."""
    if precision.resident(matrix) or matrix.size < _MANY:
        return float(matrix.sum())
    edges = np.linspace(0, len(matrix), precision.cores() + 1).astype(int)
    jobs = [matrix[a:b].sum for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return sum(map(float, precision.in_threads(jobs)))


def _holes(matrix: np.ndarray) -> np.ndarray:
    """Which columns miss a value, (p,) bool; some rows at a time."""
    size = piece_rows(8 * matrix.shape[1])
    return np.logical_or.reduce([np.isnan(matrix[i : i + size]).any(axis=0) for i in range(0, len(matrix), size)])


def constants_of(matrix: np.ndarray) -> dict[int, float]:
    """The columns that have the same nonzero value in every row, and that value."""
    if not len(matrix):
        return {}
    head = np.asarray(matrix[: min(len(matrix), 100)])
    first = head[0]
    candidates = np.flatnonzero((head == first).all(axis=0) & (first != 0))
    return {int(j): float(first[j]) for j in candidates if (matrix[:, j] == first[j]).all()}


def unread_first(run: Callable[[bool], T], wanted: bool) -> T:
    """What `run` gives where values stay unread; after an error in data, perhaps one that is missing, where not.

    That of another process counts as well.
    """
    if wanted:
        try:
            return run(True)
        except (DataError, HostError) as error:
            if not getattr(error, "in_data", isinstance(error, DataError)):
                raise
    return run(False)
