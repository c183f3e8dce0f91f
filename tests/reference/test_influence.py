"""Influence measures and checks against R (make_influence.R)."""

import json
from pathlib import Path

import cases
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

HERE = Path(__file__).parent
REFERENCE = json.loads((HERE / "inference" / "influence" / "influence.json").read_text())
FILES = {
    "small": "r/data/small.csv", "quine": "r/data/quine.csv", "snails": "shared/data/snails.csv",
    "swisslabor": "shared/data/swisslabor.csv",
}  # fmt: skip
DATA = {name: pd.read_csv(HERE / path) for name, path in FILES.items()}
INFLUENCE, CHECKS = REFERENCE["influence"], REFERENCE["checks"]
MEASURES = (
    "hat", "cooks_distance", "resid_studentized", "resid_standardized", "resid_standardized_pearson", "dffits",
    "covariance_ratio",
)  # fmt: skip
#: The promise: agreement with R on well-conditioned data. Residuals near 0 have fewer relative digits.
RELATIVE, ABSOLUTE = 1e-8, 1e-10
#: p-values of large statistics magnify an error of the statistic.
P_RELATIVE = 1e-7


def fit(case):
    return jg.glm(case["formula"], DATA[case["data"]], family=case["family"], **(case["options"] or {}))


@pytest.mark.parametrize("name", INFLUENCE)
def test_measures_agree_with_r(name):
    case = INFLUENCE[name]
    res, want = fit(case), case["expect"]
    frame = res.influence().frame().iloc[want["rows"]]
    for measure in MEASURES:
        # R writes NaN where a row has leverage 1.
        theirs = [None if v == "NaN" else v for v in want[measure]]
        unknown = [v is None for v in theirs]
        assert cases.close(frame[measure], theirs, RELATIVE, ABSOLUTE) < 1, measure
        np.testing.assert_array_equal(frame[measure].isna(), unknown, err_msg=measure)
    dfbetas = res.influence().dfbetas.iloc[want["rows"]].to_numpy()
    theirs = np.array(want["dfbetas"], float)
    dfbetas = dfbetas[:, : theirs.shape[1]]
    # With a decreasing link R takes the sign of y - mu for that of the change.
    turned = -1.0 if name == "gamma inverse" else 1.0
    alone = np.isnan(dfbetas).all(axis=1)
    np.testing.assert_array_equal(np.where(alone[:, None], 0.0, theirs), theirs)
    np.testing.assert_allclose(dfbetas[~alone], turned * theirs[~alone], rtol=RELATIVE, atol=ABSOLUTE)
    assert alone.sum() == (name == "one row alone")


#: Cases that have what the new references lack: aliased columns, frequency weights, further links and families.
MORE = ["alias_middle", "freqweights_gamma", "freqweights_binomial", "link_gaussian_log", "tweedie_15"]


@pytest.mark.parametrize("name", MORE)
def test_measures_agree_with_the_other_references(name):
    case = cases.CASES[name]
    expect, frame = case["expect"], cases.fit(case).influence().frame()
    frame = frame.loc[expect.get("rows", list(range(10)))]
    for ours, theirs in (
        ("hat", "hat"), ("cooks_distance", "cooks_distance"), ("resid_standardized", "std_deviance_residuals"),
        ("resid_standardized_pearson", "std_pearson_residuals"),
    ):  # fmt: skip
        assert cases.close(frame[ours], expect[theirs], RELATIVE, ABSOLUTE) < 1, ours


@pytest.mark.parametrize("case", CHECKS, ids=lambda c: f"{c['data']} {c['family']} {c.get('link_name', '')}")
def test_checks_agree_with_r(case):
    res = jg.glm(case["formula"], DATA[case["data"]], family=case["family"], link=case.get("link_name"))
    found = res.diagnose()
    seen = {}
    if want := case.get("dispersion"):
        finding = found["dispersion"]
        seen["ratio"] = (finding.statistic, want["ratio"], RELATIVE)
        seen["over"] = (finding.numbers["p_over"], want["over"], P_RELATIVE)
        seen["under"] = (finding.numbers["p_under"], want["under"], P_RELATIVE)
    if want := case.get("zeros"):
        finding = found["zero inflation"]
        assert finding.numbers["observed"] == want["observed"]
        seen["expected"] = (finding.numbers["expected"], want["expected"], RELATIVE)
        seen["z"], seen["p"] = (finding.statistic, want["z"], RELATIVE), (finding.p_value, want["p"], P_RELATIVE)
    if want := case.get("hosmer"):
        finding = found["calibration"]
        assert finding.numbers["df"] == want["df"]
        seen["hosmer"] = (finding.statistic, want["statistic"], RELATIVE)
        seen["hosmer p"] = (finding.p_value, want["p"], P_RELATIVE)
    if want := case.get("vif"):
        for term, adjusted in zip(want["terms"], want["adjusted"], strict=True):
            seen[f"vif {term}"] = (found["collinearity"].numbers[term], adjusted, RELATIVE)
    if want := case.get("curvature"):
        seen["curvature"] = (found["curvature"].statistic, max(want), RELATIVE)
    seen["link"] = (found["link"].statistic, case["link"]["statistic"], RELATIVE)
    for name, (ours, theirs, tolerance) in seen.items():
        assert ours == pytest.approx(theirs, rel=tolerance, abs=1e-300), name
