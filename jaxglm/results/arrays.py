"""What the tables of many fits are made of."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from jaxglm.batched import Batch, Work
from jaxglm.errors import Status
from jaxglm.inference import intervals


class Arrays:
    """Estimates, errors and tests of all groups, (G, P), as they are reported."""

    batch: Batch
    work: Work

    @cached_property
    def _fine(self) -> np.ndarray:
        return np.isin(self.batch.status, [int(s) for s in Status if s.converged])

    @cached_property
    def _aliased(self) -> np.ndarray:
        """Columns that are aliased where others are estimated, (G, P) bool."""
        return self.batch.active.any(axis=1)[:, None] & ~self.batch.active

    @property
    def _natural(self) -> np.ndarray:
        return np.asarray(self.work.natural, bool)

    @property
    def _estimates(self) -> np.ndarray:
        theta, natural = self.batch.theta, self._natural
        with np.errstate(over="ignore"):
            return np.where(natural, np.where(self.batch.held, 0.0, np.exp(np.where(natural, theta, 0.0))), theta)

    @property
    def _theta_errors(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.sqrt(self.batch.variances)

    @property
    def _errors(self) -> np.ndarray:
        return np.where(self._natural, self._estimates, 1.0) * self._theta_errors

    @property
    def _statistics(self) -> np.ndarray:
        return np.where(self._natural, np.nan, intervals.statistics(self.batch.theta, self._theta_errors))

    @property
    def _df(self) -> np.ndarray | None:
        """Degrees of freedom of Student's t (G, 1), or None for the normal distribution."""
        wanted = self.work.options.use_t
        use_t = not self.work.model.family.dispersion_known if wanted is None else wanted
        return np.where(self.batch.df_resid > 0, self.batch.df_resid, np.nan)[:, None] if use_t else None

    @property
    def _p_values(self) -> np.ndarray:
        if self._df is None:
            return intervals.p_values(self._statistics, np.inf)
        return intervals.t_p_values(self._statistics, self._df)

    def _limits(self, alpha: float) -> np.ndarray:
        """Limits (G, P, 2); those of natural parameters are made on the log scale."""
        factor = intervals.quantile(alpha, np.inf) if self._df is None else intervals.t_quantiles(alpha, self._df)
        half = factor * self._theta_errors
        limits = np.stack([self.batch.theta - half, self.batch.theta + half], axis=-1)
        natural = self._natural[:, None]
        with np.errstate(over="ignore"):
            return np.where(natural, np.exp(np.where(natural, limits, 0.0)), limits)


class GroupFigures:
    """Fit statistics of many fits, one line each: a series with a number a group."""

    batch: Batch
    keys: pd.Index

    @property
    def deviance(self) -> pd.Series:
        """Deviance of each group."""
        return self._series("deviance")

    @property
    def null_deviance(self) -> pd.Series:
        """Deviance of each group's model without columns."""
        return self._series("null_deviance")

    @property
    def llf(self) -> pd.Series:
        """Log-likelihood of each group, in nats."""
        return self._series("llf")

    @property
    def aic(self) -> pd.Series:
        """Akaike's criterion of each group."""
        return self._series("aic")

    @property
    def bic(self) -> pd.Series:
        """Schwarz's criterion of each group."""
        return self._series("bic")

    @property
    def nobs(self) -> pd.Series:
        """Observations of each group."""
        return self._series("nobs")

    @property
    def scale(self) -> pd.Series:
        """Dispersion of each group, 1 where it is known."""
        return self._series("scale")

    @property
    def df_resid(self) -> pd.Series:
        """Residual degrees of freedom of each group."""
        return self._series("df_resid")

    @property
    def n_iter(self) -> pd.Series:
        """Steps that each fit took."""
        return self._series("n_iter")

    def _series(self, name: str) -> pd.Series:
        return pd.Series(getattr(self.batch, name), index=self.keys, name=name)
