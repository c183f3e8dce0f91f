"""Learn a spec from data: state, levels, codings, and which columns each term gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxglm.errors import DataError, FormulaError
from jaxglm.formula import syntax
from jaxglm.formula.build import Built, EvaluatedParts, assemble
from jaxglm.formula.contrasts import learn_coding, too_few_levels
from jaxglm.formula.evaluate import Evaluated, evaluate
from jaxglm.formula.grammar import Expr, Parsed, parse
from jaxglm.formula.library import FUNCTIONS
from jaxglm.formula.rank import blocks_of_terms
from jaxglm.formula.rows import Selection, select
from jaxglm.formula.spec import FactorSpec, FormulaSpec, OffsetSpec, ResponseSpec, TermSpec
from jaxglm.formula.values import Coded, Contrast, Matrix, as_factor, describe, numbers
from jaxglm.frames import Datetime, Factor, Table

Functions = Mapping[str, Callable[..., Any]]


def learns(expr: Expr, functions: Functions) -> bool:
    """Whether a function in an expression learns from values."""
    if expr.code is None:
        return False
    calls = syntax.read(expr.code, frozenset(functions)).calls
    names = (syntax.dotted(call.func) for call in calls)
    return any(FUNCTIONS[n].stateful for n in names if n in FUNCTIONS and n not in functions)


def learn(
    formula: str | Parsed,
    table: Table,
    *,
    functions: Functions | None = None,
    response: bool = True,
    missing: str = "drop",
    extra: Mapping[str, np.ndarray] | None = None,
    rows: np.ndarray | None = None,
) -> FormulaSpec:
    """Learn a formula from a table; see :func:`learn_and_build`, which gives the rows as well."""
    return _learn(formula, table, functions, response, missing, extra, rows)[0]


def learn_and_build(
    formula: str | Parsed,
    table: Table,
    *,
    functions: Functions | None = None,
    response: bool = True,
    missing: str = "drop",
    extra: Mapping[str, np.ndarray] | None = None,
    rows: np.ndarray | None = None,
) -> tuple[FormulaSpec, Built]:
    """Learn a formula from a table and make its rows; each expression is evaluated once.

    Parameters
    ----------
    formula : str or Parsed
    table : Table
    functions : mapping of str to callable, optional
        The user's own functions by name; they get NumPy arrays and give one value a row.
    response : bool
        Whether the left side is wanted; it has to be there then.
    missing : {"drop", "raise"}
        What to do with rows in which something is missing.
    extra, rows
        As in :func:`jaxglm.formula.build.build`.

    Returns
    -------
    spec : FormulaSpec
    built : Built

    Raises
    ------
    FormulaError
        The formula cannot be read or evaluated.
    DataError
        No rows are left, a factor has a single level, a value is infinite.

    Notes
    -----
    As in R, functions learn (means, knots, ranges) from all rows in which their own columns are there, levels come
    from the rows that are used. Cost O(n) for each expression; numeric columns are copied once, into the result.

    Examples
    --------
    >>> from jaxglm.frames import read
    >>> table = read({"y": [1.0, 2.0, 4.0], "x": [1.0, 0.0, 2.0], "f": list("aba")})
    >>> learn_and_build("y ~ x + f", table)[0].names
    ('Intercept', 'x', 'f[T.b]')
    """
    spec, parts, chosen = _learn(formula, table, functions, response, missing, extra, rows)
    choice = {"missing": missing, "lenient": False, "extra": extra, "rows": rows, "allow_empty": False}
    return spec, assemble(spec, table, parts, chosen=chosen, **choice)


def _learn(
    formula: str | Parsed,
    table: Table,
    functions: Functions | None,
    response: bool,
    missing: str,
    extra: Mapping[str, np.ndarray] | None,
    rows: np.ndarray | None,
) -> tuple[FormulaSpec, EvaluatedParts, Selection]:
    functions = dict(functions or {})
    parsed = read_formula(formula, table, functions, response)
    if table.n_rows == 0:
        raise DataError("the data has no rows.")

    def run(expr: Expr) -> Evaluated:
        return evaluate(expr, table, functions)

    parts = EvaluatedParts(
        tuple(map(run, factors_of(parsed))),
        tuple(map(run, parsed.offsets)),
        tuple(map(run, parsed.response)) if response else (),
    )
    chosen = select(table, parts.all, missing=missing, extra=extra, rows=rows)
    if chosen.n_kept == 0:
        raise chosen.nothing_left(table)
    factors = tuple(_factor(item, chosen) for item in parts.factors)
    side = _response(parsed, parts.response, chosen) if response else None
    offsets = tuple(map(offset_spec, parts.offsets))
    return make_spec(parsed, side, factors, offsets, functions), parts, chosen


def read_formula(formula: str | Parsed, table: Table, functions: Functions, response: bool) -> Parsed:
    """The parsed formula; the left side must be there if it is wanted."""
    parsed = formula if isinstance(formula, Parsed) else parse(formula, table.names, functions)
    if response and not parsed.response:
        reason = "nothing left of '~'" if "~" in parsed.text else "no '~'"
        raise FormulaError(f"the formula {parsed.text!r} has {reason}; write the response there, as in 'y ~ x + z'.")
    return parsed


def factors_of(parsed: Parsed) -> list[Expr]:
    """The distinct factors of all terms, in order of appearance."""
    return list(dict.fromkeys(f for term in parsed.terms for f in term.factors))


def make_spec(
    parsed: Parsed,
    response: ResponseSpec | None,
    factors: tuple[FactorSpec, ...],
    offsets: tuple[OffsetSpec, ...],
    functions: Functions,
) -> FormulaSpec:
    """Apply the rank rule and put the spec together."""
    place = {f.expr: i for i, f in enumerate(factors)}
    numbered = [tuple(place[e] for e in term.factors) for term in parsed.terms]
    blocks = blocks_of_terms(numbered, [f.spans_intercept for f in factors])
    structure = tuple(
        TermSpec(term.label, term.scale, numbers_, tuple(found))
        for term, numbers_, found in zip(parsed.terms, numbered, blocks, strict=True)
    )
    for term in structure:
        for block in term.blocks:
            for number, reduced in block:
                spec = factors[number]
                if spec.levels is not None and (len(spec.levels) < 1 + reduced):
                    raise too_few_levels(spec.expr.name, spec.levels)
    return FormulaSpec(parsed.text, response, factors, structure, offsets, functions)


def _factor(item: Evaluated, chosen: Selection) -> FactorSpec:
    value = item.value
    if isinstance(value, (Factor, Coded)):
        factor = as_factor(value, item.expr.name)
        fixed = isinstance(value, Coded) and value.fixed
        return categorical_spec(item, used_levels(factor, chosen, fixed))
    return numerical_spec(item)


def used_levels(factor: Factor, chosen: Selection, fixed: bool = False) -> tuple[Any, ...]:
    """The levels that some used row has; all of them where the user listed them."""
    if fixed:
        return factor.levels
    present = factor.present(chosen.where)
    return tuple(level for level, there in zip(factor.levels, present, strict=True) if there)


def categorical_spec(item: Evaluated, levels: Sequence[Any]) -> FactorSpec:
    """The spec of a factor with these levels."""
    contrast: Contrast | None = None
    spans = True
    if isinstance(item.value, Coded):
        contrast, spans = item.value.contrast, item.value.spans_intercept
    name = item.expr.name
    coding = learn_coding(contrast, levels, name)
    return FactorSpec(item.expr, item.variables, item.state, None, spans, tuple(levels), coding)


def numerical_spec(item: Evaluated) -> FactorSpec:
    """The spec of one or several columns of numbers."""
    value = item.value
    if isinstance(value, Datetime):
        numbers(value, f"the term {item.expr.name!r}")
    fields = value.fields if isinstance(value, Matrix) else None
    spans = isinstance(value, Matrix) and value.spans_intercept
    return FactorSpec(item.expr, item.variables, item.state, fields, spans)


def offset_spec(item: Evaluated) -> OffsetSpec:
    """The spec of an offset, which must be one column of numbers."""
    where = f"offset({item.expr.name})"
    if isinstance(item.value, Matrix):
        raise FormulaError(f"{where} must be one column of numbers, not {describe(item.value)}.")
    numbers(item.value, where)
    return OffsetSpec(item.expr, item.variables, item.state)


def _response(parsed: Parsed, items: Sequence[Evaluated], chosen: Selection) -> ResponseSpec:
    levels = None
    if len(items) == 1 and isinstance(items[0].value, (Factor, Coded)):
        levels = used_levels(as_factor(items[0].value, parsed.response_name), chosen)
    return response_spec(parsed, items, levels)


def response_spec(parsed: Parsed, items: Sequence[Evaluated], levels: Sequence[Any] | None) -> ResponseSpec:
    """The spec of the left side; `levels` those of a response of labels."""
    name = parsed.response_name
    kind, boolean = "counts", False
    if len(items) == 2:
        for item in items:
            numbers(item.value, f"the response {name!r}")
    elif isinstance(items[0].value, (Factor, Coded)):
        kind = "factor"
        boolean = bool(getattr(items[0].value, "boolean", False))
        levels = (False, True) if boolean else levels
    elif isinstance(items[0].value, Matrix):
        raise FormulaError(f"the response {name!r} must be one column, not {describe(items[0].value)}.")
    else:
        kind = "numeric"
        numbers(items[0].value, f"the response {name!r}")
    return ResponseSpec(
        name,
        kind,
        tuple(i.expr for i in items),
        tuple(i.state for i in items),
        tuple(i.variables for i in items),
        None if levels is None else tuple(levels),
        boolean,
    )
