"""Parameters as they are reported: some coefficients are logs of what users call the parameter."""

from __future__ import annotations

import numpy as np

from jaxglm.errors import Status
from jaxglm.fitted import Fit
from jaxglm.inference.covariance import Covariance
from jaxglm.inference.intervals import p_values, statistics, wald


def estimates(fit: Fit) -> np.ndarray:
    """Coefficients (P,), natural parameters instead of their logs; NaN where aliased, 0 where held at their limit."""
    # A fit that ended before it came to the parameter has no estimate of it.
    end = 0.0 if fit.status is Status.NO_OVERDISPERSION else np.nan
    with np.errstate(over="ignore"):
        natural = np.where(fit.held, end, np.exp(np.where(fit.natural, fit.theta, 0.0)))
    return np.where(fit.natural, natural, fit.theta)


def slopes(fit: Fit) -> np.ndarray:
    """Derivative of each reported parameter in its coefficient, (P,)."""
    return np.where(fit.natural, estimates(fit), 1.0)


def standard_errors(fit: Fit, covariance: Covariance) -> np.ndarray:
    """By the delta method for natural parameters, (P,)."""
    return slopes(fit) * covariance.standard_errors


def covariance_matrix(fit: Fit, covariance: Covariance) -> np.ndarray:
    """Covariance of the reported parameters, (P, P)."""
    scale = slopes(fit)
    return scale[:, None] * covariance.matrix * scale


def tests(fit: Fit, covariance: Covariance) -> tuple[np.ndarray, np.ndarray]:
    """Statistic and two-sided p-value of "is 0", each (P,); NaN for natural parameters, whose range ends at 0."""
    statistic = np.where(fit.natural, np.nan, statistics(fit.theta, covariance.standard_errors))
    return statistic, p_values(statistic, covariance.df)


def limits(fit: Fit, covariance: Covariance, alpha: float) -> np.ndarray:
    """Wald limits (P, 2); those of natural parameters are made on the log scale."""
    found = wald(fit.theta, covariance.standard_errors, alpha, covariance.df)
    with np.errstate(over="ignore"):
        return np.where(fit.natural[:, None], np.exp(np.where(fit.natural[:, None], found, 0.0)), found)


def ratio_name(fit: Fit) -> str | None:
    """What exp(coefficient) is called under the link, or None where it means nothing."""
    family, link = fit.model.family.name, fit.model.family.link.name
    if link == "log":
        names = {"binomial": "Risk ratio", "quasibinomial": "Risk ratio"}
        names |= dict.fromkeys(("poisson", "quasipoisson", "negative_binomial"), "Rate ratio")
        return names.get(family, "Ratio of means")
    return {"logit": "Odds ratio", "cloglog": "Hazard ratio"}.get(link)
