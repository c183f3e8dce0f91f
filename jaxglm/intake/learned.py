"""What a formula and a data frame taught, and what it says of the model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxglm import formula as grammar
from jaxglm.design import Constant, Design, Layout
from jaxglm.errors import DataError, FormulaError, NotAvailableError
from jaxglm.families import Family
from jaxglm.frames import Table
from jaxglm.frames.scan import Scan
from jaxglm.hosts import ALONE, Hosts
from jaxglm.intake import response
from jaxglm.intake.base import Given, ModelTerm, mean_offset, without_formula
from jaxglm.intake.beside import Beside
from jaxglm.intake.shared import sent_kinds
from jaxglm.precision import FLOAT64, Precision, quickly

#: What may stand before added terms: "~ . + z", "+ z".
_ADDED = re.compile(r"^\s*(~\s*)?(\.\s*(?=\+))?\+?\s*")


@dataclass(frozen=True)
class Learned:
    """Learned formulas with the columns beside them.

    Attributes
    ----------
    specs : tuple of FormulaSpec
        One for each predictor that has a formula, the mean's first; levels, knots and means learned once, replayed on
        new data. Other predictors are constants.
    named : bool
        Whether formulas were given by predictor, so that coefficients are labelled (predictor, term).
    beside : Beside
    family : Family
    encoder : response.Encoder
    designs : tuple of Design
        One for each spec, shared by every frame that it builds.
    missing : "drop" or "raise"
    table : Table or None
        The columns of the fitted rows, read only when they are asked for; None for a stream.
    stored : Layout or None
        How columns are kept where that is not as they are; see :mod:`jaxglm.intake.compact`.
    precision : Precision
    given : Given or None
        None for a stream.
    frames : Scan or None
        The pieces of a stream.
    """

    specs: tuple[Any, ...]
    named: bool
    beside: Beside
    family: Family
    encoder: response.Encoder
    designs: tuple[Design, ...]
    missing: str = "drop"
    table: Table | None = None
    stored: Layout | None = None
    precision: Precision = FLOAT64
    given: Given | None = None
    frames: Scan | None = None

    @property
    def spec(self) -> Any:
        """The formula of the mean."""
        return self.specs[0]

    @property
    def text(self) -> str:
        """The formulas, for tables."""
        if not self.named:
            return self.spec.text
        return "; ".join(f"{p}: {spec.text}" for p, spec in zip(self.family.predictors, self.specs, strict=True))

    @property
    def names(self) -> tuple[Any, ...]:
        if self.named:
            pairs = zip(self.family.predictors, self.specs, strict=True)
            return tuple((predictor, term) for predictor, spec in pairs for term in spec.names)
        return tuple(self.spec.names) + without_formula(self.family, len(self.specs))[0]

    @property
    def natural(self) -> np.ndarray:
        """Coefficients that are reported as their exponential, (P,) bool."""
        count = sum(len(spec.names) for spec in self.specs)
        return np.array([False] * count + list(without_formula(self.family, len(self.specs))[1]))

    @property
    def terms(self) -> tuple[ModelTerm, ...]:
        """The terms of all formulas but intercepts, in order."""
        found, start = [], 0
        for predictor, spec in zip(self.family.predictors, self.specs, strict=False):
            for term, placed in zip(spec.structure, spec.terms, strict=True):
                if not term.factors:
                    continue
                label = (predictor, term.label) if self.named else term.label
                members = frozenset((predictor, spec.factors[f].expr) for f in term.factors)
                found.append(ModelTerm(label, tuple(start + c for c in placed.columns), members))
            start += len(spec.names)
        return tuple(found)

    @property
    def numeric_places(self) -> dict[str, int]:
        """Positions of the mean's coefficients of plain numbers, by name of the column."""
        numeric = {}
        for term, made in zip(self.spec.terms, self.spec.structure, strict=True):
            factors = [self.spec.factors[i] for i in made.factors]
            if len(factors) == 1 and factors[0].levels is None and factors[0].fields is None:
                numeric[factors[0].expr.name] = term.columns[0]
        return numeric

    @property
    def has_intercept(self) -> bool:
        return self.spec.has_intercept

    @property
    def has_offset(self) -> bool:
        """Whether the model has any offset."""
        return (
            any(spec.offset_terms for spec in self.specs)
            or self.beside.offset is not None
            or self.beside.exposure is not None
        )

    @property
    def layout(self) -> Layout:
        """The layout of the predictors."""
        if self.stored is not None:
            return self.stored
        constants = len(self.family.predictors) - len(self.designs)
        return Layout(self.designs + (Constant(),) * constants)

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that new data must have."""
        named = [v for v in (self.beside.offset, self.beside.exposure) if isinstance(v, str)]
        return tuple(dict.fromkeys([v for spec in self.specs for v in spec.variables] + named))

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns whose effects the model has."""
        return tuple(dict.fromkeys(v for spec in self.specs for f in spec.factors for v in f.variables))

    def observed(self, fit: Any) -> Table | None:
        """The columns of the fitted rows, or None where they were not kept."""
        return self.table if fit.source is not None else None

    def added(self, text: str, hosts: Hosts = ALONE) -> tuple[np.ndarray, tuple[str, ...]]:
        """Columns (n, q) of further terms in the fitted rows, factors coded in full, and the label of each one's term.

        With several processes the rows are those of this one, and terms are learned from those of all.

        Raises
        ------
        FormulaError, DataError
            The terms cannot be read, or something is missing in a fitted row.
        NotAvailableError
            The data came in pieces.
        """
        return _added(self.table, self.spec, text, hosts)

    def mean_offset(self) -> dict[str, float]:
        """For pictures: the mean of an offset or exposure that was given as values."""
        return mean_offset(self.beside)


_columns = quickly(lambda design, x, m: design.columns(x, m), static_argnums=2)


def _added(table: Table | None, first: Any, text: str, hosts: Hosts) -> tuple[np.ndarray, tuple[str, ...]]:
    def essence() -> grammar.Essence | None:
        if table is None:
            raise NotAvailableError(
                "the columns of the data are not at hand where it comes in pieces; give the added columns as an array "
                "with one row a fitted row, or fit the longer formula"
            )
        if not terms or "~" in terms:
            raise FormulaError(f"added terms are written as 'z' or '+ z + C(g)', not as {text!r}")
        if hosts.size == 1:
            return None
        return grammar.essence_of(texts, [(table, {})], functions=first.functions, missing="drop", response=False)

    def columns() -> tuple[np.ndarray, tuple[str, ...]]:
        if hosts.size == 1:
            spec, built = grammar.learn_and_build(texts[0], table, functions=first.functions, response=False)
        else:
            built = spec_of_all.build(table, response=False, allow_empty=True)
            spec = spec_of_all
        if spec.offsets:
            raise FormulaError(f"{text!r} has an offset, which has no coefficient to test; leave it out")
        if built.keep is not None:
            lost = ", ".join(f"{name} ({count:,})" for name, count in built.dropped_by.items())
            raise DataError(
                f"values are missing in the fitted rows: {lost}. A test needs the same rows with and without the added "
                "columns; drop those rows and fit again"
            )
        labels = tuple(term.label for term in spec.terms for _ in term.columns)
        return np.asarray(_columns(built.design, built.x, built.n_rows)), labels

    terms = _ADDED.sub("", text)
    texts = [f"~ 0 + {terms}"]
    own = hosts.together("reading the added terms", essence)
    if hosts.size > 1:
        whole = grammar.join(hosts.gather_values(own, sent_kinds))
        (spec_of_all,) = whole.learn(texts, first.functions, response=False)
    return hosts.together("making the added columns", columns)
