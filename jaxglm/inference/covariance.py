"""Covariance of the coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxglm import precision
from jaxglm.errors import InputError, near
from jaxglm.fit import with_information
from jaxglm.fitted import Fit

KINDS = ("nonrobust", "survey")
INFORMATIONS = ("expected", "observed")


@dataclass(frozen=True)
class Covariance:
    """A covariance matrix of all P coefficients, NaN where aliased.

    Attributes
    ----------
    matrix : (P, P)
    kind : "nonrobust" or "survey"
    df : float
        Degrees of freedom of Student's t for tests and intervals; inf for the normal.
    """

    matrix: np.ndarray
    kind: str
    df: float

    @property
    def standard_errors(self) -> np.ndarray:
        """Square roots of the diagonal, (P,)."""
        return np.sqrt(np.diagonal(self.matrix))


def covariance(fit: Fit, kind: str) -> Covariance:
    """Covariance of a fit.

    Parameters
    ----------
    kind : str
        "nonrobust" : scale times the inverse of the reported information.
        "survey" : the sandwich of probability weights, n/(n-1) B M B with M the sum of w^2 s s'
        (Binder 1983); it does not change when all weights are scaled.
    """
    if kind not in KINDS:
        raise InputError(f"unknown covariance {kind!r}.{near(kind, KINDS)}")
    # Host arrays: no program is compiled for P numbers. A failed factor gives NaN, which is the answer.
    with precision.scope(), np.errstate(all="ignore"):
        inverse = np.asarray(fit.bread.inverse())
    if kind == "survey":
        if fit.meat is None:
            raise InputError("the survey covariance belongs to prob_weights=; this fit has none")
        # One observation has no variance to estimate.
        correction = fit.nobs / (fit.nobs - 1) if fit.nobs > 1 else np.nan
        matrix = correction * inverse @ fit.meat @ inverse
    else:
        if fit.meat is not None:
            raise InputError(
                "model-based standard errors are wrong under prob_weights=; keep the survey covariance, or use "
                "freq_weights= or var_weights= if that is what the weights mean"
            )
        matrix = fit.scale * inverse
    keep = fit.active[:, None] & fit.active[None, :]
    return Covariance(np.where(keep, matrix, np.nan), kind, degrees_of_freedom(fit))


def degrees_of_freedom(fit: Fit) -> float:
    """Student t where the dispersion is estimated (unless use_t says otherwise), else infinite."""
    wanted = fit.options.use_t
    use_t = not fit.model.family.dispersion_known if wanted is None else wanted
    return fit.df_resid if use_t else np.inf


def default_kind(fit: Fit) -> str:
    """The covariance that a fit reports when none is asked for."""
    return "survey" if fit.meat is not None else "nonrobust"


def change_information(fit: Fit, kind: str) -> Fit:
    """The fit with another kind of information.

    Raises
    ------
    InputError
        The name is unknown.
    NotAvailableError
        It would need the rows, which were not kept, or the family has none.
    DataError
        It would need the rows, which the user has changed.
    """
    if kind not in INFORMATIONS:
        raise InputError(f"information must be 'expected' or 'observed', not {kind!r}.{near(kind, INFORMATIONS)}")
    with precision.scope():
        return with_information(fit, kind)
