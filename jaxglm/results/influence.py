"""What `influence` returns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxglm.errors import NotAvailableError
from jaxglm.fitted import Fit
from jaxglm.inference import influence as deletion
from jaxglm.inference.residuals import need_rows, require
from jaxglm.results.labels import Labels

if TYPE_CHECKING:
    from jaxglm.results.results import Results

#: Rows that are shown when it is printed.
_SHOWN = 10


@dataclass(frozen=True, repr=False)
class Influence:
    """How much each fitted row matters, labelled by row; printing it shows the ten rows of largest Cook's distance.

    One pass over the rows at first use gives all but the frames with one column a coefficient, which take a pass of
    their own at every call. :func:`jaxglm.inference.influence.chunks` defines each measure; all are R's, under the
    information that the result reports.

    Attributes
    ----------
    fit : Fit
    labels : Labels

    Examples
    --------
    >>> import jaxglm as jg
    >>> res = jg.fit([[0.0], [1.0], [2.0], [3.0], [9.0]], [0.1, 1.2, 1.9, 3.1, 5.0])
    >>> infl = res.influence()
    >>> print(infl.hat.round(2).to_list())
    [0.38, 0.28, 0.22, 0.2, 0.92]
    >>> infl.top(1).index.to_list()
    [4]
    """

    fit: Fit
    labels: Labels

    @cached_property
    def _measures(self) -> dict[str, np.ndarray]:
        return deletion.measures(self.fit)

    def _rows(self, name: str) -> pd.Series:
        for method in deletion.NEEDS[name]:
            require(self.fit, method, f"influence().{name}")
        return self.labels.rows(self._measures[name], name)

    @property
    def hat(self) -> pd.Series:
        """Leverage; sums to the number of estimated coefficients of the mean. More than 3 p / n is much."""
        return self._rows("hat")

    @property
    def cooks_distance(self) -> pd.Series:
        """Change of all coefficients of the mean by leaving the row out, in squared standard errors per coefficient."""
        return self._rows("cooks_distance")

    @property
    def local_influence(self) -> pd.Series:
        """Cook's (1986) curvature in the weight of the row, over all parameters: 2 s' V s / phi."""
        return self._rows("local_influence")

    @property
    def dffits(self) -> pd.Series:
        """Change of the row's own predictor by leaving it out, in standard errors."""
        return self._rows("dffits")

    @property
    def covariance_ratio(self) -> pd.Series:
        """Determinant of the covariance without the row over that with it; below 1 where the row adds noise."""
        return self._rows("covariance_ratio")

    @property
    def resid_studentized(self) -> pd.Series:
        """Residual over its standard deviation without the row (R's rstudent)."""
        return self._rows("resid_studentized")

    @property
    def resid_standardized(self) -> pd.Series:
        """Deviance residual over its standard deviation (R's rstandard)."""
        return self._rows("resid_standardized")

    @property
    def resid_standardized_pearson(self) -> pd.Series:
        """Pearson residual over its standard deviation."""
        return self._rows("resid_standardized_pearson")

    @property
    def dfbetas(self) -> pd.DataFrame:
        """Change of each coefficient by leaving the row out, in standard errors; (n, P), a pass at every call."""
        return self._by_coefficient(deletion.changes(self.fit))

    @property
    def case_derivatives(self) -> pd.DataFrame:
        """Derivative of each coefficient in the weight of the row (natural parameters: of their log); n x P numbers."""
        return self._by_coefficient(deletion.derivatives(self.fit))

    def _by_coefficient(self, values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, index=self.labels.row_index(len(values)), columns=self.labels.terms)

    def frame(self) -> pd.DataFrame:
        """All measures of every row that the family gives, one column a measure; those of further predictors last."""
        return pd.DataFrame(self._measures, index=self.labels.row_index(self.fit.source.own.n_rows))

    def top(self, n: int = 10, by: str = "cooks_distance") -> pd.DataFrame:
        """The n rows whose measure `by` is largest in size, largest first, in memory that does not grow with the rows.

        Raises
        ------
        InputError
            There is no such measure.
        """
        position, found = deletion.top(self.fit, n, by)
        return pd.DataFrame(found, index=self.labels.row_index(self.fit.source.own.n_rows)[position])

    def __repr__(self) -> str:
        p = deletion.ranks(self.fit)[0]
        head = f"Influence of {self.fit.n_rows:,} rows, the largest Cook's distances first; much is a distance above "
        head += f"4 / n = {4 / self.fit.nobs:.2g}, a hat above 3 p / n = {3 * p / self.fit.nobs:.2g}:"
        return f"{head}\n{self.top(_SHOWN).to_string(float_format=lambda v: f'{v:.4g}')}"


def influence(res: Results) -> Influence:
    """See :meth:`jaxglm.results.results.Results.influence`."""
    if res.fit.source is None:
        need_rows(res.fit, "influence()")
    if not bool(np.asarray(res.fit.bread.ok)):
        raise NotAvailableError(
            "influence() needs standard errors, and the information of this fit has no inverse; see res.status"
        )
    return Influence(res.fit, res.labels)
