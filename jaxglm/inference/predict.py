"""Predictions of the mean with standard errors and intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxglm import precision
from jaxglm.fitted import Fit
from jaxglm.inference.covariance import Covariance
from jaxglm.inference.intervals import wald
from jaxglm.kernels import Dependence, Predictions
from jaxglm.sources import Source


@dataclass(frozen=True)
class Prediction:
    """Predictions of m rows on both scales.

    Attributes
    ----------
    eta, eta_se : (m,) linear predictor (offset included) and its standard error
    mean, mean_se : (m,) mean on the response scale, standard error by the delta method
    df : degrees of freedom of the intervals, inf for the normal
    inverse : maps eta to the mean, or None where the mean depends on more than eta
    """

    eta: np.ndarray
    eta_se: np.ndarray
    mean: np.ndarray
    mean_se: np.ndarray
    df: float
    inverse: Callable | None

    def interval(self, alpha: float, which: str) -> np.ndarray:
        """Limits (m, 2) of the mean for "mean", else of eta; those of the mean are the limits of eta, transformed.

        Transforming keeps the limits inside the range of the mean, which estimate +- z se does not; only a mean that
        depends on several predictors has the latter.
        """
        if which == "mean" and self.inverse is None:
            return wald(self.mean, self.mean_se, alpha, self.df)
        limits = wald(self.eta, self.eta_se, alpha, self.df)
        if which != "mean":
            return limits
        with precision.scope():
            return np.sort(np.asarray(self.inverse(jnp.asarray(limits))), axis=1)


def predict(fit: Fit, covariance: Covariance, source: Source, predictor: int = 0) -> Prediction:
    """The mean and one linear predictor for the rows of a source; cost O(m P^2), one chunk in memory at a time."""
    with precision.scope():
        clean = np.where(np.isnan(covariance.matrix), 0.0, covariance.matrix)
        point = (fit.coefficients, clean)
        rows = source.map_rows(Predictions(predictor), fit.model, point)
    eta_se, mean_se = (np.sqrt(np.maximum(rows[name], 0.0)) for name in ("eta_variance", "mean_variance"))
    return Prediction(
        eta=rows["eta"], eta_se=eta_se, mean=rows["mean"], mean_se=mean_se, df=covariance.df,
        inverse=fit.model.family.inverse,
    )  # fmt: skip


def values(fit: Fit, source: Source, predictor: int = 0) -> dict[str, np.ndarray]:
    """A linear predictor "eta" and the "mean" of the rows of a source, without standard errors; cost O(m P)."""
    with precision.scope():
        return source.map_rows(Predictions(predictor), fit.model, (fit.coefficients, None))


def dependences(fit: Fit) -> np.ndarray:
    """Combinations of columns that were zero in every fitted row, one for each aliased column, (P, q)."""
    weights = np.zeros((len(fit.theta), len(fit.rank.dependence)))
    for k, (j, coefficients) in enumerate(fit.rank.dependence.items()):
        weights[:, k] = -coefficients
        weights[j, k] = 1.0
    return weights


def estimable_rows(fit: Fit, source: Source) -> np.ndarray:
    """Whether each row is a combination that an aliased fit determines, (m,) bool.

    It is if its aliased columns depend on the kept ones as they did in the fit (R predicts the others
    too, with a warning that the prediction may mislead).
    """
    gaps = source.map_rows(Dependence(), fit.model, dependences(fit))
    return np.all(gaps <= 1e-7, axis=1)
