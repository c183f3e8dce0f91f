"""What checks need of the rows, in a few passes and bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import numpy as np

from jaxglm import precision
from jaxglm.fitted import Fit
from jaxglm.inference import influence
from jaxglm.inference.covariance import degrees_of_freedom
from jaxglm.inference.intervals import chi2_p_value, p_values
from jaxglm.kernels import Added, AddedPoint, Moments, Outcomes
from jaxglm.precision import host
from jaxglm.sources import Source

#: Fitted means of which the quantiles are taken; of more rows these are taken at equal distances.
_KEPT = 2**20
#: Groups of fitted risk.
GROUPS = 10
#: Share of an added column that the model's own leave, below which it is one of their combinations.
_NOTHING = 1e-8
#: Rows that a finding names.
NAMED = 5

#: Share of the null deviance that rounding leaves of an exact fit.
_EXACT = 1e-20

_SURVEY = "Under prob_weights there is no likelihood to judge by."
_BROKEN = "The information of this fit has no inverse."


@dataclass(frozen=True)
class Influenced:
    """Counts of influential rows.

    Attributes
    ----------
    most : largest Cook's distance
    far, high : rows with Cook's distance above 4/n, and with leverage above 2p/n
    striking : rows with leverage above 3p/n and a residual of more than three standard deviations
    alone : rows of leverage 1
    rows : positions of the rows to look at, worst first; among those of all processes
    """

    most: float
    far: int
    high: int
    striking: int
    alone: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Gathered:
    """Figures of the rows, each None where it has no meaning, with the reason beside it.

    Attributes
    ----------
    spread : variance of Pearson chi-squared under the model, estimation allowed for
    zeros : observed, expected, and their variance
    link, curvature : score statistic and p-value of eta^2, and by name of numeric columns
    hosmer : statistic, degrees of freedom, p-value
    influence : Influenced
    """

    spread: float | None = None
    no_spread: str = ""
    zeros: tuple[float, float, float] | None = None
    no_zeros: str = ""
    link: tuple[float, float] | None = None
    curvature: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    no_scores: str = ""
    hosmer: tuple[float, float, float] | None = None
    no_hosmer: str = ""
    influence: Influenced | None = None


def gather(fit: Fit, numeric: Mapping[str, int], weighted: bool) -> Gathered:
    """Sums over the fitted rows; at most about six passes, of which two cost O(n P^2).

    Parameters
    ----------
    numeric : positions of the mean's numeric columns, by name
    weighted : whether there are ``var_weights``

    Raises
    ------
    NotAvailableError, DataError
        The rows were not kept, or changed since.
    """
    source, family = fit.rows, fit.model.family
    survey = fit.options.probability_weights
    sound = bool(np.asarray(fit.bread.ok))
    bounded = _bounded(family)
    no_spread = "" if not survey else _SURVEY
    if not (family.has_expected and family.has("variance") and family.has("mean")):
        no_spread = "This family does not say how much a squared residual varies."
    no_zeros = _no_zeros(family, bounded, survey, weighted)
    no_spread = no_spread or ("" if sound else _BROKEN)
    kernel = Moments(fourth=not no_spread and family.dispersion_known, zeros=not no_zeros and sound)
    with precision.scope():
        sums = host(source.reduce(kernel, fit.model, fit.coefficients))
    binary = bounded and float(sums.other) == 0
    if binary:
        no_spread = "With single 0/1 outcomes Pearson chi2 tells nothing of dispersion; see calibration."
    no_scores = _SURVEY if survey else _BROKEN if not sound else ""
    if fit.deviance <= _EXACT * abs(fit.null_deviance):
        no_scores = "The model fits the response exactly."
    found = {"no_spread": no_spread, "no_zeros": no_zeros, "no_scores": no_scores}
    if kernel.fourth and not binary:
        found["spread"] = float(sums.spread) - _taken(fit, sums.pull)
    if kernel.zeros:
        spread = float(sums.zero_spread) - _taken(fit, sums.zero_pull)
        found["zeros"] = (float(sums.zeros), float(sums.expected), spread)
    if not no_scores:
        found["link"], found["curvature"] = _scores(fit, source, sums, numeric)
    found["no_hosmer"] = _no_hosmer(binary, survey, weighted)
    if not found["no_hosmer"]:
        found["hosmer"] = hosmer(fit, source)
    if sound:
        found["influence"] = _influence(fit, source)
    return Gathered(**found)


@precision.quickly
def _can_be(family, y) -> jax.Array:
    """Whether a response can be y."""
    return family.support(y, {})


def _bounded(family) -> bool:
    """Whether y lies between 0 and 1."""
    if family.aux_names or not family.has("mean"):
        return False
    with precision.scope():
        return not bool(_can_be(family, 2.0))


def _no_zeros(family, bounded: bool, survey: bool, weighted: bool) -> str:
    """Why the number of zeros is not judged."""
    if not (family.has("below") and family.has("logpdf") and family.dispersion_known) or bounded:
        return "It is for counts with a distribution (Poisson, negative binomial)."
    return _SURVEY if survey else "Under var_weights a row is no single count." if weighted else ""


def _no_hosmer(binary: bool, survey: bool, weighted: bool) -> str:
    """Why calibration is not judged."""
    if not binary:
        return "It is for single outcomes of 0 or 1."
    return _SURVEY if survey else "Under var_weights a row is no single outcome." if weighted else ""


def _taken(fit: Fit, pull: np.ndarray) -> float:
    """Variance that the estimation of theta takes from a sum with this slope: b' V b."""
    with precision.scope():
        return float(pull @ np.asarray(fit.bread.solve(np.where(fit.active, pull, 0.0))))


def _scores(fit: Fit, source: Source, sums, numeric: Mapping[str, int]):
    """Score tests (Rao 1948) of the centered squares of eta and of columns, each added alone."""
    picks = np.array([j for j in numeric.values()], np.int32)
    centers = np.concatenate([[float(sums.eta)], sums.columns[picks]]) / fit.nobs
    point = AddedPoint(fit.coefficients, np.asarray(fit.information == "observed"), picks, centers)
    with precision.scope():
        added = host(source.reduce(Added(), fit.model, point))
        own = np.asarray(fit.bread.solve(np.where(fit.active, added.cross, 0.0).T))
    left = added.own - np.sum(added.cross * own.T, axis=1)
    with np.errstate(all="ignore"):
        chi2 = np.where(left > _NOTHING * added.own, added.score**2 / (left * influence.unit(fit)), np.nan)
    p = p_values(np.sqrt(chi2), degrees_of_freedom(fit))
    pairs = [(float(a), float(b)) for a, b in zip(chi2, p, strict=True)]
    return pairs[0], dict(zip(numeric, pairs[1:], strict=True))


def hosmer(fit: Fit, source: Source, groups: int = GROUPS) -> tuple[float, float, float]:
    """Hosmer and Lemeshow's (1980) statistic, its degrees of freedom (groups - 2), and the p-value.

    Groups end at the quantiles of the fitted means, as in R's ``ResourceSelection::hoslem.test``; ends that coincide
    are one. Of more than a million rows the quantiles are those of rows at equal distances.
    """
    hosts, stride = source.hosts, -(-fit.n_rows // _KEPT)

    def look() -> tuple[list[dict], np.ndarray]:
        kept, start = [], 0
        for part in influence.each(source.own, Outcomes(), fit.model, fit.coefficients):
            kept.append({name: value[-start % stride :: stride] for name, value in part.items()})
            start += len(part["y"])
        return kept, np.concatenate([np.column_stack([part["mean"], part["freq"]]) for part in kept])

    kept, own = hosts.together("looking at fitted means", look)
    mean, freq = hosts.joined(own).T
    ends = np.unique(quantiles(mean, freq, np.linspace(0.0, 1.0, groups + 1)))
    count = max(len(ends) - 1, 1)

    def add() -> np.ndarray:
        parts = kept if stride == 1 else influence.each(source.own, Outcomes(), fit.model, fit.coefficients)
        sums = np.zeros((3, count))
        for part in parts:
            group = np.clip(np.searchsorted(ends, part["mean"], side="left") - 1, 0, count - 1)
            for i, value in enumerate((1.0, part["y"], part["mean"])):
                sums[i] += np.bincount(group, part["freq"] * value, count)
        return sums

    _, sums = hosts.summed("adding up groups of rows", lambda: (None, add().ravel()))
    total, seen, expected = sums.reshape(3, count)
    gap = (seen - expected) ** 2
    with np.errstate(all="ignore"):
        parts = np.where(gap > 0, gap / expected + gap / (total - expected), 0.0)
    chi2, df = float(np.sum(parts)), float(count - 2)
    return chi2, df, chi2_p_value(chi2, df)


def quantiles(values: np.ndarray, freq: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Quantiles of values repeated `freq` times, interpolated as R does by default (its type 7)."""
    order = np.argsort(values, kind="stable")
    sorted_values, last = values[order], np.cumsum(freq[order])
    place = (last[-1] - 1.0) * shares
    below = np.floor(place + 4.0 * np.finfo(float).eps)

    def at(k):
        return sorted_values[np.minimum(np.searchsorted(last, k, side="right"), len(values) - 1)]

    low = at(below)
    part = np.where(np.abs(place - below) < 1e-12 * np.maximum(1.0, place), 0.0, place - below)
    return low + part * (at(below + 1.0) - low)


def _influence(fit: Fit, source: Source) -> Influenced:
    """One pass over the rows, of which only the worst are kept."""
    hosts = source.hosts

    def own() -> tuple[tuple[float, np.ndarray], np.ndarray]:
        counts, most, rows = _worst(fit, source)
        return (most, rows), counts.astype(float)

    (most, rows), counts = hosts.summed("looking at single rows", own)
    most, rows = float(hosts.gather(np.asarray(most, float)).max()), hosts.joined(rows)
    position = rows[influence.largest(rows[:, 0], NAMED), 1]
    return Influenced(most, *map(int, counts), tuple(int(i) for i in position))


def _worst(fit: Fit, source: Source) -> tuple[np.ndarray, float, np.ndarray]:
    """Counts of rows of this process, their largest Cook's distance, and size and position of the worst."""
    n, rank = fit.nobs, influence.ranks(fit)[0]
    counts, most, start = np.zeros(4, int), 0.0, source.n_before
    position, size = np.empty(0, int), np.empty(0)
    for part in influence.chunks(fit, source.own):
        cook, hat = part["cooks_distance"], part["hat"]
        far, alone = cook > 4.0 / n, hat >= 1.0
        with np.errstate(all="ignore"):
            striking = (hat > 3.0 * rank / n) & (cook * rank * (1.0 - hat) > 9.0 * hat)
        counts += [int(np.sum(v)) for v in (far, hat > 2.0 * rank / n, striking, alone)]
        most = max(most, float(np.nanmax(cook, initial=0.0)))
        # Rows that fix a coefficient come first, then those that move the estimates, then those far out in both ways.
        rated = np.where(alone, np.inf, np.where((cook > 0.5) | striking, cook, 0.0))
        position = np.concatenate([position, start + np.flatnonzero(rated > 0)])
        size = np.concatenate([size, rated[rated > 0]])
        kept = influence.largest(size, NAMED)
        position, size, start = position[kept], size[kept], start + len(hat)
    return counts, most, np.column_stack([size, position])
