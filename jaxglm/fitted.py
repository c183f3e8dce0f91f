"""What a fit is: arrays, and the sums and rows behind them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from jaxglm import precision
from jaxglm.errors import DataError, Status, no_rows
from jaxglm.kernels import Careful, FitPoint, FitSums, Kernel, Model, Statistics
from jaxglm.precision import FLOAT64, Precision, host
from jaxglm.solvers.approach import Road
from jaxglm.solvers.information import Information
from jaxglm.solvers.middles import ALONE
from jaxglm.solvers.rank import Rank
from jaxglm.sources import Source

#: Relative difference of sums over the same rows that are added in another order.
_SAME = 1e-13


@dataclass(frozen=True)
class Options:
    """How to solve; see :func:`jaxglm.glm` for the meaning of each.

    Attributes
    ----------
    solver : what the user asked for, in words
    road : a way to come near the optimum before the exact solve, or None; it is not saved
    """

    tol: float = 1e-8
    max_iter: int = 100
    curvature: str = "late"
    information: str = "expected"
    start: np.ndarray | None = None
    probability_weights: bool = False
    use_t: bool | None = None
    precision: Precision = FLOAT64
    solver: str = "auto"
    road: Road | None = None


@dataclass(frozen=True)
class Witness:
    """Sums over the rows as they were fitted, by which rows that lie in the user's memory are known again."""

    kernel: Kernel
    point: Any
    sums: FitSums

    def agrees(self, source: Source, model: Model) -> bool:
        """Whether the rows give the same sums; one pass."""
        value = source.reduce(self.kernel, model, self.point)
        now = value if isinstance(value, FitSums) else value[1]
        return bool(np.allclose(host(now), self.sums, rtol=_SAME, atol=0.0, equal_nan=True))


@dataclass(frozen=True)
class Fit:
    """A fitted model as arrays; P coefficients, of which `rank` are estimated.

    Attributes
    ----------
    model : Model
    source : Source or None
        The rows, kept for residuals and other kinds of covariance.
    theta : (P,) coefficients, NaN where aliased
    rank : Rank
    informations : dict from "expected" / "observed" to Information at phi = 1
    information : the kind that is reported
    held : (P,) bool, coefficients held at the limit of their predictor, such as log alpha where alpha = 0
    natural : (P,) bool, coefficients that are logs of the parameter that is reported
    scale : dispersion phi, Pearson chi2 / df_resid, or 1 where it is known
    known_llf : log-likelihood in nats, NaN under probability weights; None where it takes a pass of its own
    nobs : observations that the rows stand for
    weight : sum of all weights
    notes : what a summary has to say of the way to the estimates
    quantiles : least, quartiles and greatest of the deviance residuals (5,), where they outlive the rows
    """

    model: Model
    source: Source | None
    options: Options
    theta: np.ndarray
    rank: Rank
    informations: dict[str, Information]
    information: str
    status: Status
    tolerance: float
    recession: np.ndarray | None
    column_lengths: np.ndarray
    n_iter: int
    n_passes: dict[str, int]
    n_rows: int
    nobs: float
    weight: float
    deviance: float
    null_deviance: float
    pearson_chi2: float
    scale: float
    known_llf: float | None
    df_resid: float
    df_null: float
    has_intercept: bool
    held: np.ndarray
    natural: np.ndarray
    meat: np.ndarray | None = None
    witness: Witness | None = None
    quantiles: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> Source:
        """The source, if it was kept and still holds what was fitted.

        Raises
        ------
        NotAvailableError
            The rows were not kept.
        DataError
            The user changed them.
        """
        if self.source is None:
            raise no_rows("this")
        if self.source.aliased and self.witness is not None:
            with precision.scope():
                unchanged = self.witness.agrees(self.source, self.model)
            if not unchanged:
                raise DataError(
                    "the data was changed after the fit, which reads large arrays where they lie; undo the change, "
                    "refit, or give the fit a copy"
                )
        return self.source

    @property
    def alone(self) -> float:
        """Leverage that rounding cannot tell from 1, that of a row which alone determines a coefficient."""
        return min(ALONE, 1.0 - 1e3 * self.options.precision.eps)

    @property
    def active(self) -> np.ndarray:
        """Coefficients with a standard error: neither aliased nor held at a limit, (P,) bool."""
        return self.rank.active & ~self.held

    @property
    def bread(self) -> Information:
        """The information that is reported."""
        return self.informations[self.information]

    @property
    def coefficients(self) -> np.ndarray:
        """theta with 0 for aliased columns, as predictions need it."""
        return np.where(self.rank.active, self.theta, 0.0)

    @property
    def careful(self) -> Model:
        """The model with which sums over its rows are made."""
        return careful(self.model, self.n_passes)

    @property
    def n_parameters(self) -> int:
        """Estimated numbers, the dispersion included where it is estimated."""
        return int(self.rank.active.sum()) + (not self.model.family.dispersion_known)

    @cached_property
    def llf(self) -> float:
        """Log-likelihood in nats at the dispersion that :func:`plugged_in` gives, NaN under probability weights.

        Families whose density has no closed form in the dispersion (Tweedie) take a pass over the rows at first use.
        """
        if self.known_llf is not None:
            return self.known_llf
        at = FitPoint(self.coefficients, np.zeros(()), np.asarray(plugged_in(self)))
        with precision.scope():
            return float(self.rows.reduce(Statistics(), self.careful, at).llf)

    def without_source(self) -> Fit:
        """The same fit without its rows."""
        return replace(self, source=None, known_llf=self.llf)


def careful(model: Model, passes: dict[str, int]) -> Model:
    """The model, with exact linear predictors where columns were so nearly dependent that their rounding would show."""
    return Careful(model.family, model.layout) if "qr" in passes else model


def plugged_in(fit: Fit) -> float:
    """The dispersion at which a log-likelihood is taken: deviance per unit of weight, as R does."""
    return fit.deviance / (fit.nobs if fit.model.family.prior_divides_phi else fit.weight)
