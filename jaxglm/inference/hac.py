"""Covariance under dependence over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxglm.errors import DataError, InputError, InputTypeError
from jaxglm.fitted import Fit
from jaxglm.hosts import ALONE, Hosts
from jaxglm.inference.covariance import Codes, Estimator, sandwich
from jaxglm.kernels import Scores


@dataclass(frozen=True, init=False, eq=False)
class HAC(Estimator):
    """Covariance for one series of rows whose scores are autocorrelated (Newey and West 1987).

    Parameters
    ----------
    lags : int
        Largest lag L; lag l has the Bartlett weight 1 - l / (L + 1). 0 gives HC0.
    time : str or array (n,), optional
        What gives the order of the rows: a column of the data, or one value a row. By default the rows are in order.
    adjust : bool
        Multiply by n / df_resid, as Stata's newey does.

    Raises
    ------
    InputError
        A negative number of lags, as many lags as rows, or freq_weights or prob_weights.
    DataError
        Two rows at the same time.

    Notes
    -----
    B M B with B the inverse of the reported information and M the weighted sum of autocovariances of the scores:
    sandwich's ``NeweyWest(lag=L, prewhite=FALSE, adjust=...)`` and statsmodels' ``cov_type="HAC"``. A lag is a number
    of rows: times that are not in the data, or were dropped as incomplete, leave no gap.

    Weights: a row has the score w s under var_weights. Rows of freq_weights and prob_weights are no series, so those
    raise.

    Cost: one pass, O(n P (P + L)). Where `time` changes the order, 8 n P bytes, else those of a chunk of rows.

    Examples
    --------
    >>> import pandas as pd
    >>> import jaxglm as jg
    >>> df = pd.DataFrame({"y": [1, 2, 4, 3, 6, 9], "x": [0, 1, 2, 1, 2, 3], "year": range(2001, 2007)})
    >>> res = jg.glm("y ~ x", df, family="poisson", cov=jg.HAC(1, time="year"))
    >>> res.cov_type, res.bse.round(4).to_dict()
    ('HAC (1 lag)', {'Intercept': 0.1806, 'x': 0.0595})
    """

    reads_beside = True
    alone = True

    lags: int
    time: Any
    adjust: bool

    def __init__(self, lags: int, *, time: Any = None, adjust: bool = False):
        if isinstance(lags, bool) or not isinstance(lags, (int, np.integer)):
            raise InputTypeError(f"lags must be a whole number, not {lags!r}")
        if lags < 0:
            raise InputError(f"lags must not be negative, but is {lags}")
        if time is not None and not isinstance(time, str) and np.ndim(time) != 1:
            raise InputTypeError(f"time must be a column name or one value a row, not {type(time).__name__}")
        if not isinstance(adjust, bool):
            raise InputTypeError(f"adjust must be True or False, not {adjust!r}")
        object.__setattr__(self, "lags", int(lags))
        object.__setattr__(self, "time", time)
        object.__setattr__(self, "adjust", adjust)

    def check(self, weights: tuple[str, ...]) -> None:
        for kind, remedy in (("freq_weights", "give every observation a row"), ("prob_weights", "use jg.Cluster")):
            if kind in weights:
                raise InputError(f"the HAC covariance needs a series of single rows, which {kind}= are not; {remedy}")

    def without_rows(self) -> HAC:
        named = self.time is None or isinstance(self.time, str)
        return self if named else HAC(self.lags, time="given values", adjust=self.adjust)

    def learn(self, codes: Codes, hosts: Hosts) -> np.ndarray | None:
        """The order of the rows, or None if they are in order."""
        if self.time is None:
            return None
        times = codes(self.time, "time", hosts)
        order = np.argsort(times, kind="stable")
        ties = np.flatnonzero(np.diff(times[order]) == 0)
        if len(ties):
            raise DataError(
                f"time has the same value in the fitted rows {order[ties[0]]} and {order[ties[0] + 1]}, counted from "
                "0, but HAC takes one series; use a finer time, one series at a time, or jg.Cluster for a panel"
            )
        return None if (np.diff(order) == 1).all() else order

    def sets(self, codes: Codes) -> tuple[np.ndarray, ...]:
        if self.time is not None:
            codes(self.time, "time", ALONE)
        return ()

    def matrix(self, fit: Fit, bread: np.ndarray, beside: np.ndarray | None) -> np.ndarray:
        source = fit.rows
        if self.lags >= source.n_rows:
            raise InputError(f"lags must be below the number of rows, {source.n_rows}, but is {self.lags}")
        pieces = source.iterate(Scores(), fit.careful, fit.coefficients)
        if beside is not None:
            pieces = iter([np.concatenate(list(pieces))[beside]])
        found = sandwich(fit, bread, _long_run(pieces, self.lags))
        if self.adjust:
            found = found * (fit.nobs / fit.df_resid if fit.df_resid > 0 else np.nan)
        return found

    def title(self, beside: np.ndarray | None) -> str:
        return f"HAC ({self.lags} {'lag' if self.lags == 1 else 'lags'})"


def _long_run(pieces: Iterable[np.ndarray], lags: int) -> np.ndarray:
    """Autocovariances (P, P) of scores up to a lag, with Bartlett's weights; pieces (m, P) come in order."""
    held, total = None, 0.0
    for piece in pieces:
        whole = piece if held is None else np.concatenate([held, piece])
        before = len(whole) - len(piece)
        # Weighted sums of the scores before each row first, so that one product serves all lags.
        past = np.zeros_like(piece)
        for lag in range(1, lags + 1):
            start = max(before, lag)
            past[start - before :] += (1.0 - lag / (lags + 1.0)) * whole[start - lag : max(len(whole) - lag, 0)]
        cross = past.T @ piece
        total = total + piece.T @ piece + cross + cross.T
        held = whole[-lags:] if lags else None
    return total
