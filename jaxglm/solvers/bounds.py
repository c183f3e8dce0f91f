"""Bounds of coefficients by profile likelihood, each the search of a lane.

A lane follows the profile of one coefficient, the least negative log-likelihood over all others, out to where it has
risen by a given amount. Every answer gives a step that moves the coefficient and the others together (Venzon and
Moolgavkar 1988), here taken on the root of the rise, which is close to linear. A point below the target proves that
the bound lies further out, whatever the others are; a point above it counts once the others have come to rest.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np

from jaxglm.kernels import Point, Totals
from jaxglm.solvers import newton
from jaxglm.solvers.information import Information

#: A step to a bound that is shorter than this share of the way leaves an error of about its square.
_CLOSE = 1e-5
#: Squared length of the step of the others, in units of the rise, that is no longer followed; its cube is the error.
_REST = 1e-6
#: The same, above which the others come first.
_FIRST = 0.1
#: Rise above which a trial is too far out to be of use, in units of the target.
_FAR = 16.0
#: How much further out a lane goes at most where nothing says how far.
_STRETCH = 4.0
#: A rise of less than this share of what is missing, over this many stretches, is flat.
_FLAT, _N_FLAT = 1e-4, 5
#: Where log alpha starts that was held at the end of its range until the likelihood rose away from it.
_RELEASED = -3.0
_MOST_TURNS = 80
_MOST_HALVINGS = 25


class End(enum.Enum):
    """How a lane ended."""

    RUNNING = ""
    FOUND = "the bound was found"
    FLAT = "the likelihood is flat out to infinity"
    EDGE = "the likelihood is not finite before it has fallen far enough (the edge of the valid means)"
    BETTER = "profiling met a higher likelihood than that of the fit, which is no maximum"
    LOST = "the fits with the coefficient held fixed did not converge"


@dataclass
class Descent:
    """Newton steps of some coefficients, damped where the curvature is not positive.

    theta, value, gradient are those of the last accepted point; `free` (P,) says which coefficients move; decrement is
    g' H^-1 g of the free ones. `share` is the rounding error of nll as a share of its size. They end where the next
    would lower nll by less than `enough`, or rounding.
    """

    theta: np.ndarray
    free: np.ndarray
    share: float
    enough: float = 0.0
    value: float = np.inf
    gradient: np.ndarray | None = None
    matrix: np.ndarray | None = None
    factor: Information | None = None
    damping: float = 0.0
    direction: np.ndarray | None = None
    decrement: float = 0.0
    noise: float = 0.0
    fraction: float = 0.0
    halvings: int = 0
    turns: int = 0

    @property
    def running(self) -> bool:
        """Whether there is another step to take."""
        at_rest = self.decrement <= max(self.enough, self.noise)
        spent = self.halvings > _MOST_HALVINGS or self.turns > _MOST_TURNS
        return self.turns == 0 or not (at_rest or spent or np.isinf(self.value))

    def trial(self) -> Point:
        """The point to evaluate."""
        return Point(self._next(), np.asarray(True), np.asarray(False), np.asarray(0.0))

    def _next(self) -> np.ndarray:
        return self.theta if self.direction is None else self.theta + self.fraction * self.direction

    def _take(self, value: float, totals: Totals) -> None:
        """Make the trial the accepted point and find the step of the free coefficients from there."""
        self.theta, self.value = self._next(), value
        self.gradient, self.matrix = totals.gradient, totals.information
        self.noise = self.share * float(totals.size)
        self._solve()

    def _solve(self) -> None:
        """Factor and step of the free coefficients at the accepted point."""
        self.fraction, self.halvings = 1.0, 0
        # Curvature that has underflowed belongs to a coefficient that has no effect any more.
        moving = self.free & (np.abs(np.diagonal(self.matrix)) > 0)
        self.damping = 0.0
        while True:
            self.factor = Information.from_matrix(self.matrix, moving, self.damping)
            if self.factor.ok or self.damping > 1e8:
                break
            self.damping = max(10.0 * self.damping, 1e-3)
        self.direction = -self.factor.solve(np.where(moving, self.gradient, 0.0))
        self.decrement = float(-self.gradient @ self.direction)

    def descends(self, value: float, totals: Totals) -> bool:
        """Whether the trial lies low enough to be accepted."""
        noise = max(self.noise, self.share * float(totals.size))
        return bool(newton.falls(value - self.value, -self.fraction * self.decrement, noise))

    def receive(self, totals: Totals) -> None:
        """Accept the trial or halve the step."""
        self.turns += 1
        value = float(totals.nll)
        if newton.is_finite(totals) and self.descends(value, totals):
            self._take(value, totals)
        else:
            self.fraction, self.halvings = 0.5 * self.fraction, self.halvings + 1


@dataclass
class Bound(Descent):
    """The search for one bound of one coefficient.

    Attributes
    ----------
    place, side : the coefficient, and -1 or +1 for the lower or upper bound
    base : nll of the fit; values are rises above it
    target : rise at the bound
    origin : coefficient in the fit; `way` is the distance from it
    first : distance of the first trial
    far : distance before which no likelihood is called flat
    end : distance at which the coefficient has reached the end of its range, or inf
    held : coefficients that are at the end of their range as long as the likelihood does not rise away from it
    """

    place: int = 0
    side: int = 1
    base: float = 0.0
    target: float = 1.0
    first: float = 1.0
    far: float = 0.0
    end: float = np.inf
    held: np.ndarray | None = None
    status: End = End.RUNNING
    inner: float = 0.0
    outer: float = np.inf
    bound: float = np.nan
    moving: bool = False
    mark: tuple[float, float] = (0.0, 0.0)
    n_flat: int = 0
    origin: float = field(init=False)

    def __post_init__(self):
        self.origin = float(self.theta[self.place])

    @property
    def running(self) -> bool:
        return self.status is End.RUNNING

    @property
    def way(self) -> float:
        """Distance of the accepted point."""
        return self.side * (float(self.theta[self.place]) - self.origin)

    def receive(self, totals: Totals) -> None:
        """Accept the trial or shorten the step, then choose the next."""
        self.turns += 1
        rise = float(totals.nll) - self.base
        sound = bool(newton.is_finite(totals))
        if self.moving or np.isinf(self.value):
            accepted = sound and rise <= _FAR * max(self.target, min(self.value, 1e3 * self.target))
            shorter = np.clip(np.sqrt(self.target / rise), 0.05, 0.5) if sound else 0.25
        else:
            accepted, shorter = sound and self.descends(rise, totals), 0.5
        if accepted:
            self._take(rise, totals)
            self._choose()
            return
        self.fraction, self.halvings = self.fraction * float(shorter), self.halvings + 1
        if self.halvings > _MOST_HALVINGS or self.turns > _MOST_TURNS:
            self.status = End.LOST if sound else End.EDGE

    def begin(self, fit: Descent, step: float, capped: bool) -> None:
        """Take the fit as the first point and choose the first trial: where the rise would be the target if quadratic.

        `step` is taken instead where the curvature gives no number, or a longer one though it is `capped`.
        """
        self.value, self.gradient, self.matrix, self.noise = 0.0, fit.gradient, fit.matrix, fit.noise
        self._solve()
        curve = np.where(self.free, self.matrix[:, self.place], 0.0)
        curvature = float(self.matrix[self.place, self.place] - curve @ self.factor.solve(curve))
        first = np.sqrt(2.0 * self.target / curvature) if curvature > 0 else np.inf
        self.first = float(min(first, step) if capped or np.isinf(first) else first)
        self._choose()

    def _choose(self) -> None:
        """The next trial from the accepted point, or the end."""
        if self.value < -(1e-4 * self.target + self.noise):
            self.status = End.BETTER
            return
        if self._release():
            return
        at_rest = self.decrement <= max(_REST * self.target, self.noise)
        if self.value < self.target:
            self.inner = max(self.inner, self.way)
        elif self.damping == 0 and self.decrement <= min(_FIRST * self.target, self.value - self.target):
            self.outer = min(self.outer, self.way)
        if self._is_flat(at_rest):
            self.status = End.FLAT
            return
        if self.turns > _MOST_TURNS:
            self.status = End.LOST
            return
        if not at_rest and (self.decrement > _FIRST * self.target or self.damping > 0):
            self.moving = False
            return
        self._move(at_rest and self.damping == 0)

    def _move(self, at_rest: bool) -> None:
        """The next trial: the coefficient and the others together."""
        curve = np.where(self.free, self.matrix[:, self.place], 0.0)
        follow = -self.factor.solve(curve)
        profile = self.value - 0.5 * self.decrement
        slope = self.side * float(self.gradient[self.place] + curve @ self.direction)
        way, root = self.way, np.sqrt(max(profile, 0.0) / self.target)
        if root > 1e-2 and slope > 0:
            goal = way + (1.0 - root) * 2.0 * self.target * root / slope
            if at_rest and abs(goal - way) <= _CLOSE * way:
                self.bound, self.status = self.origin + self.side * goal, End.FOUND
                return
        else:
            goal = np.inf
        goal = self._between(goal, way)
        if self.inner >= self.outer or abs(goal - way) <= 1e-14 * way:
            # Rounding of the likelihood says no more.
            self.bound, self.status = self.origin + self.side * way, End.FOUND if at_rest else End.LOST
            return
        change = self.side * (goal - way)
        step = self.direction + change * follow
        step[self.place] = change
        self.direction, self.moving = step, True

    def _between(self, goal: float, way: float) -> float:
        """A goal inside what is known of the bound."""
        if np.isinf(self.outer):
            return min(goal, max(_STRETCH * way, self.first), max(self.end, self.inner))
        slow = self.turns > 20 and self.turns % 3 == 0
        if slow or not self.inner < goal < self.outer:
            return 0.5 * (self.inner + self.outer)
        return goal

    def _is_flat(self, at_rest: bool) -> bool:
        """Whether the likelihood has stopped falling, or the coefficient is at the end of its range."""
        if not at_rest or self.value >= self.target or np.isfinite(self.outer):
            return False
        if self.way >= self.end:
            return True
        way, value = self.mark
        if self.way >= _STRETCH * way and self.way > 0:
            still = self.value - value <= _FLAT * (self.target - self.value)
            self.n_flat = self.n_flat + 1 if still else 0
            self.mark = (self.way, self.value)
        return self.n_flat >= _N_FLAT and self.way >= self.far

    def _release(self) -> bool:
        """Let a coefficient go that is held at the end of its range, where the likelihood now rises away from it."""
        if self.held is None or not (self.gradient[self.held] < 0).any():
            return False
        self.free = self.free | self.held
        self.direction = np.where(self.held, _RELEASED - self.theta, 0.0)
        self.held, self.moving, self.fraction = None, True, 1.0
        return True
