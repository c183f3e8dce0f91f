"""Many responses and many candidates by one call: hard ones, tables, mistakes."""

import warnings

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

rng = np.random.default_rng(3)
N = 50
X = rng.normal(size=(N, 2))
Y = rng.poisson(np.exp(0.5 + X @ rng.normal(0, 0.3, (2, 8))))


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jg.JaxglmWarning)
        return function(*args, **kwargs)


def test_hard_responses_change_no_other():
    bad = Y.astype(float)
    bad[4, 1], bad[:, 3], bad[:, 5], bad[7, 6] = -2.0, 0.0, np.nan, np.inf
    with pytest.warns(jg.ConvergenceWarning, match="4 of 8 responses"):
        many = jg.fit_many(X, bad, "poisson")
    good = jg.fit_many(X, Y, "poisson")
    fine = [0, 2, 4, 7]
    np.testing.assert_allclose(many.params.loc[fine], good.params.loc[fine], rtol=1e-9)
    failed = many.failed()
    assert list(failed.index) == [1, 3, 5, 6]
    assert "numbers >= 0" in failed.loc[1, "reason"] and "row 4" in failed.loc[1, "reason"]
    assert many.status[3] == "SEPARATED" and "no complete row" in failed.loc[5, "reason"]
    assert "8 responses" not in str(good.summary()) or "8 of 8 responses fitted, 50 rows" in str(good.summary())
    twice = jg.fit_many(np.column_stack([X, X[:, 0]]), Y, "poisson")
    assert twice.params["x3"].isna().all()
    np.testing.assert_allclose(twice.params[["x1", "x2"]], good.params[["x1", "x2"]], rtol=1e-9)
    with pytest.warns(jg.DataWarning, match="8 of 8 predictions"):
        assert twice.predict([[1.0, 1.0, 0.0]]).isna().all(axis=None)


def test_mistakes_with_responses():
    for wrong, words in (
        (Y[:-1], "X has 50 rows but Y has 49"), (Y[:, 0], r"shape \(50,\).*fit\(\) takes one response"),
        (Y.astype(str), "Y must hold numbers"), (Y[:, :0], "no columns"),
        (pd.DataFrame(Y[:, :2], columns=["a", "a"]), "'a' repeats"),
        (pd.DataFrame({"a": Y[:, 0], "b": ["u"] * N}), "column 'b' of Y does not hold numbers"),
    ):  # fmt: skip
        with pytest.raises((jg.DataError, jg.InputError), match=words):
            jg.fit_many(X, wrong, "poisson")
    with pytest.raises(jg.DataError, match=r"\(50, 8\)"):
        jg.fit_many(X, Y, "poisson", offset=np.zeros((N, 7)))
    with pytest.raises(jg.DataError, match="must be positive.*column 2"):
        jg.fit_many(X, Y, "poisson", exposure=np.where(np.arange(8) == 2, 0.0, np.ones((N, 8))))
    holed = Y.astype(float)
    holed[3, 6] = np.nan
    with pytest.raises(jg.DataError, match="missing in row 3 of response 6"):
        jg.fit_many(X, holed, "poisson", missing="raise")
    with pytest.raises(jg.InputTypeError, match="var_weights"):
        jg.fit_many(X, Y, "poisson", weights=np.ones(N))


COLUMNS = np.column_stack([rng.normal(size=(N, 4)), np.ones(N), X[:, 0] - 2 * X[:, 1]])
HOLED = COLUMNS.copy()
HOLED[[2, 5, 9], 1] = np.nan


@pytest.mark.parametrize(("family", "columns"), [("poisson", HOLED), ("negative_binomial", COLUMNS)])
def test_scores_are_those_of_single_tests(family, columns):
    y = rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(0.5 + X[:, 0] + 0.2 * COLUMNS[:, 0]))).astype(float)
    found = quietly(jg.fit_candidates, y, X, columns, family)
    for j in range(4):
        there = ~np.isnan(columns[:, j])
        null = quietly(jg.fit, X[there], y[there], family)
        test = null.score_test(columns[there, j][:, None])
        assert found.loc[j, "statistic"] == pytest.approx(test.statistic, rel=1e-8)
        assert found.loc[j, "pvalue"] == pytest.approx(test.p_value, rel=1e-7)
        assert found.loc[j, "nobs"] == there.sum()
    assert (found["status"][4:] == "ALIASED").all() and found["pvalue"][4:].isna().all()
    assert "depends on the columns of X" in found.loc[4, "reason"]
    p = found["pvalue"][:4].to_numpy()
    order = np.argsort(p)
    expected = np.minimum.accumulate((p[order] * 4 / np.arange(1, 5))[::-1])[::-1]
    np.testing.assert_allclose(found["pvalue_adjusted"].to_numpy()[order], np.minimum(expected, 1.0), rtol=1e-12)


def test_each_candidate_is_fitted_as_if_alone():
    y = X[:, 0] + 0.4 * COLUMNS[:, 0] + rng.normal(size=N)
    wald = jg.fit_candidates(y, X, HOLED, test="wald")
    ratio = jg.fit_candidates(y, X, HOLED, test="lr")
    for j in range(4):
        there = ~np.isnan(HOLED[:, j])
        small = jg.fit(X[there], y[there])
        large = jg.fit(np.column_stack([X, HOLED[:, j]])[there], y[there])
        assert wald.loc[j, "coef"] == pytest.approx(large.params.iloc[-1], rel=1e-9)
        assert wald.loc[j, "se"] == pytest.approx(large.bse.iloc[-1], rel=1e-9)
        assert wald.loc[j, "pvalue"] == pytest.approx(large.pvalues.iloc[-1], rel=1e-7)
        test = jg.anova(small, large, test="F").iloc[-1]
        assert ratio.loc[j, "statistic"] == pytest.approx(test["statistic"], rel=1e-8)
        assert ratio.loc[j, "pvalue"] == pytest.approx(test["p_value"], rel=1e-7)
    assert (wald["status"][4:] == "ALIASED").all() and wald["coef"][4:].isna().all()


#: R 4.2: p-values of add1(test = "Rao"), of anova() and of summary() for both candidates.
IN_R = {
    "poisson": (
        (0.33882528411127, 0.70796692147329), (0.33845662114252, 0.70795039324166),
        (0.33926157639721, 0.707999928691841),
    ),
    "gamma": (
        (0.54038552176468, 0.80941172175160), (0.56223484661884, 0.823039704496874),
        (0.56660047219103, 0.827198559344823),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_R)
def test_tests_are_those_of_r(name):
    y = np.array([2, 3, 6, 7, 8, 9, 10, 12, 15, 11, 4, 3, 2, 1, 5, 8, 9, 3, 4, 6])
    i = np.arange(1, 21)
    columns = np.column_stack([np.cos(2 * i), i * 7 % 5])
    for test, expected in zip(("score", "lr", "wald"), IN_R[name], strict=True):
        found = jg.fit_candidates(y, np.sin(i)[:, None], columns, name, link="log", test=test)
        # R stops these fits of its own at 1e-8 of the deviance.
        np.testing.assert_allclose(found["pvalue"], expected, rtol=1e-7)


def test_candidates_of_any_type():
    y = Y[:, 0]
    genes = rng.integers(0, 3, (N, 30)).astype(np.int8)
    genes[:, 7] = 1
    found = jg.fit_candidates(y, X, genes, "poisson")
    assert list(found.index[found["status"] == "ALIASED"]) == [7]
    frame = pd.DataFrame(genes.astype(np.float32), columns=[f"s{j}" for j in range(30)])
    again = jg.fit_candidates(y, X, frame, "poisson")
    np.testing.assert_allclose(again["statistic"], found["statistic"], rtol=1e-12)
    assert again.index.equals(frame.columns) and list(found.index) == list(range(30))
    spoiled = genes.astype(float)
    spoiled[3, 4] = np.inf
    judged = jg.fit_candidates(y, X, spoiled, "poisson")
    assert judged.loc[4, "status"] == "UNUSABLE"
    np.testing.assert_allclose(judged["statistic"].drop(4), found["statistic"].drop(4), rtol=1e-12)


def test_mistakes_with_candidates():
    y = Y[:, 0]
    with pytest.raises(jg.InputError, match="test must be"):
        jg.fit_candidates(y, X, COLUMNS, "poisson", test="rao")
    with pytest.raises(jg.DataError, match="candidates has 49"):
        jg.fit_candidates(y, X, COLUMNS[:-1], "poisson")
    with pytest.raises(jg.InputError, match="belongs to test='wald'"):
        jg.fit_candidates(y, X, COLUMNS, "poisson", cov="HC1")
    with pytest.raises(jg.NotAvailableError, match="prob_weights"):
        jg.fit_candidates(y, X, COLUMNS, "poisson", prob_weights=np.ones(N))
    with pytest.raises(jg.DataError, match="candidate 1 has missing values"):
        jg.fit_candidates(y, X, HOLED, "poisson", missing="raise")
