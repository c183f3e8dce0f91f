"""How often each count is expected under a fitted model."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm import precision
from jaxglm.errors import NotAvailableError
from jaxglm.fitted import Fit
from jaxglm.inference.observed import observed
from jaxglm.inference.residuals import as_draws, fitted, own_rows
from jaxglm.kernels import Given

#: Probabilities that may be computed for one table; with more, rows at even steps of the mean stand for all.
_MOST = 20_000_000
#: Rows that are always used, whatever the number of counts.
_ROWS = 2_000
#: How far a sum of probabilities may exceed 1 by rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Counts:
    """Observed and expected frequencies of the counts 0, 1, ..., m - 1, and of more.

    Attributes
    ----------
    observed, expected : (m + 1,)
        The last entry belongs to all counts of m and more. Both sum to the number of observations, under
        prob_weights to that of equal weights with the same variance (Kish 1965).
    n_used : int
        Rows from which the expected ones were computed.
    """

    observed: np.ndarray
    expected: np.ndarray
    n_used: int


def count_table(fit: Fit) -> Counts:
    """Observed and expected frequencies of every count up to the largest, weighed by freq_weights and prob_weights.

    The expected frequency of k is the sum over rows of w P(Y = k) at the estimates (Kleiber and Zeileis 2016).
    Variance weights change no frequency. Where there are trials the count is that of successes.

    Raises
    ------
    NotAvailableError
        The response holds other numbers than counts, or the family gives counts no probability.

    Notes
    -----
    Cost O(n m); beyond 2e7 probabilities every so many rows in the order of their mean stand for the others, which
    changes the expected frequencies by far less than their sampling error.
    """
    family = fit.model.family
    if not (family.counted and family.has("logpdf")):
        raise NotAvailableError(
            f"a rootogram compares frequencies of counts, to which the {family.title} family gives no probability; "
            "see plot.qq() and plot.residuals()"
        )
    seen = observed(fit, "plot.rootogram()")
    counts = np.rint(seen.y * seen.size)
    if np.any(np.abs(seen.y * seen.size - counts) > 1e-6 * np.maximum(counts, 1.0)) or counts.min() < 0:
        raise NotAvailableError("a rootogram needs counts, but the response has values that are no whole numbers >= 0")
    m, weight = int(counts.max()) + 1, seen.count * (seen.count.sum() / np.sum(seen.count * seen.share))
    if m > _MOST // _ROWS:
        raise NotAvailableError(f"a rootogram of counts up to {m - 1:,} would show nothing; see plot.qq()")
    found = np.bincount(counts.astype(int), weight, minlength=m)
    with precision.scope():
        source, phi = as_draws(fit, own_rows(fit, "plot.rootogram()"))
        given = source.map_rows(Given(), fit.model, (fit.coefficients, phi))
    rows, share = _spread(fitted(fit) if family.has("mean") else given["eta"][:, 0], weight, max(_ROWS, _MOST // m))
    part = jax.tree.map(lambda a: a[rows], given) | {"size": seen.size[rows]}
    with precision.scope():
        expected = np.asarray(_expected(family, np.arange(m, dtype=float), share, part))
    total = weight.sum()
    if not expected.sum() <= total * (1 + _ROUNDING):
        raise NotAvailableError(
            "the probabilities exp(-nll) of the counts sum to more than 1, so the likelihood is not that of counts or "
            "lacks its constants; a rootogram needs them"
        )
    rest = max(total - expected.sum(), 0.0)
    return Counts(np.append(found, 0.0), np.append(expected, rest), len(rows))


def _spread(key: np.ndarray, weight: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` rows at even steps of weight in the order of `key`, and the weight that each stands for."""
    if len(key) <= most:
        return np.arange(len(key)), weight
    order = np.argsort(key, kind="stable")
    reached = np.cumsum(weight[order])
    middle = (np.arange(most) + 0.5) * (reached[-1] / most)
    rows = order[np.minimum(np.searchsorted(reached, middle), len(key) - 1)]
    return rows, np.full(most, reached[-1] / most)


def _sums(family, counts, weight, given) -> jax.Array:
    """Sum over rows of the probability of each count, (m,)."""

    def one(k, eta, phi, aux, size):
        y = k / size
        chance = jnp.exp(family.logpdf(y, eta, phi, aux))
        return jnp.where(family.support(y, aux), chance, 0.0)

    def frequency(k):
        chances = jax.vmap(one, in_axes=(None, 0, 0, 0, 0))(k, given["eta"], given["phi"], given["aux"], given["size"])
        return jnp.sum(weight * chances)

    return jax.lax.map(frequency, counts)


_expected = precision.Tiered(_sums, lean=True)
