"""L-BFGS: full passes of gradients alone, from which the curvature is learned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from jaxglm.kernels import Newton, Point
from jaxglm.precision import host, quickly
from jaxglm.solvers.approach import Ground, Reached

#: How near the optimum it ends, in standard errors; one exact step squares that.
_NEAR = 0.1
#: Decrease of f that is asked of a step, and what share of its slope must be gone (weak Wolfe conditions).
_ENOUGH, _FLATTER = 1e-4, 0.9
#: Trials of a step length.
_TRIALS = 30


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory quasi-Newton steps by optax, each a pass of O(n P) over all rows, any source.

    Step lengths are found by bisection until the weak Wolfe conditions hold (Lewis and Overton 2013), which costs a
    pass for each trial; nearly all first trials do. Ends when a step is shorter than a tenth of a standard error.

    Attributes
    ----------
    memory : steps that the curvature is learned from
    most : passes after which it ends anyway
    """

    memory: int = 10
    most: int = 200

    def __repr__(self) -> str:
        return "lbfgs"

    def fingerprint(self) -> str:
        """See :class:`jaxglm.solvers.approach.Road`."""
        return f"{self.memory} {self.most}"

    def take(self, ground: Ground) -> Reached:
        """See :class:`jaxglm.solvers.approach.Road`."""
        begin, direction_of = _programs(self.memory)
        z = np.zeros(len(ground.frame.origin))
        value, gradient = _evaluate(ground, z)
        n_passes, state = 1, begin(z)
        while np.isfinite(value) and n_passes < self.most and np.linalg.norm(gradient) > _NEAR * ground.error:
            direction, next_state = direction_of(gradient, state, z)
            direction = np.asarray(direction)
            if not gradient @ direction < 0:
                # What it remembers is no curvature; it begins anew.
                direction, next_state = direction_of(gradient, begin(z), z)
                direction = np.asarray(direction)
            state = next_state
            found, trials = _along(ground, z, value, gradient, direction)
            n_passes += trials
            if found is None:
                break
            z, value, gradient = found
        passes = {"gradient": n_passes}
        if not np.isfinite(value):
            return Reached(None, passes, "Gradient steps given up: the likelihood at their start is not finite.")
        return Reached(z, passes, f"L-BFGS for {n_passes} passes of gradients alone, then exact steps.")


@cache
def _programs(memory: int) -> tuple[Any, Any]:
    import optax

    made = optax.chain(optax.scale_by_lbfgs(memory_size=memory), optax.scale(-1.0))
    return quickly(made.init), quickly(made.update)


def _evaluate(ground: Ground, z: np.ndarray) -> tuple[float, np.ndarray]:
    """f and its gradient (P,) at a place; one pass."""
    frame = ground.frame
    point = Point(ground.theta(z), np.asarray(False), None, frame.center)
    totals = host(ground.source.reduce(Newton(gram="none"), ground.model, point))
    unit = float(frame.unit) / ground.source.n_rows
    return float(totals.nll) * unit, frame.root.T @ np.asarray(totals.gradient) * unit


def _along(
    ground: Ground, z: np.ndarray, value: float, gradient: np.ndarray, direction: np.ndarray
) -> tuple[tuple[np.ndarray, float, np.ndarray] | None, int]:
    """The next place with its value and gradient, None where there is none below; and the passes it took."""
    slope = gradient @ direction
    low, high, length = 0.0, np.inf, 1.0
    for trials in range(1, _TRIALS + 1):
        place = z + length * direction
        there, gradient_there = _evaluate(ground, place)
        if not (np.isfinite(there) and there <= value + _ENOUGH * length * slope):
            high = length
        elif gradient_there @ direction < _FLATTER * slope:
            low = length
        else:
            return (place, there, gradient_there), trials
        length = 0.5 * (low + high) if np.isfinite(high) else 2.0 * low
    return None, _TRIALS
