"""Formulas: from text and a table to a split design, and back from a file."""

from typing import TYPE_CHECKING

from jaxglm import lazy
from jaxglm.formula.build import Built, Response, build
from jaxglm.formula.essence import Essence, essence_of, join
from jaxglm.formula.grammar import Expr, Parsed, Term, parse
from jaxglm.formula.learn import learn, learn_and_build
from jaxglm.formula.several import build_several, learn_several
from jaxglm.formula.spec import FactorSpec, FormulaSpec, OffsetSpec, ResponseSpec, TermColumns

if TYPE_CHECKING:
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

__getattr__ = lazy.attach(
    __name__, dict.fromkeys(("columns_read", "known_without_data", "learn_stream"), f"{__name__}.stream")
)
