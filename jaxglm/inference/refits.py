"""Fits of submodels, side by side: some coefficients are estimated, and the others are 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxglm.errors import FitError, Status
from jaxglm.fit import narrowed
from jaxglm.fitted import Fit, careful
from jaxglm.kernels import Facts, FitPoint, Statistics
from jaxglm.precision import host
from jaxglm.solvers import drive, lanes, rank
from jaxglm.solvers.information import Information
from jaxglm.solvers.rank import Rank
from jaxglm.sources import Source


def refit(fit: Fit, source: Source, facts: Facts, sets: Sequence[np.ndarray]) -> list[Fit]:
    """The fits of submodels in which only some coefficients are estimated and the others are 0.

    It is R's way of leaving out terms (columns of the model matrix go, the others stay), on any source and with code
    that the fit has compiled. Columns that are aliased in the whole model count again where what they depended on is
    gone. Call it inside :func:`jaxglm.precision.scope`.

    Parameters
    ----------
    source : Source
        The rows of the fit.
    facts : Facts
        What :func:`jaxglm.solvers.drive.survey` says of them; one survey serves any number of refits.
    sets : sequence of (P,) bool
        Coefficients to estimate; those of all predictors, so that other parameters of a distribution are estimated
        anew where they are among them.

    Returns
    -------
    list of Fit
        Without information, hence without standard errors. Each starts from the step that the whole fit's information
        predicts, so that three or four passes, shared by all, and one for the statistics are enough. Where that leads
        nowhere, or a slow path is needed, a submodel is fitted by itself.

    Raises
    ------
    FitError
        No point with a finite likelihood was found. Where nothing at all is estimated (eta = 0) it is no error, and the
        deviance is NaN.
    """
    facts_of = [_narrow(facts, free) for free in sets]
    ranks = [_rank(fit, source, own, free) for own, free in zip(facts_of, sets, strict=True)]
    begin = [_nearby(fit, found.active) for found in ranks]
    near = [i for i, theta in enumerate(begin) if theta is not None]
    of_near = ([values[i] for i in near] for values in (facts_of, ranks, begin))
    found = zip(near, lanes.solve(source, fit.model, *of_near, **_options(fit)), strict=True)
    made = {i: solution for i, solution in found if solution is not None}
    kernel = Statistics(fit.model.family.dispersion_known)
    size = lanes.size_of(len(made), len(fit.theta))
    points = [_at(solution) for solution in made.values()]
    sums = dict(zip(made, lanes.evaluate(source, fit.model, kernel, points, size), strict=True))
    for i in range(len(sets)):
        if i not in made:
            made[i] = _alone(fit, source, facts_of[i], ranks[i], begin[i])
            sums[i] = host(source.reduce(kernel, careful(fit.model, made[i].n_passes), _at(made[i])))
    return [narrowed(fit, facts, made[i], sums[i]) for i in range(len(sets))]


def _narrow(facts: Facts, free: np.ndarray) -> Facts:
    """Facts of the free columns."""
    kept = free[:, None] & free[None, :]
    return facts._replace(gram=np.where(kept, facts.gram, 0.0), ones=np.where(free, facts.ones, 0.0))


def _rank(fit: Fit, source: Source, facts: Facts, free: np.ndarray) -> Rank:
    whole = fit.rank.active.all()
    found = rank.full(len(free)) if whole else drive.decide_rank(source, fit.model, facts, free)[0]
    return Rank(found.active & free, False, {})


def _at(solution: drive.Solution) -> FitPoint:
    return FitPoint(solution.theta, np.zeros(()), np.asarray(1.0))


def _options(fit: Fit) -> dict:
    options = fit.options
    return {
        "tol": options.tol, "max_iter": options.max_iter, "curvature": options.curvature,
        "precision": options.precision,
    }  # fmt: skip


def _alone(fit: Fit, source: Source, facts: Facts, found: Rank, begin: np.ndarray | None) -> drive.Solution:
    """Solve for the active coefficients from near the whole fit, or as if it were new where that leads nowhere."""

    def solve(start):
        return drive.solve(source, fit.model, facts, found, start=start, want=(), **_options(fit))

    solution = None if begin is None else solve(begin)
    if solution is None or not (solution.status.converged or solution.status is Status.SEPARATED):
        solution = solve(None)
    if solution.status is Status.NOT_FINITE and found.active.any():
        raise FitError(f"the model without some of its terms cannot be fitted. {Status.NOT_FINITE.sentence}")
    return solution


def _nearby(fit: Fit, active: np.ndarray) -> np.ndarray | None:
    """The least of the quadratic with the whole fit's information among points with only `active` coefficients."""
    if not fit.status.converged or fit.held.any() or not fit.bread.ok:
        return None
    gone = fit.active & ~active
    step = np.where(active & fit.active, fit.bread.matrix() @ np.where(gone, fit.coefficients, 0.0), 0.0)
    narrow = Information.from_matrix(np.asarray(fit.bread.matrix()), active & fit.active)
    start = np.where(active, fit.coefficients, 0.0) + np.asarray(narrow.solve(step))
    return start if np.isfinite(start).all() else None
