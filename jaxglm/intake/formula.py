"""Taking in a data frame through a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxglm import formula as grammar
from jaxglm.design import Design, Layout
from jaxglm.errors import InputError, row_count
from jaxglm.families import Family
from jaxglm.frames import Column, Factor, Numeric, Table, read
from jaxglm.intake import response
from jaxglm.intake.base import Taken, assemble, mean_offset, new_offset
from jaxglm.intake.beside import Beside, present
from jaxglm.kernels import Rows


@dataclass(frozen=True)
class FormulaIntake:
    """A learned formula with the columns beside it.

    Attributes
    ----------
    spec : FormulaSpec
        Levels, knots and means learned once; replayed on new data.
    beside : Beside
    family : Family
    encoder : response.Encoder
    design : Design
        Shared by every frame that the formula builds.
    missing : "drop" or "raise"
    table : Table or None
        The columns of the fitted rows, read only when a picture asks for them; None for a stream.
    """

    spec: Any
    beside: Beside
    family: Family
    encoder: response.Encoder
    design: Design
    missing: str = "drop"
    table: Table | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.spec.names)

    @property
    def has_intercept(self) -> bool:
        return self.spec.has_intercept

    @property
    def has_offset(self) -> bool:
        """Whether the model has any offset."""
        return bool(self.spec.offset_terms) or self.beside.offset is not None or self.beside.exposure is not None

    @classmethod
    def learn(
        cls, text: str, data: Any, family: Family, beside: Beside, missing: str, functions
    ) -> tuple[FormulaIntake, Taken]:
        """Read a frame and a formula; what is learned and the rows of the frame."""
        table = read(data)
        beside.check(family)
        extra = beside.vectors(table)
        mask = present(extra)
        notes: tuple[str, ...] = ()
        if mask is not None:
            notes = (f"{row_count(int((~mask).sum()))} with weight 0 left out.",)
            table = table.take(mask)
            extra = {name: v[mask] for name, v in extra.items()}
        spec, built = grammar.learn_and_build(text, table, functions=functions, missing=missing, extra=extra)
        coded = _encoder(spec.response, family)
        intake = cls(spec, beside, family, coded, built.design, missing)
        taken = intake._taken(built)
        positions = taken.positions
        intake = replace(intake, table=table if positions is None else table.take(positions))
        if mask is not None:
            weighted = np.flatnonzero(mask)
            positions = weighted if positions is None else weighted[positions]
        return intake, replace(taken, positions=positions, notes=coded.notes + notes + taken.notes)

    @classmethod
    def learn_stream(
        cls, text: str, frames: Callable[[], Iterator[Any]], family: Family, beside: Beside, missing: str, functions
    ) -> FormulaIntake:
        """Read every frame once and keep what is learned; columns beside must be named."""
        if values := beside.arrays_given():
            raise InputError(f"{values[0]}= must be a column name when the data comes in pieces, not an array")
        beside.check(family)

        def tables() -> Iterator[Table]:
            # Rows without weight teach nothing: means of scale() and levels come from the others.
            for frame in frames():
                table = read(frame)
                mask = present(beside.vectors(table))
                yield table if mask is None else table.take(mask)

        spec = grammar.learn_stream(text, tables, functions=functions, extra=beside.vectors)
        return cls(spec, beside, family, _encoder(spec.response, family), spec.design, missing)

    @property
    def layout(self) -> Layout:
        """The layout of the predictors."""
        return Layout((self.design,))

    def take(self, data: Any) -> Taken:
        """Rows of one frame, by what was learned."""
        table = read(data)
        extra = self.beside.vectors(table)
        mask = present(extra)
        if mask is not None:
            table, extra = table.take(mask), {name: v[mask] for name, v in extra.items()}
        built = self.spec.build(table, missing=self.missing, extra=extra, allow_empty=True)
        return self._taken(built)

    def _taken(self, built) -> Taken:
        extra = dict(built.extra or {})
        keep = built.keep
        positions = None if keep is None else np.flatnonzero(keep)
        draft = Taken(Rows(None, np.empty(0), np.empty(0)), built.index, positions)
        notes = _dropped(built)
        if built.response.kind == "counts":
            if self.beside.trials is not None:
                raise InputError("cbind(successes, failures) has its own trials; leave out trials=")
            if self.family.mean_range != "unit":
                raise InputError(
                    f"cbind(successes, failures) belongs to the binomial family, not to {self.family.name}"
                )
            y, extra["trials"] = response.from_counts(built.response.success, built.response.failure, draft.name_row)
        else:
            y = self.encoder.numbers(_column(built.response))
            if "trials" in extra:
                response.check_trials(y, extra["trials"], draft.name_row)
        notes += response.data_notes(y, extra.get("trials"), self.family)
        rows = assemble((built.x,), y, extra, built.offset, self.family)
        taken = Taken(rows, built.index, positions, notes, n_dropped=built.n_dropped)
        if built.response.kind == "counts" and not extra["trials"].all():
            # A row without trials says nothing; R gives it weight 0.
            tried = np.flatnonzero(extra["trials"])
            return taken.only(tried, f"{row_count(len(y) - len(tried))} without trials left out.")
        return taken

    def new(self, data: Any, offset: Any = None, exposure: Any = None, unseen: str = "raise") -> Taken:
        """Rows to predict for, all kept; those that cannot be predicted are marked bad."""
        table = read(data)
        built = self.spec.build(table, missing="keep", response=False, unseen=unseen, allow_empty=True)
        beside = new_offset(self.beside, offset, exposure, table, table.n_rows)
        whole = built.offset if beside is None else beside if built.offset is None else beside + built.offset
        bad = built.bad_rows if built.bad_rows is not None else np.zeros(table.n_rows, bool)
        if whole is not None:
            bad = bad | np.isnan(whole)
            whole = np.where(np.isnan(whole), 0.0, whole)
        rows = assemble((built.x,), np.zeros(table.n_rows), {}, whole, self.family)
        return Taken(rows, table.index, None, (), bad)

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that new data must have."""
        named = [v for v in (self.beside.offset, self.beside.exposure) if isinstance(v, str)]
        return tuple(dict.fromkeys([*self.spec.variables, *named]))

    def observed(self, fit: Any) -> Table | None:
        """The columns of the fitted rows, or None where they were not kept."""
        return self.table if fit.source is not None else None

    def mean_offset(self) -> dict[str, float]:
        """For pictures: the mean of an offset or exposure that was given as values."""
        return mean_offset(self.beside)


def _column(made: grammar.Response) -> Column:
    return Numeric(made.values) if made.factor is None else made.factor


def _encoder(learned: grammar.ResponseSpec, family: Family) -> response.Encoder:
    """How the response is read; its levels are those of all used rows, whichever of them a chunk holds."""
    if learned.kind == "counts":
        return response.Encoder(learned.name)
    levels = learned.levels or ()
    factor = Factor(np.empty(0, np.int32), levels, boolean=learned.boolean)
    column = factor if learned.kind == "factor" else Numeric(np.empty(0))
    return response.encoder(column, levels, learned.name, family)


def _dropped(built) -> tuple[str, ...]:
    if not built.n_dropped:
        return ()
    by = ", ".join(f"{name} ({count:,})" for name, count in built.dropped_by.items() if count)
    return (f"{row_count(built.n_dropped)} with missing values dropped: {by}.",)
