"""R-squared and the F test of least squares, as R's ``summary(lm(...))`` gives them.

Sums of squares are weighted. They are taken around the weighted mean where the model has an intercept, else around
zero; with an offset they are those of y minus the offset, so that the F test compares with the null model.
"""

from __future__ import annotations

import numpy as np

from jaxglm.errors import NotAvailableError
from jaxglm.fitted import Fit
from jaxglm.inference import intervals
from jaxglm.inference.covariance import Covariance


def _require(fit: Fit, what: str) -> None:
    family = fit.model.family
    if not family.quadratic:
        raise NotAvailableError(
            f"{what} belongs to least squares (the Gaussian family with the identity link), and this is the "
            f"{family.name} family with the {family.link.name} link; use pseudo_rsquared() or compare deviances"
        )


def df_model(fit: Fit) -> float:
    """Estimated coefficients besides the intercept."""
    return fit.df_null - fit.df_resid


def rsquared(fit: Fit) -> float:
    """Share of the sum of squares that the model explains; NaN where there is none to explain.

    Raises
    ------
    NotAvailableError
        Another family than the Gaussian, or another link than the identity.
    """
    _require(fit, "R-squared")
    if df_model(fit) == 0:
        return 0.0
    return 1.0 - fit.deviance / fit.null_deviance if fit.null_deviance > 0 else np.nan


def rsquared_adj(fit: Fit) -> float:
    """R-squared with mean squares for sums: 1 - (1 - R2) df_null / df_resid; NaN without residual degrees of freedom.

    Raises
    ------
    NotAvailableError
        As for :func:`rsquared`.
    """
    share = rsquared(fit)
    return 1.0 - (1.0 - share) * fit.df_null / fit.df_resid if fit.df_resid > 0 else np.nan


def fvalue(fit: Fit, covariance: Covariance) -> float:
    """F statistic of the hypothesis that all coefficients but the intercept are 0, on df_model and df_resid.

    NaN without such coefficients or without residual degrees of freedom.

    Raises
    ------
    NotAvailableError
        As for :func:`rsquared`; or the covariance is not the plain one, which the F test assumes.
    """
    _require(fit, "the F test")
    if covariance.robust:
        raise NotAvailableError(
            f"the F test of least squares assumes the nonrobust covariance, and this fit has {covariance.kind!r}"
        )
    df = df_model(fit)
    if df == 0 or not fit.df_resid > 0:
        return np.nan
    explained = max(fit.null_deviance - fit.deviance, 0.0) / df
    if fit.scale > 0:
        return explained / fit.scale
    return np.inf if explained > 0 else np.nan


def f_pvalue(fit: Fit, covariance: Covariance) -> float:
    """p-value of :func:`fvalue`."""
    return intervals.f_p_value(fvalue(fit, covariance), df_model(fit), fit.df_resid)
