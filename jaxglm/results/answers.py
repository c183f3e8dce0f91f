"""What is asked of a fit once it is made; one line each, the work is done elsewhere."""

from __future__ import annotations

from typing import Any

from jaxglm.fitted import Fit
from jaxglm.inference.covariance import Covariance
from jaxglm.results.diagnosis import Diagnosis, diagnose
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

    # -- influence and checks ----------------------------------------------------------------------------------
    def influence(self) -> Influence:
        """Leverage, Cook's distance and the other measures of what each row does to the fit, as R has them."""
        return influence(self)

    def diagnose(self) -> Diagnosis:
        """Checks of the model in words: what was found, whether it matters, what to do; some passes over the rows."""
        return diagnose(self)

    # -- files -------------------------------------------------------------------------------------------------
