"""R-squared and F of least squares, against R's lm and NIST."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm.results.summary import number, p_text

HERE = Path(__file__).parent
REFERENCE = json.loads((HERE / "lm" / "least_squares.json").read_text())
DATA = pd.DataFrame(REFERENCE["data"])
CASES = REFERENCE["cases"]
FIGURES = ("rsquared", "rsquared_adj", "fvalue", "f_pvalue", "df_model", "df_resid")
#: The promise: agreement with R on well-conditioned data.
RELATIVE = 1e-8
#: NIST gives 15 digits, of which rounding of Filip's columns (powers up to the tenth) leaves eleven.
SHARE = 1e-10


def fit(name, **more):
    case = CASES[name]
    options = {key: case[key] for key in ("var_weights", "freq_weights", "offset") if key in case}
    return jg.glm(case["formula"], DATA, **options, **more)


@pytest.mark.parametrize("name", CASES)
def test_every_figure_agrees_with_r(name):
    res, want = fit(name), CASES[name]["expect"]
    for figure in FIGURES:
        if want[figure] is None:
            assert np.isnan(getattr(res, figure)), figure
        else:
            assert getattr(res, figure) == pytest.approx(want[figure], rel=RELATIVE, abs=1e-300), figure
    assert np.sqrt(res.scale) == pytest.approx(want["sigma"], rel=RELATIVE)
    row = res.glance().iloc[0]
    for figure in FIGURES[:4]:
        np.testing.assert_array_equal(row[figure], getattr(res, figure))


@pytest.mark.parametrize("name", CASES)
def test_the_summary_has_the_line_of_lm(name):
    res = fit(name)
    text = " ".join(str(res.summary()).split())
    sigma = number(np.sqrt(res.scale))
    line = f"Residual standard error {sigma} on {res.df_resid:g} df; R2 {number(res.rsquared)}, adjusted "
    line += number(res.rsquared_adj)
    if np.isnan(res.fvalue):
        assert f"{line}." in text
    else:
        line += f"; F {number(res.fvalue)} on {res.df_model:g} and {res.df_resid:g} df, p = {p_text(res.f_pvalue)}."
        assert line in text.replace("p <", "p = <")
    assert "Residual standard error" in res.summary().as_html()


NIST = [p.stem for p in sorted((HERE / "nist").glob("*.json"))]


@pytest.mark.parametrize("name", NIST)
def test_nist(name):
    case = json.loads((HERE / "nist" / f"{name}.json").read_text())
    data = {k: np.array(v, float) for k, v in case["data"].items()}
    y = data.pop("y")
    x = np.column_stack(list(data.values()))
    if case["degree"]:
        x = np.cumprod(np.tile(x, case["degree"]), axis=1)
    res = jg.fit(x, y)
    assert res.rsquared == pytest.approx(case["certified"]["r_squared"], rel=SHARE)


def test_an_exact_fit_and_no_spread():
    x = np.arange(6.0)
    exact = jg.fit(x[:, None], 2 * x)
    assert exact.rsquared == 1.0 and exact.f_pvalue < 1e-50 and exact.fvalue > 1e20
    constant = jg.fit(x[:, None], np.full(6, 3.0))
    assert np.isnan(constant.rsquared) and np.isnan(constant.rsquared_adj)
    full = jg.fit(x[:2, None], [1.0, 4.0])
    assert full.rsquared == pytest.approx(1.0) and np.isnan(full.rsquared_adj) and np.isnan(full.fvalue)
    for res in (exact, constant, full):
        assert "R2" in str(res.summary())


def test_survey_weights_have_no_f_test():
    res = jg.glm("y ~ x + z", DATA, prob_weights="w")
    plain = fit("weighted")
    assert res.rsquared == pytest.approx(plain.rsquared, rel=RELATIVE)
    with pytest.raises(jg.NotAvailableError, match="F test .*nonrobust.*survey"):
        res.fvalue  # noqa: B018
    assert "fvalue" not in res.glance() and "rsquared" in res.glance()
    assert "R2" in str(res.summary()) and "; F " not in str(res.summary())


@pytest.mark.parametrize(("family", "link"), [("poisson", None), ("gaussian", "log")])
def test_other_models_say_what_to_use(family, link):
    res = jg.fit(DATA[["x"]], DATA["k"], family, link=link)
    for figure in FIGURES[:4]:
        with pytest.raises(jg.NotAvailableError, match=rf"{family} family.*pseudo_rsquared\(\)"):
            getattr(res, figure)
        assert figure not in res.glance()
    assert "Residual standard error" not in str(res.summary())
