"""From the text of a formula to terms; the only module that reaches into formulaic.

formulaic is used for its operator algebra, its contrast classes and its
transforms, never for evaluation: it sees a skeleton in which every column and
call is a stand-in name. Sums of plain terms, the common case, are read here
without importing it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jaxglm.errors import FormulaError, InputTypeError, near
from jaxglm.formula import scan, syntax
from jaxglm.formula.scan import Token


@dataclass(frozen=True)
class Expr:
    """A factor of a term: a column, or an expression of columns.

    ``name`` labels the columns made from it; ``code`` is None for a plain column.
    """

    name: str
    code: str | None = None


@dataclass(frozen=True)
class Term:
    """A product of factors, times a constant; no factor at all is the intercept."""

    factors: tuple[Expr, ...]
    scale: float = 1.0

    @property
    def label(self) -> str:
        """How the term is written in a formula."""
        names = [f"`{f.name}`" if f.code is None and ":" in f.name else f.name for f in self.factors]
        if self.scale != 1.0:
            names.insert(0, f"{self.scale:g}")
        return ":".join(names) or "1"


@dataclass(frozen=True)
class Parsed:
    """A formula that has been read but knows nothing of the data yet.

    Attributes
    ----------
    text : str
    response : tuple of Expr
        Empty for a one-sided formula; two for ``cbind(success, failure)``.
    response_name : str
    terms : tuple of Term
        Ordered by degree, offsets taken out.
    offsets : tuple of Expr
        What stands inside each ``offset(...)``.
    user : frozenset of str
        Names of the user's functions.
    """

    text: str
    response: tuple[Expr, ...]
    response_name: str
    terms: tuple[Term, ...]
    offsets: tuple[Expr, ...]
    user: frozenset[str] = frozenset()


def parse(text: str, names: Collection[str], functions: Iterable[str] = ()) -> Parsed:
    """Read a formula.

    Parameters
    ----------
    text : str
        As in R: ``"y ~ x + C(f):z + offset(log(t))"``.
    names : collection of str
        The columns of the data in their order; ``.`` stands for those that the left side does not use.
    functions : iterable of str
        Names of the user's own functions.

    Raises
    ------
    InputTypeError
        `text` is not a string.
    FormulaError
        The formula cannot be read, or names a column or function that does not exist.

    Examples
    --------
    >>> [t.label for t in parse("y ~ (a + b)^2 - a", ["y", "a", "b"]).terms]
    ['1', 'b', 'a:b']
    """
    if not isinstance(text, str):
        raise InputTypeError(
            f"a formula is a string such as 'y ~ x + C(f)', but got {type(text).__name__}; arrays go to fit(X, y, ...)."
        )
    if not text.strip():
        raise FormulaError("the formula is empty; write for example 'y ~ x + C(f)'.")
    user = frozenset(functions)
    names = tuple(names)
    reader = _Reader(text, names, user)
    left, right = _sides(text, scan.tokenize(text))
    response, response_name = reader.response(left)
    used = {n for e in response for n in reader.columns_of(e)}
    terms = reader.terms(right, [n for n in names if n not in used])
    terms, offsets = reader.split_offsets(terms)
    return Parsed(text, response, response_name, terms, offsets, user)


def _sides(text: str, tokens: list[Token]) -> tuple[list[Token], list[Token]]:
    """Tokens left and right of the tilde; without one all are right."""
    tildes = [i for i, t in enumerate(tokens) if t.kind == "op" and t.text == "~"]
    if len(tildes) > 1:
        raise FormulaError(f"the formula {text!r} has {len(tildes)} '~' signs; write one, as in 'y ~ x + z'.")
    if not tildes:
        return [], tokens
    right = tokens[tildes[0] + 1 :]
    if not right:
        raise FormulaError(f"the formula {text!r} has nothing right of '~'; 'y ~ 1' fits the intercept alone.")
    return tokens[: tildes[0]], right


class _Reader:
    """Turns tokens into factors and terms, for one formula."""

    def __init__(self, text: str, names: tuple[str, ...], user: frozenset[str]):
        self.text = text
        self.names = names
        self.known = frozenset(names)
        self.user = user

    def expr(self, token: Token) -> Expr:
        if token.kind == "name":
            return self.column(token.text)
        tree = syntax.read(token.text, self.user)
        syntax.check_known(tree, self.known, self.names)
        return _expr_of(tree, tree.root)

    def column(self, name: str) -> Expr:
        if name not in self.known:
            hint = near(name, self.names)
            if name in syntax.FUNCTIONS:
                hint = f" It is a function: call it, as in {name}(x)."
            raise FormulaError(f"there is no column {name!r} in the data (formula {self.text!r}).{hint}")
        return Expr(name)

    def columns_of(self, expr: Expr) -> tuple[str, ...]:
        return columns_of(expr, self.known, self.user)

    # Left side --------------------------------------------------------------------------------------------------------

    def response(self, tokens: list[Token]) -> tuple[tuple[Expr, ...], str]:
        if not tokens:
            return (), ""
        if len(tokens) > 1 or tokens[0].kind not in ("name", "code"):
            raise self.bad_response(tokens)
        expr = self.expr_or_pair(tokens[0])
        return expr, (f"cbind({expr[0].name}, {expr[1].name})" if len(expr) == 2 else expr[0].name)

    def expr_or_pair(self, token: Token) -> tuple[Expr, ...]:
        if token.kind == "code":
            tree = syntax.read(token.text, self.user)
            if isinstance(tree.root, ast.Call) and syntax.dotted(tree.root.func) == "cbind":
                syntax.check_known(tree, self.known, self.names)
                if len(tree.root.args) != 2 or tree.root.keywords:
                    raise FormulaError(
                        f"{tree.code}: cbind takes two columns, the counts of successes and of failures, "
                        "as in cbind(s, n - s)."
                    )
                return tuple(_expr_of(tree, a) for a in tree.root.args)
        return (self.expr(token),)

    def bad_response(self, tokens: list[Token]) -> FormulaError:
        shown = self.text.split("~")[0].strip()
        operators = [t.text for t in tokens if t.kind == "op"]
        if "/" in operators:
            hint = "for a proportion write cbind(s, n - s) ~ ..., or I(s / n) ~ ... and give trials='n'"
        elif "|" in operators:
            hint = "'|' has no meaning here"
        elif "+" in operators:
            hint = "for successes and failures write cbind(a, b) ~ ..., for their sum I(a + b) ~ ..."
        else:
            hint = f"arithmetic on the response goes inside I(), as in I({shown}) ~ ..."
        return FormulaError(f"the left side of a formula is one response, but this one is {shown!r}; {hint}.")

    # Right side -------------------------------------------------------------------------------------------------------

    def terms(self, tokens: list[Token], rest: list[str]) -> list[Term]:
        self.refuse_bars(tokens)
        plain = self.plain_sum(tokens, rest)
        if plain is not None:
            return plain
        stand_ins: dict[str, Expr] = {}
        places: dict[Expr, str] = {}

        def stand_in(expr: Expr) -> str:
            if expr not in places:
                places[expr] = f"v{len(places)}_"
                stand_ins[places[expr]] = expr
            return places[expr]

        pieces = [stand_in(self.expr(t)) if t.kind in ("name", "code") else t.text for t in tokens]
        available = tuple(stand_in(Expr(n)) for n in rest) if any(t.kind == "dot" for t in tokens) else ()
        try:
            found = _algebra(" ".join(pieces), available)
        except FormulaError as error:
            message = re.sub(
                r"v\d+_", lambda m: stand_ins[m.group()].name if m.group() in stand_ins else m.group(), str(error)
            )
            raise FormulaError(f"cannot read the formula {self.text!r}: {message}") from None
        return [Term(tuple(stand_ins[f] for f in factors), scale) for factors, scale in found]

    def refuse_bars(self, tokens: Sequence[Token]) -> None:
        depth = 0
        for token in tokens:
            if token.kind != "op":
                continue
            depth += (token.text == "(") - (token.text == ")")
            if token.text == "|" and depth:
                raise FormulaError(
                    f"the formula {self.text!r} has a random effect ( | ), which jaxglm does not fit; "
                    "use fixed effects, C(f), with cluster-robust standard errors, or a mixed-model package."
                )
            if token.text == "|":
                raise FormulaError(
                    f"the formula {self.text!r} has several parts (|); give each linear predictor a formula of its own "
                    "in a dict, for example {'mean': 'y ~ x', 'scale': '~ z'}."
                )

    def plain_sum(self, tokens: Sequence[Token], rest: Sequence[str]) -> list[Term] | None:
        """Terms of a sum of single factors; None where there is more to it."""
        found: dict[Term, None] = {Term(()): None}
        sign, expect = "+", True
        for token in tokens:
            if token.kind == "op":
                if token.text not in "+-" or (expect and token is not tokens[0]):
                    return None
                sign, expect = token.text, True
                continue
            if not expect:
                return None
            expect = False
            if not self.plain_term(found, token, sign, rest):
                return None
        return None if expect else sorted(found, key=lambda t: len(t.factors) > 0)

    def plain_term(self, found: dict[Term, None], token: Token, sign: str, rest: Sequence[str]) -> bool:
        """Enter or remove one term; False where formulaic has to decide."""
        if token.kind == "number":
            if token.text not in ("0", "1") or (token.text == "0" and sign == "-"):
                return False
            if sign + token.text == "+1":
                found[Term(())] = None
            else:
                found.pop(Term(()), None)
        elif sign == "-":
            return False
        elif token.kind == "dot":
            found.update((Term((Expr(n),)), None) for n in rest)
        else:
            found[Term((self.expr(token),))] = None
        return True

    def split_offsets(self, terms: list[Term]) -> tuple[tuple[Term, ...], tuple[Expr, ...]]:
        kept, offsets = [], []
        for term in terms:
            inner = [self.inside_offset(f) for f in term.factors]
            if not any(inner):
                kept.append(term)
            elif len(inner) == 1 and term.scale == 1.0:
                offsets.append(inner[0])
            else:
                raise FormulaError(
                    f"the term {term.label} multiplies an offset by something; "
                    "an offset is a term of its own, as in y ~ x + offset(log(t))."
                )
        return tuple(kept), tuple(offsets)

    def inside_offset(self, expr: Expr) -> Expr | None:
        if expr.code is None:
            return None
        tree = syntax.read(expr.code, self.user)
        if not isinstance(tree.root, ast.Call) or syntax.dotted(tree.root.func) != "offset":
            return None
        if len(tree.root.args) != 1 or tree.root.keywords:
            raise FormulaError(f"{expr.name}: offset takes one expression, as in offset(log(t)).")
        return _expr_of(tree, tree.root.args[0])


def _expr_of(tree: syntax.Tree, node: ast.expr) -> Expr:
    """The factor that (part of) a tree stands for."""
    if isinstance(node, ast.Name):
        return Expr(tree.name_of(node))
    code = ast.unparse(node)
    for alias, name in tree.aliases.items():
        code = code.replace(alias, f"`{name}`")
    return Expr(code, code)


def columns_of(expr: Expr, known: Collection[str], user: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The columns that a factor needs; `known` are those that exist."""
    if expr.code is None:
        return (expr.name,)
    return tuple(n for n in syntax.read(expr.code, user).names if n in known)


# formulaic ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _algebra(skeleton: str, available: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], float], ...]:
    """Expand a right side of stand-in names into terms: (factors, scale) in order of degree."""
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        formula = Formula.from_spec(skeleton, context={"__formulaic_variables_available__": available})
        terms = []
        for term in formula:
            scale, factors = 1.0, []
            for factor in term.factors:
                if factor.eval_method.value == "literal":
                    scale *= float(factor.expr)
                else:
                    factors.append(factor.expr)
            terms.append((tuple(factors), scale))
    except (FormulaicError, SyntaxError, ValueError, TypeError, AttributeError, IndexError) as error:
        reason = (str(error).splitlines() or ["it is not well formed"])[0]
        raise FormulaError(reason.rstrip(".") + ".") from None
    return tuple(terms)


def transform(name: str) -> Callable[..., Any]:
    """One of formulaic's learning functions ("poly", "bs", "cr", "cs", "cc"), called with ``_state=``."""
    from formulaic.transforms import TRANSFORMS

    return TRANSFORMS[name]


def contrast_table(kind: str, options: dict[str, Any], levels: Sequence[Any]) -> tuple[Any, list[str], str]:
    """Table of a reduced coding, (levels, columns), its fields, and the format of its names."""
    from formulaic.transforms import ContrastsRegistry

    makers = {"sum": "sum", "helmert": "helmert", "poly": "poly", "diff": "diff", "custom": "custom"}
    coding = getattr(ContrastsRegistry, makers[kind])(**options)
    table = coding.get_coding_matrix(list(levels), reduced_rank=True).to_numpy(dtype=float)
    fields = [str(v) for v in coding.get_coding_column_names(list(levels), reduced_rank=True)]
    return table, fields, coding.get_factor_format(list(levels), reduced_rank=True)
