"""What `margins` and `predictions` return."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxglm.inference import intervals
from jaxglm.inference.covariance import Covariance
from jaxglm.inference.margins import Estimates
from jaxglm.results.summary import limit_names, number, p_text
from jaxglm.results.tidy import check_alpha

#: Lines of the printed table before the middle is left out.
_MOST_LINES = 60


@dataclass(frozen=True, repr=False)
class Effects:
    """Averages over rows, with delta-method standard errors, tests of 0 and intervals.

    Attributes
    ----------
    labels : pandas.DataFrame
        What each estimate is of: columns ``term`` and ``contrast``, those of `at` and of `by`.
    estimates : Estimates
        Values and their derivative in the coefficients.
    covariance : Covariance
        That of the coefficients.
    title : str
    notes : tuple of str
    alpha : float
        Intervals have level 1 - alpha unless :meth:`frame` is asked for another one.
    """

    labels: pd.DataFrame
    estimates: Estimates
    covariance: Covariance
    title: str
    notes: tuple[str, ...]
    alpha: float = 0.05

    @property
    def estimate(self) -> np.ndarray:
        """The averages, (q,)."""
        return self.estimates.values

    @property
    def std_error(self) -> np.ndarray:
        """Their standard errors, (q,)."""
        return np.sqrt(np.maximum(np.diagonal(self.cov()), 0.0))

    def cov(self) -> np.ndarray:
        """Covariance of the estimates, (q, q)."""
        return self.estimates.covariance(self.covariance)

    def conf_int(self, alpha: float | None = None) -> np.ndarray:
        """Wald limits (q, 2), symmetric around the estimate."""
        level = self.alpha if alpha is None else check_alpha(alpha)
        return intervals.wald(self.estimate, self.std_error, level, self.covariance.df)

    def frame(self, alpha: float | None = None) -> pd.DataFrame:
        """One row an estimate: labels, then `estimate std_error statistic p_value conf_low conf_high`."""
        limits, se = self.conf_int(alpha), self.std_error
        statistic = intervals.statistics(self.estimate, se)
        numbers = {
            "estimate": self.estimate, "std_error": se, "statistic": statistic,
            "p_value": intervals.p_values(statistic, self.covariance.df),
            "conf_low": limits[:, 0], "conf_high": limits[:, 1],
        }  # fmt: skip
        return self.labels.assign(**numbers)

    def __len__(self) -> int:
        return len(self.estimate)

    def __repr__(self) -> str:
        table = self._shown()
        lines = table.to_string(index=False, max_rows=_MOST_LINES)
        return "\n".join([self.title, "", lines, "", *self._words()])

    def _repr_html_(self) -> str:
        import html

        words = "".join(f"<li>{html.escape(word)}</li>" for word in self._words())
        table = self._shown().to_html(index=False, max_rows=_MOST_LINES, border=0)
        return f"<div><h4>{html.escape(self.title)}</h4>{table}<ul>{words}</ul></div>"

    def _words(self) -> list[str]:
        df = self.covariance.df
        law = "the normal distribution" if np.isinf(df) else f"Student t with {df:,.10g} degrees of freedom"
        made = f"Standard errors by the delta method ({self.covariance.kind} covariance); tests of 0 and intervals use"
        return [*self.notes, f"{made} {law}."]

    def _shown(self) -> pd.DataFrame:
        table = self.frame()
        for name in ("estimate", "std_error", "conf_low", "conf_high"):
            table[name] = [number(v) for v in table[name]]
        table["statistic"] = ["" if np.isnan(v) else f"{v:.3f}" for v in table["statistic"]]
        table["p_value"] = [p_text(p) for p in table["p_value"]]
        return table.rename(columns=dict(zip(("conf_low", "conf_high"), limit_names(self.alpha), strict=True)))
