"""Whole fits side by side: a tile of lanes, each a small data set with a Newton loop of its own, as one program.

Lanes have the same number of rows, filled up with copies that weigh nothing. What a lane does is what
:mod:`jaxglm.solvers.drive` does for one data set, without its slow paths: a lane that needs one (columns that a Gram
matrix cannot judge, normal equations too ill-conditioned, steps that do not shrink) says so and is fitted alone.
Leaves of the rows may be shared by all lanes: a response or weights of its own for each lane beside one X.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxglm.design import Columns, Constant, Layout, Paired, Twofold
from jaxglm.design.base import matmul
from jaxglm.errors import Status
from jaxglm.families import Family
from jaxglm.kernels import Facts, FitPoint, FitSums, Model, Newton, Point, Rows, Statistics, Survey
from jaxglm.kernels.base import total
from jaxglm.kernels.totals import pearson_terms
from jaxglm.precision import Tiered
from jaxglm.solvers import newton, starts
from jaxglm.solvers.information import Information
from jaxglm.solvers.loops import (
    CHUNK,
    Counts,
    Data,
    Task,
    curvature_of,
    evaluate,
    null_model,
    over_counts,
    solve,
    steps,
)
from jaxglm.solvers.newton import Settings, State
from jaxglm.solvers.rank import GRAM_TOLERANCE, QR_TOLERANCE

#: Smallest move of a step that may be a direction of recession, and the share of it that counts as none.
_MOVING, _REST = 1e-4, 1e-7


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


#: Numbers of the products of columns that are held beside columns which all lanes share.
_PRODUCTS = 2**22


def _fit_tile(
    model: Model, rows: Rows, task: Task, axes: Any = 0, counts: jax.Array | None = None, at_once: int | None = None
) -> Lane:
    """Fit all lanes of a tile.

    Parameters
    ----------
    rows : Rows with a leading axis of lanes
    axes : 0, or a Rows with 0 for fields that lanes have of their own, None for those that all share, without that axis
    counts : (L, V), optional
        Weight of the rows of each lane whose response is 0, 1, ..., V - 1, where every response is one of these. It
        needs a family of known dispersion that reads no aux, and other predictors than the mean's that are constants.
        Sums of what depends on y alone are then made of V numbers a lane.
    at_once : lanes that are computed side by side, a divisor of L; all by default. Fewer stay in a cache.

    Notes
    -----
    Cost of a turn O(L m P^2); memory of a few copies of the dense rows of one tile. Lanes that share X hold no copies
    of it, and X'WX of all of them is one product of their weights and the pairs of columns.
    """
    if axes != 0 or at_once is None or at_once >= rows.y.shape[0]:
        return _fit_lanes(model, rows, task, axes, counts)
    parts = jax.tree.map(lambda a: a.reshape(-1, at_once, *a.shape[1:]), (rows, counts))
    found = jax.lax.map(lambda part: _fit_lanes(model, part[0], task, 0, part[1]), parts)
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), found)


fit_tile = Tiered(_fit_tile, lean=True, side_by_side=True, static_argnames=("axes", "at_once"))


def _fit_lanes(model: Model, rows: Rows, task: Task, axes: Any, counts: jax.Array | None) -> Lane:
    """Fit lanes side by side."""
    axes = Rows(*[0] * len(Rows._fields)) if axes == 0 else axes
    layout, family = model.layout, model.family
    dense, looks, rows = _laid_out(model, rows, axes, counts is not None)
    over = partial(_over, rows, axes, None if counts is None else _counts(counts, dense.family is not family))
    survey = Survey()
    facts = over(lambda data: survey.finish(dense, survey.map(dense, None, data.rows)))
    active, unclear, lower, scale = jax.vmap(_rank)(facts.gram)
    doubtful = jax.lax.cond(
        jnp.any(unclear),
        lambda: jax.vmap(partial(_loose, dense), in_axes=(axes, 0, 0, 0, 0))(looks, facts.gram, lower, scale, unclear),
        lambda: jnp.zeros(unclear.shape[0], bool),
    )
    ended = over(partial(_solve_lane, layout, dense, task), facts, active)
    separated = jnp.zeros(ended.slow.shape, bool)
    if family.has("boundary"):
        separated = ended.slow & jax.lax.cond(
            jnp.any(ended.slow), lambda: over(partial(_is_separated, dense), ended), lambda: separated
        )
    last = partial(_close_lane, layout, dense, Model(family, dense.layout), task)
    return over(last, facts, active, ended, doubtful, separated)


def _laid_out(model: Model, rows: Rows, axes: Rows, counted: bool) -> tuple[Model, Rows, Rows]:
    """The model as lanes compute with it, rows whose columns are laid row upon row, and those of the model."""
    layout, m = model.layout, rows.y.shape[-1]

    def upright(x):
        return tuple(d.columns(xi, m).T for d, xi in zip(layout.designs, x, strict=True))

    family = model.family
    if counted and family.without_steps is not None:
        family = family.without_steps
    if axes.x is not None:
        looks = rows._replace(x=jax.vmap(upright)(rows.x))
        made, x = _twofold(layout, looks.x)
        return Model(family, made), looks, looks._replace(x=x)
    looks = rows._replace(x=upright(rows.x))
    made, x = _paired(layout, looks.x)
    return Model(family, made), looks, looks._replace(x=x)


def _counts(weights: jax.Array, stepped: bool) -> Counts:
    """Counts of all lanes, from the weight of each value (L, V)."""
    used = jnp.max(jnp.where(weights > 0, jnp.arange(1, weights.shape[1] + 1), 0))
    tails = jnp.cumsum(weights[:, ::-1], axis=1)[:, ::-1] - weights if stepped else None
    return Counts(weights, tails, -(-used // min(CHUNK, weights.shape[1])))


def _over(rows: Rows, axes: Rows, counts: Counts | None, function, *more):
    """What a function of the data of a lane gives for every lane; the chunks of values in use are those of all."""
    places = None if counts is None else Counts(0, None if counts.tails is None else 0, None)
    return jax.vmap(function, in_axes=(Data(axes, places), *[0] * len(more)))(Data(rows, counts), *more)


class _Ended(NamedTuple):
    """Where the loops of a lane came to: the last state, estimate and held (P,), and flags of lanes to look at."""

    state: State
    theta: jax.Array
    held: jax.Array
    hard: jax.Array
    slow: jax.Array


def _twofold(layout: Layout, columns: tuple[jax.Array, ...]) -> tuple[Layout, tuple]:
    """Columns that each lane has of its own, both ways; constants are not stored."""
    bare = [all(isinstance(part, Constant) for part, _ in design.parts) for design in layout.designs]
    designs = (Constant() if b else Twofold(d.n_columns) for b, d in zip(bare, layout.designs, strict=True))
    return Layout(tuple(designs)), tuple(() if b else Twofold.rows_from(x) for b, x in zip(bare, columns, strict=True))


def _paired(layout: Layout, columns: tuple[jax.Array, ...]) -> tuple[Layout, tuple]:
    """Columns that all lanes share, each beside its products with the others; constants are not stored."""
    designs, x = [], []
    for design, upright in zip(layout.designs, columns, strict=True):
        width, m = upright.shape
        if all(isinstance(part, Constant) for part, _ in design.parts):
            designs.append(Constant())
            x.append(())
        elif width * (width + 1) // 2 * m <= _PRODUCTS:
            designs.append(Paired(width))
            x.append((upright, Paired.products(upright)))
        else:
            designs.append(Columns(width))
            x.append(upright)
    return Layout(tuple(designs)), tuple(x)


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


def _settings(family: Family, task: Task, facts: Facts) -> Settings:
    return Settings(
        tol=task.tol, max_iter=task.max_iter, n_obs=facts.n_obs, known_phi=family.dispersion_known,
        curvature=curvature_of(family, task.curvature), quadratic=family.quadratic,
    )  # fmt: skip


def _solve_lane(layout: Layout, model: Model, task: Task, data: Data, facts: Facts, active) -> _Ended:
    family = model.family
    settings, kernel = _settings(family, task, facts), Newton(family.has("scoring"))
    state, held, hard = solve(layout, model, kernel, task, settings, data, facts, active)
    theta = state.theta + jnp.where(state.status == Status.CONVERGED, state.direction, 0.0)
    if family.quadratic:
        theta = theta - _correction(model, data.rows, state, theta)
    slow = state.status == Status.SUSPECT
    if family.has("boundary"):
        # Where an estimate goes to infinity the information vanishes; whether it does is then seen from where it is.
        slow = newton.is_doubtful(state) | (state.status == Status.ILL_CONDITIONED)
    return _Ended(state, theta, held, hard, slow)


def _is_end(status: jax.Array) -> jax.Array:
    return newton.is_any(status, Status.CONVERGED, Status.CONVERGED_TO_PRECISION, Status.NO_OVERDISPERSION)


def _is_separated(model: Model, data: Data, ended: _Ended) -> jax.Array:
    rows = data.rows
    step = _recedes(model, rows, ended.state.direction, True)
    return step | _recedes(model, rows, ended.theta, False)


def _close_lane(
    layout: Layout, model: Model, whole: Model, task: Task, data: Data, facts: Facts, active, ended: _Ended, doubtful,
    separated,
) -> Lane:  # fmt: skip
    state, theta, held = ended.state, ended.theta, ended.held
    family, rows = model.family, data.rows
    running = state.status == Status.RUNNING
    # A look at more steps may tell.
    running |= (state.status == Status.SUSPECT) & ~separated & (task.patience.stalled == 0)
    null, sound = null_model(layout, model, task, _settings(family, task, facts), rows, facts, theta)
    bad = (facts.n_bad_y > 0) | ~jnp.isfinite(facts.weight) | ~jnp.all(jnp.isfinite(facts.gram)) | ~jnp.any(active)
    failed = (ended.slow | ~_is_end(state.status)) & ~separated
    hard = (ended.hard | doubtful | bad | failed | ~sound) & ~running
    information = _information(model, Newton(family.has("scoring")), task, data, state, theta)
    factor = Information.from_matrix(information, active & ~held)
    return Lane(
        theta=theta, active=active, held=held, facts=facts._replace(gram=None, ones=None),
        status=jnp.where(separated, Status.SEPARATED, state.status), n_iter=state.n_iter, hard=hard, running=running,
        sums=_sums(model, task, data, facts, theta, null), **_variances(whole, task, rows, factor, theta),
    )  # fmt: skip


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


def _information(model: Model, kernel: Newton, task: Task, data: Data, state: State, theta) -> jax.Array:
    """The information that is reported; the last one of the iteration where it is of that kind, as in a single fit."""
    family = model.family
    if family.is_canonical:
        return state.information
    observed = task.kind == "observed" or not family.has_expected
    at = Point(theta, jnp.asarray(observed), None, state.center)
    made = evaluate(model, Newton(), data, at).information
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


def _sums(model: Model, task: Task, data: Data, facts: Facts, theta, null) -> FitSums:
    """Fit statistics; the log-likelihood at phi = 1, or at the dispersion that is plugged in where that is wanted."""
    if data.counts is not None:
        return _sums_by_count(model, task, data, facts, theta, null)
    known, rows = model.family.dispersion_known, data.rows
    sums = Statistics(known).map(model, FitPoint(theta, null, jnp.ones(())), rows)
    if known or not task.density:
        return sums
    phi = sums.deviance / (facts.n_obs if model.family.prior_divides_phi else facts.weight)
    return sums._replace(llf=Statistics().map(model, FitPoint(theta, null, phi), rows).llf)


def _sums_by_count(model: Model, task: Task, data: Data, facts: Facts, theta, null) -> FitSums:
    """As :class:`~jaxglm.kernels.Statistics`: a row needs `nll` alone, from which others differ by functions of y."""
    family, rows, weight = model.family, data.rows, data.rows.weight
    others = theta[theta.shape[0] + 1 - model.layout.n_predictors :]
    mean = family.link.link(starts.center_of(facts, family.mean_range))
    at, at_null = (jnp.concatenate([one[None], others]) for one in (mean, null))

    def of_count(y):
        nll = family.nll(y, at, {})
        lost = family.unit_deviance(y, at, {}) - 2.0 * nll
        return lost, family.logpdf(y, at, jnp.ones(()), {}) + nll, family.unit_deviance(y, at_null, {})

    def nll_of(eta):
        return total(weight * jax.vmap(family.nll, (0, 0, None))(rows.y, eta, {}))

    eta = model.eta(rows, theta)
    nll = nll_of(eta)
    shift, constant, null_deviance = over_counts(data.counts.weights, data.counts.n_chunks, of_count)
    if task.has_offset:
        offset = 0.0 if rows.offset is None else rows.offset[:, 0]
        null_deviance = 2.0 * nll_of(eta.at[:, 0].set(null + offset)) + shift
    llf = constant - nll
    if data.counts.tails is not None:
        llf = llf - steps(model, data.counts, theta)[0]
    prior = jnp.zeros_like(rows.y) if rows.prior is None else jnp.log(rows.prior)
    return FitSums(
        deviance=jnp.maximum(2.0 * nll + shift, 0.0), null_deviance=jnp.maximum(null_deviance, 0.0),
        pearson=pearson_terms(model, eta, rows)[0], llf=llf,
        log_prior=total(jnp.where(rows.freq > 0, rows.freq * prior, 0.0)),
    )  # fmt: skip
