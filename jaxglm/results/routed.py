"""Predictions of many models, each row by that of its group."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm.errors import DataWarning, InputError, NotAvailableError
from jaxglm.frames import Table, read
from jaxglm.groups import fit_alone
from jaxglm.inference.predict import estimable_rows
from jaxglm.kernels import Routed, Rows
from jaxglm.precision import scope
from jaxglm.sources import ArraySource

if TYPE_CHECKING:
    from jaxglm.results.grouped import GroupedResults


def predict(grp: GroupedResults, newdata: Any, which: str, offset: Any, exposure: Any, unseen: str) -> pd.Series:
    """See :meth:`jaxglm.results.grouped.GroupedResults.predict`.

    Cost O(m P); groups with aliased columns are fitted again, which tells what their rows determine.
    """
    family = grp.work.model.family
    if which not in ("mean", "linear"):
        raise InputError(f"which must be 'mean' or 'linear', not {which!r}")
    if which == "mean" and not family.has("mean"):
        raise NotAvailableError("this family was made without mean=; use which='linear'")
    if unseen not in ("raise", "nan"):
        raise InputError(f"unseen must be 'raise' or 'nan', not {unseen!r}")
    table = read(newdata)
    group = _groups(grp, table, unseen)
    taken = grp.intake.new(table, offset, exposure, unseen)
    values = np.full(table.n_rows, np.nan)
    if table.n_rows:
        batch = grp.batch
        theta = np.where(batch.active.any(axis=1)[:, None], np.where(batch.active, batch.theta, 0.0), np.nan)
        rows = taken.rows._replace(codes={"group": np.maximum(group, 0).astype(np.int32)})
        with scope():
            found = ArraySource.from_rows(rows).map_rows(Routed(), grp.work.model, theta)
        values = found["mean"] if which == "mean" else found["eta"][:, 0]
        bad = (group < 0) | (np.zeros(table.n_rows, bool) if taken.bad is None else taken.bad)
        values = np.where(bad | _loose(grp, taken.rows, group), np.nan, values)
    index = taken.index if taken.index is not None else pd.RangeIndex(table.n_rows)
    return pd.Series(values, index=index, name="mean" if which == "mean" else "linear_predictor")


def _groups(grp: GroupedResults, table: Table, unseen: str) -> np.ndarray:
    """The group of each row, (n,); -1 for those never seen."""
    levels = [table[name].factor.labels for name in grp.keys.names]
    key = pd.Index(levels[0]) if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)
    found = grp.keys.get_indexer(key)
    unknown = np.flatnonzero(found < 0)
    if len(unknown) and unseen == "raise":
        raise InputError(
            f"{len(unknown)} rows belong to groups that were never fitted, the first of them to {key[unknown[0]]!r}; "
            "leave them out, or use unseen='nan'"
        )
    return found


def _loose(grp: GroupedResults, rows: Rows, group: np.ndarray) -> np.ndarray:
    """Rows that combine columns in a way that the aliased fit of their group does not determine, (n,) bool."""
    import jax

    loose = np.zeros(len(group), bool)
    aliased = grp.batch.active.any(axis=1) & ~grp.batch.active.all(axis=1)
    for g in np.unique(group[(group >= 0) & aliased[np.maximum(group, 0)]]):
        at = np.flatnonzero(group == g)
        with scope():
            fit = fit_alone(grp.work, int(g))
            source = ArraySource.from_rows(jax.tree.map(lambda a, at=at: np.asarray(a)[at], rows))
            loose[at] = ~estimable_rows(fit, source)
    if loose.any():
        warnings.warn(
            f"{int(loose.sum())} of {len(group)} predictions are NaN: these rows combine columns in a way that the "
            "fit of their group, which lacks some of them, does not determine",
            DataWarning, stacklevel=4,
        )  # fmt: skip
    return loose
