"""What many fits of one model return: frames with a row a group."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from jaxglm.batched import Batch, Dependences, Work
from jaxglm.errors import FitError, InputError, NotAvailableError, Status, near, row_count
from jaxglm.groups import fit_alone
from jaxglm.inference.covariance import covariance
from jaxglm.intake.together import of_response
from jaxglm.plot.caterpillar import GroupedPlot
from jaxglm.precision import scope
from jaxglm.results import grouped_storage
from jaxglm.results.arrays import Arrays, GroupFigures
from jaxglm.results.labels import Labels
from jaxglm.results.render import Grid
from jaxglm.results.results import Results
from jaxglm.results.routed import predict
from jaxglm.results.summary import number
from jaxglm.results.tidy import check_alpha

_STATISTICS = ("null_deviance", "df_null", "llf", "aic", "bic", "deviance", "df_resid", "nobs", "scale")


@dataclass(frozen=True, repr=False)
class GroupedResults(GroupFigures, Arrays):
    """One fitted model a group, as :func:`jaxglm.glm_groups` gives them.

    Frames and series have one row a group, in the order of the keys; a group that could not be fitted has NaN there
    and a sentence in :meth:`failed`. ``grp[key]`` is the whole result of one group.

    Attributes
    ----------
    batch : Batch
        The arrays behind everything.
    work : Work
        The rows, and what the fits have in common.
    keys : pandas.Index
        The groups; a MultiIndex where `by` names several columns.
    labels : Labels
    intake : object
        What was learned from the data; makes rows from new data.
    dependences : Dependences or None
        What aliased columns depend on, where the rows do not tell any more.
    """

    batch: Batch
    work: Work
    keys: pd.Index
    labels: Labels
    intake: Any
    dependences: Dependences | None = None

    # -- coefficients ------------------------------------------------------------------------------------------
    @property
    def params(self) -> pd.DataFrame:
        """Coefficients on the link scale, a column each; NaN where aliased in a group."""
        return self._frame(self._estimates)

    @property
    def bse(self) -> pd.DataFrame:
        """Standard errors of the coefficients."""
        return self._frame(self._errors)

    @property
    def tvalues(self) -> pd.DataFrame:
        """Coefficient over standard error: z, or t where the dispersion is estimated."""
        return self._frame(self._statistics)

    @property
    def pvalues(self) -> pd.DataFrame:
        """Two-sided p-values of the hypothesis that a coefficient is 0."""
        return self._frame(self._p_values)

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Wald intervals of level 1 - alpha: columns `lower` and `upper`, a row for each group and coefficient."""
        limits = self._limits(check_alpha(alpha))
        return pd.DataFrame(limits.reshape(-1, 2), index=self._long_index(), columns=["lower", "upper"])

    # -- how it went -------------------------------------------------------------------------------------------
    @property
    def status(self) -> pd.Series:
        """How each fit ended, as the name of a :class:`jaxglm.Status`."""
        names = {int(status): status.name for status in Status}
        return pd.Series([names[s] for s in self.batch.status.tolist()], index=self.keys, name="status", dtype=object)

    @property
    def converged(self) -> pd.Series:
        """Whether the estimates of each group are a maximum of its likelihood to working precision."""
        return pd.Series(self._fine, index=self.keys, name="converged")

    @property
    def cov_type(self) -> str:
        """The kind of covariance, the same in every group."""
        return self.work.estimator.title(None)

    def failed(self) -> pd.DataFrame:
        """The groups without a maximum: `status`, and the `reason` in words with a remedy."""
        at = np.flatnonzero(~self._fine)
        rows = [(Status(int(self.batch.status[g])).name, self._reason(g)) for g in at]
        return pd.DataFrame(rows, index=self.keys[at], columns=["status", "reason"])

    # -- groups ------------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.keys)

    def __contains__(self, key: Hashable) -> bool:
        return key in self.keys

    def __getitem__(self, key: Hashable) -> Results:
        """The whole result of one group, fitted again to its rows.

        Raises
        ------
        InputError
            There is no such group.
        NotAvailableError
            The rows are not here, since the result comes from a file.
        FitError
            Its rows cannot be fitted; the message says why.
        InputError, DataError
            It cannot have the covariance of the others, such as that of clusters where it has only one.
        """
        group = self._place(key)
        if self.work.rows is None:
            raise NotAvailableError(
                f"the whole result of group {key!r} needs its rows, which files of save() do not hold; fit the groups "
                "again. Tables and predict() work without them"
            )
        if group in self.batch.messages:
            raise FitError(f"group {key!r} cannot be fitted: {self.batch.messages[group]}")
        with scope():
            fit = fit_alone(self.work, group)
        made = covariance(replace(fit, witness=None), self.work.estimator, self.work.beside(group))
        places = self.work.segments.rows(group)
        index = None if self.labels.index is None else self.labels.index[places]
        labels, intake = replace(self.labels, index=index), self.intake.of_rows(places)
        if not self.work.segments.routed:
            labels, intake = replace(labels, response=str(key)), of_response(intake, group, str(key))
        return Results(fit, labels, made, intake)

    def predict(
        self,
        newdata: Any,
        which: str = "mean",
        *,
        offset: Any = None,
        exposure: Any = None,
        unseen: str = "raise",
    ) -> pd.Series | pd.DataFrame:
        """Predictions for new rows, each by the model of its own group, whose columns `newdata` must have.

        Many responses beside one X have one column each: `newdata` is a new X, and every model predicts every row.

        Parameters
        ----------
        newdata : data frame
        which : {"mean", "linear"}
        offset, exposure : column name, number or array, optional
            As in :meth:`jaxglm.Results.predict`.
        unseen : {"raise", "nan"}
            What to do with groups and factor levels that the fits never saw.
        """
        return predict(self, newdata, which, offset, exposure, unseen)

    # -- files -------------------------------------------------------------------------------------------------
    def save(self, path: Any) -> None:
        """Write a file (path or binary file object) that :func:`jaxglm.load` reads; tables and predictions, no rows.

        It replaces an older one only once it is whole. It holds a few numbers for each group and coefficient.
        """
        grouped_storage.save(self, path)

    def to_parquet(self, path: Any, alpha: float = 0.05) -> None:
        """Write one table: ``tidy(conf_int=True)`` with the columns of ``glance()`` behind, as a Parquet file.

        See :func:`jaxglm.results.grouped_storage.to_parquet`.
        """
        grouped_storage.to_parquet(self, path, alpha)

    # -- tables and pictures -----------------------------------------------------------------------------------
    def tidy(self, conf_int: bool = False, alpha: float = 0.05) -> pd.DataFrame:
        """One row for each group and coefficient, the keys as columns."""
        values = {
            "estimate": self._estimates, "std_error": self._errors, "statistic": self._statistics,
            "p_value": self._p_values,
        }  # fmt: skip
        table = pd.DataFrame({name: v.ravel() for name, v in values.items()}, index=self._long_index())
        if conf_int:
            table[["conf_low", "conf_high"]] = self._limits(check_alpha(alpha)).reshape(-1, 2)
        return table.reset_index()

    def glance(self) -> pd.DataFrame:
        """One row of fit statistics a group, the keys as columns."""
        table = pd.DataFrame({name: getattr(self.batch, name) for name in _STATISTICS}, index=self.keys)
        return table.assign(status=self.status).reset_index()

    def summary(self) -> GroupedSummary:
        """How many groups were fitted, what became of the others, and how each coefficient is spread over groups."""
        return GroupedSummary(self)

    @property
    def plot(self) -> GroupedPlot:
        """Pictures: ``grp.plot.caterpillar("price")``."""
        return GroupedPlot(self)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().grid.as_html()

    # -- labels ------------------------------------------------------------------------------------------------
    def _frame(self, values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, index=self.keys, columns=self.labels.terms)

    def _long_index(self) -> pd.MultiIndex:
        """Group by group, all coefficients."""
        groups, count = len(self.keys), len(self.labels.names)
        levels = [self.keys.get_level_values(i).repeat(count) for i in range(self.keys.nlevels)]
        terms = self.labels.terms
        names = ["predictor", "term"] if terms.nlevels == 2 else ["term"]
        for i in range(terms.nlevels):
            levels.append(pd.Index(np.tile(terms.get_level_values(i).to_numpy(), groups)))
        return pd.MultiIndex.from_arrays(levels, names=[*self.keys.names, *names])

    def _place(self, key: Hashable) -> int:
        if isinstance(key, list):
            key = tuple(key)
        try:
            place = self.keys.get_loc(key)
        except (KeyError, TypeError):
            place = None
        if not isinstance(place, (int, np.integer)):
            some = near(str(key), [str(k) for k in self.keys[:10_000]])
            raise InputError(f"there is no group {key!r}.{some}")
        return int(place)

    def _reason(self, group: int) -> str:
        return self.batch.messages.get(int(group)) or Status(int(self.batch.status[group])).sentence


@dataclass(frozen=True, repr=False)
class GroupedSummary:
    """What became of all groups; `print` it, or let a notebook show it."""

    results: GroupedResults

    @property
    def grid(self) -> Grid:
        """The table behind the text."""
        grp = self.results
        lines = []
        for name, values in zip(grp.labels.texts, grp._estimates.T, strict=True):
            there = values[np.isfinite(values)]
            spread = np.quantile(there, (0, 0.25, 0.5, 0.75, 1)) if len(there) else np.full(5, np.nan)
            lines.append((name, str(len(there)), *(number(v) for v in spread)))
        noun = grp.work.segments.noun
        header = (f"over {noun}", noun, "min", "25 %", "median", "75 %", "max")
        return Grid(header, (tuple(lines),), self._notes())

    def _notes(self) -> tuple[str, ...]:
        grp = self.results
        fine = int(grp._fine.sum())
        family = grp.work.model.family
        notes = [
            f"{grp.labels.formula or 'Y ~ X'}; {family.title}, {family.link_title} link; {grp.cov_type} covariance.",
            f"{fine:,} of {len(grp):,} {grp.work.segments.noun} fitted, {_rows_text(grp)}.",
        ]
        for status, count in grp.status[~grp._fine].value_counts().items():
            notes.append(f"{count:,} {status}: {Status[status].sentence}")
        return (*notes, *grp.labels.notes)

    def __str__(self) -> str:
        return self.grid.as_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.grid.as_html()


def _rows_text(grp: GroupedResults) -> str:
    """How many rows there are; those that responses share are counted once."""
    segments = grp.work.segments
    return row_count(int(segments.counts.sum() if segments.routed else segments.counts.max(initial=0)))
