"""What was observed in each fitted row, and what it stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxglm import precision
from jaxglm.fitted import Fit
from jaxglm.inference.residuals import own_rows
from jaxglm.kernels import Observed as _Observed


@dataclass(frozen=True)
class Observed:
    """Responses and weights of the n fitted rows, each (n,).

    Attributes
    ----------
    y : response on the scale of the mean (a proportion where there are trials)
    freq : observations that the row stands for
    share : probability weight; 1 without prob_weights
    prior : variance weight; 1 without var_weights
    size : number of trials; 1 without trials
    """

    y: np.ndarray
    freq: np.ndarray
    share: np.ndarray
    prior: np.ndarray
    size: np.ndarray

    @property
    def count(self) -> np.ndarray:
        """Weight of a row in a count of the population: freq_weights times prob_weights."""
        return self.freq * self.share


def observed(fit: Fit, what: str) -> Observed:
    """Responses and weights of the rows in this process; `what` needs them, for the message if none were kept.

    Raises
    ------
    NotAvailableError
    """
    source = own_rows(fit, what)
    with precision.scope():
        rows = source.map_rows(_Observed(), fit.model, None)
    one = np.ones_like(rows["prior"])
    share, prior = (rows["prior"], one) if fit.options.probability_weights else (one, rows["prior"])
    return Observed(rows["y"], rows["freq"], share, prior, rows["size"])
