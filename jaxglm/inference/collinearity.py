"""How much of each term the other terms explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxglm import precision
from jaxglm.fitted import Fit
from jaxglm.inference.influence import blocks


class Inflation(NamedTuple):
    """Generalized variance inflation of a term: GVIF, its degrees of freedom, and GVIF^(1 / (2 df))."""

    gvif: float
    df: int
    adjusted: float


def inflation(fit: Fit, terms: Sequence[tuple[str, tuple[int, ...]]]) -> dict[str, Inflation]:
    """Generalized variance inflation factors (Fox and Monette 1992), as ``car::vif`` in R; cost O(P^3) a term.

    det(R_t) det(R_other) / det(R), with R the correlations of the estimated coefficients besides the intercept, from
    the reported information; terms of a predictor are compared among themselves.

    Parameters
    ----------
    terms : sequence of (label, positions of its coefficients)
        All but the intercepts.

    Returns
    -------
    dict
        By label; terms without an estimated coefficient are left out.
    """
    with precision.scope(), np.errstate(all="ignore"):
        inverse = np.asarray(fit.bread.inverse())
    found: dict[str, Inflation] = {}
    usable = fit.active & np.isin(np.arange(len(inverse)), [j for _, columns in terms for j in columns])
    for mine in blocks(fit):
        kept = mine[usable[mine]]
        se = np.sqrt(np.diagonal(inverse)[kept])
        correlation = inverse[np.ix_(kept, kept)] / np.outer(se, se)
        if not np.isfinite(correlation).all():
            continue
        for label, columns in terms:
            inside = np.isin(kept, columns)
            if inside.any():
                found[label] = _of(correlation, inside)
    return found


def _of(correlation: np.ndarray, inside: np.ndarray) -> Inflation:
    def logdet(chosen: np.ndarray) -> float:
        return float(np.linalg.slogdet(correlation[np.ix_(chosen, chosen)])[1])

    gvif = float(np.exp(logdet(inside) + logdet(~inside) - logdet(np.ones_like(inside))))
    df = int(inside.sum())
    return Inflation(gvif, df, gvif ** (1.0 / (2 * df)))
