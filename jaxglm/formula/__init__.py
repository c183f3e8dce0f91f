"""Formulas: from text and a table to a split design, and back from a file."""

from jaxglm.formula.build import Built, Response, build
from jaxglm.formula.essence import Essence, essence_of, join
from jaxglm.formula.grammar import Expr, Parsed, Term, parse
from jaxglm.formula.learn import learn, learn_and_build
from jaxglm.formula.several import build_several, learn_several
from jaxglm.formula.spec import FactorSpec, FormulaSpec, OffsetSpec, ResponseSpec, TermColumns
from jaxglm.formula.stream import columns_read, known_without_data, learn_stream

__all__ = [
    "Built",
    "Essence",
    "Expr",
    "FactorSpec",
    "FormulaSpec",
    "OffsetSpec",
    "Parsed",
    "Response",
    "ResponseSpec",
    "Term",
    "TermColumns",
    "build",
    "build_several",
    "columns_read",
    "essence_of",
    "join",
    "known_without_data",
    "learn",
    "learn_and_build",
    "learn_several",
    "learn_stream",
    "parse",
]
