"""A whole solve without a decision on the host, so that it runs inside `jit`, `vmap` and loops of others.

What :mod:`jaxglm.solvers.drive` decides between loops is decided here in the body of one loop, by selection.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design import Constant, Layout
from jaxglm.errors import Status
from jaxglm.kernels import Facts, Kernel, Model, Movement, Newton, Point, Rows, Survey, Totals
from jaxglm.solvers import newton, starts
from jaxglm.solvers.information import Information
from jaxglm.solvers.newton import Settings, State
from jaxglm.sources import block_rows, reduce_rows
from jaxglm.tree import pytree

#: Share of a constant that columns leave unexplained by rounding, in units of it.
_SPANNED = 1e6
#: Separated rows still move by this much after so many steps, and other rows by less than this share of it.
_MOVING, _LATE, _SHARE = 1e-2, 6, 0.05
#: Smallest squared pivot of the scaled information that is told from zero, in units of the rounding of products.
_PIVOT = 100.0
_NEVER = np.asarray(-(2**30), np.int32)


@pytree
class Problem:
    """What is minimized: the sum over rows of w nll, and a penalty of half the sum of penalty theta^2.

    Attributes
    ----------
    penalty : (P,)
    """

    model: Model
    rows: Rows
    penalty: jax.Array

    def reduce(self, kernel: Kernel, point) -> object:
        """The kernel's finished value of all rows."""
        value = reduce_rows(kernel, self.model, point, self.rows, block_rows(self.model, self.rows))
        return kernel.finish(self.model, value)

    def totals(self, point: Point, kernel: Newton) -> Totals:
        """Value, gradient and information with those of the penalty."""
        sums, theta = self.reduce(kernel, point), point.theta
        cost = 0.5 * jnp.sum(self.penalty * theta**2)
        information = None if sums.information is None else sums.information + jnp.diag(self.penalty)
        return sums._replace(
            nll=sums.nll + cost, size=sums.size + cost, gradient=sums.gradient + self.penalty * theta,
            information=information,
        )  # fmt: skip


class Ended(NamedTuple):
    """theta (P,), which coefficients were estimated rather than held (P,) bool, the status and the number of steps."""

    theta: jax.Array
    active: jax.Array
    status: jax.Array
    n_iter: jax.Array


class _Limit(NamedTuple):
    """The last predictor: its places (P,) bool, coefficients that make it 1 (P,), weights that give its mean (P,)."""

    last: np.ndarray
    one: jax.Array
    means: jax.Array


class _Stage(NamedTuple):
    """Where a family with a limit stands: 0 at the limit, 1 from there, 2 with the last predictor at 0, 3 from there.

    limited (P,) is the estimate at the limit, receding (P,) the last step there if there was reason to doubt it.
    """

    number: jax.Array
    limited: jax.Array
    receding: jax.Array


def solve(problem: Problem, facts: Facts, settings: Settings, start: jax.Array | None) -> Ended:
    """Minimize from `start` (P,), or from the family's starting values.

    `facts` are those of the rows with their products. Columns that depend on each other give ILL_CONDITIONED.
    """
    family, layout = problem.model.family, problem.model.layout
    center = starts.center_of(facts, family.mean_range)
    everything = jnp.ones(layout.n_coefficients, bool)
    if start is not None:
        return _finish(problem, settings, *_loop(problem, settings, _begin(start, everything, center, settings, False)))
    ones = _constants(layout, facts)
    if not family.has("start"):
        theta = jnp.sum(_best_constants(problem, settings)[:, None] * ones, axis=0)
        return _finish(problem, settings, *_loop(problem, settings, _begin(theta, everything, center, settings, False)))
    mean = family.link.link(center)
    theta = jnp.where(jnp.isfinite(mean), mean, 0.0) * ones[0]
    if family.limit is None:
        return _finish(problem, settings, *_loop(problem, settings, _begin(theta, everything, center, settings, True)))
    last = _last(layout)
    theta = theta + family.limit * ones[-1]
    state = _begin(theta, ~last, center, settings, True)._replace(observed_allowed=np.asarray(False))
    limit = _Limit(last, ones[-1], jnp.where(last, facts.ones, 0.0) / facts.n_rows)
    return _finish(problem, settings, *_loop(problem, settings, state, limit))


def _begin(theta: jax.Array, active: jax.Array, center: jax.Array, settings: Settings, start: bool) -> State:
    # Slow steps are no reason to stop where nobody can look into them.
    return newton.begin(theta, active, 0.0, settings, start)._replace(center=center, n_stalled=_NEVER)


def _constants(layout: Layout, facts: Facts) -> jax.Array:
    """For each predictor the coefficients that make it 1 in every row, (K, P); zeros where its columns cannot."""
    p = layout.n_coefficients
    weights = Information.from_matrix(facts.gram, jnp.ones(p, bool)).solve(facts.ones)
    owner = np.repeat(np.arange(layout.n_predictors), [d.n_columns for d in layout.designs])
    each = jnp.where(owner[None, :] == np.arange(layout.n_predictors)[:, None], weights[None, :], 0.0)
    # X'1 explained wholly by the columns means that they span the constant.
    missing = jnp.abs(each @ facts.ones / facts.n_rows - 1.0)
    return jnp.where((missing < _SPANNED * jnp.finfo(missing.dtype).eps)[:, None], each, 0.0)


def _best_constants(problem: Problem, settings: Settings) -> jax.Array:
    """Constants of all predictors (K,) that fit best; zeros if none are found."""
    k = problem.model.layout.n_predictors
    model = Model(problem.model.family, Layout((Constant(),) * k))
    bare = Problem(model, problem.rows._replace(x=((),) * k), jnp.zeros(k))
    rough = replace(settings, tol=np.asarray(1e-4))
    state, _, _ = _loop(bare, rough, _begin(jnp.zeros(k), jnp.ones(k, bool), jnp.zeros(()), rough, False))
    return jnp.where(jnp.isfinite(state.value) & jnp.isfinite(state.theta).all(), state.theta, 0.0)


def _last(layout: Layout) -> np.ndarray:
    """The coefficients of the last predictor, (P,) bool."""
    return np.arange(layout.n_coefficients) >= layout.n_coefficients - layout.designs[-1].n_columns


def _loop(
    problem: Problem, settings: Settings, state: State, limit: _Limit | None = None
) -> tuple[State, jax.Array, _Stage]:
    """All steps; also the last step that was one, and the stage.

    A family with a limit starts there and goes on in stages.
    """
    kernel = Newton(scoring=problem.model.family.has("scoring"))

    def body(carry):
        state, step, stage = carry
        state = newton.advance(state, problem.totals(newton.trial(state), kernel), settings)
        step = jnp.where(jnp.any(state.direction != 0), state.direction, step)
        if limit is not None:
            state, stage = _turn(problem, settings, limit, state, step, stage)
        return state, step, stage

    nowhere = jnp.zeros_like(state.theta)
    first = (state, nowhere, _Stage(jnp.zeros((), jnp.int32), nowhere, nowhere))
    return jax.lax.while_loop(lambda carry: carry[0].status == Status.RUNNING, body, first)


def _turn(
    problem: Problem, settings: Settings, limit: _Limit, state: State, step: jax.Array, stage: _Stage
) -> tuple[State, _Stage]:
    """The next stage where one has ended; as :func:`jaxglm.solvers.drive.solve` goes about it."""
    last, one, _ = limit
    found = newton.is_any(state.status, Status.CONVERGED, Status.CONVERGED_TO_PRECISION)
    estimate = state.theta + jnp.where(state.status == Status.CONVERGED, state.direction, 0.0)
    # The penalty has no part in where the likelihood alone would go from its limit.
    slope = -(one @ (state.gradient - problem.penalty * state.theta))
    curvature = one @ state.information @ one - one @ (problem.penalty * one)
    free = (last.sum() > 1) | jnp.any(jnp.where(last, problem.penalty, 0.0) > 0)
    at_limit = (stage.number == 0) & found & (slope <= 0) & ~free
    goes_on = jnp.any(one != 0) & jnp.where(stage.number == 0, found & ~at_limit, (stage.number < 3) & ~found)
    vanished = (stage.number == 3) & ~found & (limit.means @ state.theta < starts.VANISHED)
    value = jnp.where(stage.number == 0, starts.beyond(problem.model.family.limit, slope, curvature), 0.0)
    begin_at = jnp.select(
        [stage.number == 0, stage.number == 1],
        [jnp.where(last, value * one, estimate), jnp.where(last, 0.0, stage.limited)],
        jnp.where(last, 0.0, estimate),
    )
    active = ~last | (stage.number != 1)
    fresh = _begin(begin_at, active, state.center, settings, False)
    status = jnp.where(at_limit | vanished, Status.NO_OVERDISPERSION, state.status)
    kept = state._replace(
        status=status.astype(state.status.dtype), active=state.active & ~(vanished & last),
        theta=jnp.where(vanished, stage.limited, state.theta + jnp.where(at_limit, state.direction, 0.0)),
    )  # fmt: skip
    limited = jnp.where((stage.number == 0) & found, estimate, stage.limited)
    ended = state.status != Status.RUNNING
    after = jax.tree.map(lambda a, b: jnp.where(goes_on, a, b), fresh, kept)
    after = jax.tree.map(lambda a, b: jnp.where(ended, a, b), after, state)
    number = stage.number + (ended & goes_on)
    receding = jnp.where((stage.number == 0) & ended & _doubtful(state), step, stage.receding)
    return after, _Stage(number.astype(jnp.int32), limited, receding)


def _finish(problem: Problem, settings: Settings, state: State, step: jax.Array, stage: _Stage) -> Ended:
    """Take the last step, and see whether the rows that still move do so toward infinity."""
    theta = state.theta + jnp.where(state.status == Status.CONVERGED, state.direction, 0.0)
    status, p = state.status, len(theta)
    both = state.active[:, None] & state.active[None, :]
    pivot = Information.from_matrix(jnp.where(both, state.information, jnp.eye(p)), state.active).smallest_pivot
    status = jnp.where(pivot < _PIVOT * settings.product_eps, Status.ILL_CONDITIONED, status)
    if problem.model.family.has("boundary"):
        recedes = _doubtful(state) & _recedes(problem, step)
        if problem.model.family.limit is not None:
            recedes |= _recedes(problem, stage.receding)
        status = jnp.where(recedes, Status.SEPARATED, status)
    return Ended(theta, state.active, status.astype(jnp.int32), state.n_iter)


def _doubtful(state: State) -> jax.Array:
    """Whether an iteration took many steps and still did not end as one does near an optimum."""
    return (state.n_iter >= _LATE) & ((state.status != Status.CONVERGED) | (state.rate > 0.2))


def _recedes(problem: Problem, step: jax.Array) -> jax.Array:
    """Whether a step still moves rows, all of them toward their own boundary.

    It is what :mod:`jaxglm.solvers.separation` begins with; the proof takes decisions on the host.
    """
    largest = problem.reduce(Movement(), (step, jnp.asarray(jnp.inf))).largest
    moves = problem.reduce(Movement(), (step, _SHARE * largest))
    return (largest > _MOVING) & (moves.n_wrong == 0) & (moves.n_moving > 0)


def survey(problem: Problem) -> Facts:
    """Products of columns, counts and the sum of y."""
    return problem.reduce(Survey(), None)
