"""The closed subset of Python that a factor expression may use.

An expression is read into a checked tree and nothing else is ever evaluated:
column names, constants, arithmetic, comparisons, and calls of known functions
by plain name. There are no attributes beyond a fixed list of dotted names, no
subscripts, no lambdas, no comprehensions, so a formula that comes from a file
cannot run code.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from functools import lru_cache

from jaxglm.errors import FormulaError, near
from jaxglm.formula.functions import Function
from jaxglm.formula.library import CONSTANTS, FUNCTIONS, HINTS

MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_CHAIN = 100

_BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr)
_UNARY = (ast.UAdd, ast.USub, ast.Not, ast.Invert)
_COMPARE = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.In, ast.NotIn)
_BACKTICK = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`([^`]*)`")
_REFUSED = {
    ast.Subscript: "subscripts",
    ast.Attribute: "methods and attributes",
    ast.Lambda: "lambda",
    ast.IfExp: "if ... else (use ifelse(test, yes, no))",
    ast.JoinedStr: "f-strings",
    ast.NamedExpr: ":=",
    ast.Starred: "* arguments",
    ast.BitXor: "exclusive or",
    ast.MatMult: "matrix products",
    ast.Set: "sets",
    ast.ListComp: "comprehensions",
    ast.GeneratorExp: "comprehensions",
    ast.DictComp: "comprehensions",
    ast.SetComp: "comprehensions",
    ast.Await: "await",
    ast.BoolOp: "'and' and 'or' (use & and |, with parentheses around each comparison)",
}


@dataclass(frozen=True, eq=False)
class Tree:
    """A checked expression.

    Attributes
    ----------
    code : str
        The expression in normal spelling; it names the columns made from it.
    root : ast.expr
    names : tuple of str
        Names in it that are not functions: columns, or one of ``CONSTANTS``.
    aliases : dict
        Stand-ins in the tree for back-ticked names.
    calls : dict
        Position among the calls of each call node, by which learned state is kept.
    user : tuple of str
        Functions called that only the user can supply.
    """

    code: str
    root: ast.expr
    names: tuple[str, ...]
    aliases: dict[str, str]
    calls: dict[ast.Call, int]
    user: tuple[str, ...]

    def name_of(self, node: ast.expr) -> str:
        """The name that a Name or dotted Attribute node stands for."""
        text = dotted(node) or ""
        return self.aliases.get(text, text)


def dotted(node: ast.AST) -> str | None:
    """``a.b.c`` for a chain of attributes on a name, else None."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def quoted_name(node: ast.Call) -> str | None:
    """The column that ``Q("name")`` stands for, None for any other call."""
    if dotted(node.func) == "Q" and len(node.args) == 1 and isinstance(node.args[0], ast.Constant):
        value = node.args[0].value
        return value if isinstance(value, str) else None
    return None


def chain(node: ast.BinOp) -> list[tuple[ast.operator | None, ast.expr]]:
    """``a + b - c`` as [(None, a), (+, b), (-, c)]: long sums are deep trees but no deep thoughts."""
    out: list[tuple[ast.operator | None, ast.expr]] = []
    left: ast.expr = node
    while isinstance(left, ast.BinOp):
        out.append((left.op, left.right))
        left = left.left
    out.append((None, left))
    return out[::-1]


@lru_cache(maxsize=1024)
def read(code: str, user: frozenset[str] = frozenset()) -> Tree:
    """Read and check an expression; `user` are the names of the user's own functions.

    Raises
    ------
    FormulaError
        It is not in the closed subset, or too long or too deep; the message names the part.
    """
    if len(code) > MAX_LENGTH:
        raise FormulaError(
            f"the expression {code[:60]!r}... has {len(code)} characters, more than the {MAX_LENGTH} allowed; "
            "compute it as a column of the data first."
        )
    text, aliases = _without_backticks(code)
    try:
        root = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or str(error)
        raise FormulaError(f"cannot read the expression {code!r}: {reason}.") from None
    check = _Check(code, aliases, user)
    check.visit(root, 0)
    spelled = ast.unparse(root)
    for alias, name in aliases.items():
        spelled = spelled.replace(alias, f"`{name}`")
    calls = {node: i for i, node in enumerate(n for n in ast.walk(root) if isinstance(n, ast.Call))}
    return Tree(
        spelled, root, tuple(dict.fromkeys(check.names)), aliases, calls, tuple(dict.fromkeys(check.user_calls))
    )


def _without_backticks(code: str) -> tuple[str, dict[str, str]]:
    """The code with each back-ticked name as an identifier, and what each stands for."""
    prefix = "column_"
    while prefix in code:
        prefix += "_"
    aliases: dict[str, str] = {}

    def swap(match: re.Match[str]) -> str:
        if match.group(1) is None:
            return match.group(0)
        alias = next((a for a, name in aliases.items() if name == match.group(1)), None)
        if alias is None:
            # The closing underscore keeps one stand-in from being the start of another.
            alias = f"{prefix}{len(aliases)}_"
            aliases[alias] = match.group(1)
        return alias

    return _BACKTICK.sub(swap, code), aliases


class _Check:
    """Visits each node once and refuses what is not on a list."""

    def __init__(self, code: str, aliases: dict[str, str], user: frozenset[str]):
        self.code = code
        self.aliases = aliases
        self.user = user
        self.names: list[str] = []
        self.user_calls: list[str] = []

    def refuse(self, what: str) -> FormulaError:
        return FormulaError(
            f"{what} cannot be used in the formula expression {self.code!r}; "
            "compute it as a column of the data first, or give your own function through functions={'f': f}."
        )

    def visit(self, node: ast.AST, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise FormulaError(f"the expression {self.code[:60]!r} is nested more than {MAX_DEPTH} deep; simplify it.")
        handler = getattr(self, "visit_" + type(node).__name__, None)
        if handler is None:
            raise self.refuse(_REFUSED.get(type(node), type(node).__name__))
        handler(node, depth + 1)

    def visit_Name(self, node: ast.Name, depth: int) -> None:
        self.names.append(self.aliases.get(node.id, node.id))

    def visit_Attribute(self, node: ast.Attribute, depth: int) -> None:
        name = dotted(node)
        if name is None or "__" in name or name.split(".")[0] in self.aliases:
            raise self.refuse(_REFUSED[ast.Attribute])
        # R allows dots in names; whether there is such a column is known only with the data.
        self.names.append(name)

    def visit_Constant(self, node: ast.Constant, depth: int) -> None:
        value = node.value
        if value is None or isinstance(value, (str, bool)):
            return
        if isinstance(value, int) and abs(value) <= 2**63:
            return
        if isinstance(value, float) and math.isfinite(value):
            return
        raise self.refuse(f"the constant {str(value)[:40]}" if not isinstance(value, int) else "so large a number")

    def visit_BinOp(self, node: ast.BinOp, depth: int) -> None:
        operands = chain(node)
        for op, _ in operands:
            if op is not None and not isinstance(op, _BINARY):
                raise self.refuse(_REFUSED.get(type(op), type(op).__name__))
        if len(operands) > MAX_CHAIN:
            raise FormulaError(
                f"the expression {self.code[:60]!r}... joins {len(operands)} values, "
                f"more than the {MAX_CHAIN} allowed; compute it as a column of the data first."
            )
        for _, operand in operands:
            self.visit(operand, depth)

    def visit_UnaryOp(self, node: ast.UnaryOp, depth: int) -> None:
        if not isinstance(node.op, _UNARY):
            raise self.refuse(type(node.op).__name__)
        self.visit(node.operand, depth)

    def visit_Compare(self, node: ast.Compare, depth: int) -> None:
        if len(node.ops) > 1:
            raise FormulaError(
                f"the expression {self.code!r} chains comparisons; "
                "write (a < b) & (b < c), with parentheses around each comparison."
            )
        if not isinstance(node.ops[0], _COMPARE):
            raise self.refuse(f"the comparison {type(node.ops[0]).__name__}")
        self.visit(node.left, depth)
        self.visit(node.comparators[0], depth)

    def visit_List(self, node: ast.List | ast.Tuple, depth: int) -> None:
        for item in node.elts:
            self.visit(item, depth)

    visit_Tuple = visit_List

    def visit_Dict(self, node: ast.Dict, depth: int) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if not isinstance(key, ast.Constant):
                raise self.refuse("a dict whose keys are not constants")
            self.visit(key, depth)
            self.visit(value, depth)

    def visit_Call(self, node: ast.Call, depth: int) -> None:
        name = dotted(node.func)
        if name is None:
            raise self.refuse("a call of something that is not a plain name")
        function = None if name in self.user else FUNCTIONS.get(name)
        if function is None and name not in self.user:
            raise self.unknown(name)
        if name in self.user:
            self.user_calls.append(name)
        quoted = quoted_name(node)
        if quoted is not None:
            self.names.append(quoted)
        self.arguments(name, function, node, depth)

    def arguments(self, name: str, function: Function | None, node: ast.Call, depth: int) -> None:
        for argument in node.args:
            self.visit(argument, depth)
        if function is not None and not function.variadic and len(node.args) > len(function.params):
            raise FormulaError(
                f"{name}() takes at most {len(function.params)} arguments ({', '.join(function.params)}), "
                f"but {len(node.args)} are given in {self.code!r}."
            )
        seen = set()
        for keyword in node.keywords:
            key = keyword.arg
            if key is None:
                raise self.refuse("** arguments")
            if key.startswith("_") or key in seen:
                raise self.refuse(f"the argument {key!r}")
            if function is not None and key not in function.params:
                raise FormulaError(f"{name}() has no argument {key!r} (in {self.code!r}).{near(key, function.params)}")
            seen.add(key)
            self.visit(keyword.value, depth)

    def unknown(self, name: str) -> FormulaError:
        start = f"{name}() is not a function that formulas know (in {self.code!r})."
        hint = HINTS.get(name.rpartition(".")[2]) if name not in FUNCTIONS else None
        if hint:
            return FormulaError(f"{start} {hint}")
        return FormulaError(
            f"{start}{near(name, sorted(FUNCTIONS))} Your own function is given through functions={{'f': f}}."
        )


def check_known(tree: Tree, names: frozenset[str] | set[str], available: tuple[str, ...]) -> None:
    """Refuse names that are neither columns nor constants.

    Raises
    ------
    FormulaError
        With near names among `available`.
    """
    for name in tree.names:
        if name in names or name in CONSTANTS:
            continue
        where = "" if tree.code == name else f" (in {tree.code!r})"
        head = name.split(".")[0]
        if "." in name and (head in names or head in ("np", "contr")):
            raise FormulaError(
                f"{name!r}{where} is an attribute, which formulas cannot use; "
                "compute it as a column of the data first, or call one of the known functions."
            )
        if name in FUNCTIONS:
            raise FormulaError(
                f"{name!r}{where} is a function and there is no column of that name; call it, {name}(x)."
            )
        raise FormulaError(f"there is no column {name!r}{where} in the data.{near(name, available)}")
