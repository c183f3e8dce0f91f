"""Which families a response could have, from the values that it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CAVEAT = (
    "This looks only at which values y takes. What a family assumes concerns y given x: fit, then look at the "
    "residuals and at the dispersion."
)


@dataclass(frozen=True)
class Suggestion:
    """Families for a response, the usual first choice first.

    Attributes
    ----------
    names : tuple of str
        Names for ``family=`` ("tweedie" also needs a power); empty if no family here suits.
    values : str
        What the values are, in words.
    advice : str
        When to take which.
    """

    names: tuple[str, ...]
    values: str
    advice: str

    def __str__(self) -> str:
        chosen = ", ".join(self.names) if self.names else "none of the families here"
        return f"y holds {self.values}: {chosen}. {self.advice} {CAVEAT}"

    __repr__ = __str__


def suggest(y: np.ndarray) -> Suggestion:
    """Families whose support holds every value of y, (n,) numbers; NaN is left out."""
    y = y[~np.isnan(y)]
    if len(y) == 0:
        return Suggestion((), "no values", "There is nothing to choose a family by.")
    if not np.isfinite(y).all():
        return Suggestion((), "infinite values", "Remove or replace them first.")
    whole = bool(np.all(y == np.round(y)))
    if np.isin(y, (0.0, 1.0)).all():
        return Suggestion(("binomial",), "zeros and ones", "Logit gives odds ratios; probit and others do not.")
    if y.min() < 0:
        return Suggestion(("gaussian",), "negative and positive numbers" if y.max() > 0 else "negative numbers", (
            "A heavy-tailed response may need a likelihood of its own (custom_family)."))  # fmt: skip
    if y.max() <= 1:
        return Suggestion(("binomial", "quasibinomial"), "fractions between 0 and 1", (
            "Binomial with trials= if they are successes out of known numbers of trials, quasibinomial if not."
        ))  # fmt: skip
    if whole:
        return Suggestion(("poisson", "negative_binomial", "quasipoisson"), "whole numbers from 0 up", (
            "Poisson for counts whose variance is near their mean, the others for counts that vary more; successes out "
            "of known trials are binomial, cbind(success, failure) ~ ...; large counts far from 0 may be gaussian."
        ))  # fmt: skip
    if y.min() == 0:
        return Suggestion(("tweedie",), "positive numbers and exact zeros", (
            "jg.Tweedie(power=1.5) for amounts that are often exactly 0; gaussian if the zeros are only small values."
        ))  # fmt: skip
    return Suggestion(("gamma", "inverse_gaussian", "gaussian"), "positive numbers", (
        "Gamma with link='log' where the standard deviation grows with the mean, inverse Gaussian where it grows "
        "faster, gaussian where it is constant."
    ))  # fmt: skip


def suggest_for_labels(count: int) -> Suggestion:
    """For a response of text or categories with `count` of them."""
    if count <= 2:
        return Suggestion(("binomial",), f"{count} label" + "s" * (count != 1), "The second label counts as success.")
    return Suggestion((), f"{count} labels", "Choose one outcome against the others, as in I(y == 'label') ~ ...")
