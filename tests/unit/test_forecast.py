"""The distribution of a new observation: quantiles, probabilities, and intervals that cover."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxglm as jg
from jaxglm.errors import InputError, InputTypeError, NotAvailableError

#: Quantiles of a continuous distribution; quadrature over the estimates.
EXACT, QUADRATURE = 1e-8, 1e-6
N = 60
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, 1))
MU = np.exp(1.0 + 0.3 * X[:, 0])
ALPHA, PHI = 0.5, 0.3
DRAWS = {
    "gaussian": lambda rng, mu: rng.normal(mu, 0.8),
    "poisson": lambda rng, mu: rng.poisson(mu) * 1.0,
    "gamma": lambda rng, mu: rng.gamma(1 / PHI, PHI * mu),
    "negative_binomial": lambda rng, mu: rng.negative_binomial(1 / ALPHA, 1 / (1 + ALPHA * mu)) * 1.0,
    "inverse_gaussian": lambda rng, mu: rng.wald(mu, 1 / PHI),
}
OPTIONS = {"gaussian": {}, "poisson": {}, "gamma": {"link": "log"}, "negative_binomial": {},
           "inverse_gaussian": {"link": "log"}}  # fmt: skip


@pytest.fixture(scope="module")
def fits():
    rng = np.random.default_rng(6)
    made = {name: jg.fit(X, draw(rng, MU), name, **OPTIONS[name]) for name, draw in DRAWS.items()}
    made["binomial"] = jg.fit(X, rng.binomial(7, 1 / (1 + 1 / MU)) / 7, "binomial", trials=np.full(N, 7.0))
    return made


def law(res, mu):
    phi, alpha = res.scale, res.params.iloc[-1]
    return {
        "gaussian": lambda: stats.norm(mu, np.sqrt(phi)),
        "poisson": lambda: stats.poisson(mu),
        "gamma": lambda: stats.gamma(1 / phi, scale=phi * mu),
        "negative_binomial": lambda: stats.nbinom(1 / alpha, 1 / (1 + alpha * mu)),
        "inverse_gaussian": lambda: stats.invgauss(mu * phi, scale=1 / phi),
        "binomial": lambda: stats.binom(7, mu),
    }[res.fit.model.family.name]()


@pytest.mark.parametrize("name", [*DRAWS, "binomial"])
def test_estimates_taken_as_known(fits, name):
    res, size = fits[name], 7.0 if name == "binomial" else 1.0
    made = res.get_prediction(X[:6], **({"trials": 7} if name == "binomial" else {}))
    want = law(res, made.predicted)
    for q in (0.01, 0.5, 0.9):
        np.testing.assert_allclose(made.quantile(q, plug_in=True) * size, want.ppf(q), rtol=EXACT)
    y = np.round(size * made.predicted)
    np.testing.assert_allclose(made.cdf(y / size), want.cdf(y), rtol=EXACT)
    if hasattr(want.dist, "pmf"):
        np.testing.assert_allclose(made.probability([2 / size]).iloc[:, 0], want.pmf(2), rtol=1e-7)
    else:
        with pytest.raises(NotAvailableError, match="continuous response"):
            made.probability([1.0])


def test_the_uncertainty_of_the_estimates_is_averaged_over(fits):
    """Against the integral over eta by the trapezium rule."""
    res = fits["poisson"]
    made = res.get_prediction(X[:4])
    z = np.linspace(-9, 9, 4001)
    weight = stats.norm.pdf(z) / stats.norm.pdf(z).sum()
    eta, se = made.prediction.eta, made.prediction.eta_se
    for y in (0.0, 3.0, 8.0):
        want = (stats.poisson.cdf(y, np.exp(eta[:, None] + se[:, None] * z)) * weight).sum(axis=1)
        np.testing.assert_allclose(made.cdf(y, plug_in=False), want, atol=QUADRATURE)
    for q in (0.025, 0.5, 0.975):
        k = made.quantile(q)
        assert (made.cdf(k, plug_in=False) >= q).all() and (made.cdf(k - 1, plug_in=False) < q).all()


def test_least_squares_are_student_t(fits):
    res = fits["gaussian"]
    made = res.get_prediction(X[:4])
    spread = np.sqrt(res.scale + made.se**2)
    frame = made.summary_frame(0.1)
    np.testing.assert_allclose(
        frame["obs_ci_upper"], made.predicted + stats.t.ppf(0.95, res.df_resid) * spread, rtol=1e-10
    )
    np.testing.assert_allclose(
        frame["obs_ci_lower"], made.predicted - stats.t.ppf(0.95, res.df_resid) * spread, rtol=1e-10
    )
    # The general method, which other links take, comes close to the exact law.
    y = made.predicted + 1.7 * spread
    np.testing.assert_allclose(made.cdf(y, plug_in=False), stats.t.cdf(1.7, res.df_resid), atol=1e-4)


def test_intervals_cover():
    """New observations at other rows, over many fits: at least 95 %, and not far more where y is continuous."""
    rng, reps = np.random.default_rng(11), 24
    new = np.linspace(-2, 2, 8)[:, None]
    mean = np.exp(1.0 + 0.3 * new[:, 0])
    # Pearson's dispersion of responses as skewed as these inverse Gaussian ones is far from chi-squared.
    for name in ("gaussian", "poisson", "gamma", "negative_binomial"):
        draw, inside = DRAWS[name], []
        for _ in range(reps):
            x = rng.normal(size=(N, 1))
            mu, at = (np.log(m) if name == "gaussian" else m for m in (np.exp(1.0 + 0.3 * x[:, 0]), mean))
            res = jg.fit(x, draw(rng, mu), name, on_failure="warn", **OPTIONS[name])
            limits = res.get_prediction(new).obs_int(0.05)
            y = np.stack([draw(rng, at) for _ in range(100)])
            inside.append(((y >= limits[:, 0]) & (y <= limits[:, 1])).mean())
        assert 0.94 < np.mean(inside) < (0.965 if name in ("gaussian", "gamma") else 0.99), name


def test_intervals_of_proportions_cover():
    rng, inside = np.random.default_rng(12), []
    chance = 1 / (1 + np.exp(-0.2 - 0.5 * X[:, 0]))
    for _ in range(15):
        res = jg.fit(X, rng.binomial(30, chance) / 30, "binomial", trials=np.full(N, 30.0))
        limits = res.get_prediction(X[:8], trials=30).obs_int(0.05)
        y = rng.binomial(30, chance[:8], (100, 8)) / 30
        inside.append(((y >= limits[:, 0] - 1e-9) & (y <= limits[:, 1] + 1e-9)).mean())
    assert 0.95 < np.mean(inside) < 0.985


def test_classes():
    data = pd.DataFrame({"y": np.where(MU > 2.9, "won", "lost"), "x": X[:, 0]})
    data.loc[:5, "y"] = "lost"
    data.loc[6:12, "y"] = "won"
    res = jg.glm("y ~ x", data, family="binomial")
    made = res.get_prediction(data.head(4)).probability()
    assert list(made.columns) == ["lost", "won"]
    np.testing.assert_allclose(made["won"], res.predict(data.head(4)), rtol=1e-10)
    np.testing.assert_allclose(made.sum(axis=1), 1.0, rtol=1e-12)
    assert list(res.get_prediction(data.head(4)).probability(["won"]).columns) == ["won"]


def test_counts_add_up(fits):
    for name in ("poisson", "negative_binomial"):
        made = fits[name].get_prediction(X[:3])
        for plug_in in (True, False):
            np.testing.assert_allclose(made.probability(range(90), plug_in).sum(axis=1), 1.0, rtol=1e-6)
        assert (made.probability([1.5, -1]) == 0).all().all()


def test_trials_of_new_rows():
    data = pd.DataFrame({"s": [1, 4, 3, 6, 5, 9], "n": [5, 9, 6, 9, 7, 10], "x": np.arange(6.0)})
    data["share"] = data["s"] / data["n"]
    named = jg.glm("share ~ x", data, family="binomial", trials="n")
    pair = jg.glm("cbind(s, n - s) ~ x", data, family="binomial")
    want = named.get_prediction().quantile([0.1, 0.9])
    for res, options in ((named, {}), (pair, {"trials": "n"}), (pair, {"trials": data["n"].to_numpy()})):
        np.testing.assert_allclose(res.get_prediction(data, **options).quantile([0.1, 0.9]), want, rtol=1e-12)
    one = pair.get_prediction(data[["x"]])
    assert set(np.unique(one.quantile(0.5))) <= {0.0, 1.0}
    np.testing.assert_allclose(one.probability()[1], pair.predict(data), rtol=1e-10)
    with pytest.raises(InputError, match="go with newdata"):
        pair.get_prediction(trials=3)
    with pytest.raises(InputError, match="trials= belongs to the binomial"):
        jg.glm("s ~ x", data, family="poisson").get_prediction(data, trials=3)


def test_a_distribution_of_two_predictors():
    """A family of one's own, its scale a predictor: quantiles of the normal, widened by both uncertainties."""

    def nll(y, eta, aux):
        return 0.5 * ((y - eta[0]) * jnp.exp(-eta[1])) ** 2 + eta[1]

    def cdf(y, eta, aux):
        import jax

        return jax.scipy.stats.norm.cdf((y - eta[0]) * jnp.exp(-eta[1]))

    family = jg.custom_family(nll, ("mean", "log_sd"), mean=lambda eta, aux: eta[0], cdf=cdf)
    data = pd.DataFrame({"x": X[:, 0], "y": 1 + X[:, 0] + np.random.default_rng(2).normal(size=N)})
    res = jg.glm({"mean": "y ~ x", "log_sd": "~ x"}, data, family=family)
    made = res.get_prediction(data.head(3))
    eta = res.get_prediction(data.head(3), which="log_sd").predicted
    known = made.predicted + stats.norm.ppf(0.9) * np.exp(eta)
    np.testing.assert_allclose(made.quantile(0.9, plug_in=True), known, rtol=1e-8)
    assert (made.quantile(0.975) > made.predicted + stats.norm.ppf(0.975) * np.exp(eta)).all()
    assert {"obs_ci_lower", "obs_ci_upper"} <= set(made.summary_frame())


def test_where_there_is_no_distribution(fits):
    res = jg.fit(X, np.round(MU), "quasipoisson")
    made = res.get_prediction(X[:2])
    assert list(made.summary_frame()) == ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
    for ask in (
        lambda: made.quantile(0.5),
        lambda: made.cdf(1.0),
        lambda: made.obs_int(),
        lambda: made.probability([1]),
    ):
        with pytest.raises(NotAvailableError, match="no distribution function"):
            ask()
    assert "obs_ci_lower" not in fits["poisson"].get_prediction(X[:2], which="linear").summary_frame()


def test_rows_that_cannot_be_predicted_and_none(fits):
    made = fits["poisson"].get_prediction(np.array([[0.1], [np.nan]]))
    frame = made.summary_frame()
    assert np.isfinite(frame.iloc[0]).all() and frame.iloc[1].isna().all()
    assert list(made.probability([0, 1]).isna().iloc[:, 0]) == [False, True]
    assert len(fits["poisson"].get_prediction(np.empty((0, 1))).summary_frame()) == 0


def test_what_cannot_be_asked(fits):
    made = fits["poisson"].get_prediction(X[:2])
    with pytest.raises(InputError, match="q must lie between 0 and 1"):
        made.quantile(1.0)
    with pytest.raises(InputError, match="needs values"):
        made.probability()
    with pytest.raises(InputTypeError, match="one number a row"):
        made.cdf([1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="alpha must lie between"):
        made.obs_int(0.0)


def test_weights_divide_the_dispersion_of_fitted_rows():
    rng = np.random.default_rng(9)
    w = rng.uniform(0.5, 3, N)
    y = rng.gamma(w / PHI, PHI * MU / w)
    res = jg.fit(X, y, "gamma", link="log", var_weights=w)
    made = res.get_prediction()
    want = stats.gamma(w / res.scale, scale=res.scale / w * made.predicted)
    np.testing.assert_allclose(made.quantile(0.8, plug_in=True), want.ppf(0.8), rtol=EXACT)
