"""Searches side by side over one set of rows: each asks for totals at a point, and a pass answers all of them.

What a lane does between its points is the step of a lone solve (:mod:`jaxglm.solvers.newton`), as in the tiles of
:mod:`jaxglm.solvers.batch`, whose lanes have few rows of their own and a loop on the device. Here the host drives, so
that the rows may lie anywhere, and lanes that have ended leave at once.

A tile of as many lanes over one X, each a plain fit without the search for a limit, was measured beside ``drop1`` and
profile limits (logit, two cores). With 500 rows and 5 columns a repeated call of it takes 2 ms, and 28 and 37 ms here;
the first one 0.7 to 4 s for a program of its own, and 0.2 and 0.1 s here. With 1e5 rows and 20 columns a repeated call
takes 1.0 and 1.8 s, and 1.2 and 1.4 s here, the first 4 and 5 s, and 3 and 1 s here. So tiles would pay only after
dozens of calls with one shape of small data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np

from jaxglm.errors import Status
from jaxglm.kernels import Facts, Kernel, Lanes, Model, Newton, Point, Totals
from jaxglm.kernels.lanes import TILE, padded, stack
from jaxglm.precision import host
from jaxglm.solvers import drive, newton
from jaxglm.solvers.drive import Drive, Solution
from jaxglm.solvers.newton import State
from jaxglm.solvers.rank import Rank
from jaxglm.sources import Source

#: Numbers in the matrices of all lanes of one pass.
_NUMBERS = 2**25
_PLAIN = Newton()


class Lane(Protocol):
    """A search by totals at one point after the other."""

    @property
    def running(self) -> bool:
        """Whether it wants another point."""

    def trial(self) -> Point:
        """That point; never a start."""

    def receive(self, totals: Totals) -> None:
        """Take the totals at it, on the host."""


@dataclass
class Iteration:
    """A Newton iteration as a lane; `turns` counts its points."""

    solve: Drive
    state: State
    turns: int = 0

    @property
    def running(self) -> bool:
        return int(self.state.status) == Status.RUNNING

    def trial(self) -> Point:
        return newton.trial(self.state)

    def receive(self, totals: Totals) -> None:
        self.turns += 1
        self.state = newton.advance(self.state, totals, self.solve.settings)


def size_of(count: int, width: int) -> int:
    """Lanes of one pass, whole tiles, where there are so many of so many coefficients."""
    return min(padded(max(count, 1)), max(_NUMBERS // width**2 // TILE, 1) * TILE)


def run(lanes: Sequence[Lane], source: Source, model: Model, size: int, kernel: Kernel = _PLAIN) -> None:
    """Advance all lanes to their ends; every turn is a pass over the rows for each `size` lanes that still run."""
    while waiting := [lane for lane in lanes if lane.running]:
        found = evaluate(source, model, kernel, [lane.trial() for lane in waiting], size)
        for lane, totals in zip(waiting, found, strict=True):
            lane.receive(totals)


def evaluate(source: Source, model: Model, kernel: Kernel, points: Sequence[Any], size: int) -> Iterator[Any]:
    """What an additive kernel gives at each point, on the host; a pass for each `size` of them.

    Where rows need not be read again, a pass for each point costs the same and takes the program of a lone fit.
    """
    if not source.read_anew and source.own is source and jax.default_backend() == "cpu":
        yield from (host(source.reduce(kernel, model, point)) for point in points)
        return
    for first in range(0, len(points), size):
        part = points[first : first + size]
        found = host(source.reduce(Lanes(kernel), model, stack([_plain(point) for point in part], size)))
        yield from (jax.tree.map(lambda a, i=i: a[i], found) for i in range(len(part)))


def _plain(point: Any) -> Any:
    """A point without starting values, which lanes never ask for."""
    return point._replace(start=None) if isinstance(point, Point) else point


def solve(
    source: Source, model: Model, facts: Sequence[Facts], ranks: Sequence[Rank], begin: Sequence[np.ndarray], **options
) -> list[Solution | None]:
    """What :func:`jaxglm.solvers.drive.solve` gives for several sets of active coefficients, by a pass a turn.

    Parameters
    ----------
    facts, ranks, begin : for each set; where to begin (P,)
    options : tol, max_iter, curvature, precision

    Returns
    -------
    list
        None for a set that needs a slow path, so that it has to be solved by itself. No information is made.
    """
    if not begin:
        return []
    made = []
    for own, found, theta in zip(facts, ranks, begin, strict=True):
        one = Drive.of(source, model, own, found.active, **options)
        state = newton.begin(np.where(found.active, theta, 0.0), found.active, 0.0, one.settings, False)
        made.append(Iteration(one, state))
    # Products in double precision serve those that could do with less.
    kernel = max((lane.solve.kernel for lane in made), key=lambda kernel: kernel.gram == "full")
    with np.errstate(all="ignore"):
        run(made, source, model, size_of(len(made), len(begin[0])), kernel)
    solutions: list[Solution | None] = []
    for lane, own, found in zip(made, facts, ranks, strict=True):
        lane.solve.passes["newton"] = lane.turns
        fine = Status(int(lane.state.status)).converged and not newton.is_doubtful(lane.state)
        held = np.zeros(len(found.active), bool)
        solutions.append(drive.finish(lane.solve, lane.state, found, held, own, None, ()) if fine else None)
    return solutions
