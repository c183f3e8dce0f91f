"""Tables, texts and pictures of a result hold its numbers."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxglm as jg
from jaxglm.results.summary import number

#: The same float64 formula by another way.
SAME = 1e-12
N = 60
rng = np.random.default_rng(61)
DATA = pd.DataFrame({"x": rng.normal(size=N), "z": rng.uniform(size=N), "f": np.array(list("abc") * 20, dtype=object)})
DATA["won"] = (rng.random(N) < 1 / (1 + np.exp(-DATA["x"]))) * 1.0
DATA["y"] = rng.gamma(2.0, np.exp(0.3 * DATA["x"]) / 2)


@pytest.fixture(scope="module")
def logit():
    return jg.glm("won ~ x + f", DATA, family="binomial")


@pytest.fixture(scope="module")
def gamma():
    return jg.glm("y ~ x + f", DATA, family="gamma", link="log")


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_intervals_and_tests(logit, gamma, alpha):
    for res, law in ((logit, stats.norm), (gamma, stats.t(gamma.df_resid))):
        half = law.ppf(1 - alpha / 2) * res.bse
        np.testing.assert_allclose(
            res.conf_int(alpha), np.column_stack([res.params - half, res.params + half]), rtol=SAME
        )
        np.testing.assert_allclose(res.pvalues, 2 * law.sf(np.abs(res.tvalues)), rtol=1e-10)
        np.testing.assert_allclose(res.tvalues, res.params / res.bse, rtol=SAME)
        np.testing.assert_allclose(np.sqrt(np.diag(res.cov_params())), res.bse, rtol=SAME)


def test_use_t_changes_the_law_alone(gamma):
    normal = jg.glm("y ~ x + f", DATA, family="gamma", link="log", use_t=False)
    np.testing.assert_allclose(normal.bse, gamma.bse, rtol=SAME)
    np.testing.assert_allclose(normal.pvalues, 2 * stats.norm.sf(np.abs(gamma.tvalues)), rtol=1e-10)


def test_tidy(logit):
    table = logit.tidy(conf_int=True)
    assert list(table.columns) == ["term", "estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]
    assert list(table["term"]) == ["Intercept", "x", "f[T.b]", "f[T.c]"]
    for column, values in (("estimate", logit.params), ("std_error", logit.bse), ("statistic", logit.tvalues),
                           ("p_value", logit.pvalues), ("conf_low", logit.conf_int()["lower"])):  # fmt: skip
        np.testing.assert_allclose(table[column], values, rtol=SAME)
    ratios = logit.tidy(conf_int=True, exponentiate=True)
    for column in ("estimate", "conf_low", "conf_high"):
        np.testing.assert_allclose(ratios[column], np.exp(table[column]), rtol=SAME)
    np.testing.assert_allclose(ratios["std_error"], np.exp(logit.params) * logit.bse, rtol=SAME)
    np.testing.assert_allclose(ratios["p_value"], table["p_value"], rtol=SAME)
    assert list(logit.tidy().columns) == list(table.columns[:5])


def test_glance(gamma):
    row = gamma.glance().iloc[0]
    for name in ("null_deviance", "llf", "aic", "bic", "deviance", "df_resid", "nobs", "scale"):
        assert row[name] == pytest.approx(getattr(gamma, name), rel=SAME)
    assert (row["df_null"], row["status"]) == (N - 1, "CONVERGED")


def test_augment(gamma):
    made = gamma.augment(DATA)
    assert list(made.columns[: DATA.shape[1]]) == list(DATA.columns)
    np.testing.assert_allclose(made[".fitted"], gamma.fittedvalues, rtol=SAME)
    np.testing.assert_allclose(np.log(made[".fitted"]), made[".eta"], rtol=1e-10, atol=SAME)
    np.testing.assert_allclose(made[".resid"], gamma.resid("deviance"), rtol=SAME)
    np.testing.assert_allclose(made[".resid_pearson"], (DATA["y"] - made[".fitted"]) / made[".fitted"], rtol=1e-10)
    np.testing.assert_allclose(made[".se_fit"], gamma.get_prediction(DATA).summary_frame()["mean_se"], rtol=1e-10)


def test_pseudo_rsquared(logit, gamma):
    assert gamma.pseudo_rsquared() == pytest.approx(1 - gamma.deviance / gamma.null_deviance, rel=SAME)
    llf, null = logit.llf, logit.llf - (logit.null_deviance - logit.deviance) / 2
    cox_snell = 1 - np.exp(2 * (null - llf) / N)
    assert logit.pseudo_rsquared("cox_snell") == pytest.approx(cox_snell, rel=1e-10)
    assert logit.pseudo_rsquared("nagelkerke") == pytest.approx(cox_snell / (1 - np.exp(2 * null / N)), rel=1e-10)


def test_summary_shows_every_figure(logit, gamma):
    for res in (logit, gamma):
        text, page = str(res.summary()), res.summary().as_html()
        assert res._repr_html_() == page and repr(res) == text
        table = res.tidy(conf_int=True)
        figures = [res.llf, res.aic, res.bic, res.deviance, res.null_deviance, res.pearson_chi2, res.scale]
        figures += [v for column in ("estimate", "std_error", "conf_low", "conf_high") for v in table[column]]
        shown = [number(v) for v in figures] + [f"{v:.3f}" for v in table["statistic"]] + list(table["term"])
        for figure in [*shown, f"{N}", f"{N - 4}", res.fit.model.family.name, res.labels.formula, "converged"]:
            assert figure in text
            assert figure in page
        assert len(max(text.splitlines(), key=len)) <= 100
        assert page.count("<table") == page.count("</table>") == 2
        more, quantiles = res.summary(residuals=True), np.quantile(res.resid("deviance"), [0, 0.25, 0.5, 0.75, 1])
        assert all(number(v) in str(more) and number(v) in more.as_html() for v in quantiles)
        assert "Deviance residuals" in str(more) and "Deviance residuals" not in text
    assert "t and p" not in str(gamma.summary()) and "Student t with 56 degrees" in str(gamma.summary())
    assert "P>|z|" in str(logit.summary()) and "P>|t|" in str(gamma.summary())


def test_summary_of_ratios(logit, gamma):
    """The label says which ratio; values are those of tidy."""
    for res, label in ((logit, "Odds ratio"), (gamma, "Ratio of means")):
        text = str(res.summary(exponentiate=True))
        assert label in text and "test a ratio of 1" in text
        for value in res.tidy(exponentiate=True)["estimate"]:
            assert number(value) in text
    wide = str(logit.summary(alpha=0.2))
    assert "[0.1" in wide and "0.9]" in wide and number(logit.conf_int(0.2).iloc[1, 0]) in wide


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1234.5678, "1234.6"), (-0.00123456, "-0.0012346"), (1.23456e-5, "1.2346e-05"),
                        (np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (2.5e9, "2.5000e+09")]
)  # fmt: skip
def test_numbers_in_text(value, text):
    assert number(value) == text


def test_html_is_escaped():
    data = DATA.rename(columns={"x": "a<b"})
    page = jg.glm("won ~ `a<b`", data, family="binomial").summary().as_html()
    assert "a&lt;b" in page and "a<b" not in re.sub(r"&lt;", "", page)


def test_another_covariance_is_another_result(gamma):
    observed = gamma.with_cov("nonrobust", information="observed")
    assert (gamma.information, observed.information) == ("expected", "observed")
    assert np.max(np.abs(observed.bse / gamma.bse - 1)) > 1e-3
    back = observed.with_cov("nonrobust", information="expected")
    np.testing.assert_allclose(back.bse, gamma.bse, rtol=SAME)
    direct = jg.glm("y ~ x + f", DATA, family="gamma", link="log", information="observed")
    np.testing.assert_allclose(direct.bse, observed.bse, rtol=1e-8)
    assert "observed information" in str(observed.summary())


def test_predictions_without_data_are_those_of_the_fit(gamma):
    np.testing.assert_allclose(gamma.predict(), gamma.fittedvalues, rtol=SAME)
    np.testing.assert_allclose(gamma.predict(DATA), gamma.fittedvalues, rtol=1e-10)
    mean, eta = gamma.get_prediction(DATA.iloc[:5]), gamma.get_prediction(DATA.iloc[:5], which="linear")
    np.testing.assert_allclose(np.exp(eta.conf_int(0.1)), mean.conf_int(0.1), rtol=1e-10)
    half = stats.t(gamma.df_resid).ppf(0.95) * eta.se
    np.testing.assert_allclose(eta.conf_int(0.1)[:, 1] - eta.predicted, half, rtol=1e-10)


def test_a_picture_of_a_number(logit):
    ax = logit.plot.effect("x", at={"f": "b"})
    grid, mean = ax.lines[0].get_data()
    assert (grid.min(), grid.max()) == (DATA["x"].min(), DATA["x"].max())
    frame = pd.DataFrame({"x": grid, "f": "b"})
    want = logit.get_prediction(frame).summary_frame()
    np.testing.assert_allclose(mean, want["mean"], rtol=1e-10)
    band = ax.collections[-1].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(want["mean_ci_lower"].min(), rel=1e-9)
    assert band.max() == pytest.approx(want["mean_ci_upper"].max(), rel=1e-9)
    assert ax.get_xlabel() == "x" and "won" in ax.get_ylabel() and "f = b" in ax.get_title(loc="left")


def test_a_picture_of_a_factor(gamma):
    ax = gamma.plot.effect("f", points=False)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    want = gamma.get_prediction(pd.DataFrame({"x": DATA["x"].mean(), "f": list("abc")})).summary_frame()
    container = ax.containers[0]
    np.testing.assert_allclose(container.lines[0].get_ydata().astype(float), want["mean"], rtol=1e-10)
    bars = np.array([segment[:, 1] for segment in container.lines[2][0].get_segments()])
    np.testing.assert_allclose(bars, want[["mean_ci_lower", "mean_ci_upper"]], rtol=1e-9)


def test_a_picture_on_given_axes(logit):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert logit.plot.effect("x", ax=ax) is ax
    assert len(ax.collections) == 2 and len(ax.collections[0].get_offsets()) == N
