"""The accessor ``res.plot``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxglm.lazy import parts

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    from jaxglm.plot import calibration, coefficients, diagnostics, effect, influence, quantiles, residuals, rootogram
else:
    calibration, coefficients, diagnostics, effect, influence, quantiles, residuals, rootogram = parts(
        "jaxglm.plot", "calibration", "coefficients", "diagnostics", "effect", "influence", "quantiles", "residuals",
        "rootogram",
    )  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """Pictures of one fitted model; each method returns matplotlib axes and takes `ax=` to draw on given ones.

    Only :meth:`diagnostics` makes a figure of its own. Nothing is shown and no setting of matplotlib is changed.

    Attributes
    ----------
    results : Results
    """

    results: Any

    def effect(self, variable: str, **options: Any) -> Axes:
        """Predicted mean against one variable with its confidence band, over the data.

        See :func:`jaxglm.plot.effect.draw` for the options (`by`, `at`, `alpha`, `points`, `ax`).
        """
        return effect.draw(self.results, variable, **options)

    def coefficients(self, **options: Any) -> Axes:
        """Estimates with their intervals, one line each.

        See :func:`jaxglm.plot.coefficients.draw` (`exponentiate`, `alpha`, `intercept`, `sort`, `only`, `ax`).
        """
        return coefficients.draw(self.results, **options)

    def residuals(self, **options: Any) -> Axes:
        """Residuals against the fitted mean, or a column, with a smoothed mean.

        See :func:`jaxglm.plot.residuals.draw` (`kind`, `against`, `absolute`, `alpha`, `seed`, `ax`).
        """
        return residuals.draw(self.results, **options)

    def qq(self, **options: Any) -> Axes:
        """Quantile residuals against the normal distribution, with a band.

        See :func:`jaxglm.plot.quantiles.draw` (`kind`, `alpha`, `seed`, `detrend`, `ax`).
        """
        return quantiles.draw(self.results, **options)

    def influence(self, **options: Any) -> Axes:
        """Residuals against leverage with contours of Cook's distance.

        See :func:`jaxglm.plot.influence.draw` (`label`, `ax`).
        """
        return influence.draw(self.results, **options)

    def rootogram(self, **options: Any) -> Axes:
        """Observed and expected frequencies of counts.

        See :func:`jaxglm.plot.rootogram.draw` (`width`, `style`, `ax`).
        """
        return rootogram.draw(self.results, **options)

    def calibration(self, **options: Any) -> Axes:
        """Observed proportions beside predicted probabilities.

        See :func:`jaxglm.plot.calibration.draw` (`bins`, `alpha`, `ax`).
        """
        return calibration.draw(self.results, **options)

    def diagnostics(self, **options: Any) -> np.ndarray:
        """A page of four pictures that suit the family; returns its axes.

        See :func:`jaxglm.plot.diagnostics.draw` (`seed`).
        """
        return diagnostics.draw(self.results, **options)
