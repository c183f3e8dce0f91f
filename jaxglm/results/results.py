"""What a fit returns to the user: names for numbers that are made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from jaxglm.errors import Status
from jaxglm.fit import Fit
from jaxglm.inference import covariance as cov
from jaxglm.inference import intervals, least_squares, likelihood, residuals
from jaxglm.inference.covariance import Covariance
from jaxglm.plot import Plot
from jaxglm.results import predicted, summary, tidy
from jaxglm.results.labels import Labels
from jaxglm.results.prediction import PredictionResults


@dataclass(frozen=True, repr=False)
class Results:
    """A fitted generalized linear model.

    Nothing here changes after the fit; methods that alter something return a new Results.
    Series and frames are labelled by coefficient or by fitted row.

    Attributes
    ----------
    fit : Fit
        The arrays behind everything.
    labels : Labels
    covariance : Covariance
        What standard errors, tests and intervals use.
    intake : object
        What was learned from the data; makes rows from new data.
    """

    fit: Fit
    labels: Labels
    covariance: Covariance
    intake: Any

    # -- coefficients ------------------------------------------------------------------------------------------
    @property
    def params(self) -> pd.Series:
        """Coefficients on the link scale; NaN where aliased."""
        return self.labels.coefficients(self.fit.theta, "params")

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the coefficients."""
        return self.labels.coefficients(self.covariance.standard_errors, "bse")

    @property
    def tvalues(self) -> pd.Series:
        """Coefficient over standard error: z, or t where the dispersion is estimated."""
        return self.labels.coefficients(
            intervals.statistics(self.fit.theta, self.covariance.standard_errors), "tvalues"
        )

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of the hypothesis that a coefficient is 0."""
        return self.labels.coefficients(intervals.p_values(self.tvalues.to_numpy(), self.covariance.df), "pvalues")

    def cov_params(self) -> pd.DataFrame:
        """Covariance matrix of the coefficients."""
        return self.labels.square(self.covariance.matrix)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Wald intervals of level 1 - alpha, columns `lower` and `upper`, on the link scale."""
        return tidy.conf_int(self, alpha)

    @property
    def information(self) -> str:
        """The information behind the standard errors, "expected" or "observed"."""
        return self.fit.information

    @property
    def cov_type(self) -> str:
        """The kind of covariance, "nonrobust" or "survey"."""
        return self.covariance.kind

    def with_cov(self, kind: str = "nonrobust", information: str | None = None) -> Results:
        """The same fit with another covariance.

        Parameters
        ----------
        kind : {"nonrobust", "survey"}
            "survey" belongs to fits with ``prob_weights``.
        information : {"expected", "observed"}, optional
            One pass over the rows if it was not computed before.
        """
        fit = self.fit if information is None else cov.change_information(self.fit, information)
        return replace(self, fit=fit, covariance=cov.covariance(fit, kind))

    # -- fit statistics ----------------------------------------------------------------------------------------
    @property
    def llf(self) -> float:
        """Log-likelihood in nats; NaN under prob_weights."""
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
        """Akaike's criterion, the dispersion counted where it is estimated."""
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
        """nobs minus the number of estimated coefficients."""
        return self.fit.df_resid

    @property
    def df_model(self) -> float:
        """Estimated coefficients besides the intercept."""
        return self.fit.df_null - self.fit.df_resid

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

    # -- rows --------------------------------------------------------------------------------------------------
    @property
    def fittedvalues(self) -> pd.Series:
        """Mean of each fitted row on the response scale."""
        return self.labels.rows(residuals.fitted(self.fit), "fittedvalues")

    @property
    def linear_predictor(self) -> pd.Series:
        """eta of each fitted row, offset included."""
        return self.labels.rows(residuals.linear_predictor(self.fit)[:, 0], "linear_predictor")

    def resid(self, kind: str = "deviance") -> pd.Series:
        """Residuals of each fitted row: "response", "pearson", "deviance" or "working"."""
        return self.labels.rows(residuals.residuals(self.fit, kind), f"resid_{kind}")

    def predict(
        self,
        newdata: Any = None,
        which: str = "mean",
        *,
        offset: Any = None,
        exposure: Any = None,
        unseen: str = "raise",
    ) -> pd.Series:
        """Predictions for new rows, or for the fitted ones.

        Parameters
        ----------
        newdata : data frame (after a formula) or matrix (after arrays), optional
        which : {"mean", "linear"}
            Response scale, or link scale.
        offset, exposure : column name, number or array, optional
            Evaluated again from newdata if the fit named a column; must be given if the fit had an array.
        unseen : {"raise", "nan"}
            What to do with factor levels the fit never saw.
        """
        return predicted.predict(self, newdata, which, offset, exposure, unseen)

    def get_prediction(
        self,
        newdata: Any = None,
        which: str = "mean",
        *,
        offset: Any = None,
        exposure: Any = None,
        unseen: str = "raise",
    ) -> PredictionResults:
        """Predictions with standard errors and intervals; ``.summary_frame(alpha)`` gives a frame."""
        return predicted.get_prediction(self, newdata, which, offset, exposure, unseen)

    # -- tables and pictures -----------------------------------------------------------------------------------
    def summary(self, alpha: float = 0.05, exponentiate: bool = False) -> summary.Summary:
        """Everything at a glance; `print` it, or let a notebook show it. `exponentiate` gives odds or rate ratios."""
        return summary.summarize(self, alpha, exponentiate)

    def tidy(self, conf_int: bool = False, alpha: float = 0.05, exponentiate: bool = False) -> pd.DataFrame:
        """One row a coefficient, as broom's tidy."""
        return tidy.tidy(self, conf_int, alpha, exponentiate)

    def glance(self) -> pd.DataFrame:
        """One row of fit statistics, as broom's glance."""
        return tidy.glance(self)

    def augment(self, data: pd.DataFrame | None = None) -> pd.DataFrame:
        """One row a fitted observation with fitted values and residuals, as broom's augment."""
        return tidy.augment(self, data)

    @property
    def plot(self) -> Plot:
        """Pictures: ``res.plot.effect("x")``."""
        return Plot(self)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()
