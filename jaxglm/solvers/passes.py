"""The passes of a fit that are plain: for a step with X'WX, for a step by gradients alone, and the last one.

How much of the distance a step leaves is measured at every step, and decides what the next pass is for. The last pass
gives the information that is reported, the fit statistics, and a last step with a Hessian that is up to date.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglm.errors import Status
from jaxglm.kernels import (
    Closing,
    ClosingPoint,
    Facts,
    FitSums,
    Joint,
    Kernel,
    Model,
    Newton,
    Point,
    Statistics,
    Survey,
    Totals,
)
from jaxglm.precision import Precision, host
from jaxglm.progress import report_step
from jaxglm.solvers import drive, newton, rank
from jaxglm.solvers.information import Information
from jaxglm.solvers.lending import Sampled, is_wide, lends
from jaxglm.solvers.newton import Settings, State
from jaxglm.sources import Source

#: The same below which aliasing is looked into.
_DOUBTFUL = 1e-9
#: Share of the distance that a step leaves, above which a Hessian no longer serves.
_SLOW = 0.25
#: Gradient passes that cost as much as a Hessian and what it then still takes.
_PASSES_OF_A_HESSIAN = 3
#: The same of factors alone, whose products take as long as two gradients.
_PASSES_OF_A_HESSIAN_CODES = 2
#: The same of a source that reads the rows anew at every pass, which is most of the cost of both.
_PASSES_OF_A_HESSIAN_READ = 1
#: How much better the closing pass must be expected to end than it has to.
_MARGIN = 3.0
#: Passes after which the way is given up; of those from starting values most are cheap.
_MOST_TURNS, _MOST_FROM_START = 12, 20


class Secants:
    """What a Hessian and the gradients after it say of the next step (BFGS; Nocedal and Wright 2006, algorithm 7.4)."""

    def __init__(self, factor: Information):
        self.factor = factor
        self._pairs: list[tuple[np.ndarray, np.ndarray, float]] = []

    def learn(self, step: np.ndarray, change: np.ndarray) -> None:
        """That the gradient changed so much over a step."""
        along = float(step @ change)
        if along > 0:
            self._pairs.append((step, change, 1.0 / along))

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        """The next step, (P,)."""
        left, shares = np.array(gradient), []
        for step, change, unit in reversed(self._pairs):
            shares.append(unit * (step @ left))
            left -= shares[-1] * change
        found = np.asarray(self.factor.solve(left))
        for (step, change, unit), share in zip(self._pairs, reversed(shares), strict=True):
            found = found + (share - unit * (change @ found)) * step
        return -found


class Pace:
    """How far the steps since the last Hessian went, and what share of a distance a step leaves (None: not known)."""

    def __init__(self):
        self.reach, self.leaves = 0.0, None

    def learn(self, went: float, length: float, fresh: bool, exact: bool) -> None:
        """That after a step that `went` so far the next has this length; by a `fresh` Hessian, or the `exact` one."""
        since = self.reach + went
        if went > 0:
            # A step from a fresh Hessian of distance d leaves half of what one from a Hessian that is d old would.
            per_length = length / went / max(since - 0.5 * went, 0.5 * went)
            leaves = per_length * length if fresh and exact else length / went
            self.leaves = min(max(leaves, 1e-8), 1e3)
        self.reach = 0.0 if fresh else since


class Run:
    """The passes over all rows, one after the other; lengths are in standard errors."""

    def __init__(
        self, source: Source, model: Model, kind: str, tol: float, precision: Precision, beside: Kernel | None = None
    ):
        self.source, self.model, self.kind, self.tol, self.precision = source, model, kind, tol, precision
        family = model.family
        #: The rows as far as steps need them.
        self.steps = source.pooled(model)
        #: What is summed beside the first step from a sample, and its value.
        self.beside, self.found = beside, None
        self.scoring = family.has("scoring")
        self.single = self.coarse = False
        #: Whether the way began at starting values, farther away than a fit to a sample.
        self.from_start = False
        #: Whether the first step was by the Hessian of the sample.
        self.lent = False
        self.passes: Counter = Counter(sample=1) if source.read_anew else Counter()
        #: Whether what a step solves with is the very Hessian, so that a fresh one leaves less the nearer it is.
        self.exact = family.is_canonical
        #: The expected information, where it is known to be the same everywhere, and its factor.
        self.steady: np.ndarray | None = None
        self.steady_factor: Information | None = None
        #: How steps are made where a pass gave no Hessian.
        self.secants: Secants | None = None
        #: The last Hessian, factored, where that is done on the host.
        self.factor: Information | None = None
        #: Gradient passes that are worth a Hessian.
        self.most_gradients = _PASSES_OF_A_HESSIAN
        self.pace = Pace()
        self.ended = False
        self.sample: Sampled
        self.state: State
        self.settings: Settings
        self.information = None
        self.tolerance = np.inf

    def begin(self, curvature: str, max_iter: int, check: Callable[[Facts], None]) -> Facts | None:
        """The first passes where there is no sample: a survey, and a step.

        It is from where the means of levels lead where these tell, else from the starting values of each row.
        """
        family = self.model.family
        facts, start = drive.starts.survey(self.source, self.model, "own")
        self.passes["survey"] += 1
        check(facts)
        if not (np.diagonal(facts.gram) > 0).all():
            return None
        p = self.model.layout.n_coefficients
        by_row, early = start is None, False
        if not by_row:
            self.most_gradients = _PASSES_OF_A_HESSIAN_CODES
            # So near, the observed information gives the better steps, unless the expected one serves for good.
            early = curvature == "late" and not (family.steady or family.is_canonical)
            curvature = "early" if early else curvature
        self.settings = drive.settings_of(family, facts, self.tol, max_iter, curvature, self.precision, False)
        center = drive.starts.center_of(facts, family.mean_range)
        self.state = newton.begin(np.zeros(p) if by_row else start, np.ones(p, bool), center, self.settings, by_row)
        self.state = self.state._replace(observed=np.asarray(early))
        totals = self._newton(newton.trial(self.state) if by_row else self._point(self.state.observed))
        if early and not self._factored().ok:
            # Not so near.
            self.state = self.state._replace(observed=np.asarray(False))
            totals = self._newton(self._point(self.state.observed))
        if family.steady and not self.scoring:
            self.steady, self.steady_factor = np.asarray(totals.information), self._factored()
        factor = self._factored()
        pivot = float(np.min(np.diagonal(factor.lower) ** 2)) if factor.ok else 0.0
        self.sample, self.from_start = Sampled(np.zeros(p), True, pivot, facts, factor), True
        self.secants = Secants(factor)
        return facts if self.goes_on and pivot > _DOUBTFUL else None

    def open(self, sample: Sampled, curvature: str, max_iter: int, check: Callable[[Facts], None]) -> Facts | None:
        """The first pass from a sample's fit; None where the way ends here."""
        family, self.sample, precision = self.model.family, sample, self.precision
        #: Whether products in single precision are wanted throughout, and resolve the columns.
        self.single = precision.single and sample.pivot > rank.SINGLE
        #: Whether they save time and still give good steps.
        self.coarse = self.single or sample.pivot > rank.SINGLE and is_wide(self.model)
        rough = sample.whole and self.coarse and (self.single or not family.quadratic)
        self.lent = self.coarse and lends(self.source, self.model, sample)
        gram = "none" if self.lent else "coarse" if rough else "full"
        first, survey = Newton(self.scoring, gram), Survey("none", repeats=self.source.repeats)
        kernel = Joint((first, survey) if self.beside is None else (first, survey, self.beside))
        # So near, the observed information gives the better steps, unless the expected one serves for good.
        early = curvature == "late" and sample.observed and not family.steady
        curvature, observed = "early" if early else curvature, np.asarray(early)
        self.exact = self.exact or (early and not self.scoring)
        center = np.asarray(drive.starts.center_of(sample.facts, family.mean_range))
        point = Point(sample.theta, observed, None, center)
        totals, facts, *beside = self._reduce(self.source, kernel, point, "gradient" if self.lent else "newton")
        facts, self.found = host(facts), beside[0] if beside else None
        self.settings = drive.settings_of(family, facts, self.tol, max_iter, curvature, self.precision, self.single)
        active = np.ones(len(sample.theta), bool)
        self.state = newton.begin(sample.theta, active, center, self.settings, False)._replace(observed=observed)
        if int(facts.n_rows) and not int(facts.n_bad_y) and not np.isfinite(float(totals.nll)):
            return None
        if self.lent:
            share = float(facts.size) / float(sample.facts.size)
            self.state = self.state._replace(information=share * np.asarray(sample.information.matrix()))
        self._take(totals, fresh=not self.lent)
        if not sample.whole and self.goes_on and not _proves_full_rank(self._factored()):
            return None
        if family.steady and not rough and not self.scoring:
            self.steady, self.steady_factor = np.asarray(totals.information), self._factored()
        check(facts)
        return facts

    @property
    def goes_on(self) -> bool:
        """Whether the way is still plain."""
        state = self.state
        status = Status(int(state.status))
        plain = status in (Status.RUNNING, Status.CONVERGED) and not int(state.n_halvings)
        most = _MOST_FROM_START if self.from_start else _MOST_TURNS
        return plain and sum(self.passes.values()) < most and np.isfinite(float(state.length))

    @property
    def trial(self) -> np.ndarray:
        """The point after the next step, (P,)."""
        return np.asarray(self.state.theta) + np.asarray(self.state.direction)

    def plan(self) -> str:
        """What the next pass is for: "gradient", "newton" or "closing"."""
        if int(self.state.status) == Status.CONVERGED:
            return "closing"
        read = self.source.read_anew
        # A Hessian that would be the one at hand again.
        same = self.steady is not None and not bool(self.state.observed)
        if self.lent and "newton" not in self.passes:
            return "newton"
        if self.pace.leaves is None:
            return "gradient" if (self.sample.whole and not read and not self.from_start) or same else "newton"
        length = float(self.state.length)
        error = length * self.pace.leaves / (1.0 - self.pace.leaves) if self.pace.leaves < 1.0 else np.inf
        if _MARGIN * max(self._stale(error), error * self._contraction(error, length)) < self.tol:
            return "closing"
        if same:
            return "gradient"
        if self.pace.leaves > _SLOW:
            return "newton"
        if self.lent and not read and self.passes["gradient"] == 1:
            # That is but a bound: the step it was learned from was by the Hessian of the sample.
            return "gradient"
        target = self.tol * min(1.0 / self._stale(1.0), 1.0 / self.pace.leaves)
        needed = np.log(max(error / target, 1.0)) / -np.log(self.pace.leaves)
        return "newton" if needed > (_PASSES_OF_A_HESSIAN_READ if read else self.most_gradients) else "gradient"

    def step(self) -> None:
        """A pass for a step."""
        state = self.state
        if self.plan() == "newton":
            self._newton(self._point(state.observed))
            if self.lent and int(self.state.n_halvings):
                self._begin_again()
            return
        # What is kept is labelled as what it is, whatever the next Hessian would be.
        self.state = state._replace(observed=state.information_observed)
        kernel, point = Newton(self.scoring, "none"), self._point(state.information_observed)
        self._take(self._reduce(self.steps, kernel, point, "gradient"), fresh=False)

    def _newton(self, point: Point) -> Totals:
        """A pass for a step by the Hessian at a point, which it goes to."""
        kernel = Newton(self.scoring, "coarse" if self.coarse else "full")
        totals = self._reduce(self.steps, kernel, point, "newton")
        self.exact = self.model.family.is_canonical or (bool(point.observed) and not self.scoring)
        self._take(totals, fresh=True)
        return totals

    def _begin_again(self) -> None:
        """At the fit to the sample with the Hessian of all rows, where its own led too far."""
        theta, center = self.sample.theta, self.state.center
        self.lent, self.pace = False, Pace()
        self.state = newton.begin(theta, np.ones(len(theta), bool), center, self.settings, False)
        self._newton(self._point(self.state.observed))

    def close(self, null: np.ndarray) -> FitSums | None:
        """The last pass; None where its step is refused. It is the end if what then remains is short enough."""
        family, observed = self.model.family, self.kind == "observed"
        known = self.state.information if family.quadratic else None if observed else self.steady
        gram = "none" if known is not None else "coarse" if self.single else "full"
        kernel = Closing(Newton(gram=gram), Statistics(family.dispersion_known))
        point = ClosingPoint(self._point(np.asarray(observed)), null, np.asarray(1.0))
        totals, sums = self._reduce(self.source, kernel, point, "closing")
        self.last = (kernel, point)
        # The reported information serves for the step where it is the very Hessian; else the one of before does.
        serves = known is None and (family.is_canonical or (observed and not self.scoring))
        self.information = totals.information if known is None else known
        self._take(totals, fresh=serves)
        length = float(self.state.length)
        if not self.goes_on:
            return None
        self.tolerance = length * self._contraction(length, length, fresh=serves)
        self.ended = self.tolerance < self.tol and self._stale(length) < self.tol
        return host(sums)

    def _reduce(self, rows: Source, kernel: Kernel, point: Any, name: str) -> Any:
        self.passes[name] += 1
        return rows.reduce(kernel, self.model, point)

    def _point(self, observed) -> Point:
        return Point(self.trial, np.asarray(observed), None, self.state.center)

    def _take(self, totals: Totals, fresh: bool) -> None:
        """Go to the point that was evaluated, and learn from how long the next step is."""
        before = self.state
        went = 0.0 if np.isinf(float(before.length)) else float(before.length)
        running = before._replace(status=np.asarray(Status.RUNNING, np.int32))
        if fresh or self.model.family.quadratic:
            totals = totals if fresh else totals._replace(information=before.information)
            if fresh and jax.default_backend() == "cpu":
                self.factor = drive.factor(totals.information, before.active)
            known = () if self.factor is None else (self.factor,)
            self.secants, self.state = None, drive.step(running, totals, self.settings, *known)
        else:
            self.state = self._advanced(running, totals._replace(information=before.information))
        length = float(self.state.length)
        report_step(length)
        self.pace.learn(went, length, fresh, self.exact)

    def _advanced(self, state: State, totals: Totals) -> State:
        """The state after a pass for the gradient, by the Hessian of before and what gradients have said since."""
        if self.secants is None:
            self.secants = Secants(self._factored())
        gradient = np.asarray(totals.gradient)
        self.secants.learn(np.asarray(state.direction), gradient - np.asarray(state.gradient))
        return drive.step(state, totals, self.settings, self.secants.factor, self.secants.direction(gradient))

    def _factored(self) -> Information:
        """The Hessian of the state."""
        return self.factor or drive.factor(self.state.information, np.asarray(self.state.active))

    def _stale(self, distance: float) -> float:
        """Relative change of standard errors over a distance."""
        return distance * np.sqrt(len(self.sample.theta) / max(float(self.settings.n_obs), 1.0))

    def _contraction(self, error: float, length: float, fresh: bool = True) -> float:
        """Share of an error that the step of the closing pass leaves."""
        if not fresh or not self.exact:
            return self.pace.leaves
        rounded = newton.SINGLE_EPS / self.sample.pivot if self.single else 0.0
        return max(min(self.pace.leaves, self.pace.leaves * error / max(self.pace.reach + length, 1e-300)), rounded)


def solution(run: Run, facts: Facts) -> drive.Solution:
    """What the last of some passes ended with."""
    p = len(run.sample.theta)
    if run.information is run.steady and run.steady_factor is not None:
        information = run.steady_factor
    elif run.information is run.state.information:
        information = run._factored()
    else:
        information = drive.factor(run.information, np.ones(p, bool))
    return drive.Solution(
        theta=run.trial, expected=information if run.kind == "expected" else None,
        observed=information if run.kind == "observed" else None, rank=rank.full(p), held=np.zeros(p, bool),
        facts=facts, status=Status.CONVERGED, n_iter=int(run.state.n_iter) + 1, n_passes=dict(run.passes),
        tolerance=run.tolerance,
    )  # fmt: skip


def _proves_full_rank(factor: Information) -> bool:
    """Whether the information proves that no column depends on others; rows may weigh what they do."""
    return bool(factor.ok) and float(np.min(np.diagonal(factor.lower) ** 2)) > _DOUBTFUL
