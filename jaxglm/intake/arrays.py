"""Taking in a matrix and a response."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm import kernels, precision
from jaxglm.design import Columns, Constant, Dense, Layout, Split
from jaxglm.design.dense import MOST_APART
from jaxglm.errors import DataError, InputError, InputTypeError, no_rows
from jaxglm.families import Family
from jaxglm.frames import Datetime, Factor, Numeric, Table, read
from jaxglm.frames.read import to_column
from jaxglm.hosts import ALONE, Hosts
from jaxglm.intake import response
from jaxglm.intake.base import (
    Given,
    ModelTerm,
    Taken,
    assemble,
    codes_of,
    mean_offset,
    new_aux,
    new_offset,
    without_formula,
)
from jaxglm.intake.beside import Beside, present
from jaxglm.intake.compact import encode
from jaxglm.intake.mapped import MappedRows, in_place
from jaxglm.intake.shared import Tally, same_constant, sent, sent_kinds, shared_column
from jaxglm.intake.whole import complete_rows, constants_of
from jaxglm.kernels import Rows
from jaxglm.lazy import parts
from jaxglm.precision import FLOAT64, Precision

if TYPE_CHECKING:
    from jaxglm.intake import replay
else:
    (replay,) = parts("jaxglm.intake", "replay")


@dataclass(frozen=True)
class ArrayIntake:
    """A matrix X with named columns, and perhaps an intercept before them.

    Attributes
    ----------
    columns : tuple of str
        Names of the columns of X.
    intercept : bool
    beside : Beside
    family : Family
    encoder : response.Encoder
    constant : bool
        Whether X itself has a constant column.
    apart : bool
        Whether the columns are read one by one, as those of a frame or of an array in the order of Fortran lie.
    stored : Layout or None
        How columns are kept where that is not as they are; see :mod:`jaxglm.intake.compact`.
    precision : Precision
    given : Given or None
        None where the rows are not here.
    """

    columns: tuple[str, ...]
    intercept: bool
    beside: Beside
    family: Family
    encoder: response.Encoder
    constant: bool = False
    apart: bool = False
    stored: Layout | None = None
    precision: Precision = FLOAT64
    given: Given | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (("Intercept",) if self.intercept else ()) + self.columns + without_formula(self.family)[0]

    @property
    def natural(self) -> np.ndarray:
        """Coefficients that are reported as their exponential, (P,) bool."""
        return np.array([False] * self.design.n_columns + list(without_formula(self.family)[1]))

    @property
    def numeric_places(self) -> dict[str, int]:
        """Positions of the coefficients of the columns of X, by name."""
        return {name: j for j, name in enumerate(self.columns, int(self.intercept))}

    @property
    def terms(self) -> tuple[ModelTerm, ...]:
        """Every column of X is a term."""
        first = int(self.intercept)
        return tuple(ModelTerm(name, (first + j,), frozenset([name])) for j, name in enumerate(self.columns))

    @property
    def has_intercept(self) -> bool:
        return self.intercept or self.constant

    @property
    def has_offset(self) -> bool:
        """Whether the model has any offset."""
        return self.beside.offset is not None or self.beside.exposure is not None

    @property
    def design(self) -> Split:
        """Intercept and dense columns side by side."""
        p = len(self.columns)
        dense = Columns(p) if self.apart else Dense(p)
        if not self.intercept:
            return Split((dense,), (tuple(range(p)),))
        return Split((Constant(), dense), ((0,), tuple(range(1, p + 1))))

    @property
    def layout(self) -> Layout:
        """The layout of the predictors."""
        if self.stored is not None:
            return self.stored
        others = len(self.family.predictors) - 1
        return Layout((self.design,) + (Constant(),) * others)

    def _rows(self, matrix: Any, y: np.ndarray, extra: dict[str, np.ndarray], offset: np.ndarray | None = None) -> Rows:
        others = len(self.family.predictors) - 1
        dense = tuple(np.ascontiguousarray(column) for column in matrix.T) if self.apart else matrix
        x = ((), dense) if self.intercept else (dense,)
        return assemble((x,) + ((),) * others, y, extra, [offset] + [None] * others, self.family)

    @classmethod
    def learn(
        cls, X: Any, y: Any, family: Family, beside: Beside, *, names, intercept: bool, missing: str,
        copied: bool = False, there: bool = False, hosts: Hosts = ALONE, unread: bool = False,
    ) -> tuple[ArrayIntake, Taken | MappedRows]:  # fmt: skip
        """Check X and y against each other; what is known of them and the rows.

        A memory-mapped X is used where it lies, or read a piece at a time; always the latter if it is to be `copied`.
        One in the memory of an accelerator stays `there`, if that is wanted.
        An X that stays `unread` is not looked through for values that are missing, of which sums over its rows tell.
        With `hosts` these are the rows of this process, read into memory, and what is learned is what all have shown.
        """
        mapped = isinstance(X, np.memmap) and hosts.size == 1

        def own():
            matrix, columns, index = as_matrix(X, names, lazy=mapped, there=there)
            table = Table.of({}, matrix.shape[0], index)
            beside.check(family)
            return matrix, columns, table, _response_column(y, matrix.shape[0], table), beside.vectors(table)

        (matrix, columns, table, column, extra), told = hosts.share(
            "reading X and y", own, lambda found: (found[1], sent(found[3])), sent_kinds
        )
        hosts.compare("the names of the columns", [names for names, _ in told])
        name = getattr(y, "name", None)
        known = shared_column(column, [values for _, values in told])
        labels = isinstance(known, Factor)
        levels = [v for v, used in zip(known.levels, known.present(), strict=True) if used] if labels else ()
        coded = response.encoder(known, levels, str(name) if name is not None else "y", family)

        draft = cls(columns, intercept, beside, family, coded)
        (intake, taken, tally), told = hosts.share(
            "checking its rows",
            lambda: draft._checked(matrix, column, extra, table, missing, mapped, copied, hosts, unread),
            _seen, sent_kinds,
        )  # fmt: skip
        if isinstance(taken, MappedRows):
            return intake, taken
        if told:
            tally = sum((part for part, *_ in told), Tally())
            intake = replace(intake, constant=same_constant(rest for _, *rest in told))
        return intake, replace(taken, notes=coded.notes + tally.notes)

    def _checked(
        self, matrix: np.ndarray, column: Any, extra: dict[str, np.ndarray], table: Table, missing: str, mapped: bool,
        copied: bool, hosts: Hosts, unread: bool,
    ) -> tuple[ArrayIntake, Taken | MappedRows, Tally]:  # fmt: skip
        """The intake with what the rows at hand say, those rows, and what is left out."""
        numbers, index, alone = self.encoder.numbers(column), table.index, hosts.size == 1
        mask = present(extra)
        weightless = 0 if mask is None else int((~mask).sum())
        mask, tally = complete_rows(matrix[:0] if unread else matrix, self.columns, numbers, extra, mask, missing)
        positions = None
        if mask is not None:
            positions = np.flatnonzero(mask)
            matrix, numbers = matrix if mapped else matrix[positions], numbers[positions]
            extra = {k: v[positions] for k, v in extra.items()}
            index = None if index is None else index[positions]
        if alone and len(numbers) == 0:
            why = ": " + " ".join(tally.notes) if tally.missing else "; the data is empty"
            raise DataError(f"no rows are left to fit{why}")
        apart = alone and 0 < len(self.columns) <= MOST_APART
        apart = apart and isinstance(matrix, np.ndarray) and matrix.flags.f_contiguous and not matrix.flags.c_contiguous
        constant, given = not self.intercept and bool(constants_of(matrix)), Given(table.n_rows, table.index, positions)
        intake = replace(self, constant=constant, apart=apart, given=given)
        draft = Taken(None, index, positions)
        if "trials" in extra:
            response.check_trials(numbers, extra["trials"], draft.name_row)
        remarks = response.data_notes(numbers, extra.get("trials"), self.family)
        tally = replace(tally, weightless=weightless, remarks=remarks)
        if mapped and (copied or not in_place(matrix, positions, apart)):
            intake = replace(intake, apart=False)
            taken = Taken(Rows(None, numbers, numbers), index, positions, self.encoder.notes + tally.notes)
            return intake, MappedRows(intake, matrix, numbers, extra, taken), tally
        return intake, Taken(intake._rows(matrix, numbers, extra), index, positions), tally

    def of_rows(self, places: np.ndarray) -> ArrayIntake:
        """The intake of some of the fitted rows, by position."""
        given = self.given
        positions = places if given.positions is None else given.positions[places]
        return replace(self, given=replace(given, positions=positions))

    def new(self, data: Any, offset: Any = None, exposure: Any = None, unseen: str = "raise") -> Taken:
        """Rows to predict for; X has the same columns as at the fit."""
        full = data
        if isinstance(data, Table):
            data = Table.of({name: data[name] for name in self.columns}, data.n_rows)
        elif isinstance(data, pd.DataFrame) and all(c in data.columns for c in self.columns):
            data = data[list(self.columns)]
        matrix, _, index = as_matrix(data, None, width=len(self.columns))
        if matrix.shape[1] != len(self.columns):
            raise DataError(f"the model has {len(self.columns)} columns, but the new X has {matrix.shape[1]}")
        n = matrix.shape[0]
        table = beside = full if isinstance(full, Table) else Table.of({}, n, index)
        if isinstance(full, pd.DataFrame):
            table = read(full[[c for c in full.columns if c in self.family.aux_names]])
        whole = new_offset(self.beside, offset, exposure, beside, n)
        extra = new_aux(self.beside, self.family, table)
        bad = np.isnan(matrix).any(axis=1)
        matrix = np.where(np.isnan(matrix), 0.0, matrix) if bad.any() else matrix
        if whole is not None:
            bad, whole = bad | np.isnan(whole), np.where(np.isnan(whole), 0.0, whole)
        rows = encode(self.stored, self._rows(matrix, np.zeros(n), extra, whole), FLOAT64)
        return Taken(rows, index, None, (), bad)

    def keep(self, taken: Taken) -> Taken:
        """What :meth:`learn` gave, with the rows in the form they are kept in."""
        return replace(taken, rows=encode(self.stored, taken.rows, self.precision))

    def codes(self, value: Any, what: str, hosts: Hosts = ALONE) -> np.ndarray:
        """A whole number for each fitted row, in the order of the values, which are given for all rows."""
        if isinstance(value, str):
            raise InputTypeError(
                f"{what} {value!r} is a name, but fit() takes arrays; pass the values, or use glm() with a frame"
            )
        if self.given is None:
            raise no_rows(what)
        return codes_of(lambda: self.given.column(value, what), value, what, hosts)

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that new data must have."""
        return self.columns

    def observed(self, fit: Any) -> Table | None:
        """The columns of the fitted rows, or None where they were not kept."""
        if fit.source is None:
            return None
        with precision.scope():
            columns = fit.rows.map_rows(kernels.Columns(), fit.model, None)[:, int(self.intercept) :]
        named = {name: Numeric(columns[:, j]) for j, name in enumerate(self.columns)}
        return Table.of(named, len(columns))

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns whose effects the model has."""
        return self.columns

    def variable(self, name: str, hosts: Hosts = ALONE) -> replay.Variable:
        """How a column enters the model: by itself, its derivative is its coefficient."""
        return replay.Variable(name, constant={self.columns.index(name) + int(self.intercept): 1.0})

    def pieces(self, fit: Any, *more: str) -> Iterator[tuple[Table, replay.Own]]:
        """The fitted rows piece by piece: their columns, and what they have beside the design."""
        return replay.pieces_of_matrix(self.columns, int(self.intercept), fit)

    def tangents(self, table: Table, name: str, spread: float, x: Any) -> tuple[tuple, np.ndarray | None]:
        """Rows whose difference is the derivative of the design in a column, and that of the offset, None."""
        pair = [self.new(replay.with_values(table, {name: Numeric(np.full(table.n_rows, v))})) for v in (1.0, 0.0)]
        return tuple(taken.rows.x for taken in pair), None

    def added(self, text: str, hosts: Hosts = ALONE) -> tuple[np.ndarray, tuple[str, ...]]:
        """Further terms by name, of which arrays have none.

        Raises
        ------
        InputTypeError
        """
        raise InputTypeError(
            f"a fit from arrays knows no column {text!r} besides its own; give the added columns as an array (n, q)"
        )

    def mean_offset(self) -> dict[str, float]:
        """For pictures: the mean of an offset or exposure that was given as values."""
        return mean_offset(self.beside)


def _seen(checked: tuple[ArrayIntake, Taken, Tally]) -> tuple[Tally, int, list]:
    """What the other processes must know: what is left out, how many rows there are, and what is constant in them."""
    intake, taken, tally = checked
    constants = {} if intake.intercept else constants_of(taken.rows.x[0][-1])
    return tally, len(taken.rows.y), list(constants.items())


def as_matrix(
    X: Any, names: Any, width: int | None = None, lazy: bool = False, there: bool = False
) -> tuple[np.ndarray, tuple[str, ...], pd.Index | None]:
    """X as a matrix of floating-point numbers (if `lazy` of any), its column names, and its row labels.

    One in the memory of an accelerator stays `there`, if that is wanted.
    """
    if hasattr(X, "tocsr") or type(X).__module__.startswith("scipy.sparse"):
        shape = getattr(X, "shape", (0, 0))
        raise InputTypeError(
            f"sparse X is not supported; a dense copy of this {shape[0]:,} x {shape[1]:,} matrix would take "
            f"{shape[0] * shape[1] * 8 / 1e9:.2g} GB. If the columns are dummies, give the factors in a formula to "
            "glm(), which keeps them as codes"
        )
    index = X.index if isinstance(X, pd.DataFrame) else None
    if isinstance(X, pd.DataFrame) and len(X.columns) and (X.dtypes == np.float64).all() and X.columns.is_unique:
        matrix, found = X.to_numpy(), tuple(str(name) for name in X.columns)
    elif not isinstance(X, np.ndarray) and hasattr(X, "columns") and not hasattr(X, "__jax_array__"):
        table = read(X)
        found = table.names
        matrix = np.empty((table.n_rows, len(found)), order="F")
        for j, name in enumerate(found):
            column = table[name]
            if isinstance(column, Datetime):
                raise DataError(f"column {name!r} of X holds dates or times; convert it to numbers, such as days")
            if not hasattr(column, "source") and not getattr(column, "boolean", False):
                raise DataError(
                    f"column {name!r} of X holds text or categories; use glm() with a formula, which codes factors"
                )
            matrix[:, j] = column.values
    else:
        kept = lazy and X.dtype.kind in "fiub"
        stays = there and precision.resident(X) and X.dtype in (np.float32, np.float64)
        matrix, found = X if stays else np.asarray(X) if kept else _numeric(X), None
        if matrix.ndim == 1 and width in (None, 1):
            matrix = matrix[:, None]
        elif matrix.ndim == 1 and len(matrix) == width:
            matrix = matrix[None, :]
    if matrix.ndim != 2:
        raise InputError(f"X must be a matrix with one row an observation, but has shape {matrix.shape}")
    if names is not None:
        found = tuple(str(v) for v in names)
        if len(found) != matrix.shape[1]:
            raise InputError(f"names has {len(found)} entries, but X has {matrix.shape[1]} columns")
        if len(set(found)) < len(found):
            raise InputError(
                f"names must differ from each other, but {[v for v in found if found.count(v) > 1][0]!r} repeats"
            )
    if found is None:
        found = tuple(f"x{j + 1}" for j in range(matrix.shape[1]))
    return matrix, tuple(str(v) for v in found), index


def _numeric(X: Any) -> np.ndarray:
    values = np.asarray(X)
    if values.dtype in (np.float32, np.float64):
        # float32 is widened block by block, where it is multiplied.
        return values
    if values.dtype.kind in "fiub":
        return values.astype(float)
    if values.dtype.kind in "Mm":
        raise DataError("X holds dates or times; convert them to numbers, such as days since a start")
    try:
        if values.dtype.kind == "c":
            raise TypeError("complex")
        return values.astype(float)
    except (TypeError, ValueError):
        raise DataError(
            f"X must hold numbers, but has dtype {values.dtype}; factors go into glm() with a formula"
        ) from None


def _response_column(y: Any, n: int, table: Table):
    if isinstance(y, pd.Series) and table.index is not None and len(y) == n and not y.index.equals(table.index):
        if not (y.index.is_unique and table.index.is_unique and y.index.isin(table.index).all()):
            raise DataError("y and X are pandas objects whose indexes do not match; align them, or pass y.to_numpy()")
        y = y.reindex(table.index)
    shape = np.shape(y)
    if len(shape) == 2 and shape[1] == 1:
        y = np.asarray(y)[:, 0]
    elif len(shape) != 1:
        raise InputError(
            f"y must have one value a row, but has shape {shape}; for successes and failures pass proportions with "
            "trials=, or a formula with cbind(successes, failures)"
        )
    if shape[0] != n:
        raise DataError(f"X has {n} rows but y has {shape[0]} values")
    return to_column(y, "y")
