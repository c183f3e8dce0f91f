"""Profile likelihood intervals.

A bound of a coefficient is where the deviance, minimized over all other coefficients, has risen by the squared quantile
times the dispersion (Venzon and Moolgavkar 1988). Unlike Wald's it does not change under another parameterization,
and it may be infinite, as it is under separation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxglm import precision
from jaxglm.errors import NotAvailableError, Status
from jaxglm.fitted import Fit
from jaxglm.inference import parameters
from jaxglm.inference.covariance import Covariance
from jaxglm.inference.intervals import quantile
from jaxglm.kernels import Careful
from jaxglm.solvers import lanes, newton, separation
from jaxglm.solvers.bounds import Bound, Descent, End

#: How far below its limit the likelihood of a separated fit may be left, in units of the rise at the bounds.
_ENOUGH = 1e-11
#: Linear predictors beyond which every separated row is certain, and shares of a direction that count as a part of it.
_CERTAIN, _SHARE = 1e3, 1e-6
#: Where a separated fit has no standard error to go by, the first trial moves a linear predictor by this much.
_FIRST = 10.0


@dataclass(frozen=True)
class Profile:
    """Profile limits.

    Attributes
    ----------
    limits : (P, 2), NaN where aliased or not found, infinite where the likelihood never falls far enough
    failures : coefficient, side (-1 or +1) and reason of each limit that was not found
    """

    limits: np.ndarray
    failures: tuple[tuple[int, int, str], ...]


def profile(fit: Fit, covariance: Covariance, alpha: float) -> Profile:
    """Profile likelihood limits of all coefficients, those of natural parameters on their natural scale.

    The rise of the deviance at a limit is ``scale * quantile**2``, with the quantile of the normal, or of Student's t
    where the dispersion is estimated, as for Wald limits. Parameters such as the negative binomial's alpha are
    estimated anew with everything else. All limits are searched for together, in about five turns, more where a limit
    is infinite; rows that do not lie in memory are read once a turn (once for every 2^25 numbers in 2 P matrices of
    P x P). Least squares need no pass, since Wald limits are exact there.

    Raises
    ------
    NotAvailableError
        The covariance is not the one of the likelihood, the fit has not converged, or the rows were not kept.
    """
    _require(fit, covariance)
    if fit.model.family.quadratic:
        return Profile(parameters.limits(fit, covariance, alpha), ())
    target = 0.5 * fit.scale * quantile(alpha, covariance.df) ** 2
    p = len(fit.theta)
    if not np.isfinite(target):
        return Profile(np.full((p, 2), np.nan), ())
    if fit.held.sum() > 1:
        reason = "several coefficients of a predictor are at the end of its range"
        return Profile(
            np.full((p, 2), np.nan), tuple((j, s, reason) for j in np.flatnonzero(fit.active) for s in (-1, 1))
        )
    with precision.scope(), np.errstate(all="ignore"):
        searches = _search(fit, target)
        limits, failures = np.full((p, 2), np.nan), []
        for (j, side), lane in searches.items():
            limits[j, (side + 1) // 2], reason = _outcome(fit, lane, side)
            if reason:
                failures.append((j, side, reason))
        natural = fit.natural[:, None]
        limits = np.where(natural, np.exp(np.where(natural, limits, 0.0)), limits)
    return Profile(limits, tuple(failures))


def _require(fit: Fit, covariance: Covariance) -> None:
    if fit.options.probability_weights:
        raise NotAvailableError(
            "profile intervals rest on the likelihood, which prob_weights= do not have; use method='wald', whose "
            "standard errors are those of the survey"
        )
    if covariance.robust:
        raise NotAvailableError(
            f"profile intervals rest on the likelihood, whatever the covariance ({covariance.kind!r}); use "
            "method='wald', or res.with_cov('nonrobust').conf_int(method='profile')"
        )
    if not fit.status.converged and fit.status is not Status.SEPARATED:
        raise NotAvailableError(
            f"profile intervals start from the maximum of the likelihood, and the fit has none: {fit.status.sentence}"
        )


def _search(fit: Fit, target: float) -> dict[tuple[int, int], Bound | None]:
    """The lane of each coefficient and side, None where a direction that was proved makes the limit infinite."""
    model, source = fit.model, fit.rows
    # Columns so nearly dependent that rounding of eta would show.
    model = Careful(model.family, model.layout) if "qr" in fit.n_passes else model
    free, wanted = fit.active, np.flatnonzero(fit.active | fit.held)
    size = lanes.size_of(2 * len(wanted), len(free))
    base = Descent(fit.coefficients, free, _rounding(fit), _ENOUGH * target)
    lanes.run([base], source, model, size)
    found: dict[tuple[int, int], Bound | None] = {}
    for j in map(int, wanted):
        for side in (-1, 1):
            unbounded = _recedes(fit.recession, fit, j, side) or (fit.held[j] and side < 0)
            found[j, side] = None if unbounded else _lane(fit, base, j, side, target)
    lanes.run([lane for lane in found.values() if lane is not None], source, model, size)
    return found


def _lane(fit: Fit, base: Descent, j: int, side: int, target: float) -> Bound:
    """The search for one limit, about to evaluate its first trial."""
    layout, limit = fit.model.layout, fit.model.family.limit
    rms = fit.column_lengths[j] / np.sqrt(fit.n_rows)
    free = fit.active & (np.arange(len(fit.theta)) != j)
    held = fit.held if fit.held.any() and not fit.held[j] else None
    lane = Bound(
        base.theta.copy(),
        free,
        base.share,
        place=j,
        side=side,
        base=base.value,
        target=target,
        far=_CERTAIN / rms,
        held=held,
    )
    if limit is not None and side < 0 and layout.designs[-1].n_columns == 1 and j == len(fit.theta) - 1:
        lane.end = max(lane.origin - limit, 0.0)
    lane.begin(base, _FIRST / rms, fit.recession is not None or fit.held[j])
    return lane


def _rounding(fit: Fit) -> float:
    """Rounding error of nll as a share of its size."""
    settings = newton.Settings(
        tol=np.asarray(0.0), max_iter=np.asarray(0), n_obs=np.asarray(fit.n_rows), known_phi=True, curvature="only",
        row_eps=fit.options.precision.eps,
    )  # fmt: skip
    return float(newton.rounding(np.float64(1.0), settings))


def _recedes(direction: np.ndarray | None, fit: Fit, j: int, side: int) -> bool:
    """Whether a direction along which the likelihood never falls takes coefficient j to that side."""
    if direction is None:
        return False
    share = direction * fit.column_lengths
    return bool(side * share[j] > _SHARE * np.abs(share).max())


def _outcome(fit: Fit, lane: Bound | None, side: int) -> tuple[float, str]:
    """A limit on the scale of the coefficients, and why there is none."""
    if lane is None:
        return side * np.inf, ""
    if lane.status is End.FOUND:
        return lane.bound, ""
    if lane.status is not End.FLAT:
        return np.nan, lane.status.value
    mean = lane.place < fit.model.layout.designs[0].n_columns
    if not (fit.model.family.has("boundary") and mean):
        return side * np.inf, ""
    step = lane.theta - fit.coefficients
    direction = separation.recession(fit.rows, fit.model, lane.theta, step, fit.active)
    if _recedes(direction, fit, lane.place, side):
        return side * np.inf, ""
    return np.nan, "the likelihood looks flat, but no direction is known along which it stays so"
