"""Residuals that need a distribution, draws, and the suggestion of a family."""

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import jaxglm as jg

N = 150
rng = np.random.default_rng(23)
X = rng.normal(size=(N, 1))
MU = np.exp(0.5 + 0.3 * X[:, 0])
GAMMA = rng.gamma(2.0, MU / 2)
COUNT = rng.poisson(MU) * 1.0


@pytest.fixture(scope="module")
def gamma():
    return jg.fit(X, GAMMA, "gamma", link="log", var_weights=np.tile([1.0, 2.0, 0.5], N // 3))


@pytest.fixture(scope="module")
def poisson():
    return jg.fit(X, COUNT, "poisson")


def test_anscombe_residuals_have_their_closed_forms(gamma, poisson):
    """Gamma: 3 (y^1/3 - mu^1/3) / mu^1/3; Poisson: 3/2 (y^2/3 - mu^2/3) / mu^1/6 (McCullagh and Nelder)."""
    mu, weight = gamma.fittedvalues, np.tile([1.0, 2.0, 0.5], N // 3)
    want = np.sqrt(weight) * 3 * ((GAMMA / mu) ** (1 / 3) - 1)
    np.testing.assert_allclose(gamma.resid("anscombe"), want, rtol=1e-9, atol=1e-12)
    mu = poisson.fittedvalues
    want = 1.5 * (COUNT ** (2 / 3) - mu ** (2 / 3)) / mu ** (1 / 6)
    np.testing.assert_allclose(poisson.resid("anscombe"), want, rtol=1e-9, atol=1e-12)


def test_quantile_residuals_of_a_continuous_response_are_those_of_scipy(gamma):
    """A row of weight w has dispersion phi / w."""
    phi = gamma.scale / np.tile([1.0, 2.0, 0.5], N // 3)
    want = stats.norm.ppf(stats.gamma.cdf(GAMMA, 1 / phi, scale=gamma.fittedvalues * phi))
    np.testing.assert_allclose(gamma.resid("quantile"), want, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(gamma.resid("quantile", seed=4), gamma.resid("quantile"), rtol=1e-12)


def test_quantile_residuals_of_counts_lie_within_their_step(poisson):
    r, again = poisson.resid("quantile"), poisson.resid("quantile", seed=1)
    mu = poisson.fittedvalues
    low, high = stats.poisson.cdf(COUNT - 1, mu), stats.poisson.cdf(COUNT, mu)
    for made in (r, again):
        p = stats.norm.cdf(made)
        assert np.all((low - 1e-12 <= p) & (p <= high + 1e-12))
    assert np.all(r != again)
    np.testing.assert_array_equal(r, poisson.resid("quantile", seed=0))


def test_far_tails_stay_finite():
    """Both tails of the normal are used, so that no residual is infinite where the probability is below 1e-16."""
    res = jg.fit(np.zeros((3, 1)) + [[0.0], [1.0], [2.0]], [1.0, 1.0, 1.0], "poisson", start=[0.0, 0.0], intercept=True)
    eta = res.linear_predictor.to_numpy()
    assert np.isfinite(eta).all()
    big = jg.fit(np.ones((40, 1)), np.r_[np.ones(39), 60.0], "poisson", intercept=False)
    worst = big.resid("quantile").max()
    assert worst == pytest.approx(-special.ndtri(stats.poisson.sf(60, big.fittedvalues.iloc[-1])), abs=0.2)
    assert np.isfinite(big.resid("quantile")).all() and worst > 9


def test_draws_are_reproducible_and_labelled(gamma, poisson):
    data = pd.DataFrame({"y": COUNT, "x": X[:, 0]}, index=[f"r{i}" for i in range(N)])
    res = jg.glm("y ~ x", data, family="poisson")
    draws = res.simulate(3, seed=5)
    assert list(draws.columns) == ["sim_1", "sim_2", "sim_3"] and draws.index.equals(data.index)
    pd.testing.assert_frame_equal(draws, res.simulate(3, seed=5))
    assert not draws.equals(res.simulate(3, seed=6))
    assert not res.simulate(1).equals(res.simulate(1))
    pd.testing.assert_series_equal(draws.sim_1, poisson.simulate(3, seed=5).sim_1.set_axis(data.index))
    many = gamma.simulate(400, seed=1)
    ratio = many.var(axis=1) / (gamma.scale / np.tile([1.0, 2.0, 0.5], N // 3) * gamma.fittedvalues**2)
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("n", "error"), [(0, jg.InputError), (2.5, jg.InputTypeError), (True, jg.InputTypeError)])
def test_number_of_draws(n, error, poisson):
    with pytest.raises(error, match="number of draws"):
        poisson.simulate(n)


SUGGESTED = {
    "zeros and ones": ([0, 1, 1.0], "binomial"),
    "booleans": ([True, False], "binomial"),
    "two labels": (["no", "yes"], "binomial"),
    "three labels": (["a", "b", "c"], None),
    "fractions": ([0.2, 0.5, 1.0], "binomial"),
    "counts": (pd.Series([0, 3, 9], dtype="int8"), "poisson"),
    "amounts with zeros": ([0.0, 0.5, 2.2], "tweedie"),
    "amounts": ([0.5, np.nan, 2.2], "gamma"),
    "any sign": ([-0.5, 2.2], "gaussian"),
    "nothing": ([np.nan], None),
    "infinite": ([1.0, np.inf], None),
}


@pytest.mark.parametrize("name", SUGGESTED)
def test_suggested_families(name):
    y, want = SUGGESTED[name]
    found = jg.suggest_family(y)
    assert (found.names[0] if found.names else None) == want
    assert "y given x" in str(found)


def test_no_suggestion_without_a_column_of_numbers():
    with pytest.raises(jg.DataError, match="dates"):
        jg.suggest_family(pd.date_range("2024-01-01", periods=3))
    with pytest.raises(jg.DataError, match="one column"):
        jg.suggest_family(np.ones((2, 2)))
