"""The fit as a pure function: equal to the other fit, and differentiable in all it takes."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from jax.scipy.stats import t as student

import jaxglm as jg
from jaxglm import precision
from jaxglm.errors import InputError, InputTypeError
from jaxglm.functional import fit, loglik, predict

#: Both iterate to 1e-8 standard errors and square the error by their last step.
SAME = 1e-9
#: Central differences, extrapolated: rounding of refits over the step.
DIFFERENCES = 1e-6
#: Two ways to the same number in float64.
EXACT = 1e-10
N, STEP = 40, 1e-3

pytestmark = pytest.mark.usefixtures("x64")
#: Small programs that run once: compiled in a quarter of the time.
compiled = partial(jax.jit, compiler_options=precision._QUICKLY)


def student_nll(y, eta, aux):
    return -student.logpdf(y, aux["params"]["df"], loc=eta[0], scale=jnp.exp(eta[1]))


def censored_nll(y, eta, aux):
    return jnp.where(aux["event"] > 0, -norm.logpdf(y, eta[0], 1.5), -norm.logsf(y, eta[0], 1.5))


STUDENT = jg.custom_family(student_nll, ("mean", "log_scale"), params={"df": 4.0})
CENSORED = jg.custom_family(censored_nll, aux=("event",))
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, 2))
ETA = 0.4 + X @ [0.6, -0.4]
COUNTS = RNG.negative_binomial(1.5, 1.5 / (1.5 + np.exp(ETA))).astype(float)
PROPORTIONS = np.clip(RNG.beta(3 / (1 + np.exp(-ETA)), 3 / (1 + np.exp(ETA))), 0.02, 0.98)
BINARY = (RNG.uniform(size=N) < 1 / (1 + np.exp(-ETA))).astype(float)
POSITIVE = np.exp(ETA) * RNG.gamma(3, 1 / 3, N)
REAL = ETA + RNG.standard_t(4, N)
WEIGHTS = RNG.uniform(0.5, 2, N)
TRIALS = RNG.integers(1, 9, N).astype(float)
OFFSET = RNG.normal(size=N) * 0.2
EVERYTHING = {
    "offset": OFFSET, "freq_weights": WEIGHTS, "var_weights": WEIGHTS[::-1].copy(), "ridge": np.array([0.1, 0.5, 0.3])
}  # fmt: skip

#: name: (family, y, options of both fits)
FITS = {
    "gaussian": (jg.Gaussian(), REAL, {"var_weights": WEIGHTS}),
    "gaussian log": (jg.Gaussian("log"), POSITIVE, {}),
    "logit": (jg.Binomial(), BINARY, {"freq_weights": np.ceil(WEIGHTS)}),
    "probit": (jg.Binomial("probit"), BINARY, {"information": "observed"}),
    "cloglog": (jg.Binomial("cloglog"), BINARY, {}),
    "poisson": (jg.Poisson(), COUNTS, {"offset": OFFSET}),
    "quasipoisson sqrt": (jg.QuasiPoisson("sqrt"), COUNTS, {}),
    "gamma": (jg.Gamma(), POSITIVE, {}),
    "inverse gaussian log": (jg.InverseGaussian("log"), POSITIVE, {"var_weights": WEIGHTS}),
    "tweedie": (jg.Tweedie(1.5), COUNTS, {}),
    "quasi": (jg.Quasi(lambda mu: mu**2, "log"), POSITIVE, {}),
    "negative binomial": (jg.NegativeBinomial(0.7), COUNTS, {}),
    "negative binomial joint": (jg.NegativeBinomial(), COUNTS, {"offset": OFFSET}),
    "student": (STUDENT, REAL, {}),
}


@pytest.mark.parametrize("name", FITS)
def test_equals_the_fit_of_arrays(name):
    family, y, options = FITS[name]
    kind = options.get("information", "expected")
    rest = {k: v for k, v in options.items() if k != "information"}
    found = compiled(lambda y, rest: fit(family, X, y, intercept=True, information=kind, **rest))(y, rest)
    known = jg.fit(X, y, family=family, intercept=True, **options)
    close = partial(np.testing.assert_allclose, rtol=SAME, atol=SAME)
    close(found.theta, known.fit.coefficients)
    close(found.covariance, known.fit.bread.inverse() * known.scale)
    for figure in ("llf", "deviance", "scale", "nobs", "df_resid"):
        close(getattr(found, figure), getattr(known, figure), err_msg=figure)
    assert jg.Status(int(found.status)) is known.status and int(found.n_iter) == known.n_iter


#: name: (family, y); responses inside their range, so that they can be moved.
GRADIENTS = {
    "logit": (jg.Binomial(), PROPORTIONS),
    "probit": (jg.Binomial(jg.links.Probit()), PROPORTIONS),
    "gamma log": (jg.Gamma(jg.links.Log()), POSITIVE),
    "negative binomial joint": (jg.NegativeBinomial(link=jg.links.Log()), COUNTS + 0.5),
    "negative binomial": (jg.NegativeBinomial(0.7), COUNTS + 0.5),
    "tweedie": (jg.Tweedie(1.5), POSITIVE),
    "student": (STUDENT, REAL),
}


def differences(function, at, direction):
    """Derivative along a direction, by central differences of two steps, extrapolated (Richardson)."""

    def central(step):
        up = jax.tree.map(lambda a, d: a + step * d, at, direction)
        down = jax.tree.map(lambda a, d: a - step * d, at, direction)
        return (np.asarray(function(up)) - np.asarray(function(down))) / (2 * step)

    return (4 * central(STEP) - central(2 * STEP)) / 3


def random_like(tree, seed=1):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: rng.normal(size=np.shape(a)) * 0.3, tree)


def zeros_like(tree):
    return jax.tree.map(lambda a: np.zeros(np.shape(a)), tree)


@pytest.mark.parametrize("name", GRADIENTS)
def test_derivatives_are_those_of_refits(name):
    family, y = GRADIENTS[name]
    at = {"family": family, "X": X, "y": y, **EVERYTHING}
    at["ridge"] = np.concatenate([at["ridge"], [0.2] * (len(family.predictors) - 1)])
    cover = np.array([1.0, -0.7, 0.4, 0.9])[: len(at["ridge"])]

    def value(at):
        made = fit(at["family"], at["X"], at["y"], intercept=True, **{k: at[k] for k in EVERYTHING})
        # The standard errors lead through theta and past it.
        return cover @ made.theta + jnp.sum(made.bse)

    refit = compiled(value)
    slopes = compiled(jax.grad(value))(at)
    for part in at:
        if not jax.tree.leaves(at[part]):
            continue
        direction = {k: random_like(v) if k == part else zeros_like(v) for k, v in at.items()}
        wanted = differences(refit, at, direction)
        got = sum(np.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (slopes, direction)), strict=True))
        np.testing.assert_allclose(got, wanted, rtol=DIFFERENCES, atol=DIFFERENCES, err_msg=part)


def bound(name):
    """theta as a function of y and X, of one family."""
    family, y = GRADIENTS[name]
    return lambda at: fit(family, at["X"], at["y"], intercept=True, ridge=0.3).theta, {"X": X, "y": y}


def test_both_modes_agree():
    theta, at = bound("probit")
    direction, cover = random_like(at), np.array([1.0, -0.7, 0.4])

    @compiled
    def both(at, direction):
        _, forward = jax.jvp(theta, (at,), (direction,))
        _, pull = jax.vjp(theta, at)
        return cover @ forward, pull(cover)[0]

    forward, reverse = both(at, direction)
    backward = sum(np.vdot(a, b) for a, b in zip(*map(jax.tree.leaves, (reverse, direction)), strict=True))
    np.testing.assert_allclose(forward, backward, rtol=EXACT)


def test_second_derivatives():
    """A whole Hessian of a loss through the fit, against differences of its gradient."""
    family, y = GRADIENTS["gamma log"]

    def loss(tuned):
        made = fit(family, X * jnp.exp(tuned[2]), y * jnp.exp(tuned[1] * OFFSET), intercept=True, ridge=tuned[0])
        return jnp.sum((y - predict(family, made.theta, X, intercept=True)) ** 2)

    at = np.array([0.8, 0.3, -0.2])
    gradient = compiled(jax.grad(loss))
    hessian = compiled(jax.hessian(loss))(at)
    rows = [differences(gradient, at, unit) for unit in np.eye(3)]
    np.testing.assert_allclose(hessian, rows, rtol=DIFFERENCES, atol=DIFFERENCES)
    np.testing.assert_allclose(hessian, hessian.T, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("family", [jg.Binomial(), jg.Binomial("cloglog"), jg.Poisson()], ids=str)
def test_derivatives_in_responses_at_the_ends(family):
    """Terms that weigh nothing at y = 0 or 1 are left out of values; not of derivatives in y, which are continuous."""
    y = BINARY
    near = np.where(y == 0, 1e-9, y - 1e-9)
    slopes = compiled(jax.jacrev(lambda y: fit(family, X, y, intercept=True).theta))
    np.testing.assert_allclose(slopes(y), slopes(near), rtol=1e-7, atol=1e-9)
    if family.is_canonical:
        made = fit(family, X, y, intercept=True)
        columns = np.column_stack([np.ones(N), X])
        np.testing.assert_allclose(slopes(y), made.covariance @ columns.T, rtol=1e-9)


@pytest.mark.parametrize("name", ["logit", "negative binomial joint"])
def test_vmap_equals_a_loop(name):
    family, y = GRADIENTS[name]
    many = np.stack([y, y[::-1], np.roll(y, 7)])
    weights = np.stack([np.ones(N), WEIGHTS, np.where(np.arange(N) < 10, 0.0, 1.0)])

    def one(y, w):
        return fit(family, X, y, freq_weights=w, intercept=True)

    batch, single = compiled(jax.vmap(one))(many, weights), compiled(one)
    for i in range(3):
        alone = single(many[i], weights[i])
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=SAME, atol=SAME), batch, alone)
    shorter = compiled(lambda y, x: fit(family, x, y, intercept=True))(many[2][10:], X[10:])
    np.testing.assert_allclose(batch.theta[2], shorter.theta, rtol=SAME)
    assert float(batch.nobs[2]) == N - 10 and float(batch.df_resid[2]) == N - 13


def test_gradients_under_vmap():
    """Influence of every row by the derivative in its weight, many responses at once; jit inside and outside."""
    family, y = GRADIENTS["gamma log"]

    def slope(y, w):
        return jax.jit(fit, static_argnames="intercept")(family, X, y, freq_weights=w, intercept=True).theta[1]

    many, w = np.stack([y, y[::-1]]), np.ones(N)
    batch = compiled(jax.vmap(jax.grad(slope, argnums=1), (0, None)))(many, w)
    single = compiled(jax.grad(slope, argnums=1))
    np.testing.assert_allclose(batch, [single(row, w) for row in many], rtol=SAME, atol=SAME)
    # At weight 0 it is what letting the row in would do.
    out = w.copy()
    out[3] = 0.0
    step = 1e-5
    refit = compiled(slope)
    ahead = [refit(y, out + k * step * (w - out)) for k in (0, 1, 2)]
    np.testing.assert_allclose(single(y, out)[3], (-3 * ahead[0] + 4 * ahead[1] - ahead[2]) / (2 * step), rtol=1e-5)


def test_nothing_travels():
    family, y = GRADIENTS["negative binomial joint"]
    x, y = jax.device_put((X, y))
    loss = compiled(jax.value_and_grad(lambda x, y: jnp.sum(fit(family, x, y, ridge=0.1).theta ** 2)))
    loss(x, y)
    with jax.transfer_guard("disallow"):
        value, _ = loss(x, y)
    assert np.isfinite(value)
    jax.export.export(jax.jit(jax.grad(lambda x: fit(family, x, y).theta[0])), platforms=("cpu", "cuda"))(x)
    text = str(jax.make_jaxpr(lambda x: fit(family, x, y))(x))
    assert text.count("while[") == 1 and "callback" not in text


def test_single_precision():
    y = BINARY.astype(np.float32)
    x = X.astype(np.float32)
    wide = fit(jg.Binomial(), X, BINARY, intercept=True)
    with jax.enable_x64(False):
        narrow = fit(jg.Binomial(), x, y, intercept=True)
        slopes = jax.grad(lambda y: fit(jg.Binomial(), x, y, intercept=True).theta[1])(y)
    mixed = fit(jg.Binomial(), x, y, intercept=True)
    wanted = jax.grad(lambda y: fit(jg.Binomial(), X, y, intercept=True).theta[1])(BINARY)
    for found in (narrow, mixed):
        assert found.theta.dtype == found.covariance.dtype == jnp.float32
        assert jg.Status(int(found.status)) is jg.Status.CONVERGED_TO_PRECISION and bool(found.converged)
        np.testing.assert_allclose(found.theta, wide.theta, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.bse, wide.bse, rtol=1e-5)
    np.testing.assert_allclose(slopes, wanted, rtol=1e-4, atol=1e-6)
    whole = fit(jg.Poisson(), X.round().astype(int), COUNTS.astype(int))
    assert whole.theta.dtype == jnp.float64


@compiled
def logit(x, y, w):
    return fit(jg.Binomial(), x, y, freq_weights=w, intercept=True)


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("separated", "SEPARATED"),
        ("partly separated", "SEPARATED"),
        ("twice the same column", "ILL_CONDITIONED"),
        ("outside the support", "NOT_FINITE"),
        ("no weight", "NOT_FINITE"),
        ("nan", "NOT_FINITE"),
    ],
)
def test_trouble_has_a_status(what, status):
    x, y, w = X.copy(), BINARY.copy(), np.ones(N)
    if what == "separated":
        y = (X[:, 0] > 0.1).astype(float)
    elif what == "partly separated":
        x[:, 0] = np.arange(N) < 5
        y[:5] = 1.0
    elif what == "twice the same column":
        x[:, 1] = x[:, 0]
    elif what == "outside the support":
        y[3] = 2.0
    elif what == "no weight":
        w[:] = 0.0
    else:
        y[3] = np.nan
    found = logit(x, y, w)
    assert jg.Status(int(found.status)).name == status and not bool(found.converged)
    assert np.isnan(found.theta).all() == (status != "SEPARATED")


def test_counts_that_vary_too_little():
    y = 1.0 + (np.arange(N) % 3)
    theta = compiled(lambda y, x: fit("negative_binomial", x, y, intercept=True))
    found, poisson = theta(y, X), fit("poisson", X, y, intercept=True)
    assert jg.Status(int(found.status)) is jg.Status.NO_OVERDISPERSION and bool(found.converged)
    np.testing.assert_allclose(found.theta[:3], poisson.theta, rtol=SAME)
    np.testing.assert_allclose(found.bse, [*poisson.bse, 0.0], rtol=SAME, atol=SAME)
    slope = compiled(jax.grad(lambda y: fit("negative_binomial", X, y, intercept=True).theta[1]))(y)
    known = jax.grad(lambda y: fit("poisson", X, y, intercept=True).theta[1])(y)
    np.testing.assert_allclose(slope, known, rtol=1e-8, atol=1e-12)


def test_ridge_is_that_of_the_normal_equations():
    made = fit("gaussian", X, REAL, ridge=2.0, intercept=True)
    columns = np.column_stack([np.ones(N), X])
    matrix = columns.T @ columns + np.diag([0.0, 2.0, 2.0])
    np.testing.assert_allclose(made.theta, np.linalg.solve(matrix, columns.T @ REAL), rtol=EXACT)
    np.testing.assert_allclose(made.information, matrix, rtol=EXACT)
    one = fit("gaussian", X, REAL, ridge=np.array([0.0, 2.0, 2.0]), intercept=True)
    np.testing.assert_allclose(one.theta, made.theta, rtol=EXACT)


def test_loglik_and_predict():
    family = jg.NegativeBinomial()
    made = fit(family, X, COUNTS, offset=OFFSET, intercept=True)
    at = partial(loglik, family, X=X, y=COUNTS, offset=OFFSET, intercept=True)
    np.testing.assert_allclose(at(made.theta), made.llf, rtol=EXACT)
    np.testing.assert_allclose(jax.grad(at)(made.theta), 0, atol=1e-8)
    observed = fit(family, X, COUNTS, offset=OFFSET, intercept=True, information="observed")
    np.testing.assert_allclose(-jax.hessian(at)(made.theta), observed.information, rtol=1e-8, atol=1e-9)
    known = jg.fit(X, COUNTS, family=family, offset=OFFSET, intercept=True)
    np.testing.assert_allclose(
        predict(family, made.theta, X, offset=OFFSET, intercept=True), known.fittedvalues, rtol=SAME
    )
    linear = predict(family, made.theta, X, intercept=True, which="linear")
    np.testing.assert_allclose(linear, made.theta[0] + X @ made.theta[1:3], rtol=EXACT)
    scaled = loglik("gaussian", np.zeros(2), X, REAL, scale=2.0)
    np.testing.assert_allclose(scaled, norm.logpdf(REAL, 0, np.sqrt(2.0)).sum(), rtol=EXACT)


def test_a_matrix_for_every_predictor_and_columns_beside():
    known = jg.fit(X, REAL, family=STUDENT, intercept=True)
    found = fit(STUDENT, (np.column_stack([np.ones(N), X]), np.ones((N, 1))), REAL)
    np.testing.assert_allclose(found.theta, known.fit.coefficients, rtol=SAME, atol=SAME)
    both = fit(STUDENT, [X, X[:, :1]], REAL, intercept=True)
    assert both.theta.shape == (5,) and float(both.llf) > float(found.llf)
    event = (REAL < 1).astype(float)
    made = fit(CENSORED, X, np.minimum(REAL, 1), aux={"event": event}, intercept=True)
    restarted = fit(CENSORED, X, np.minimum(REAL, 1), aux={"event": event}, intercept=True, start=made.theta)
    assert bool(made.converged) and int(restarted.n_iter) <= 1
    counted = fit("binomial", X, np.floor(PROPORTIONS * TRIALS) / TRIALS, aux={"trials": TRIALS}, intercept=True)
    table = jg.fit(X, np.floor(PROPORTIONS * TRIALS) / TRIALS, family="binomial", trials=TRIALS, intercept=True)
    np.testing.assert_allclose([counted.llf, *counted.theta], [table.llf, *table.params], rtol=SAME)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: fit("poison", X, COUNTS), InputError, "Did you mean 'poisson'"),
        (lambda: fit(3, X, COUNTS), InputTypeError, "family must be"),
        (lambda: fit("poisson", X[:, 0], COUNTS), InputError, r"x\[:, None\]"),
        (lambda: fit("poisson", X, COUNTS[1:]), InputError, r"y must have shape \(40,\), not \(39,\)"),
        (lambda: fit("poisson", X[:0], COUNTS[:0]), InputError, "nothing to estimate"),
        (lambda: fit("poisson", X, ["a"] * N), InputTypeError, "y must hold real numbers"),
        (lambda: fit("poisson", X, COUNTS, ridge=[1.0]), InputError, r"ridge must have shape a scalar or \(2,\)"),
        (lambda: fit("poisson", X, COUNTS, start=np.ones(3)), InputError, r"start must have shape \(2,\)"),
        (lambda: fit("poisson", X, COUNTS, information="both"), InputError, "'expected' or 'observed'"),
        (lambda: fit("poisson", X, COUNTS, tol=0), InputError, "tol"),
        (lambda: fit("poisson", X, COUNTS, max_iter=1.5), InputError, "max_iter"),
        (lambda: fit("poisson", X, COUNTS, aux={"exposure": COUNTS}), InputError, r"does not read aux\['exposure'\]"),
        (lambda: fit(CENSORED, X, REAL), InputError, r"reads aux\['event'\]"),
        (lambda: fit(STUDENT, (X, None, None), REAL), InputError, "a sequence of 2"),
        (lambda: fit(STUDENT, (None, X), REAL), InputError, "none for the mean"),
        (lambda: fit("poisson", X, COUNTS, offset=np.ones((N, 2))), InputError, "offset must have shape"),
        (lambda: predict("poisson", np.ones(3), X), InputError, r"theta must have shape \(2,\)"),
        (lambda: predict("poisson", np.ones(2), X, which="both"), InputError, "'mean' or 'linear'"),
        (lambda: predict(STUDENT, np.ones(3), X), InputError, "has no mean"),
        (lambda: loglik("poisson", None, X, COUNTS), InputTypeError, "theta must hold"),
        (lambda: jax.jit(lambda y: fit("poisson", X, y).theta)(COUNTS[1:]), InputError, "y must have shape"),
    ],
)
def test_mistakes_are_named(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_a_traced_power():
    slope = jax.grad(lambda power: fit(jg.Tweedie(power), X, POSITIVE, intercept=True).theta[1])(1.5)
    family = jax.grad(lambda family: fit(family, X, POSITIVE, intercept=True).theta[1])(jg.Tweedie(1.5))
    np.testing.assert_allclose(slope, family.power, rtol=EXACT)
    alpha = jax.grad(lambda a: fit(jg.NegativeBinomial(a), X, COUNTS, intercept=True).theta[1])(0.7)
    twin = jax.grad(lambda f: fit(f, X, COUNTS, intercept=True).theta[1])(replace(jg.NegativeBinomial(0.7)))
    assert alpha != 0 and np.isnan(alpha) == np.isnan(twin.alpha)
