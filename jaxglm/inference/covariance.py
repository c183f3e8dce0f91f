"""Covariance of the coefficients: what every estimator of it shares, and those that need no pass over the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxglm import precision
from jaxglm.errors import InputError, NotAvailableError, near
from jaxglm.fit import with_information
from jaxglm.fitted import Fit
from jaxglm.hosts import ALONE, Hosts
from jaxglm.solvers.middles import Plain
from jaxglm.sources import Source

INFORMATIONS = ("expected", "observed")
#: From a column name or values, what they are for, and the processes that have some, to one whole number a fitted row,
#: in the order of the values and the same in all processes.
Codes = Callable[[Any, str, Hosts], np.ndarray]


class Diagonals(NamedTuple):
    """What fits side by side know of their covariances, the fits first.

    Attributes
    ----------
    bread : (G, P) diagonal of the inverse information at phi = 1
    sandwich : (G, P) diagonal of B M B with M of the estimator's :attr:`~Estimator.middle`, or None
    scale, nobs, df_resid : (G,)
    probability_weights : whether the rows have these
    """

    bread: np.ndarray
    sandwich: np.ndarray | None
    scale: np.ndarray
    nobs: np.ndarray
    df_resid: np.ndarray
    probability_weights: bool = False


@dataclass(frozen=True)
class Estimator(ABC):
    """How a covariance is estimated: bread from the reported information, meat from sums over scores of rows."""

    #: Whether it holds where the variance of the family is wrong.
    robust = True
    #: Whether it reads more of the data than the fitted rows themselves (clusters, times).
    reads_beside = False
    #: Middle of the sandwich whose diagonal :meth:`variances` takes; None for none.
    middle = None
    #: Whether it compares rows with each other, so that all of them must lie in one process.
    alone = False

    def check(self, weights: tuple[str, ...]) -> None:
        """Refuse kinds of weights under which it has no meaning.

        Raises
        ------
        InputError
        """
        return None

    def learn(self, codes: Codes, hosts: Hosts) -> Any:
        """What it reads beside the fitted rows, checked; None where it reads nothing."""
        return None

    def sets(self, codes: Codes) -> tuple[np.ndarray, ...]:
        """Codes (n,) of the sets of clusters that :attr:`middle` sums over; what is read is checked as far as it goes.

        Raises
        ------
        InputError, DataError
        """
        return ()

    @abstractmethod
    def matrix(self, fit: Fit, bread: np.ndarray, beside: Any) -> np.ndarray:
        """The covariance (P, P), from the inverse (P, P) of the reported information at phi = 1."""

    def variances(self, diagonals: Diagonals) -> np.ndarray | None:
        """Variances (G, P) of fits side by side; None where each needs rows of its own fit."""
        return None

    @abstractmethod
    def title(self, beside: Any) -> str:
        """What a summary calls it."""

    def note(self, fit: Fit, beside: Any) -> str:
        """What a summary says of it besides, or an empty string."""
        return ""

    def without_rows(self) -> Estimator:
        """Itself as a file holds it: values of rows are only named."""
        return self


@dataclass(frozen=True)
class Covariance:
    """A covariance matrix of all P coefficients, NaN where aliased.

    Attributes
    ----------
    matrix : (P, P)
    kind : str
        "nonrobust", "survey", "HC3", "cluster (firm, 500 clusters)", ...
    df : float
        Degrees of freedom of Student's t for tests and intervals; inf for the normal. They are those of the fit
        (see :func:`degrees_of_freedom`) whatever the covariance.
    robust : bool
        Whether it holds where the variance of the family is wrong.
    estimator : Estimator or None
        What made it.
    note : str
        What a summary says of it besides.
    """

    matrix: np.ndarray
    kind: str
    df: float
    robust: bool = False
    estimator: Estimator | None = None
    note: str = ""

    @property
    def standard_errors(self) -> np.ndarray:
        """Square roots of the diagonal, (P,); NaN where that is negative."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.diagonal(self.matrix))


@dataclass(frozen=True)
class Nonrobust(Estimator):
    """Scale times the inverse of the reported information.

    Rows of freq_weights count w times, those of var_weights have the variance phi V / w.
    """

    robust = False

    def check(self, weights: tuple[str, ...]) -> None:
        if "prob_weights" in weights:
            raise InputError(
                "model-based standard errors are wrong under prob_weights=; keep the survey covariance, or use "
                "freq_weights= or var_weights= if that is what the weights mean"
            )

    def matrix(self, fit: Fit, bread: np.ndarray, beside: None) -> np.ndarray:
        return fit.scale * bread

    def variances(self, diagonals: Diagonals) -> np.ndarray:
        return diagonals.scale[:, None] * diagonals.bread

    def title(self, beside: None) -> str:
        return "nonrobust"


@dataclass(frozen=True)
class Survey(Estimator):
    """The sandwich of probability weights, n/(n-1) B M B with M the sum of w^2 s s' (Binder 1983).

    It does not change when all weights are scaled, and is the default of fits with prob_weights.
    """

    middle = Plain()

    def check(self, weights: tuple[str, ...]) -> None:
        if "prob_weights" not in weights:
            raise InputError("the survey covariance belongs to prob_weights=; this fit has none")

    def matrix(self, fit: Fit, bread: np.ndarray, beside: None) -> np.ndarray:
        # One observation has no variance to estimate.
        correction = fit.nobs / (fit.nobs - 1) if fit.nobs > 1 else np.nan
        return correction * sandwich(fit, bread, fit.meat)

    def variances(self, diagonals: Diagonals) -> np.ndarray:
        n = diagonals.nobs
        return np.where(n > 1, n / np.where(n > 1, n - 1, 1.0), np.nan)[:, None] * diagonals.sandwich

    def title(self, beside: None) -> str:
        return "survey"

    def note(self, fit: Fit, beside: None) -> str:
        return "Standard errors are the survey sandwich of prob_weights; there is no log-likelihood."


def read_beside(estimator: Estimator, source: Source | None, codes: Codes) -> Any:
    """What an estimator reads beside the rows of a source.

    Raises
    ------
    NotAvailableError
        It compares rows with each other, and they lie in several processes.
    """
    hosts = ALONE if source is None else source.hosts
    if estimator.alone and hosts.size > 1:
        raise NotAvailableError(
            f"{type(estimator).__name__} compares rows that lie in several processes, where each knows its own alone; "
            "use jg.Cluster or 'HC0' to 'HC3', or fit the model in one process"
        )
    return estimator.learn(codes, hosts)


def sandwich(fit: Fit, bread: np.ndarray, meat: np.ndarray) -> np.ndarray:
    """B M B over the coefficients that have a standard error, (P, P)."""
    keep = fit.active[:, None] & fit.active[None, :]
    return bread @ np.where(keep, meat, 0.0) @ bread


def covariance(fit: Fit, estimator: Estimator, beside: Any = None) -> Covariance:
    """Covariance of a fit; call :meth:`Estimator.check` before.

    Parameters
    ----------
    beside : what :meth:`Estimator.learn` gave

    Raises
    ------
    NotAvailableError
        It needs the rows, which were not kept.
    DataError
        It needs the rows, which the user has changed.
    """
    # Host arrays: no program is compiled for P numbers. A failed factor gives NaN, which is the answer.
    with precision.scope(), np.errstate(all="ignore"):
        matrix = estimator.matrix(fit, np.asarray(fit.bread.inverse()), beside)
    keep = fit.active[:, None] & fit.active[None, :]
    return Covariance(
        np.where(keep, matrix, np.nan), estimator.title(beside), degrees_of_freedom(fit), estimator.robust, estimator,
        estimator.note(fit, beside),
    )  # fmt: skip


def degrees_of_freedom(fit: Fit) -> float:
    """Student t where the dispersion is estimated (unless use_t says otherwise), else infinite.

    Robust covariances keep them, as R's coeftest does after lm; the number of clusters does not enter.
    """
    wanted = fit.options.use_t
    use_t = not fit.model.family.dispersion_known if wanted is None else wanted
    return fit.df_resid if use_t else np.inf


def change_information(fit: Fit, kind: str) -> Fit:
    """The fit with another kind of information.

    Raises
    ------
    InputError
        The name is unknown.
    NotAvailableError
        It would need the rows, which were not kept, or the family has none.
    DataError
        It would need the rows, which the user has changed.
    """
    if kind not in INFORMATIONS:
        raise InputError(f"information must be 'expected' or 'observed', not {kind!r}.{near(kind, INFORMATIONS)}")
    with precision.scope():
        return with_information(fit, kind)
