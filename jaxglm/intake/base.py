"""What both ways of taking in data share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxglm.errors import DataError, InputError, row_count
from jaxglm.frames import Column, Factor, Origin, Table, as_column, row_name
from jaxglm.hosts import Hosts
from jaxglm.intake.beside import Beside, total_offset, weights_of
from jaxglm.intake.shared import Tally, sent, sent_kinds, shared_column
from jaxglm.kernels import Rows


@dataclass(frozen=True)
class ModelTerm:
    """A term of a model, such as a factor with all its columns.

    Attributes
    ----------
    label : str, or (predictor, str) after formulas by predictor
    columns : positions of its coefficients among all P
    members : what it is a product of, each with its predictor; a term that has all of them and more contains it
    """

    label: Any
    columns: tuple[int, ...]
    members: frozenset[Any]


@dataclass(frozen=True)
class Taken:
    """Rows ready for a source, and what is known about them.

    Attributes
    ----------
    rows : Rows of host arrays
    index : pandas.Index, Origin or None
        Labels of the kept rows, or where those of a piece come from.
    positions : int array or None
        Position of each kept row in the user's data; None if every row is kept.
    notes : tuple of str
    bad : bool array or None
        Rows whose prediction must be NaN.
    tally : Tally
        What was left out of a frame.
    """

    rows: Rows
    index: pd.Index | Origin | None = None
    positions: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    bad: np.ndarray | None = None
    tally: Tally = Tally()

    def only(self, kept: np.ndarray, note: str | None = None) -> Taken:
        """Some of the rows, by position, perhaps with a note on the others."""
        positions = kept if self.positions is None else self.positions[kept]
        index = None if self.index is None else self.index[kept]
        rows = jax.tree.map(lambda a: a[kept], self.rows)
        return replace(
            self, rows=rows, index=index, positions=positions, notes=self.notes if note is None else (*self.notes, note)
        )

    def name_row(self, i: int) -> str:
        """How an error names a kept row."""
        if isinstance(self.index, Origin):
            return self.index.name(i)
        position = i if self.positions is None else int(self.positions[i])
        if self.index is None:
            return row_name(position)
        label = self.index[i]
        return f"row {position}" if label == position else f"row {position} (index {label!r})"


@dataclass(frozen=True, eq=False)
class Given:
    """Which of the user's rows were fitted, so that values given for all of them later find their rows.

    Attributes
    ----------
    n_rows : int
        Rows of the user's data.
    index : pandas.Index or None
        Their labels.
    positions : int array or None
        Those that were fitted; None for all.
    """

    n_rows: int
    index: pd.Index | None = None
    positions: np.ndarray | None = None

    def column(self, value: Any, what: str) -> Column:
        """Values for all rows of the data as a column of the fitted ones."""
        column = as_column(value, Table.of({}, self.n_rows, self.index), what)
        return column if self.positions is None else column.take(self.positions)


def codes_of(read: Callable[[], Column], value: Any, what: str, hosts: Hosts) -> np.ndarray:
    """A whole number for each row, in the order of the values and the same in all processes, (n,).

    `value` is what the user gave, `read` gives its column of the fitted rows.

    Raises
    ------
    DataError
        A value is missing.
    """

    def factor() -> Factor:
        found = read().factor
        missing = np.flatnonzero(found.codes < 0)
        if len(missing):
            name = f"{what} {value!r}" if isinstance(value, str) else what
            raise DataError(
                f"{name} is missing in {row_count(len(missing))} of those that are fitted, the first of them number "
                f"{missing[0]} counted from 0; fill the values in, or leave those rows out of the data"
            )
        return found

    own, told = hosts.share(f"reading {what}", factor, sent, sent_kinds)
    return own.recode(shared_column(own, told).levels) if told else own.codes


def assemble(x: Any, y: np.ndarray, extra: dict[str, np.ndarray], offsets: Sequence[np.ndarray | None], family) -> Rows:
    """Rows from their pieces, all of them of the kept rows alone; `offsets` has one entry a predictor."""
    n = len(y)
    freq, prior = weights_of(extra, n)
    parts = [total_offset(extra, offsets[0]), *offsets[1:]]
    aux = {name: np.asarray(extra[name], float) for name in ("trials", *family.aux_names) if name in extra}
    whole = None
    if any(part is not None for part in parts):
        whole = np.column_stack([np.zeros(n) if part is None else part for part in parts])
    return Rows(x=x, y=y, freq=freq, prior=prior, offset=whole, aux=aux)


def without_formula(family, first: int = 1) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    """Names of the constants of predictors from `first` on, and which of them are reported as exp."""
    named = [family.parameter(predictor) for predictor in family.predictors[first:]]
    return tuple(name for name, _ in named), tuple(exp for _, exp in named)


def new_aux(fitted: Beside, family, table: Table) -> dict[str, np.ndarray]:
    """Columns that the family reads, and trials that were named, as far as new data has them."""
    named = {name: value if isinstance(value, str) else name for name, value in fitted.aux.items()}
    there = {name: column for name, column in named.items() if column in table.names}
    trials = fitted.trials if isinstance(fitted.trials, str) and fitted.trials in table.names else None
    return Beside(trials=trials, aux=there).vectors(table)


def new_offset(fitted: Beside, offset: Any, exposure: Any, table: Table | None, n: int) -> np.ndarray | None:
    """Offset of new rows: what is given now, else what was named at the fit, evaluated again.

    Raises
    ------
    InputError
        The fit had an offset or exposure given as values, and none is given now.
    """
    given = {}
    for name, value in (("offset", offset), ("exposure", exposure)):
        then = getattr(fitted, name)
        if value is not None:
            given[name] = value
        elif isinstance(then, str):
            given[name] = then
        elif then is not None:
            raise InputError(
                f"the model was fitted with {name}= given as values, so predictions on new data need {name}= again "
                "(an array with one value a row, one number, or a column name)"
            )
    if not given:
        return None
    frame = table if table is not None else Table.of({}, n)
    return total_offset(Beside(**given).vectors(frame), None)


def mean_offset(beside: Beside) -> dict[str, float]:
    """Mean of an offset or exposure that was given as values, under the name that predictions take."""
    found = {}
    for name in ("offset", "exposure"):
        value = getattr(beside, name)
        if value is not None and not isinstance(value, str):
            found[name] = float(np.nanmean(np.asarray(value, float)))
    return found
