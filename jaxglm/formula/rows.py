"""Which rows of a table are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from jaxglm.errors import DataError, InputError
from jaxglm.formula.evaluate import Evaluated, invalid_error
from jaxglm.frames import Table, row_name


@dataclass(frozen=True, eq=False)
class Selection:
    """The rows that are used.

    Attributes
    ----------
    n_rows : int
        Rows of the table.
    keep : bool array (n,) or None
        None for all.
    bad : bool array (m,) or None
        Used rows in which something is missing or undefined.
    n_dropped : int
    dropped_by : dict
        For each column, in how many rows it is missing.
    """

    n_rows: int
    keep: np.ndarray | None = None
    bad: np.ndarray | None = None
    n_dropped: int = 0
    dropped_by: dict[str, int] = field(default_factory=dict)

    @cached_property
    def where(self) -> np.ndarray | None:
        """Positions of the used rows, None for all."""
        return None if self.keep is None else np.flatnonzero(self.keep)

    @property
    def n_kept(self) -> int:
        """Number of used rows, m."""
        return self.n_rows if self.where is None else self.where.size

    def take(self, values: Any) -> Any:
        """The used rows of an array or index with all rows."""
        return values if self.where is None else values[self.where]

    def position(self, row: int) -> int:
        """Where a used row stands in the table."""
        return row if self.where is None else int(self.where[row])

    def filled(self, values: np.ndarray) -> np.ndarray:
        """`values` (m,) with a harmless one, the first that is finite, in bad rows that have none."""
        if self.bad is None:
            return values
        gaps = ~np.isfinite(values)
        if not gaps.any():
            return values
        good = np.flatnonzero(~gaps)
        return np.where(gaps, values[good[0]] if good.size else 0.0, values)

    def nothing_left(self, table: Table) -> DataError:
        """The error for a selection without rows."""
        if table.n_rows == 0:
            return DataError("the data has no rows.")
        counts = ", ".join(f"{k!r} in {n}" for k, n in self.dropped_by.items())
        return DataError(
            f"no row is left: each of the {table.n_rows} rows misses a value that the model needs"
            + (f" (missing: {counts})" if counts else "")
            + "; fill in or drop the columns that are mostly missing."
        )


def select(
    table: Table,
    items: Sequence[Evaluated],
    *,
    missing: str,
    lenient: bool = False,
    extra: Mapping[str, np.ndarray] | None = None,
    rows: np.ndarray | None = None,
) -> Selection:
    """Decide on the rows: a row is used when nothing that the model needs is missing in it.

    Raises
    ------
    DataError
        A value is missing and `missing` is "raise", or an expression is infinite or undefined in a used row.
    """
    if missing not in ("drop", "raise", "keep"):
        raise InputError(f"missing must be 'drop' or 'raise' (or 'keep' for predictions), but is {missing!r}.")
    gaps = [(item.expr.name, item.missing) for item in items if item.missing is not None]
    gaps += _extra_gaps(table, extra or {})
    lost = None
    for _, mask in gaps:
        lost = mask.copy() if lost is None else np.logical_or(lost, mask, out=lost)
    if rows is not None:
        rows = np.asarray(rows, dtype=bool)
        lost = lost if lost is None else lost & rows
    counts = _counts(table, items, gaps, rows) if lost is not None and lost.any() else {}
    if counts and missing == "raise":
        raise _missing_error(table, lost, counts)
    drop = lost if missing == "drop" else None
    keep = None if drop is None or not counts else ~drop
    if rows is not None and not rows.all():
        keep = rows if keep is None else keep & rows
    bad = lost if missing == "keep" and counts else None
    invalid = _invalid(table, items, keep, bad, lenient)
    if invalid is not None:
        bad = invalid if bad is None else bad | invalid
    if bad is not None and keep is not None:
        bad = bad[keep]
    n_dropped = int(lost.sum()) if counts and missing == "drop" else 0
    return Selection(table.n_rows, keep, bad, n_dropped, counts if missing == "drop" else {})


def _extra_gaps(table: Table, extra: Mapping[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    out = []
    for name, values in extra.items():
        values = np.asarray(values)
        if values.shape[:1] != (table.n_rows,):
            raise DataError(f"{name} has {values.shape[0]} values but the data has {table.n_rows} rows.")
        if values.dtype.kind == "f" and np.isnan(values).any():
            mask = np.isnan(values)
            out.append((name, mask if mask.ndim == 1 else mask.reshape(mask.shape[0], -1).any(axis=1)))
    return out


def _counts(
    table: Table, items: Sequence[Evaluated], gaps: Sequence[tuple[str, np.ndarray]], rows: np.ndarray | None
) -> dict[str, int]:
    """In how many rows each column is missing; an expression that loses values of its own is named itself."""
    by_name = dict(gaps)
    masks: dict[str, np.ndarray] = {}
    for item in items:
        mask = by_name.pop(item.expr.name, None)
        if mask is None:
            continue
        explained = np.zeros(table.n_rows, dtype=bool)
        for name in item.variables:
            gone = table[name].missing & mask
            explained |= gone
            masks[name] = masks[name] | gone if name in masks else gone
        if (mask & ~explained).any():
            masks[item.expr.name] = mask & ~explained
    masks.update(by_name)
    found = {k: int((m if rows is None else m & rows).sum()) for k, m in masks.items()}
    return {k: n for k, n in found.items() if n}


def _missing_error(table: Table, lost: np.ndarray, counts: Mapping[str, int]) -> DataError:
    first = int(np.flatnonzero(lost)[0])
    shown = ", ".join(f"{k!r} in {n} row{'s' * (n > 1)}" for k, n in counts.items())
    return DataError(
        f"values are missing: {shown}; the first is in {row_name(first, table.index)}. "
        "Fill them in, or use missing='drop' to leave such rows out."
    )


def _invalid(
    table: Table, items: Sequence[Evaluated], keep: np.ndarray | None, bad: np.ndarray | None, lenient: bool
) -> np.ndarray | None:
    """Rows that are infinite or undefined, where that is allowed; else the error for the first of them."""
    out = None
    for item in items:
        mask = item.invalid
        if mask is None:
            continue
        if keep is not None:
            mask = mask & keep
        if bad is not None:
            mask = mask & ~bad
        if not mask.any():
            continue
        if not lenient:
            raise invalid_error(item, int(np.flatnonzero(mask)[0]), table)
        out = mask if out is None else out | mask
    return out
