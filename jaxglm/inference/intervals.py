"""Wald tests and intervals of single coefficients.

The normal distribution comes from Python's own library: scipy.special takes longer to import than the tests of a small
model are worth, so only Student t and Fisher's F wait for it.
"""

from __future__ import annotations

import math

import numpy as np

_erfc = np.frompyfunc(math.erfc, 1, 1)


def statistics(estimate: np.ndarray, standard_error: np.ndarray) -> np.ndarray:
    """z or t values, NaN where the standard error is 0 or missing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(standard_error > 0, estimate / standard_error, np.nan)


def p_values(statistic: np.ndarray, df: float) -> np.ndarray:
    """Two-sided p-values, normal where df is infinite, else Student t."""
    size = np.abs(statistic)
    if np.isinf(df):
        return np.asarray(_erfc(size / math.sqrt(2.0)), float)
    from scipy import special

    return 2.0 * special.stdtr(df, -size) if df > 0 else np.full_like(size, np.nan)


def quantile(alpha: float, df: float) -> float:
    """The factor on a standard error that gives a two-sided 1 - alpha interval."""
    if np.isinf(df):
        from statistics import NormalDist

        return -NormalDist().inv_cdf(alpha / 2.0)
    from scipy import special

    return float(special.stdtrit(df, 1.0 - alpha / 2.0)) if df > 0 else np.nan


def t_p_values(statistic: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Two-sided p-values of Student t with degrees of freedom that broadcast; NaN where those are."""
    from scipy import special

    return 2.0 * special.stdtr(df, -np.abs(statistic))


def t_quantiles(alpha: float, df: np.ndarray) -> np.ndarray:
    """As :func:`quantile` for an array of degrees of freedom; NaN where those are."""
    from scipy import special

    return special.stdtrit(df, 1.0 - alpha / 2.0)


def percentile(q: float, df: float) -> float:
    """The q quantile of Student's t, the standard normal where df is infinite."""
    return -quantile(2.0 * q, df) if q < 0.5 else quantile(2.0 * (1.0 - q), df) if q > 0.5 else 0.0


def wald(estimate: np.ndarray, standard_error: np.ndarray, alpha: float, df: float) -> np.ndarray:
    """Lower and upper limits, (..., 2)."""
    half = quantile(alpha, df) * standard_error
    return np.stack([estimate - half, estimate + half], axis=-1)


def f_p_value(statistic: float, df_model: float, df_resid: float) -> float:
    """Upper tail of Fisher's F; NaN where the statistic is."""
    from scipy import special

    return float(special.fdtrc(df_model, df_resid, statistic)) if not np.isnan(statistic) else np.nan


def order_limits(count: np.ndarray, n: float, alpha: float) -> np.ndarray:
    """Pointwise limits (m, 2), level 1 - alpha, of the uniform order statistics with `count` of n values up to them.

    The k-th smallest of n independent uniform numbers has the beta distribution with k and n + 1 - k (the limits are
    exact for a fixed model; estimated coefficients make them a little too wide). `count` and n need not be whole.
    """
    from scipy import special

    count = np.asarray(count, float)
    return np.stack([special.betaincinv(count, n + 1.0 - count, p) for p in (alpha / 2, 1 - alpha / 2)], axis=-1)


def normal_quantile(probability: np.ndarray) -> np.ndarray:
    """Quantiles of the standard normal distribution."""
    from scipy import special

    return special.ndtri(probability)


def wilson(share: np.ndarray, n: np.ndarray, alpha: float) -> np.ndarray:
    """Limits (m, 2) of proportions of n trials each, level 1 - alpha (Wilson 1927); they stay within 0 and 1."""
    z = quantile(alpha, np.inf)
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.clip(np.stack([center - half, center + half], axis=-1), 0.0, 1.0)


def chi2_p_value(statistic: float, df: float) -> float:
    """Upper tail of chi-squared; NaN where the statistic is, or without degrees of freedom."""
    from scipy import special

    return float(special.chdtrc(df, max(statistic, 0.0))) if df > 0 and not np.isnan(statistic) else np.nan
