"""What fits side by side are made of: the rows of each group, what all have in common, and what was found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from jaxglm.design import Layout
from jaxglm.errors import Status
from jaxglm.fitted import Options
from jaxglm.hosts import ALONE
from jaxglm.inference.covariance import Codes, Estimator
from jaxglm.kernels import Model, Rows
from jaxglm.precision import aligned_empty, in_threads, threads
from jaxglm.together import Added, Together

#: Rows from which sorting them is worth several threads.
_MANY = 2**18


@dataclass(frozen=True)
class Segments:
    """Which rows belong to which of G groups.

    Attributes
    ----------
    order : (n,) positions of the rows, those of a group one after the other
    starts, counts : (G,) where a group begins in `order`, and its rows
    """

    order: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    #: Whether a row of new data belongs to one group, or to each.
    routed: ClassVar[bool] = True
    #: What a summary calls them.
    noun: ClassVar[str] = "groups"

    @staticmethod
    def width(layout: Layout) -> int:
        """Numbers that a lane holds for a row."""
        return layout.n_coefficients + 3

    @classmethod
    def of(cls, codes: np.ndarray, n_groups: int) -> Segments:
        """From the group of each row (n,), in any order; rows keep theirs within a group."""
        edges = np.linspace(0, len(codes), threads() + 1 if len(codes) >= _MANY else 2).astype(int)
        spans = [slice(*pair) for pair in pairwise(edges)]
        parts = in_threads([partial(_by_digits, codes[span], n_groups) for span in spans])
        counts = np.array([found for _, found in parts])
        whole = counts.sum(axis=0)
        # Of each group the rows of the first part come first.
        ends = np.cumsum(whole) - whole + np.cumsum(counts, axis=0)
        order = np.empty(len(codes), np.int64)

        def put(k: int) -> None:
            own, found = counts[k], parts[k][0]
            # In place, for these are as long as the data.
            at = np.repeat(ends[k] - np.cumsum(own), own)
            at += np.arange(len(found))
            found += edges[k]
            order[at] = found

        in_threads([partial(put, k) for k in range(len(parts))])
        return cls(order, np.cumsum(whole) - whole, whole)

    def within(self, codes: np.ndarray) -> np.ndarray:
        """Codes of all rows (n,) as codes that begin with 0 in each group and leave none out, in the same order."""
        group = np.empty(len(codes), np.int64)
        group[self.order] = np.repeat(np.arange(len(self.counts)), self.counts)
        found, code = np.unique(group * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
        firsts = np.searchsorted(found, np.arange(len(self.counts)) * (int(codes.max(initial=0)) + 1))
        return (code - firsts[group]).astype(np.int32)

    def rows(self, group: int) -> np.ndarray:
        """Positions of the rows of one group."""
        start = self.starts[group]
        return self.order[start : start + self.counts[group]]

    def pick(self, rows: Rows, group: int) -> Rows:
        """The rows of one group."""
        places = self.rows(group)
        return jax.tree.map(lambda a: np.take(a, places, axis=0), rows)

    def tops(self, rows: Rows, alike: float) -> np.ndarray:
        """The largest response of each group, (G,); that of all where it is below `alike`."""
        if (largest := np.fmax.reduce(rows.y)) < alike:
            return np.full(len(self.counts), largest)
        there, tops = self.counts > 0, np.zeros(len(self.counts))
        tops[there] = np.fmax.reduceat(rows.y[self.order], self.starts[there])
        return tops

    def tile(self, rows: Rows, members: np.ndarray, lanes: int, length: int) -> tuple[Rows, Any]:
        """The rows of a tile (L, m, ...), and 0 since lanes share none of them.

        They are filled up with copies: lanes with the last, rows of a lane with its first.
        """
        of_lane = np.concatenate([members, np.repeat(members[-1:], lanes - len(members))])
        counts = self.counts[of_lane][:, None]
        place = np.arange(length)
        present = place < counts
        places = self.order[self.starts[of_lane][:, None] + np.where(present, place, 0)]
        plain = rows.freq.strides == (0,)
        leaves, tree = jax.tree.flatten(rows._replace(freq=None) if plain else rows)
        taken = jax.tree.unflatten(tree, [_taken(i, a, places) for i, a in enumerate(leaves)])
        freq = BUFFERS.array(-1, present.shape, np.dtype(float))
        np.copyto(freq, rows.freq[0] if plain else taken.freq)
        freq[~present] = 0.0
        return taken._replace(freq=freq), 0

    def without_rows(self) -> Segments:
        """The same as a file holds it."""
        return replace(self, order=np.zeros(0, np.int64))


def _by_digits(codes: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows in the order of their groups, and how many each group has."""
    # Of numbers so short a stable sort is one by digits; of longer ones their last digits stay.
    order = np.argsort(codes.astype(np.uint16), kind="stable")
    for shift in range(16, int(n_groups).bit_length(), 16):
        order = order[np.argsort((codes[order] >> shift).astype(np.uint16), kind="stable")]
    return order, np.bincount(codes, minlength=n_groups)


class Buffers(threading.local):
    """Arrays of each thread that its tiles are filled into in turn: memory that is new costs more than filling it."""

    def array(self, key: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of this thread, which is overwritten by who asks for the same again."""
        kept = self.__dict__.setdefault((key, shape, dtype.str), None)
        if kept is None:
            kept = self.__dict__[key, shape, dtype.str] = aligned_empty(shape, dtype)
        return kept


BUFFERS = Buffers()


def _taken(key: int, a: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Some rows of an array as tiles hold them, in a buffer."""
    dtype = _kept_as(a)
    out = BUFFERS.array(key, (*places.shape, *a.shape[1:]), dtype)
    if a.dtype == dtype:
        # Without "clip" take makes a copy of its own first.
        return np.take(a, places, axis=0, out=out, mode="clip")
    np.copyto(out, np.take(a, places, axis=0), casting="unsafe")
    return out


def stored(a: np.ndarray) -> np.ndarray:
    """Values as tiles hold them: codes as int32, numbers in double precision."""
    return a.astype(_kept_as(a), copy=False)


def _kept_as(a: np.ndarray) -> np.dtype:
    return np.dtype(np.int32 if a.dtype.kind == "i" else float)


class Shape(NamedTuple):
    """Lanes of a tile, rows of each, lanes that are computed at once, and whether there are few such tiles."""

    lanes: int
    length: int
    at_once: int
    little: bool


#: Padded rows that take as long as it is worth to save the program of one more shape.
_SHAPE = 2**18


def cuts(lengths: np.ndarray, members: np.ndarray) -> list[tuple[int, int]]:
    """First and last of the lengths (k,) of each bucket, by dynamic programming over where the last one begins."""
    below = np.concatenate([[0], np.cumsum(members)])
    cost, begins = [0.0], []
    for i, length in enumerate(lengths):
        each = [cost[j] + _SHAPE + float(length) * (below[i + 1] - below[j]) for j in range(i + 1)]
        begins.append(int(np.argmin(each)))
        cost.append(min(each))
    found, last = [], len(lengths) - 1
    while last >= 0:
        found.append((begins[last], last))
        last = begins[last] - 1
    return found[::-1]


@dataclass(frozen=True)
class Batch:
    """G fits as arrays, the groups first; NaN where there is no estimate.

    Attributes
    ----------
    theta : (G, P), NaN where aliased
    variances : (G, P) of the coefficients
    active, held : (G, P) bool, see :class:`~jaxglm.fitted.Fit`
    status, n_iter : (G,) int
    deviance, null_deviance, pearson_chi2, scale, llf, nobs, df_resid, df_null, aic, bic : (G,)
    messages : dict from the position of a group to why its rows cannot be used
    gaps : dict from the position of a group to why its estimates have no standard errors
    """

    theta: np.ndarray
    variances: np.ndarray
    active: np.ndarray
    held: np.ndarray
    status: np.ndarray
    n_iter: np.ndarray
    deviance: np.ndarray
    null_deviance: np.ndarray
    pearson_chi2: np.ndarray
    scale: np.ndarray
    llf: np.ndarray
    nobs: np.ndarray
    df_resid: np.ndarray
    df_null: np.ndarray
    aic: np.ndarray
    bic: np.ndarray
    messages: dict[int, str]
    gaps: dict[int, str]

    @classmethod
    def empty(cls, n_groups: int, n_coefficients: int) -> Batch:
        """Nothing fitted yet."""
        wide = (n_groups, n_coefficients)
        numbers = {f: np.full(n_groups, np.nan) for f in _NUMBERS_OF_A_FIT}
        return cls(
            theta=np.full(wide, np.nan), variances=np.full(wide, np.nan), active=np.zeros(wide, bool),
            held=np.zeros(wide, bool), status=np.full(n_groups, int(Status.NOT_FITTED)),
            n_iter=np.zeros(n_groups, int), messages={}, gaps={}, **numbers,
        )  # fmt: skip

    def clear(self, group: Any, status: int) -> None:
        """Groups without an estimate."""
        self.status[group] = status
        for name in ("theta", "variances", *_NUMBERS_OF_A_FIT):
            if name not in ("nobs", "df_null"):
                getattr(self, name)[group] = np.nan
        self.active[group] = self.held[group] = False


_NUMBERS_OF_A_FIT = (
    "deviance", "null_deviance", "pearson_chi2", "scale", "llf", "nobs", "df_resid", "df_null", "aic", "bic",
)  # fmt: skip


@dataclass(frozen=True)
class Dependences:
    """Combinations of columns that are 0 in every row of a group, one for each aliased column.

    Attributes
    ----------
    group : (A,) int, in ascending order
    weights : (A, P)
    """

    group: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Work:
    """What all groups have in common.

    Attributes
    ----------
    rows : those of all groups, whose codes are those of :meth:`Segments.within`; None in what a file held
    codes : what gives codes of all rows to an estimator that reads beside them
    """

    rows: Rows | None
    segments: Segments | Together | Added
    model: Model
    options: Options
    estimator: Estimator
    has_intercept: bool
    has_offset: bool
    natural: np.ndarray
    name_row: Callable[[int], str] | None = None
    name_column: Callable[[int], str] | None = None
    codes: Codes | None = None

    def without_rows(self) -> Work:
        """The same as a file holds it."""
        estimator = self.estimator.without_rows()
        segments = self.segments.without_rows()
        return replace(
            self, rows=None, segments=segments, estimator=estimator, name_row=None, name_column=None, codes=None
        )

    def beside(self, group: int) -> Any:
        """What the covariance of one group reads beside its rows.

        Raises
        ------
        InputError, DataError
            It cannot have this covariance: all its rows are in one cluster, two of them are at one time.
        """
        if not self.estimator.reads_beside:
            return None
        places = self.segments.rows(group)
        return self.estimator.learn(lambda value, what, _: self.codes(value, what)[places], ALONE)
