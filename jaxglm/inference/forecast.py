"""The distribution of a new observation, with the uncertainty of the estimates.

The distribution function of a row is averaged over its predictors, normal around their estimates, and over the
dispersion where that is estimated (chi-squared around its estimate), by Gauss quadrature; quantiles invert the average.
For least squares the average is Student t, which is written out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm import precision
from jaxglm.families import Family
from jaxglm.fitted import Fit
from jaxglm.inference import intervals
from jaxglm.inference.covariance import Covariance
from jaxglm.inference.residuals import as_draws
from jaxglm.kernels import Spread
from jaxglm.precision import Tiered
from jaxglm.sources import Source, bucket

#: Rows of one call of compiled code.
_ROWS = 4096
#: Evaluations of a call that code is compiled quickly for; a quantile takes about 25 calls.
_FEW = 2**11
#: Nodes over one predictor, over each of two, over more of them together, and over the dispersion.
_NODES, _EACH, _POINTS, _SCALES = 11, 7, 128, 5
#: Relative width of the bracket at which a quantile of a continuous distribution is accepted.
_WIDTH = 1e-11
_MOST_TURNS = 200
#: Whole numbers above twice of it have no neighbor at a distance of 1.
_LARGEST = 2.0**52

Curve = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Forecast:
    """New observations of m rows.

    Attributes
    ----------
    family : Family
    eta : (m, K) predictors, offset included
    covariance : (m, K, K) of the predictors; zero where the estimates are taken as known
    phi : (m,) dispersion over the row's prior weight
    aux : dict of (m,) arrays that the family reads
    df : degrees of freedom of the estimated dispersion; inf where it is taken as known
    """

    family: Family
    eta: np.ndarray
    covariance: np.ndarray
    phi: np.ndarray
    aux: dict[str, np.ndarray]
    df: float

    def plugged_in(self) -> Forecast:
        """The same with all estimates taken as known."""
        return replace(self, covariance=np.zeros_like(self.covariance), df=np.inf)

    def cdf(self, y: np.ndarray) -> np.ndarray:
        """P(Y <= y) of each row, (m,); cost O(m J) for J = 11 to 245 nodes (one where all is known)."""
        return self._curve(np.asarray(y, float), np.arange(len(self.phi)))

    def probability(self, y: np.ndarray) -> np.ndarray:
        """P(Y = y) of each row, (m,)."""
        before = self._before(y)
        return np.maximum(self.cdf(y) - self.cdf(before), 0.0)

    @property
    def lattice(self) -> np.ndarray:
        """Distance between the values that a row can have, (m,); 0 where they are a continuum."""
        ones = np.ones(len(self.phi))
        return ones - self._before(ones)

    def _before(self, y: np.ndarray) -> np.ndarray:
        with precision.scope():
            return np.asarray(_below(self.family, np.asarray(y, float), self.aux))

    def quantile(self, q: float) -> np.ndarray:
        """The least y with P(Y <= y) >= q of each row, (m,); about ten times the cost of :meth:`cdf`."""
        if self.family.quadratic:
            spread = np.sqrt(self.phi + self.covariance[:, 0, 0])
            return self.eta[:, 0] + intervals.percentile(q, self.df) * spread
        out = np.full(len(self.phi), np.nan)
        step = self.lattice
        every = np.arange(len(self.phi))
        known = np.isfinite(self._curve(self._center(every), every))
        for rows, solve in ((known & (step > 0), self._on_lattice), (known & ~(step > 0), self._between)):
            if rows.any():
                at = np.flatnonzero(rows)
                out[at] = solve(q, at, step[at])
        return out

    def _on_lattice(self, q: float, rows: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Halving over whole multiples of the step, from 0 on."""

        def enough(k: np.ndarray, at: np.ndarray) -> np.ndarray:
            return self._curve(k * step[at], rows[at]) >= q

        return step * _least_whole(enough, len(rows), np.maximum(np.ceil(self._center(rows) / step), 1.0))

    def _between(self, q: float, rows: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Search on the scale of the log for positive responses, else on that of standard deviations."""
        center = self._center(rows)
        if self.family.mean_range == "real":
            scale = self._deviation(rows, center)

            def value(t: np.ndarray, at: np.ndarray) -> np.ndarray:
                return center[at] + scale[at] * t

            atom = np.zeros(len(rows), bool)
        else:
            # A positive probability of 0 may be all that is asked for.
            atom = self._curve(np.zeros(len(rows)), rows) >= q

            def value(t: np.ndarray, at: np.ndarray) -> np.ndarray:
                return center[at] * np.exp(t)

        out = np.zeros(len(rows))
        rest = np.flatnonzero(~atom)
        found = _root(lambda t, at: self._curve(value(t, rest[at]), rows[rest[at]]) - q, len(rest))
        out[rest] = value(found, rest)
        return out

    def _center(self, rows: np.ndarray) -> np.ndarray:
        """Means, or the nearest that can be had."""
        with precision.scope():
            mean = np.asarray(_mean(self.family, self.eta[rows], {name: v[rows] for name, v in self.aux.items()}))
        return np.where(np.isfinite(mean), mean, 0.0)

    def _deviation(self, rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Standard deviations, 1 where they are unknown."""
        with precision.scope():
            aux = {name: v[rows] for name, v in self.aux.items()}
            variance = np.asarray(_variance(self.family, mean, self.eta[rows], aux))
        with np.errstate(invalid="ignore"):
            deviation = np.sqrt(self.phi[rows] * variance)
        return np.where(np.isfinite(deviation) & (deviation > 0), deviation, 1.0)

    @cached_property
    def _roots(self) -> np.ndarray:
        """Square roots of the covariances, (m, K, K)."""
        if self.covariance.shape[1] == 1:
            return np.sqrt(np.maximum(self.covariance, 0.0))
        values, vectors = np.linalg.eigh(np.nan_to_num(self.covariance))
        return vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]

    def _curve(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Averaged distribution function of some rows."""
        uncertain = bool(np.any(self.covariance > 0))
        nodes = _nodes(self.eta.shape[1], uncertain, self.df)
        out = np.empty(len(rows))
        with precision.scope():
            for start in range(0, len(rows), _ROWS):
                at = rows[start : start + _ROWS]
                size = len(at)
                # Filled up with the first row, so that few lengths are compiled.
                some = np.concatenate([at, np.full(_filled(size) - size, at[0])])
                points = np.concatenate([y[start : start + size], np.full(len(some) - size, y[start])])
                given = (self.eta[some], self._roots[some], self.phi[some], {n: v[some] for n, v in self.aux.items()})
                mix = _mix.quick if len(some) * len(nodes[1]) <= _FEW else _mix
                out[start : start + size] = np.asarray(mix(self.family, nodes, points, *given))[:size]
        return out


def _filled(size: int) -> int:
    """Rows of a call that holds so many."""
    return 8 if size <= 8 else min(bucket(size), _ROWS)


def forecast(fit: Fit, covariance: Covariance, source: Source) -> Forecast:
    """The distribution of a new observation with the predictors of each row of a source; cost O(m P^2)."""
    clean = np.where(np.isnan(covariance.matrix), 0.0, covariance.matrix)
    with precision.scope():
        rows, phi = as_draws(fit, source)
        made = rows.map_rows(Spread(), fit.model, (fit.coefficients, clean, phi))
    # Whatever law the tests use: a known dispersion has no distribution, an estimated one that of its own estimate.
    plain = fit.model.family.dispersion_known or np.isinf(covariance.df)
    df = np.inf if plain else fit.df_resid
    return Forecast(fit.model.family, made["eta"], made["covariance"], made["phi"], made["aux"], df)


def _mixture(family: Family, nodes: tuple, y, eta, root, phi, aux) -> jax.Array:
    """Average of the distribution function over the nodes (z, precision, weight), (m,)."""
    z, tau, weight = nodes

    def one(y, eta, root, phi, aux):
        def at(z, tau):
            point = eta + jnp.sum(root * z, axis=1) / jnp.sqrt(tau)
            value = family.cdf(y, point, phi / tau, aux)
            return value, jnp.isfinite(value) & family.valid(point)

        value, fine = jax.vmap(at)(z, tau)
        # Predictors that give no mean (below 0 under the inverse link) have no part in it.
        share = jnp.where(fine, weight, 0.0)
        return jnp.sum(share * jnp.where(fine, value, 0.0)) / jnp.sum(share)

    return jax.vmap(one)(y, eta, root, phi, aux)


_mix = Tiered(_mixture, lean=True)


@precision.quickly
def _below(family: Family, y, aux: dict) -> jax.Array:
    return jax.vmap(family.below)(y, aux)


@precision.quickly
def _mean(family: Family, eta, aux: dict) -> jax.Array:
    return jax.vmap(family.mean)(eta, aux)


@precision.quickly
def _variance(family: Family, mean, eta, aux: dict) -> jax.Array:
    return jax.vmap(family.variance)(mean, eta, aux)


def _nodes(k: int, uncertain: bool, df: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes of the standard normal in K dimensions and of chi2(df) / df, and their weights, (J, K), (J,), (J,)."""
    z, weight = np.zeros((1, k)), np.ones(1)
    if uncertain and k <= 2:
        points, share = np.polynomial.hermite_e.hermegauss(_NODES if k == 1 else _EACH)
        grid = np.meshgrid(*[points] * k, indexing="ij")
        z = np.stack([g.ravel() for g in grid], axis=1)
        weight = np.prod(np.meshgrid(*[share / share.sum()] * k, indexing="ij"), axis=0).ravel()
    elif uncertain:
        z, weight = _spread_points(k), np.full(_POINTS, 1.0 / _POINTS)
    if np.isinf(df) or df <= 0:
        return z, np.ones(len(z)), weight
    tau, share = _chi_squared(df)
    return np.repeat(z, len(tau), axis=0), np.tile(tau, len(z)), np.outer(weight, share).ravel()


def _chi_squared(df: float) -> tuple[np.ndarray, np.ndarray]:
    """Gauss quadrature for chi2(df) / df (generalized Laguerre; Golub and Welsch 1969)."""
    a, k = df / 2.0 - 1.0, np.arange(_SCALES)
    off = np.sqrt(k[1:] * (k[1:] + a))
    values, vectors = np.linalg.eigh(np.diag(2.0 * k + 1.0 + a) + np.diag(off, 1) + np.diag(off, -1))
    return values * 2.0 / df, vectors[0] ** 2


def _spread_points(k: int) -> np.ndarray:
    """Points that fill the normal distribution in K dimensions evenly, each with its mirror image (Roberts 2018)."""
    ratio = 2.0
    for _ in range(60):
        ratio = (1.0 + ratio) ** (1.0 / (k + 1))
    steps = ratio ** -np.arange(1.0, k + 1)
    places = (0.5 + np.outer(np.arange(1, _POINTS // 2 + 1), steps)) % 1.0
    half = np.vectorize(NormalDist().inv_cdf)(places)
    return np.concatenate([half, -half])


def _least_whole(enough: Callable[[np.ndarray, np.ndarray], np.ndarray], n: int, first: np.ndarray) -> np.ndarray:
    """The least whole number >= 0 for which `enough` holds, for each of n rows; inf where it is out of reach.

    That is beyond 2**26 and 2**16 times the first guess: estimates so uncertain (separation) have no upper end, and the
    distribution functions of such large counts take very long.
    """
    low, high = np.full(n, -1.0), np.minimum(first, _LARGEST)
    reach = np.minimum(np.maximum(2.0**26, 2.0**16 * first), _LARGEST)
    short = np.arange(n)
    while (short := short[~enough(high[short], short)]).size:
        low[short], high[short] = high[short], np.where(high[short] < reach[short], 2.0 * high[short], np.inf)
        short = short[np.isfinite(high[short])]
    while (wide := np.flatnonzero(np.isfinite(high) & (high - low > 1.0))).size:
        middle = np.floor((low[wide] + high[wide]) / 2.0)
        yes = enough(middle, wide)
        high[wide], low[wide] = np.where(yes, middle, high[wide]), np.where(yes, low[wide], middle)
    return high


def _root(curve: Curve, n: int) -> np.ndarray:
    """Where an increasing curve crosses 0, for each of n rows: brackets that double, then Chandrupatla's method.

    Chandrupatla (1997), "A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function".
    """
    low, high = np.full(n, -1.0), np.full(n, 1.0)
    for end, wrong in ((low, lambda f: f >= 0), (high, lambda f: f < 0)):
        rows = np.arange(n)
        for _ in range(11):
            rows = rows[wrong(curve(end[rows], rows))]
            if not rows.size:
                break
            end[rows] *= 2.0
    a, b, c = high.copy(), low.copy(), high.copy()
    every = np.arange(n)
    fa, fb = curve(a, every), curve(b, every)
    fc = fa.copy()
    share, rows = np.full(n, 0.5), every
    for _ in range(_MOST_TURNS):
        rows = rows[(fb[rows] != 0) & (np.abs(a[rows] - b[rows]) > _WIDTH * (1.0 + np.abs(b[rows])))]
        if not rows.size:
            break
        x = a[rows] + share[rows] * (b[rows] - a[rows])
        fx = curve(x, rows)
        same = np.sign(fx) == np.sign(fa[rows])
        c[rows], fc[rows] = np.where(same, a[rows], b[rows]), np.where(same, fa[rows], fb[rows])
        b[rows], fb[rows] = np.where(same, b[rows], a[rows]), np.where(same, fb[rows], fa[rows])
        a[rows], fa[rows] = x, fx
        share[rows] = _next_share(*(v[rows] for v in (a, b, c, fa, fb, fc)))
    # The end from which on the curve is not negative: behind a jump, not before it.
    return np.where(fb >= 0, b, a)


def _next_share(a, b, c, fa, fb, fc) -> np.ndarray:
    """Where the next point lies between a and b: inverse quadratic where that is safe, else the middle."""
    with np.errstate(all="ignore"):
        xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
        safe = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
        t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        tiny = 0.5 * _WIDTH * (1.0 + np.abs(a)) / np.abs(b - a)
    return np.where(safe & np.isfinite(t), np.clip(t, np.minimum(tiny, 0.5), 1 - np.minimum(tiny, 0.5)), 0.5)
