"""One step of the Newton iteration: evaluate at a trial point; accept, or halve the step.

The step is a pure function without Python branches on values, so that the same code
runs in a loop on the device, under `vmap`, and from the host when every evaluation
is a pass over the rows. On host arrays it computes with NumPy: P numbers are then done
with sooner than a program for them is compiled.

Lengths of steps are measured in standard errors: ``sqrt(-gradient . direction / phi)``,
which no rescaling of y, of X or of the weights changes.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.errors import Status
from jaxglm.kernels import Point, Totals
from jaxglm.numerics import namespace
from jaxglm.solvers.information import Information
from jaxglm.tree import pytree, static

#: Sufficient decrease asked of a step, as a share of what its slope promises (Armijo).
_ARMIJO = 1e-4
#: Rounding of a sum of n terms, in units of eps times the sum of their sizes.
_ROUNDING = 8.0
#: Rounding leaves standard errors a relative error of about eps over the smallest scaled Cholesky pivot. Below this
#: pivot (1e-9 in the errors) the columns go to QR, where the error is about eps over its square root.
PIVOT_FLOOR = 1e-7
#: Above this squared pivot a step from normal equations is good to about 1e-12 of its length.
_WELL_CONDITIONED = 1e-3
#: Coefficients up to which an accurate gradient is cheap: it takes as long as three Newton passes, and far more than
#: that where factors are codes.
_FEW_COEFFICIENTS = 16
#: Share of an exact fit's spread below which residuals are taken as rounding.
_PERFECT = 1e-7
_MAX_HALVINGS = 40
#: Relative rounding of working precision.
EPS, SINGLE_EPS = float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps)
_STALL = 4
#: Rate of shrinking steps above which an end is looked into.
_SLOW = 0.2


@pytree
class Settings:
    """Numbers and rules of a solve.

    Attributes
    ----------
    tol : remaining error allowed, in standard errors
    max_iter : accepted steps allowed
    n_rows, n_obs : for degrees of freedom and for how far the curvature may be out of date
    known_phi : whether the dispersion is 1
    curvature : "late" switches from expected to observed near the optimum, "never" stays with expected,
        "early" uses observed wherever it is positive definite, "only" has no expected to fall back on
    quadratic : whether nll is quadratic in the coefficients, so that only rounding is left after the first step
    row_eps : relative rounding of what is computed for a row
    product_eps : relative rounding of the products in the information
    """

    tol: jax.Array
    max_iter: jax.Array
    n_obs: jax.Array
    known_phi: bool = static()
    curvature: str = static()
    quadratic: bool = static(default=False)
    row_eps: float = static(default=EPS)
    product_eps: float = static(default=EPS)


class State(NamedTuple):
    """Everything the iteration carries; scalars unless a shape is given.

    theta (P,) accepted point; direction (P,) and fraction of the trial step from it; value, size, slope at the
    accepted point; length of the whole step in standard errors; rate at which lengths shrink; the flags that say what
    the next evaluation takes; counters; information (P, P) and pearson of the accepted point.
    """

    theta: jax.Array
    direction: jax.Array
    fraction: jax.Array
    value: jax.Array
    size: jax.Array
    slope: jax.Array
    length: jax.Array
    rate: jax.Array
    observed: jax.Array
    observed_allowed: jax.Array
    information_observed: jax.Array
    start: jax.Array
    damping: jax.Array
    n_iter: jax.Array
    n_halvings: jax.Array
    n_stalled: jax.Array
    n_flat: jax.Array
    n_pinned: jax.Array
    infeasible: jax.Array
    status: jax.Array
    information: jax.Array
    gradient: jax.Array
    pearson: jax.Array
    level: jax.Array
    active: jax.Array
    center: jax.Array


def begin(theta: jax.Array, active: jax.Array, center: float, settings: Settings, start: bool) -> State:
    """State before the first evaluation; with `start` that evaluation is at the family's starting values.

    Made of NumPy scalars: eager JAX operations would each be compiled.
    """
    p, dtype = theta.shape[0], theta.dtype
    zero, one, never = (np.asarray(v, dtype) for v in (0.0, 1.0, np.inf))
    count, yes, no = np.asarray(0, np.int32), np.asarray(True), np.asarray(False)
    early = settings.curvature in ("early", "only")
    return State(
        # Coming to the first point from given coefficients is no step.
        n_iter=np.asarray(0 if start else -1, np.int32),
        theta=theta, direction=np.zeros(p, dtype), fraction=one, value=never, size=zero, slope=zero, length=never,
        rate=one, observed=yes if settings.curvature == "only" else no,
        observed_allowed=no if settings.curvature == "never" else yes, information_observed=yes if early else no,
        start=np.asarray(start), damping=zero, n_halvings=count, n_stalled=count, n_flat=count, n_pinned=count,
        infeasible=no, status=np.asarray(Status.RUNNING, np.int32), information=np.zeros((p, p), dtype),
        gradient=np.zeros(p, dtype), pearson=zero, level=zero, active=active, center=np.asarray(center, dtype),
    )  # fmt: skip


def trial(state: State) -> Point:
    """The point to evaluate next."""
    xp = namespace(state.theta)
    theta = state.theta + state.fraction * state.direction
    return Point(xp.where(state.start, state.theta, theta), state.observed, state.start, state.center)


def phi_hat(state: State, settings: Settings) -> jax.Array:
    """Dispersion by which lengths are judged; never below what rounding leaves of a perfect fit."""
    xp = namespace(state.theta)
    if settings.known_phi:
        return xp.ones((), state.theta.dtype)
    df = xp.maximum(settings.n_obs - xp.sum(state.active), 1.0)
    floor = _PERFECT**2 * state.level / xp.maximum(settings.n_obs, 1.0)
    return xp.maximum(state.pearson / df, xp.where(floor > 0, floor, 1.0))


def rounding(size: jax.Array, settings: Settings) -> jax.Array:
    """Rounding error of a sum over rows whose terms' absolute values sum to `size`.

    Terms of less precision than the sum are rounded in all directions, so that their errors grow with its root.
    """
    eps = float(jnp.finfo(size.dtype).eps)
    if settings.row_eps > eps:
        eps = eps + settings.row_eps / namespace(size).sqrt(settings.n_obs)
    return _ROUNDING * eps * size


def is_finite(totals: Totals) -> jax.Array:
    """Whether value, gradient and information are numbers."""
    xp = namespace(totals.gradient)
    return xp.isfinite(totals.nll) & xp.all(xp.isfinite(totals.gradient)) & xp.all(xp.isfinite(totals.information))


def falls(rise: jax.Array, promised: jax.Array, noise: jax.Array) -> jax.Array:
    """Whether a value fell by enough of what the slope along its step promised, or by as much as rounding lets see."""
    return rise <= _ARMIJO * promised + noise


def is_any(status: jax.Array, *kinds: Status) -> jax.Array:
    """Whether a status is one of several."""
    return sum(status == kind for kind in kinds) > 0


def is_doubtful(state: State) -> jax.Array:
    """Whether an end may be a point on the way along a direction of recession: steps shrink there too, but slowly."""
    ends = (Status.CONVERGED, Status.CONVERGED_TO_PRECISION, Status.NO_OVERDISPERSION, Status.MAX_ITER)
    return is_any(state.status, Status.SUSPECT) | (is_any(state.status, *ends) & (state.rate > _SLOW))


def advance(
    state: State,
    totals: Totals,
    settings: Settings,
    factor: Information | None = None,
    direction: jax.Array | None = None,
) -> State:
    """The next state, given the totals at :func:`trial`.

    A caller who has the factor of the information gives it; where normal equations are too ill-conditioned, the
    direction of the next step too.
    """
    xp = namespace(state.theta)
    finite = is_finite(totals)
    rise = totals.nll - state.value
    noise = rounding(xp.maximum(totals.size, state.size), settings)
    descends = xp.dot(totals.gradient, state.direction) <= 0
    enough = falls(rise, state.fraction * state.slope, noise)
    # A rise that rounding may explain is judged by the slope, which keeps more digits than the value.
    gentle = (rise <= 1e3 * noise) & descends
    accepted = finite & (state.start | enough | gentle)
    if xp is np:
        if accepted:
            return _accept(state, totals, settings, factor, direction)
        return _halve(state, finite, direction is not None, settings)
    moved = _accept(state, totals, settings, factor, direction)
    halved = _halve(state, finite, direction is not None, settings)
    return jax.tree.map(lambda a, b: jnp.where(accepted, a, b), moved, halved)


def _accept(
    state: State, totals: Totals, settings: Settings, factor: Information | None, direction: jax.Array | None
) -> State:
    """The state at the trial point, with the next direction."""
    xp, p = namespace(state.theta), state.theta.shape[0]
    gradient = xp.where(state.active, totals.gradient, 0.0)
    ill = direction is not None
    if factor is None:
        factor = Information.from_matrix(totals.information, state.active, state.damping)
    if direction is None:
        usable = factor.ok & (factor.smallest_pivot > PIVOT_FLOOR)
        direction = xp.where(usable, -factor.solve(gradient), xp.zeros(p, gradient.dtype))
    else:
        usable = factor.ok
    slope = xp.dot(gradient, direction)
    first = state.start
    full = (state.fraction == 1.0) & ~first
    new = state._replace(
        theta=trial(state).theta, direction=direction, fraction=xp.ones((), state.theta.dtype),
        value=xp.where(first, xp.inf, totals.nll), size=xp.where(first, 0.0, totals.size), slope=slope,
        start=xp.asarray(False), information_observed=state.observed, information=totals.information,
        gradient=totals.gradient, pearson=totals.pearson, level=totals.level,
        n_iter=state.n_iter + xp.where(first, 0, 1).astype(state.n_iter.dtype),
        n_halvings=xp.zeros_like(state.n_halvings), infeasible=xp.asarray(False),
        n_pinned=xp.where(state.infeasible, state.n_pinned + 1, 0),
    )  # fmt: skip
    share = 1.0
    if settings.quadratic:
        left, share = _after_step(totals.pearson, slope, factor, ill, settings)
        new = new._replace(pearson=left)
    length = xp.where(usable, xp.sqrt(xp.maximum(-slope, 0.0) / phi_hat(new, settings)), xp.inf)
    rate = xp.where(full & xp.isfinite(state.length), length / xp.where(state.length > 0, state.length, 1.0), 1.0)
    # A zero step followed by a zero step is the optimum, not a rate of 1.
    rate = xp.where(length == 0, 0.0, rate)
    new = _next_curvature(new._replace(length=length, rate=rate), factor.ok, usable, settings)
    return _judge(new, usable, first, ill, share, settings)


def refines(factor: Information) -> jax.Array:
    """Whether a quadratic nll gets a last step with an accurate gradient, so that no digits are lost to rounding."""
    return (factor.smallest_pivot < _WELL_CONDITIONED) & (len(factor.scale) <= _FEW_COEFFICIENTS)


def _after_step(
    pearson: jax.Array, slope: jax.Array, factor: Information, ill: bool, settings: Settings
) -> tuple[jax.Array, jax.Array | float]:
    """Pearson chi-squared after a whole step of a quadratic nll, and the share of the step that is left at the end.

    What is left is rounding of the factor. Where the sum of squares that stays is itself rounding, or where only
    another pass can give the digits that a factor lacks, no share is known: 1.
    """
    xp = namespace(pearson)
    pivot = factor.smallest_pivot
    share = _ROUNDING * (EPS / xp.sqrt(pivot) if ill else settings.product_eps / pivot)
    left = pearson + slope
    # A last step, with an accurate gradient, squares it.
    at_end = xp.where(ill | refines(factor), share**2, xp.where(pivot < _WELL_CONDITIONED, 1.0, share))
    return xp.maximum(left, 0.0), xp.where(left > share * pearson, at_end, 1.0)


def _next_curvature(state: State, positive: jax.Array, usable: jax.Array, settings: Settings) -> State:
    """Which curvature the next evaluation takes; a failed observed one is taken again as expected."""
    xp = namespace(state.theta)
    if settings.curvature == "only":
        damping = xp.where(usable, 0.25 * state.damping, xp.maximum(8.0 * state.damping, 1e-3))
        damping = xp.where(damping < 1e-6, 0.0, damping)
        return state._replace(damping=xp.where(positive & usable, damping, xp.maximum(damping, 1e-3)))
    failed = state.observed & ~usable
    allowed = state.observed_allowed & ~failed
    near = xp.asarray(True) if settings.curvature == "early" else (state.length < 0.1)
    return state._replace(observed_allowed=allowed, observed=allowed & near & usable)


def _first_of(conditions: list, values: list, otherwise: int) -> jax.Array:
    """The value of the first condition that holds; for single flags NumPy's own way takes as long as a step."""
    if namespace(conditions[0]) is not np:
        return jnp.select(conditions, values, otherwise)
    return np.asarray(next((v for c, v in zip(conditions, values, strict=True) if c), otherwise))


def _judge(
    state: State, usable: jax.Array, first: jax.Array, ill: bool, share: jax.Array | float, settings: Settings
) -> State:
    """Whether to stop at an accepted point.

    `ill`: the columns are too ill-conditioned for normal equations. `share`: known share of the step that is left
    after it, else 1.
    """
    xp = namespace(state.theta)
    rate = xp.minimum(state.rate, share)
    remaining = xp.where(rate < 1.0, state.length * rate / (1.0 - rate), xp.inf)
    # The information belongs to the point before the last step; that step must be too short to matter.
    effect = xp.sum(state.active) / xp.maximum(settings.n_obs, 1.0)
    fresh = state.length * xp.sqrt(effect) < settings.tol
    converged = (remaining < settings.tol) & (fresh | settings.quadratic) & usable
    small = -0.5 * state.slope < rounding(state.size, settings)
    # With such columns rounding of the gradient alone gives steps that no longer shrink.
    flat = usable & (small | ill) & (state.length < 1e-3) & (state.rate > 0.5)
    n_flat = xp.where(flat, state.n_flat + 1, 0)
    # Where the estimated dispersion goes to zero with the steps, their length in standard errors does not.
    slow = usable & (state.rate > 0.3) & (((state.length < 3.0) & (state.n_iter > 4)) | (state.n_iter > 15))
    n_stalled = xp.where(slow, state.n_stalled + 1, xp.minimum(state.n_stalled, 0))
    taken_again = state.information_observed & ~usable
    never_usable = settings.curvature == "only"
    status = _first_of(
        [
            first & usable,
            converged,
            n_flat >= 3,
            ~usable & ~taken_again & (not never_usable),
            n_stalled >= _STALL,
            state.n_pinned >= 8,
            state.n_iter >= settings.max_iter,
        ],
        [
            Status.RUNNING,
            Status.CONVERGED,
            Status.CONVERGED_TO_PRECISION,
            Status.ILL_CONDITIONED,
            Status.SUSPECT,
            Status.BOUNDARY,
            Status.MAX_ITER,
        ],
        Status.RUNNING,
    )
    # A step that is the whole way from the first point counts, though nothing is evaluated after it.
    whole = converged & (state.n_iter == 0) & settings.quadratic
    return state._replace(
        n_iter=state.n_iter + whole, rate=xp.where(converged, rate, state.rate), n_flat=n_flat, n_stalled=n_stalled,
        status=status.astype(state.status.dtype),
    )  # fmt: skip


def _halve(state: State, finite: jax.Array, ill: bool, settings: Settings) -> State:
    """The state after a refused trial: half the step, or an end."""
    xp = namespace(state.theta)
    count = state.n_halvings + 1
    unstarted = xp.isinf(state.value)
    # From starting values the last resort is the feasible point itself.
    fraction = xp.where(unstarted & (count >= 12), 0.0, 0.5 * state.fraction)
    spent = (state.fraction == 0.0) | (count > _MAX_HALVINGS)
    # A short step that fails though its columns went through QR failed by rounding of eta.
    short = (-0.5 * state.slope < rounding(state.size, settings)) | (ill & finite & (state.length < 1e-3))
    negligible = ~unstarted & short
    status = _first_of(
        [spent & unstarted, negligible, spent & ~finite, spent],
        [Status.NOT_FINITE, Status.CONVERGED_TO_PRECISION, Status.BOUNDARY, Status.STEP_FAILED],
        Status.RUNNING,
    )
    # Starting values that give no finite totals are given up for the feasible point (direction is still zero).
    return state._replace(
        fraction=fraction, n_halvings=count, infeasible=state.infeasible | ~finite, start=xp.asarray(False),
        status=status.astype(state.status.dtype),
    )  # fmt: skip
