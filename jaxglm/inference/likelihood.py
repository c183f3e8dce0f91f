"""Information criteria and pseudo R-squared."""

from __future__ import annotations

import numpy as np

from jaxglm.errors import InputError, near
from jaxglm.fitted import Fit

PSEUDO = ("deviance", "cox_snell", "nagelkerke")


def aic(fit: Fit) -> float:
    """-2 llf + 2 k, the dispersion counted in k where it is estimated (as in R)."""
    return -2.0 * fit.llf + 2.0 * fit.n_parameters


def bic(fit: Fit) -> float:
    """-2 llf + log(nobs) k, with the same k."""
    return -2.0 * fit.llf + np.log(fit.nobs) * fit.n_parameters


def pseudo_rsquared(fit: Fit, kind: str = "deviance") -> float:
    """Share of the null model's misfit that the model explains.

    Parameters
    ----------
    kind : str
        "deviance" : 1 - deviance / null deviance (for the Gaussian family the ordinary R-squared; for 0/1 data
        McFadden's). "cox_snell" : 1 - exp(-LR / n) (Cox and Snell 1989). "nagelkerke" : the same over its
        maximum (Nagelkerke 1991), for families with a known dispersion and a discrete response.
    """
    if kind == "deviance":
        return 1.0 - fit.deviance / fit.null_deviance if fit.null_deviance > 0 else np.nan
    if kind not in PSEUDO:
        raise InputError(f"unknown pseudo R-squared {kind!r}.{near(kind, PSEUDO)}")
    ratio = (fit.null_deviance - fit.deviance) / (1.0 if fit.model.family.dispersion_known else fit.scale)
    cox_snell = 1.0 - np.exp(-ratio / fit.nobs)
    if kind == "cox_snell":
        return cox_snell
    null_llf = fit.llf - 0.5 * ratio
    most = 1.0 - np.exp(2.0 * null_llf / fit.nobs)
    return cox_snell / most if most > 0 else np.nan
