"""The fit as a pure function: equal to the other fit, and differentiable in all it takes."""

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


def compiled(function, **options):
    """A jitted function of a small program that runs once, compiled in a quarter of the time."""
    return precision.Tiered(function, **options).quick


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

#: Not nested in others, which must not have options of their own.
LOGIT = partial(fit, jg.Binomial(), intercept=True)
WEIGHTED = compiled(lambda x, y, w: LOGIT(x, y, freq_weights=w))


#: name: (family, y, options of both fits)
FITS = {
    "gaussian": (jg.Gaussian(), REAL, {"var_weights": WEIGHTS}),
    "probit": (jg.Binomial("probit"), BINARY, {"information": "observed"}),
    "poisson": (jg.Poisson(), COUNTS, {"offset": OFFSET}),
    "tweedie": (jg.Tweedie(1.5), COUNTS, {}),
    "quasi": (jg.Quasi(lambda mu: mu**2, "log"), POSITIVE, {}),
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
        # Standard errors lead through theta and past it.
        return cover @ made.theta + (jnp.sum(made.bse) if name == "gamma log" else 0.0)

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
    theta, at = bound("gamma log")
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


@pytest.mark.parametrize("family", [jg.Binomial(), jg.Poisson()], ids=str)
def test_derivatives_in_responses_at_the_ends(family):
    """Terms that weigh nothing at y = 0 or 1 are left out of values; not of derivatives in y."""

    def theta(y):
        made = fit(family, X, y, intercept=True)
        return made.theta, made

    slopes, made = compiled(jax.jacrev(theta, has_aux=True))(BINARY)
    np.testing.assert_allclose(slopes, made.covariance @ np.column_stack([np.ones(N), X]).T, rtol=1e-8, atol=1e-12)


def test_vmap_equals_a_loop():
    family, y = GRADIENTS["negative binomial joint"]
    many = np.stack([y, y[::-1], np.roll(y, 7)])
    weights = np.stack([np.ones(N), WEIGHTS, np.where(np.arange(N) < 10, 0.0, 1.0)])

    def one(y, w):
        return fit(family, X, y, freq_weights=w, intercept=True)

    batch, single = compiled(jax.vmap(one))(many, weights), compiled(one)
    for i in range(3):
        alone = single(many[i], weights[i])
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=SAME, atol=SAME), batch, alone)
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
    family, y = GRADIENTS["gamma log"]
    x, y = jax.device_put((X, y))
    loss = compiled(jax.value_and_grad(lambda x, y: jnp.sum(fit(family, x, y, ridge=0.1).theta ** 2)))
    loss(x, y)
    with jax.transfer_guard("disallow"):
        value, _ = loss(x, y)
    assert np.isfinite(value)
    made = jax.export.export(jax.jit(jax.grad(lambda x: fit(family, x, y).theta[0])), platforms=("cpu", "cuda"))(x)
    assert made.platforms == ("cpu", "cuda")


@pytest.mark.parametrize("name", ["gamma log", "negative binomial joint"])
def test_a_fit_is_one_loop(name):
    """In stages where a family has a limit; without a turn to the host."""
    family, y = GRADIENTS[name]
    text = str(jax.make_jaxpr(lambda x: fit(family, x, y))(X))
    assert text.count("while[") == 1 and "callback" not in text


def test_single_precision():
    x, y, logit = X.astype(np.float32), BINARY.astype(np.float32), compiled(LOGIT)
    slope = compiled(jax.grad(lambda y, x: LOGIT(x, y).theta[1]))
    wide, wanted = logit(X, BINARY), slope(BINARY, X)
    with jax.enable_x64(False):
        narrow, slopes = logit(x, y), slope(y, x)
    mixed = logit(x, y)
    for found in (narrow, mixed):
        assert found.theta.dtype == found.covariance.dtype == jnp.float32
        assert jg.Status(int(found.status)) is jg.Status.CONVERGED_TO_PRECISION and bool(found.converged)
        np.testing.assert_allclose(found.theta, wide.theta, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.bse, wide.bse, rtol=1e-5)
    np.testing.assert_allclose(slopes, wanted, rtol=1e-4, atol=1e-6)
    whole = compiled(partial(fit, jg.Poisson()))(X.round().astype(int), COUNTS.astype(int))
    assert whole.theta.dtype == jnp.float64


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("separated", "SEPARATED"),
        ("partly separated", "SEPARATED"),
        ("twice the same column", "ILL_CONDITIONED"),
        ("outside the support", "NOT_FINITE"),
        ("no weight", "NOT_FINITE"),
        ("a negative weight", "NOT_FINITE"),
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
    elif what == "a negative weight":
        w[3] = -1.0
    else:
        y[3] = np.nan
    found = WEIGHTED(x, y, w)
    assert jg.Status(int(found.status)).name == status and not bool(found.converged)
    assert np.isnan(found.theta).all() == (status != "SEPARATED")


def test_counts_that_vary_too_little():
    y = 1.0 + (np.arange(N) % 3)

    @partial(compiled, static_argnums=0)
    def both(name, y):
        def theta(y):
            made = fit(name, X, y, intercept=True)
            return made.theta[1], made

        slope, made = jax.grad(theta, has_aux=True)(y)
        return made, slope

    (found, slope), (poisson, known) = both("negative_binomial", y), both("poisson", y)
    assert jg.Status(int(found.status)) is jg.Status.NO_OVERDISPERSION and bool(found.converged)
    np.testing.assert_allclose(found.theta[:3], poisson.theta, rtol=SAME)
    np.testing.assert_allclose(found.bse, [*poisson.bse, 0.0], rtol=SAME, atol=SAME)
    np.testing.assert_allclose(slope, known, rtol=1e-8, atol=1e-12)
    for name in ("negative_binomial", "poisson"):
        assert jg.Status(int(both(name, np.zeros(N))[0].status)) is jg.Status.SEPARATED


def test_ridge_is_that_of_the_normal_equations():
    ridged = compiled(lambda ridge: fit("gaussian", X, REAL, ridge=ridge, intercept=True))
    columns = np.column_stack([np.ones(N), X])
    matrix = columns.T @ columns + np.diag([0.0, 2.0, 2.0])
    for ridge in (2.0, np.array([0.0, 2.0, 2.0])):
        made = ridged(ridge)
        np.testing.assert_allclose(made.theta, np.linalg.solve(matrix, columns.T @ REAL), rtol=EXACT)
        np.testing.assert_allclose(made.information, matrix, rtol=EXACT)


def test_loglik_and_predict():
    family = jg.NegativeBinomial()
    options = {"offset": OFFSET, "intercept": True}

    @compiled
    def figures(y):
        made = fit(family, X, y, information="observed", **options)
        at = partial(loglik, family, X=X, y=y, **options)
        mean = predict(family, made.theta, X, **options)
        linear = predict(family, made.theta, X, intercept=True, which="linear")
        return made, at(made.theta), jax.grad(at)(made.theta), jax.hessian(at)(made.theta), mean, linear

    made, value, gradient, hessian, mean, linear = figures(COUNTS)
    np.testing.assert_allclose(value, made.llf, rtol=EXACT)
    np.testing.assert_allclose(gradient, 0, atol=1e-8)
    np.testing.assert_allclose(-hessian, made.information, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(mean, np.exp(made.theta[0] + X @ made.theta[1:3] + OFFSET), rtol=EXACT)
    np.testing.assert_allclose(linear, made.theta[0] + X @ made.theta[1:3], rtol=EXACT)
    scaled = loglik("gaussian", np.zeros(2), X, REAL, scale=2.0)
    np.testing.assert_allclose(scaled, norm.logpdf(REAL, 0, np.sqrt(2.0)).sum(), rtol=EXACT)


def test_a_matrix_for_every_predictor():
    both = compiled(lambda x, z, y: fit(STUDENT, (x, z), y).theta)(
        np.column_stack([np.ones(N), X]), np.ones((N, 1)), REAL
    )
    known = jg.fit(X, REAL, family=STUDENT, intercept=True).fit.coefficients
    np.testing.assert_allclose(both, known, rtol=SAME, atol=SAME)


def test_columns_beside_and_a_start():
    event = (REAL < 1).astype(float)
    censored = compiled(
        lambda y, start: fit(CENSORED, X, y, aux={"event": event}, intercept=True, start=start),
    )
    made = censored(np.minimum(REAL, 1), None)
    assert bool(made.converged)
    again = censored(np.minimum(REAL, 1), made.theta)
    np.testing.assert_allclose(again.theta, made.theta, rtol=SAME, atol=SAME)
    y = np.floor(PROPORTIONS * TRIALS) / TRIALS
    counted = compiled(lambda y: fit("binomial", X, y, aux={"trials": TRIALS}, intercept=True))(y)
    table = jg.fit(X, y, family="binomial", trials=TRIALS, intercept=True)
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


@pytest.mark.parametrize(("make", "at"), [(jg.Tweedie, 1.5), (jg.NegativeBinomial, 0.7)], ids=["power", "alpha"])
def test_a_number_of_a_family_may_be_traced(make, at):
    def theta(number):
        return fit(make(number), X, COUNTS + 0.5, intercept=True).theta[1]

    value, slope = compiled(theta), compiled(jax.grad(theta))(at)
    np.testing.assert_allclose(slope, differences(value, at, 1.0), rtol=DIFFERENCES)
