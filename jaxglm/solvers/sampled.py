"""Many rows in few passes: start at the fit to a sample, keep a Hessian while it serves, share the last pass.

A fit to one row in fifty ends about seven standard errors from that to all rows, so near that one Hessian serves for
several steps of a cheap pass each (gradient alone), of which each leaves a few percent of the distance. Of many numeric
columns, whose X'WX is dear, a larger sample is fitted, which begins at the fit to fewer of its rows; the first step of
all rows is then by the sample's own X'WX, as it may be of rows that are read anew at every pass. Where X'WX is dear,
fewer rows begin where the means of levels lead, or at the family's starting values, and go on in the same way. The
passes are those of :mod:`jaxglm.solvers.passes`. Whatever is not plain (a step that has to be halved, columns that
depend on each other, estimates that run away) is left to :mod:`jaxglm.solvers.drive`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxglm.kernels import Facts, FitSums, Joint, Kernel, Model, Newton, Point, Survey
from jaxglm.precision import Precision, host
from jaxglm.progress import unseen
from jaxglm.solvers import drive, rank, starts
from jaxglm.solvers.lending import Sampled, by_gradients
from jaxglm.solvers.passes import Run, solution
from jaxglm.sources import Source, bucket

#: Rows of the sample for each coefficient, at least, and rows of data for each of the sample.
_PER_COEFFICIENT = 40
_SHARE = 64
_LEAST, _MOST = 2**12, 2**16
#: How many times fewer rows of a sample begin its own fit, where gradients are much cheaper than X'WX; and rows of data
#: for each of such a sample, which is larger for the same time.
_FEWER, _SHARE_BY_GRADIENTS = 8, 24
#: Least of them, which is what most samples begin with, so that another size meets compiled code.
_LEAST_FEWER = 2**13
#: Times as many rows as the sample from which it is worth while; and where means of levels, which take a pass, lead as
#: near.
_WORTH, _WORTH_BESIDE_MEANS = 8, 64
#: How well the sample is fitted, in standard errors of its own and the root of the number of coefficients: that is how
#: far off the fit to all rows may be expected.
_SAMPLE_TOLERANCE = 0.1
#: Rows and coefficients from which gradients alone are so much cheaper that it pays to begin without a sample too.
_MANY_ROWS, _MANY_COEFFICIENTS = 2**14, 64


@dataclass(frozen=True)
class Closed:
    """A finished solve with what its last pass gave besides.

    ``sums`` are the statistics at dispersion 1, which ``kernel`` gave at ``point``; ``facts`` may hold no products of
    columns, and ``column_lengths`` (P,) may be estimated from the sample.
    """

    solution: drive.Solution
    facts: Facts
    column_lengths: np.ndarray
    sums: FitSums
    null_passes: int
    kernel: Kernel
    point: Any


def solve(
    source: Source,
    model: Model,
    *,
    tol: float,
    max_iter: int,
    curvature: str,
    kind: str,
    precision: Precision,
    check: Callable[[Facts], None],
    null: Callable[[Facts, np.ndarray, Any], tuple[np.ndarray, int]],
    sample: Sampled | None = None,
    beside: Kernel | None = None,
) -> Closed | None:
    """Minimize the negative log-likelihood, or None where this way does not pay or is not safe.

    Parameters
    ----------
    curvature : as in :func:`jaxglm.solvers.drive.solve`
    kind : "expected" or "observed", the information to return
    precision : what the rows are kept in
    check : raises where the facts of the rows forbid a fit
    null : the null model's constant and the passes it took, from facts, theta, and the value of `beside` or None
    sample : where to begin; by default the fit to a sample, which only many rows are worth
    beside : what `null` needs a sum of, at no point; it is made in the first pass that is for a step
    """
    if not model.family.has_expected:
        return None
    if sample is None:
        bare = _worth_gradients(source, model, precision)
        few = rows_of(source, model, _WORTH_BESIDE_MEANS if bare and starts.has_margins(model) else _WORTH)
        sample = None if few is None else fit_rows(few, model, curvature, precision)
        if sample is None and (few is not None or not bare):
            return None
    run = Run(source, model, kind, tol, precision, beside)
    facts = run.begin(curvature, max_iter, check) if sample is None else run.open(sample, curvature, max_iter, check)
    if facts is None:
        return None
    while run.goes_on:
        if run.plan() != "closing":
            run.step()
            continue
        constant, null_passes = null(facts, run.trial, run.found)
        sums = run.close(constant)
        if sums is not None and run.ended:
            surveyed = run.sample.facts
            lengths = np.sqrt(np.diagonal(surveyed.gram) * (float(facts.n_rows) / float(surveyed.n_rows)))
            return Closed(solution(run, facts), facts, lengths, sums, null_passes, *run.last)
    return None


def _worth_gradients(source: Source, model: Model, precision: Precision) -> bool:
    """Whether to begin without a sample, in passes from the host."""
    family = model.family
    many = source.n_rows >= _MANY_ROWS and model.layout.n_coefficients >= _MANY_COEFFICIENTS
    plain = family.has("start") and family.limit is None and not family.quadratic and not precision.single
    return many and plain and source.sums_on_host


def size_of(source: Source, model: Model) -> int:
    """Rows of a sample that the model needs."""
    least = max(_PER_COEFFICIENT * model.layout.n_coefficients, _LEAST)
    if by_gradients(source, model):
        return bucket(max(least, min(source.n_rows // _SHARE_BY_GRADIENTS, _MOST)))
    size = _LEAST
    while size < max(least, min(source.n_rows // _SHARE, _MOST)):
        size *= 2
    return size


def rows_of(source: Source, model: Model, worth: int = _WORTH) -> Source | None:
    """A sample of so many rows as the model needs.

    None where there are not so many times as many rows as make it `worth` while, or where it would take a pass.
    """
    size = size_of(source, model)
    return source.sample(size) if source.n_rows >= worth * size else None


def fit_rows(few: Source, model: Model, curvature: str, precision: Precision, doubtful: bool = False) -> Sampled | None:
    """The fit to a sample; None where it is not plain, or where there are `doubtful` columns and none are allowed."""
    with unseen():
        return _fit_rows(few, model, curvature, precision, doubtful)


def _fit_rows(few: Source, model: Model, curvature: str, precision: Precision, doubtful: bool) -> Sampled | None:
    size = bucket(max(few.n_rows // _FEWER, _PER_COEFFICIENT * model.layout.n_coefficients, _LEAST_FEWER))
    if few.n_rows >= 2 * size and by_gradients(few, model) and model.family.dispersion_known:
        first = _fit_rows(few.sample(size), model, curvature, precision, False)
        found = _from_fewer(few, model, first) if first is not None and first.whole else None
        if found is not None:
            return found
    facts, start = starts.survey(few, model)
    if not np.isfinite(facts.gram).all() or int(facts.n_bad_y):
        return None
    found, extra = drive.decide_rank(few, model, facts) if doubtful else (rank.from_gram(facts.gram), 0)
    if found.doubtful and not extra or not found.active.any():
        return None
    # Whether estimates run away is seen in all rows, to which this is but the way.
    solved = drive.solve(
        few, model, facts, found, tol=_SAMPLE_TOLERANCE * np.sqrt(found.active.sum()), max_iter=50,
        curvature="early" if curvature == "late" else curvature, start=start, want=("expected",), precision=precision,
        searches=False,
    )  # fmt: skip
    if not solved.status.converged or solved.held.any() or solved.recession is not None:
        return None
    whole = bool(found.active.all())
    # Products of columns that are kept centered and scaled resolve more.
    spread = model.layout.spread()
    if whole and spread.any():
        pivot = rank.resolution(np.asarray(solved.expected.matrix()), spread)
    else:
        pivot = float(np.min(np.diagonal(solved.expected.lower) ** 2))
    # The expected information took a pass of its own where the last step was by another.
    return Sampled(solved.theta, whole, pivot, facts, solved.expected, bool(solved.n_passes.get("information")))


def _from_fewer(few: Source, model: Model, first: Sampled) -> Sampled | None:
    """The fit to a sample from that to some of its rows: a step with their Hessian, and one with its own.

    None where these are not enough.
    """
    center, p = np.asarray(drive.starts.center_of(first.facts, model.family.mean_range)), len(first.theta)

    def at(theta: np.ndarray) -> Point:
        return Point(theta, np.asarray(False), None, center)

    survey = Survey("none", repeats=few.repeats)
    totals, facts = host(few.reduce(Joint((Newton(gram="none"), survey)), model, at(first.theta)))
    share = float(facts.n_rows) / float(first.facts.n_rows)
    theta = first.theta - first.information.solve(totals.gradient) / share
    last = host(few.reduce(Newton(), model, at(theta)))
    information = drive.factor(last.information, np.ones(p, bool))
    if not (int(facts.n_bad_y) == 0 and last.nll <= totals.nll and information.ok):
        return None
    step = -information.solve(last.gradient)
    # A step so short leaves far less than itself.
    if not -(step @ last.gradient) < p:
        return None
    facts = facts._replace(gram=share * first.facts.gram, ones=share * first.facts.ones)
    return Sampled(theta + step, True, first.pivot, facts, information)
