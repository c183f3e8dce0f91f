"""Where an iteration begins."""

from __future__ import annotations

import jax
import numpy as np

from jaxglm.design import Categorical, Coding, Constant, Layout
from jaxglm.families import Family
from jaxglm.kernels import Facts, Joint, Margins, Model, Survey
from jaxglm.links import Link
from jaxglm.numerics import namespace
from jaxglm.precision import host, quickly
from jaxglm.sources import Source

#: Where a parameter whose log is a predictor starts at the least, and its mean below which it has vanished.
_SMALLEST, VANISHED = -12.0, -15.0
#: Share of its margin with which a factor starts: where factors go together, each margin has some of the others.
_OF_MARGINS = 0.8
#: Rows with the mean of all that every level gets, so that the mean of none is at the end of its range.
_LENT = 4.0


def center_of(facts: Facts, mean_range: str) -> jax.Array:
    """Weighted mean of y, pulled inside the range of the mean where every y lies on its boundary."""
    xp = namespace(facts.total)
    mean = facts.total / xp.where(facts.size > 0, facts.size, 1.0)
    outside = {"real": False, "positive": mean == 0.0, "unit": (mean == 0.0) | (mean == 1.0)}[mean_range]
    return xp.where(outside & (facts.size > 0), (facts.total + 0.5) / (facts.size + 1.0), mean)


def constants(layout: Layout, facts: Facts, active: np.ndarray) -> list[np.ndarray | None]:
    """For each predictor the coefficients (P,) that make it 1 in every row, or None where its columns cannot."""
    found: list[np.ndarray | None] = []
    start = 0
    for design in layout.designs:
        kept = start + np.flatnonzero(active[start : start + design.n_columns])
        start += design.n_columns
        constant = [places[0] for part, places in design.parts if isinstance(part, Constant)]
        whole = np.zeros(len(active))
        if constant and active[start - design.n_columns + constant[0]]:
            whole[start - design.n_columns + constant[0]] = 1.0
            found.append(whole)
            continue
        if len(kept) == 0:
            found.append(None)
            continue
        gram = facts.gram[np.ix_(kept, kept)]
        scale = np.sqrt(np.diagonal(gram))
        weights = np.linalg.lstsq(gram / np.outer(scale, scale), facts.ones[kept] / scale, rcond=1e-12)[0] / scale
        # X'1 explained wholly by the columns means that they span the constant.
        if abs(float(facts.ones[kept] @ weights) / float(facts.n_rows) - 1.0) > 1e-9:
            found.append(None)
            continue
        whole[kept] = weights
        found.append(whole)
    return found


def constant_predictors(ones: list[np.ndarray | None], values: list[float], n_coefficients: int) -> np.ndarray:
    """Coefficients (P,) with each predictor at a constant where its columns span one (and it is finite), else zero."""
    theta = np.zeros(n_coefficients)
    for one, value in zip(ones, values, strict=True):
        if one is not None and np.isfinite(value):
            theta += value * one
    return theta


def beyond(limit: float, slope: jax.Array, curvature: jax.Array) -> jax.Array:
    """Where a predictor that is a log starts after a fit at its limit: at the Fisher step of what it is the log of.

    `slope` of the log-likelihood and its expected `curvature` are those at the limit.
    """
    xp = namespace(curvature)
    positive = curvature > 0
    step = xp.maximum(slope, 0.0) / xp.where(positive, curvature, 1.0)
    return xp.maximum(xp.where(positive, limit + xp.log1p(step), 0.0), _SMALLEST)


def on_link_scale(family: Family, mean: float) -> float:
    """The link of a mean."""
    at = np.asarray(mean, float)
    if not family.link.on_host:
        return float(_link(family.link, at))
    # A mean at the end of its range has an infinite link, which the caller looks for.
    with np.errstate(all="ignore"):
        return float(family.link.link(at))


@quickly
def _link(link: Link, mean: jax.Array) -> jax.Array:
    return link.link(mean)


def survey(source: Source, model: Model, products: str = "all") -> tuple[Facts, np.ndarray | None]:
    """The facts of the rows, on the host, and where a fit may start (P,), or None; one pass."""
    kernel = Survey(products, repeats=source.repeats)
    if not has_margins(model):
        return host(source.reduce(kernel, model, None)), None
    facts, margins = host(source.reduce(Joint((kernel, Margins())), model, None))
    return facts, from_margins(model, margins, float(facts.n_rows))


def has_margins(model: Model) -> bool:
    """Whether the means of levels tell where a fit may start: a constant and factors alone, any eta allowed."""
    family, layout = model.family, model.layout
    link = family.link if layout.n_predictors == 1 and family.has("start") and family.limit is None else None
    if link is None or family.quadratic or not link.on_host or link.valid_eta != "real":
        return False
    kinds = [part for part, _ in layout.designs[0].parts]
    whole = all(isinstance(part, (Categorical, Constant)) and (part.ones or part.levels) for part in kinds)
    return whole and {part.ones for part in kinds} == {True, False}


def from_margins(model: Model, margins: tuple, n_rows: float) -> np.ndarray | None:
    """Coefficients (P,) that bring the means of the levels of each factor near; None where they are not numbers.

    Nearer to the estimates than a step from starting values of each row, which takes the noise of a row for signal.

    Parameters
    ----------
    margins : what :class:`~jaxglm.kernels.Margins` gives, on the host
    """
    link, parts = model.family.link.link, model.layout.designs[0].parts
    one = next(i for i, (part, _) in enumerate(parts) if part.ones)
    below, above, shift = margins
    theta = np.zeros(model.layout.n_coefficients)
    with np.errstate(all="ignore"):
        mean, lent = above[one] / below[one], _LENT * below[one] / n_rows
        center = link(mean)
        constant = center - shift / below[one]

        def nearest(coding: Coding, size: np.ndarray, total: np.ndarray) -> tuple[float, np.ndarray]:
            if coding.n_columns < coding.n_levels - 1:
                # The margins of an interaction beside its factors tell what theirs do.
                return 0.0, np.zeros(coding.n_columns)
            effects = _OF_MARGINS * (link((total + lent * mean) / (size + lent)) - center)
            return coding.nearest(effects, size) if np.isfinite(effects).all() else (np.nan, np.zeros(coding.n_columns))

        for i, (part, places) in enumerate(parts):
            if i == one:
                continue
            sums = zip(part.coding.apart(below[i]), part.coding.apart(above[i]), strict=True)
            found = [nearest(coding, size, total) for (coding, size), (_, total) in sums]
            constant = constant + sum(base for base, _ in found)
            theta[np.asarray(places, int)] = np.concatenate([slopes for _, slopes in found])
    theta[np.asarray(parts[one][1], int)] = constant
    return theta if np.isfinite(theta).all() else None
