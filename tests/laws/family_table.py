"""The table of families: what each is compared with."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from jaxglm import families, links
from jaxglm.families import Family


@dataclass(frozen=True)
class Entry:
    """A family with a link, and an independent account of its distribution.

    `twin(y, mu, phi)` is SciPy's log density; `sample(rng, mu, phi, size)` draws y; `ends` maps a y on the boundary
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
}
