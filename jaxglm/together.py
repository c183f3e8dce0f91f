"""Many responses beside one design: which rows each has, and tiles of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import numpy as np

from jaxglm.design import Layout
from jaxglm.kernels import Rows
from jaxglm.solvers.loops import CHUNK
from jaxglm.sources.base import pad

#: Values of counts in a table of a lane: one program for each of these.
_VALUES = (2, 64, 1024)
#: Numbers of responses that are looked at together.
_BLOCK = 2**18
#: Types of candidates that are widened where they are multiplied.
_SHORT = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.bool_)


@dataclass(frozen=True)
class Together:
    """G responses, and weights, offsets or trials of their own, beside rows that all share.

    The same interface as :class:`~jaxglm.batched.Segments`; each response takes the place of a group.

    Attributes
    ----------
    own : dict of (n, G) arrays of numbers
        "y" and perhaps "freq", "prior", "offset" (on the link scale), "trials"; NaN where a response lacks the row.
    counts : (G,) rows that each response has
    whole : bool
        Whether every response has every row.
    """

    own: dict[str, np.ndarray]
    counts: np.ndarray
    whole: bool
    routed: ClassVar[bool] = False
    noun: ClassVar[str] = "responses"

    @staticmethod
    def width(layout: Layout) -> int:
        """Numbers that a lane holds for a row."""
        return 4 * layout.n_predictors

    @classmethod
    def of(cls, own: dict[str, np.ndarray]) -> Together:
        """From the arrays; they are neither copied nor changed."""
        n, groups = own["y"].shape
        made = cls(own, np.full(groups, n), True)
        if all(a.dtype.kind in "biu" for a in own.values()) and not {"freq", "prior"} & set(own):
            return made
        counts = np.empty(groups, int)
        for block in blocks(n, groups):
            counts[block] = made._present(block).sum(axis=1)
        return cls(own, counts, bool((counts == n).all()))

    def within(self, codes: np.ndarray) -> np.ndarray:
        """Codes of all rows (n,) as codes from 0 that leave none out, in the same order."""
        return np.unique(codes, return_inverse=True)[1].astype(np.int32)

    def without_rows(self) -> Together:
        """The same as a file holds it."""
        return replace(self, own={})

    def rows(self, group: int) -> np.ndarray:
        """Positions of the rows of one response."""
        return np.flatnonzero(self._present(np.array([group]))[0])

    def pick(self, rows: Rows, group: int) -> Rows:
        """The rows of one response."""
        places = self.rows(group)
        picked = jax.tree.map(lambda a: np.take(a, places, axis=0), rows)
        own = {name: a[places, group].astype(float) for name, a in self.own.items()}
        return _with(picked, own, picked.offset)

    def tops(self, rows: Rows, alike: float) -> np.ndarray:
        """The largest value of each response, (G,); infinite where they are no counts."""
        y = self.own["y"]
        if "trials" in self.own:
            return np.full(y.shape[1], np.inf)
        return np.concatenate([np.fmax.reduce(y[:, block], axis=0).astype(float) for block in blocks(*y.shape)])

    def tile(self, rows: Rows, members: np.ndarray, lanes: int, length: int) -> tuple[Rows, Any]:
        """The rows of a tile, and which of their fields lanes have of their own."""
        of_lane = np.concatenate([members, np.repeat(members[-1:], lanes - len(members))])
        n = len(rows.y)
        shared = pad(rows, length)
        own = {name: np.empty((lanes, length)) for name in self.own}
        for name, values in self.own.items():
            own[name][:, :n] = _columns(values, of_lane)
        first = np.zeros(lanes, int)
        if not self.whole:
            there = np.zeros((lanes, length), bool)
            there[:, :n] = self._present(of_lane)
            first = there.argmax(axis=1)
            freq = own.get("freq", shared.freq)
        for values in own.values():
            fill = values[np.arange(lanes), first][:, None]
            values[:, n:] = fill
            if not self.whole:
                np.copyto(values, np.broadcast_to(fill, values.shape), where=~there)
        if "freq" in own:
            own["freq"][:, n:] = 0.0
        if not self.whole:
            own["freq"] = np.where(there, freq, 0.0)
        axes = Rows(x=None, y=0, freq=_axis("freq" in own), prior=_axis("prior" in own),
                    offset=_axis("offset" in own), aux=_axis("trials" in own), codes=None)  # fmt: skip
        if "trials" in own:
            shared = shared._replace(aux={k: np.broadcast_to(v, (lanes, length)) for k, v in shared.aux.items()})
        return _with(shared, own, shared.offset), axes

    def _present(self, members: np.ndarray | slice) -> np.ndarray:
        """Whether each response has each row, (L, n)."""
        there = True
        for name, values in self.own.items():
            part = _columns(values, members)
            there = there & (~np.isnan(part) if part.dtype.kind == "f" else True)
            if name in ("freq", "prior"):
                there = there & (part != 0)
        shape = _columns(self.own["y"], members).shape
        return np.broadcast_to(there, shape)


@dataclass(frozen=True)
class Added:
    """Single columns, each added as the last of the mean predictor to rows that all share otherwise.

    The same interface as :class:`Together`; each column takes the place of a response.

    Attributes
    ----------
    candidates : (n_all, G) array of numbers, NaN where a column lacks the row
    positions : (n,) int or None
        Which of the n_all rows are there; None for all.
    counts, whole : see :class:`Together`
    """

    candidates: np.ndarray
    positions: np.ndarray | None
    counts: np.ndarray
    whole: bool
    routed: ClassVar[bool] = False
    noun: ClassVar[str] = "candidates"

    @classmethod
    def of(cls, candidates: np.ndarray, positions: np.ndarray | None) -> Added:
        """From the array, which is neither copied nor changed."""
        n = len(candidates) if positions is None else len(positions)
        made = cls(candidates, positions, np.full(candidates.shape[1], n), True)
        if candidates.dtype.kind != "f":
            return made
        counts = np.empty(candidates.shape[1], int)
        for block in blocks(n, len(counts)):
            counts[block] = (~np.isnan(made.columns(block))).sum(axis=1)
        return replace(made, counts=counts, whole=bool((counts == n).all()))

    @staticmethod
    def width(layout: Layout) -> int:
        """Numbers that a lane holds for a row."""
        return layout.n_coefficients + 3

    def columns(self, members: np.ndarray | slice) -> np.ndarray:
        """Some candidates as rows, (L, n), as they are."""
        if self.positions is None:
            return _columns(self.candidates, members)
        return np.take(_columns(self.candidates, members), self.positions, axis=1)

    def upright(self, members: np.ndarray) -> np.ndarray:
        """Some candidates as columns, (n, L); short numbers are as they are, others in double precision."""
        run = (np.diff(members) == 1).all()
        found = self.candidates[:, members[0] : members[-1] + 1] if run else self.candidates[:, members]
        found = found if self.positions is None else found[self.positions]
        return found if found.dtype in _SHORT else found.astype(float, copy=False)

    def rows(self, group: int) -> np.ndarray:
        """Positions of the rows that a candidate has."""
        return np.flatnonzero(~np.isnan(self.columns(np.array([group]))[0].astype(float)))

    def pick(self, rows: Rows, group: int) -> Rows:
        """The rows of the model with one candidate."""
        places = self.rows(group)
        picked = jax.tree.map(lambda a: np.take(a, places, axis=0), rows)
        column = self.columns(np.array([group]))[0, places].astype(float)
        return _beside(picked, np.column_stack([picked.x[0][-1], column]))

    def tops(self, rows: Rows, alike: float) -> np.ndarray:
        """The largest response, the same for all, (G,)."""
        return np.full(len(self.counts), float(rows.y.max()))

    def tile(self, rows: Rows, members: np.ndarray, lanes: int, length: int) -> tuple[Rows, Any]:
        """The rows of a tile, and which of their fields lanes have of their own."""
        of_lane = np.concatenate([members, np.repeat(members[-1:], lanes - len(members))])
        n, shared = len(rows.y), pad(rows, length)
        known = shared.x[0][-1]
        x = np.empty((lanes, length, known.shape[1] + 1))
        x[:, :, :-1], x[:, :n, -1] = known, self.columns(of_lane)
        x[:, n:, -1] = 0.0
        freq = shared.freq
        if not self.whole:
            holes = np.isnan(x[:, :, -1])
            x[:, :, -1][holes] = 0.0
            freq = np.where(holes, 0.0, freq)
        axes = Rows(x=0, y=0, freq=_axis(not self.whole), prior=None, offset=None, aux=None, codes=None)
        y = np.broadcast_to(shared.y, (lanes, length))
        return _beside(shared._replace(y=y, freq=freq), x), axes


def _beside(rows: Rows, matrix: np.ndarray) -> Rows:
    """Rows with another matrix in the mean predictor."""
    return rows._replace(x=((*rows.x[0][:-1], matrix), *rows.x[1:]))


@dataclass(frozen=True)
class Tables:
    """How large the tables of counts are, and which lanes can have one.

    Attributes
    ----------
    size : int
        Values in a table, 0 for none.
    fits : (G,) bool
    tops : (G,) the largest value of each lane, rounded up to where it makes a difference
    """

    size: int
    fits: np.ndarray
    tops: np.ndarray

    @classmethod
    def of(cls, work: Any) -> Tables:
        """For the lanes of a work: where a table is shorter than what it saves."""
        family, rows, layout = work.model.family, work.rows, work.model.layout
        stepped = family.without_steps is not None
        constants = all(d.n_columns == 1 and not jax.tree.leaves(x)
                        for d, x in zip(layout.designs[1:], rows.x[1:], strict=True))  # fmt: skip
        lanes = len(work.segments.counts)
        none = cls(0, np.zeros(lanes, bool), np.zeros(lanes))
        if not (family.counted and family.dispersion_known and constants) or rows.aux:
            return none
        if rows.offset is not None and rows.offset[:, 1:].any():
            return none
        # A value costs less than a row does without a table: far less where that takes gamma functions.
        room = max(min((5 if stepped else 1) * int(np.median(work.segments.counts)), _VALUES[-1]), 2)
        tops = work.segments.tops(rows, min(room, CHUNK))
        fits = tops < room
        if not fits.any() or not (stepped or fits.all()):
            return none
        size = next(size for size in _VALUES if size > tops[fits].max())
        return cls(size, fits, np.floor(tops / CHUNK))

    def count(self, rows: Rows) -> np.ndarray | None:
        """The weight of the rows of each lane whose response is 0, 1, ..., (L, V); None where one has another value."""
        y = np.asarray(rows.y)
        with np.errstate(invalid="ignore"):
            codes = y.astype(np.int64)
        if not (codes == y).all() or codes.min() < 0 or codes.max() >= self.size:
            return None
        lanes = len(y)
        weight = np.broadcast_to(rows.freq if rows.prior is None else rows.freq * rows.prior, y.shape)
        place = codes + self.size * np.arange(lanes)[:, None]
        return np.bincount(place.ravel(), weight.ravel(), lanes * self.size).reshape(lanes, self.size)


def blocks(n: int, groups: int) -> list[slice]:
    """Slices of columns (n,) that are looked at together."""
    size = max(_BLOCK // max(n, 1), 1)
    return [slice(i, min(i + size, groups)) for i in range(0, groups, size)]


def _axis(own: bool) -> int | None:
    return 0 if own else None


def _columns(values: np.ndarray, members: np.ndarray | slice) -> np.ndarray:
    """Some columns as rows, (L, n)."""
    if isinstance(members, slice):
        return values[:, members].T
    run = len(members) > 0 and (members == np.arange(members[0], members[0] + len(members))).all()
    return values[:, members[0] : members[0] + len(members)].T if run else np.take(values, members, axis=1).T


def _with(rows: Rows, own: dict[str, np.ndarray], offset: np.ndarray | None) -> Rows:
    """Rows with fields of their own, each (m,) or (L, m); an offset is added to that of all."""
    rows = rows._replace(**{name: values for name, values in own.items() if name not in ("offset", "trials")})
    if "offset" in own:
        mean = own["offset"] if offset is None else own["offset"] + offset[:, 0]
        rest = np.zeros((*mean.shape, len(rows.x) - 1))
        if offset is not None:
            rest = rest + offset[:, 1:]
        rows = rows._replace(offset=np.concatenate([mean[..., None], rest], axis=-1))
    return rows if "trials" not in own else rows._replace(aux={**rows.aux, "trials": own["trials"]})
