"""What is left out of data, and what processes with rows of their own agree on before they fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.errors import row_count
from jaxglm.formula import Essence
from jaxglm.frames import Column, Factor, Numeric, concat_columns
from jaxglm.frames.scan import Scan, as_scan
from jaxglm.hosts import Hosts

if TYPE_CHECKING:
    from jaxglm.codec import Table


@dataclass(frozen=True)
class Tally:
    """Rows that were left out, and what was remarked about the others; tallies of pieces add up.

    Attributes
    ----------
    missing : int
        Rows in which something is missing, and ``by``: for each column in how many.
    weightless, untried : int
        Rows of weight 0, and rows of counts without any trial.
    remarks : tuple of str
    """

    missing: int = 0
    by: Mapping[str, int] = field(default_factory=dict)
    weightless: int = 0
    untried: int = 0
    remarks: tuple[str, ...] = ()

    def __add__(self, other: Tally) -> Tally:
        by = {name: self.by.get(name, 0) + other.by.get(name, 0) for name in (*self.by, *other.by)}
        remarks = tuple(dict.fromkeys((*self.remarks, *other.remarks)))
        return Tally(
            self.missing + other.missing, by, self.weightless + other.weightless, self.untried + other.untried, remarks
        )

    @property
    def left_out(self) -> int:
        """How many rows were left out."""
        return self.missing + self.weightless + self.untried

    @property
    def notes(self) -> tuple[str, ...]:
        """What the summary says of it."""
        found = []
        if self.weightless:
            found.append(f"{row_count(self.weightless)} with weight 0 left out.")
        if self.missing:
            by = ", ".join(f"{name} ({count:,})" for name, count in self.by.items() if count)
            found.append(f"{row_count(self.missing)} with missing values dropped: {by}.")
        found += self.remarks
        if self.untried:
            found.append(f"{row_count(self.untried)} without trials left out.")
        return tuple(found)


@cache
def sent_kinds() -> Table:
    """Kinds of objects that processes send each other."""
    from jaxglm import codec

    return codec.Table([codec.Kind(kind) for kind in (Numeric, Factor, Essence, Tally)])


def own_scan(data: Any, hosts: Hosts) -> Scan | None:
    """What this process reads: its part of files that all processes name, else what it was given; None for a frame."""
    scan, told = hosts.share(
        "opening its data", lambda: as_scan(data), lambda scan: None if scan is None else scan.identity
    )
    if len(set(told)) > 1 or told[0] is None:
        return scan
    return hosts.together("dealing out the files", lambda: scan.part(hosts.place, hosts.size))


def sent(column: Column) -> Column:
    """What the other processes must know of a column: every value where these are levels, else one number."""
    whole = column if isinstance(column, Numeric) else column.factor
    first = np.unique(whole.codes, return_index=True)[1] if isinstance(whole, Factor) else np.arange(whole.n_rows)[:1]
    return whole.take(first)


def shared_column(column: Column, told: list[Column]) -> Column:
    """A column with what all processes have :func:`sent` of it; itself where nothing is told."""
    return concat_columns(told, "y") if told else column


def same_constant(told: Iterable[tuple[int, list]]) -> bool:
    """Whether a column is constant over the rows of all processes.

    Each tells how many it has, and position and value of what is constant in them.
    """
    common = [{tuple(pair) for pair in pairs} for count, pairs in told if count]
    return bool(common and set.intersection(*common))
