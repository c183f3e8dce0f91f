"""Taking in a data frame through a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm import formula as grammar
from jaxglm.errors import InputError, InputTypeError, near, no_rows
from jaxglm.families import Family
from jaxglm.frames import Column, Factor, Numeric, Table, as_column, concat_columns, read
from jaxglm.frames.scan import Scan, naming
from jaxglm.hosts import ALONE, Hosts
from jaxglm.intake import response
from jaxglm.intake.base import (
    Given,
    Taken,
    assemble,
    codes_of,
    new_aux,
    new_offset,
)
from jaxglm.intake.beside import Beside, present
from jaxglm.intake.compact import encode
from jaxglm.intake.learned import Learned
from jaxglm.intake.pieces import Pieces
from jaxglm.intake.shared import Tally, own_scan, sent_kinds
from jaxglm.kernels import Rows
from jaxglm.lazy import parts
from jaxglm.precision import FLOAT64

if TYPE_CHECKING:
    from jaxglm.intake import replay
else:
    (replay,) = parts("jaxglm.intake", "replay")


@dataclass(frozen=True)
class FormulaIntake(Learned):
    """Takes in frames through learned formulas."""

    @classmethod
    def learn(
        cls, formula: Any, data: Any, family: Family, beside: Beside, missing: str, functions
    ) -> tuple[FormulaIntake, Taken]:
        """Read a frame and a formula; what is learned and the rows of the frame."""
        table = read(data)
        given = Given(table.n_rows, table.index)
        beside.check(family)
        extra = beside.vectors(table)
        mask = present(extra)
        weightless = 0
        if mask is not None:
            weightless = int((~mask).sum())
            table = table.take(mask)
            extra = {name: v[mask] for name, v in extra.items()}
        texts, named = formulas_of(formula, family)
        made = grammar.learn_several(texts, table, functions=functions, missing=missing, extra=extra)
        specs, builts = tuple(spec for spec, _ in made), [built for _, built in made]
        coded = _encoder(specs[0].response, family)
        intake = cls(specs, named, beside, family, coded, tuple(built.design for built in builts), missing)
        taken = intake._taken(builts)
        positions = taken.positions
        intake = replace(intake, table=table if positions is None else table.take(positions))
        if mask is not None:
            weighted = np.flatnonzero(mask)
            positions = weighted if positions is None else weighted[positions]
        intake = replace(intake, given=replace(given, positions=positions))
        tally = replace(taken.tally, weightless=weightless)
        return intake, replace(taken, positions=positions, notes=coded.notes + tally.notes)

    @classmethod
    def learn_stream(
        cls, formula: Any, scan: Scan, family: Family, beside: Beside, missing: str, functions
    ) -> tuple[FormulaIntake, Pieces]:
        """Read every piece once, if that is needed, and keep what is learned; columns beside must be named."""
        if values := beside.arrays_given():
            raise InputError(f"{values[0]}= must be a column name when the data comes in pieces, not an array")
        beside.check(family)
        texts, named = formulas_of(formula, family)
        reading = _read_alone(scan, texts, beside, functions)

        def tables() -> Iterator[Table]:
            # Rows without weight teach nothing: means of scale() and levels come from the others.
            nonlocal n_read
            for table in reading.tables():
                n_read += table.n_rows
                with naming(table.index):
                    mask = present(beside.vectors(table))
                yield table if mask is None else table.take(mask)

        learned = None
        if reading.n_rows and (example := reading.example()) is not None:
            learned = grammar.known_without_data(texts, read(example), functions=functions)
        n_rows = n_read = reading.n_rows or 0
        if learned is None:
            n_read = 0
            learned = grammar.learn_stream(texts, tables, functions=functions, missing=missing, extra=beside.vectors)
        specs = learned.specs
        coded = _encoder(specs[0].response, family)
        designs = tuple(spec.design for spec in specs)
        intake = cls(specs, named, beside, family, coded, designs, missing, frames=scan)
        return intake, Pieces(intake, learned.n_used or n_rows, n_read)

    @classmethod
    def learn_apart(
        cls, formula: Any, data: Any, family: Family, beside: Beside, missing: str, functions, hosts: Hosts
    ) -> tuple[FormulaIntake, Taken | Pieces]:
        """Learn from the frames, or streams, of several processes; what is learned, and the rows of this one."""
        texts, named = formulas_of(formula, family)
        beside.check(family)
        scan = own_scan(data, hosts)
        names = [value for value in beside.given.values() if isinstance(value, str)]
        n_read = 0

        def own() -> tuple[Table | None, grammar.Essence]:
            table = None if scan is not None else read(data)
            if scan is not None and (values := beside.arrays_given()):
                raise InputError(f"{values[0]}= must be a column name when the data comes in pieces, not an array")
            tables = [table] if scan is None else _read_alone(scan, texts, beside, functions).tables()
            return table, grammar.essence_of(texts, pieces(tables), functions=functions, missing=missing, beside=names)

        def pieces(tables: Iterable[Table]) -> Iterator[tuple[Table, dict[str, np.ndarray]]]:
            nonlocal n_read
            for one in tables:
                n_read += one.n_rows
                with naming(one.index) if scan is not None else nullcontext():
                    extra = beside.vectors(one)
                    mask = present(extra)
                    yield (one, extra) if mask is None else (one.take(mask), {k: v[mask] for k, v in extra.items()})

        (table, _), told = hosts.share("reading its data", own, lambda made: made[1], sent_kinds)
        whole = grammar.join(told)
        specs = whole.learn(texts, functions)
        coded = _encoder(specs[0].response, family)
        intake = cls(specs, named, beside, family, coded, tuple(s.design for s in specs), missing, frames=scan)
        if scan is not None:
            made = Pieces(intake, n_read, n_read)
            made.example = intake.take(whole.rows).rows
            return intake, made

        def rows() -> tuple[FormulaIntake, Taken]:
            taken = intake.take(table)
            at = taken.positions
            kept = replace(intake, table=table if at is None else table.take(at))
            return replace(kept, given=Given(table.n_rows, table.index, at)), taken

        (intake, taken), tallies = hosts.share("making its rows", rows, lambda made: made[1].tally, sent_kinds)
        return intake, replace(taken, notes=coded.notes + sum(tallies, Tally()).notes)

    def _rows(self, builts, y: np.ndarray, extra: dict[str, np.ndarray], mean_offset: np.ndarray | None):
        constants = len(self.family.predictors) - len(builts)
        x = tuple(built.x for built in builts) + ((),) * constants
        offsets = [mean_offset, *(built.offset for built in builts[1:]), *[None] * constants]
        return assemble(x, y, extra, offsets, self.family)

    def take(self, data: Any, whole: bool = False) -> Taken:
        """Rows of one frame, by what was learned; `whole` if these were taken before and none left out."""
        table = read(data)
        extra = self.beside.vectors(table)
        mask = present(extra)
        if mask is not None:
            table, extra = table.take(mask), {name: v[mask] for name, v in extra.items()}
        options = {"missing": self.missing, "extra": extra, "allow_empty": True, "whole": whole}
        taken = self.keep(self._taken(grammar.build_several(self.specs, table, **options), whole))
        if mask is None:
            return taken
        weighted = np.flatnonzero(mask)
        positions = weighted if taken.positions is None else weighted[taken.positions]
        return replace(taken, positions=positions, tally=replace(taken.tally, weightless=int((~mask).sum())))

    def tables(self, *more: str) -> Iterator[Table]:
        """The pieces of a stream: the columns that the model reads, and more by name."""
        return self._reading(*more).tables()

    def tables_apart(self, most: int) -> list[Callable[[], Iterator[Table]]]:
        """The same of at most so many streams that can be read at the same time, and have all pieces together."""
        return [scan.tables for scan in self._reading().apart(most)]

    def _reading(self, *more: str) -> Scan:
        scan = self.frames
        if scan.names is None:
            return scan
        used = {v for spec in self.specs for v in (*spec.variables, *spec.response_variables)}
        wanted = used | self.beside.columns(scan.names) | set(more)
        return scan.only([name for name in scan.names if name in wanted])

    def keep(self, taken: Taken) -> Taken:
        """Rows as :meth:`learn` gives them, in the form they are kept in."""
        return replace(taken, rows=encode(self.stored, taken.rows, self.precision))

    def of_rows(self, places: np.ndarray) -> FormulaIntake:
        """The intake of some of the fitted rows, by position; only of a frame in memory."""
        given = self.given
        positions = places if given.positions is None else given.positions[places]
        return replace(self, table=self.table.take(places), given=replace(given, positions=positions))

    def codes(self, value: Any, what: str, hosts: Hosts = ALONE) -> np.ndarray:
        """A whole number for each fitted row, in the order of the values: a column by name, or values for all rows.

        A stream is read once, for columns by name alone; 8 bytes a row are held until all are known.
        """
        named = isinstance(value, str)
        if self.frames is None and self.table is None:
            raise no_rows(f"{what} {value!r}" if named else what)
        if self.frames is not None and not named:
            raise InputError(f"{what} must be a column name when the data comes in pieces, not an array")

        def read_column() -> Column:
            if self.frames is None:
                return as_column(value, self.table, what) if named else self.given.column(value, what)
            parts = []
            for table in self.tables(value):
                with naming(table.index):
                    column, positions = as_column(value, table, what), self.take(table).positions
                parts.append(column if positions is None else column.take(positions))
            return concat_columns(parts, value) if parts else Factor(np.empty(0, np.int32), ())

        return codes_of(read_column, value, what, hosts)

    def _taken(self, builts, whole: bool = False) -> Taken:
        built = builts[0]
        extra = dict(built.extra or {})
        keep = built.keep
        positions = None if keep is None else np.flatnonzero(keep)
        draft = Taken(Rows(None, np.empty(0), np.empty(0)), built.index, positions)
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
        remarks = () if whole else response.data_notes(y, extra.get("trials"), self.family)
        tally = Tally(built.n_dropped, dict(built.dropped_by), remarks=remarks)
        taken = Taken(self._rows(builts, y, extra, built.offset), built.index, positions, tally=tally)
        if built.response.kind == "counts" and not extra["trials"].all():
            # A row without trials says nothing; R gives it weight 0.
            tried = np.flatnonzero(extra["trials"])
            return replace(taken.only(tried), tally=replace(tally, untried=len(y) - len(tried)))
        return taken

    def new(self, data: Any, offset: Any = None, exposure: Any = None, unseen: str = "raise") -> Taken:
        """Rows to predict for, all kept; those that cannot be predicted are marked bad."""
        table = read(data)
        builts = grammar.build_several(
            self.specs, table, missing="keep", response=False, unseen=unseen, allow_empty=True
        )
        built = builts[0]
        beside = new_offset(self.beside, offset, exposure, table, table.n_rows)
        whole = built.offset if beside is None else beside if built.offset is None else beside + built.offset
        bad = np.logical_or.reduce([b.bad_rows for b in builts if b.bad_rows is not None] or [False])
        bad = np.broadcast_to(bad, (table.n_rows,))
        if whole is not None:
            bad = bad | np.isnan(whole)
            whole = np.where(np.isnan(whole), 0.0, whole)
        rows = self._rows(builts, np.zeros(table.n_rows), new_aux(self.beside, self.family, table), whole)
        rows = encode(self.stored, rows, FLOAT64)
        return Taken(rows, table.index, None, (), bad)

    def variable(self, name: str, hosts: Hosts = ALONE) -> replay.Variable:
        """How a column enters the model."""
        return replay.variable_of(self, name, hosts)

    def pieces(self, fit: Any, *more: str) -> Iterator[tuple[Table, replay.Own]]:
        """The fitted rows piece by piece: their columns, with more by name, and what they have beside the design."""
        return (
            replay.pieces_of_frames(self, *more) if self.frames is not None else replay.pieces_of_table(self.table, fit)
        )

    def tangents(self, table: Table, name: str, spread: float, x: Any) -> tuple[tuple, np.ndarray | None]:
        """Rows whose alternating sum is the derivative of the design in a column, and that of the offset."""
        return replay.tangents_of(self, table, name, spread, x)


def _read_alone(scan: Scan, texts: Sequence[str], beside: Beside, functions: Any) -> Scan:
    """The scan with the columns that formulas read."""
    if scan.names is None:
        return scan
    return scan.only(grammar.columns_read(texts, scan.names, functions) | beside.columns(scan.names))


def formulas_of(formula: Any, family: Family) -> tuple[list[str], bool]:
    """The formulas in the order of the family's predictors, and whether they were given by predictor.

    Raises
    ------
    InputError, InputTypeError
        Not a string or a dict of strings with the family's predictors as keys.
    """
    if isinstance(formula, str):
        return [formula], False
    if not isinstance(formula, Mapping):
        raise InputTypeError(f"formula must be a string or a dict with one string a predictor, not {formula!r}")
    keys = ", ".join(repr(name) for name in family.predictors)
    unknown = [key for key in formula if key not in family.predictors]
    if unknown:
        raise InputError(
            f"the {family.name} family has the predictors {keys}, but a formula is given for {unknown[0]!r}."
            + (near(str(unknown[0]), family.predictors) if len(family.predictors) > 1 else "")
        )
    if family.predictors[0] not in formula:
        raise InputError(f"the formula of the predictor {family.predictors[0]!r} is missing, which has the response")
    texts = [formula.get(name, "~ 1") for name in family.predictors]
    for name, text in zip(family.predictors, texts, strict=True):
        if not isinstance(text, str):
            raise InputTypeError(f"the formula of {name!r} must be a string, not {text!r}")
    return texts, True


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
