"""From the response column to the numbers and trials that a family reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxglm.errors import DataError
from jaxglm.families import Family, Suggestion, suggest, suggest_for_labels
from jaxglm.frames import Column, Datetime, Factor
from jaxglm.frames.read import to_column

#: Values that are looked at together.
_LOOKED_AT = 2**14


@dataclass(frozen=True)
class Encoder:
    """How a response becomes numbers, decided once and the same for every chunk.

    Attributes
    ----------
    name : str
    levels : tuple or None
        (failure, success) of a two-label response.
    """

    name: str
    levels: tuple[Any, Any] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the summary has to say about it."""
        if self.levels is None:
            return ()
        failure, success = self.levels
        return (f"Modeled: probability that {self.name} is {success!r} (against {failure!r}).",)

    def numbers(self, column: Column) -> np.ndarray:
        """The response as float64, NaN where missing."""
        if isinstance(column, Factor) and self.levels is not None:
            codes = column.recode(self.levels)
            if (codes == -2).any():
                raise DataError(
                    f"the response {self.name!r} has a value other than {self.levels[0]!r} and {self.levels[1]!r}"
                )
            return np.where(codes < 0, np.nan, codes.astype(float))
        return column.values


def encoder(column: Column, levels: Sequence[Any], name: str, family: Family) -> Encoder:
    """Decide how a response column is read by a family; `levels` are those that occur, where it is a factor.

    Raises
    ------
    DataError
        Text or categories that the family cannot use, with the remedy.
    """
    if isinstance(column, Datetime):
        raise DataError(f"the response {name!r} holds {column.type_name} values; model a number, such as elapsed days")
    if not isinstance(column, Factor):
        return Encoder(name)
    if column.boolean:
        return Encoder(name, (False, True)) if family.mean_range == "unit" else Encoder(name)
    shown = ", ".join(repr(v) for v in levels[:6]) + (", ..." if len(levels) > 6 else "")
    if family.mean_range != "unit":
        raise DataError(
            f"the response {name!r} holds text or categories ({shown}), but the {family.name} family needs "
            f"{family.support_text}; convert it to numbers, or use family='binomial' if it has two labels"
        )
    if len(levels) == 1:
        raise DataError(
            f"the response {name!r} has the single label {levels[0]!r}; a binomial model needs two outcomes"
        )
    if len(levels) > 2:
        raise DataError(
            f"the response {name!r} has {len(levels)} labels ({shown}), but the binomial family needs two; "
            f"choose one outcome, as in I({name} == {levels[-1]!r}) ~ ..."
        )
    return Encoder(name, (levels[0], levels[1]))


def suggest_family(y: Any) -> Suggestion:
    """Which families a response could have, by the values it takes.

    Parameters
    ----------
    y : array or Series (n,)
        Numbers, booleans, or text; missing values are left out.

    Returns
    -------
    Suggestion
        Its ``names`` go into ``family=``; printed it explains itself.

    Raises
    ------
    DataError
        Dates, times, or more than one dimension.

    Notes
    -----
    The support of y says which families are possible, not which one is right: that depends on the distribution of
    y given x, which only a fit shows.

    Examples
    --------
    >>> import jaxglm as jg
    >>> jg.suggest_family([0, 3, 1, 7]).names
    ('poisson', 'negative_binomial', 'quasipoisson')
    """
    if len(np.shape(y)) != 1:
        raise DataError(f"y must be one column of values, but has shape {np.shape(y)}")
    column = to_column(y, "y")
    if isinstance(column, Datetime):
        raise DataError("y holds dates or times; model a number, such as elapsed days")
    if isinstance(column, Factor) and not column.boolean:
        return suggest_for_labels(int(np.sum(column.present())))
    return suggest(np.asarray(column.values, float))


def from_counts(success: np.ndarray, failure: np.ndarray, name_row) -> tuple[np.ndarray, np.ndarray]:
    """Proportions and trials from two columns of counts; a row without trials gets y = NaN and 0 trials."""
    for what, values in (("success", success), ("failure", failure)):
        bad = np.flatnonzero(values < 0)
        if len(bad):
            raise DataError(
                f"cbind(): the count of {what} is {values[bad[0]]:g} in {name_row(bad[0])}; counts cannot be negative "
                "(the second column is failures, trials minus successes)"
            )
    trials = success + failure
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(trials > 0, success / trials, np.nan), trials


def check_trials(y: np.ndarray, trials: np.ndarray, name_row) -> None:
    """Proportions beside trials must lie between 0 and 1."""
    bad = np.flatnonzero((y < 0) | (y > 1))
    if len(bad):
        raise DataError(
            f"with trials= the response must be a proportion, but it is {y[bad[0]]:g} in {name_row(bad[0])}; "
            "for counts use cbind(successes, failures) ~ ... or divide by the trials"
        )


def data_notes(y: np.ndarray, trials: np.ndarray | None, family: Family) -> tuple[str, ...]:
    """Facts about the response that the summary states because they are often mistakes."""
    whole = y if trials is None else y * trials
    # Some at a time, which stay in cache.
    pieces = (whole[i : i + _LOOKED_AT] for i in range(0, len(whole), _LOOKED_AT))
    if all((piece == np.rint(piece)).all() for piece in pieces):
        return ()
    # Infinite values get their own error in the first pass.
    with np.errstate(invalid="ignore"):
        fractional = np.abs(whole - np.round(whole)) > 1e-6 * np.maximum(np.abs(whole), 1.0)
    if not fractional.any():
        return ()
    if family.name == "binomial" and trials is None:
        return (
            "The response has fractions: this is the fractional (quasi-likelihood) model, for which these standard "
            "errors are only right if the variance is mu (1 - mu). If the fractions are successes out of known "
            "numbers of trials, give trials=.",
        )
    if family.name == "binomial":
        return ("Response times trials is not a whole number in some rows; check trials=.",)
    if family.name == "poisson":
        return (
            "The response has fractions, so this is a quasi-likelihood fit. If it is a rate, model the count and give "
            "exposure= instead.",
        )
    return ()
