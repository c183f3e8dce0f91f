"""Is there a direction along which the likelihood rises for ever?

A direction d is one of recession if every row with an interior outcome stays
(x'd = 0) and every row with a boundary outcome (y = 0, or y = 1 of a proportion)
moves toward its boundary or stays; then estimates along d are infinite (Albert and
Anderson 1984; Correia, Guimaraes and Zylkin 2019). Newton steps turn into such a
direction by themselves: each step moves the separated rows by about one unit for
ever while the others come to rest. A candidate is cleaned by projection on the null
space of the rows at rest and then proved by looking at every row, so it needs sums over
rows alone and works on any source.
"""

from __future__ import annotations

import numpy as np

from jaxglm.kernels import Boundaries, Model, Movement, Moves
from jaxglm.sources import Source

#: Share of the largest move below which a row counts as at rest, tried in turn.
_SHARES = (1e-1, 1e-2, 1e-3)
#: A proved direction may move rows at rest by this share of its largest move.
_REST = 1e-7
#: Moves of a proper last step are of the size of its tolerance; separated rows move by about one unit.
_MOVING = 1e-4
#: Numbers in the model matrix up to which a linear program is solved.
_PROGRAM_SIZE = 2_000_000


def recession(
    source: Source, model: Model, theta: np.ndarray, step: np.ndarray, active: np.ndarray
) -> np.ndarray | None:
    """A proved direction of recession, (P,), scaled to a largest move of 1, or None.

    Looks near the last step and near theta itself (under complete separation every large theta is such a
    direction); where both fail and the rows are few and in memory, a linear program decides.
    Cost: one pass if the step moves no row, else two to twelve.
    """
    step = np.where(active, step, 0.0)
    if not np.all(np.isfinite(step)) or not np.any(step):
        return None
    largest = float(_moves(source, model, step, np.inf).largest)
    if not np.isfinite(largest) or largest < _MOVING:
        return None
    for candidate in (step, np.where(active, theta, 0.0)):
        direction = _prove(source, model, candidate, active)
        if direction is not None:
            return direction
    if source.resident is not None and source.n_rows * len(active) <= _PROGRAM_SIZE:
        candidate = _program(source, model, active)
        if candidate is not None:
            return _prove(source, model, candidate, active)
    return None


def _moves(source: Source, model: Model, direction: np.ndarray, threshold: float) -> Moves:
    return source.reduce(Movement(), model, (direction, np.asarray(threshold)))


def _prove(source: Source, model: Model, candidate: np.ndarray, active: np.ndarray) -> np.ndarray | None:
    """Clean a candidate and look at every row; the direction if it is one of recession."""
    largest = float(_moves(source, model, candidate, np.inf).largest)
    as_is = _moves(source, model, candidate, _REST * largest)
    if float(as_is.n_moving) > 0 and float(as_is.n_wrong) == 0:
        return candidate / largest
    for share in _SHARES:
        at_rest = _moves(source, model, candidate, share * largest)
        clean = _project(candidate, np.asarray(at_rest.still), active)
        if clean is None:
            continue
        size = float(_moves(source, model, clean, np.inf).largest)
        if size < 0.1 * largest:
            continue
        proof = _moves(source, model, clean, _REST * size)
        if float(proof.n_moving) > 0 and float(proof.n_wrong) == 0:
            return clean / size
    return None


def _program(source: Source, model: Model, active: np.ndarray) -> np.ndarray | None:
    """The direction in the unit box that moves boundary rows most, none of them the wrong way (Konis 2007)."""
    from scipy.optimize import linprog

    rows = source.map_rows(Boundaries(), model, None)
    kept = np.flatnonzero(active)
    columns = rows["columns"][:, kept]
    scale = np.maximum(np.max(np.abs(columns), axis=0), np.finfo(float).tiny)
    columns = columns / scale
    sign = rows["boundary"]
    toward = sign[sign != 0, None] * columns[sign != 0]
    inner = columns[sign == 0]
    rest = np.linalg.qr(inner, mode="r") if len(inner) else np.zeros((1, len(kept)))
    found = linprog(
        -np.sum(toward, axis=0), A_ub=-toward, b_ub=np.zeros(len(toward)), A_eq=rest, b_eq=np.zeros(len(rest)),
        bounds=(-1, 1), method="highs",
    )  # fmt: skip
    if found.status != 0 or -found.fun < 1e-6:
        return None
    direction = np.zeros(len(active))
    direction[kept] = found.x / scale
    return direction


def _project(step: np.ndarray, still: np.ndarray, active: np.ndarray) -> np.ndarray | None:
    """The part of a step that moves none of the rows at rest."""
    kept = np.flatnonzero(active)
    gram = still[np.ix_(kept, kept)]
    scale = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
    scale = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    null = vectors[:, values < 1e-10 * max(values[-1], 1.0)]
    if null.shape[1] == 0:
        return None
    # In scaled coordinates c = scale * b the rows at rest have x'b = 0 exactly on the null space.
    projected = null @ (null.T @ (scale * step[kept])) / scale
    full = np.zeros_like(step)
    full[kept] = projected
    return full


def columns_of(direction: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Positions of the columns that take part in a direction; `lengths` are the column norms."""
    share = np.abs(direction) * lengths
    return np.flatnonzero(share > 1e-6 * np.max(share)) if np.any(share) else np.zeros(0, int)
