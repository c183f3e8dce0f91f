"""A family from the user's own likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm import precision
from jaxglm.errors import InputError, InputTypeError, NotAvailableError
from jaxglm.families.base import Aux, Family
from jaxglm.links import Identity, Link
from jaxglm.precision import quickly
from jaxglm.tree import pytree, static

#: Responses on which a likelihood is tried: it must be finite for one of them.
_TRIAL_Y = (1.0, 0.5, 2.0, 0.0, -0.7)
#: Predictors at which it is tried, and the relative error allowed of differences of step 1e-5.
_TRIAL_ETA, _STEP, _ERROR = (0.0, 0.3, -0.4), 1e-5, 1e-5


class _Columns(dict):
    """What the user's functions get as aux."""

    def __missing__(self, key: str) -> Any:
        raise InputError(
            f"aux[{key!r}] is read but not there; name such columns in aux= of custom_family(), give them with the "
            "data (also with new data), and put known numbers in params="
        )


@pytree
class CustomFamily(Family):
    """Made by :func:`custom_family`; its functions are compared by identity, its `params` are traced."""

    function: Callable = static()
    names: tuple[str, ...] = static()
    columns: tuple[str, ...] = static()
    optional: tuple[tuple[str, Callable], ...] = static()
    params: Any = None
    link: Link = field(default_factory=Identity)

    name = "custom"
    linear_in_y = False
    canonical = None
    support_text = "finite numbers with a finite likelihood"
    # Only the user knows; a likelihood of counts adds up to 1 over them, which is checked where it matters.
    counted = True

    @property
    def predictors(self) -> tuple[str, ...]:
        return self.names

    @property
    def aux_names(self) -> tuple[str, ...]:
        return self.columns

    @property
    def inverse(self) -> Callable[[jax.Array], jax.Array] | None:
        if len(self.names) > 1 or self.columns or not self.has("mean"):
            return None
        return jnp.vectorize(lambda e: self.mean(e[None], {}))

    def with_link(self, link: Link) -> Family:
        raise InputError(
            f"link={link.name!r} has no place in a family of your own: nll and mean map the predictors themselves; "
            "leave out link=, or apply the inverse link inside nll"
        )

    def has(self, method: str) -> bool:
        if method in ("logpdf", "nll"):
            return True
        return method in dict(self.optional)

    def _call(self, what: str, *arguments) -> Any:
        given = dict(self.optional)
        if what not in given:
            raise NotAvailableError(f"this custom family was made without {what}=; give it to jg.custom_family()")
        return given[what](*arguments)

    def _aux(self, aux: Aux, **more: Any) -> Aux:
        return _Columns({**aux, "params": self.params, **more})

    def nll(self, y, eta, aux: Aux) -> jax.Array:
        return self.function(y, eta, self._aux(aux))

    def mean(self, eta, aux: Aux) -> jax.Array:
        if not self.has("mean"):
            return jnp.full_like(eta[0], jnp.nan)
        return self._call("mean", eta, self._aux(aux))

    def variance(self, mu, eta, aux: Aux) -> jax.Array:
        if not self.has("variance"):
            return jnp.full_like(mu, jnp.nan)
        return self._call("variance", mu, self._aux(aux, eta=eta))

    def logpdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return -self.nll(y, eta, aux)

    def cdf(self, y, eta, phi, aux: Aux) -> jax.Array:
        return self._call("cdf", y, eta, self._aux(aux))

    def sample(self, key, eta, phi, aux: Aux) -> jax.Array:
        return self._call("sample", key, eta, self._aux(aux))

    def support(self, y, aux: Aux) -> jax.Array:
        tried = [self.nll(y, jnp.full(len(self.names), shift), aux) for shift in _TRIAL_ETA]
        return jnp.isfinite(y) & jnp.any(jnp.isfinite(jnp.stack(tried)))

    def valid(self, eta: jax.Array) -> jax.Array:
        return jnp.all(jnp.isfinite(eta))

    @property
    def title(self) -> str:
        name = getattr(self.function, "__name__", "<lambda>")
        return "custom" if name == "<lambda>" else name

    @property
    def link_title(self) -> str:
        return "inside the likelihood"

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", "custom")
        return f"CustomFamily({'' if name == '<lambda>' else name + ': '}{', '.join(self.names)})"


def custom_family(
    nll: Callable[[Any, Any, Aux], Any],
    predictors: Sequence[str] = ("mean",),
    *,
    params: Any = None,
    aux: Sequence[str] = (),
    mean: Callable[[Any, Aux], Any] | None = None,
    variance: Callable[[Any, Aux], Any] | None = None,
    sample: Callable[[Any, Any, Aux], Any] | None = None,
    cdf: Callable[[Any, Any, Aux], Any] | None = None,
) -> CustomFamily:
    """A family from a likelihood of your own, for one row.

    The fit, joint standard errors, robust covariances and tests come from autodiff of `nll`; the optional functions
    switch on what needs them.

    Parameters
    ----------
    nll : callable ``(y, eta, aux) -> scalar``
        Negative log-likelihood of one row in nats, made of ``jax.numpy`` functions. y is a scalar, eta has shape
        (K,), one entry a predictor on its own unbounded scale. aux is a dict with a scalar for each column of `aux`,
        and ``aux["params"]``. Log-likelihood and AIC take -nll, so keep its constants if they are to be compared.
    predictors : sequence of str
        Names of the K predictors. The first takes the formula; the others are constants unless ``glm`` is given a
        dict of formulas.
    params : pytree of numbers, optional
        Known numbers that `nll` reads from ``aux["params"]``. New values need no new compilation.
    aux : sequence of str
        Columns of the data that `nll` reads, such as a censoring flag or a bound.
    mean : callable ``(eta, aux) -> scalar``, optional
        Mean of y; needed for fitted values, response residuals and predictions on the response scale.
    variance : callable ``(mu, aux) -> scalar``, optional
        Variance of y, also from ``aux["eta"]``; needed for Pearson residuals and Pearson chi2.
    sample : callable ``(key, eta, aux) -> scalar``, optional
        One random y from a JAX random key; needed for ``simulate``.
    cdf : callable ``(y, eta, aux) -> scalar``, optional
        P(Y <= y), continuous in y; needed for quantile residuals.

    Returns
    -------
    Family
        Compiled code is kept for the functions by their identity: define them once, fit often.

    Raises
    ------
    InputError
        nll is not finite for any y that was tried, not a scalar, or its derivatives differ from finite differences.
    InputTypeError
        An argument is not a function, or a name is not a string.

    Examples
    --------
    Regression with Student t errors, whose scale is estimated with the rest:

    >>> import jax.numpy as jnp
    >>> from jax.scipy.stats import t
    >>> import jaxglm as jg
    >>> robust = jg.custom_family(
    ...     lambda y, eta, aux: -t.logpdf(y, aux["params"]["df"], loc=eta[0], scale=jnp.exp(eta[1])),
    ...     predictors=("mean", "log_scale"),
    ...     params={"df": 4.0},
    ...     mean=lambda eta, aux: eta[0],
    ... )
    >>> X, y = [[0], [1], [2], [3], [4], [5], [6], [7]], [0.1, 1.2, 1.9, 9.0, 4.1, 4.8, 6.2, 6.9]
    >>> res = jg.fit(X, y, family=robust)
    >>> print(res.params.round(3).to_dict())
    {'Intercept': 0.111, 'x1': 0.978, 'log_scale': -1.512}
    """
    given = {"mean": mean, "variance": variance, "sample": sample, "cdf": cdf}
    for what, value in {"nll": nll, **{k: v for k, v in given.items() if v is not None}}.items():
        if not callable(value):
            raise InputTypeError(f"{what} must be a function, not {value!r}")
    names = _names("predictors", predictors)
    if not names:
        raise InputError("a family needs at least one predictor")
    family = CustomFamily(
        nll, names, _names("aux", aux), tuple((k, v) for k, v in given.items() if v is not None), params
    )
    with precision.scope():
        _check(family)
    return family


def _names(what: str, values: Sequence[str]) -> tuple[str, ...]:
    values = (values,) if isinstance(values, str) else tuple(values)
    if not all(isinstance(v, str) for v in values):
        raise InputTypeError(f"{what} must be strings, not {values!r}")
    if len(set(values)) < len(values) or "params" in values or "eta" in values:
        raise InputError(f"{what} must differ from each other and from 'params' and 'eta', not {values!r}")
    return values


def _run(what: str, compiled: Callable, *arguments: Any) -> jax.Array:
    """A user's function; its failure as an error of ours."""
    try:
        made = compiled(*arguments)
    except InputError as problem:
        raise InputError(f"{what}: {problem}") from None
    except Exception as problem:
        raise InputError(
            f"{what} fails for one row ({type(problem).__name__}: {str(problem).splitlines()[0]}); write it with "
            "jax.numpy functions of scalars, without Python branches on their values"
        ) from problem
    if jnp.shape(made) != () or not jnp.issubdtype(jnp.result_type(made), jnp.floating):
        raise InputError(f"{what} must give one real number for a row, not {jnp.result_type(made)}{jnp.shape(made)}")
    return made


def _check(family: CustomFamily) -> None:
    """Finite somewhere, and differentiable as autodiff says; then every optional function once."""
    k = len(family.names)
    # Arrays of NumPy: each operation of others would be a program of its own.
    aux = {name: np.asarray(1.0) for name in family.columns}
    nll = quickly(family.nll)
    _run("nll", nll, np.asarray(_TRIAL_Y[0]), np.zeros(k), aux)
    slopes = quickly(jax.grad(family.nll, argnums=1)), quickly(jax.hessian(family.nll, argnums=1))
    tried = [(np.asarray(y), shift + 0.1 * np.arange(k)) for y in _TRIAL_Y for shift in _TRIAL_ETA]
    finite = [(y, eta) for y, eta in tried if np.isfinite(float(nll(y, eta, aux)))]
    if not finite:
        raise InputError(
            f"nll is not finite for any of the responses {', '.join(f'{y:g}' for y in _TRIAL_Y)} with predictors near "
            "0; predictors are unbounded, so let nll map them itself (exp for a scale, sigmoid for a probability)"
        )
    for y, eta in finite:
        _check_derivatives(family.names, nll, slopes, y, eta, aux)
    eta, one = tried[1][1], np.asarray(1.0)
    if family.has("mean"):
        mu = _run("mean", quickly(family.mean), eta, aux)
        if family.has("variance"):
            _run("variance", quickly(family.variance), mu, eta, aux)
    if family.has("sample"):
        _run("sample", quickly(family.sample), jax.random.key(0), eta, one, aux)
    if family.has("cdf"):
        cdf = quickly(family.cdf)
        for y in _TRIAL_Y:
            chance = float(_run("cdf", cdf, np.asarray(y), eta, one, aux))
            if not (np.isnan(chance) or -1e-12 <= chance <= 1 + 1e-12):
                raise InputError(f"cdf must give probabilities, but cdf({y:g}) is {chance:g}")


def _check_derivatives(names: tuple[str, ...], nll: Callable, slopes: tuple[Callable, Callable], y, eta, aux) -> None:
    """Gradient and Hessian in eta against central differences."""
    gradient = slopes[0]
    slope, hessian = (np.asarray(f(y, eta, aux)) for f in slopes)
    where = f"at y = {float(y):g}, eta = {np.asarray(eta).round(2).tolist()}"
    if not (np.isfinite(slope).all() and np.isfinite(hessian).all()):
        raise InputError(
            f"nll is finite {where}, but its derivatives are not ({slope}); in jnp.where both branches are "
            "differentiated, so make the argument of the unused one safe first"
        )
    size = 1.0 + abs(float(nll(y, eta, aux)))
    for j, name in enumerate(names):
        step = _STEP * (np.arange(len(eta)) == j)
        above, below = (y, eta + step, aux), (y, eta - step, aux)
        rise = (float(nll(*above)) - float(nll(*below))) / (2 * _STEP)
        bend = (np.asarray(gradient(*above)) - np.asarray(gradient(*below))) / (2 * _STEP)
        if not abs(rise - slope[j]) <= _ERROR * (size + abs(slope[j])):
            raise InputError(
                f"the derivative of nll in {name!r} {where} is {slope[j]:.6g} by autodiff but {rise:.6g} by "
                "differences; nll must be smooth (no rounding, no integer casts, no stop_gradient)"
            )
        if not np.max(np.abs(bend - hessian[j])) <= _ERROR * (size + np.max(np.abs(hessian[j]))):
            raise InputError(
                f"the second derivative of nll in {name!r} {where} differs between autodiff and differences; nll must "
                "be twice differentiable"
            )
