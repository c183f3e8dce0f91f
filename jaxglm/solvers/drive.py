"""From a source and a model to an estimate: rank, start, loop, and the slow paths around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design import Constant, Layout
from jaxglm.errors import Status
from jaxglm.families import Family
from jaxglm.kernels import Careful, Compensated, Facts, Joint, Model, Newton, Rows, Survey, Totals, Triangle
from jaxglm.precision import FLOAT64, Precision, Tiered, host, quickly
from jaxglm.progress import report_step
from jaxglm.solvers import newton, rank, separation, starts
from jaxglm.solvers.information import Information
from jaxglm.solvers.newton import Settings, State
from jaxglm.sources import Source, block_rows, reduce_rows

#: Above this many numbers in the information the loop is driven from the host, which can be interrupted.
_DEVICE_COEFFICIENTS = 300
#: What rounding of columns to single precision may leave of one that others explain, per row and unit of spread.
_ROUNDED = 1e-6


@dataclass(frozen=True)
class Solution:
    """An estimate and how it was reached; host arrays, P all coefficients.

    Attributes
    ----------
    theta : (P,), 0 where aliased
    expected, observed : Information at theta of the kind that was computed, else None
    rank : Rank
    held : (P,) bool, coefficients held at the limit of their predictor
    facts : Facts of the survey pass
    status : Status
    n_iter : int
    n_passes : dict from kind of pass to number of passes over the rows
    tolerance : estimated remaining error, in standard errors
    recession : direction of separation (P,), or None
    """

    theta: np.ndarray
    expected: Information | None
    observed: Information | None
    rank: rank.Rank
    held: np.ndarray
    facts: Facts
    status: Status
    n_iter: int
    n_passes: dict[str, int]
    tolerance: float
    recession: np.ndarray | None = None


@dataclass
class Drive:
    """One solve in progress: what every stage needs, the count of passes, and what the fit at a family's limit left."""

    source: Source
    model: Model
    settings: Settings
    passes: Counter = field(default_factory=Counter)
    limited: State | None = None
    recession: np.ndarray | None = None
    again: Callable[[], State] | None = None
    searches: bool = True

    @classmethod
    def of(cls, source, model, facts, active, tol, max_iter, curvature, precision) -> Drive:
        """For the active coefficients; the rest as in :func:`solve`."""
        spread = model.layout.spread()[active]
        single = precision.single and rank.resolution(facts.gram[active][:, active], spread) > rank.SINGLE
        return cls(source, model, settings_of(model.family, facts, tol, max_iter, curvature, precision, single))

    @property
    def kernel(self) -> Newton:
        """What a step needs; the curvature for steps only where it differs from the expected one."""
        gram = "coarse" if self.settings.product_eps > newton.EPS else "full"
        return Newton(self.model.family.has("scoring"), gram)

    def reduce(self, kernel, point, kind: str):
        self.passes[kind] += 1
        return self.source.reduce(kernel, self.model, point)

    def reduce_carefully(self, point):
        """Totals, triangle and gradient in one pass, all from linear predictors that are rounded once."""
        self.passes["qr"] += 1
        kernel = Joint((self.kernel, Triangle(), Compensated()))
        return self.source.reduce(kernel, Careful(self.model.family, self.model.layout), point)


def survey(source: Source, model: Model) -> Facts:
    """The facts a fit needs first, on the host; one pass."""
    return jax.tree.map(np.asarray, source.reduce(Survey(repeats=source.repeats), model, None))


def decide_rank(source: Source, model: Model, facts: Facts, free: np.ndarray | bool = True) -> tuple[rank.Rank, int]:
    """Aliased columns among the `free` ones (P,) of `facts`, and extra passes that took (QR where a Gram is blind)."""
    found = rank.from_gram(facts.gram)
    if not found.doubtful:
        return found, 0
    triangle = np.where(free, source.reduce(Triangle(plain=True), model, None), 0.0)
    found = rank.from_triangle(triangle, floor=_ROUNDED * np.sqrt(float(facts.n_rows)) * model.layout.spread())
    # Columns of different predictors never alias each other; the Gram of the survey has no such blocks.
    return found, 1


def solve(
    source: Source,
    model: Model,
    facts: Facts,
    found: rank.Rank,
    *,
    tol: float,
    max_iter: int,
    curvature: str = "late",
    start: np.ndarray | None = None,
    want: tuple[str, ...] = ("expected",),
    precision: Precision = FLOAT64,
    searches: bool = True,
) -> Solution:
    """Minimize the negative log-likelihood.

    Parameters
    ----------
    facts, found : from :func:`survey` and :func:`decide_rank`
    curvature : "late", "never" or "early"; see :class:`~jaxglm.solvers.newton.Settings`
    start : (P,) starting coefficients; by default the family's starting values of each row
    want : kinds of information to return, "expected", "observed"
    precision : what the rows are kept in
    searches : whether ends that are slow or ill-conditioned are looked into, not only waited for or given up
    """
    drive = Drive.of(source, model, facts, found.active, tol, max_iter, curvature, precision)
    drive = replace(drive, searches=searches)
    state, held = _begin(drive, facts, found.active, start)
    state, recession = _run(drive, state)
    if drive.again is not None and recession is None and not Status(int(state.status)).converged:
        state, recession = _run(drive, drive.again())
    if drive.recession is not None and recession is None:
        # A direction in which the mean runs away at the limit is one everywhere.
        state, recession = _with_status(state, Status.SEPARATED), drive.recession
    if drive.limited is not None and not Status(int(state.status)).converged:
        last = _last(model.layout)
        # The last predictor has left for its limit in every row.
        if float(facts.ones[last] @ np.asarray(state.theta)[last]) < starts.VANISHED * float(facts.n_rows):
            state, held = _with_status(drive.limited, Status.NO_OVERDISPERSION), last
    return finish(drive, state, found, held, facts, recession, want)


def settings_of(
    family: Family, facts: Facts, tol: float, max_iter: int, curvature: str, precision: Precision, single: bool
) -> Settings:
    """Settings of a solve; `single` for products of columns in single precision."""
    curvature = "never" if family.is_canonical else curvature if family.has_expected else "only"
    return Settings(
        tol=np.asarray(tol), max_iter=np.asarray(max_iter, np.int32), n_obs=np.asarray(facts.n_obs),
        known_phi=family.dispersion_known, curvature=curvature,
        quadratic=family.quadratic, row_eps=precision.eps, product_eps=newton.SINGLE_EPS if single else newton.EPS,
    )  # fmt: skip


def _begin(drive: Drive, facts: Facts, active: np.ndarray, start: np.ndarray | None) -> tuple[State, np.ndarray]:
    """The first state, and which coefficients are held where they are (P,)."""
    family, layout, settings = drive.model.family, drive.model.layout, drive.settings
    held, center = np.zeros(len(active), bool), starts.center_of(facts, family.mean_range)
    if start is not None:
        return newton.begin(np.where(active, start, 0.0), active, center, settings, False), held
    ones = starts.constants(layout, facts, active)
    if not family.has("start"):
        theta = starts.constant_predictors(ones, _best_constants(drive, facts), len(active))
        return newton.begin(theta, active, center, settings, False), held
    mean = starts.on_link_scale(family, center)
    if family.limit is not None:
        return _from_limit(drive, active, ones, mean, center)
    theta = starts.constant_predictors(ones, [mean] + [0.0] * (len(ones) - 1), len(active))
    # A quadratic nll has the same step from everywhere; from coefficients its value is known as well.
    return newton.begin(theta, active, center, settings, not family.quadratic), held


def _best_constants(drive: Drive, facts: Facts) -> list[float]:
    """Constants of all predictors that fit best, for families without starting values; zeros if none are found."""
    k = drive.model.layout.n_predictors
    bare = drive.source.replace(lambda rows: rows._replace(x=((),) * k))
    model = Model(drive.model.family, Layout((Constant(),) * k))
    small = Drive(bare, model, replace(drive.settings, tol=np.asarray(1e-4)), drive.passes)
    state = newton.begin(np.zeros(k), np.ones(k, bool), 0.0, small.settings, False)
    state = _loop(small, state)
    theta = np.asarray(state.theta)
    return theta.tolist() if np.isfinite(theta).all() and np.isfinite(float(state.value)) else [0.0] * k


def _from_limit(
    drive: Drive, active: np.ndarray, ones: list[np.ndarray | None], mean: float, center: float
) -> tuple[State, np.ndarray]:
    """Fit with the last predictor at its limit; then where the whole fit starts, or that the limit is the estimate.

    At the limit the derivative of the log-likelihood in the parameter whose log the predictor is tells whether the
    limit is the maximum; the Fisher step of that parameter is its moment estimate.
    """
    family, layout, settings = drive.model.family, drive.model.layout, drive.settings
    last = _last(layout)
    values = [mean] + [0.0] * (len(ones) - 2) + [family.limit]
    theta = starts.constant_predictors(ones, values, len(active))
    if ones[-1] is None:
        return newton.begin(theta, active, center, settings, False), np.zeros(len(active), bool)
    first = newton.begin(theta, active & ~last, center, settings, True)
    # With Fisher steps throughout, the last totals also hold the expected curvature of the predictor at its limit.
    state, drive.recession = _run(drive, first._replace(observed_allowed=np.asarray(False)))
    if Status(int(state.status)) not in (Status.CONVERGED, Status.CONVERGED_TO_PRECISION, Status.SEPARATED):
        return state, last
    state = state._replace(theta=np.asarray(state.theta) + np.asarray(state.direction))
    one = ones[-1]
    slope, curvature = -float(one @ np.asarray(state.gradient)), float(one @ np.asarray(state.information) @ one)
    if slope <= 0 and (active & last).sum() == 1:
        return _with_status(state, Status.NO_OVERDISPERSION), last
    drive.limited = state

    def again() -> State:
        """Another start, from the fit with the parameter at 1, where rows far out weigh less than at the limit."""
        start = starts.constant_predictors(ones, [*values[:-1], 0.0], len(active))
        held_at_one, _ = _run(drive, newton.begin(start, active & ~last, center, settings, True))
        return newton.begin(np.asarray(held_at_one.theta), active, center, settings, False)

    drive.again = again
    value = starts.beyond(family.limit, np.float64(slope), np.float64(curvature))
    theta = np.where(last, value * one, np.asarray(state.theta))
    return newton.begin(theta, active, center, settings, False), np.zeros(len(active), bool)


def _last(layout: Layout) -> np.ndarray:
    """The coefficients of the last predictor, (P,) bool."""
    return np.arange(layout.n_coefficients) >= layout.n_coefficients - layout.designs[-1].n_columns


def _with_status(state: State, status: Status) -> State:
    return state._replace(status=np.asarray(status, np.int32))


def _run(drive: Drive, state: State) -> tuple[State, np.ndarray | None]:
    """Loop until an end; suspicious ends are looked into and the loop goes on where they prove harmless."""
    n_checks, loop = 0, _loop
    while True:
        if int(state.status) == Status.RUNNING or loop is _qr_loop:
            state = loop(drive, state)
        status = Status(int(state.status))
        if status is Status.ILL_CONDITIONED and drive.searches:
            loop = _qr_loop
            continue
        if newton.is_doubtful(state):
            if not drive.searches:
                if status is not Status.CONVERGED:
                    return _with_status(state, Status.SUSPECT), None
                state = _with_status(state, Status.RUNNING)
                continue
            drive.passes["separation"] += 1
            theta, move, active = (np.asarray(a) for a in (state.theta, state.direction, state.active))
            direction = separation.recession(drive.source, drive.model, theta, move, active)
            if direction is not None:
                return _with_status(state, Status.SEPARATED), direction
        if status is not Status.SUSPECT:
            return state, None
        n_checks += 1
        # Looked into and harmless: wait twice as long before the next look.
        state = _with_status(state, Status.RUNNING)._replace(n_stalled=np.asarray(-4 * 2**n_checks, np.int32))


def _loop(drive: Drive, state: State) -> State:
    """Run until the status is no longer RUNNING, on the device if the rows are there and few."""
    rows, few = drive.source.resident, drive.model.layout.n_coefficients <= _DEVICE_COEFFICIENTS
    if rows is not None and few and jax.default_backend() != "cpu":
        block = block_rows(drive.model, rows)
        state, turns = device_loop(drive.model, rows, state, drive.settings, block, drive.kernel)
        drive.passes["newton"] += int(turns)
        return host(state)
    while int(state.status) == Status.RUNNING:
        state = step(state, drive.reduce(drive.kernel, newton.trial(state), "newton"), drive.settings)
        report_step(state.length)
    return state


_advance = jax.jit(newton.advance)


def step(state: State, totals: Totals, settings: Settings, *known: Information | np.ndarray) -> State:
    """The next state, on the host or where the totals are; `known` are a factor, or it and the next direction."""
    if jax.default_backend() != "cpu":
        return _advance(state, totals, settings, *known)
    # What is not finite is judged, not warned about.
    with np.errstate(all="ignore"):
        return newton.advance(state, host(totals), settings, *known)


def _device_loop(
    model: Model, rows: Rows, state: State, settings: Settings, block: int, kernel: Newton
) -> tuple[State, jax.Array]:
    """The whole iteration as one loop on the device; also the number of its evaluations."""

    def body(carry):
        state, turns = carry
        totals = kernel.finish(model, reduce_rows(kernel, model, newton.trial(state), rows, block))
        return newton.advance(state, totals, settings), turns + 1

    return jax.lax.while_loop(lambda c: c[0].status == Status.RUNNING, body, (state, jnp.zeros((), jnp.int32)))


device_loop = Tiered(_device_loop, static_argnums=(4, 5))


def _qr_loop(drive: Drive, state: State) -> State:
    """Fisher steps from a QR factor R of the weighted rows: R'R step = -gradient, the gradient in twice the precision.

    Steps are judged as in the normal loop; what replaces the normal equations is only the direction. Relative to
    its length in standard errors, its error is about eps times the condition number of the columns (Bjorck 1987).
    """
    settings = replace(drive.settings, curvature="never")
    # Where not even the starting values could be solved for, they are taken again; else the point is, which is no step.
    unstarted = int(state.n_iter) == 0 and np.isinf(float(state.value))
    state = _with_status(state, Status.RUNNING)._replace(
        observed=np.asarray(False), start=np.asarray(unstarted), n_flat=np.asarray(0, np.int32),
        n_iter=np.asarray(int(state.n_iter) - (not unstarted), np.int32),
    )  # fmt: skip
    while int(state.status) == Status.RUNNING:
        state = host(_advance_qr(state, drive.reduce_carefully(newton.trial(state)), settings))
    return state


@quickly
def _advance_qr(state: State, sums: tuple, settings: Settings) -> State:
    totals, triangle, gradient = sums
    factor, direction = refined_step(triangle, gradient.high, state.active)
    return newton.advance(state, totals._replace(gradient=gradient.high), settings, factor, direction)


def refined_step(triangle: jax.Array, gradient: jax.Array, active: jax.Array) -> tuple[Information, jax.Array]:
    """Information from a :class:`~jaxglm.kernels.Triangle` factor, and its Newton step for a gradient."""
    factor = Information.from_triangle(triangle, active)
    return factor, -factor.solve(jnp.where(active, gradient, 0.0))


def finish(drive: Drive, state: State, found, held, facts: Facts, recession, want: tuple[str, ...]) -> Solution:
    """Take the last step, and make the information matrices that are wanted."""
    status = Status(int(state.status))
    theta = np.asarray(state.theta)
    if status is Status.CONVERGED:
        # Shorter than tol standard errors, or the whole way: it costs nothing and squares the error.
        theta = theta + np.asarray(state.direction)
    theta, triangular = _refine(drive, state, theta, status, want)
    rate = float(state.rate)
    tolerance = float(state.length) * (rate / (1 - rate) if rate < 0.9 else 1.0)
    kinds = {"expected": None, "observed": None}
    canonical = drive.model.family.is_canonical
    available, scored = drive.model.family.has_expected, drive.kernel.scoring
    estimated = found.active & ~held
    for kind in want:
        observed = kind == "observed" or not available
        if triangular is not None and (canonical or not observed) and not scored:
            kinds[kind] = triangular
            continue
        if canonical or (bool(state.information_observed) == observed and (observed or not scored)):
            matrix = state.information
        else:
            point = newton.Point(theta, np.asarray(observed), np.asarray(False), state.center)
            matrix = drive.reduce(Newton(), point, "information").information
        kinds[kind] = factor(matrix, estimated)
    return Solution(
        theta=theta, expected=kinds["expected"], observed=kinds["observed"], rank=found, held=held, facts=facts,
        status=status, n_iter=int(state.n_iter), n_passes=dict(drive.passes), tolerance=tolerance, recession=recession,
    )  # fmt: skip


def _refine(
    drive: Drive, state: State, theta: np.ndarray, status: Status, want: tuple[str, ...]
) -> tuple[np.ndarray, Information | None]:
    """A last step from a gradient in twice the precision, and the information, where rounding would show without it."""
    point = newton.Point(theta, np.asarray(False), np.asarray(False), state.center)
    if drive.passes["qr"] and want:
        _, triangle, gradient = drive.reduce_carefully(point)
        kept, last = _refined_step(triangle, gradient.high, state.active)
        return theta + (np.asarray(last) if status is Status.CONVERGED else 0.0), host(kept)
    if drive.settings.quadratic and status.converged:
        kept = factor(state.information, np.asarray(state.active))
        if newton.refines(kept):
            gradient = drive.reduce(Compensated(), point, "gradient")
            return theta - kept.solve(np.asarray(gradient.high)), None
    return theta, None


_refined_step = quickly(refined_step)


def factor(matrix: jax.Array, active: np.ndarray) -> Information:
    """An information matrix, factored, on the host."""
    with np.errstate(all="ignore"):
        return Information.from_matrix(np.asarray(matrix), active)
