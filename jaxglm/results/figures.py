"""The numbers that sum up a fit."""

from __future__ import annotations

from jaxglm.errors import Status
from jaxglm.fitted import Fit
from jaxglm.inference import least_squares, likelihood
from jaxglm.inference.covariance import Covariance


class Figures:
    """Fit statistics of a :class:`~jaxglm.results.results.Results`, one line each."""

    fit: Fit
    covariance: Covariance

    @property
    def llf(self) -> float:
        """Log-likelihood in nats; NaN for quasi families and under prob_weights."""
        return self.fit.llf

    @property
    def deviance(self) -> float:
        """Twice the log-likelihood lost against a perfect fit, at dispersion 1."""
        return self.fit.deviance

    @property
    def null_deviance(self) -> float:
        """Deviance of the model with the intercept and the offset only (without intercept: the offset only)."""
        return self.fit.null_deviance

    @property
    def pearson_chi2(self) -> float:
        """Sum of squared Pearson residuals."""
        return self.fit.pearson_chi2

    @property
    def scale(self) -> float:
        """Dispersion: Pearson chi2 / df_resid, or 1 where the family fixes it."""
        return self.fit.scale

    @property
    def aic(self) -> float:
        """Akaike's criterion, an estimated dispersion counted as a parameter; NaN where llf is."""
        return likelihood.aic(self.fit)

    @property
    def bic(self) -> float:
        """Schwarz's criterion with log(nobs)."""
        return likelihood.bic(self.fit)

    @property
    def nobs(self) -> float:
        """Observations: rows with weight, or the sum of freq_weights."""
        return self.fit.nobs

    @property
    def df_resid(self) -> float:
        """nobs minus the estimated coefficients of the mean; those of other predictors are not counted, as in R."""
        return self.fit.df_resid

    @property
    def df_model(self) -> float:
        """Estimated coefficients of the mean besides the intercept."""
        return least_squares.df_model(self.fit)

    def pseudo_rsquared(self, kind: str = "deviance") -> float:
        """Share of the null misfit that is explained: "deviance", "cox_snell" or "nagelkerke"."""
        return likelihood.pseudo_rsquared(self.fit, kind)

    @property
    def rsquared(self) -> float:
        """R-squared of least squares, weighted; around 0 without an intercept. Other families: pseudo_rsquared()."""
        return least_squares.rsquared(self.fit)

    @property
    def rsquared_adj(self) -> float:
        """R-squared adjusted for degrees of freedom."""
        return least_squares.rsquared_adj(self.fit)

    @property
    def fvalue(self) -> float:
        """F statistic of least squares against the model with the intercept (and offset) only."""
        return least_squares.fvalue(self.fit, self.covariance)

    @property
    def f_pvalue(self) -> float:
        """p-value of fvalue, on df_model and df_resid."""
        return least_squares.f_pvalue(self.fit, self.covariance)

    @property
    def status(self) -> Status:
        """How the fit ended; ``status.sentence`` says it in words."""
        return self.fit.status

    @property
    def converged(self) -> bool:
        """Whether the estimates are the maximum of the likelihood to working precision."""
        return self.fit.status.converged

    @property
    def n_iter(self) -> int:
        """Accepted Newton steps."""
        return self.fit.n_iter

    @property
    def n_passes(self) -> dict[str, int]:
        """Passes over the rows by kind."""
        return dict(self.fit.n_passes)
