"""The table of families: what each is compared with."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from scipy import special, stats

from jaxglm import families, links
from jaxglm.families import Family


@dataclass(frozen=True)
class Entry:
    """A family with a link, and an independent account of its distribution.

    `twin(y, mu, phi)` is SciPy's log density, or None for a family without a distribution; `sample(rng, mu, phi, size)` draws y; `ends` maps a y on the boundary
    of the mean's range to the sign of the eta for which its nll falls for ever (0: never).
    """

    family: Family
    eta: tuple[float, ...]
    phi: float
    valid: tuple[float, ...]
    invalid: tuple[float, ...]
    twin: Callable
    sample: Callable
    aux: dict[str, float] = field(default_factory=dict)
    ends: dict[float, float] = field(default_factory=dict)


def gaussian(link, eta):
    return Entry(
        families.Gaussian(link), eta, 1.7, (-3.0, 0.0, 0.5, 3.5), (np.nan, np.inf, -np.inf),
        lambda y, mu, phi: stats.norm.logpdf(y, mu, np.sqrt(phi)),
        lambda rng, mu, phi, n: rng.normal(mu, np.sqrt(phi), n),
        ends={0.5: 0.0},
    )  # fmt: skip


def binomial(link, eta, trials=1.0, high=1.0):
    valid = (0.0, 1.0) if trials == 1.0 else (0.0, 1 / trials, 4 / trials, 1.0)
    return Entry(
        families.Binomial(link), eta, 1.0, valid, (-0.1, 1.1, np.nan, np.inf),
        lambda y, mu, phi: stats.binom.logpmf(np.round(y * trials), int(trials), mu),
        lambda rng, mu, phi, n: rng.binomial(int(trials), mu, n) / trials,
        aux={"trials": trials} if trials != 1.0 else {},
        ends={0.0: -1.0, 1.0: high, 0.25: 0.0},
    )  # fmt: skip


def poisson(link, eta, low=-1.0):
    return Entry(
        families.Poisson(link), eta, 1.0, (0.0, 1.0, 3.0, 20.0), (-1.0, np.nan, np.inf),
        lambda y, mu, phi: stats.poisson.logpmf(y, mu),
        lambda rng, mu, phi, n: rng.poisson(mu, n).astype(float),
        ends={0.0: low, 3.0: 0.0},
    )  # fmt: skip


def gamma(link, eta):
    return Entry(
        families.Gamma(link), eta, 0.4, (0.01, 0.7, 2.0, 9.0), (0.0, -1.0, np.nan, np.inf),
        lambda y, mu, phi: stats.gamma.logpdf(y, 1 / phi, scale=mu * phi),
        lambda rng, mu, phi, n: rng.gamma(1 / phi, mu * phi, n),
        ends={0.7: 0.0},
    )  # fmt: skip


def inverse_gaussian(link, eta):
    return Entry(
        families.InverseGaussian(link), eta, 0.3, (0.05, 0.7, 2.0, 9.0), (0.0, -1.0, np.nan, np.inf),
        lambda y, mu, phi: stats.invgauss.logpdf(y, mu * phi, scale=1 / phi),
        lambda rng, mu, phi, n: rng.wald(mu, 1 / phi, n),
        ends={0.7: 0.0},
    )  # fmt: skip


def negative_binomial(link, eta, alpha, low=-1.0):
    r = 1 / alpha
    return Entry(
        families.NegativeBinomial(alpha, link), eta, 1.0, (0.0, 1.0, 3.0, 20.0), (-1.0, np.nan, np.inf),
        lambda y, mu, phi: stats.nbinom.logpmf(y, r, r / (r + mu)),
        lambda rng, mu, phi, n: rng.negative_binomial(r, r / (r + mu), n).astype(float),
        ends={0.0: low, 3.0: 0.0},
    )  # fmt: skip


def tweedie_logpdf(y, mu, phi, power):
    """Log density by the compound sum itself, 400 claims and more."""
    if power == 2.0:
        return stats.gamma.logpdf(y, 1 / phi, scale=mu * phi)
    y, whole = np.broadcast_arrays(y, mu)
    mu = np.where(whole > 0, whole, 1.0)
    number, shape = mu ** (2 - power) / (phi * (2 - power)), (2 - power) / (power - 1)
    scale = phi * (power - 1) * mu ** (power - 1)
    j = np.arange(1, 500)[:, None]
    with np.errstate(divide="ignore"):
        terms = stats.poisson.logpmf(j, number) + stats.gamma.logpdf(y, shape * j, scale=scale)
    # A mean of 0 leaves nothing but y = 0.
    return np.where(whole == 0, 0.0, np.where(y > 0, special.logsumexp(terms, axis=0), -number))


def tweedie_sample(rng, mu, phi, n, power):
    if power == 2.0:
        return rng.gamma(1 / phi, mu * phi, n)
    number, shape = mu ** (2 - power) / (phi * (2 - power)), (2 - power) / (power - 1)
    counts = rng.poisson(number, n)
    claims = rng.gamma(np.maximum(shape * counts, 1e-9), phi * (power - 1) * mu ** (power - 1))
    return np.where(counts > 0, claims, 0.0)


def tweedie(link, eta, power):
    valid = (0.0, 0.2, 2.0, 9.0) if power < 2 else (0.2, 2.0, 9.0)
    return Entry(
        families.Tweedie(power, link), eta, 0.7, valid, (-1.0, np.nan, np.inf) + ((0.0,) if power >= 2 else ()),
        partial(tweedie_logpdf, power=power),
        partial(tweedie_sample, power=power),
        ends=({0.0: -1.0} if power < 2 else {}) | {2.0: 0.0},
    )  # fmt: skip


def without_distribution(entry, family):
    return replace(entry, family=family, twin=None)


def squared(mu):
    return mu**2


REAL, POSITIVE, NEGATIVE = (-1.5, 0.3, 2.0), (0.3, 0.8, 1.7), (-2.0, -0.9, -0.2)
FAMILIES = {
    "gaussian identity": gaussian(links.Identity(), REAL),
    "gaussian log": gaussian(links.Log(), REAL),
    "gaussian inverse": gaussian(links.Inverse(), (-1.5, 0.4, 2.0)),
    "binomial logit": binomial(links.Logit(), REAL),
    "binomial logit trials": binomial(links.Logit(), REAL, 12.0),
    "binomial probit": binomial(links.Probit(), REAL),
    "binomial cloglog trials": binomial(links.CLogLog(), (-1.5, -0.3, 0.8), 12.0),
    "binomial log": binomial(links.Log(), NEGATIVE, high=0.0),
    "poisson log": poisson(links.Log(), (-1.0, 0.3, 2.0)),
    "poisson identity": poisson(links.Identity(), POSITIVE, low=0.0),
    "poisson sqrt": poisson(links.Sqrt(), POSITIVE, low=0.0),
    "gamma inverse": gamma(links.Inverse(), POSITIVE),
    "gamma log": gamma(links.Log(), REAL),
    "inverse gaussian inverse_squared": inverse_gaussian(links.InverseSquared(), POSITIVE),
    "inverse gaussian log": inverse_gaussian(links.Log(), (-1.0, 0.3, 1.0)),
    "binomial cauchit": binomial(links.Cauchit(), REAL),
    "binomial loglog trials": binomial(links.LogLog(), REAL, 12.0),
    "gamma power": gamma(links.Power(1 / 3), POSITIVE),
    "negative binomial log": negative_binomial(links.Log(), (-1.0, 0.3, 2.0), 0.7),
    "negative binomial near poisson": negative_binomial(links.Log(), (-1.0, 0.3, 2.0), 1e-4),
    "negative binomial sqrt": negative_binomial(links.Sqrt(), POSITIVE, 2.5, low=0.0),
    "tweedie 1.2": tweedie(links.Log(), (-1.0, 0.3, 1.5), 1.2),
    "tweedie 1.8": tweedie(links.Log(), (-1.0, 0.3, 1.5), 1.8),
    "tweedie 2": tweedie(links.Log(), (-1.0, 0.3, 1.5), 2.0),
    "quasipoisson log": without_distribution(poisson(links.Log(), (-1.0, 0.3, 2.0)), families.QuasiPoisson()),
    "quasibinomial logit": without_distribution(binomial(links.Logit(), REAL, 12.0), families.QuasiBinomial()),
    "quasi squared": without_distribution(
        replace(gamma(links.Log(), REAL), invalid=(np.nan, np.inf)), families.Quasi(squared, links.Log())
    ),
}
