"""The three kinds of column: numbers, factors, moments in time.

Whatever library a frame comes from, a column ends as one of these. Numbers are
NumPy arrays, missing values are nan. Factors are codes into a tuple of levels,
a missing value has code -1. Moments in time are neither; they are kept apart so
that the error can say what to do.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from jaxglm.errors import DataError

Level = str | int | float | bool

#: Levels that are looked for one by one.
_FEW_LEVELS = 8


class Column:
    """Base of the kinds of column; `n_rows` values in the order of the frame."""

    n_rows: int

    @property
    def missing(self) -> np.ndarray:
        """Mask of the missing values, (n,)."""
        raise TypeError(f"{type(self).__name__} does not say which values are missing")

    def take(self, rows: np.ndarray) -> Column:
        """The values at some positions."""
        name = "codes" if isinstance(self, Factor) else "source"
        return replace(self, **{name: getattr(self, name)[rows]})

    @property
    def empty(self) -> bool:
        """Whether every value is missing, so that the kind is only a guess."""
        return bool(self.missing.all())


@dataclass(frozen=True, eq=False)
class Numeric(Column):
    """Numbers.

    Attributes
    ----------
    source : ndarray (n,)
        The values as they came: any real dtype, nan where missing.
    integer : bool
        Whether all values are whole numbers by type; their levels are then written ``2``, not ``2.0``.
    """

    source: np.ndarray
    integer: bool = False

    @property
    def n_rows(self) -> int:
        return self.source.shape[0]

    @cached_property
    def values(self) -> np.ndarray:
        """The numbers as float64; the user's own array where it is float64 already."""
        return self.source.astype(np.float64, copy=False)

    @cached_property
    def missing(self) -> np.ndarray:
        if self.source.dtype.kind in "iu":
            return np.zeros(self.n_rows, dtype=bool)
        return np.isnan(self.source)

    @cached_property
    def factor(self) -> Factor:
        """The distinct numbers as levels, in ascending order."""
        import pandas as pd

        if self.source.dtype.kind in "iu" and (found := _by_place(self.source)) is not None:
            return Factor(*found)
        codes, unique = pd.factorize(self.source)
        order = np.argsort(unique, kind="stable")
        levels = unique[order].tolist()
        if self.integer:
            levels = [int(v) for v in levels]
        return Factor(_recode(codes, _inverse(order)), tuple(levels))


@dataclass(frozen=True, eq=False)
class Factor(Column):
    """Values out of a set of levels.

    Attributes
    ----------
    codes : int32 array (n,)
        Position of each value among the levels, -1 where missing.
    levels : tuple
        Text, numbers or booleans, without repeats; levels that no row has are possible.
    ordered : bool
        Whether the user declared the order of the levels to mean something.
    boolean : bool
        Whether the column holds truth values; the levels are then (False, True).
    """

    codes: np.ndarray
    levels: tuple[Level, ...]
    ordered: bool = False
    boolean: bool = False

    @property
    def n_rows(self) -> int:
        return self.codes.shape[0]

    @cached_property
    def missing(self) -> np.ndarray:
        return self.codes < 0

    @cached_property
    def complete(self) -> bool:
        """Whether no value is missing; quicker than the mask of those that are."""
        return not len(self.codes) or int(self.codes.min()) >= 0

    @property
    def factor(self) -> Factor:
        return self

    @cached_property
    def values(self) -> np.ndarray:
        """The number of each truth value, 0 or 1, nan where missing; only where ``boolean``."""
        if not self.boolean:
            raise DataError("a factor has levels, not numbers; only true/false columns count as 0 and 1")
        out = self.codes.astype(np.float64)
        out[self.codes < 0] = np.nan
        return out

    @property
    def labels(self) -> np.ndarray:
        """The level of each row as an object array, None where missing."""
        table = np.empty(len(self.levels) + 1, dtype=object)
        table[:-1] = self.levels
        return table[self.codes]

    def recode(self, levels: Sequence[Level]) -> np.ndarray:
        """Codes into other levels: -1 where missing, -2 where the level is not among them."""
        if tuple(levels) == self.levels:
            return self.codes
        place = {level: i for i, level in enumerate(levels)}
        table = np.array([place.get(level, -2) for level in self.levels], dtype=np.int64)
        return _recode(self.codes, table)

    def present(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Mask over the levels: which occur in `rows` (all rows by default)."""
        codes = self.codes if rows is None else self.codes[rows]
        # One place more, for the code -1. Most often all levels occur before long, and the rest need not be read.
        found = np.zeros(len(self.levels) + 1, bool)
        start, size = 0, 2**14
        while start < len(codes) and not found[:-1].all():
            part = codes[start : start + size]
            absent = np.flatnonzero(~found[:-1])
            if len(absent) <= _FEW_LEVELS:
                # To look for a few is quicker than to look each code up.
                found[absent] = [(part == level).any() for level in absent.astype(codes.dtype)]
            else:
                found[part] = True
            start, size = start + size, 2 * size
        return found[:-1]


@dataclass(frozen=True, eq=False)
class Datetime(Column):
    """Moments or spans of time; usable as a factor, not as a number."""

    source: np.ndarray
    type_name: str

    @property
    def n_rows(self) -> int:
        return self.source.shape[0]

    @cached_property
    def missing(self) -> np.ndarray:
        import pandas as pd

        return np.asarray(pd.isna(self.source))

    @cached_property
    def factor(self) -> Factor:
        """The distinct moments as levels, in order of time, written as text."""
        import pandas as pd

        codes, unique = pd.factorize(self.source, sort=True)
        # Through a Series, for the spelling of pandas: 2024-01-02 00:00:00.
        return Factor(codes.astype(np.int32), tuple(str(v) for v in pd.Series(unique)))


def _by_place(whole: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]] | None:
    """Codes and levels of whole numbers, by a table from the least to the largest; None where it would be long."""
    if not len(whole):
        return None
    low, high = int(whole.min()), int(whole.max())
    if high - low >= 2 * len(whole):
        return None
    # A difference that does not fit its type wraps around, to what it is without a sign.
    places = (whole - whole.dtype.type(low)).view(f"u{whole.dtype.itemsize}")
    there = np.zeros(high - low + 1, bool)
    there[places] = True
    levels = np.flatnonzero(there)
    codes = places.astype(np.int32) if len(levels) == len(there) else (np.cumsum(there, dtype=np.int32) - 1)[places]
    return codes, tuple(low + level for level in levels.tolist())


def _inverse(order: np.ndarray) -> np.ndarray:
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    return place


def _recode(codes: np.ndarray, table: np.ndarray) -> np.ndarray:
    """``table[codes]`` as int32, with code -1 kept."""
    return np.append(table, -1).astype(np.int32)[codes]


def plain_level(value: Hashable) -> Level:
    """A level as a plain Python value: text, number or truth value, else its text."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, (str, bool, int, float)) else str(value)


def sort_levels(levels: Iterable[Level]) -> list[Level]:
    """Levels in ascending order; numbers before text where both occur."""
    levels = list(levels)
    try:
        return sorted(levels)
    except TypeError:
        return sorted(levels, key=lambda v: (isinstance(v, str), str(v) if isinstance(v, str) else v))


def factor_of(codes: np.ndarray, levels: Iterable[Hashable], *, ordered: bool = False, sort: bool = False) -> Factor:
    """A factor from codes (-1 missing) and the values they stand for; equal levels are merged."""
    plain = [plain_level(v) for v in levels]
    unique = list(dict.fromkeys(plain))
    if sort:
        unique = sort_levels(unique)
    if unique == plain:
        return Factor(np.asarray(codes).astype(np.int32, copy=False), tuple(plain), ordered)
    place = {level: i for i, level in enumerate(unique)}
    table = np.array([place[v] for v in plain], dtype=np.int64)
    return Factor(_recode(codes, table), tuple(unique), ordered)


def merge_levels(parts: Sequence[Factor]) -> tuple[Level, ...]:
    """Levels of several pieces of one column.

    Levels found in text are sorted in each piece, so they are sorted in the whole. Levels in an order of their own
    (categories, dictionaries) keep it, later pieces adding theirs at the end.
    """
    lists = list(dict.fromkeys(p.levels for p in parts))
    union = list(dict.fromkeys(level for levels in lists for level in levels))
    if len(lists) > 1 and all(list(levels) == sort_levels(levels) for levels in lists):
        union = sort_levels(union)
    return tuple(union)


def concat_columns(parts: Sequence[Column], name: str = "") -> Column:
    """One column from pieces of it, first piece first; a piece without any value takes the kind of the others."""
    known = [p for p in parts if not p.empty] or list(parts[:1])
    kinds = {type(p) for p in known}
    if len(kinds) > 1:
        found = " and ".join(sorted(k.__name__.lower() for k in kinds))
        raise DataError(
            f"column {name!r} holds {found} values in different parts of the data; give it one type everywhere."
        )
    first = known[0]
    if isinstance(first, Numeric):
        if all(p is not None and isinstance(p, Numeric) for p in parts):
            source = np.concatenate([p.source for p in parts])
        else:
            source = np.concatenate([p.values if isinstance(p, Numeric) else np.full(p.n_rows, np.nan) for p in parts])
        return Numeric(source, all(p.integer for p in known))
    if isinstance(first, Datetime):
        kind = first.source.dtype
        pieces = [p.source if isinstance(p, Datetime) else np.full(p.n_rows, "NaT", kind) for p in parts]
        return Datetime(np.concatenate(pieces), first.type_name)
    levels = merge_levels(known)
    codes = [p.recode(levels) if isinstance(p, Factor) else np.full(p.n_rows, -1, np.int32) for p in parts]
    whole = Factor(np.concatenate(codes), levels, all(p.ordered for p in known))
    return replace(whole, boolean=all(p.boolean for p in known))
