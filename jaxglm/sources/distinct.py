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
    codes, y = jax.tree.leaves(rows.x), rows.y
    apart = rows.prior is not None or rows.offset is not None or rows.aux or rows.codes
    if apart or not codes or len(y) < _LEAST or not (rows.freq == 1).all():
        return None
    if not (y.min() >= 0 and y.max() < _MOST_VALUES):
        return None
    outcome = y.astype(np.int32)
    if not (outcome == y).all():
        return None
    columns = [outcome, *codes]
    sizes = [int(column.max()) + 1 for column in columns]
    if min(int(column.min()) for column in columns) < 0 or np.prod(sizes, dtype=float) >= _MOST_KEYS:
        return None
    key = outcome
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        key *= np.int32(size)
        key += column
    key.sort()
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    if len(starts) * _WORTH > len(key):
        return None
    left, found = key[starts], []
    for size in sizes[:0:-1]:
        left, code = np.divmod(left, np.int32(size))
        found.append(code)
    x = jax.tree.unflatten(jax.tree.structure(rows.x), found[::-1])
    return Rows(x=x, y=left.astype(y.dtype), freq=np.diff(starts, append=len(key)).astype(rows.freq.dtype))
