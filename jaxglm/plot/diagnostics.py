"""A page of pictures that checks a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from jaxglm.errors import InputError, NotAvailableError
from jaxglm.plot import calibration, influence, quantiles, residuals, rootogram
from jaxglm.plot.base import new_figure
from jaxglm.plot.names import link_words, shorten


def draw(results: Any, *, seed: int = 0) -> np.ndarray:
    """Four pictures that suit the family, in a figure of their own.

    Residuals against the fitted mean; Q-Q; what is special to the family: calibration of probabilities, a rootogram
    of counts, else the spread of residuals against the fitted mean; and influence.

    Parameters
    ----------
    results : Results
    seed : int
        For quantile residuals of a discrete response.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes, (2, 2)
        ``axes[0, 0].figure`` is the figure.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    NotAvailableError
        The rows were not kept, or a custom family has no residuals.

    Notes
    -----
    A family without a distribution (quasi) has its deviance residuals in the Q-Q plot. Weights enter as each picture
    says. Cost: a few passes over the rows.

    Examples
    --------
    >>> import jaxglm as jg
    >>> axes = jg.fit([[0.0], [1], [2], [3], [4], [5]], [1, 2, 2, 4, 9, 12], "poisson").plot.diagnostics()
    >>> axes.shape
    (2, 2)
    """
    kind = residuals.default_kind(results)
    results.resid(kind, seed=seed)
    figure, axes = new_figure(2, 2, (10.4, 8.3))
    family = results.fit.model.family
    words = f"{results.labels.formula or results.labels.response}   ({family.title}{link_words(family, ', {} link')})"
    figure.suptitle(shorten(words, 110), x=0.012, ha="left", fontsize=10.5, color="#333333")
    free = list(axes.flat)
    for panel in _panels(results, kind, seed):
        try:
            panel(ax=free[0])
        except (InputError, NotAvailableError):
            # The family has no such picture.
            continue
        if not free[1:]:
            break
        free = free[1:]
    else:
        for ax in free:
            ax.set_axis_off()
    return axes


def _panels(results: Any, kind: str, seed: int) -> list[Callable]:
    """Pictures in the order in which they get a place, if the family and the data allow them."""
    special = calibration if results.fit.model.family.mean_range == "unit" else rootogram
    fitted = partial(residuals.draw, results, kind=kind, seed=seed)
    return [
        fitted,
        partial(quantiles.draw, results, kind=kind, seed=seed),
        partial(special.draw, results),
        partial(influence.draw, results),
        partial(fitted, absolute=True),
        partial(fitted, against="linear"),
    ]
