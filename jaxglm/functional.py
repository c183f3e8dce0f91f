"""A fit as a pure function of arrays, for use inside `jit`, `vmap` and `grad`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm import resolve
from jaxglm.errors import InputError, Status
from jaxglm.families import Family
from jaxglm.intake.pure import Operands, operands, shaped
from jaxglm.kernels import FitPoint, FitSums, Model, Newton, Statistics
from jaxglm.solvers import implicit, newton, traced
from jaxglm.solvers.newton import Settings
from jaxglm.solvers.traced import Problem

#: Distance from the optimum that rounding of rows leaves, in standard errors and units of that rounding.
_REACHED = 1e3
_INFORMATION = Newton()


class FunctionalFit(NamedTuple):
    """An estimate as a pytree; every field may carry a leading axis of a `vmap`.

    Attributes
    ----------
    theta : (P,)
        Coefficients: of each predictor in turn, its intercept first. NaN where there is no estimate (status
        ILL_CONDITIONED or NOT_FINITE). Log alpha for a negative binomial whose alpha is estimated.
    information : (P, P)
        Of the kind asked for, at phi = 1; with a ridge penalty its second derivative is in it.
    covariance : (P, P)
        scale times the inverse of `information`; rows of coefficients held at a limit (log alpha where alpha is 0)
        are 0. With a ridge penalty these are not the standard errors of an unpenalized fit.
    llf, deviance, pearson_chi2 : scalars
        Log-likelihood in nats without the penalty, at the dispersion that R plugs in; NaN without a distribution.
    scale : scalar
        Dispersion phi, Pearson chi2 / df_resid, or 1 where it is known.
    nobs, df_resid : scalars
    status : int32 scalar
        A :class:`jaxglm.Status`; ``jaxglm.Status(int(fit.status)).sentence`` says it in words.
    n_iter : int32 scalar

    Examples
    --------
    >>> import jax.numpy as jnp, jaxglm as jg
    >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([1.0, 2.0, 6.0, 14.0])
    >>> fit = jg.functional.fit(jg.Poisson(), X, y, intercept=True)
    >>> bool(fit.converged), fit.bse.shape
    (True, (2,))
    """

    theta: jax.Array
    information: jax.Array
    covariance: jax.Array
    llf: jax.Array
    deviance: jax.Array
    pearson_chi2: jax.Array
    scale: jax.Array
    nobs: jax.Array
    df_resid: jax.Array
    status: jax.Array
    n_iter: jax.Array

    @property
    def converged(self) -> jax.Array:
        """Whether theta is an optimum to working precision."""
        good = np.array([status for status in Status if status.converged], np.int32)
        return jnp.isin(self.status, good)

    @property
    def bse(self) -> jax.Array:
        """Standard errors (P,)."""
        return jnp.sqrt(jnp.diagonal(self.covariance, axis1=-2, axis2=-1))


def fit(
    family: Family | str,
    X: Any,
    y: Any,
    *,
    offset: Any = None,
    freq_weights: Any = None,
    var_weights: Any = None,
    aux: dict[str, Any] | None = None,
    start: Any = None,
    ridge: Any = None,
    intercept: bool = False,
    information: str = "expected",
    tol: float = 1e-8,
    max_iter: int = 50,
) -> FunctionalFit:
    """Fit a family to arrays; pure, compiled, differentiable in every array and every number of the family.

    Parameters
    ----------
    family : Family or str
        As in :func:`jaxglm.fit`. It is a pytree of which the numbers (a given alpha, a Tweedie power, ``params=`` of a
        custom family) may be traced.
    X : (n, p) array, or a sequence of one a predictor
        One matrix belongs to the mean, other predictors are constants; None in a sequence is a constant.
    y : (n,)
        Proportions for a binomial family with ``aux={"trials": ...}``.
    offset : (n,) or (n, K), optional
        On the link scale; (n,) belongs to the mean.
    freq_weights, var_weights : (n,), optional
        As in :func:`jaxglm.fit`. A row of freq_weight 0 adds nothing, but must hold finite numbers that a row could
        have (0 times infinity is no number); derivatives in its weight are those of letting it in. var_weights are
        positive.
    aux : dict of (n,) arrays, optional
        What the family reads beside y.
    start : (P,), optional
        Where to start; it has no effect on derivatives.
    ridge : scalar or (P,), optional
        Adds half the sum of ridge theta^2 to the negative log-likelihood at phi = 1. A scalar counts for the columns
        of X, not for the intercept nor for constants of other predictors.
    intercept : bool
        Put a column of ones before each matrix.
    information : "expected" or "observed"
        Which is returned, "observed" where the family has no other. Derivatives always use the observed one.
    tol : float
        Remaining error allowed, in standard errors; single precision ends earlier, with CONVERGED_TO_PRECISION.
    max_iter : int

    Returns
    -------
    FunctionalFit
        In the precision of the input: float32 unless an array is float64 (which JAX has in ``jax.enable_x64(True)``).

    Raises
    ------
    InputError, InputTypeError
        Shapes do not go together, something is no number, a name is unknown; while tracing. What depends on values
        (a y outside the family's support, weights below 0, columns that depend on each other, separation) is told by
        the status.

    Notes
    -----
    One loop of Newton steps on the device, O(n P^2) a step; no value travels to the host. In a `vmap` all lanes take
    as many steps as the slowest. Derivatives of second and higher order work too. At a separated or failed fit they
    mean nothing.

    The first call compiles for some seconds on a CPU. Where a program is called a few times, on few rows,
    ``jax.jit(f, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False})`` takes
    a quarter of them, for code that is several times slower.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, jaxglm as jg
    >>> X, y = jnp.ones((4, 1)), jnp.array([1.0, 2.0, 6.0, 3.0])
    >>> mean = lambda y: jnp.exp(jg.functional.fit(jg.Poisson(), X, y).theta[0])
    >>> print(jax.grad(mean)(y).round(3))
    [0.25 0.25 0.25 0.25]
    """
    family = resolve.family(family)
    if information not in ("expected", "observed"):
        raise InputError(f"information must be 'expected' or 'observed', not {information!r}")
    if isinstance(tol, bool) or not isinstance(tol, (int, float, np.floating)) or not 0 < tol < 1:
        raise InputError(f"tol is a remaining error in standard errors and must lie between 0 and 1, not {tol!r}")
    if isinstance(max_iter, bool) or not isinstance(max_iter, (int, np.integer)) or max_iter < 1:
        raise InputError(f"max_iter must be a whole number of at least 1, not {max_iter!r}")
    data = operands(
        family, X, y, offset=offset, freq_weights=freq_weights, var_weights=var_weights, aux=aux, intercept=intercept
    )
    width = sum(data.widths)
    start, ridge = shaped("start", start, (width,)), shaped("ridge", ridge, (), (width,))
    return _fit(family, data, start, ridge, information, float(tol), int(max_iter))


def loglik(
    family: Family | str,
    theta: Any,
    X: Any,
    y: Any,
    *,
    offset: Any = None,
    freq_weights: Any = None,
    var_weights: Any = None,
    aux: dict[str, Any] | None = None,
    intercept: bool = False,
    scale: Any = None,
) -> jax.Array:
    """Log-likelihood in nats at any coefficients; differentiable in everything.

    Parameters
    ----------
    theta : (P,)
        In the order of :class:`FunctionalFit`.
    scale : scalar, optional
        Dispersion where it is not known; by default deviance over the sum of weights at theta, as for `llf` of a fit.
    X, y, offset, freq_weights, var_weights, aux, intercept
        As in :func:`fit`.

    Returns
    -------
    scalar
        NaN for families without a distribution.

    Examples
    --------
    >>> import jax.numpy as jnp, jaxglm as jg
    >>> round(float(jg.functional.loglik("poisson", jnp.zeros(1), jnp.ones((2, 1)), jnp.array([0.0, 1.0]))), 3)
    -2.0
    """
    family = resolve.family(family)
    data = operands(
        family, X, y, offset=offset, freq_weights=freq_weights, var_weights=var_weights, aux=aux, intercept=intercept
    )
    theta, scale = shaped("theta", theta, (sum(data.widths),), required=True), shaped("scale", scale, ())
    return _loglik(family, data, theta, scale)


def predict(
    family: Family | str,
    theta: Any,
    X: Any,
    *,
    offset: Any = None,
    aux: dict[str, Any] | None = None,
    intercept: bool = False,
    which: str = "mean",
) -> jax.Array:
    """Mean of each row on the response scale, or its linear predictor on the link scale, (n,).

    Parameters
    ----------
    theta : (P,)
        In the order of :class:`FunctionalFit`.
    which : "mean" or "linear"
    X, offset, aux, intercept
        As in :func:`fit`.

    Examples
    --------
    >>> import jax.numpy as jnp, jaxglm as jg
    >>> print(jg.functional.predict("binomial", jnp.zeros(1), jnp.ones((2, 1))))
    [0.5 0.5]
    """
    family = resolve.family(family)
    if which not in ("mean", "linear"):
        raise InputError(f"which must be 'mean' or 'linear', not {which!r}")
    if which == "mean" and not family.has("mean"):
        raise InputError("the family has no mean; give mean= to jg.custom_family(), or ask for which='linear'")
    data = operands(family, X, None, offset=offset, aux=aux, intercept=intercept)
    theta = shaped("theta", theta, (sum(data.widths),), required=True)
    return _predict(family, data, theta, which)


def _problem(family: Family, data: Operands, ridge: Any, dtype: np.dtype) -> tuple[Problem, Problem]:
    """What is minimized, and the same with y where derivatives in it are whole."""
    layout, rows, columns = data.model(dtype)
    ridge = jnp.asarray(0.0 if ridge is None else ridge, float)
    plain = Problem(Model(family, layout), rows, ridge if ridge.ndim else ridge * columns)
    return plain, replace(plain, rows=rows._replace(y=family.interior(rows.y)))


def _settings(family: Family, n_obs: jax.Array, dtype: np.dtype, tol: float, max_iter: int) -> Settings:
    eps = float(jnp.finfo(dtype).eps)
    curvature = "late" if family.has_expected else "only"
    return Settings(
        tol=np.asarray(max(tol, _reached(dtype))), max_iter=np.asarray(max_iter, np.int32), n_obs=n_obs,
        known_phi=family.dispersion_known, curvature="never" if family.is_canonical else curvature,
        row_eps=eps, product_eps=eps,
    )  # fmt: skip


def _reached(dtype: np.dtype) -> float:
    eps = float(jnp.finfo(dtype).eps)
    return _REACHED * eps if eps > newton.EPS else 0.0


@partial(jax.jit, static_argnums=(4, 5, 6))
def _fit(family: Family, data: Operands, start: Any, ridge: Any, kind: str, tol: float, max_iter: int) -> FunctionalFit:
    dtype = data.dtype()
    plain, problem = _problem(family, data, ridge, dtype)
    fixed = jax.lax.stop_gradient(plain)
    facts = traced.survey(fixed)
    start = None if start is None else jax.lax.stop_gradient(jnp.asarray(start, float))
    ended = traced.solve(fixed, facts, _settings(family, facts.n_obs, dtype, tol, max_iter), start)
    sound = (facts.n_bad_y == 0) & (facts.n_rows > 0) & jnp.all(plain.rows.freq >= 0)
    if data.prior is not None:
        sound &= jnp.all(plain.rows.prior > 0)
    status = jnp.where(sound, ended.status, Status.NOT_FINITE)
    if tol < _reached(dtype):
        status = jnp.where(status == Status.CONVERGED, Status.CONVERGED_TO_PRECISION, status)
    found = (status != Status.NOT_FINITE) & (status != Status.ILL_CONDITIONED)
    theta = implicit.optimum(problem, jnp.where(found, ended.theta, jnp.nan), ended.active)
    matrix = problem.totals(implicit.at(theta, kind == "observed"), _INFORMATION).information
    sums = _statistics(problem, theta)
    n_mean = problem.model.layout.designs[0].n_columns
    n_obs = jnp.sum(problem.rows.freq.astype(float))
    df_resid = n_obs - jnp.sum(ended.active[:n_mean])
    scale = jnp.ones(()) if family.dispersion_known else jnp.where(df_resid > 0, sums.pearson / df_resid, jnp.nan)
    made = FunctionalFit(
        theta=theta, information=matrix, covariance=scale * implicit.factor(matrix, ended.active).inverse(),
        llf=sums.llf, deviance=sums.deviance, pearson_chi2=sums.pearson, scale=scale, nobs=n_obs,
        df_resid=df_resid, status=status.astype(jnp.int32), n_iter=ended.n_iter,
    )  # fmt: skip
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, made)


@jax.jit
def _loglik(family: Family, data: Operands, theta: Any, scale: Any) -> jax.Array:
    dtype = data.dtype(theta)
    _, problem = _problem(family, data, None, dtype)
    return _statistics(problem, jnp.asarray(theta, float), scale).llf.astype(dtype)


@partial(jax.jit, static_argnums=3)
def _predict(family: Family, data: Operands, theta: Any, which: str) -> jax.Array:
    dtype = data.dtype(theta)
    layout, rows, _ = data.model(dtype)
    eta = Model(family, layout).eta(rows, jnp.asarray(theta, float))
    return (eta[:, 0] if which == "linear" else jax.vmap(family.mean)(eta, rows.aux)).astype(dtype)


def _statistics(problem: Problem, theta: jax.Array, scale: jax.Array | None = None) -> FitSums:
    """Deviance, Pearson chi-squared, and the log-likelihood at a dispersion, or at the one that R plugs in."""
    family, rows = problem.model.family, problem.rows
    # The null model is not asked for; at the fitted mean of a row its derivatives are finite.
    null = jax.lax.stop_gradient(problem.model.eta(rows, theta)[0, 0])
    one = jnp.ones(())
    sums = problem.reduce(Statistics(family.dispersion_known), FitPoint(theta, null, one))
    if family.dispersion_known:
        return sums
    if scale is None:
        scale = sums.deviance / jnp.sum(rows.freq if family.prior_divides_phi else rows.weight)
    return sums._replace(llf=problem.reduce(Statistics(), FitPoint(theta, null, jnp.asarray(scale, float))).llf)
