"""From the text of a formula to tokens.

The right side goes to formulaic's operator algebra as a skeleton of names, so
what is *inside* a call, a back-ticked name or braces is taken out here, in our
own dialect: ``^`` is a power there as in R, ``%%`` a remainder, ``as.factor`` a
factor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jaxglm.errors import FormulaError

#: A formula longer than this is refused: parsing is quadratic in the number of terms.
MAX_FORMULA = 200_000

_NAME = re.compile(r"[^\W\d][\w.]*|\.[^\W\d][\w.]*")
_SPACES = re.compile(r"\s*")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_OPERATORS = ("%in%", "**", "~", "+", "-", "*", "/", ":", "^", "(", ")", "|")
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_DOTTED = {"as.factor": "factor", "is.na": "isna"}


@dataclass(frozen=True)
class Token:
    """A piece of a formula.

    ``kind`` is "name" (a column), "code" (an expression), "number", "dot" or "op"; ``at`` is its place in the text.
    """

    kind: str
    text: str
    at: int


def tokenize(formula: str) -> list[Token]:
    """The tokens of a formula, spaces left out.

    Raises
    ------
    FormulaError
        A bracket or quote is not closed, or a character has no meaning here.
    """
    if len(formula) > MAX_FORMULA:
        raise FormulaError(
            f"the formula has {len(formula)} characters, more than the {MAX_FORMULA} that are read; "
            "use '.' for all columns, or the array interface."
        )
    tokens, i = [], 0
    while i < len(formula):
        char = formula[i]
        if char.isspace():
            i += 1
        elif char == "`":
            end = _find(formula, "`", i)
            tokens.append(Token("name", formula[i + 1 : end], i))
            i = end + 1
        elif char == "{":
            end = closing(formula, i)
            tokens.append(Token("code", dialect(formula[i + 1 : end]), i))
            i = end + 1
        else:
            token, i = _word(formula, i)
            tokens.append(token)
    return tokens


def _word(formula: str, i: int) -> tuple[Token, int]:
    """A name, call, number or operator that begins at `i`, and where it ends."""
    name = _NAME.match(formula, i)
    if name:
        after = name.end()
        opening = _SPACES.match(formula, after).end()
        if formula[opening : opening + 1] == "(" or formula[after : after + 1] == "[":
            end = closing(formula, opening) + 1
            while formula[end : end + 1] in ("(", "[", "."):
                # Methods and subscripts are refused later, by name; here they only have to stay in one piece.
                more = _NAME.match(formula, end)
                end = more.end() if more else closing(formula, end) + 1
            return Token("code", dialect(formula[i:end]), i), end
        return Token("name", name.group(), i), after
    number = _NUMBER.match(formula, i)
    if number:
        return Token("number", number.group(), i), number.end()
    if formula[i] == ".":
        return Token("dot", ".", i), i + 1
    for operator in _OPERATORS:
        if formula.startswith(operator, i):
            return Token("op", operator, i), i + len(operator)
    raise FormulaError(
        f"the formula has {formula[i]!r} at position {i}, which means nothing there: {pointed(formula, i)}"
        + _hint(formula[i])
    )


def _hint(char: str) -> str:
    if char in "\"'":
        return "; a column whose name is not a plain word is written in back-ticks, as in `my column`"
    if char in "<>=!&":
        return "; comparisons go inside I(), as in I(x > 0)"
    return ""


def pointed(formula: str, i: int) -> str:
    """The surroundings of position `i` with a mark before it."""
    return repr(formula[max(0, i - 25) : i] + ">>>" + formula[i : i + 25])


def _find(formula: str, quote: str, start: int) -> int:
    """Position of the quote that closes the one at `start`."""
    i = start + 1
    while i < len(formula):
        if formula[i] == "\\" and quote != "`":
            i += 2
            continue
        if formula[i] == quote:
            return i
        i += 1
    raise FormulaError(f"the {quote} at position {start} is never closed: {pointed(formula, start)}")


def closing(formula: str, start: int) -> int:
    """Position of the bracket that closes the one at `start`; quotes are skipped."""
    stack, i = [_CLOSERS[formula[start]]], start + 1
    while i < len(formula):
        char = formula[i]
        if char in "\"'`":
            i = _find(formula, char, i)
        elif char in _CLOSERS:
            stack.append(_CLOSERS[char])
        elif char == stack[-1]:
            stack.pop()
            if not stack:
                return i
        elif char in ")]}":
            break
        i += 1
    raise FormulaError(f"the {formula[start]} at position {start} is never closed: {pointed(formula, start)}")


def dialect(code: str) -> str:
    """R's spelling inside a call in Python's: powers, remainders, and the few functions with a dot.

    It has to happen on the text: Python gives ``^`` a lower precedence than ``+``, so the parsed tree of
    ``a + x^2`` is that of ``(a + x)^2``.
    """
    out, i = [], 0
    while i < len(code):
        char = code[i]
        if char in "\"'`":
            end = _find(code, char, i) + 1
            out.append(code[i:end])
            i = end
            continue
        name = _NAME.match(code, i)
        if name:
            out.append(_DOTTED.get(name.group(), name.group()))
            i = name.end()
            continue
        for r, python in (("^", "**"), ("%/%", "//"), ("%%", "%")):
            if code.startswith(r, i):
                out.append(python)
                i += len(r)
                break
        else:
            out.append(char)
            i += 1
    return "".join(out)
