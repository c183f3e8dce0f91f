"""Linear hypotheses as users write them: a matrix, names, a mapping, or text such as ``"x1 = x2, x3 = 0"``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jaxglm.errors import InputError, InputTypeError, near
from jaxglm.fitted import Fit
from jaxglm.results.labels import Labels, as_text

_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_QUOTED = re.compile(r"`([^`]*)`|'([^']*)'|\"([^\"]*)\"")
_WORD = re.compile(r"[^\s,=+*/]+")


@dataclass(frozen=True)
class Restrictions:
    """``matrix @ parameters = values``, (q, P) and (q,), and a line of text for each."""

    matrix: np.ndarray
    values: np.ndarray
    texts: tuple[str, ...]


@dataclass(frozen=True)
class _Linear:
    """A linear form: coefficients (P,) and a constant."""

    slope: np.ndarray
    constant: float

    def times(self, factor: float) -> _Linear:
        return _Linear(self.slope * factor, self.constant * factor)

    def plus(self, other: _Linear) -> _Linear:
        return _Linear(self.slope + other.slope, self.constant + other.constant)

    @property
    def is_number(self) -> bool:
        return not self.slope.any()


def restrictions(fit: Fit, labels: Labels, terms: Sequence[Any], hypothesis: Any) -> Restrictions:
    """What a hypothesis says of the parameters; `terms` are the terms of the model, whose labels stand for all columns.

    Raises
    ------
    InputError, InputTypeError
        An unknown name, a shape that does not fit, text that is no linear equation, or a coefficient without estimate.
    """
    names = _names(labels, terms)
    if isinstance(hypothesis, str):
        made = _zeros(hypothesis.strip(), labels, names)
    elif isinstance(hypothesis, Mapping):
        made = _joined([_assigned(key, value, labels, names) for key, value in hypothesis.items()])
    elif _is_pair(hypothesis):
        made = _of_matrix(hypothesis[0], labels, hypothesis[1])
    elif isinstance(hypothesis, (list, tuple)) and hypothesis and all(_is_name(v) for v in hypothesis):
        made = _joined([_zeros(as_text(name), labels, names) for name in hypothesis])
    else:
        made = _of_matrix(hypothesis, labels, None)
    if len(made.values) == 0:
        raise InputError("the hypothesis is empty; name at least one coefficient, as in ['x1'] or 'x1 = 0'")
    lost = np.flatnonzero(made.matrix.any(axis=0) & ~fit.active)
    if len(lost):
        why = "is held at the end of its range" if fit.held[lost[0]] else "is aliased, so the data do not determine it"
        raise InputError(f"{labels.texts[lost[0]]!r} has no estimate to test: it {why}; leave it out")
    return made


def _names(labels: Labels, terms: Sequence[Any]) -> dict[str, tuple[int, ...]]:
    """Positions of the coefficients that each name stands for; names of coefficients come before labels of terms."""
    found = {as_text(term.label): term.columns for term in terms}
    return found | {text: (j,) for j, text in enumerate(labels.texts)}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, str) for v in value)
    )


def _is_pair(hypothesis: Any) -> bool:
    """Whether it is (R, q): a matrix and its values."""
    return (
        isinstance(hypothesis, tuple)
        and len(hypothesis) == 2
        and not any(isinstance(v, str) for v in hypothesis)
        and np.ndim(hypothesis[0]) > 0
        and np.ndim(hypothesis[0]) == np.ndim(hypothesis[1]) + 1
    )


def _joined(parts: Sequence[Restrictions]) -> Restrictions:
    if not parts:
        return Restrictions(np.zeros((0, 0)), np.zeros(0), ())
    matrix, values = np.concatenate([p.matrix for p in parts]), np.concatenate([p.values for p in parts])
    return Restrictions(matrix, values, tuple(text for p in parts for text in p.texts))


def _zeros(name: str, labels: Labels, names: Mapping[str, tuple[int, ...]]) -> Restrictions:
    """All coefficients that a name stands for are 0; text with an equation in it is read as such."""
    if name not in names:
        spelled = next((known for known in names if _pattern(known).fullmatch(name)), None)
        if spelled is None:
            return _Reader(name, labels.texts, names).equations()
        name = spelled
    places = list(names[name])
    return Restrictions(
        np.eye(len(labels.texts))[places], np.zeros(len(places)), tuple(f"{labels.texts[j]} = 0" for j in places)
    )


def _assigned(key: Any, value: Any, labels: Labels, names: Mapping[str, tuple[int, ...]]) -> Restrictions:
    if not _is_name(key):
        raise InputTypeError(f"the keys of a hypothesis must be names of coefficients, not {key!r}")
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        raise InputTypeError(f"the hypothesis about {key!r} must be one finite number, not {value!r}")
    text = as_text(key)
    form = _Reader(text, labels.texts, names).combination()
    return Restrictions(form.slope[None], np.array([float(value) - form.constant]), (f"{text} = {value:g}",))


def _of_matrix(matrix: Any, labels: Labels, values: Any) -> Restrictions:
    if isinstance(matrix, pd.DataFrame):
        matrix = _by_columns(matrix, labels)
    try:
        rows = np.array(matrix, dtype=float)
    except (TypeError, ValueError):
        rows = np.array(np.nan)
    if rows.ndim == 0:
        raise InputTypeError(
            "a hypothesis is text ('x1 = x2'), a list of names, a dict of values by name, a matrix, or a tuple "
            f"(matrix, values), not {matrix!r}"
        )
    if rows.size == 0:
        return _joined([])
    rows = np.atleast_2d(rows)
    if rows.ndim != 2 or rows.shape[1] != len(labels.texts):
        raise InputError(
            f"a matrix of hypotheses needs one column a coefficient, {len(labels.texts)} ({', '.join(labels.texts[:6])}"
            f"{', ...' if len(labels.texts) > 6 else ''}), but has shape {rows.shape}"
        )
    right = np.zeros(len(rows)) if values is None else np.atleast_1d(np.asarray(values, float)).ravel()
    if len(right) != len(rows):
        raise InputError(f"the matrix has {len(rows)} rows but there are {len(right)} values")
    if not (np.isfinite(rows).all() and np.isfinite(right).all()):
        raise InputError("the matrix and the values of a hypothesis must be finite")
    return Restrictions(rows, right, tuple(_written(r, q, labels) for r, q in zip(rows, right, strict=True)))


def _by_columns(frame: pd.DataFrame, labels: Labels) -> np.ndarray:
    """Columns named by coefficients, those that are not there being 0."""
    known = {text: j for j, text in enumerate(labels.texts)}
    rows = np.zeros((len(frame), len(known)))
    for name in frame.columns:
        text = as_text(name)
        if text not in known:
            raise InputError(f"the hypothesis has a column {text!r}, which is no coefficient.{near(text, known)}")
        rows[:, known[text]] = frame[name]
    return rows


def _written(row: np.ndarray, value: float, labels: Labels) -> str:
    parts = []
    for j in np.flatnonzero(row):
        size = abs(row[j])
        sign = "-" if row[j] < 0 else ("+" if parts else "")
        factor = "" if size == 1 else f"{size:g}*"
        parts.append(f"{sign} {factor}{labels.texts[j]}" if parts else f"{sign}{factor}{labels.texts[j]}")
    return f"{' '.join(parts) or '0'} = {value:g}"


class _Reader:
    """Reads equations: sums of numbers times coefficients, with = between them and commas between equations.

    Names are found first and the longest wins, since they may hold any sign (``C(f)[T.b]:x``); quotes around a name
    make it plain.
    """

    def __init__(self, text: str, coefficients: Sequence[str], names: Mapping[str, tuple[int, ...]]):
        self.text, self.at = text, 0
        self.coefficients, self.names = coefficients, names
        self.longest = [(name, _pattern(name)) for name in sorted(names, key=len, reverse=True)]

    def equations(self) -> Restrictions:
        """All equations; a side without an equal sign claims 0."""
        rows, values, texts = [], [], []
        while True:
            start = self.at
            sides = [self.sum()]
            while self.take("=") or self.take("=="):
                sides.append(self.sum())
            words = self.text[start : self.at].strip()
            for a, b in zip(sides, sides[1:] or [_Linear(np.zeros(len(self.coefficients)), 0.0)], strict=False):
                difference = a.plus(b.times(-1.0))
                if difference.is_number:
                    raise InputError(f"{words!r} has no coefficient in it, or the same on both sides")
                rows.append(difference.slope)
                values.append(0.0 - difference.constant)
                texts.append(words if len(sides) < 3 and "=" in words else None)
            if not self.take(","):
                break
        if self.rest:
            raise self.problem("an operator, '=' or ',' is wanted")
        labels = Labels(tuple(self.coefficients), "")
        whole = [t or _written(r, v, labels) for t, r, v in zip(texts, rows, values, strict=True)]
        return Restrictions(np.array(rows), np.array(values), tuple(whole))

    def combination(self) -> _Linear:
        """One linear combination and nothing else."""
        form = self.sum()
        if self.rest or form.is_number:
            raise self.problem("one linear combination of coefficients is wanted")
        return form

    @property
    def rest(self) -> str:
        """What is left to read, without leading space."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at :]

    def take(self, sign: str) -> bool:
        if not self.rest.startswith(sign) or (sign == "=" and self.rest.startswith("==")):
            return False
        self.at += len(sign)
        return True

    def problem(self, wanted: str) -> InputError:
        left = self.rest
        word = _WORD.match(left)
        where = f"at {left!r}" if left else "at its end"
        hint = near(word.group(), self.names) if word else ""
        return InputError(f"the hypothesis {self.text!r} cannot be read {where}: {wanted}.{hint}")

    def sum(self) -> _Linear:
        total = self.product()
        while True:
            if self.take("+"):
                total = total.plus(self.product())
            elif self.take("-"):
                total = total.plus(self.product().times(-1.0))
            else:
                return total

    def product(self) -> _Linear:
        total = self.atom()
        while True:
            if self.take("*"):
                other = self.atom()
                if not (total.is_number or other.is_number):
                    raise self.problem("products of coefficients are not linear")
                total = other.times(total.constant) if total.is_number else total.times(other.constant)
            elif self.take("/"):
                other = self.atom()
                if not other.is_number or other.constant == 0:
                    raise self.problem("a number other than 0 is wanted below '/'")
                total = total.times(1.0 / other.constant)
            else:
                return total

    def atom(self) -> _Linear:
        nothing = np.zeros(len(self.coefficients))
        name = self.name()
        if name is not None:
            if len(self.names[name]) != 1:
                raise InputError(
                    f"{name!r} is a term with {len(self.names[name])} coefficients; to test them all give the list "
                    f"[{name!r}]"
                )
            nothing[self.names[name][0]] = 1.0
            return _Linear(nothing, 0.0)
        if self.take("-"):
            return self.atom().times(-1.0)
        if self.take("+"):
            return self.atom()
        if self.take("("):
            inner = self.sum()
            if not self.take(")"):
                raise self.problem("')' is wanted")
            return inner
        number = _NUMBER.match(self.rest)
        if number is None:
            raise self.problem("a coefficient or a number is wanted")
        self.at += number.end()
        return _Linear(nothing, float(number.group()))

    def name(self) -> str | None:
        """The longest name that starts here and does not end within a word."""
        left = self.rest
        quoted = _QUOTED.match(left)
        if quoted and (found := next(g for g in quoted.groups() if g is not None)) in self.names:
            self.at += quoted.end()
            return found
        if left[:1].isdigit():
            return None
        for name, pattern in self.longest:
            found = pattern.match(left)
            if found:
                self.at += found.end()
                return name
        return None


def _pattern(name: str) -> re.Pattern[str]:
    """What is read as a name: spacing and the kind of quotes do not matter, and no more of a name may follow."""
    pieces = re.findall(r"\w+|\S", name)
    spaced = [r"[\'\"]" if piece in "'\"" else re.escape(piece) for piece in pieces]
    text = spaced[0]
    for before, after in zip(spaced[:-1], spaced[1:], strict=True):
        text += (r"\s+" if before[-1:].isalnum() and after[:1].isalnum() else r"\s*") + after
    return re.compile(text + r"(?![\w\[:(.])")
