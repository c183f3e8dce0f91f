"""Frames in the manner of R's broom, and the other tables of a result."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxglm.errors import ConvergenceWarning, InputError, InputTypeError, near
from jaxglm.inference import likelihood, parameters, residuals

if TYPE_CHECKING:
    from jaxglm.results.results import Results


def check_alpha(alpha: float) -> float:
    """`alpha` if it is a number strictly between 0 and 1, else an error that mentions levels."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float, np.floating)):
        raise InputTypeError(f"alpha must be a number between 0 and 1, not {alpha!r}")
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie between 0 and 1 (0.05 gives 95 % intervals), not {alpha}")
    return float(alpha)


def conf_int(res: Results, alpha: float = 0.05, method: str = "wald") -> pd.DataFrame:
    """Limits of every coefficient, columns `lower` and `upper`.

    Raises
    ------
    InputError
        Neither "wald" nor "profile".
    NotAvailableError
        Profile limits where the covariance does not rest on a likelihood.

    Warns
    -----
    ConvergenceWarning
        A profile limit was not found; it is NaN.
    """
    return pd.DataFrame(_limits(res, alpha, method), index=res.labels.terms, columns=["lower", "upper"])


def _limits(res: Results, alpha: float, method: str) -> np.ndarray:
    if method not in _LIMITS:
        raise InputError(f"unknown method {method!r} of intervals.{near(method, _LIMITS)}")
    return _LIMITS[method](res, check_alpha(alpha))


def _wald(res: Results, alpha: float) -> np.ndarray:
    return parameters.limits(res.fit, res.covariance, alpha)


def _profile(res: Results, alpha: float) -> np.ndarray:
    # With a solver of its own, for many fits at a time.
    from jaxglm.inference.profile import profile

    found = profile(res.fit, res.covariance, alpha)
    if found.failures:
        sides = {-1: "lower", 1: "upper"}
        words = "; ".join(f"{sides[side]} limit of {res.labels.texts[j]}: {why}" for j, side, why in found.failures[:5])
        more = f"; and {len(found.failures) - 5} more" if len(found.failures) > 5 else ""
        warnings.warn(
            f"profile limits that were not found are NaN ({words}{more}); method='wald' gives the others",
            ConvergenceWarning, stacklevel=4,
        )  # fmt: skip
    return found.limits


_LIMITS = {"wald": _wald, "profile": _profile}


def coefficient_table(
    res: Results, alpha: float = 0.05, exponentiate: bool = False, method: str = "wald"
) -> pd.DataFrame:
    """Estimate, standard error, statistic, p-value and limits of every coefficient.

    With `exponentiate` the estimate and limits are exponentiated and the standard error is
    exp(b) se(b) (delta method; broom leaves it as it was); statistic and p-value still test b = 0.
    Parameters on their natural scale (alpha) stay as they are.
    """
    fit, cov = res.fit, res.covariance
    estimate, se = parameters.estimates(fit), parameters.standard_errors(fit, cov)
    statistic, p_value = parameters.tests(fit, cov)
    limits = _limits(res, alpha, method)
    if exponentiate:
        require_ratio(res)
        with np.errstate(over="ignore"):
            ratio = np.exp(estimate)
            se = np.where(fit.natural, se, se * ratio)
            limits = np.where(fit.natural[:, None], limits, np.exp(limits))
        estimate = np.where(fit.natural, estimate, ratio)
    return pd.DataFrame(
        {
            "estimate": estimate,
            "std_error": se,
            "statistic": statistic,
            "p_value": p_value,
            "conf_low": limits[:, 0],
            "conf_high": limits[:, 1],
        },
        index=res.labels.terms,
    )


def require_ratio(res: Results) -> str:
    """The name of exp(coefficient), or an error where it has no meaning."""
    name = parameters.ratio_name(res.fit)
    if name is None:
        link = res.fit.model.family.link.name
        raise InputError(
            f"exponentiate=True means ratios, which the {link} link does not give; "
            "log gives rate ratios, logit odds ratios, cloglog hazard ratios"
        )
    return name


def tidy(
    res: Results, conf_int: bool = False, alpha: float = 0.05, exponentiate: bool = False, method: str = "wald"
) -> pd.DataFrame:
    """One row a coefficient; `method` of the limits as in :func:`conf_int`, used only where they are asked for."""
    table = coefficient_table(res, alpha, exponentiate, method if conf_int else "wald")
    table = table.rename_axis(["predictor", "term"] if table.index.nlevels == 2 else "term").reset_index()
    return table if conf_int else table.drop(columns=["conf_low", "conf_high"])


def glance(res: Results) -> pd.DataFrame:
    """One row of fit statistics; least squares have R-squared, and F under the plain covariance."""
    fit = res.fit
    squares = ["rsquared", "rsquared_adj"] if fit.model.family.quadratic else []
    if squares and not res.covariance.robust:
        squares += ["fvalue", "f_pvalue"]
    return pd.DataFrame(
        {
            "null_deviance": [fit.null_deviance],
            "df_null": [fit.df_null],
            "llf": [fit.llf],
            "aic": [likelihood.aic(fit)],
            "bic": [likelihood.bic(fit)],
            "deviance": [fit.deviance],
            "df_resid": [fit.df_resid],
            "nobs": [fit.nobs],
            "scale": [fit.scale],
            **{name: [getattr(res, name)] for name in squares},
            "status": [fit.status.name],
        }
    )


def _resid(res: Results, kind: str) -> np.ndarray:
    """Residuals, NaN where the family has none of this kind."""
    family = res.fit.model.family
    there = all(family.has(method) for method in residuals.KINDS[kind])
    return res.resid(kind).to_numpy() if there else np.full(res.fit.rows.own.n_rows, np.nan)


def augment(res: Results, data: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a fitted observation: linear predictor, mean with its standard error, residuals.

    With `data`, a pandas frame that holds the fitted rows, its columns come first.
    """
    pred = res.get_prediction()
    frame = pd.DataFrame(
        {
            ".eta": pred.prediction.eta,
            ".fitted": pred.prediction.mean,
            ".se_fit": pred.prediction.mean_se,
            ".resid": _resid(res, "deviance"),
            ".resid_pearson": _resid(res, "pearson"),
        },
        index=pred.index,
    )
    if data is None:
        return frame
    if not isinstance(data, pd.DataFrame):
        raise InputTypeError(f"augment(data) takes the pandas frame that was fitted, not {type(data).__name__}")
    if not data.index.is_unique or not frame.index.isin(data.index).all():
        raise InputError(
            "augment(data) needs the frame that was fitted, with a unique index that holds the fitted rows"
        )
    return data.loc[frame.index].join(frame)
