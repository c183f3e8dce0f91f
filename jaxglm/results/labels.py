"""Names that go with the numbers of a fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from jaxglm.fitted import Fit


@dataclass(frozen=True)
class Labels:
    """What the arrays of a fit are called.

    Attributes
    ----------
    names : tuple of str, or of (predictor, term)
        One a coefficient.
    response : str
    formula : str or None
    index : pandas.Index or None
        Labels of the fitted rows; None for 0, 1, 2, ...
    notes : tuple of str
        Facts about the data that the summary states (rows dropped, which label counts as success, ...).
    weights : tuple of str
        Kinds of weights that were given.
    """

    names: tuple[str | tuple[str, str], ...]
    response: str
    formula: str | None = None
    index: pd.Index | None = None
    notes: tuple[str, ...] = ()
    weights: tuple[str, ...] = field(default=())

    @property
    def texts(self) -> tuple[str, ...]:
        """Names as text, "predictor: term" where they are pairs."""
        return tuple(as_text(name) for name in self.names)

    @property
    def terms(self) -> pd.Index:
        """Index of every coefficient; each asker has one of his own, to name it as he likes."""
        return self._terms.view()

    @cached_property
    def _terms(self) -> pd.Index:
        if self.names and isinstance(self.names[0], tuple):
            return pd.MultiIndex.from_tuples(self.names, names=["predictor", "term"])
        return pd.Index(self.names, name=None)

    def coefficients(self, values: np.ndarray, name: str | None = None) -> pd.Series:
        """A Series over the coefficients."""
        return pd.Series(np.asarray(values, float), index=self.terms, name=name)

    def square(self, values: np.ndarray) -> pd.DataFrame:
        """A frame with the coefficients on both sides."""
        return pd.DataFrame(np.asarray(values, float), index=self.terms, columns=self.terms)

    def rows(self, values: np.ndarray, name: str | None = None) -> pd.Series:
        """A Series over the fitted rows."""
        return pd.Series(np.asarray(values, float), index=self.row_index(len(values)), name=name)

    def draws(self, values: np.ndarray) -> pd.DataFrame:
        """A frame over the fitted rows with one column a draw."""
        names = [f"sim_{k + 1}" for k in range(values.shape[1])]
        return pd.DataFrame(values, index=self.row_index(len(values)), columns=names)

    def row_index(self, n: int) -> pd.Index:
        """Labels of the n fitted rows."""
        return self.index if self.index is not None else pd.RangeIndex(n)


def as_text(name: str | tuple[str, str]) -> str:
    """A coefficient's name as text."""
    return name if isinstance(name, str) else ": ".join(name)


def aliased(fit: Fit, labels: Labels) -> list[tuple[str, str]]:
    """For each aliased column its name and, in words, what it depends on."""
    found = []
    for j, coefficients in fit.rank.dependence.items():
        parts = [(coefficients[i], labels.texts[i]) for i in np.flatnonzero(coefficients)]
        if not parts:
            found.append((labels.texts[j], "always 0"))
            continue
        found.append((labels.texts[j], " ".join(_part(i, c, n) for i, (c, n) in enumerate(parts[:5])).strip()
                      + (" + ..." if len(parts) > 5 else "")))  # fmt: skip
    return found


def _part(position: int, coefficient: float, name: str) -> str:
    sign = "-" if coefficient < 0 else ("+" if position else "")
    size = f"{abs(coefficient):.4g}"
    factor = "" if size == "1" else f"{size} * "
    return f"{sign} {factor}{name}" if position else f"{sign}{factor}{name}"


def separated(fit: Fit, labels: Labels) -> list[tuple[str, str]]:
    """Names of the coefficients without a finite estimate, each with the sign of its infinity."""
    if fit.recession is None:
        return []
    share = np.abs(fit.recession) * fit.column_lengths
    return [(labels.texts[j], "+inf" if fit.recession[j] > 0 else "-inf")
            for j in np.flatnonzero(share > 1e-3 * share.max())]  # fmt: skip


def infinite_words(fit: Fit, labels: Labels) -> str:
    """Which printed estimates are infinite, empty where none is."""
    found = separated(fit, labels)
    names = ", ".join(f"{name} -> {sign}" for name, sign in found)
    if len(found) < 2:
        return f"infinite estimate: {names}; its printed value is where the solver stopped" if found else ""
    return f"infinite estimates: {names}; the printed values are where the solver stopped"
