"""A spec as JSON and back.

What comes from a file is not trusted: every value is checked for its type and
size and every expression goes through the closed walker before anything is built
or any data is touched. Nothing is learned again, so the columns stay the same
when a library changes its rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from jaxglm.errors import FormulaError
from jaxglm.formula import syntax
from jaxglm.formula.contrasts import LevelCoding
from jaxglm.formula.grammar import Expr
from jaxglm.formula.rank import Block
from jaxglm.formula.spec import FactorSpec, FormulaSpec, OffsetSpec, ResponseSpec, TermSpec

FORMAT = 1


def to_json(spec: FormulaSpec) -> dict[str, Any]:
    """The spec in plain JSON types: dicts, lists, text, finite numbers, booleans and None."""
    side = spec.response
    return {
        "format": FORMAT,
        "text": spec.text,
        "functions": sorted(set(spec.functions) & _called(spec)),
        "response": None
        if side is None
        else {
            "name": side.name,
            "kind": side.kind,
            "exprs": [_expr_out(e) for e in side.exprs],
            "states": list(side.states),
            "variables": [list(v) for v in side.variables],
            "levels": None if side.levels is None else list(side.levels),
            "boolean": side.boolean,
        },
        "factors": [_factor_out(f) for f in spec.factors],
        "terms": [
            {
                "label": t.label,
                "scale": t.scale,
                "factors": list(t.factors),
                "blocks": [[[number, reduced] for number, reduced in block] for block in t.blocks],
            }
            for t in spec.structure
        ],
        "offsets": [
            {"expr": _expr_out(o.expr), "variables": list(o.variables), "state": o.state} for o in spec.offsets
        ],
    }


def _called(spec: FormulaSpec) -> set[str]:
    """Names of the user's functions that some expression calls."""
    exprs = [item.expr for item in (*spec.factors, *spec.offsets)] + list(spec.response.exprs if spec.response else ())
    user = frozenset(spec.functions)
    return {name for expr in exprs if expr.code is not None for name in syntax.read(expr.code, user).user}


def _expr_out(expr: Expr) -> dict[str, Any]:
    return {"name": expr.name, "code": expr.code}


def _factor_out(factor: FactorSpec) -> dict[str, Any]:
    coding = factor.coding
    return {
        "expr": _expr_out(factor.expr),
        "variables": list(factor.variables),
        "state": factor.state,
        "fields": None if factor.fields is None else list(factor.fields),
        "spans_intercept": factor.spans_intercept,
        "levels": None if factor.levels is None else list(factor.levels),
        "coding": None
        if coding is None
        else {
            "base": coding.base,
            "table": None if coding.table is None else [list(row) for row in coding.table],
            "fields": list(coding.fields),
            "form": coding.form,
            "custom": coding.custom,
        },
    }


def from_json(saved: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]] | None = None) -> FormulaSpec:
    """A spec from its JSON form.

    Parameters
    ----------
    saved : mapping
        What :func:`to_json` gave, perhaps by way of a file.
    functions : mapping of str to callable, optional
        The user's own functions, which files do not hold.

    Raises
    ------
    FormulaError
        A part is missing or has the wrong type, an expression is not allowed, or a function was not passed.
    """
    functions = dict(functions or {})
    reader = _Reader(frozenset(functions))
    if _get(saved, "format", int) != FORMAT:
        raise FormulaError(f"the saved formula has format {saved['format']!r}; this version of jaxglm reads {FORMAT}.")
    wanted = [n for n in _get(saved, "functions", list) if n not in functions]
    if wanted:
        raise FormulaError(
            f"the saved formula calls your function {wanted[0]!r}, which files do not hold; "
            f"pass it again, functions={{{wanted[0]!r}: ...}}."
        )
    factors = tuple(reader.factor(f) for f in _get(saved, "factors", list))
    structure = tuple(reader.term(t, factors) for t in _get(saved, "terms", list))
    offsets = tuple(reader.offset(o) for o in _get(saved, "offsets", list))
    side = saved.get("response")
    response = None if side is None else reader.response(side)
    return FormulaSpec(_get(saved, "text", str), response, factors, structure, offsets, functions)


def _damaged(what: str) -> FormulaError:
    return FormulaError(f"the saved formula is damaged: {what}; save the model again.")


def _get(saved: Any, key: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(saved, Mapping) or key not in saved:
        raise _damaged(f"{key!r} is missing")
    value = saved[key]
    flag_as_number = isinstance(value, bool) and kind in (int, (int, float))
    if not isinstance(value, kind) or flag_as_number:
        raise _damaged(f"{key!r} is {type(value).__name__}")
    return value


def _texts(values: Any, what: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise _damaged(f"{what} is not a list of text")
    return tuple(values)


def _levels(values: Any) -> tuple[Any, ...] | None:
    if values is None:
        return None
    good = isinstance(values, list) and all(isinstance(v, (str, bool, int, float)) for v in values)
    if not good or len(set(values)) != len(values):
        raise _damaged("the levels of a factor are not plain or not distinct")
    return tuple(values)


def _state(value: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
        raise _damaged("the state of a factor is not a dict of dicts")
    for call in value.values():
        for key, item in call.items():
            if not isinstance(key, str) or not _plain(item, 3):
                raise _damaged(f"the learned value {key!r} is not plain")
    return value


def _plain(value: Any, depth: int) -> bool:
    if value is None or isinstance(value, (str, bool, int)):
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, list) and depth > 0 and all(_plain(v, depth - 1) for v in value)


class _Reader:
    """Reads the parts of a saved spec, with the names of the functions that were passed."""

    def __init__(self, user: frozenset[str]):
        self.user = user

    def expr(self, saved: Any, variables: tuple[str, ...]) -> Expr:
        expr = Expr(_get(saved, "name", str), _get(saved, "code", (str, type(None))))
        if expr.code is None:
            if variables != (expr.name,):
                raise _damaged(f"the column {expr.name!r} lists other variables")
        else:
            tree = syntax.read(expr.code, self.user)
            syntax.check_known(tree, set(variables), variables)
        return expr

    def factor(self, saved: Any) -> FactorSpec:
        variables = _texts(_get(saved, "variables", list), "variables")
        fields, levels, coding = saved.get("fields"), _levels(saved.get("levels")), saved.get("coding")
        if (levels is None) != (coding is None):
            raise _damaged("a factor has levels without a coding, or the reverse")
        return FactorSpec(
            self.expr(_get(saved, "expr", dict), variables),
            variables,
            _state(_get(saved, "state", dict)),
            None if fields is None else _texts(fields, "fields"),
            _get(saved, "spans_intercept", bool),
            levels,
            None if coding is None else self.coding(coding, len(levels)),
        )

    def coding(self, saved: Any, n_levels: int) -> LevelCoding:
        fields = _texts(_get(saved, "fields", list), "fields")
        base, table = saved.get("base"), saved.get("table")
        form = _get(saved, "form", str)
        # A format string can reach attributes: only the plain fields are let through.
        if form.replace("{name}", "").replace("{field}", "").strip("[].TSHD"):
            raise _damaged(f"the name pattern {form!r} is not one of ours")
        if (base is None) == (table is None):
            raise _damaged("a coding needs a base or a table")
        if table is None:
            if not isinstance(base, int) or isinstance(base, bool) or not 0 <= base < max(n_levels, 1):
                raise _damaged("the base of a coding is no level")
        else:
            good = isinstance(table, list) and len(table) == n_levels and _plain(table, 2)
            if not good or any(not isinstance(row, list) or len(row) != len(fields) for row in table):
                raise _damaged("the table of a coding has the wrong shape")
            table = tuple(tuple(float(v) for v in row) for row in table)
        return LevelCoding(base, table, fields, form, _get(saved, "custom", bool))

    def term(self, saved: Any, factors: tuple[FactorSpec, ...]) -> TermSpec:
        numbers = tuple(self.number(n, factors) for n in _get(saved, "factors", list))
        blocks = tuple(self.block(b, factors) for b in _get(saved, "blocks", list))
        return TermSpec(_get(saved, "label", str), float(_get(saved, "scale", (int, float))), numbers, blocks)

    def number(self, value: Any, factors: tuple[FactorSpec, ...]) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(factors):
            raise _damaged("a term points to a factor that is not there")
        return value

    def block(self, saved: Any, factors: tuple[FactorSpec, ...]) -> Block:
        if not isinstance(saved, list) or not all(isinstance(s, list) and len(s) == 2 for s in saved):
            raise _damaged("a block of columns is not a list of pairs")
        if not all(isinstance(reduced, bool) for _, reduced in saved):
            raise _damaged("a block of columns does not say what is reduced")
        return tuple((self.number(number, factors), reduced) for number, reduced in saved)

    def offset(self, saved: Any) -> OffsetSpec:
        variables = _texts(_get(saved, "variables", list), "variables")
        return OffsetSpec(
            self.expr(_get(saved, "expr", dict), variables), variables, _state(_get(saved, "state", dict))
        )

    def response(self, saved: Any) -> ResponseSpec:
        kind = _get(saved, "kind", str)
        exprs, states, used = (_get(saved, k, list) for k in ("exprs", "states", "variables"))
        count = {"numeric": 1, "factor": 1, "counts": 2}.get(kind)
        if count is None or not len(exprs) == len(states) == len(used) == count:
            raise _damaged("the response is not complete")
        variables = tuple(_texts(v, "variables") for v in used)
        levels = _levels(saved.get("levels"))
        if (kind == "factor") != (levels is not None):
            raise _damaged("the response has levels but is not a factor, or the reverse")
        return ResponseSpec(
            _get(saved, "name", str),
            kind,
            tuple(self.expr(e, v) for e, v in zip(exprs, variables, strict=True)),
            tuple(map(_state, states)),
            variables,
            levels,
            _get(saved, "boolean", bool),
        )
