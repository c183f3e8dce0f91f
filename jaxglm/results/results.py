"""What a fit returns to the user: names for numbers that are made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from jaxglm.fitted import Fit
from jaxglm.inference import parameters, residuals
from jaxglm.inference.covariance import Covariance
from jaxglm.lazy import parts
from jaxglm.plot import Plot
from jaxglm.results import summary, tidy
from jaxglm.results.answers import Answers
from jaxglm.results.figures import Figures
from jaxglm.results.labels import Labels

if TYPE_CHECKING:
    from jaxglm.inference import simulate
    from jaxglm.results import covariances, predicted, written
    from jaxglm.results.prediction import PredictionResults
else:
    covariances, predicted, written = parts("jaxglm.results", "covariances", "predicted", "written")
    (simulate,) = parts("jaxglm.inference", "simulate")


@dataclass(frozen=True, repr=False)
class Results(Answers, Figures):
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
        """Coefficients on the link scale; NaN where aliased.

        After a dict of formulas they are labelled (predictor, term). A predictor without a formula is a last
        parameter on its natural scale (``alpha`` of the negative binomial).
        """
        return self.labels.coefficients(parameters.estimates(self.fit), "params")

    @property
    def bse(self) -> pd.Series:
        """Standard errors of the coefficients."""
        return self.labels.coefficients(parameters.standard_errors(self.fit, self.covariance), "bse")

    @property
    def tvalues(self) -> pd.Series:
        """Coefficient over standard error: z, or t where the dispersion is estimated."""
        return self.labels.coefficients(parameters.tests(self.fit, self.covariance)[0], "tvalues")

    @property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of the hypothesis that a coefficient is 0; NaN for alpha, of which 0 is the end."""
        return self.labels.coefficients(parameters.tests(self.fit, self.covariance)[1], "pvalues")

    def cov_params(self) -> pd.DataFrame:
        """Covariance matrix of the coefficients."""
        return self.labels.square(parameters.covariance_matrix(self.fit, self.covariance))

    def conf_int(self, alpha: float = 0.05, method: str = "wald") -> pd.DataFrame:
        """Intervals of level 1 - alpha, columns `lower` and `upper`, on the link scale.

        Parameters
        ----------
        alpha : float
        method : {"wald", "profile"}
            Estimate -+ quantile times standard error; or where the likelihood, maximized over all else, has fallen as
            far as the quantile says: the same under every parameterization, and infinite where separation makes it so.
            A profile needs the rows, and a covariance that trusts the likelihood.
        """
        return tidy.conf_int(self, alpha, method)

    @property
    def information(self) -> str:
        """The information behind the standard errors, "expected" or "observed"."""
        return self.fit.information

    @property
    def cov_type(self) -> str:
        """The kind of covariance: "nonrobust", "HC3", "survey", "cluster (firm, 500 clusters)", "HAC (4 lags)"."""
        return self.covariance.kind

    def with_cov(self, cov: Any = None, information: str | None = None) -> Results:
        """The same fit with another covariance, which all standard errors, tests and intervals then use.

        Parameters
        ----------
        cov : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "survey"}, Cluster or HAC, optional
            As in :func:`jaxglm.glm`; by default the kind in use. Columns are those of the frame that was fitted.
        information : {"expected", "observed"}, optional
            What the bread, the inverse in the sandwich, comes from; one pass over the rows if it is not there yet.
        """
        return covariances.with_cov(self, cov, information)

    # -- rows --------------------------------------------------------------------------------------------------
    @property
    def fittedvalues(self) -> pd.Series:
        """Mean of each fitted row on the response scale."""
        return self.labels.rows(residuals.fitted(self.fit), "fittedvalues")

    @property
    def linear_predictor(self) -> pd.Series:
        """Linear predictor of the mean of each fitted row, offset included."""
        return self.labels.rows(residuals.linear_predictor(self.fit)[:, 0], "linear_predictor")

    def resid(self, kind: str = "deviance", *, seed: int = 0) -> pd.Series:
        """Residuals of each fitted row: "response", "pearson", "deviance", "working", "anscombe" or "quantile".

        `seed` is for "quantile", which is randomized where the response is discrete.
        """
        return self.labels.rows(residuals.residuals(self.fit, kind, seed), f"resid_{kind}")

    def simulate(self, n: int = 1, seed: int | None = None) -> pd.DataFrame:
        """`n` new responses for each fitted row, drawn from the fitted distribution; one column a draw.

        Parameters
        ----------
        n : int
        seed : int, optional
            The same seed gives the same draws on every machine and device; without it they differ from call to call.
            Where several processes share the rows, each draws those of its own, as one process would draw for all.
        """
        return self.labels.draws(simulate.simulate(self.fit, n, seed))

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
        which : {"mean", "linear"} or name of a predictor
            Response scale; the mean's predictor on the link scale; or another linear predictor (``"dispersion"``).
        offset, exposure : column name, number or array, optional
            Evaluated again from newdata if the fit named a column; must be given if the fit had an array.
        unseen : {"raise", "nan"}
            What to do with factor levels the fit never saw.
        """
        return predicted.predict(self, newdata, which, offset, exposure, unseen)

    def predict_to(
        self,
        path: Any,
        source: Any,
        which: str = "mean",
        *,
        columns: Sequence[str] = (),
        se: bool = False,
        intervals: bool = False,
        alpha: float = 0.05,
        offset: Any = None,
        exposure: Any = None,
        unseen: str = "raise",
    ) -> int:
        """Predictions for a source of any size (files, query, callable, frame), written to a Parquet file.

        See :func:`jaxglm.results.written.predict_to` for every option.
        """
        return written.predict_to(
            self, path, source, which, columns, se, intervals, alpha, offset, exposure, unseen
        )  # fmt: skip

    def get_prediction(
        self,
        newdata: Any = None,
        which: str = "mean",
        *,
        offset: Any = None,
        exposure: Any = None,
        trials: Any = None,
        unseen: str = "raise",
    ) -> PredictionResults:
        """Predictions with standard errors and intervals; ``.summary_frame(alpha)`` gives a frame.

        Of a new observation there are ``.obs_int(alpha)``, ``.quantile(q)``, ``.cdf(y)`` and ``.probability(values)``.
        Binomial ones are shares of `trials` (column name, number or array); by default of the column that the fit
        named, else of 1.
        """
        return predicted.get_prediction(self, newdata, which, offset, exposure, unseen, trials)

    # -- tables and pictures -----------------------------------------------------------------------------------
    def summary(self, alpha: float = 0.05, exponentiate: bool = False, residuals: bool = False) -> summary.Summary:
        """Everything at a glance; `print` it, or let a notebook show it. `exponentiate` gives odds or rate ratios.

        `residuals` adds quantiles of the deviance residuals, as R did before 4.3; that takes a pass over the rows.
        """
        return summary.summarize(self, alpha, exponentiate, residuals)

    def tidy(
        self, conf_int: bool = False, alpha: float = 0.05, exponentiate: bool = False, method: str = "wald"
    ) -> pd.DataFrame:
        """One row a coefficient, as broom's tidy, whose intervals of a glm are those of ``method="profile"``."""
        return tidy.tidy(self, conf_int, alpha, exponentiate, method)

    def glance(self) -> pd.DataFrame:
        """One row of fit statistics, as broom's glance."""
        return tidy.glance(self)

    def augment(self, data: pd.DataFrame | None = None) -> pd.DataFrame:
        """One row a fitted observation with fitted values and residuals, as broom's augment."""
        return tidy.augment(self, data)

    @property
    def plot(self) -> Plot:
        """Pictures: ``res.plot.effect("x")``, ``coefficients()``, ``diagnostics()`` and others; see :class:`Plot`."""
        return Plot(self)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()
