"""How much each row matters: leverage, and what the fit would be without it.

Everything follows from one factor of the reported information and one pass over the rows. R's conventions hold: Cook's
distance takes the Pearson residual, DFFITS, DFBETAS and the standard deviation without the row take the deviance
residual, as if the last weighted least squares fit were the model (Belsley, Kuh and Welsch 1980; Pregibon 1981;
Williams 1987). Under ``freq_weights`` a figure is that of one of the observations that the row stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxglm import precision
from jaxglm.errors import InputError, InputTypeError, near
from jaxglm.fitted import Fit
from jaxglm.inference.residuals import own_rows
from jaxglm.kernels import Changes, Deletion, DeletionPoint, Model, RowMap
from jaxglm.sources import Source

#: What each measure needs of the family besides the likelihood.
NEEDS = {
    "hat": (), "cooks_distance": (), "local_influence": (),
    "resid_standardized_pearson": ("mean", "variance"),
    "resid_standardized": ("mean", "unit_deviance"), "resid_studentized": ("mean", "variance", "unit_deviance"),
    "dffits": ("mean", "unit_deviance"), "covariance_ratio": ("mean", "unit_deviance"),
}  # fmt: skip


def point_of(fit: Fit) -> DeletionPoint:
    """The factors by which rows are left out; cost O(P^3)."""
    observed = fit.information == "observed"
    with precision.scope(), np.errstate(all="ignore"):
        root = np.asarray(fit.bread.root())
        metric = None if len(fit.model.layout.designs) == 1 else _metric(fit, root @ root.T)
    return DeletionPoint(fit.coefficients, root, metric, np.asarray(observed), np.asarray(fit.alone))


def _metric(fit: Fit, inverse: np.ndarray) -> np.ndarray:
    """See :class:`jaxglm.kernels.DeletionPoint`."""
    found = np.zeros_like(inverse)
    for mine in blocks(fit):
        kept = mine[fit.active[mine]]
        if not len(kept) or not np.isfinite(inverse).all():
            continue
        lower = np.linalg.cholesky(inverse[np.ix_(kept, kept)])
        found[:, kept] = np.linalg.solve(lower, inverse[kept]).T
    return found


def blocks(fit: Fit) -> list[np.ndarray]:
    """Positions of the coefficients of each predictor."""
    edges = np.cumsum([0] + [design.n_columns for design in fit.model.layout.designs])
    return [np.arange(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def ranks(fit: Fit) -> list[int]:
    """Estimated coefficients of each predictor."""
    return [int(fit.active[mine].sum()) for mine in blocks(fit)]


def unit(fit: Fit) -> float:
    """The dispersion of a row of weight 1.

    Probability weights have no unit, so where the dispersion is known to be 1 it is that of a row of mean weight: no
    measure changes when all of them are scaled.
    """
    if fit.options.probability_weights and fit.model.family.dispersion_known:
        return fit.weight / fit.nobs
    return fit.scale


def available(fit: Fit) -> tuple[str, ...]:
    """Names of the measures that the family gives, those of further predictors last."""
    family = fit.model.family
    own = [name for name, needed in NEEDS.items() if all(family.has(method) for method in needed)]
    further = [f"{name}_{other}" for other in family.predictors[1:] for name in ("hat", "cooks_distance")]
    return (*own, *further)


def chunks(fit: Fit, source: Source | None = None) -> Iterator[dict[str, np.ndarray]]:
    """All measures, (m,) each, chunk by chunk; cost O(n P^2), memory of one chunk.

    ``hat``
        Leverage of the mean predictor, the diagonal of C X V X' of a row with curvature C (K x K) of the reported
        information and V its inverse. It sums (freq_weights times) to the estimated coefficients of the predictor.
    ``cooks_distance``
        d' V[k, k]^-1 d / (phi p): d is the one-step change of the p coefficients of the mean by leaving the row out
        (Cook 1977; Pregibon 1981). For one predictor that is R's (pearson / (1 - h))^2 h / (phi p).
    ``local_influence``
        2 s' V s / phi over all coefficients, s the score of the row: the normal curvature of the likelihood
        displacement in the direction of its weight (Cook 1986, section 3.1), for any number of predictors.
    ``resid_standardized``, ``resid_standardized_pearson``
        Deviance or Pearson residual over sqrt(phi (1 - h)).
    ``resid_studentized``
        sign(e) sqrt(e^2 + h pearson^2 / (1 - h)) (Williams 1987), divided by the standard deviation without the row
        unless the mean fixes the variance (binomial, Poisson).
    ``dffits``, ``covariance_ratio``
        e sqrt(h) / (sigma_i (1 - h)), and (sigma_i / sigma)^(2 p) / (1 - h), with the deviance residual e, and sigma_i
        that of the deviance without the row.

    Further predictors have ``hat_<name>`` and ``cooks_distance_<name>``. A row without which a coefficient could not
    be estimated has leverage 1 and NaN in what would need a fit without it.
    """
    # Whoever has asked for the rows of the fit hands them on: asking may take a pass, by which they are known again.
    source = own_rows(fit, "influence()") if source is None else source
    names = available(fit)
    for part in each(source, Deletion(), fit.model, point_of(fit)):
        with np.errstate(all="ignore"):
            found = _scaled(fit, part)
        yield {name: value for name, value in found.items() if name in names}


def each(source: Source, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
    """The row values of each chunk; the precision of the computation is that of this thread only while one is made."""
    with precision.scope():
        parts = source.iterate(kernel, model, point)
    while True:
        with precision.scope():
            part = next(parts, None)
        if part is None:
            return
        yield part


def _scaled(fit: Fit, part: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The measures of a chunk from what the kernel gives."""
    phi, counts = unit(fit), ranks(fit)
    hats = np.where(part["hat"] >= fit.alone, 1.0, part["hat"])
    hat, rank = hats[:, 0], counts[0]
    rest = np.where(hat < 1.0, 1.0 - hat, np.nan)
    e, pearson = part["deviance"], part["pearson"]
    sigma = deviation_without(fit, e, hat)
    studentized = np.sign(e) * np.sqrt(e**2 + hat * pearson**2 / rest)
    if fit.model.family.mean_fixes_variance:
        studentized = studentized / np.sqrt(unit(fit))
    else:
        studentized = studentized / sigma
    found = {
        "hat": hat,
        "cooks_distance": part["distance"][:, 0] / (phi * rank),
        "local_influence": 2.0 * part["local"] / phi,
        "resid_standardized_pearson": pearson / np.sqrt(phi * rest),
        "resid_standardized": e / np.sqrt(phi * rest),
        "resid_studentized": studentized,
        "dffits": e * np.sqrt(np.maximum(hat, 0.0)) / (sigma * rest),
        "covariance_ratio": (sigma**2 * fit.df_resid / fit.deviance) ** rank / rest,
    }
    for k, other in enumerate(fit.model.family.predictors[1:], 1):
        found[f"hat_{other}"] = hats[:, k]
        found[f"cooks_distance_{other}"] = part["distance"][:, k] / (phi * counts[k])
    return found


def deviation_without(fit: Fit, deviance: np.ndarray, hat: np.ndarray) -> np.ndarray:
    """Root of the mean deviance that is left without each row, (m,); `deviance` are the residuals.

    A row of leverage 1 leaves all of it, as in R.
    """
    df = fit.nobs - ranks(fit)[0] - 1
    if df <= 0:
        return np.full(len(deviance), np.nan)
    taken = np.where(hat < 1.0, deviance**2 / np.where(hat < 1.0, 1.0 - hat, 1.0), 0.0)
    return np.sqrt(np.maximum(fit.deviance - taken, 0.0) / df)


def measures(fit: Fit) -> dict[str, np.ndarray]:
    """All measures of all rows, (n,) each; see :func:`chunks`."""
    parts = list(chunks(fit))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def top(fit: Fit, n: int, by: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Positions of the `n` rows whose measure `by` is largest in size, and their measures; memory of one chunk.

    Raises
    ------
    InputError, InputTypeError
        n is no positive whole number, or there is no such measure.
    """
    check_top(fit, n, by)
    best: dict[str, np.ndarray] = {}
    start = 0
    for part in chunks(fit):
        part["position"] = start + np.arange(len(part["hat"]))
        start += len(part["hat"])
        both = {name: np.concatenate([best[name], value]) if best else value for name, value in part.items()}
        best = {name: value[largest(both[by], n)] for name, value in both.items()}
    return best.pop("position"), best


def check_top(fit: Fit, n: int, by: str) -> None:
    """Errors of :func:`top`."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise InputTypeError(f"n is a number of rows, a whole number, not {n!r}")
    if n < 1:
        raise InputError(f"n is a number of rows and must be at least 1, not {n}")
    if by not in available(fit):
        raise InputError(f"there is no measure {by!r} to sort by.{near(by, available(fit))}")


def largest(values: np.ndarray, n: int) -> np.ndarray:
    """Positions of the n values of largest size, largest first; NaN comes last."""
    size = np.where(np.isnan(values), -1.0, np.abs(values))
    picked = np.argpartition(-size, n - 1)[:n] if n < len(size) else np.arange(len(size))
    return picked[np.argsort(-size[picked], kind="stable")]


def changes(fit: Fit) -> np.ndarray:
    """DFBETAS: change of each coefficient by a row in standard errors without it, (n, P); cost O(n P^2).

    The estimate minus that without the row, by one step, over sigma_i sqrt(V[j, j]). As in R the coefficients of the
    mean take the deviance residual for the Pearson residual; those of other predictors, and of families without a
    deviance, take the step itself over the standard error of the fit. The sign is that of the change; with a decreasing
    link R's is the opposite. NaN where the row has leverage 1 (R gives 0), and where a coefficient is aliased.
    """
    source = own_rows(fit, "dfbetas")
    point = point_of(fit)
    parts = each(source, Changes(), fit.model, point)
    with np.errstate(all="ignore"):
        unscaled = np.sqrt(np.sum(point.root**2, axis=1))
        return np.concatenate([_in_errors(fit, part, unscaled) for part in parts])


def _in_errors(fit: Fit, part: dict[str, np.ndarray], unscaled: np.ndarray) -> np.ndarray:
    family, hat = fit.model.family, part["hat"][:, 0]
    found = part["change"] / (np.sqrt(unit(fit)) * np.where(fit.active, unscaled, np.nan))
    if all(family.has(method) for method in NEEDS["resid_studentized"]):
        e, pearson = part["deviance"], part["pearson"]
        turn = np.where(pearson == 0, 1.0, e / pearson) * np.sqrt(unit(fit)) / deviation_without(fit, e, hat)
        found[:, blocks(fit)[0]] *= turn[:, None]
    return found


def derivatives(fit: Fit) -> np.ndarray:
    """d theta / d w of each row, (n, P): V times its score (Cook 1986); 0 where a coefficient is aliased or held."""
    source = own_rows(fit, "case_derivatives")
    with precision.scope():
        return source.map_rows(Changes(infinitesimal=True), fit.model, point_of(fit))["change"]
