"""Checks in words: each finds what it is for, keeps quiet where all is well, and says why where it cannot judge."""

import html
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm.inference.checks import CHECKS, holm, scaled_tails
from jaxglm.inference.gather import quantiles

N = 400
rng = np.random.default_rng(12)
DATA = pd.DataFrame({"x": rng.normal(size=N), "z": rng.uniform(size=N), "f": rng.choice(list("abc"), N)})
DATA["near"] = DATA["x"] + 0.1 * rng.normal(size=N)
DATA["count"] = rng.poisson(np.exp(0.5 + 0.4 * DATA["x"]))
DATA["spread"] = rng.negative_binomial(0.8, 0.8 / (0.8 + np.exp(1 + 0.4 * DATA["x"])))
DATA["few"] = 3 + rng.binomial(2, 0.5, N)
DATA["bent"] = (rng.random(N) < 1 / (1 + np.exp(1 - DATA["x"] ** 2))) * 1
DATA["won"] = (rng.random(N) < 1 / (1 + np.exp(-DATA["x"]))) * 1
DATA["w"] = rng.uniform(0.5, 2.0, N)
NAMES = (
    "convergence", "separation", "boundary", "aliasing", "collinearity", "dispersion", "zero inflation", "calibration",
    "link", "curvature", "influential rows",
)  # fmt: skip


@pytest.fixture(scope="module")
def healthy():
    return jg.glm("count ~ x + z + f", DATA, family="poisson").diagnose()


def test_a_right_model_is_left_alone(healthy):
    assert tuple(f.check for f in healthy.findings) == NAMES and len(CHECKS) == len(NAMES)
    assert healthy.verdict == "ok"
    assert [f.check for f in healthy.findings if f.verdict == "not judged"] == ["calibration"]


def test_every_form_tells_the_same(healthy):
    text, page, frame = str(healthy), healthy.as_html(), healthy.frame()
    assert list(frame.index) == list(NAMES)
    flat = re.sub(r"\s+", " ", text)
    for finding in healthy.findings:
        assert finding.figure in flat and html.escape(finding.figure) in page
        assert frame.loc[finding.check, "verdict"] == finding.verdict
    assert max(map(len, text.split("\n"))) <= 100
    np.testing.assert_array_equal(frame["statistic"], [f.statistic for f in healthy.findings])
    with pytest.raises(KeyError):
        healthy["no such check"]


#: Formula, family, and the check that has to speak with its verdict and some words of the remedy.
FOUND = [
    ("spread ~ x", "poisson", "dispersion", "problem", "negative_binomial"),
    ("spread ~ x", "poisson", "zero inflation", "problem", "More rows are 0"),
    ("few ~ x", "poisson", "dispersion", "problem", "varies less"),
    ("few ~ x", "poisson", "zero inflation", "look", "Fewer rows are 0"),
    ("bent ~ x + z", "binomial", "curvature", "problem", "bend along x"),
    ("won ~ x + near", "binomial", "collinearity", "problem", "can hardly be told"),
]


@pytest.mark.parametrize(("formula", "family", "check", "verdict", "words"), FOUND)
def test_a_wrong_model_is_found_out(formula, family, check, verdict, words):
    finding = jg.glm(formula, DATA, family=family).diagnose()[check]
    assert finding.verdict == verdict and words in finding.remedy


def test_a_wrong_link_is_found_out():
    y = np.exp(1.5 * DATA["x"]) + 0.1 * rng.normal(size=N)
    found = jg.glm("y ~ x", DATA.assign(y=y)).diagnose()
    assert found["link"].verdict == "problem" and found.verdict == "problem"
    assert found["link"].statistic == pytest.approx(found["curvature"].statistic, rel=1e-6)


def test_how_the_fit_ended():
    with pytest.warns(jg.SeparationWarning):
        apart = jg.glm("y ~ x", DATA.assign(y=(DATA["x"] > 0) * 1), family="binomial").diagnose()
    assert apart["separation"].verdict == "problem" and "x (+inf)" in apart["separation"].figure
    assert {apart[name].verdict for name in NAMES[5:]} == {"not judged"}
    with pytest.warns(jg.ConvergenceWarning):
        stopped = jg.glm("count ~ x", DATA, family="poisson", max_iter=1).diagnose()
    assert stopped["convergence"].verdict == "problem"
    with pytest.warns(jg.DataWarning):
        at_end = jg.glm("few ~ x", DATA, family="negative_binomial").diagnose()
    assert at_end["boundary"].verdict == "look" and "alpha" in at_end["boundary"].figure
    with pytest.warns(jg.AliasWarning):
        twice = jg.glm("count ~ x + I(2 * x)", DATA, family="poisson").diagnose()
    assert twice["aliasing"].verdict == "look" and "I(2 * x) = 2 * x" in twice["aliasing"].figure


def test_rows_are_named_by_their_labels():
    data = DATA.set_index(pd.Index([f"row{i}" for i in range(N)]))
    data.loc["row7", ["x", "count"]] = [6.0, 0]
    found = jg.glm("count ~ x", data, family="poisson").diagnose()
    finding = found["influential rows"]
    assert finding.verdict == "problem" and found.frame().loc["influential rows", "rows"][0] == "row7"
    assert "row7" in str(found) and "row7" in found.as_html()


def test_why_something_is_not_judged():
    def reasons(**options):
        found = jg.glm("won ~ x + z", DATA, family="binomial", **options).diagnose()
        return {f.check: f.remedy for f in found.findings if f.verdict == "not judged"}

    plain, lean = reasons(), reasons(keep_data=False)
    assert set(plain) == {"dispersion", "zero inflation"} and "0/1" in plain["dispersion"]
    assert set(lean) == set(NAMES[5:]) and all("keep_data" in v for v in lean.values())
    assert (
        "prob_weights" in reasons(prob_weights="w")["link"] and "prob_weights" in reasons(prob_weights="w")["curvature"]
    )
    assert "var_weights" in reasons(var_weights="w")["calibration"]
    quasi = jg.glm("count ~ x", DATA, family="quasipoisson").diagnose()
    assert "estimates it" in quasi["dispersion"].remedy and quasi["collinearity"].verdict == "not judged"
    exact = jg.glm("y ~ x + z", DATA.assign(y=2 * DATA["x"] - DATA["z"])).diagnose()
    assert "exactly" in exact["link"].remedy


def test_arrays_have_the_checks_of_the_formula():
    by_formula = jg.glm("won ~ x + z", DATA, family="binomial").diagnose().frame()
    by_array = jg.fit(DATA[["x", "z"]], DATA["won"], "binomial").diagnose().frame()
    pd.testing.assert_frame_equal(by_formula, by_array)


@pytest.mark.parametrize("make", [lambda r, n: r.poisson(0.05, n), lambda r, n: r.poisson(20.0, n)])
def test_dispersion_keeps_its_level(make):
    """Among counts that are nearly all 0 a plain chi-squared test would raise a false alarm in every other sample."""
    found = []
    for seed in range(40):
        r = np.random.default_rng(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            res = jg.fit(r.normal(size=(150, 1)), make(r, 150), "poisson")
        found.append(res.diagnose()["dispersion"].p_value)
    assert np.mean(np.array(found) < 0.05) <= 0.15


def test_tails_and_adjustments():
    from scipy import stats

    over, under = scaled_tails(31.0, 20.0, 40.0)
    assert over == pytest.approx(stats.chi2(20).sf(31.0)) and under == pytest.approx(stats.chi2(20).cdf(31.0))
    np.testing.assert_allclose(holm(np.array([0.04, 0.001, 0.03])), [0.06, 0.003, 0.06])
    values, freq = np.array([3.0, 1.0, 2.0]), np.array([2.0, 1.0, 3.0])
    shares = np.linspace(0, 1, 11)
    want = np.quantile(np.repeat(values, freq.astype(int)), shares)
    np.testing.assert_allclose(quantiles(values, freq, shares), want, rtol=1e-12)
