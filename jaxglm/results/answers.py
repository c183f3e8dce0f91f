"""What is asked of a fit once it is made; one line each, the work is done elsewhere."""

from __future__ import annotations

from typing import Any

from jaxglm.fitted import Fit
from jaxglm.inference.covariance import Covariance
from jaxglm.results import storage
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

    # -- files -------------------------------------------------------------------------------------------------
    def save(self, path: Any) -> None:
        """Write a file (path or binary file object) that :func:`jaxglm.load` reads; it does not grow with the rows.

        It replaces an older one only once it is whole. Rows and functions of your own are not in it.
        """
        storage.save(self, path)
