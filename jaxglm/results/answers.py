"""What is asked of a fit once it is made; one line each, the work is done elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxglm.fitted import Fit
from jaxglm.inference.covariance import Covariance
from jaxglm.results import margins
from jaxglm.results.diagnosis import Diagnosis, diagnose
from jaxglm.results.effects import Effects
from jaxglm.results.influence import Influence, influence
from jaxglm.results.labels import Labels


class Answers:
    """Tests, effects, influence and checks of a :class:`~jaxglm.results.results.Results`."""

    fit: Fit
    labels: Labels
    covariance: Covariance
    intake: Any

    # -- tests -------------------------------------------------------------------------------------------------

    # -- functions of the parameters ---------------------------------------------------------------------------

    # -- effects -----------------------------------------------------------------------------------------------
    def margins(
        self,
        variables: str | Sequence[str] | None = None,
        *,
        at: Mapping[str, Any] | None = None,
        by: str | Sequence[str] | None = None,
        kind: str = "dydx",
        values: Sequence[Any] | None = None,
        reference: str = "base",
        scale: str = "response",
        alpha: float = 0.05,
    ) -> Effects:
        """Average effects of columns: slopes of numbers, contrasts between levels of factors.

        See :func:`jaxglm.results.margins.margins` for every option.
        """
        return margins.margins(self, variables, at, by, kind, values, reference, scale, alpha)

    def predictions(
        self,
        *,
        at: Mapping[str, Any] | None = None,
        by: str | Sequence[str] | None = None,
        scale: str = "response",
        alpha: float = 0.05,
    ) -> Effects:
        """Average predictions, of all rows or by group, as they are or at values of some columns.

        See :func:`jaxglm.results.margins.predictions` for every option.
        """
        return margins.predictions(self, at, by, scale, alpha)

    # -- influence and checks ----------------------------------------------------------------------------------
    def influence(self) -> Influence:
        """Leverage, Cook's distance and the other measures of what each row does to the fit, as R has them."""
        return influence(self)

    def diagnose(self) -> Diagnosis:
        """Checks of the model in words: what was found, whether it matters, what to do; some passes over the rows."""
        return diagnose(self)

    # -- files -------------------------------------------------------------------------------------------------
