"""The Tweedie family."""

from __future__ import annotations

import math
import numbers
from dataclasses import field
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaincc, gammaln

from jaxglm.errors import InputError, InputTypeError
from jaxglm.families.base import Aux, Family, inside
from jaxglm.families.gamma import Gamma
from jaxglm.families.inverse_gaussian import InverseGaussian
from jaxglm.links import Link, Log
from jaxglm.quadrature import FINE
from jaxglm.tree import pytree, static

#: Terms of a series. They form a bell of width sigma; up to this many are taken one by one, wider bells in equal
#: strides, which the trapezoidal rule sums to rounding as long as a stride is below 0.5 sigma.
_TERMS = 160
#: A bell is below 1e-17 of its top this many sigma away; its upper tail is a little heavier.
_REACH, _MORE = 8.6, 20.0


@pytree
class Tweedie(Family):
    """Variance phi mu^power. For 1 < power < 2 zeros mixed with positive amounts (a Poisson number of gamma claims).

    Parameters
    ----------
    power : float >= 1
        1 is a scaled Poisson, 2 Gamma, 3 inverse Gaussian; above 2 all y are positive. Other values between the same
        of these need no new compilation. One that is traced (``jax.grad`` in the power) must lie between 1 and 2.
    link : Link, default Log

    Notes
    -----
    The log-likelihood is exact: for 1 < power < 2 the series of Dunn and Smyth (2005), summed around its largest term;
    above 2 the integral of Zolotarev for positive stable laws, tilted. For power 1 there is none (NaN). As for Gamma,
    log-likelihood and AIC use deviance / n as the dispersion.

    Raises
    ------
    InputError, InputTypeError
        power is below 1, not finite, or not a number.

    Examples
    --------
    >>> import jaxglm as jg
    >>> print(jg.Tweedie(power=1.5))
    Tweedie(log, power=1.5)
    """

    power: Any
    link: Link = field(default_factory=Log)
    kind: str = static(init=False, default="compound")

    name = "tweedie"
    dispersion_known = False
    mean_range = "positive"
    canonical = None
    prior_divides_phi = True

    def __post_init__(self):
        if isinstance(self.power, jax.core.Tracer):
            object.__setattr__(self, "kind", "compound")
            return
        if isinstance(self.power, (str, bool)) or not isinstance(self.power, numbers.Real):
            raise InputTypeError(f"power must be a number of at least 1, such as 1.5, not {self.power!r}")
        if not (self.power >= 1 and math.isfinite(self.power)):
            raise InputError(f"power must be a finite number of at least 1, not {self.power!r}; 0 is jg.Gaussian()")
        special = {1.0: "poisson", 2.0: "gamma", 3.0: "inverse gaussian"}
        kind = special.get(float(self.power), "compound" if self.power < 2 else "stable")
        object.__setattr__(self, "kind", kind)

    @property
    def support_text(self) -> str:
        """The support of y in words; it depends on the power."""
        return "numbers >= 0" if self._has_zero else f"numbers > 0 (power {self.power:g} is at least 2)"

    @property
    def _has_zero(self) -> bool:
        return self.kind in ("poisson", "compound")

    def _moment(self, log_t, degree) -> jax.Array:
        """(t^degree - 1) / degree, and log t for degree 0."""
        flat = jnp.asarray(degree) == 0
        safe = jnp.where(flat, 1.0, degree)
        return jnp.where(flat, log_t, jnp.expm1(safe * log_t) / safe)

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        log_mu = self.link.log_inverse(eta[0])
        return self._moment(log_mu, 2.0 - self.power) - y * self._moment(log_mu, 1.0 - self.power)

    @property
    def variance_power(self) -> jax.Array:
        """The p of a variance that is mu^p."""
        return self.power

    def variance(self, mu, eta, aux: Aux) -> jax.Array:
        return mu**self.power

    def unit_deviance(self, y, eta, aux: Aux) -> jax.Array:
        log_y = jnp.log(jnp.where(y > 0, y, 1.0))
        at_y = self._moment(log_y, 2.0 - self.power) - y * self._moment(log_y, 1.0 - self.power)
        # At y = 0 the limit of the first term; power 2 and above have no zeros.
        zero = -1.0 / jnp.where(self.power < 2, 2.0 - self.power, 1.0)
        return jnp.maximum(2.0 * (self.nll(y, eta, aux) - jnp.where(y > 0, at_y, zero)), 0.0)

    def logpdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        if self.kind == "poisson":
            return jnp.full_like(y, jnp.nan)
        if self.kind == "gamma":
            return Gamma(self.link).logpdf(y, eta, phi, aux)
        if self.kind == "inverse gaussian":
            return InverseGaussian(self.link).logpdf(y, eta, phi, aux)
        return self._stable(y, eta, phi) if self.kind == "stable" else self._compound(y, eta, phi)

    def _claims(self, eta, phi) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Poisson number of claims; shape and scale of a gamma claim."""
        log_mu, p = self.link.log_inverse(eta[0]), self.power
        return (
            jnp.exp((2.0 - p) * log_mu) / (phi * (2.0 - p)),
            jnp.asarray((2.0 - p) / (p - 1.0), log_mu.dtype),
            phi * (p - 1.0) * jnp.exp((p - 1.0) * log_mu),
        )

    def _compound(self, y, eta, phi) -> jax.Array:
        number, shape, scale = self._claims(eta, phi)
        positive = y > 0
        at = jnp.where(positive, y, 1.0)
        # The largest term (Dunn and Smyth 2005, eq. 14), and the curvature of their log there.
        top = at ** (2.0 - self.power) / (phi * (2.0 - self.power))
        j, stride = _grid(top, jnp.sqrt(top * (self.power - 1.0)))
        step = jnp.log(number) + shape * jnp.log(at / scale)
        logs = j * step - gammaln(j + 1.0) - gammaln(shape * j)
        series = jax.scipy.special.logsumexp(logs) + jnp.log(stride)
        return jnp.where(positive, series - jnp.log(at) - at / scale, 0.0) - number

    def _stable(self, y, eta, phi) -> jax.Array:
        p = self.power
        a = (p - 2.0) / (p - 1.0)
        log_mu = self.link.log_inverse(eta[0])
        tilt = (jnp.exp((2.0 - p) * log_mu) / (p - 2.0) - y * jnp.exp((1.0 - p) * log_mu) / (p - 1.0)) / phi
        # y = unit S with S positive stable of index a.
        log_unit = jnp.log((p - 1.0) * phi) - jnp.log((p - 2.0) * phi) / a
        log_x = jnp.log(y) - log_unit
        rate = jnp.exp(-a / (1.0 - a) * log_x)
        bottom = (1.0 - a) * a ** (a / (1.0 - a))
        far = jnp.minimum(jnp.pi, 1.1 * _REACH / jnp.sqrt(rate * bottom * a))
        u, weight = FINE.nodes(jnp.zeros_like(far), far)
        rise = jnp.log(_sine_ratio(a, u)) / (1.0 - a) + jnp.log(_sine_ratio(1.0 - a, u)) - jnp.log(_sine_ratio(a, u))
        value = jnp.exp(rise - rate * bottom * jnp.expm1(rise))
        area = jnp.log(jnp.sum(weight * jnp.where(jnp.isfinite(value), value, 0.0)))
        front = jnp.log(a / (1.0 - a) * bottom / jnp.pi) - log_x / (1.0 - a) - rate * bottom
        return front + area - log_unit + tilt

    def _tail(self, y, eta, phi, aux: Aux, upper: bool) -> jax.Array:
        if self.kind in ("gamma", "inverse gaussian"):
            twin = Gamma(self.link) if self.kind == "gamma" else InverseGaussian(self.link)
            return (twin.sf if upper else twin.cdf)(y, eta, phi, aux)
        if self.kind != "compound":
            return super().cdf(y, eta, phi, aux)
        number, shape, scale = self._claims(eta, phi)
        j, stride = _grid(number, jnp.sqrt(number))
        chance = stride * jnp.exp(j * jnp.log(number) - gammaln(j + 1.0) - number)
        rest = (gammaincc if upper else gammainc)(shape * j, jnp.maximum(y, 0.0) / scale)
        total = jnp.sum(chance * rest) + (0.0 if upper else jnp.exp(-number))
        return jnp.where(y < 0, float(upper), jnp.minimum(total, 1.0))

    def cdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return self._tail(y, eta, phi, aux, False)

    def sf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return self._tail(y, eta, phi, aux, True)

    def below(self, y, aux: Aux) -> jax.Array:
        return jnp.where((y == 0) & self._has_zero, -1.0, y)

    def sample(self, key, eta, phi, aux: Aux) -> jax.Array:
        if self.kind in ("gamma", "inverse gaussian"):
            twin = Gamma(self.link) if self.kind == "gamma" else InverseGaussian(self.link)
            return twin.sample(key, eta, phi, aux)
        if self.kind != "compound":
            return super().sample(key, eta, phi, aux)
        number, shape, scale = self._claims(eta, phi)
        one, two = jax.random.split(key)
        count = jax.random.poisson(one, number).astype(eta.dtype)
        amount = scale * jax.random.gamma(two, jnp.where(count > 0, shape * count, 1.0), dtype=eta.dtype)
        return jnp.where(count > 0, amount, 0.0)

    def has(self, method: str) -> bool:
        if method == "logpdf":
            return self.kind != "poisson"
        known = self.kind not in ("poisson", "stable")
        return known if method in ("cdf", "sf", "sample") else super().has(method)

    def support(self, y, aux: Aux) -> jax.Array:
        return jnp.isfinite(y) & ((y >= 0) if self._has_zero else (y > 0))

    def start(self, y, aux: Aux, center) -> jax.Array:
        return self.link.link(inside(y, 1e-3 * center) if not self._has_zero else y + 0.1 * center)[None]

    def boundary(self, y, aux: Aux) -> jax.Array:
        falls = self._has_zero and self.link.recedes[0]
        stays = jnp.zeros_like(y)
        return jnp.where(y == 0, -1.0, stays) if falls else stays

    @property
    def title(self) -> str:
        return f"tweedie, power = {self.power:.6g}"

    def __str__(self) -> str:
        return f"Tweedie({self.link}, power={self.power:.6g})"


def _grid(top: jax.Array, sigma: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where to take the terms of a series that peaks at `top`, (_TERMS,), and their distance."""
    low = jnp.maximum(1.0, jnp.floor(top - _REACH * sigma - 2.0))
    high = jnp.ceil(top + _REACH * sigma + _MORE)
    stride = jnp.maximum(1.0, (high - low) / (_TERMS - 1))
    return low + stride * jnp.arange(_TERMS), stride


def _sine_ratio(a: jax.Array, u: jax.Array) -> jax.Array:
    """sin(a u) / (a sin u)."""
    return jnp.sin(a * u) / (a * jnp.sin(u))
