"""Families from the user's own likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from jax.scipy.special import gammaln
from scipy import optimize, stats

import jaxglm as jg

N = 200
rng = np.random.default_rng(17)
DATA = pd.DataFrame({"x": rng.normal(size=N), "z": rng.normal(size=N)})
DATA["count"] = rng.poisson(np.exp(1.0 + 0.4 * DATA.x)).astype(float)
TIME, END = rng.weibull(1.5, N) * np.exp(1.0 + 0.4 * DATA.x), rng.exponential(5.0, N)
DATA["time"], DATA["event"] = np.minimum(TIME, END), (TIME <= END) * 1.0


def poisson_nll(y, eta, aux):
    return jnp.exp(eta[0]) - y * eta[0] + gammaln(y + 1)


def poisson_mean(eta, aux):
    return jnp.exp(eta[0])


def weibull_nll(y, eta, aux):
    w = (jnp.log(y) - eta[0]) * jnp.exp(-eta[1])
    return jnp.exp(w) - aux["event"] * (w - eta[1] - jnp.log(y))


POISSON = jg.custom_family(poisson_nll, mean=poisson_mean, variance=lambda mu, aux: mu)
WEIBULL = jg.custom_family(weibull_nll, ("log_time", "log_width"), aux=("event",))


def test_poisson_written_by_hand_is_poisson():
    own, ours = jg.glm("count ~ x", DATA, family=POISSON), jg.glm("count ~ x", DATA, family="poisson")
    assert own.converged and own.information == "observed"
    np.testing.assert_allclose(own.params, ours.params, rtol=1e-9)
    np.testing.assert_allclose(own.bse, ours.bse, rtol=1e-8)
    assert own.llf == pytest.approx(ours.llf, rel=1e-12) and own.aic == pytest.approx(ours.aic, rel=1e-12)
    for kind in ("response", "pearson", "working", "anscombe"):
        np.testing.assert_allclose(own.resid(kind), ours.resid(kind), rtol=1e-7, atol=1e-9, err_msg=kind)
    made, want = (r.get_prediction(DATA.head(3)).summary_frame(obs=False) for r in (own, ours))
    np.testing.assert_allclose(made, want, rtol=1e-7)
    text = str(own.summary(residuals=True))
    assert "poisson_nll" in text and "inside the likelihood" in text and "Deviance residuals" not in text
    for what in (lambda: own.resid("deviance"), lambda: own.resid("quantile"), lambda: own.simulate(2)):
        with pytest.raises(jg.NotAvailableError, match="poisson_nll family does not have"):
            what()
    with pytest.raises(jg.NotAvailableError, match="expected information is not available"):
        own.with_cov(information="expected")
    assert own.augment()[".resid"].isna().all() and not own.augment()[".resid_pearson"].isna().any()


def test_a_censored_likelihood_with_two_predictors():
    """Weibull survival times against the likelihood maximized and differentiated by SciPy."""
    res = jg.glm("time ~ x", DATA, family=WEIBULL)
    x = np.column_stack([np.ones(N), DATA.x])

    def nll(b):
        w = (np.log(DATA.time) - x @ b[:2]) / np.exp(b[2])
        return np.sum(np.exp(w) - DATA.event * (w - b[2] - np.log(DATA.time)))

    best = optimize.minimize(nll, [0.5, 0.0, 0.0], method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(res.params, best.x, atol=1e-5)
    assert list(res.params.index) == ["Intercept", "x", "log_width"]
    step, b, eye = 1e-4, res.params.to_numpy(), np.eye(3)
    hessian = [[(nll(b + step * (u + v)) - nll(b + step * (u - v)) - nll(b - step * (u - v)) + nll(b - step * (u + v)))
                / (4 * step**2) for u in eye] for v in eye]  # fmt: skip
    np.testing.assert_allclose(res.bse, np.sqrt(np.diag(np.linalg.inv(hessian))), rtol=1e-5)
    with pytest.raises(jg.NotAvailableError, match="mean="):
        res.predict(DATA)
    np.testing.assert_allclose(res.predict(DATA.head(2), which="linear"), x[:2] @ b[:2], rtol=1e-12)
    arrays = jg.fit(DATA[["x"]], DATA.time, family=WEIBULL, aux={"event": DATA.event.to_numpy()})
    np.testing.assert_allclose(arrays.params, res.params, rtol=1e-9)
    named = jg.glm("time ~ x", DATA.rename(columns={"event": "died"}), family=WEIBULL, aux={"event": "died"})
    np.testing.assert_allclose(named.params, res.params, rtol=1e-9)


def test_known_numbers_are_parameters_and_not_compiled_in():
    calls = []

    def nll(y, eta, aux):
        calls.append(1)
        return -jax.scipy.stats.t.logpdf(y, aux["params"]["df"], loc=eta[0], scale=2.0)

    def robust(df):
        return jg.families.CustomFamily(nll, ("mean",), (), (("mean", first),), {"df": df})

    y = 1.0 + DATA.x + rng.standard_t(3, N)
    found = {}
    for df in (3.0, 30.0):
        found[df] = jg.fit(DATA[["x"]], y, family=robust(df))
        traced = len(calls)
    jg.fit(DATA[["x"]], y, family=robust(7.0))
    assert len(calls) == traced
    for df, res in found.items():
        best = optimize.minimize(
            lambda b, df=df: -stats.t.logpdf(y, df, b[0] + b[1] * DATA.x, 2.0).sum(), [1.0, 1.0], method="BFGS"
        )
        np.testing.assert_allclose(res.params, best.x, atol=1e-4)
        assert res.llf == pytest.approx(-best.fun, rel=1e-9)


def first(eta, aux):
    return eta[0]


def test_draws_and_quantile_residuals_of_ones_own():
    family = jg.custom_family(
        lambda y, eta, aux: 0.5 * (y - eta[0]) ** 2 + 0.5 * jnp.log(2 * jnp.pi),
        mean=first,
        sample=lambda key, eta, aux: eta[0] + jax.random.normal(key),
        cdf=lambda y, eta, aux: jax.scipy.stats.norm.cdf(y - eta[0]),
    )
    y = 1.0 + DATA.x + rng.normal(size=N)
    res = jg.fit(DATA[["x"]], y, family=family)
    np.testing.assert_allclose(res.params, jg.fit(DATA[["x"]], y).params, rtol=1e-9)
    np.testing.assert_allclose(res.resid("quantile"), res.resid("response"), atol=1e-9)
    draws = res.simulate(50, seed=2)
    assert abs((draws.sub(res.fittedvalues, axis=0)).to_numpy().mean()) < 5 / np.sqrt(50 * N)


def test_a_response_that_the_likelihood_excludes_is_named():
    bad = DATA.assign(time=DATA.time.where(DATA.index != 4, -1.0))
    with pytest.raises(jg.DataError, match="-1 in row 4"):
        jg.glm("time ~ x", bad, family=WEIBULL)


def test_options_that_it_would_ignore_are_refused():
    with pytest.raises(jg.InputError, match="link='log' has no place"):
        jg.glm("count ~ x", DATA, family=POISSON, link="log")
    with pytest.raises(jg.InputError, match="expected information"):
        jg.glm("count ~ x", DATA, family=POISSON, solver="irls")


def test_a_likelihood_with_the_wrong_sign_is_no_maximum():
    wrong = jg.custom_family(lambda y, eta, aux: -poisson_nll(y, eta, aux), mean=poisson_mean)
    with pytest.warns(jg.ConvergenceWarning, match="check the sign of nll"):
        res = jg.glm("count ~ x", DATA, family=wrong)
    assert not res.converged


BAD = {
    "not a function": (dict(nll=3), "nll must be a function"),
    "a vector": (dict(nll=lambda y, eta, aux: eta), "one real number"),
    "an integer": (dict(nll=lambda y, eta, aux: jnp.round(eta[0]).astype(int)), "one real number"),
    "unknown aux": (dict(nll=lambda y, eta, aux: aux["cut"] * eta[0]), r"aux\['cut'\] is read but not there"),
    "a Python branch": (dict(nll=lambda y, eta, aux: eta[0] if eta[0] > 0 else -eta[0]), "without Python branches"),
    "never finite": (dict(nll=lambda y, eta, aux: jnp.log(-jnp.exp(eta[0]))), "not finite for any"),
    "nan derivative": (
        dict(nll=lambda y, eta, aux: jnp.where(y > 0, eta[0] ** 2, jnp.sqrt(eta[0] - eta[0]))), "both branches"),
    "kinked": (dict(nll=lambda y, eta, aux: jnp.maximum(eta[0], 0.0) ** 1.5 * 9), "twice differentiable|derivatives"),
    "hidden gradient": (dict(nll=lambda y, eta, aux: jax.lax.stop_gradient(eta[0]) ** 2), "by autodiff but"),
    "cdf above 1": (dict(nll=poisson_nll, cdf=lambda y, eta, aux: 3 * y), "cdf must give probabilities"),
    "mean is a vector": (dict(nll=poisson_nll, mean=lambda eta, aux: eta), "mean must give one real number"),
    "variance fails": (
        dict(nll=poisson_nll, mean=first, variance=lambda mu, aux: aux["k"]), "variance: aux"),
    "predictors repeat": (dict(nll=poisson_nll, predictors=("a", "a")), "must differ"),
    "no predictors": (dict(nll=poisson_nll, predictors=()), "at least one predictor"),
    "predictor is a number": (dict(nll=poisson_nll, predictors=(1,)), "must be strings"),
    "aux called params": (dict(nll=poisson_nll, aux=("params",)), "must differ"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_likelihood_is_refused_when_it_is_made(name):
    options, words = BAD[name]
    with pytest.raises(jg.JaxglmError, match=words):
        jg.custom_family(**options)
