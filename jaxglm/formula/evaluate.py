"""Evaluation of one factor expression over a table, by a walk over its checked tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxglm.errors import DataError, FormulaError, JaxglmError
from jaxglm.formula import syntax
from jaxglm.formula.functions import Call, wrap
from jaxglm.formula.grammar import Expr
from jaxglm.formula.library import CONSTANTS, FUNCTIONS
from jaxglm.formula.values import (
    Coded,
    Matrix,
    Value,
    as_factor,
    describe,
    logical,
    missing_rows,
    numbers,
    rows_of,
    truth,
    whole,
)
from jaxglm.frames import Datetime, Factor, Numeric, Table, row_name
from jaxglm.frames.read import to_column

Functions = Mapping[str, Callable[..., Any]]
State = dict[str, dict[str, Any]]

_ARITHMETIC = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARE = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
#: Functions that may turn a value that is there into a missing one, as in R.
_MAY_LOSE = {"cut", "bs", "cr", "cs", "cc", "ifelse", "np.where"}


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What an expression is worth on a table.

    ``missing`` masks the rows without a value, ``invalid`` those where it is infinite or not a number although
    everything it is made of is there; None stands for no such row. ``variables`` are the columns used.
    """

    expr: Expr
    value: Value
    state: State
    variables: tuple[str, ...]
    missing: np.ndarray | None
    invalid: np.ndarray | None


def evaluate(
    expr: Expr,
    table: Table,
    functions: Functions | None = None,
    *,
    state: State | None = None,
    variables: tuple[str, ...] | None = None,
    lenient: bool = False,
    whole: bool = False,
) -> Evaluated:
    """Evaluate a factor.

    Parameters
    ----------
    expr : Expr
    table : Table
    functions : mapping of str to callable, optional
        The user's own functions.
    state : dict, optional
        What the calls learned at the fit; without it they learn now.
    variables : tuple of str, optional
        Which names are columns, where that was settled before.
    lenient : bool
        Whether values outside of what was learned give nan instead of an error.
    whole : bool
        Whether it is known that no value is missing or invalid, so that none is looked at.

    Raises
    ------
    FormulaError, DataError
        With the expression and the row.
    """
    if expr.code is None:
        value, learned, used, tree = table[expr.name], {}, (expr.name,), None
    else:
        tree = syntax.read(expr.code, frozenset(functions or ()))
        used = tuple(n for n in tree.names if n in table.columns) if variables is None else variables
        walk = _Walk(tree, table, functions or {}, used, state, lenient)
        with np.errstate(all="ignore"):
            value = walk.value(tree.root)
        learned = walk.learned
    rows = rows_of(value)
    if rows != table.n_rows:
        found = describe(value) if rows is None else f"{rows} rows"
        raise FormulaError(f"{expr.name!r} must give one value for each of the {table.n_rows} rows but gives {found}.")
    missing, invalid = (None, None) if whole else _gaps(value, table, used, tree, lenient)
    return Evaluated(expr, value, learned, used, missing, invalid)


def _gaps(
    value: Value, table: Table, used: tuple[str, ...], tree: syntax.Tree | None, lenient: bool
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if isinstance(value, (Factor, Coded, Datetime)):
        factor = value.factor if isinstance(value, Coded) else value
        if isinstance(factor, Factor) and factor.complete:
            return None, None
        missing = missing_rows(value)
        return (missing, None) if missing.any() else (None, None)
    if isinstance(value, Numeric) and value.source.dtype.kind in "iu":
        return None, None
    values = value.values
    if _surely_finite(values):
        return None, None
    missing = missing_rows(value)
    infinite = np.isinf(values)
    invalid = infinite if infinite.ndim == 1 else infinite.any(axis=1)
    if tree is not None and (lenient or not _may_lose(tree)):
        source = np.zeros(table.n_rows, dtype=bool)
        for name in used:
            source |= table[name].missing
        invalid = invalid | (missing & ~source)
        missing = missing & source
    return (missing if missing.any() else None), (invalid if invalid.any() else None)


def _surely_finite(values: np.ndarray) -> bool:
    """Whether the sum of the values is finite, as it is of finite ones only; quicker than to look at each."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(values, axis=None)))


def _may_lose(tree: syntax.Tree) -> bool:
    """Whether the expression may turn values that are there into missing ones."""
    return bool(tree.user) or not _MAY_LOSE.isdisjoint(syntax.dotted(call.func) for call in tree.calls)


def invalid_error(item: Evaluated, row: int, table: Table) -> DataError:
    """The error for an infinite or undefined value in a row that is used."""
    values = item.value.values
    shown = values[row] if values.ndim == 1 else values[row][~np.isfinite(values[row])][0]
    what = "not a number" if np.isnan(shown) else f"{shown}"
    inputs = [] if item.expr.code is None else [f"{n} = {_cell(table, n, row)}" for n in item.variables]
    behind = f" ({', '.join(inputs)})" if inputs else ""
    return DataError(
        f"{item.expr.name!r} is {what} in {row_name(row, table.index)}{behind}; "
        "drop or correct such rows, or change the expression (log1p(x) for log(x) with zeros, for example)."
    )


def _cell(table: Table, name: str, row: int) -> str:
    column = table[name]
    if isinstance(column, Numeric):
        return f"{column.values[row]:.10g}"
    if isinstance(column, Factor):
        return repr(column.levels[column.codes[row]]) if column.codes[row] >= 0 else "missing"
    return str(column.source[row])


class _Walk:
    """One evaluation of one tree."""

    def __init__(
        self,
        tree: syntax.Tree,
        table: Table,
        functions: Functions,
        columns: tuple[str, ...],
        state: State | None,
        lenient: bool,
    ):
        self.tree = tree
        self.table = table
        self.functions = functions
        self.columns = frozenset(columns)
        self.state = state
        self.learned: State = {} if state is None else state
        self.lenient = lenient

    def value(self, node: ast.expr) -> Value:
        return getattr(self, type(node).__name__)(node)

    def Name(self, node: ast.Name | ast.Attribute) -> Value:
        return self.named(self.tree.name_of(node))

    Attribute = Name

    def named(self, name: str) -> Value:
        if name in self.columns or name not in CONSTANTS:
            return self.table[name]
        return CONSTANTS[name]

    def Constant(self, node: ast.Constant) -> Value:
        return node.value

    def List(self, node: ast.List | ast.Tuple) -> Value:
        items = [self.value(v) for v in node.elts]
        if any(rows_of(v) is not None for v in items):
            raise FormulaError(f"{self.tree.code!r}: a list holds constants, not columns.")
        return items

    Tuple = List

    def Dict(self, node: ast.Dict) -> Value:
        return {self.value(k): self.value(v) for k, v in zip(node.keys, node.values, strict=True)}

    def BinOp(self, node: ast.BinOp) -> Value:
        parts = syntax.chain(node)
        out = self.value(parts[0][1])
        for operator, operand in parts[1:]:
            out = self.binary(operator, out, self.value(operand))
        return out

    def binary(self, operator: ast.operator, left: Value, right: Value) -> Value:
        code = self.tree.code
        if isinstance(operator, (ast.BitAnd, ast.BitOr)):
            a, b = truth(left, code), truth(right, code)
            # Kleene's logic, as in R: what is certain in spite of a missing part is not missing.
            if isinstance(operator, ast.BitAnd):
                return logical(np.where((a == 0) | (b == 0), 0, np.minimum(a, b)))
            return logical(np.where((a == 1) | (b == 1), 1, np.minimum(a, b)))
        out = _ARITHMETIC[type(operator)](numbers(left, code), numbers(right, code))
        stays = whole(left) and whole(right) and not isinstance(operator, ast.Div)
        if isinstance(operator, ast.Pow):
            stays = stays and isinstance(right, int) and right >= 0
        return wrap(out, stays)

    def UnaryOp(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if isinstance(node.op, (ast.Not, ast.Invert)):
            codes = truth(value, self.tree.code)
            return logical(np.where(codes < 0, -1, 1 - codes))
        if isinstance(value, int) and not isinstance(value, bool):
            return -value if isinstance(node.op, ast.USub) else value
        out = numbers(value, self.tree.code)
        return wrap(-out if isinstance(node.op, ast.USub) else out, whole(value))

    def Compare(self, node: ast.Compare) -> Value:
        left, right, operator = self.value(node.left), self.value(node.comparators[0]), node.ops[0]
        if isinstance(operator, (ast.In, ast.NotIn)):
            return self.membership(left, right, isinstance(operator, ast.NotIn))
        if isinstance(left, str):
            left, right = right, left
        if isinstance(left, Numeric) and left.empty and isinstance(right, str):
            # A piece of a stream in which a text column has no value looks like numbers.
            return logical(np.full(left.n_rows, -1))
        if isinstance(left, (Factor, Coded)) and not getattr(left, "boolean", False):
            if not isinstance(operator, (ast.Eq, ast.NotEq)):
                raise FormulaError(f"{self.tree.code!r}: the levels of a factor are compared with == or != only.")
            if isinstance(right, (str, bool, int, float)):
                return self.membership(left, [right], isinstance(operator, ast.NotEq))
            other = as_factor(right, self.tree.code)
            mine, theirs = as_factor(left, "").codes, other.recode(as_factor(left, "").levels)
            same = (mine == theirs) == isinstance(operator, ast.Eq)
            return logical(np.where((mine == -1) | (theirs == -1), -1, same))
        a, b = numbers(left, self.tree.code), numbers(right, self.tree.code)
        out = _COMPARE[type(operator)](a, b)
        if np.ndim(out) == 0:
            return bool(out)
        return logical(np.where(np.isnan(a) | np.isnan(b), -1, out))

    def membership(self, left: Value, options: Value, negate: bool) -> Factor:
        if not isinstance(options, list):
            raise FormulaError(f"{self.tree.code!r}: 'in' needs a list of constants on its right.")
        factor = as_factor(left, self.tree.code)
        hits = np.array([(level in options) != negate for level in factor.levels] + [-1], dtype=np.int32)
        return logical(hits[factor.codes])

    def Call(self, node: ast.Call) -> Value:
        name = syntax.dotted(node.func)
        if name not in self.functions:
            quoted = syntax.quoted_name(node)
            if quoted is not None:
                return self.table[quoted]
        arguments = [self.value(a) for a in node.args]
        keywords = {k.arg: self.value(k.value) for k in node.keywords}
        if name in self.functions:
            return self.user_call(name, arguments, keywords)
        function, text = FUNCTIONS[name], ast.unparse(node)
        for alias, column in self.tree.aliases.items():
            text = text.replace(alias, f"`{column}`")
        state: dict[str, Any] = {}
        if function.stateful:
            key = str(self.tree.calls[node])
            state = self.learned.setdefault(key, {}) if self.state is None else self.state.get(key, {})
        call = Call(text, state, self.table.n_rows, self.lenient)
        if not function.variadic:
            arguments, keywords = [], self.bind(name, arguments, keywords)
        knew = bool(state)
        try:
            out = function.run(call, *arguments, **keywords)
        except JaxglmError:
            raise
        except (TypeError, KeyError, IndexError) as error:
            raise FormulaError(f"{text}: wrong arguments ({error}).") from None
        if self.state is not None and state and not knew:
            raise FormulaError(f"{text}: what it learned at the fit is lost; save the model again.")
        return out

    def bind(self, name: str, arguments: list[Value], keywords: dict[str, Value]) -> dict[str, Value]:
        params = FUNCTIONS[name].params
        bound = dict(zip(params, arguments, strict=False))
        twice = bound.keys() & keywords.keys()
        if twice:
            raise FormulaError(f"{self.tree.code!r}: the argument {sorted(twice)[0]!r} of {name}() is given twice.")
        return bound | keywords

    def user_call(self, name: str, arguments: list[Value], keywords: dict[str, Value]) -> Value:
        plain = [_plain(v) for v in arguments]
        try:
            result = self.functions[name](*plain, **{k: _plain(v) for k, v in keywords.items()})
        except JaxglmError:
            raise
        except Exception as error:
            raise FormulaError(f"your function {name}() failed in {self.tree.code!r}: {error}") from error
        if np.ndim(result) == 2:
            values = np.asarray(result, dtype=np.float64)
            return Matrix(values, tuple(str(i) for i in range(values.shape[1])))
        if np.ndim(result) == 0:
            return result.item() if isinstance(result, (np.generic, np.ndarray)) else result
        return to_column(result, f"{self.tree.code!r}")


def _plain(value: Value) -> Any:
    """What a user's function receives: read-only numbers, labels, or a constant."""
    if isinstance(value, Coded):
        value = value.factor
    if isinstance(value, Factor):
        if value.boolean and not value.missing.any():
            return value.codes.astype(bool)
        return value.labels
    if isinstance(value, (Numeric, Matrix)):
        view = value.values.view()
        view.flags.writeable = False
        return view
    return value.source if isinstance(value, Datetime) else value
