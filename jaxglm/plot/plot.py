"""The accessor ``res.plot``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxglm.plot import effect

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Plot:
    """Pictures of one fitted model; each method returns matplotlib axes.

    Attributes
    ----------
    results : Results
    """

    results: Any

    def effect(self, variable: str, **options: Any) -> Axes:
        """Predicted mean against one variable with its confidence band, over the data.

        See :func:`jaxglm.plot.effect.draw` for the options (`at`, `alpha`, `points`, `ax`).
        """
        return effect.draw(self.results, variable, **options)
