"""What `get_prediction` returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxglm.inference.predict import Prediction
from jaxglm.results.tidy import check_alpha


@dataclass(frozen=True)
class PredictionResults:
    """Predictions with standard errors and intervals.

    Attributes
    ----------
    prediction : Prediction
        Arrays on both scales.
    index : pandas.Index
    which : "mean" or "linear"
        The scale that :meth:`summary_frame` is on.
    """

    prediction: Prediction
    index: pd.Index
    which: str

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

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Columns `mean mean_se mean_ci_lower mean_ci_upper`, on the scale of `which`."""
        limits = self.conf_int(alpha)
        return pd.DataFrame(
            {
                "mean": self.predicted,
                "mean_se": self.se,
                "mean_ci_lower": limits[:, 0],
                "mean_ci_upper": limits[:, 1],
            },
            index=self.index,
        )

    def __repr__(self) -> str:
        return repr(self.summary_frame())

    def _repr_html_(self) -> str:
        return self.summary_frame()._repr_html_()
