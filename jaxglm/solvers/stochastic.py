"""Steps from the gradients of batches of rows, by any optimizer of optax."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.errors import InputError, InputTypeError
from jaxglm.kernels import Model, Newton, Point, Rows, Walk
from jaxglm.kernels.totals import Totals
from jaxglm.precision import quickly
from jaxglm.solvers.approach import Frame, Ground, Reached

#: Rows of a batch by default: at most, and at least a part of all.
_BATCH, _BATCHES = 2**12, 256
#: How much the average over the way favors its end: place t weighs about t to this power.
_LATE = 3.0
#: Standard errors of a difference of losses, beyond which it counts as a rise.
_RISE = 3.0
_GRADIENT = Newton(gram="none")
#: Parts of an optimizer that do nothing.
_EMPTY = ("init_empty_state", "identity")


@dataclass(frozen=True)
class Stochastic:
    """Solver that comes near the optimum by steps from batches of rows, and ends with exact Newton steps.

    For ``solver=`` of :func:`jaxglm.glm` and :func:`jaxglm.fit`. An epoch goes through all rows once, in batches, at a
    cost of O(n P); it needs no X'WX. Exact passes at the end see to it that estimates, standard errors, status,
    aliased columns and separation are those of any other solver. ``res.n_passes`` counts both.

    Parameters
    ----------
    optimizer : optax.GradientTransformation, optional
        Such as ``optax.adam(1e-2)``; plain gradient steps, ``optax.sgd(0.1)``, by default. It works on coefficients
        that are free of units: the average cost of a row curves by about 1 in every direction, so that a rate of 1
        would be a Newton step, and a standard error is 1 / sqrt(n) long.
    batch_rows : int, optional
        Rows of a batch; 1/256 of all by default, between 64 and 4,096. A batch is part of one chunk.
    epochs : int
        Most epochs. They end early after one whose mean loss is not less than that of the epoch before by more than
        its standard error over the batches.
    seed : int
        Of the order of chunks and of rows within them, another one in each epoch. The chunks of a stream come in the
        order of the stream, up to a few that are held; sorted streams are better shuffled when they are written.

    Raises
    ------
    InputError, InputTypeError
        A number out of range, or an optimizer that asks for more than gradients, coefficients and their loss.

    Notes
    -----
    Starts at the fit to a sample of the rows, whose information also gives the units. What is handed on is an average
    over the way, late places weighing most (Polyak and Juditsky 1992; Shamir and Zhang 2013): about a standard error
    from the optimum, from where two exact passes are left. If the loss is not finite or rises, the way is
    given up, a note in the summary says so, and the exact solve begins by itself.

    When it pays: gradients spare passes with X'WX, of which two are left. So do exact steps that begin at a sample of
    rows in memory: there 1e7 rows of 20 columns (Poisson, one core) take 8.8 s, with ``solver="auto"`` 8.6 s. Take
    "auto" unless the rows come as a stream that is slow to read and a fit takes many steps from its start.

    Examples
    --------
    >>> import jaxglm as jg
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1, 2, 4, 9]
    >>> res = jg.fit(X, y, "poisson", solver=jg.Stochastic(epochs=2, seed=1))
    >>> print(res.params.round(4).to_dict())
    {'Intercept': -0.0605, 'x1': 0.7478}
    """

    optimizer: Any = None
    batch_rows: int | None = None
    epochs: int = 3
    seed: int = 0

    def __post_init__(self):
        for name, value in (("batch_rows", self.batch_rows), ("epochs", self.epochs)):
            if name == "batch_rows" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise InputError(f"seed must be a whole number of at least 0, not {self.seed!r}")
        if self.optimizer is not None:
            _check(self.optimizer)

    def __repr__(self) -> str:
        told = [] if self.optimizer is None else [f"optimizer=<{described(self.optimizer)}>"]
        told += [] if self.batch_rows is None else [f"batch_rows={self.batch_rows}"]
        return f"Stochastic({', '.join([*told, f'epochs={self.epochs}', f'seed={self.seed}'])})"

    def fingerprint(self) -> list[Any]:
        """See :class:`jaxglm.solvers.approach.Road`; numbers inside an optimizer show in the steps that it takes."""
        optimizer = _plain() if self.optimizer is None else self.optimizer
        z, steps = np.array([1.0, -2.0]), []
        memory = optimizer.init(z)
        for value in (1.0, 0.5, 0.25):
            step, memory = _taking(optimizer)(value * z, memory, z, value=value, grad=value * z)
            steps.append(np.asarray(step))
        return [repr(self), steps]

    def take(self, ground: Ground) -> Reached:
        """See :class:`jaxglm.solvers.approach.Road`."""
        walk = Descent(_plain() if self.optimizer is None else self.optimizer)
        size = self.batch_rows or int(np.clip(ground.source.n_rows // _BATCHES, 64, _BATCH))
        state = walk.begin(len(ground.frame.origin))
        losses: list[np.ndarray] = []
        for epoch in range(self.epochs):
            state, found = ground.source.walk(
                walk, ground.model, ground.frame, state, size, self.seed * self.epochs + epoch
            )
            losses.append(found)
            if not np.isfinite(found).all() or (epoch and not _fell(losses[-2], found)):
                break
        n_epochs = len(losses)
        passes = {"epoch": n_epochs}
        if trouble := _trouble(losses):
            return Reached(None, passes, f"Gradient steps given up after {epochs_of(n_epochs)}: {trouble}.")
        means = ", ".join(f"{np.mean(found):.6g}" for found in losses)
        note = (
            f"Gradient steps for {epochs_of(n_epochs)} of {losses[-1].size:,} batches (mean loss {means}), then exact "
            "ones."
        )
        return Reached(np.asarray(state.average), passes, note)


class Place(NamedTuple):
    """State of a :class:`Descent`: z (P,), what the optimizer remembers, the average of places, their number."""

    z: jax.Array
    memory: Any
    average: jax.Array
    turns: jax.Array


@dataclass(frozen=True)
class Descent(Walk):
    """Steps of an optimizer in z; keeps the loss of each batch before its step."""

    optimizer: Any

    def begin(self, p: int) -> Place:
        """The state at z = 0, which needs a program of its own."""
        return Place(*_begin(self.optimizer, np.zeros(p)))

    def map(self, model: Model, frame: Frame, state: Place, rows: Rows) -> Totals:
        theta = frame.origin + frame.root @ state.z
        return _GRADIENT.map(model, Point(theta, jnp.asarray(False), None, frame.center), rows)

    def move(self, model: Model, frame: Frame, state: Place, sums: Totals, count: jax.Array) -> tuple[Place, jax.Array]:
        totals, unit = _GRADIENT.finish(model, sums), frame.unit / jnp.maximum(count, 1)
        gradient, loss = frame.root.T @ totals.gradient * unit, totals.nll * unit
        step, memory = _taking(self.optimizer)(gradient, state.memory, state.z, value=loss, grad=gradient)
        z = state.z + step.astype(state.z.dtype)
        memory = jax.tree.map(lambda new, old: jnp.asarray(new, jnp.asarray(old).dtype), memory, state.memory)
        turns = state.turns + 1
        share = (_LATE + 1.0) / (turns + _LATE)
        return Place(z, memory, state.average + share * (z - state.average), turns), loss


@quickly
def _zeros(z):
    return z, z, jnp.zeros((), jnp.int32)


def _begin(optimizer: Any, z: np.ndarray) -> tuple:
    memory = quickly(optimizer.init)(z)
    first, average, turns = _zeros(z)
    return first, memory, average, turns


def _taking(optimizer: Any) -> Any:
    """Its update, which takes the loss too where it wants to."""
    import optax

    return optax.with_extra_args_support(optimizer).update


@cache
def _plain() -> Any:
    """The default optimizer, one object so that its program is kept."""
    import optax

    return optax.sgd(0.1)


def _fell(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether the mean loss of an epoch is below that of the one before by more than its standard error."""
    error = np.std(after) / np.sqrt(len(after))
    return float(np.mean(before) - np.mean(after)) > error


def _trouble(losses: list[np.ndarray]) -> str:
    """Why the way leads nowhere, or nothing."""
    last = losses[-1]
    if not np.isfinite(last).all():
        return "the loss was no longer finite, so the learning rate is too high for these data"
    first = losses[0][: max(len(losses[0]) // 16, 1)]
    error = np.sqrt(np.var(last) * (1.0 / len(last) + 1.0 / len(first)))
    if np.mean(last) - np.mean(first) > _RISE * error + 1e-9 * abs(np.mean(first)):
        return f"the loss rose from {np.mean(first):.6g} to {np.mean(last):.6g}, so the learning rate is too high"
    return ""


def epochs_of(n: int) -> str:
    """A count of epochs in words."""
    return f"{n} epoch" + ("s" if n != 1 else "")


def is_optimizer(value: Any) -> bool:
    """Whether something is a transformation of gradients as optax has them."""
    return (
        not isinstance(value, type)
        and callable(getattr(value, "init", None))
        and callable(getattr(value, "update", None))
    )


def _check(optimizer: Any) -> None:
    """Raise where a value is no optimizer, or one that needs what batches do not give."""
    if not is_optimizer(optimizer):
        raise InputTypeError(f"optimizer must be one of optax, such as optax.adam(1e-2), not {optimizer!r}")

    def turn(z):
        return _taking(optimizer)(z, optimizer.init(z), z, value=jnp.sum(z), grad=z)

    try:
        jax.eval_shape(turn, np.zeros(2, np.float32))
    except Exception as problem:
        raise InputError(
            f"the optimizer asks for more than gradients, coefficients and their loss ({problem}); "
            "take one without a line search, or solver='lbfgs'"
        ) from problem


def described(optimizer: Any) -> str:
    """The parts of an optimizer, by the names of the functions that made them."""
    names: list[str] = []

    def look(function: Any, depth: int) -> None:
        name = getattr(function, "__qualname__", type(function).__name__).partition(".")[0]
        inner = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        parts = [f for value in inner for f in (value if isinstance(value, (tuple, list)) else (value,)) if callable(f)]
        if name in ("chain", "with_extra_args_support") and parts and depth < 5:
            for part in parts:
                look(part, depth + 1)
        elif name not in names and name not in _EMPTY:
            names.append(name)

    look(optimizer.update, 0)
    return ", ".join(names) or "identity"
