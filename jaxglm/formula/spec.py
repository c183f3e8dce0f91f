"""What a formula learned from the data: enough to make the same columns of other data.

Plain numbers, text and tuples only, so that it can be written as JSON and read
back without running anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.design import Split
from jaxglm.formula.contrasts import LevelCoding
from jaxglm.formula.grammar import Expr
from jaxglm.formula.plan import Part, make_design, make_plan
from jaxglm.formula.rank import Block
from jaxglm.frames import Table

if TYPE_CHECKING:
    from jaxglm.formula.build import Built

State = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class FactorSpec:
    """A factor of the terms: how it is evaluated, and what columns it gives.

    Attributes
    ----------
    expr : Expr
    variables : tuple of str
        Columns of the data that it needs.
    state : dict
        What each call in it learned, by position of the call.
    fields : tuple of str or None
        Numerical factors of several columns: what tells them apart; None for a single column.
    spans_intercept : bool
        Whether its columns add up to a constant.
    levels : tuple or None
        Categorical factors: the levels, in order; None for numerical ones.
    coding : LevelCoding or None
        Categorical factors: how levels become columns.
    """

    expr: Expr
    variables: tuple[str, ...]
    state: State = field(default_factory=dict)
    fields: tuple[str, ...] | None = None
    spans_intercept: bool = False
    levels: tuple[Any, ...] | None = None
    coding: LevelCoding | None = None

    @property
    def kind(self) -> str:
        """ "categorical" or "numerical"."""
        return "numerical" if self.levels is None else "categorical"

    def column_names(self, reduced: bool) -> list[str]:
        """Names of the columns in full or reduced form."""
        name = self.expr.name
        if self.coding is not None:
            return self.coding.names(name, self.levels, reduced)
        if self.fields is None:
            return [name]
        return [f"{name}[{f}]" for f in self.fields[int(reduced) :]]


@dataclass(frozen=True)
class TermSpec:
    """A term of the formula: its label, constant, factors by number, and the blocks of columns that it gives."""

    label: str
    scale: float
    factors: tuple[int, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class TermColumns:
    """A term with its place in the model matrix: its label, the positions of its columns, the variables it uses."""

    label: str
    columns: tuple[int, ...]
    variables: tuple[str, ...]


@dataclass(frozen=True)
class ResponseSpec:
    """The left side.

    ``kind`` is "numeric", "factor" (two or more labels; ``levels`` in order, ``boolean`` for truth values) or "counts"
    (``cbind(success, failure)``, then there are two expressions).
    """

    name: str
    kind: str
    exprs: tuple[Expr, ...]
    states: tuple[State, ...]
    variables: tuple[tuple[str, ...], ...]
    levels: tuple[Any, ...] | None = None
    boolean: bool = False


@dataclass(frozen=True)
class OffsetSpec:
    """An ``offset(...)`` term, evaluated again on new data."""

    expr: Expr
    variables: tuple[str, ...]
    state: State = field(default_factory=dict)


@dataclass(frozen=True)
class FormulaSpec:
    """A formula with all that it learned; see :func:`jaxglm.formula.learn`.

    Attributes
    ----------
    text : str
        The formula as written.
    response : ResponseSpec or None
    factors : tuple of FactorSpec
    structure : tuple of TermSpec
    offsets : tuple of OffsetSpec
    functions : mapping of str to callable
        The user's own functions; not written to files.

    Notes
    -----
    Two specs are equal when they make the same columns of the same data.
    """

    text: str
    response: ResponseSpec | None
    factors: tuple[FactorSpec, ...]
    structure: tuple[TermSpec, ...]
    offsets: tuple[OffsetSpec, ...] = ()
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def response_name(self) -> str | None:
        """The left side as written, None for a one-sided formula."""
        return None if self.response is None else self.response.name

    @property
    def offset_terms(self) -> tuple[str, ...]:
        """What stands inside each offset."""
        return tuple(o.expr.name for o in self.offsets)

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Columns that new data must have for a prediction."""
        used = [v for f in self.factors for v in f.variables] + [v for o in self.offsets for v in o.variables]
        return tuple(dict.fromkeys(used))

    @property
    def response_variables(self) -> tuple[str, ...]:
        """Columns that the left side needs."""
        return () if self.response is None else tuple(dict.fromkeys(v for vs in self.response.variables for v in vs))

    @property
    def has_intercept(self) -> bool:
        """Whether there is a constant column."""
        return any(not block for term in self.structure for block in term.blocks)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, in order."""
        return tuple(name for term in self.structure for block in term.blocks for name in self._block_names(block))

    def _block_names(self, block: Block) -> list[str]:
        names = ["Intercept"] if not block else self.factors[block[0][0]].column_names(block[0][1])
        for factor, reduced in block[1:]:
            more = self.factors[factor].column_names(reduced)
            names = [f"{a}:{b}" for b in more for a in names]
        return names

    @cached_property
    def terms(self) -> tuple[TermColumns, ...]:
        """Each term with the positions of its columns."""
        out, start = [], 0
        for term in self.structure:
            size = sum(block_width(self.factors, block) for block in term.blocks)
            used = dict.fromkeys(v for f in term.factors for v in self.factors[f].variables)
            out.append(TermColumns(term.label, tuple(range(start, start + size)), tuple(used)))
            start += size
        return tuple(out)

    @cached_property
    def plan(self) -> tuple[Part, ...]:
        """How the columns are stored."""
        return make_plan(self.factors, self.structure)

    @cached_property
    def design(self) -> Split:
        """The shared part of the model matrix, with NumPy leaves; the same for every piece of data."""
        return make_design(self.plan)

    def build(
        self,
        table: Table,
        *,
        missing: str = "drop",
        response: bool = True,
        unseen: str = "raise",
        extra: Mapping[str, np.ndarray] | None = None,
        rows: np.ndarray | None = None,
        allow_empty: bool = False,
        whole: bool = False,
    ) -> Built:
        """The rows of `table`; see :func:`jaxglm.formula.build.build`."""
        from jaxglm.formula.build import build

        return build(
            self,
            table,
            missing=missing,
            response=response,
            unseen=unseen,
            extra=extra,
            rows=rows,
            allow_empty=allow_empty,
            whole=whole,
        )

    def to_json(self) -> dict[str, Any]:
        """The spec in plain JSON types."""
        from jaxglm.formula.storage import to_json

        return to_json(self)

    @classmethod
    def from_json(
        cls, saved: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]] | None = None
    ) -> FormulaSpec:
        """A spec from what :meth:`to_json` gave; every part is checked before it is used."""
        from jaxglm.formula.storage import from_json

        return from_json(saved, functions)


def block_width(factors: tuple[FactorSpec, ...], block: Block) -> int:
    """Number of columns of a block."""
    size = 1
    for number, reduced in block:
        spec = factors[number]
        if spec.coding is None:
            size *= 1 if spec.fields is None else len(spec.fields) - int(reduced)
        else:
            size *= spec.coding.width(len(spec.levels), reduced)
    return size
