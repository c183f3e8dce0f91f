"""Predictions of many models, each row by that of its group."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd

from jaxglm.batched import Dependences
from jaxglm.errors import DataWarning, InputError, NotAvailableError
from jaxglm.frames import Table, read
from jaxglm.groups import columns_of, dependences
from jaxglm.kernels import Model, Routed, Rows
from jaxglm.precision import scope
from jaxglm.sources import ArraySource
from jaxglm.together import blocks

if TYPE_CHECKING:
    from jaxglm.results.grouped import GroupedResults

#: Rows whose columns are made at a time.
_ROWS = 2**16
#: Relative size of a combination of columns that is 0 up to rounding.
_ROUNDING = 1e-7


def predict(
    grp: GroupedResults, newdata: Any, which: str, offset: Any, exposure: Any, unseen: str
) -> pd.Series | pd.DataFrame:
    """See :meth:`jaxglm.results.grouped.GroupedResults.predict`.

    Cost O(m P); of groups with aliased columns the rows are read again, which tells what they determine.
    """
    family = grp.work.model.family
    if which not in ("mean", "linear"):
        raise InputError(f"which must be 'mean' or 'linear', not {which!r}")
    if which == "mean" and not family.has("mean"):
        raise NotAvailableError("this family was made without mean=; use which='linear'")
    if unseen not in ("raise", "nan"):
        raise InputError(f"unseen must be 'raise' or 'nan', not {unseen!r}")
    if not grp.work.segments.routed:
        return _all(grp, newdata, which, offset, exposure)
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


def _all(grp: GroupedResults, newdata: Any, which: str, offset: Any, exposure: Any) -> pd.DataFrame:
    """Predictions of every model for every row, (m, G)."""
    own = {"offset": offset, "exposure": exposure}
    wide = {name: value for name, value in own.items() if np.ndim(value) == 2}
    own |= dict.fromkeys(wide, 1.0 if "exposure" in wide else 0.0)
    taken = grp.intake.new(newdata, own["offset"], own["exposure"], "raise")
    batch, model = grp.batch, grp.work.model
    theta = np.where(batch.active.any(axis=1)[:, None], np.where(batch.active, batch.theta, 0.0), np.nan)
    m = len(taken.rows.y)
    values = np.empty((m, len(theta)))
    with scope():
        columns = columns_of(model, taken.rows)
        for block in blocks(m, len(theta)):
            eta = _predictors(model, columns, theta[block], taken.rows.offset)
            for name, value in wide.items():
                part = np.asarray(value, float)[:, block]
                eta[:, :, 0] += np.log(part) if name == "exposure" else part
            values[:, block] = eta[:, :, 0] if which == "linear" else np.asarray(_means(model, eta, taken.rows.aux))
        bad = np.zeros((m, 1), bool) if taken.bad is None else taken.bad[:, None]
        values[np.broadcast_to(bad, values.shape) | _loose_of_all(grp, columns)] = np.nan
    index = taken.index if taken.index is not None else pd.RangeIndex(m)
    return pd.DataFrame(values, index=index, columns=grp.keys)


def _predictors(model: Model, columns: np.ndarray, theta: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """All linear predictors of rows (m, P) by every theta (G, P), (m, G, K)."""
    edges = np.cumsum([0, *(design.n_columns for design in model.layout.designs)])
    parts = [columns[:, a:b] @ theta[:, a:b].T for a, b in zip(edges[:-1], edges[1:], strict=True)]
    eta = np.stack(parts, axis=-1)
    return eta if offset is None else eta + offset[:, None]


@jax.jit
def _means(model: Model, eta: jax.Array, aux: dict) -> jax.Array:
    of_row = jax.vmap(model.family.mean, in_axes=(0, None))
    return jax.vmap(of_row)(eta, aux)


def _loose_of_all(grp: GroupedResults, columns: np.ndarray) -> np.ndarray:
    """As :func:`_loose` for every row by every model, (m, G)."""
    loose = np.zeros((len(columns), len(grp)), bool)
    if not grp._aliased.any():
        return loose
    known = dependences(grp.work, grp._aliased) if grp.dependences is None else grp.dependences
    size = np.abs(columns) @ np.abs(known.weights).T
    gaps = np.abs(columns @ known.weights.T) > _ROUNDING * np.where(size > 0, size, 1.0)
    np.logical_or.at(loose.T, known.group, gaps.T)
    if loose.any():
        warnings.warn(
            f"{int(loose.sum())} of {loose.size} predictions are NaN: these rows combine columns in a way that the fit "
            "of a response, which lacks some of them, does not determine",
            DataWarning, stacklevel=4,
        )  # fmt: skip
    return loose


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
    loose = np.zeros(len(group), bool)
    aliased = grp._aliased
    at = np.flatnonzero((group >= 0) & aliased.any(axis=1)[np.maximum(group, 0)])
    at = at[np.argsort(group[at], kind="stable")]
    with scope():
        known = grp.dependences
        if known is None and len(at):
            asked = np.zeros(len(aliased), bool)
            asked[group[at]] = True
            known = dependences(grp.work, aliased & asked[:, None])
        for start in range(0, len(at), _ROWS):
            part = at[start : start + _ROWS]
            columns = columns_of(grp.work.model, jax.tree.map(lambda a, at=part: np.asarray(a)[at], rows))
            loose[part] = _gaps(columns, group[part], known) > _ROUNDING
    if loose.any():
        warnings.warn(
            f"{int(loose.sum())} of {len(group)} predictions are NaN: these rows combine columns in a way that the "
            "fit of their group, which lacks some of them, does not determine",
            DataWarning, stacklevel=4,
        )  # fmt: skip
    return loose


def _gaps(columns: np.ndarray, group: np.ndarray, known: Dependences) -> np.ndarray:
    """How far rows (m, P) in the order of their groups are from the dependences of these, relative to their size."""
    gaps = np.zeros(len(group))
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(group)], strict=True):
        first, last = np.searchsorted(known.group, (group[start], group[start] + 1))
        weights, own = known.weights[first:last].T, columns[start:stop]
        size = np.abs(own) @ np.abs(weights)
        gaps[start:stop] = (np.abs(own @ weights) / np.where(size > 0, size, 1.0)).max(axis=1)
    return gaps
