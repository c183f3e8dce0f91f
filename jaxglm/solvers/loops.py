"""Newton loops of lanes: what :mod:`jaxglm.solvers.drive` does for one data set, as one small program for each lane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design import Constant, Dense, Layout
from jaxglm.design.base import matmul
from jaxglm.errors import Status
from jaxglm.families import Family
from jaxglm.kernels import Facts, Model, Newton, NullSums, Point, Rows, Totals
from jaxglm.solvers import newton, starts
from jaxglm.solvers.information import Information
from jaxglm.solvers.middles import Middle
from jaxglm.solvers.newton import Settings, State
from jaxglm.tree import pytree, static

#: Values of counts that are summed over together.
CHUNK = 32
#: Evaluations in which a null model ends.
_NULL_TURNS = 60


class Patience(NamedTuple):
    """What a lane may take before others no longer wait for it.

    Attributes
    ----------
    turns : evaluations after which a lane that still runs is given back
    stalled : 0, or minus so many more steps that may shrink slowly; with 0 a lane in which they do, and which is not
        separated, is given back as one that still runs
    """

    turns: jax.Array
    stalled: jax.Array


@pytree
class Task:
    """What is asked of every lane; numbers are leaves, so that others need no new program.

    Attributes
    ----------
    tol, max_iter : as in :class:`~jaxglm.solvers.newton.Settings`
    patience : see :class:`Patience`
    start : (P,) starting coefficients, or None
    curvature : see :class:`~jaxglm.solvers.newton.Settings`
    kind : information that is reported, "expected" or "observed"
    has_intercept, has_offset : of the null model
    middle : of the sandwich whose diagonal is wanted, or None
    density : whether the log-likelihood takes sums at its own dispersion
    """

    tol: jax.Array
    max_iter: jax.Array
    patience: Patience
    start: jax.Array | None
    curvature: str = static()
    kind: str = static()
    has_intercept: bool = static()
    has_offset: bool = static()
    middle: Middle | None = None
    density: bool = static(default=False)


class Counts(NamedTuple):
    """Rows of a lane by their response, where each has one of 0, 1, ..., V - 1.

    Attributes
    ----------
    weights : (V,) weight of the rows that have each value
    tails : (V,) or None
        Weight of the rows above each value, for a family :attr:`~jaxglm.families.Family.without_steps`.
    n_chunks : int scalar
        How many times CHUNK values are in use, the same for all lanes of a tile.
    """

    weights: jax.Array
    tails: jax.Array | None
    n_chunks: jax.Array


class Data(NamedTuple):
    """The rows of a lane, and perhaps their counts."""

    rows: Rows
    counts: Counts | None


def over_counts(weights: jax.Array, n_chunks: jax.Array, function: Callable[[jax.Array], Any]) -> Any:
    """Sums of weights (V,) times what a function of one value gives, over the chunks that are in use."""
    size = min(CHUNK, weights.shape[0])

    def body(i, total):
        values = i * size + jnp.arange(size)
        part = jax.lax.dynamic_slice_in_dim(weights, i * size, size)
        found = jax.vmap(function)(values.astype(weights.dtype))
        return jax.tree.map(lambda t, f: t + jnp.sum(part * f), total, found)

    like = jax.eval_shape(function, jax.ShapeDtypeStruct((), weights.dtype))
    return jax.lax.fori_loop(0, n_chunks, body, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), like))


def evaluate(model: Model, kernel: Newton, data: Data, point: Point) -> Totals:
    """What a Newton step needs, at a point."""
    totals = kernel.finish(model, kernel.map(model, point, data.rows))
    if data.counts is None or data.counts.tails is None:
        return totals
    value, size, slope, bend = steps(model, data.counts, point.theta)
    # Curvature for steps far from the optimum has a form of its own.
    bend = jnp.where(point.observed, bend, 0.0) if kernel.scoring else bend
    return totals._replace(
        nll=totals.nll + value, size=totals.size + size, gradient=totals.gradient.at[-1].add(slope),
        information=totals.information.at[-1, -1].add(bend),
    )  # fmt: skip


def steps(model: Model, counts: Counts, theta: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Sum of the steps of all counts, that of their sizes, and two derivatives in the last coefficient."""

    def terms(j):
        def slope_of(last):
            value, slope = jax.value_and_grad(model.family.step, argnums=1)(j, last)
            return slope, (value, slope)

        bend, (value, slope) = jax.grad(slope_of, has_aux=True)(theta[-1])
        return value, jnp.abs(value), slope, bend

    return over_counts(counts.tails, counts.n_chunks, terms)


def curvature_of(family: Family, wanted: str) -> str:
    if not family.has_expected:
        return "only"
    return "never" if family.is_canonical else wanted


def begin(theta, active, center, settings: Settings) -> State:
    """The state before the first evaluation, which is at given coefficients: lanes make no starting values of rows."""
    empty = newton.begin(np.zeros(theta.shape[0]), np.ones(theta.shape[0], bool), 0.0, settings, False)
    return jax.tree.map(jnp.asarray, empty._replace(theta=theta, active=active, center=center))


def _begun(task: Task, theta, active, center, settings: Settings) -> State:
    return begin(theta, active, center, settings)._replace(n_stalled=task.patience.stalled)


def loop(model: Model, kernel: Newton, data: Data, state: State, settings: Settings, turns) -> State:
    """Newton steps from a state to an end, or for so many turns."""

    def body(carry):
        state, turn = carry
        point = newton.trial(state)._replace(start=None)
        return newton.advance(state, evaluate(model, kernel, data, point), settings), turn + 1

    def going(carry):
        return (carry[0].status == Status.RUNNING) & (carry[1] < turns)

    return jax.lax.while_loop(going, body, (state, jnp.zeros((), jnp.int32)))[0]


def solve(layout, model: Model, kernel, task: Task, settings, data: Data, facts, active):
    """The last state, which coefficients are held (P,), and whether it failed where another start might not."""
    family, held, no = model.family, jnp.zeros(active.shape[0], bool), jnp.zeros((), bool)
    center = starts.center_of(facts, family.mean_range)

    def run(theta):
        return loop(model, kernel, data, _begun(task, theta, active, center, settings), settings, task.patience.turns)

    if task.start is not None:
        return run(jnp.where(active, task.start, 0.0)), held, no
    ones, found = _ones(layout, facts, active)
    if not family.has("start"):
        values = _best_constants(model, kernel, settings, data.rows)
        theta = sum(jnp.where(f & jnp.isfinite(v), v, 0.0) * one for one, f, v in zip(ones, found, values, strict=True))
        return run(theta), held, no
    mean = family.link.link(center)
    first = jnp.where(jnp.isfinite(mean), mean, 0.0) * ones[0]
    if family.limiting is None:
        return run(first), held, no
    return _from_limit(model, kernel, task, settings, data, active, center, first, ones[-1], found[-1])


def _from_limit(model: Model, kernel, task: Task, settings, data: Data, active, center, first, one, found):
    """As :func:`jaxglm.solvers.drive._from_limit`: a fit at the limit of the last predictor, then the whole."""
    family, rows = model.family, data.rows
    width = model.layout.designs[-1].n_columns
    at_end = jnp.arange(active.shape[0]) >= active.shape[0] - width
    simple = Model(family.limiting, Layout(model.layout.designs[:-1]))
    bare = rows._replace(x=rows.x[:-1], offset=None if rows.offset is None else rows.offset[:, :-1])
    rule = replace(settings, curvature=curvature_of(simple.family, task.curvature))
    begun = begin(first[:-width], active[:-width], center, rule)
    limited = loop(simple, Newton(simple.family.has("scoring")), Data(bare, None), begun, rule, task.patience.turns)
    fine = newton.is_any(limited.status, Status.CONVERGED, Status.CONVERGED_TO_PRECISION)
    theta = jnp.concatenate([limited.theta + limited.direction, jnp.zeros(width)]) + family.limit * one
    totals = evaluate(model, kernel, data, Point(theta, jnp.asarray(False), None, center))
    slope, bend = -jnp.dot(one, totals.gradient), jnp.dot(one, matmul(totals.information, one))
    over = fine & (slope > 0) if width == 1 else fine
    value = starts.beyond(family.limit, slope, bend)
    state = _begun(task, jnp.where(at_end, value * one, theta), active, center, settings)
    state = state._replace(status=jnp.where(over, state.status, Status.MAX_ITER).astype(jnp.int32))
    whole = loop(model, kernel, data, state, settings, task.patience.turns)
    ended = begin(theta, active, center, settings)._replace(
        information=totals.information, gradient=totals.gradient, rate=limited.rate, n_iter=limited.n_iter,
        information_observed=jnp.asarray(False),
        status=jnp.where(fine, Status.NO_OVERDISPERSION, limited.status).astype(jnp.int32),
    )  # fmt: skip
    state = jax.tree.map(lambda a, b: jnp.where(over, a, b), whole, ended)
    # Steps of the fit at the limit that shrink slowly are looked into alone.
    return state, at_end & ~over, ~found | (fine & (limited.rate > 0.2))


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
    data = Data(rows._replace(x=((),) * k), None)
    begun = begin(jnp.zeros(k), jnp.ones(k, bool), jnp.zeros(()), settings)
    state = loop(bare, kernel, data, begun, replace(settings, tol=jnp.asarray(1e-4)), _NULL_TURNS)
    return jnp.where(jnp.isfinite(state.value), state.theta, 0.0)


def null_model(layout: Layout, model: Model, task: Task, settings, rows, facts, theta) -> tuple[jax.Array, jax.Array]:
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
    center = starts.center_of(facts, family.mean_range)
    start = family.link.link(center) if family.has("start") else jnp.zeros(())
    begun = begin(start[None], jnp.ones(1, bool), center, settings)
    state = loop(constant, Newton(family.has("scoring")), Data(bare, None), begun, settings, _NULL_TURNS)
    fine = newton.is_any(state.status, Status.CONVERGED, Status.CONVERGED_TO_PRECISION)
    return (state.theta + jnp.where(state.status == Status.CONVERGED, state.direction, 0.0))[0], fine
