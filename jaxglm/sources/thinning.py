"""A sample of rows that come once, of which nobody knows beforehand how many they are."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxglm.kernels import Rows
from jaxglm.sources.arrays import ROWS_OF_A_LEVEL
from jaxglm.sources.storage import row_bytes

#: Most rows that are kept, and most bytes of their design.
MOST_ROWS, MOST_BYTES = 2**18, 2**25
#: Rows among which one is kept, at least; where that leaves fewer than the second number, down to the third.
SHARE, FEWEST, LEAST_SHARE = 16, 2**13, 4
#: Most rows that are kept for the sake of the levels of one factor.
MOST_OF_LEVELS = 2**16


class Thinning:
    """Keeps one row out of each of many stretches of equal length, at a place that looks like chance.

    Stretches begin as single rows and are joined in pairs whenever too many rows are kept, so that the kept rows are
    spread evenly over all rows in whatever order these come. Of levels that then have few rows, the first ones are
    kept besides: what they are chosen by is a column of the design, so estimates from them stay unbiased.

    Parameters
    ----------
    most : int
        Most rows that are kept, of all parts together.
    parts : int
        Of so many parts of the rows this looks at one.
    expected : int
        Rows of all parts, not less than there are; if at least half of them come, it changes nothing but the time.

    Examples
    --------
    >>> import numpy as np
    >>> from jaxglm.kernels import Rows
    >>> from jaxglm.sources.thinning import Thinning
    >>> thinning = Thinning(most=64)
    >>> for start in range(0, 1000, 100):
    ...     y = np.arange(start, start + 100.0)
    ...     thinning.add(Rows(x=((y,),), y=y, freq=np.ones(100)))
    >>> kept = thinning.rows()
    >>> len(kept.y), bool(np.all(np.diff(kept.y) < 2 * 16))
    (63, True)
    """

    def __init__(self, most: int = MOST_ROWS, parts: int = 1, expected: int = 0):
        # Of so many parts of the rows each keeps its share, so that all together are no more than of one.
        self._most, self._n_parts = most, parts
        # Stretches begin as long as half of the rows that are expected make them at least: the same rows are kept,
        # and most others of the first ones need not be copied before.
        self._surely = expected // (2 * parts)
        self._joined = 0
        #: Rows that were looked at.
        self.seen = 0
        self._count = 0
        #: Numbers of rows among all, and the rows.
        self._parts: list[tuple[np.ndarray, Rows]] = []
        self._of_levels: list[tuple[np.ndarray, Rows, int, np.ndarray]] = []
        #: Rows of each level so far, by leaf of the design.
        self._levels: dict[int, np.ndarray] = {}

    def add(self, rows: Rows) -> None:
        """Look at the next rows; those that are kept are copied."""
        m = len(rows.y)
        if not m:
            return
        if not self._parts:
            self._most = max(min(self._most, MOST_BYTES // max(row_bytes(rows), 8)) // self._n_parts, 2)
            while self._surely >> self._joined > self._most:
                self._joined += 1
        places = _chosen(self.seen, self.seen + m, self._joined)
        # One part without rows is kept, for the structure.
        if len(places) or not self._parts:
            self._parts.append((places, _taken(rows, places - self.seen)))
        self._count += len(places)
        self._add_levels(rows)
        self.seen += m
        while self._count > self._most:
            self._join()

    def spread(self) -> Rows:
        """The rows that are kept so far, few or not, but those that are kept for the sake of levels alone."""
        return jax.tree.map(lambda *pieces: np.concatenate(pieces), *[rows for _, rows in self._parts])

    def rows(self) -> Rows | None:
        """The rows that are kept, in their order; None if they are no small part of all."""
        while self._count > max(self.seen // SHARE, FEWEST // self._n_parts):
            self._join()
        if self._count * LEAST_SHARE > self.seen:
            return None
        share = self._count / self.seen
        parts = list(self._parts)
        for places, rows, leaf, codes in self._of_levels:
            rare = self._levels[leaf][codes] * share < ROWS_OF_A_LEVEL
            parts.append((places[rare], _taken(rows, np.flatnonzero(rare))))
        places, first = np.unique(np.concatenate([places for places, _ in parts]), return_index=True)
        whole = jax.tree.map(lambda *pieces: np.concatenate(pieces), *[rows for _, rows in parts])
        return _taken(whole, first)

    def _join(self) -> None:
        """Join stretches in pairs, each of which keeps one of its two rows."""
        self._joined += 1
        kept = []
        for places, rows in self._parts:
            stay = np.flatnonzero(_place(places >> self._joined, self._joined) == places)
            kept.append((places[stay], _taken(rows, stay)))
        self._parts = [part for part in kept if len(part[0])] or kept[:1]
        self._count = sum(len(places) for places, _ in kept)

    def _add_levels(self, rows: Rows) -> None:
        """Keep the first rows of each level of a factor."""
        for leaf, codes in enumerate(jax.tree.leaves(rows.x)):
            if codes.dtype.kind != "i":
                continue
            now = np.bincount(codes)
            before = self._levels.get(leaf, np.zeros(0, np.int64))
            size = max(len(now), len(before))
            before, now = (np.pad(a, (0, size - len(a))) for a in (before, now))
            self._levels[leaf] = before + now
            missing = max(min(ROWS_OF_A_LEVEL, MOST_OF_LEVELS // size), 1) - before
            at = np.flatnonzero((missing > 0)[codes]) if (missing[now > 0] > 0).any() else np.empty(0, np.int64)
            at = at[_rank(codes[at]) < missing[codes[at]]]
            if len(at):
                self._of_levels.append((at + self.seen, _taken(rows, at), leaf, codes[at]))


def _chosen(start: int, stop: int, joined: int) -> np.ndarray:
    """The rows from start to stop that are kept of their stretches of 2^joined rows, (m,) int64."""
    stretches = np.arange(start >> joined, ((stop - 1) >> joined) + 1)
    places = _place(stretches, joined)
    return places[(places >= start) & (places < stop)]


def _place(stretches: np.ndarray, joined: int) -> np.ndarray:
    """Which row each stretch keeps: of its two halves always the same one, and of that half likewise."""
    places = stretches
    for level in range(joined, 0, -1):
        places = 2 * places + _coin(places, level)
    return places


def _coin(numbers: np.ndarray, level: int) -> np.ndarray:
    """0 or 1 for each number, by the mixing function of splitmix64 (Steele, Lea and Flood 2014)."""
    z = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(level * 0xD1B54A32D192ED03 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z >> np.uint64(63)).astype(np.int64)


def _rank(codes: np.ndarray) -> np.ndarray:
    """How many equal codes come before each, (m,)."""
    order = np.argsort(codes, kind="stable")
    first = np.flatnonzero(np.diff(codes[order], prepend=-1))
    rank = np.empty(len(codes), np.int64)
    rank[order] = np.arange(len(codes)) - np.repeat(first, np.diff(first, append=len(codes)))
    return rank


def _taken(rows: Rows, at: np.ndarray) -> Any:
    return jax.tree.map(lambda a: np.asarray(a)[at], rows)
