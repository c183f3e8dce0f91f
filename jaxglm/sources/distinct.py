"""Rows that are alike taken as one row that counts for all of them."""

from __future__ import annotations

import jax
import numpy as np

from jaxglm.kernels import Rows

#: Rows below which there is nothing to gain.
_LEAST = 2**14
#: Rows for each distinct one from which passes become so much cheaper that finding these pays.
_WORTH = 3
#: Most values of a response.
_MOST_VALUES = 64
#: Keys are 32 bits wide, which sort twice as fast.
_MOST_KEYS = 2**31


def distinct(rows: Rows) -> Rows | None:
    """The distinct rows of a design of codes alone; None where that does not apply or does not pay.

    Rows with the same codes and the same response have the same terms in every sum, so one of them that has the
    weight of all gives these sums. Whole numbers and outcomes repeat; with offsets or weights rows seldom do.
    Costs a sort of n numbers. The arrays are of the host.
    """
    codes, y, freq = jax.tree.leaves(rows.x), rows.y, rows.freq
    if rows.prior is not None or rows.offset is not None or rows.aux or rows.codes or not codes or len(y) < _LEAST:
        return None
    # Of one number that is said again and again, the first.
    if not ((freq[:1] if freq.strides == (0,) else freq) == 1).all():
        return None
    with np.errstate(invalid="ignore"):
        outcome = y.astype(np.int32)
    if not (outcome == y).all():
        return None
    columns = [*codes, outcome]
    # What is negative is too large without its sign.
    sizes = [1 + int(column.view(f"u{column.dtype.itemsize}").max()) for column in columns]
    if sizes[-1] > _MOST_VALUES or np.prod(sizes, dtype=float) >= _MOST_KEYS:
        return None
    key = columns[0].astype(np.int32)
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        key *= np.int32(size)
        key += column
    key.sort()
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    if len(starts) * _WORTH > len(key):
        return None
    left, found = key[starts], []
    for size in sizes[:0:-1]:
        # Divided by one number at a time, which takes a tenth of the time of a remainder.
        rest = left // np.int32(size)
        found.append(left - rest * np.int32(size))
        left = rest
    outcome, *codes = found[0], left, *found[:0:-1]
    counts = np.diff(starts, append=len(key)).astype(freq.dtype)
    return Rows(x=jax.tree.unflatten(jax.tree.structure(rows.x), codes), y=outcome.astype(y.dtype), freq=counts)


def pooled(rows: Rows) -> Rows | None:
    """Distinct rows that follow each other and differ in their response alone as one, with the mean of it."""
    first = np.ones(len(rows.y), bool)
    first[1:] = np.logical_or.reduce([a[1:] != a[:-1] for a in jax.tree.leaves(rows.x)])
    starts = np.flatnonzero(first)
    if len(starts) == len(first):
        return None
    freq, total = np.add.reduceat(rows.freq, starts), np.add.reduceat(rows.freq * rows.y, starts)
    return Rows(x=jax.tree.map(lambda a: a[starts], rows.x), y=total / freq, freq=freq)
