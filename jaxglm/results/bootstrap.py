"""Bootstrapped results: the spread of estimates over refits to drawn rows or drawn responses."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm import bootstrap as refits
from jaxglm import resolve
from jaxglm.bootstrap import Replicates
from jaxglm.errors import ConvergenceWarning, InputError, NotAvailableError, Status
from jaxglm.inference import parameters
from jaxglm.precision import scope
from jaxglm.results.labels import Labels
from jaxglm.results.render import Grid
from jaxglm.results.summary import number
from jaxglm.results.tidy import check_alpha

if TYPE_CHECKING:
    from jaxglm.results.results import Results


def bootstrap(res: Results, B: int, seed: int | None, cluster: Any, kind: str) -> Bootstrap:
    """Refit a model to rows that are drawn from its own, or to responses that are drawn from it.

    Parameters
    ----------
    res : Results
        Of rows in memory.
    B : int
        Number of refits. Intervals need about 1,000, standard errors a few hundred.
    seed : int, optional
        The same seed gives the same refits on every machine, and the first of more are those of fewer.
    cluster : str or array (n,), optional
        A column of the data, or one value a row: clusters are drawn whole, as many as there are, instead of rows.
    kind : {"weights", "parametric"}
        "weights" draws as many rows as there are with replacement (Efron 1979): how often a row was drawn is its
        weight, and X is never copied. "parametric" keeps the rows and draws new responses from the fitted distribution,
        with the dispersion at its Pearson estimate.

    Returns
    -------
    Bootstrap

    Raises
    ------
    NotAvailableError
        The rows were not kept or come in pieces; "parametric" under a quasi family.
    InputError
        An option that is unknown, one cluster only, freq_weights that are not whole, or "parametric" under freq_weights
        or prob_weights or with clusters.

    Warns
    -----
    ConvergenceWarning
        Some refits have no estimates; :meth:`Bootstrap.failed` says why, and figures leave them out.

    Notes
    -----
    Every refit is a whole fit: an estimated dispersion and the alpha of a negative binomial are estimated again.

    What is drawn is an observation: under freq_weights w a row stands for w of them, so sum(w) are drawn (with clusters
    a row keeps its weight). var_weights and prob_weights belong to their row and go with it. Under prob_weights rows,
    or with `cluster` the primary sampling units, are thus drawn with equal chances, which suits designs that draw them
    with replacement and have no strata.

    Cost: B fits, many side by side; those that start from the fit take three or four steps. Beyond one copy of the rows
    and the B x P estimates memory is that of a few tiles. From 16,384 rows or 96 coefficients on refits are made one
    after the other.

    Examples
    --------
    >>> import jaxglm as jg
    >>> res = jg.fit([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], [1.1, 1.8, 3.3, 3.9, 5.2, 5.8])
    >>> boot = res.bootstrap(200, seed=1)
    >>> boot.params.shape, boot.status.value_counts().to_dict()
    ((200, 2), {'CONVERGED': 200})
    """
    resolve.choice("kind", kind, ("weights", "parametric"))
    seed, fit = refits.check(B, seed), res.fit
    if kind == "parametric" and cluster is not None:
        raise InputError("cluster= draws rows, which kind='parametric' keeps; leave one of them out")
    codes = None if cluster is None else res.intake.codes(cluster, "cluster")
    with scope():
        rows = refits.rows_of(fit)
        if kind == "parametric":
            draws, acceleration = refits.responses(fit, rows, seed, int(B)), None
        else:
            draws = refits.weights(rows, seed, codes)
            acceleration = refits.acceleration(fit, draws)
        found, complete = refits.refit(fit, rows, draws, int(B))
    words = {"weights": "rows" if cluster is None else "clusters", "parametric": "responses"}[kind]
    natural = np.asarray(fit.natural, bool)
    made = Bootstrap(found, parameters.estimates(fit), natural, res.labels, words, seed, acceleration)
    _report(made, complete)
    return made


def _report(made: Bootstrap, complete: bool) -> None:
    failed = int((~made._fine).sum())
    if failed:
        kinds = ", ".join(f"{count:,} {name}" for name, count in made.failed()["status"].value_counts().items())
        words = "" if complete else " The run was interrupted."
        warnings.warn(
            f"{failed:,} of {len(made):,} refits have no estimates ({kinds}) and are left out of all figures, which "
            f"then describe the others only; failed() says why of each.{words}",
            ConvergenceWarning,
            stacklevel=4,
        )


@dataclass(frozen=True, repr=False)
class Bootstrap:
    """Estimates of many refits; printing it shows bias, standard errors and percentile intervals.

    Attributes
    ----------
    replicates : Replicates
        The arrays behind everything.
    estimates : (P,)
        Parameters of the fit itself, as it reports them.
    natural : (P,) bool
        Parameters that are reported as the exponential of a coefficient.
    labels : Labels
    drawn : str
        "rows", "clusters" or "responses".
    seed : int
        Gives the same refits again.
    acceleration : (P,) or None
        See :func:`jaxglm.bootstrap.acceleration`; None where responses were drawn.
    """

    replicates: Replicates
    estimates: np.ndarray
    natural: np.ndarray
    labels: Labels
    drawn: str
    seed: int
    acceleration: np.ndarray | None = None

    @property
    def params(self) -> pd.DataFrame:
        """Parameters, a row for each refit; NaN where it has no estimate, or a column is aliased in what was drawn."""
        return self._frame(self._values)

    @property
    def scale(self) -> pd.Series:
        """Dispersion of each refit, 1 where it is known."""
        return pd.Series(self.replicates.scale, index=self._index, name="scale")

    @property
    def status(self) -> pd.Series:
        """How each refit ended, as the name of a :class:`jaxglm.Status`."""
        names = {int(status): status.name for status in Status}
        return pd.Series([names[s] for s in self.replicates.status.tolist()], index=self._index, name="status")

    def failed(self) -> pd.DataFrame:
        """The refits without estimates: `status`, and the `reason` in words."""
        at = np.flatnonzero(~self._fine)
        status = [Status(int(s)) for s in self.replicates.status[at]]
        reasons = [self.replicates.messages.get(int(b)) or s.sentence for b, s in zip(at, status, strict=True)]
        return pd.DataFrame(
            {"status": [s.name for s in status], "reason": reasons}, index=self._index[at], dtype=object
        )

    @property
    def bse(self) -> pd.Series:
        """Standard deviation of each parameter over the refits."""
        return self._series(self._over(lambda v: np.std(v, ddof=1) if len(v) > 1 else np.nan), "bse")

    @property
    def bias(self) -> pd.Series:
        """Mean of each parameter over the refits, minus the estimate."""
        return self._series(self._over(np.mean) - self.estimates, "bias")

    def cov_params(self) -> pd.DataFrame:
        """Covariance matrix of the parameters over the refits that estimate all that the fit does."""
        there = ~np.isnan(self.estimates)
        whole = self._values[~np.isnan(self._values[:, there]).any(axis=1)]
        matrix = np.full((len(there), len(there)), np.nan)
        if len(whole) > 1:
            matrix[np.ix_(there, there)] = np.atleast_2d(np.cov(whole[:, there].T))
        return self.labels.square(matrix)

    def conf_int(self, alpha: float = 0.05, method: str = "percentile") -> pd.DataFrame:
        """Intervals of level 1 - alpha, columns `lower` and `upper`.

        Parameters
        ----------
        alpha : float
        method : {"percentile", "basic", "bca"}
            "percentile": the quantiles alpha / 2 and 1 - alpha / 2 of the refits. "basic": these mirrored at the
            estimate, 2 b - q (Davison and Hinkley 1997, section 5.2), for natural parameters on the log scale. "bca":
            quantiles moved for the bias and the skewness of the estimate (Efron 1987), whose error falls as 1/n and
            not as 1/sqrt(n); for drawn rows and clusters only.

        Raises
        ------
        NotAvailableError
            "bca" of drawn responses.
        """
        alpha = check_alpha(alpha)
        resolve.choice("method", method, ("percentile", "basic", "bca"))
        shares = np.tile([0.5 * alpha, 1.0 - 0.5 * alpha], (len(self.estimates), 1))
        if method == "bca":
            shares = self._corrected(shares)
        limits = np.array([self._quantiles(v, share) for v, share in zip(self._values.T, shares, strict=True)])
        if method == "basic":
            estimate = self.estimates[:, None]
            with np.errstate(all="ignore"):
                ratio = estimate * (estimate / limits)
            limits = np.where(self.natural[:, None], ratio, 2.0 * estimate - limits)[:, ::-1]
        return pd.DataFrame(limits, index=self.labels.terms, columns=["lower", "upper"])

    def _corrected(self, shares: np.ndarray) -> np.ndarray:
        """Shares of the refits below the limits of "bca", (P, 2); NaN where all refits lie on one side."""
        if self.acceleration is None:
            raise NotAvailableError(
                'method="bca" is for rows or clusters that are drawn; responses were drawn here, use "percentile"'
            )
        normal, moved = NormalDist(), np.full(shares.shape, np.nan)
        for j, (values, estimate) in enumerate(zip(self._values.T, self.estimates, strict=True)):
            there = values[~np.isnan(values)]
            below = np.mean((there < estimate) + 0.5 * (there == estimate)) if len(there) else 0.0
            if not 0.0 < below < 1.0 or not np.isfinite(self.acceleration[j]):
                continue
            bias = normal.inv_cdf(below)
            ends = [bias + normal.inv_cdf(share) for share in shares[j]]
            moved[j] = [normal.cdf(bias + end / (1.0 - self.acceleration[j] * end)) for end in ends]
        return moved

    @staticmethod
    def _quantiles(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
        there = values[~np.isnan(values)]
        usable = len(there) and np.isfinite(shares).all()
        return np.quantile(there, shares) if usable else np.full(len(shares), np.nan)

    def summary(self, alpha: float = 0.05) -> Grid:
        """Estimates with bias, standard errors and percentile intervals of level 1 - alpha."""
        limits = self.conf_int(alpha).to_numpy()
        columns = np.column_stack([self.estimates, self.bias, self.bse, limits])
        lines = tuple((name, *map(number, line)) for name, line in zip(self.labels.texts, columns, strict=True))
        level = f"{100 * (1 - check_alpha(alpha)):g} %"
        return Grid(("", "coef", "bias", "std err", f"lower {level}", f"upper {level}"), (lines,), self._notes())

    def _notes(self) -> tuple[str, ...]:
        fine = int(self._fine.sum())
        notes = [
            f"Bootstrap of {self.drawn}: {fine:,} of {len(self):,} refits have estimates; percentile intervals; "
            f"seed {self.seed}."
        ]
        for name, count in self.status[~self._fine].value_counts().items():
            notes.append(f"{count:,} {name}: {Status[name].sentence}")
        short = np.isnan(self._values[self._fine][:, ~np.isnan(self.estimates)]).any(axis=1).sum()
        if short:
            notes.append(f"{short:,} lack coefficients whose columns are aliased in what was drawn.")
        return tuple(notes)

    def __len__(self) -> int:
        return len(self.replicates.status)

    def __repr__(self) -> str:
        return self.summary().as_text()

    def _repr_html_(self) -> str:
        return self.summary().as_html()

    @cached_property
    def _fine(self) -> np.ndarray:
        return np.isin(self.replicates.status, [int(s) for s in Status if s.converged])

    @cached_property
    def _values(self) -> np.ndarray:
        """Parameters as they are reported, (B, P)."""
        theta = np.where(self._fine[:, None], self.replicates.theta, np.nan)
        with np.errstate(over="ignore"):
            natural = np.where(self.replicates.held, 0.0, np.exp(np.where(self.natural, theta, 0.0)))
        return np.where(self.natural, natural, theta)

    def _over(self, function: Any) -> np.ndarray:
        """A figure of each parameter over the refits that estimate it, (P,)."""
        there = [column[~np.isnan(column)] for column in self._values.T]
        return np.array([function(v) if len(v) else np.nan for v in there])

    @property
    def _index(self) -> pd.RangeIndex:
        return pd.RangeIndex(len(self), name="replicate")

    def _frame(self, values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, index=self._index, columns=self.labels.terms)

    def _series(self, values: np.ndarray, name: str) -> pd.Series:
        return self.labels.coefficients(values, name)
