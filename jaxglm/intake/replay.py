"""The fitted rows once more, with some columns at other values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from jaxglm import kernels
from jaxglm.errors import InputError, InputTypeError, UnseenLevelError, near
from jaxglm.formula.slopes import constant_slopes, tangents
from jaxglm.frames import Column, Factor, Numeric, Table
from jaxglm.frames.scan import naming
from jaxglm.frames.table import LazyColumns
from jaxglm.hosts import Hosts
from jaxglm.intake.beside import Beside, present
from jaxglm.intake.shared import sent, sent_kinds, shared_column
from jaxglm.kernels import Rows


@dataclass(frozen=True)
class Variable:
    """How a column enters a model.

    Attributes
    ----------
    name : str
    levels : tuple or None
        Of a factor, as the model has them; None for numbers.
    base : int
        Position of the level that others are compared with.
    constant : dict from position to float, or None
        Derivative of each column of the model in this one, where it is the same in every row.
    spread : float
        Typical size of differences between its values.
    stepped : bool
        Whether numbers enter through a factor, so that there is no derivative.
    """

    name: str
    levels: tuple[Any, ...] | None = None
    base: int = 0
    constant: Mapping[int, float] | None = None
    spread: float = 1.0
    stepped: bool = False


@dataclass(frozen=True)
class Own:
    """What fitted rows have besides their columns.

    Attributes
    ----------
    freq, prior : weights, as :class:`jaxglm.kernels.Rows` has them
    offset : (m, K) all offsets, or None
    aux : dict of (m,)
    """

    freq: np.ndarray
    prior: np.ndarray | None
    offset: np.ndarray | None
    aux: dict[str, np.ndarray]


@dataclass(frozen=True)
class Piece:
    """Some fitted rows that can be put into other settings.

    Attributes
    ----------
    intake : what makes rows of columns; without what was given as values
    table : Table
    weight : (m,) weight of each row in averages
    own : Own
    fixed : (m, K) or None
        The part of the offset that no column makes.
    """

    intake: Any
    table: Table
    weight: np.ndarray
    own: Own
    fixed: np.ndarray | None

    def rows(self, table: Table, changed: frozenset[str]) -> Rows:
        """Rows of columns some of which were changed; ``freq`` is the weight in averages."""
        made = self.intake.new(table).rows
        parts = [part for part in (made.offset, self.fixed) if part is not None]
        named = self.intake.beside.aux
        anew = {name: values for name, values in made.aux.items() if named.get(name, name) in changed}
        offset = sum(parts[1:], parts[0]) if parts else None
        return made._replace(freq=self.weight, prior=None, offset=offset, aux={**self.own.aux, **anew})


def pieces(intake: Any, fit: Any, *more: str) -> Iterator[Piece]:
    """All fitted rows of this process, a piece at a time, with more columns by name.

    Rows weigh by freq_weights and prob_weights, not by var_weights.
    """
    beside = intake.beside
    kept = {name: v if isinstance(v := getattr(beside, name), str) else None for name in ("offset", "exposure")}
    again = replace(intake, beside=Beside(**kept, aux={k: v for k, v in beside.aux.items() if isinstance(v, str)}))
    for table, own in intake.pieces(fit, *more):
        made = again.new(table).rows.offset
        fixed = own.offset if made is None else own.offset - made
        weight = own.freq if beside.prob_weights is None else own.freq * own.prior
        yield Piece(again, table, np.asarray(weight, float), own, fixed)


def pieces_of_table(table: Table, fit: Any) -> Iterator[tuple[Table, Own]]:
    """Columns in memory beside the rows of a source, which are in the same order."""
    start = 0
    for found in fit.rows.own.iterate(kernels.Alongside(), fit.model, None):
        stop = start + len(found["freq"])
        index = None if table.index is None else table.index[start:stop]
        makers = {name: partial(_cut, table, name, start, stop) for name in table.columns}
        yield Table(LazyColumns(makers), stop - start, index), Own(**found)
        start = stop


def _cut(table: Table, name: str, start: int, stop: int) -> Column:
    return table[name].take(slice(start, stop))


def pieces_of_frames(intake: Any, *more: str) -> Iterator[tuple[Table, Own]]:
    """The frames of a stream, without the rows that the fit left out."""
    for table in intake.tables(*more):
        with naming(table.index):
            mask = present(intake.beside.vectors(table))
            table = table if mask is None else table.take(mask)
            taken = intake.take(table)
        if len(taken.rows.y):
            rows = taken.rows
            kept = table if taken.positions is None else table.take(taken.positions)
            yield kept, Own(rows.freq, rows.prior, rows.offset, rows.aux)


def pieces_of_matrix(names: tuple[str, ...], first: int, fit: Any) -> Iterator[tuple[Table, Own]]:
    """Columns of a matrix, the model's own from position `first` on."""
    own = fit.rows.own
    both = [own.iterate(kernel, fit.model, None) for kernel in (kernels.Columns(), kernels.Alongside())]
    for columns, found in zip(*both, strict=True):
        named = {name: Numeric(columns[:, first + j]) for j, name in enumerate(names)}
        yield Table.of(named, len(columns)), Own(**found)


def first_column(intake: Any, name: str) -> Column:
    """A column by which its kind is known: of all rows in memory, or of the first frame of a stream."""
    table = intake.table if intake.frames is None else next(iter(intake.tables()), None)
    return Factor(np.empty(0, np.int32), ()) if table is None else table[name]


def variable_of(intake: Any, name: str, hosts: Hosts) -> Variable:
    """How a column enters the formulas; all processes must ask for it."""
    own, told = hosts.share(f"looking at column {name!r}", lambda: first_column(intake, name), sent, sent_kinds)
    column, specs = shared_column(own, told), intake.specs
    using = [f for spec in specs for f in spec.factors if name in f.variables]
    coded = [f for f in using if f.levels is not None]
    if isinstance(column, Numeric):
        plain = [f for f in coded if f.expr.code is None or _argument(f.expr.code) in (name, f"`{name}`")]
        if not plain:
            values = own.values if isinstance(own, Numeric) else np.empty(0)
            spread = float(np.nanstd(values)) if len(values) else 0.0
            sizes = hosts.gather(np.array([spread, np.nanmax(np.abs(values), initial=0.0)])).max(axis=0)
            spread = float(sizes[0]) or float(sizes[1]) or 1.0
            return Variable(name, None, 0, _constant(intake, name), spread, bool(coded))
    else:
        known = set(column.factor.levels)
        plain = [f for f in coded if f.variables == (name,) and set(f.levels) <= known]
        if not plain:
            levels = column.factor.levels
            used = column.factor.present()
            return Variable(name, tuple(v for v, there in zip(levels, used, strict=True) if there))
    return Variable(name, plain[0].levels, plain[0].coding.base or 0)


def _argument(code: str) -> str:
    """The first argument of C() or factor()."""
    name, _, rest = code.partition("(")
    return rest.rpartition(")")[0].split(",")[0].strip() if name in ("C", "factor") else ""


def _constant(intake: Any, name: str) -> dict[int, float] | None:
    if any(isinstance(v, str) and v == name for v in (intake.beside.offset, intake.beside.exposure)):
        return None
    found, start = {}, 0
    for spec in intake.specs:
        part = constant_slopes(spec, name)
        if part is None:
            return None
        found |= {start + place: slope for place, slope in part.items()}
        start += len(spec.names)
    return found


def tangents_of(intake: Any, table: Table, name: str, spread: float, x: tuple) -> tuple[tuple, np.ndarray | None]:
    """Derivative of all designs and offsets of formulas; `x` are the rows of the table themselves."""
    made = [tangents(spec, table, name, spread) for spec in intake.specs]
    pairs = []
    for i in range(max(len(m.x) for m in made)):
        # Where a formula has nothing to add, its rows stand on both sides and cancel.
        own = tuple(_kept(intake, k, m.x[i]) if i < len(m.x) else x[k] for k, m in enumerate(made))
        pairs.append(own + x[len(made) :])
    offset = np.zeros((table.n_rows, len(x)))
    for k, m in enumerate(made):
        offset[:, k] += 0.0 if m.offset is None else m.offset
    if intake.beside.offset == name:
        offset[:, 0] += 1.0
    if intake.beside.exposure == name:
        offset[:, 0] += 1.0 / table[name].values
    return tuple(pairs), offset if offset.any() else None


def _kept(intake: Any, predictor: int, x: Any) -> Any:
    """Rows of one design in the form that the model keeps."""
    return x if intake.stored is None else intake.stored.designs[predictor].encode(x, np.float64)


def with_values(table: Table, columns: Mapping[str, Column]) -> Table:
    """The table with some columns replaced."""
    makers: dict[str, Callable[[], Column]] = {name: partial(_same, table, name) for name in table.columns}
    makers |= {name: partial(_given, column) for name, column in columns.items()}
    return Table(LazyColumns(makers), table.n_rows, table.index)


def _same(table: Table, name: str) -> Column:
    return table[name]


def _given(column: Column) -> Column:
    return column


def held(table: Table, values: Mapping[str, Any], known: Mapping[str, tuple]) -> Table:
    """The table with some columns at one value.

    `known` has by name the levels that other pieces of a column may have.

    Raises
    ------
    InputTypeError
        A number is wanted, and it is none.
    UnseenLevelError
        The column has no such level.
    """
    return with_values(
        table, {name: _constant_column(table, name, value, known.get(name, ())) for name, value in values.items()}
    )


def _constant_column(table: Table, name: str, value: Any, known: tuple) -> Column:
    column, n = table[name], table.n_rows
    if isinstance(column, Numeric):
        try:
            return Numeric(np.full(n, float(value)), column.integer and float(value).is_integer())
        except (TypeError, ValueError):
            raise InputTypeError(f"column {name!r} holds numbers, so it cannot be held at {value!r}") from None
    factor = column.factor
    value = value.item() if isinstance(value, np.generic) else value
    levels = (*factor.levels, *(level for level in known if level not in set(factor.levels)))
    if value not in levels:
        raise UnseenLevelError(f"column {name!r} has no level {value!r}.{near(str(value), map(str, levels))}")
    return Factor(np.full(n, levels.index(value), np.int32), levels, factor.ordered, factor.boolean)


def shifted(table: Table, name: str, step: float) -> Table:
    """The table with a column of numbers moved by a step."""
    column = table[name]
    if not isinstance(column, Numeric):
        raise InputError(f"column {name!r} holds no numbers that could be moved by {step:g}")
    return with_values(table, {name: Numeric(column.values + step, column.integer and float(step).is_integer())})
