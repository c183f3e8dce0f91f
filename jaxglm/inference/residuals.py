"""Residuals and fitted values of the rows that were fitted."""

from __future__ import annotations

import numpy as np

from jaxglm import precision
from jaxglm.errors import InputError, NotAvailableError, near, no_rows
from jaxglm.fitted import Fit
from jaxglm.kernels import Residuals, Rows
from jaxglm.sources import FEW_ROWS, Source

#: What each kind of residual needs of the family.
KINDS = {
    "response": ("mean",), "pearson": ("mean", "variance"), "deviance": ("mean", "unit_deviance"),
    "working": ("mean",), "anscombe": ("mean", "variance"), "quantile": ("cdf",),
}  # fmt: skip
#: What one program makes of few rows; the others need programs of their own.
_TOGETHER = {"eta": (), "mean": ("mean",)} | {kind: KINDS[kind] for kind in Residuals().kinds}
_WORDS = {
    "mean": "the mean", "variance": "the variance", "unit_deviance": "a deviance",
    "cdf": "a distribution function", "sample": "a distribution to draw from",
}  # fmt: skip


def need_rows(fit: Fit, what: str):
    """The source of a fit, or an error that says how to keep it."""
    if fit.source is None:
        raise no_rows(what)
    return fit.rows


def own_rows(fit: Fit, what: str) -> Source:
    """The rows that lie in this process, for values of single rows; else as :func:`need_rows`."""
    return need_rows(fit, what).own


def as_draws(fit: Fit, source: Source) -> tuple[Source, np.ndarray]:
    """The rows as draws from the fitted distribution, and the dispersion of a row of prior weight 1.

    A probability weight says how many a row stands for, not how precise it is: it leaves the row's distribution alone,
    and an estimated dispersion is that of a row of mean weight, which does not change when all weights are scaled.
    """
    if not fit.options.probability_weights:
        return source, np.asarray(fit.scale)
    share = 1.0 if fit.model.family.dispersion_known else fit.nobs / fit.weight
    return source.replace(_without_prior), np.asarray(fit.scale * share)


def _without_prior(rows: Rows) -> Rows:
    return rows._replace(prior=None)


def require(fit: Fit, method: str, what: str) -> None:
    """An error if the family lacks a method that something needs."""
    family = fit.model.family
    if not family.has(method):
        raise NotAvailableError(f"{what} needs {_WORDS[method]}, which the {family.title} family does not have")


def residuals(fit: Fit, kind: str = "deviance", seed: int = 0) -> np.ndarray:
    """Residuals of every fitted row, (n,).

    Parameters
    ----------
    kind : str
        "response" y - mu; "pearson" (y - mu) sqrt(w / V(mu)); "deviance" sign(y - mu) sqrt(w d);
        "working" (y - mu) d eta / d mu. w is the prior weight of the row (1 under freq_weights, where a row
        stands for several observations with the same residual). "anscombe" is the difference on the scale where y is
        most nearly normal, over its standard deviation there. "quantile" is the standard normal quantile of the
        probability of a value below y, drawn at random within the step of a discrete distribution (Dunn and Smyth
        1996); it is standard normal if the model is right, up to the estimation of its parameters.
    seed : int
        For "quantile" where y is discrete.

    Raises
    ------
    NotAvailableError
        The rows were not kept, or the family lacks what the kind needs.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of residual {kind!r}.{near(kind, KINDS)}")
    for method in KINDS[kind]:
        require(fit, method, f"resid({kind!r})")
    source = own_rows(fit, "resid()")
    with precision.scope():
        from jaxglm.kernels import Anscombe, Tails

        if kind == "anscombe":
            return source.map_rows(Anscombe(), fit.model, fit.coefficients)
        if kind == "quantile":
            rows, phi = as_draws(fit, source)
            return _quantile(rows.map_rows(Tails(), fit.model, (fit.coefficients, phi)), seed)
    return _figure(fit, source, kind)


def _figure(fit: Fit, source: Source, name: str) -> np.ndarray:
    """One figure of each row; of few rows all that there are, since to compile a program for each takes longer."""
    names = (name,)
    if source.n_rows <= FEW_ROWS:
        names = tuple(other for other, needs in _TOGETHER.items() if all(map(fit.model.family.has, needs)))
    with precision.scope():
        return source.map_rows(Residuals(names), fit.model, fit.coefficients)[name]


def _quantile(tails: np.ndarray, seed: int) -> np.ndarray:
    """Normal quantiles of a point between P(Y < y) and P(Y <= y), taken from the nearer tail."""
    from scipy import special

    at, below, above, reached = tails.T
    share = np.random.default_rng(seed).uniform(size=len(tails))
    lower = below + share * (at - below)
    upper = above + (1.0 - share) * (reached - above)
    return np.where(lower < 0.5, special.ndtri(lower), -special.ndtri(upper))


def linear_predictor(fit: Fit) -> np.ndarray:
    """eta of every fitted row, offset included, (n, K)."""
    return _figure(fit, own_rows(fit, "the linear predictor"), "eta")


def fitted(fit: Fit) -> np.ndarray:
    """Mean of every fitted row on the response scale, (n,)."""
    require(fit, "mean", "fittedvalues")
    return _figure(fit, own_rows(fit, "fitted values"), "mean")
