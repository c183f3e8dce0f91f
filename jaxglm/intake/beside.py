"""Columns beside the design: weights, offsets, trials; given by name or as values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from jaxglm.errors import DataError, InputError
from jaxglm.frames import Table, as_vector, row_name
from jaxglm.frames.read import to_column

_WEIGHTS = ("freq_weights", "var_weights", "prob_weights")
#: A family's own columns may be infinite, as the bounds of a value that is not censored are.
_FINITE = (*_WEIGHTS, "offset", "exposure", "trials")


@dataclass(frozen=True)
class Beside:
    """What the user gave; every field is a column name, an array with one value a row, or None.

    Attributes
    ----------
    offset : added to the linear predictor
    exposure : multiplies the mean under a log link; its log is taken here
    trials : number of trials of a proportion
    freq_weights, var_weights, prob_weights : see :func:`jaxglm.glm`
    aux : what the family reads besides, by its name there
    """

    offset: Any = None
    exposure: Any = None
    trials: Any = None
    freq_weights: Any = None
    var_weights: Any = None
    prob_weights: Any = None
    aux: Mapping[str, Any] = field(default_factory=dict)

    @property
    def given(self) -> dict[str, Any]:
        """The fields that are not None, each name of aux as one."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "aux"}
        return {name: value for name, value in named.items() if value is not None} | dict(self.aux)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the kinds of weight that were given."""
        return tuple(name for name in _WEIGHTS if name in self.given)

    def check(self, family) -> None:
        """Refuse combinations without a meaning.

        Raises
        ------
        InputError
        """
        if self.prob_weights is not None and len(self.weights) > 1:
            raise InputError("prob_weights cannot be combined with freq_weights or var_weights; give one kind")
        if self.exposure is not None and family.link.name != "log":
            raise InputError(
                f"exposure= multiplies the mean, which needs the log link; the link here is {family.link.name}. "
                "Use offset= on the link scale"
            )
        if self.trials is not None and family.mean_range != "unit":
            raise InputError(f"trials= belongs to the binomial family, not to {family.name}; a rate takes exposure=")

    def arrays_given(self) -> list[str]:
        """Names of the fields given as values rather than by column name."""
        return [name for name, value in self.given.items() if not isinstance(value, str)]

    def columns(self, names: Collection[str]) -> set[str]:
        """Those of the names that are read as columns."""
        return {v for v in self.given.values() if isinstance(v, str) and v in names}

    def without_rows(self) -> Beside:
        """The same with the mean in place of each array: enough to know that values were given, and for pictures."""

        def kept(name: str, value: Any) -> Any:
            if value is None or isinstance(value, str) or np.ndim(value) == 0:
                return value
            return float(np.nanmean(np.asarray(value, float) if np.ndim(value) == 2 else to_column(value, name).values))

        changed = {f.name: kept(f.name, getattr(self, f.name)) for f in fields(self) if f.name != "aux"}
        return replace(self, **changed, aux={name: kept(name, value) for name, value in self.aux.items()})

    def vectors(self, table: Table) -> dict[str, np.ndarray]:
        """Every given field as float64 values of the table's rows, checked; NaN marks a missing value.

        Raises
        ------
        DataError
            A value that is not finite, negative weights, an exposure or trials that are not positive.
        """
        found = {}
        for name, value in self.given.items():
            vector = as_vector(value, table, name)
            check_values(name, vector, lambda i: row_name(i, table.index))
            found[name] = vector
        return found


def check_values(name: str, values: np.ndarray, name_row: Callable[[int], str]) -> None:
    """Refuse values that an option cannot have."""

    def refuse(bad: np.ndarray, rule: str) -> None:
        where = np.flatnonzero(bad)
        if len(where):
            raise DataError(f"{name} {rule}, but it is {values[where[0]]:g} in {name_row(int(where[0]))}")

    if name in _FINITE:
        refuse(np.isinf(values), "must be finite")
    if name in _WEIGHTS:
        refuse(values < 0, "must not be negative (0 leaves the row out)")
    if name in ("exposure", "trials"):
        refuse(values <= 0, "must be positive" + (" (rows that were never exposed cannot have events)"
                                                  if name == "exposure" else ""))  # fmt: skip


def total_offset(extra: dict[str, np.ndarray], in_formula: np.ndarray | None) -> np.ndarray | None:
    """Sum of all offsets on the link scale, or None."""
    parts = [p for p in (in_formula, extra.get("offset")) if p is not None]
    if "exposure" in extra:
        parts.append(np.log(extra["exposure"]))
    return sum(parts[1:], parts[0]) if parts else None


def weights_of(extra: dict[str, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(freq, prior) of n rows; prior holds variance or probability weights."""
    freq = extra.get("freq_weights")
    prior = extra.get("var_weights", extra.get("prob_weights"))
    # Ones for every row take no memory until they are cut into chunks.
    return np.broadcast_to(1.0, (n,)) if freq is None else np.asarray(freq, float), prior


def present(extra: dict[str, np.ndarray]) -> np.ndarray | None:
    """Mask of rows whose weights are all positive or missing; None if every row is."""
    masks = [extra[name] != 0 for name in _WEIGHTS if name in extra]
    if not masks:
        return None
    mask = np.logical_and.reduce(masks)
    return None if mask.all() else mask
