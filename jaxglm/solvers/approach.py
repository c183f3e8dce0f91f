"""The gradient road: near to the optimum by cheap passes without X'WX, from where the exact solve takes over.

Gradients alone know nothing of units: in theta itself every column would need a step size of its own. So a road goes
in ``z``, theta = origin + root z, with a root of the inverse information of a sample of the rows. There the average
cost of a row, ``f(z) = nll / (phi weight)``, curves by about 1 in every direction, whatever the columns, the response
and the family, and a standard error is ``1 / sqrt(weight)`` long. The origin is the fit to the sample.

The road decides nothing: rank, separation, estimates and standard errors are those of the exact solve at its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from jaxglm.errors import NotAvailableError
from jaxglm.kernels import Itself, Model, Newton, Point, Rows
from jaxglm.precision import Precision, host
from jaxglm.solvers import sampled, starts
from jaxglm.solvers.sampled import Sampled
from jaxglm.sources import ArraySource, Source
from jaxglm.sources.base import cut

#: Rows at the beginning that serve as a sample where no other is to be had: at least, and for each coefficient.
_LEAST, _PER_COEFFICIENT = 2**12, 10


class Frame(NamedTuple):
    """What stays the same on the road.

    Attributes
    ----------
    origin : (P,) theta at z = 0
    root : (P, P) the coordinates; rows of columns that are left out are zero
    center : scalar, weighted mean of y
    unit : scalar, what turns a sum over m rows, divided by m, into f
    """

    origin: np.ndarray
    root: np.ndarray
    center: np.ndarray
    unit: np.ndarray


@dataclass(frozen=True)
class Ground:
    """Where a road begins; `error` is the length of a standard error in z."""

    source: Source
    model: Model
    frame: Frame
    error: float

    def theta(self, z: np.ndarray) -> np.ndarray:
        """The coefficients at a place, (P,)."""
        return self.frame.origin + np.asarray(self.frame.root) @ np.asarray(z)


class Reached(NamedTuple):
    """Where a road ended.

    Attributes
    ----------
    place : (P,) z, or None where it led nowhere
    passes : dict from kind of pass to number of passes over the rows
    note : sentence for a summary
    """

    place: np.ndarray | None
    passes: dict[str, int]
    note: str


class Road(Protocol):
    """A way to get near the optimum."""

    def take(self, ground: Ground) -> Reached:
        """Go from z = 0 to near the least f."""
        ...

    def fingerprint(self) -> Any:
        """Text and arrays that are others for another road."""
        ...


@dataclass(frozen=True)
class Way:
    """Where the exact solve begins: as after the fit to a sample, at coefficients (P,), or as it does by itself.

    Attributes
    ----------
    sample, start : the first two, where they are
    reached : (P,) where the road ended, None if there was none or it led nowhere
    passes : dict from kind of pass to number of passes over the rows
    notes : what a summary has to say
    """

    sample: Sampled | None = None
    start: np.ndarray | None = None
    reached: np.ndarray | None = None
    passes: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def approach(
    road: Road, source: Source, model: Model, start: np.ndarray | None, curvature: str, precision: Precision
) -> Way:
    """Take a road from a start (P,), by default the fit to a sample.

    Where it leads nowhere, notes say so, and the exact solve begins as if there were none.
    """
    few = _few(source, model)
    sample = None if few is None else sampled.fit_rows(few, model, curvature, precision, doubtful=True)
    if sample is None:
        return Way(None, start, None, {}, ("Gradient steps left out: there is no plain fit to a sample of the rows.",))
    ground = _ground(source, model, few, sample, start)
    reached = road.take(ground)
    if reached.place is None or not np.isfinite(reached.place).all():
        return Way(None, start, None, reached.passes, (reached.note,))
    theta = ground.theta(reached.place)
    # The limit of a predictor is only found from the family's own start.
    own = start if model.family.limit is not None else theta
    return Way(sample._replace(theta=theta), own, theta, reached.passes, (reached.note,))


def _few(source: Source, model: Model) -> Source | None:
    """A sample in memory; the first rows where no other is to be had without a pass."""
    few = sampled.rows_of(source, model)
    if few is not None or source.n_rows == 0:
        return few
    wanted = max(_LEAST, _PER_COEFFICIENT * model.layout.n_coefficients)
    pieces: list[Rows] = []
    try:
        for piece in source.iterate(Itself(), model, None):
            pieces.append(piece)
            if sum(len(part.y) for part in pieces) >= wanted:
                break
    except NotAvailableError:
        return None
    return ArraySource.from_rows(cut(jax.tree.map(lambda *parts: np.concatenate(parts), *pieces), 0, wanted))


def _ground(source: Source, model: Model, few: Source, sample: Sampled, start: np.ndarray | None) -> Ground:
    facts, p = sample.facts, len(sample.theta)
    center = np.asarray(starts.center_of(facts, model.family.mean_range))
    phi = 1.0
    if not model.family.dispersion_known:
        at = Point(sample.theta, np.asarray(False), np.asarray(False), center)
        totals = host(few.reduce(Newton(model.family.has("scoring")), model, at))
        phi = float(totals.pearson) / max(float(facts.n_obs) - p, 1.0)
        # A perfect fit has no unit of its own.
        phi = phi if np.isfinite(phi) and phi > 0 else 1.0
    weight = float(facts.weight) / float(facts.n_rows)
    root = np.asarray(sample.information.root()) * np.sqrt(phi * float(facts.weight))
    frame = Frame(
        origin=sample.theta if start is None else np.where(sample.information.active, start, 0.0),
        root=root, center=center, unit=np.asarray(1.0 / (phi * weight)),
    )  # fmt: skip
    return Ground(source, model, frame, 1.0 / np.sqrt(weight * source.n_rows))
