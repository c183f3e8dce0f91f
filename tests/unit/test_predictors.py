"""Families with two predictors: formulas of their own, joint standard errors, limits."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import jaxglm as jg

N = 400
rng = np.random.default_rng(31)
DATA = pd.DataFrame({"x": rng.normal(size=N), "z": rng.uniform(size=N), "f": rng.choice(list("abc"), N)})
MU, ALPHA = np.exp(1.0 + 0.3 * DATA.x), np.exp(-1.0 + 1.5 * DATA.z)
DATA["y"] = rng.negative_binomial(1 / ALPHA, 1 / (1 + ALPHA * MU)).astype(float)
#: Less variable than Poisson counts.
DATA["even"] = rng.binomial(10, 0.5, N).astype(float)
BOTH = {"mean": "y ~ x", "dispersion": "~ z"}


def nb_nll(b, y, x, z):
    mu, r = np.exp(x @ b[: x.shape[1]]), np.exp(-z @ b[x.shape[1] :])
    return -stats.nbinom.logpmf(y, r, r / (r + mu)).sum()


@pytest.fixture(scope="module")
def both():
    return jg.glm(BOTH, DATA, family=jg.NegativeBinomial(), information="observed")


def test_two_formulas_maximize_the_joint_likelihood(both):
    one = np.ones(N)
    x, z = np.column_stack([one, DATA.x]), np.column_stack([one, DATA.z])
    best = optimize.minimize(nb_nll, both.params.to_numpy() + 0.05, args=(DATA.y, x, z), method="BFGS")
    assert both.converged and both.llf == pytest.approx(-best.fun, rel=1e-10)
    np.testing.assert_allclose(both.params, best.x, atol=1e-4)
    assert list(both.params.index) == [
        ("mean", "Intercept"), ("mean", "x"), ("dispersion", "Intercept"), ("dispersion", "z")
    ]  # fmt: skip
    step, b = 1e-4, both.params.to_numpy()
    hessian = np.empty((4, 4))
    for i, j in np.ndindex(4, 4):
        ends = [
            nb_nll(b + step * (s * np.eye(4)[i] + t * np.eye(4)[j]), DATA.y, x, z) for s in (1, -1) for t in (1, -1)
        ]
        hessian[i, j] = (ends[0] - ends[1] - ends[2] + ends[3]) / (4 * step**2)
    np.testing.assert_allclose(both.bse, np.sqrt(np.diag(np.linalg.inv(hessian))), rtol=1e-5)


def test_expected_information_has_no_cross_block(both):
    cov = both.with_cov(information="expected").cov_params()
    assert np.all(cov.loc["mean", "dispersion"] == 0)
    assert np.all(both.cov_params().loc["mean", "dispersion"] != 0)


def test_tables_and_predictions_by_predictor(both):
    assert {"predictor", "term"} <= set(both.tidy().columns)
    text = str(both.summary())
    assert "dispersion: z" in text and "mean: y ~ x; dispersion: ~ z" in text
    new = DATA.head(3)
    eta = both.params["dispersion", "Intercept"] + both.params["dispersion", "z"] * new.z
    np.testing.assert_allclose(both.predict(new, which="dispersion"), eta, rtol=1e-12)
    frame = both.get_prediction(new, which="dispersion").summary_frame()
    cov = both.cov_params().loc["dispersion", "dispersion"].to_numpy()
    se = np.sqrt([np.array([1, z]) @ cov @ np.array([1, z]) for z in new.z])
    np.testing.assert_allclose(frame["mean_se"], se, rtol=1e-10)
    np.testing.assert_allclose(frame["mean_ci_upper"], eta + stats.norm.ppf(0.975) * se, rtol=1e-10)
    np.testing.assert_allclose(both.predict(new), np.exp(both.predict(new, which="linear")), rtol=1e-12)
    with pytest.raises(jg.InputError, match="'mean' or 'linear' or 'dispersion'"):
        both.predict(new, which="alpha")


def test_null_deviance_keeps_the_dispersion_of_each_row(both):
    alpha = np.exp(both.predict(DATA, which="dispersion")).to_numpy()
    y = DATA.y.to_numpy()

    def deviance(mu):
        log_ratio = np.where(y > 0, y * np.log(np.maximum(y, 1e-300) / mu), 0.0)
        return 2 * np.sum(log_ratio - (y + 1 / alpha) * np.log((1 + alpha * y) / (1 + alpha * mu)))

    best = optimize.minimize_scalar(lambda e: deviance(np.exp(e)), (0.0, 2.0), tol=1e-12)
    assert both.null_deviance == pytest.approx(best.fun, rel=1e-9)
    assert both.deviance == pytest.approx(deviance(both.predict(DATA).to_numpy()), rel=1e-10)


def test_a_constant_dispersion_is_log_alpha():
    plain = jg.glm("y ~ x + f", DATA, family="negative_binomial")
    named = jg.glm({"mean": "y ~ x + f"}, DATA, family="negative_binomial")
    assert named.params["dispersion", "Intercept"] == pytest.approx(np.log(plain.params["alpha"]), rel=1e-9)
    assert plain.bse["alpha"] == pytest.approx(plain.params["alpha"] * named.bse["dispersion", "Intercept"], rel=1e-9)
    np.testing.assert_allclose(plain.conf_int().loc["alpha"], np.exp(named.conf_int().loc["dispersion"].iloc[0]))
    assert np.isnan(plain.pvalues["alpha"]) and np.isnan(plain.tvalues["alpha"])
    assert plain.df_resid == N - 4 and plain.fit.n_parameters == 5
    ratios = plain.tidy(conf_int=True, exponentiate=True).set_index("term")
    assert ratios.loc["alpha", "estimate"] == plain.params["alpha"]
    assert ratios.loc["x", "estimate"] == pytest.approx(np.exp(plain.params["x"]))


def test_arrays_and_frames_agree_and_start_is_on_the_scale_of_params():
    plain = jg.glm("y ~ x", DATA, family="negative_binomial")
    arrays = jg.fit(DATA[["x"]], DATA.y, family=jg.NegativeBinomial())
    started = jg.fit(DATA[["x"]], DATA.y, family=jg.NegativeBinomial(), start=plain.params.to_numpy() * 1.1)
    for res in (arrays, started):
        np.testing.assert_allclose(res.params, plain.params, rtol=1e-8)
    assert started.n_passes["newton"] < plain.n_passes["newton"]
    with pytest.raises(jg.InputError, match="alpha"):
        jg.fit(DATA[["x"]], DATA.y, family=jg.NegativeBinomial(), start=[1.0, 0.0, -1.0])


def test_offset_exposure_and_weights_enter_the_joint_fit():
    exposure = rng.uniform(0.5, 2.0, N)
    res = jg.glm("y ~ x", DATA, family="negative_binomial", exposure=exposure)
    named = jg.glm("y ~ x + offset(log(e))", DATA.assign(e=exposure), family="negative_binomial")
    np.testing.assert_allclose(res.params, named.params, rtol=1e-10)
    count = np.arange(N) % 3
    weighted = jg.glm("y ~ x", DATA, family="negative_binomial", freq_weights=count)
    repeated = jg.glm("y ~ x", DATA.loc[np.repeat(DATA.index, count)], family="negative_binomial")
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-8)
    np.testing.assert_allclose(weighted.bse, repeated.bse, rtol=1e-7)
    assert weighted.null_deviance == pytest.approx(repeated.null_deviance, rel=1e-9)


@pytest.mark.parametrize("formula", ["even ~ x", {"mean": "even ~ x", "dispersion": "~ z"}])
def test_counts_that_vary_less_than_poisson(formula):
    """alpha = 0 is the maximum: the fit is Poisson's and says so."""
    with pytest.warns(jg.DataWarning, match="vary no more than Poisson"):
        res = jg.glm(formula, DATA, family="negative_binomial")
    poisson = jg.glm("even ~ x", DATA, family="poisson")
    assert res.status is jg.Status.NO_OVERDISPERSION and res.converged
    np.testing.assert_allclose(res.params.iloc[:2], poisson.params, rtol=1e-9)
    np.testing.assert_allclose(res.bse.iloc[:2], poisson.bse, rtol=1e-7)
    assert res.bse.iloc[2:].isna().all()
    assert res.llf == pytest.approx(poisson.llf, rel=1e-12)
    assert res.null_deviance == pytest.approx(poisson.null_deviance, rel=1e-10)
    if isinstance(formula, str):
        assert res.params["alpha"] == 0.0
    assert "NO_OVERDISPERSION" in str(res.summary())
    assert np.isfinite(res.get_prediction(DATA.head(2)).summary_frame().to_numpy()).all()


def test_rows_missing_in_either_formula_are_left_out_of_both():
    data = DATA.copy()
    data.loc[3, "z"], data.loc[5, "x"] = np.nan, np.nan
    res = jg.glm(BOTH, data, family=jg.NegativeBinomial())
    want = jg.glm(BOTH, DATA.drop(index=[3, 5]), family=jg.NegativeBinomial())
    assert res.nobs == N - 2 and "2 rows with missing values dropped: x (1), z (1)" in str(res.summary())
    np.testing.assert_allclose(res.params, want.params, rtol=1e-10)
    made = res.predict(data.head(6))
    assert made.isna().to_list() == [False, False, False, True, False, True]


def test_two_formulas_on_a_stream():
    want = jg.glm(BOTH, DATA, family=jg.NegativeBinomial())
    res = jg.glm(BOTH, lambda: (DATA.iloc[i : i + 150] for i in range(0, N, 150)), family=jg.NegativeBinomial())
    np.testing.assert_allclose(res.params, want.params, rtol=1e-8)
    np.testing.assert_allclose(res.bse, want.bse, rtol=1e-7)
