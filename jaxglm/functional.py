"""A fit as a pure function of arrays, for use inside `jit`, `vmap` and `grad`.

Derivatives of the estimates are those of the implicit function theorem: where the gradient g(theta, data) is zero,
d theta = -H^-1 dg with H the observed Hessian of the objective (Krantz and Parks 2002). The iteration itself is never
differentiated, so a derivative costs about one more pass over the rows in either mode, whatever the number of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglm.design import Constant, Dense, Design, Layout, Split
from jaxglm.errors import InputError, InputTypeError, Status, near
from jaxglm.families import NAMED, PARAMETRIC, Family
from jaxglm.kernels import FitPoint, FitSums, Model, Newton, Point, Rows, Statistics
from jaxglm.solvers import newton, traced
from jaxglm.solvers.information import Information
from jaxglm.solvers.newton import Settings
from jaxglm.solvers.traced import Problem
from jaxglm.tree import pytree, static

#: Distance from the optimum that rounding of rows leaves, in standard errors and units of that rounding.
_REACHED = 1e3
_OBSERVED = Newton()
_GRADIENT = Newton(gram="none")


@pytree
class _Data:
    """Arrays of n rows as they came; `x` has one matrix (n, p), or None for a constant, a predictor."""

    x: tuple[Any, ...]
    y: Any
    offset: Any
    freq: Any
    prior: Any
    aux: dict[str, Any]
    intercept: bool = static()

    @property
    def widths(self) -> list[int]:
        """Coefficients of each predictor."""
        return [1 if x is None else x.shape[1] + self.intercept for x in self.x]

    def dtype(self, *more: Any) -> np.dtype:
        """What to compute in: the widest of all arrays, at least single precision."""
        found = jnp.result_type(*jax.tree.leaves((self, more)))
        return jnp.promote_types(found, jnp.float32) if jnp.issubdtype(found, jnp.floating) else jnp.zeros(()).dtype


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
        A pytree: its numbers (a given alpha, a Tweedie power, ``params=`` of a custom family) may be traced.
    X : (n, p) array, or a sequence of one a predictor
        One matrix belongs to the mean, other predictors are constants; None in a sequence is a constant.
    y : (n,)
        Proportions for a binomial family with ``aux={"trials": ...}``.
    offset : (n,) or (n, K), optional
        On the link scale; (n,) belongs to the mean.
    freq_weights, var_weights : (n,), optional
        As in :func:`jaxglm.fit`. A row of weight 0 adds nothing, but must hold finite numbers that a row could have (0
        times infinity is no number); derivatives in its weight are those of letting it in.
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
        (a y outside the family's support, columns that depend on each other, separation) is told by the status.

    Notes
    -----
    One loop of Newton steps on the device, O(n P^2) a step; no value travels to the host. In a `vmap` all lanes take
    as many steps as the slowest. Derivatives of second and higher order work too. At a separated or failed fit they
    mean nothing.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, jaxglm as jg
    >>> X, y = jnp.ones((4, 1)), jnp.array([1.0, 2.0, 6.0, 3.0])
    >>> mean = lambda y: jnp.exp(jg.functional.fit(jg.Poisson(), X, y).theta[0])
    >>> print(jax.grad(mean)(y).round(3))
    [0.25 0.25 0.25 0.25]
    """
    family = _family(family)
    if information not in ("expected", "observed"):
        raise InputError(f"information must be 'expected' or 'observed', not {information!r}")
    data = _checked(family, X, y, offset, freq_weights, var_weights, aux, intercept)
    width = sum(data.widths)
    _shaped("start", start, (width,))
    _shaped("ridge", ridge, (), (width,))
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
    family = _family(family)
    data = _checked(family, X, y, offset, freq_weights, var_weights, aux, intercept)
    _shaped("theta", theta, (sum(data.widths),), required=True)
    _shaped("scale", scale, ())
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
    family = _family(family)
    if which not in ("mean", "linear"):
        raise InputError(f"which must be 'mean' or 'linear', not {which!r}")
    if which == "mean" and not family.has("mean"):
        raise InputError("the family has no mean; give mean= to jg.custom_family(), or ask for which='linear'")
    data = _checked(family, X, None, offset, None, None, aux, intercept)
    _shaped("theta", theta, (sum(data.widths),), required=True)
    return _predict(family, data, theta, which)


def _family(family: Any) -> Family:
    if isinstance(family, Family):
        return family
    if not isinstance(family, str):
        hint = "; make one of the class, such as jg.Poisson()" if isinstance(family, type) else ""
        raise InputTypeError(f"family must be a family or its name, not {family!r}{hint}")
    if family in PARAMETRIC:
        raise InputError(f"family {family!r} needs more than its name: {PARAMETRIC[family]}")
    if family not in NAMED:
        raise InputError(f"unknown family {family!r}.{near(family, NAMED)}")
    return NAMED[family]()


def _array(name: str, value: Any) -> Any:
    """An array of real numbers, wherever it lies."""
    array = value if hasattr(value, "dtype") and hasattr(value, "shape") else np.asarray(value)
    if array.dtype.kind not in "fiub" and not jnp.issubdtype(array.dtype, jnp.floating):
        raise InputTypeError(f"{name} must hold real numbers, not {array.dtype}; jg.glm takes frames, text and factors")
    return array if isinstance(array, jax.Array) else np.asarray(array)


def _shaped(name: str, value: Any, *allowed: tuple[int, ...], required: bool = False) -> Any:
    """An array of one of the shapes, or None."""
    if value is None and not required:
        return None
    array = _array(name, value)
    if array.shape not in allowed:
        shapes = " or ".join(str(shape) if shape else "a scalar" for shape in allowed)
        raise InputError(f"{name} must have shape {shapes}, not {array.shape}")
    return array


def _checked(family: Family, X, y, offset, freq, prior, aux, intercept) -> _Data:
    """The arrays, once their shapes go together."""
    k = len(family.predictors)
    several = isinstance(X, Sequence) and not isinstance(X, str) and any(x is None or np.ndim(x) == 2 for x in X)
    given = list(X) if several else [X] + [None] * (k - 1)
    if len(given) != k or given[0] is None:
        raise InputError(
            f"X must be a matrix (n, p) for the mean, or a sequence of {k} with a matrix or None for each of "
            f"{', '.join(family.predictors)}; it has {len(given)}{' and none for the mean' if given[0] is None else ''}"
        )
    x = [None if part is None else _array("X", part) for part in given]
    n = len(x[0]) if x[0].ndim else 0
    for part in x:
        if part is not None and (part.ndim != 2 or len(part) != n):
            raise InputError(
                f"X must be a matrix (n, p), with the same n for every predictor, not of shape {part.shape}; "
                "a single column is x[:, None], and jax.vmap takes care of leading axes"
            )
    if not sum(1 if part is None else part.shape[1] + intercept for part in x) or not n:
        raise InputError(f"X has shape {x[0].shape}: there is nothing to estimate without rows and columns")
    aux = {} if aux is None else dict(aux)
    _check_aux(family, aux)
    shape = (n,)
    return _Data(
        tuple(x), y if y is None else _shaped("y", y, shape), _shaped("offset", offset, shape, (n, k)),
        _shaped("freq_weights", freq, shape), _shaped("var_weights", prior, shape),
        {name: _shaped(f"aux[{name!r}]", value, shape, required=True) for name, value in aux.items()}, bool(intercept),
    )  # fmt: skip


def _check_aux(family: Family, aux: dict[str, Any]) -> None:
    known = (*family.aux_names, "trials")
    for name in family.aux_names:
        if name not in aux:
            raise InputError(f"the family reads aux[{name!r}]; give aux={{{name!r}: ...}}, one number a row")
    for name in aux:
        if name not in known:
            raise InputError(f"the family does not read aux[{name!r}].{near(name, known)}")


def _design(x: Any, intercept: bool, dtype: np.dtype) -> tuple[Design, Any, list[bool]]:
    """Design of a predictor, its rows, and which of its columns a scalar penalty counts."""
    if x is None:
        return Constant(), (), [False]
    p, rows = x.shape[1], jnp.asarray(x, dtype)
    if not intercept:
        return Dense(p), rows, [True] * p
    both = Split((Constant(), Dense(p)), ((0,), tuple(range(1, p + 1))))
    return both, ((), rows), [False] + [True] * p


def _problem(family: Family, data: _Data, ridge: Any, dtype: np.dtype) -> Problem:
    n, k = data.x[0].shape[0], len(data.x)
    designs, x, counted = zip(*(_design(part, data.intercept, dtype) for part in data.x), strict=True)

    def taken(value):
        return None if value is None else jnp.asarray(value, dtype)

    offset = taken(data.offset)
    if offset is not None and offset.ndim == 1:
        offset = jnp.zeros((n, k), dtype).at[:, 0].set(offset)
    ones = jnp.ones(n, dtype)
    rows = Rows(
        x, ones if data.y is None else taken(data.y), ones if data.freq is None else taken(data.freq),
        taken(data.prior), offset, {name: taken(value) for name, value in data.aux.items()},
    )  # fmt: skip
    ridge = jnp.asarray(0.0 if ridge is None else ridge, float)
    penalty = ridge if ridge.ndim else ridge * np.concatenate(counted)
    return Problem(Model(family, Layout(designs)), rows, penalty)


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
def _fit(
    family: Family, data: _Data, start: Any, ridge: Any, kind: str, tol: float, max_iter: int
) -> FunctionalFit:
    dtype = data.dtype()
    problem = _problem(family, data, ridge, dtype)
    fixed = jax.lax.stop_gradient(problem)
    facts = traced.survey(fixed)
    start = None if start is None else jax.lax.stop_gradient(jnp.asarray(start, float))
    ended = traced.solve(fixed, facts, _settings(family, facts.n_obs, dtype, tol, max_iter), start)
    sound = (facts.n_bad_y == 0) & (facts.n_rows > 0)
    status = jnp.where(sound, ended.status, Status.NOT_FINITE)
    if tol < _reached(dtype):
        status = jnp.where(status == Status.CONVERGED, Status.CONVERGED_TO_PRECISION, status)
    found = (status != Status.NOT_FINITE) & (status != Status.ILL_CONDITIONED)
    problem = _differentiable(problem)
    theta = _optimum(problem, jnp.where(found, ended.theta, jnp.nan), ended.active)
    matrix = problem.totals(_at(theta, kind == "observed"), _OBSERVED).information
    sums = _statistics(problem, theta)
    n_mean = problem.model.layout.designs[0].n_columns
    df_resid = jax.lax.stop_gradient(facts.n_obs) - jnp.sum(ended.active[:n_mean])
    scale = jnp.ones(()) if family.dispersion_known else jnp.where(df_resid > 0, sums.pearson / df_resid, jnp.nan)
    made = FunctionalFit(
        theta=theta, information=matrix, covariance=scale * _factor(matrix, ended.active).inverse(), llf=sums.llf,
        deviance=sums.deviance, pearson_chi2=sums.pearson, scale=scale, nobs=facts.n_obs, df_resid=df_resid,
        status=status.astype(jnp.int32), n_iter=ended.n_iter,
    )  # fmt: skip
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, made)


@jax.jit
def _loglik(family: Family, data: _Data, theta: Any, scale: Any) -> jax.Array:
    dtype = data.dtype(theta)
    problem = _differentiable(_problem(family, data, None, dtype))
    return _statistics(problem, jnp.asarray(theta, float), scale).llf.astype(dtype)


@partial(jax.jit, static_argnums=3)
def _predict(family: Family, data: _Data, theta: Any, which: str) -> jax.Array:
    dtype = data.dtype(theta)
    problem = _problem(family, data, None, dtype)
    eta = problem.model.eta(problem.rows, jnp.asarray(theta, float))
    return (eta[:, 0] if which == "linear" else jax.vmap(family.mean)(eta, problem.rows.aux)).astype(dtype)


def _differentiable(problem: Problem) -> Problem:
    """The same problem, with y where derivatives in it are whole."""
    return Problem(
        problem.model, problem.rows._replace(y=problem.model.family.interior(problem.rows.y)), problem.penalty
    )


def _at(theta: jax.Array, observed: bool) -> Point:
    return Point(theta, np.asarray(observed), None, np.asarray(0.0))


def _factor(matrix: jax.Array, active: jax.Array) -> Information:
    both = active[:, None] & active[None, :]
    return Information.from_matrix(jnp.where(both, matrix, jnp.eye(len(active))), active)


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


@jax.custom_jvp
def _optimum(problem: Problem, theta: jax.Array, active: jax.Array) -> jax.Array:
    """theta, where the gradient of the problem is zero, as a function of the problem."""
    return theta


def _optimum_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    """Implicit function theorem; linear in the tangents, so that JAX transposes it for reverse mode."""
    problem, theta, active = primals
    theta = _optimum(problem, theta, active)
    leaves, structure = jax.tree.flatten(problem)
    # What does not vary is not even traced.
    varying = [
        (i, tangent) for i, tangent in enumerate(structure.flatten_up_to(tangents[0]))
        if type(tangent) is not jax.custom_derivatives.SymbolicZero
    ]  # fmt: skip
    if not varying:
        return theta, jnp.zeros_like(theta)
    places, dots = zip(*varying, strict=True)

    def gradient(*values):
        changed = dict(zip(places, values, strict=True))
        moved = structure.unflatten([changed.get(i, leaf) for i, leaf in enumerate(leaves)])
        return moved.totals(_at(theta, True), _GRADIENT).gradient

    _, change = jax.jvp(gradient, tuple(leaves[i] for i in places), dots)
    hessian = problem.totals(_at(theta, True), _OBSERVED).information
    return theta, -_factor(hessian, active).solve(jnp.where(active, change, 0.0))


_optimum.defjvp(_optimum_jvp, symbolic_zeros=True)
