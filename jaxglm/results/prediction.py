"""What `get_prediction` returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from jaxglm.errors import InputError, InputTypeError, NotAvailableError
from jaxglm.inference.forecast import Forecast
from jaxglm.inference.predict import Prediction
from jaxglm.results.tidy import check_alpha


@dataclass(frozen=True)
class PredictionResults:
    """Predictions with standard errors and intervals, and the distribution of a new observation.

    Attributes
    ----------
    prediction : Prediction
        Arrays on both scales.
    index : pandas.Index
    which : "mean" or "linear"
        The scale that :meth:`summary_frame` is on.
    maker : callable () -> Forecast, or None
        Makes the distribution of a new observation, when it is first asked for; None where the family has none.
    levels : tuple
        (failure, success) of a response of two labels.
    bad : (m,) bool
        Rows that cannot be predicted.
    """

    prediction: Prediction
    index: pd.Index
    which: str
    maker: Callable[[], Forecast] | None = None
    levels: tuple[Any, ...] = ()
    bad: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """Predicted values, (m,)."""
        return self.prediction.mean if self.which == "mean" else self.prediction.eta

    @property
    def se(self) -> np.ndarray:
        """Their standard errors, (m,)."""
        return self.prediction.mean_se if self.which == "mean" else self.prediction.eta_se

    def conf_int(self, alpha: float = 0.05) -> np.ndarray:
        """Limits (m, 2); those of the mean are the limits on the link scale, transformed."""
        return self.prediction.interval(check_alpha(alpha), self.which)

    def obs_int(self, alpha: float = 0.05) -> np.ndarray:
        """Limits (m, 2) that hold a new observation with probability 1 - alpha: quantiles alpha/2 and 1 - alpha/2.

        The uncertainty of the estimates is counted; see :meth:`quantile`.
        """
        share = check_alpha(alpha) / 2.0
        return self.quantile([share, 1.0 - share]).to_numpy()

    def quantile(self, q: float | Sequence[float], plug_in: bool = False) -> pd.Series | pd.DataFrame:
        """Quantiles of a new observation: the least y with P(Y <= y) >= q.

        Parameters
        ----------
        q : float, or sequence of them
            Strictly between 0 and 1.
        plug_in : bool
            Take the estimates as known. By default their uncertainty is counted, so that intervals cover.

        Notes
        -----
        Predictors are taken as normal around their estimates, an estimated dispersion as chi-squared; for least
        squares that is R's ``predict(lm, interval="prediction")``. A new row has weight 1; fitted rows have dispersion
        phi / var_weights. A binomial response is a proportion of its trials.

        Raises
        ------
        NotAvailableError
            The family has no distribution function.
        """
        many = np.ndim(q) > 0
        asked = [float(v) for v in (q if many else [q])]
        if not all(0.0 < v < 1.0 for v in asked):
            raise InputError(f"q must lie between 0 and 1 (0.5 is the median), not {q!r}")
        law = self._law(plug_in)
        found = [self._labelled(law.quantile(v)) for v in asked]
        return pd.DataFrame(dict(zip(asked, found, strict=True)), index=self.index) if many else found[0]

    def cdf(self, y: Any, plug_in: bool = True) -> pd.Series:
        """P(Y <= y) of each row, at one number or at one a row; `plug_in` takes the estimates as known."""
        return self._labelled(self._law(plug_in).cdf(self._points(y)))

    def probability(self, values: Sequence[Any] | None = None, plug_in: bool = True) -> pd.DataFrame:
        """Probability of each of some values of a discrete response, one column a value.

        By default the two classes of a response of two labels, whose second column is the predicted mean; else give
        the counts, as in ``probability(range(5))``. `plug_in` takes the estimates as known.

        Raises
        ------
        NotAvailableError
            The response is continuous, or the family has no distribution function.
        InputError
            Values are needed and not given.
        """
        law = self._law(plug_in)
        step = law.lattice
        if not np.all(step > 0):
            raise NotAvailableError(
                "single values of a continuous response have no probability; use cdf() or quantile()"
            )
        if values is None:
            if law.family.mean_range != "unit" or not np.all(step == 1.0):
                raise InputError("probability() needs values, as in probability(range(5)); beside trials proportions")
            values = self.levels or (0, 1)
        codes = {level: float(i) for i, level in enumerate(self.levels)}
        points = [(v, self._points(codes.get(v, v))) for v in values]
        return pd.DataFrame({v: self._labelled(law.probability(p)) for v, p in points}, index=self.index)

    def _points(self, y: Any) -> np.ndarray:
        try:
            return np.broadcast_to(np.asarray(y, float), (len(self.index),))
        except (TypeError, ValueError):
            raise InputTypeError(f"y must be a number or one number a row ({len(self.index)}), not {y!r}") from None

    def _labelled(self, values: np.ndarray) -> pd.Series:
        return pd.Series(values if self.bad is None else np.where(self.bad, np.nan, values), index=self.index)

    @cached_property
    def _made(self) -> Forecast:
        return self.maker()

    def _law(self, plug_in: bool) -> Forecast:
        if self.maker is None:
            raise NotAvailableError(
                "this family has no distribution function (quasi families have none; a family of your own takes cdf=)"
            )
        return self._made.plugged_in() if plug_in else self._made

    def summary_frame(self, alpha: float = 0.05, obs: bool = True) -> pd.DataFrame:
        """Columns `mean mean_se mean_ci_lower mean_ci_upper`, on the scale of `which`.

        For the mean of a family with a distribution `obs_ci_lower obs_ci_upper` follow, the limits of
        :meth:`obs_int`; ``obs=False`` leaves them out, which is quicker by far where rows are many.
        """
        limits = self.conf_int(alpha)
        columns = {
            "mean": self.predicted,
            "mean_se": self.se,
            "mean_ci_lower": limits[:, 0],
            "mean_ci_upper": limits[:, 1],
        }
        if obs and self.maker is not None and self.which == "mean":
            limits = self.obs_int(alpha)
            columns |= {"obs_ci_lower": limits[:, 0], "obs_ci_upper": limits[:, 1]}
        return pd.DataFrame(columns, index=self.index)

    def __repr__(self) -> str:
        return repr(self.summary_frame(obs=False))

    def _repr_html_(self) -> str:
        return self.summary_frame(obs=False)._repr_html_()
