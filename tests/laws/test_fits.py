"""What must hold for every fit, whatever the data."""

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

#: Two solves of one problem stop within tol of the optimum, and the last step squares that.
SAME = 1e-9
#: Standard errors come from the information one step before the end, good to the square root of that.
SAME_SE = 1e-7
N = 60

rng = np.random.default_rng(21)
X = rng.normal(size=(N, 2))
ETA = 0.4 + 0.5 * X[:, 0] - 0.3 * X[:, 1]
#: name: (family, link, y)
FAMILIES = {
    "gaussian": ("gaussian", None, ETA + rng.normal(size=N)),
    "binomial": ("binomial", None, (rng.random(N) < 1 / (1 + np.exp(-ETA))) * 1.0),
    "poisson": ("poisson", None, rng.poisson(np.exp(ETA)) * 1.0),
    "gamma": ("gamma", "log", rng.gamma(2.0, np.exp(ETA) / 2)),
    "inverse_gaussian": ("inverse_gaussian", "log", rng.wald(np.exp(ETA), 3.0)),
    "negative_binomial": (
        "negative_binomial",
        None,
        np.random.default_rng(22).negative_binomial(1.2, 1.2 / (1.2 + np.exp(ETA + 1))) * 1.0,
    ),
}
#: Two predictors take the longest to compile, and their unit tests know more of them.
ONE_PREDICTOR = [name for name in FAMILIES if name != "negative_binomial"]
COUNTS = np.tile([1.0, 2.0, 3.0, 2.0, 1.0], N // 5)
WEIGHTS = rng.uniform(0.5, 2.0, N)
FIGURES = ("deviance", "null_deviance", "pearson_chi2", "scale", "llf", "aic", "bic", "nobs", "df_resid", "df_model")


def fit(name, x=X, y=None, **options):
    family, link, values = FAMILIES[name]
    return jg.fit(x, values if y is None else y, family, link=link, **options)


def same(a, b, figures=FIGURES, coefficients=("params", "bse", "tvalues")):
    """Both results hold the same numbers."""
    for figure in coefficients:
        np.testing.assert_allclose(getattr(a, figure), getattr(b, figure), rtol=SAME_SE, atol=SAME, err_msg=figure)
    for figure in figures:
        np.testing.assert_allclose(getattr(a, figure), getattr(b, figure), rtol=SAME, err_msg=figure)


@pytest.mark.parametrize("name", ONE_PREDICTOR)
def test_frequency_weights_are_repeated_rows(name):
    many = np.repeat(np.arange(N), COUNTS.astype(int))
    weighted = fit(name, freq_weights=COUNTS)
    repeated = fit(name, X[many], FAMILIES[name][2][many])
    same(weighted, repeated)
    np.testing.assert_allclose(weighted.pvalues, repeated.pvalues, rtol=SAME_SE)
    np.testing.assert_allclose(weighted.resid("pearson").to_numpy()[many], repeated.resid("pearson"), rtol=SAME_SE)
    pred, want = (r.get_prediction(X[:5]).summary_frame() for r in (weighted, repeated))
    np.testing.assert_allclose(pred, want, rtol=SAME_SE)


@pytest.mark.parametrize("kind", ["freq_weights", "var_weights", "prob_weights"])
@pytest.mark.parametrize("name", ["poisson", "gamma"])
def test_weight_zero_is_an_absent_row(name, kind):
    gone = np.arange(N) % 7 == 3
    weights = np.where(gone, 0.0, COUNTS)
    # What stands in a row without weight must not matter.
    x, y = X.copy(), FAMILIES[name][2].copy()
    x[gone], y[gone] = 1e6, -5.0
    with_zeros = fit(name, x, y, **{kind: weights})
    without = fit(name, X[~gone], FAMILIES[name][2][~gone], **{kind: COUNTS[~gone]})
    same(with_zeros, without)
    assert len(with_zeros.fittedvalues) == (~gone).sum()
    assert "rows with weight 0 left out" in str(with_zeros.summary())


@pytest.mark.parametrize("name", ONE_PREDICTOR)
def test_scaling_variance_weights_leaves_coefficients(name):
    one, seven = fit(name, var_weights=WEIGHTS), fit(name, var_weights=7.0 * WEIGHTS)
    np.testing.assert_allclose(seven.params, one.params, rtol=SAME_SE)
    known = name in ("binomial", "poisson")
    np.testing.assert_allclose(seven.bse * (np.sqrt(7.0) if known else 1.0), one.bse, rtol=SAME_SE)
    assert seven.scale == pytest.approx(one.scale * (1.0 if known else 7.0), rel=SAME)
    assert seven.nobs == one.nobs == N


@pytest.mark.parametrize("name", ONE_PREDICTOR)
def test_row_order_does_not_matter(name):
    order = np.random.default_rng(1).permutation(N)
    one = fit(name, var_weights=WEIGHTS)
    other = fit(name, X[order], FAMILIES[name][2][order], var_weights=WEIGHTS[order])
    same(one, other)
    assert other.n_iter == one.n_iter
    np.testing.assert_allclose(other.resid(), one.resid().to_numpy()[order], rtol=SAME_SE, atol=SAME)


@pytest.mark.parametrize("factor", [1e-6, 37.0, 1e9])
@pytest.mark.parametrize("name", ["gaussian", "gamma"])
def test_the_unit_of_y_does_not_matter(name, factor):
    one, other = fit(name), fit(name, y=factor * FAMILIES[name][2])
    assert other.n_iter == one.n_iter and other.status is one.status
    slopes = slice(1, None) if name == "gamma" else slice(None)
    np.testing.assert_allclose(other.tvalues[slopes], one.tvalues[slopes], rtol=SAME_SE)
    expected = one.params * factor if name == "gaussian" else one.params + [np.log(factor), 0, 0]
    np.testing.assert_allclose(other.params, expected, rtol=SAME_SE)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_unit_of_a_column_does_not_matter(name):
    one, other = fit(name), fit(name, X * [1e8, 1e-8])
    np.testing.assert_allclose(other.tvalues, one.tvalues, rtol=SAME_SE)
    # alpha of the negative binomial, where there is one, stands last.
    np.testing.assert_allclose(other.params * [1, 1e8, 1e-8, 1][: len(one.params)], one.params, rtol=SAME_SE)
    assert other.n_iter == one.n_iter


@pytest.mark.parametrize("name", FAMILIES)
def test_an_offset_shifts_eta(name):
    """An offset of half a column takes half from its coefficient, and changes nothing else but the null model."""
    plain, shifted = fit(name), fit(name, offset=0.5 * X[:, 0])
    np.testing.assert_allclose(
        shifted.params, plain.params - [0, 0.5, 0, 0][: len(plain.params)], rtol=SAME_SE, atol=SAME
    )
    np.testing.assert_allclose(shifted.bse, plain.bse, rtol=SAME_SE)
    np.testing.assert_allclose(shifted.linear_predictor, plain.linear_predictor, rtol=SAME_SE, atol=SAME)
    assert shifted.llf == pytest.approx(plain.llf, rel=SAME)
    assert abs(shifted.null_deviance / plain.null_deviance - 1) > 1e-3


def test_exposure_is_the_log_as_offset():
    same(fit("poisson", exposure=WEIGHTS), fit("poisson", offset=np.log(WEIGHTS)))


def test_an_offset_of_a_gaussian_is_taken_from_y():
    same(fit("gaussian", offset=WEIGHTS), fit("gaussian", y=FAMILIES["gaussian"][2] - WEIGHTS))


def test_three_ways_to_give_trials():
    """Counts, proportions with trials, and one row a trial."""
    trials = np.random.default_rng(2).integers(1, 4, 40)
    wins = np.random.default_rng(3).binomial(trials, 0.4)
    data = pd.DataFrame({"x": X[:40, 0], "win": wins, "lose": trials - wins, "share": wins / trials, "n": trials})
    counts = jg.glm("cbind(win, lose) ~ x", data, family="binomial")
    shares = jg.glm("share ~ x", data, family="binomial", trials="n")
    same(counts, shares)
    rows = np.repeat(np.arange(40), trials)
    single = np.concatenate([[1.0] * w + [0.0] * (n - w) for w, n in zip(wins, trials, strict=True)])
    expanded = jg.fit(X[rows, :1], single, "binomial", names=["x"])
    same(counts, expanded, figures=(), coefficients=("params", "bse", "tvalues"))
    # The data differ, so do deviances; what the model explains is the same.
    gained = [r.null_deviance - r.deviance for r in (counts, expanded)]
    assert gained[0] == pytest.approx(gained[1], rel=1e-8)


@pytest.mark.parametrize("name", ["poisson", "gamma"])
def test_codes_are_dummies(name):
    family, link, y = FAMILIES[name]
    f, g = np.array(list("abcd"))[np.arange(N) % 4], np.array(list("uv"))[np.arange(N) // 3 % 2]
    data = pd.DataFrame({"y": y, "x": X[:, 0], "f": f, "g": g})
    coded = jg.glm("y ~ x + f * g", data, family=family, link=link)
    columns = [
        X[:, 0],
        *((f == v) * 1.0 for v in "bcd"),
        (g == "v") * 1.0,
        *((f == v) * (g == "v") * 1.0 for v in "bcd"),
    ]
    dense = jg.fit(np.column_stack(columns), y, family, link=link, names=coded.params.index[[1, 2, 3, 4, 5, 6, 7, 8]])
    same(coded, dense)


@pytest.mark.parametrize("name", ["binomial", "gamma"])
def test_probability_weights_are_a_sandwich(name):
    """Invariant to the scale of the weights, and equal to B M B n / (n - 1) made by hand."""
    res, scaled = fit(name, prob_weights=WEIGHTS), fit(name, prob_weights=1000.0 * WEIGHTS)
    np.testing.assert_allclose(scaled.cov_params(), res.cov_params(), rtol=1e-7, atol=1e-12)
    assert res.cov_type == "survey" and np.isnan(res.llf) and np.isnan(res.aic)
    columns = np.column_stack([np.ones(N), X])
    mu, y = res.fittedvalues.to_numpy(), FAMILIES[name][2]
    slope_over_variance = np.ones(N) if name == "binomial" else 1 / mu
    score = columns * (WEIGHTS * (y - mu) * slope_over_variance)[:, None]
    fisher = WEIGHTS * (mu * (1 - mu) if name == "binomial" else 1.0)
    bread = np.linalg.inv(columns.T @ (fisher[:, None] * columns))
    sandwich = N / (N - 1) * bread @ score.T @ score @ bread
    np.testing.assert_allclose(res.cov_params(), sandwich, rtol=1e-7, atol=1e-12)
    with_freq = fit(name, var_weights=WEIGHTS)
    np.testing.assert_allclose(res.params, with_freq.params, rtol=SAME_SE)
