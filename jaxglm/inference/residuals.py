"""Residuals and fitted values of the rows that were fitted."""

from __future__ import annotations

import numpy as np

from jaxglm import precision
from jaxglm.errors import InputError, NotAvailableError, near
from jaxglm.fit import Fit
from jaxglm.inference.predict import values
from jaxglm.kernels import Predictors, Residuals

KINDS = ("response", "pearson", "deviance", "working")


def need_rows(fit: Fit, what: str):
    """The source of a fit, or an error that says how to keep it."""
    if fit.source is None:
        raise NotAvailableError(f"{what} needs the fitted rows, which were not kept; refit with keep_data=True")
    return fit.source


def residuals(fit: Fit, kind: str = "deviance") -> np.ndarray:
    """Residuals of every fitted row, (n,).

    Parameters
    ----------
    kind : str
        "response" y - mu; "pearson" (y - mu) sqrt(w / V(mu)); "deviance" sign(y - mu) sqrt(w d);
        "working" (y - mu) d eta / d mu. w is the prior weight of the row (1 under freq_weights, where a row
        stands for several observations with the same residual).
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of residual {kind!r}.{near(kind, KINDS)}")
    source = need_rows(fit, "resid()")
    with precision.scope():
        return source.map_rows(Residuals(), fit.model, fit.coefficients)[kind]


def linear_predictor(fit: Fit) -> np.ndarray:
    """eta of every fitted row, offset included, (n, K)."""
    source = need_rows(fit, "the linear predictor")
    with precision.scope():
        return source.map_rows(Predictors(), fit.model, fit.coefficients)


def fitted(fit: Fit) -> np.ndarray:
    """Mean of every fitted row on the response scale, (n,)."""
    source = need_rows(fit, "fitted values")
    return values(fit, source)["mean"]
