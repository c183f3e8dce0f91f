"""Whole fits side by side: a tile of lanes, each a small data set with a Newton loop of its own, as one program.

Lanes have the same number of rows, filled up with copies that weigh nothing. What a lane does is what
:mod:`jaxglm.solvers.drive` does for one data set, without its slow paths: a lane that needs one (columns that a Gram
matrix cannot judge, normal equations too ill-conditioned, steps that do not shrink) says so and is fitted alone.
Leaves of the rows may be shared by all lanes: a response or weights of its own for each lane beside one X.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design import Columns, Constant, Dense, Layout
from jaxglm.design.base import matmul
from jaxglm.errors import Status
from jaxglm.families import Family
from jaxglm.kernels import Facts, FitPoint, FitSums, Model, Newton, NullSums, Point, Rows, Statistics, Survey
from jaxglm.solvers import newton
from jaxglm.solvers.information import Information
from jaxglm.solvers.middles import Middle
from jaxglm.solvers.newton import Settings, State
from jaxglm.solvers.rank import GRAM_TOLERANCE, QR_TOLERANCE
from jaxglm.tree import pytree, static

#: Where a parameter whose log is a predictor starts at the least.
_SMALLEST = -12.0
#: Smallest move of a step that may be a direction of recession, and the share of it that counts as none.
_MOVING, _REST = 1e-4, 1e-7
#: Evaluations in which a null model ends.
_NULL_TURNS = 60


@pytree
class Task:
    """What is asked of every lane; numbers are leaves, so that others need no new program.

    Attributes
    ----------
    tol, max_iter : as in :class:`~jaxglm.solvers.newton.Settings`
    turns : evaluations after which a lane that still runs is given back
    start : (P,) starting coefficients, or None
    curvature : see :class:`~jaxglm.solvers.newton.Settings`
    kind : information that is reported, "expected" or "observed"
    has_intercept, has_offset : of the null model
    middle : of the sandwich whose diagonal is wanted, or None
    density : whether the log-likelihood takes sums at its own dispersion
    """

    tol: jax.Array
    max_iter: jax.Array
    turns: jax.Array
    start: jax.Array | None
    curvature: str = static()
    kind: str = static()
    has_intercept: bool = static()
    has_offset: bool = static()
    middle: Middle | None = None
    density: bool = static(default=False)


class Lane(NamedTuple):
    """What a lane found; every field has the lanes first, P coefficients.

    theta (P,), 0 where aliased; active, held (P,); bread (P,), the diagonal of the inverse information at phi = 1, and
    sandwich (P,), that of B M B or None; facts and sums as those of a single fit, llf at the dispersion that is plugged
    in; null, the constant of the null model; hard: to be fitted alone; running: given back before its end.
    """

    theta: jax.Array
    active: jax.Array
    held: jax.Array
    bread: jax.Array
    sandwich: jax.Array | None
    facts: Facts
    sums: FitSums
    status: jax.Array
    n_iter: jax.Array
    hard: jax.Array
    running: jax.Array


@partial(jax.jit, static_argnames=("axes",))
def fit_tile(model: Model, rows: Rows, task: Task, axes: Any = 0) -> Lane:
    """Fit all lanes of a tile.

    Parameters
    ----------
    rows : Rows with a leading axis of lanes
    axes : 0, or a Rows of them with None for leaves that all lanes share (without that axis)

    Notes
    -----
    Cost of a turn O(L m P^2); memory of a few copies of the dense rows of one tile.
    """
    layout = model.layout
    m = jnp.shape(jax.tree.leaves(rows.y)[0])[-1]
    dense = Model(model.family, Layout(tuple(Columns(d.n_columns) for d in layout.designs)))
    x_axis = 0 if axes == 0 else axes.x

    def upright(x):
        return tuple(d.columns(xi, m).T for d, xi in zip(layout.designs, x, strict=True))

    x = upright(rows.x) if x_axis is None else jax.vmap(upright, in_axes=(x_axis,))(rows.x)
    rows = rows._replace(x=x)
    inner = 0 if axes == 0 else axes._replace(x=None if x_axis is None else 0)
    survey = Survey()
    facts = jax.vmap(lambda r: survey.finish(dense, survey.map(dense, None, r)), in_axes=(inner,))(rows)
    active, unclear, lower, scale = jax.vmap(_rank)(facts.gram)
    doubtful = jax.lax.cond(
        jnp.any(unclear),
        lambda: jax.vmap(partial(_loose, dense), in_axes=(inner, 0, 0, 0, 0))(rows, facts.gram, lower, scale, unclear),
        lambda: jnp.zeros(unclear.shape[0], bool),
    )
    lane = partial(_fit_lane, layout, dense, task)
    return jax.vmap(lane, in_axes=(inner, 0, 0, 0))(rows, facts, active, doubtful)


def _rank(gram: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Order-preserving Cholesky of X'X: columns kept, columns that it cannot judge, factor, lengths of columns."""
    p = gram.shape[0]
    length = jnp.sqrt(jnp.diagonal(gram))
    scale = jnp.where(length > 0, length, 1.0)
    work = gram / (scale[:, None] * scale[None, :])

    def body(j, carry):
        lower, active, unclear = carry
        row = lower[j]
        pivot = work[j, j] - jnp.sum(row**2)
        there = length[j] > 0
        kept = there & (pivot >= GRAM_TOLERANCE**2)
        column = (work[:, j] - matmul(lower, row)) / jnp.sqrt(jnp.where(kept, pivot, 1.0))
        column = jnp.where(kept & (jnp.arange(p) >= j), column, 0.0)
        return lower.at[:, j].set(column), active.at[j].set(kept), unclear.at[j].set(there & ~kept)

    none = jnp.zeros(p, bool)
    lower, active, unclear = jax.lax.fori_loop(0, p, body, (jnp.zeros_like(gram), none, none))
    return active, unclear, lower, scale


def _loose(model: Model, rows: Rows, gram, lower, scale, unclear) -> jax.Array:
    """Whether a column that the Gram matrix could not judge is not explained by those before it to rounding."""
    p = gram.shape[0]
    safe = lower + jnp.diag(jnp.where(jnp.diagonal(lower) > 0, 0.0, 1.0))
    kept = jnp.diagonal(lower) > 0
    work = jnp.where(kept[:, None], gram / (scale[:, None] * scale[None, :]), 0.0)
    before = jnp.arange(p)[:, None] < jnp.arange(p)[None, :]
    half = jax.scipy.linalg.solve_triangular(safe, work, lower=True)
    share = jax.scipy.linalg.solve_triangular(safe.T, jnp.where(before, half, 0.0), lower=False)
    combination = (jnp.eye(p) - share) / scale[:, None]
    left = jnp.zeros(p)
    start = 0
    present = rows.freq > 0
    for x in rows.x:
        width = x.shape[0]
        rest = matmul(combination[start : start + width].T, x)
        left += jnp.sum(jnp.where(present, rest**2, 0.0), axis=1)
        start += width
    return jnp.any(unclear & ~(left < QR_TOLERANCE**2))


def _fit_lane(layout: Layout, model: Model, task: Task, rows: Rows, facts: Facts, active, doubtful) -> Lane:
    family = model.family
    kernel = Newton(family.has("scoring"))
    settings = Settings(
        tol=task.tol, max_iter=task.max_iter, n_obs=facts.n_obs, known_phi=family.dispersion_known,
        curvature=_curvature(family, task.curvature), quadratic=family.quadratic,
    )  # fmt: skip
    state, held, hard = _solve(layout, model, kernel, task, settings, rows, facts, active)
    status = state.status
    ended = _is(status, Status.CONVERGED, Status.CONVERGED_TO_PRECISION, Status.NO_OVERDISPERSION)
    theta = state.theta + jnp.where(status == Status.CONVERGED, state.direction, 0.0)
    if family.quadratic:
        theta = theta - _correction(model, rows, state, theta)
    slow = _is(status, Status.SUSPECT) | ((ended | _is(status, Status.MAX_ITER)) & (state.rate > 0.2))
    if family.has("boundary"):
        separated = slow & (_recedes(model, rows, state.direction, True) | _recedes(model, rows, theta, False))
        slow = slow & ~separated
        status = jnp.where(separated, Status.SEPARATED, status)
        ended = ended | separated
    else:
        slow = _is(status, Status.SUSPECT)
    running = status == Status.RUNNING
    null, sound = _null(layout, model, task, settings, rows, facts, theta)
    bad = (facts.n_bad_y > 0) | ~jnp.isfinite(facts.weight) | ~jnp.all(jnp.isfinite(facts.gram)) | ~jnp.any(active)
    hard = (hard | doubtful | bad | slow | ~ended | ~sound) & ~running
    information = _information(model, kernel, task, rows, state, theta)
    factor = Information.from_matrix(information, active & ~held)
    return Lane(
        theta=theta, active=active, held=held, facts=facts._replace(gram=None, ones=None), status=status,
        n_iter=state.n_iter, hard=hard, running=running, sums=_sums(model, task, rows, facts, theta, null),
        **_variances(model, task, rows, factor, theta),
    )  # fmt: skip


def _curvature(family: Family, wanted: str) -> str:
    if not family.has_expected:
        return "only"
    return "never" if family.is_canonical else wanted


def _is(status: jax.Array, *kinds: Status) -> jax.Array:
    return jnp.any(jnp.stack([status == kind for kind in kinds]), axis=0)


def _begin(theta, active, center, settings: Settings, start: bool) -> State:
    empty = newton.begin(np.zeros(theta.shape[0]), np.ones(theta.shape[0], bool), 0.0, settings, start)
    return jax.tree.map(jnp.asarray, empty._replace(theta=theta, active=active, center=center))


def _loop(model: Model, kernel: Newton, rows: Rows, state: State, settings: Settings, turns) -> State:
    def body(carry):
        state, turn = carry
        totals = kernel.finish(model, kernel.map(model, newton.trial(state), rows))
        return newton.advance(state, totals, settings), turn + 1

    def going(carry):
        return (carry[0].status == Status.RUNNING) & (carry[1] < turns)

    return jax.lax.while_loop(going, body, (state, jnp.zeros((), jnp.int32)))[0]


def _solve(layout, model: Model, kernel, task: Task, settings, rows, facts, active):
    """The last state, which coefficients are held (P,), and whether it failed where another start might not."""
    family, held, no = model.family, jnp.zeros(active.shape[0], bool), jnp.zeros((), bool)
    center = _center(facts, family.mean_range)

    def run(state):
        return _loop(model, kernel, rows, state, settings, task.turns)

    if task.start is not None:
        return run(_begin(jnp.where(active, task.start, 0.0), active, center, settings, False)), held, no
    ones, found = _ones(layout, facts, active)
    if not family.has("start"):
        values = _best_constants(model, kernel, settings, rows)
        theta = sum(jnp.where(f & jnp.isfinite(v), v, 0.0) * one for one, f, v in zip(ones, found, values, strict=True))
        return run(_begin(theta, active, center, settings, False)), held, no
    mean = family.link.link(center)
    first = jnp.where(jnp.isfinite(mean), mean, 0.0) * ones[0]
    if family.limit is None:
        return run(_begin(first, active, center, settings, not family.quadratic)), held, no
    return _from_limit(model, run, settings, active, center, first, ones[-1], found[-1])


def _from_limit(model: Model, run, settings, active, center, first, one, found):
    """As :func:`jaxglm.solvers.drive._from_limit`: a fit at the limit of the last predictor, then the whole."""
    family = model.family
    width = model.layout.designs[-1].n_columns
    last = jnp.arange(active.shape[0]) >= active.shape[0] - width
    begun = _begin(first + family.limit * one, active & ~last, center, settings, True)
    limited = run(begun._replace(observed_allowed=jnp.asarray(False)))
    fine = _is(limited.status, Status.CONVERGED, Status.CONVERGED_TO_PRECISION)
    theta = limited.theta + limited.direction
    slope, bend = -jnp.dot(one, limited.gradient), jnp.dot(one, matmul(limited.information, one))
    over = slope > 0 if width == 1 else jnp.ones((), bool)
    value = family.limit + jnp.log1p(jnp.maximum(slope, 0.0) / jnp.where(bend > 0, bend, 1.0))
    value = jnp.maximum(jnp.where(bend > 0, value, 0.0), _SMALLEST)
    state = _begin(jnp.where(last, value * one, theta), active, center, settings, False)
    whole = run(state._replace(status=jnp.where(fine & over, state.status, Status.MAX_ITER).astype(jnp.int32)))
    ended = limited._replace(
        theta=theta, direction=jnp.zeros_like(theta),
        status=jnp.where(fine, Status.NO_OVERDISPERSION, limited.status).astype(jnp.int32),
    )  # fmt: skip
    state = jax.tree.map(lambda a, b: jnp.where(fine & over, a, b), whole, ended)
    # Steps of the fit at the limit that shrink slowly are looked into alone.
    return state, last & ~(fine & over), ~found | (fine & (limited.rate > 0.2))


def _center(facts: Facts, mean_range: str) -> jax.Array:
    """As :func:`jaxglm.solvers.starts.center_of`."""
    mean = facts.total / jnp.where(facts.size > 0, facts.size, 1.0)
    outside = {"positive": mean == 0.0, "unit": (mean == 0.0) | (mean == 1.0)}.get(mean_range, jnp.zeros((), bool))
    return jnp.where(outside, (facts.total + 0.5) / (facts.size + 1.0), mean)


def _ones(layout: Layout, facts: Facts, active) -> tuple[list[jax.Array], list[jax.Array]]:
    """For each predictor the coefficients (P,) that make it 1 in every row, and whether there are any."""
    vectors, found, start = [], [], 0
    total = active.shape[0]
    for design in layout.designs:
        stop = start + design.n_columns
        places = [start + place[0] for part, place in design.parts if isinstance(part, Constant)]
        if places:
            vectors.append(jnp.zeros(total).at[places[0]].set(1.0))
            found.append(active[places[0]])
        elif design.n_columns:
            kept = active[start:stop]
            weights = Information.from_matrix(facts.gram[start:stop, start:stop], kept).solve(facts.ones[start:stop])
            share = jnp.dot(jnp.where(kept, facts.ones[start:stop], 0.0), weights) / facts.n_rows
            there = jnp.abs(share - 1.0) <= 1e-9
            vectors.append(jnp.zeros(total).at[start:stop].set(jnp.where(there, weights, 0.0)))
            found.append(there)
        else:
            vectors.append(jnp.zeros(total))
            found.append(jnp.zeros((), bool))
        start = stop
    return vectors, found


def _best_constants(model: Model, kernel, settings: Settings, rows: Rows) -> jax.Array:
    """Constants of all predictors that fit best, (K,)."""
    k = model.layout.n_predictors
    bare = Model(model.family, Layout((Constant(),) * k))
    rows = rows._replace(x=((),) * k)
    begun = _begin(jnp.zeros(k), jnp.ones(k, bool), jnp.zeros(()), settings, False)
    state = _loop(bare, kernel, rows, begun, replace(settings, tol=jnp.asarray(1e-4)), _NULL_TURNS)
    return jnp.where(jnp.isfinite(state.value), state.theta, 0.0)


def _correction(model: Model, rows: Rows, state: State, theta) -> jax.Array:
    """A last step of a quadratic nll where rounding of its normal equations would show, else 0."""
    factor = Information.from_matrix(state.information, state.active)
    point = Point(theta, jnp.asarray(False), None, state.center)
    gradient = Newton(gram="none").map(model, point, rows).gradient
    step = factor.solve(model.layout.gradient_of(gradient))
    return jnp.where(newton.refines(factor) & (state.status == Status.CONVERGED), step, 0.0)


def _recedes(model: Model, rows: Rows, direction, moves: bool) -> jax.Array:
    """Whether no row moves away from its own boundary along a direction, and some move toward it.

    `moves`: the direction is a step, which is none of recession where it is short.
    """
    moved = model.layout.eta(rows.x, direction, None, rows.y.shape[0])
    present = rows.freq > 0
    size = jnp.where(present, jnp.max(jnp.abs(moved), axis=1), 0.0)
    largest = jnp.max(size)
    moving = size > _REST * largest
    toward = jax.vmap(model.family.boundary)(rows.y, rows.aux) * moved[:, 0] > 0
    if model.layout.n_predictors > 1:
        toward &= jnp.max(jnp.abs(moved[:, 1:]), axis=1) <= _REST * largest
    fair = jnp.isfinite(largest) & (largest >= (_MOVING if moves else jnp.finfo(float).tiny))
    return fair & ~jnp.any(moving & ~toward)


def _null(layout: Layout, model: Model, task: Task, settings, rows, facts, theta) -> tuple[jax.Array, jax.Array]:
    """The constant of the null model, and whether it was found; see :func:`jaxglm.fit._null_constant`."""
    family, k, yes = model.family, model.layout.n_predictors, jnp.ones((), bool)
    if not task.has_intercept or not family.has("unit_deviance"):
        return jnp.zeros(()), yes
    if not task.has_offset and all(isinstance(design, Constant) for design in layout.designs[1:]):
        return family.link.link(facts.total / facts.size), yes
    if k == 1 and family.link.multiplicative and family.variance_power is not None:
        above, below = NullSums().map(model, None, rows)
        return jnp.log(above / below), (above > 0) & (below > 0) & (below < jnp.inf)
    m = rows.y.shape[0]
    offset = rows.offset
    if k > 1:
        other = model.eta(rows, theta)
        offset = other.at[:, 0].set(0.0 if offset is None else offset[:, 0])
    empty = jnp.zeros((m, 0))
    bare = rows._replace(x=((),) + (empty,) * (k - 1), offset=offset)
    constant = Model(family, Layout((Constant(),) + (Dense(0),) * (k - 1)))
    center = _center(facts, family.mean_range)
    start = family.link.link(center) if family.has("start") else jnp.zeros(())
    begun = _begin(start[None], jnp.ones(1, bool), center, settings, k == 1 and family.has("start"))
    state = _loop(constant, Newton(family.has("scoring")), bare, begun, settings, _NULL_TURNS)
    fine = _is(state.status, Status.CONVERGED, Status.CONVERGED_TO_PRECISION)
    return (state.theta + jnp.where(state.status == Status.CONVERGED, state.direction, 0.0))[0], fine


def _information(model: Model, kernel: Newton, task: Task, rows, state: State, theta) -> jax.Array:
    """The information that is reported; the last one of the iteration where it is of that kind, as in a single fit."""
    family = model.family
    if family.is_canonical:
        return state.information
    observed = task.kind == "observed" or not family.has_expected
    reported = Newton()
    at = Point(theta, jnp.asarray(observed), None, state.center)
    made = reported.finish(model, reported.map(model, at, rows)).information
    if kernel.scoring and not observed:
        return made
    return jnp.where(state.information_observed == observed, state.information, made)


def _variances(model: Model, task: Task, rows: Rows, factor: Information, theta) -> dict[str, jax.Array | None]:
    """Diagonals of the inverse information and, where it is wanted, of the sandwich; NaN where there is no factor."""
    if task.middle is None:
        return {"bread": factor.diag_inverse(), "sandwich": None}
    inner = task.middle.meat(model, rows, theta, factor, task.kind == "observed")
    inverse = factor.inverse()
    return {"bread": jnp.diagonal(inverse), "sandwich": jnp.sum(matmul(inverse, inner) * inverse, axis=1)}


def _sums(model: Model, task: Task, rows: Rows, facts: Facts, theta, null) -> FitSums:
    """Fit statistics; the log-likelihood at phi = 1, or at the dispersion that is plugged in where that is wanted."""
    known = model.family.dispersion_known
    sums = Statistics(known).map(model, FitPoint(theta, null, jnp.ones(())), rows)
    if known or not task.density:
        return sums
    phi = sums.deviance / (facts.n_obs if model.family.prior_divides_phi else facts.weight)
    return sums._replace(llf=Statistics().map(model, FitPoint(theta, null, phi), rows).llf)
