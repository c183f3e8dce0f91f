"""Covariances that hold whatever the variance of each row is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from jaxglm.errors import DataWarning
from jaxglm.fitted import Fit
from jaxglm.inference.covariance import Diagonals, Estimator, sandwich
from jaxglm.kernels import LeverageMeat, LeveragePoint, Meat
from jaxglm.solvers.middles import Leveraged, Middle, Plain


@dataclass(frozen=True)
class HC(Estimator):
    """Heteroskedasticity-consistent covariance B M B (White 1980; MacKinnon and White 1985).

    ========  ==============================================  =================
    name      each score s is                                 factor
    ========  ==============================================  =================
    HC0       as it is                                        1
    HC1       as it is                                        n / df_resid
    HC2       (I - H)^(-1/2) s                                1
    HC3       (I - H)^(-1) s                                  1
    ========  ==============================================  =================

    B is the inverse of the reported information, and H = W X B X' of a row, (K, K), its leverage under the same
    information: with one predictor s / sqrt(1 - h) and s / (1 - h). For any K, HC3 is the jackknife of one Newton step.

    Weights: M sums w s s' under freq_weights, whose leverage is that of each of the w observations, so that a row with
    weight w equals w rows; it sums w^2 s s' under var_weights and prob_weights, and scaling all of those changes
    nothing. Agrees with sandwich's vcovHC. Cost: one pass, O(n P^2), like that of the information.

    Attributes
    ----------
    name : str
    power : float
        Power of I - H that divides the score.
    adjust : bool
        Whether the factor n / df_resid is applied.
    """

    name: str
    power: float = 0.0
    adjust: bool = False

    def matrix(self, fit: Fit, bread: np.ndarray, beside: None) -> np.ndarray:
        found = sandwich(fit, bread, self._meat(fit))
        if self.adjust:
            found = found * (fit.nobs / fit.df_resid if fit.df_resid > 0 else np.nan)
        return found

    @property
    def middle(self) -> Middle:
        """Scores as they are, or divided by a power of I - H."""
        return Plain() if self.power == 0.0 else Leveraged(self.power)

    def variances(self, diagonals: Diagonals) -> np.ndarray:
        n, df = diagonals.nobs, diagonals.df_resid
        factor = np.where(df > 0, n / np.where(df > 0, df, 1.0), np.nan) if self.adjust else np.ones(len(n))
        return factor[:, None] * diagonals.sandwich

    def _meat(self, fit: Fit) -> np.ndarray:
        if self.power == 0.0:
            return np.asarray(fit.rows.reduce(Meat(), fit.careful, fit.coefficients))
        point = LeveragePoint(
            fit.coefficients, np.asarray(fit.bread.root()), np.asarray(fit.information == "observed"),
            np.asarray(self.power), np.asarray(fit.alone),
        )  # fmt: skip
        meat = np.asarray(fit.rows.reduce(LeverageMeat(), fit.careful, point))
        if np.isnan(meat[np.ix_(fit.active, fit.active)]).any():
            warnings.warn(
                f"{self.name} is not defined: a row alone determines a coefficient (its leverage is 1), so standard "
                "errors are NaN; use HC1, or leave the row or its column out",
                DataWarning,
                stacklevel=6,
            )
        return meat

    def title(self, beside: None) -> str:
        return self.name
