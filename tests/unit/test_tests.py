"""Tests of hypotheses against R: anova, drop1, car, lmtest; see tests/reference/make_tests.R."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

ROOT = Path(__file__).parents[1] / "reference"
REFERENCE = json.loads((ROOT / "inference/tests/tests.json").read_text())
CASES = REFERENCE["cases"]
NB = REFERENCE["negative_binomial"]
#: Fits stop within 1e-8 standard errors and R's within 1e-14 of the deviance: differences of deviances have 9 digits.
SAME = 1e-7
#: R's score statistics take the weights of the iteration before the last one.
SAME_RAO = 1e-6
#: R's glm.nb stops alternating when theta changes little; twice the log-likelihood is flat there.
SAME_NB = 1e-6
_DATA = {}


def frame(name):
    if name not in _DATA:
        _DATA[name] = pd.read_csv(ROOT / "shared/data" / f"{name}.csv")
        for column in {"type", "year", "period"} & set(_DATA[name]):
            _DATA[name][column] = _DATA[name][column].astype(str)
    return _DATA[name]


def fit(case, formula):
    options = {k: case[k] for k in ("offset", "var_weights", "link") if case.get(k)}
    return jg.glm(formula, frame(case["data"]), family=case["family"], **options)


@pytest.fixture(scope="module", params=CASES)
def pair(request):
    case = CASES[request.param]
    return case, fit(case, case["small"]), fit(case, case["formula"])


def same(ours, theirs, rtol=SAME):
    """A table's columns, where R has them."""
    for column in ("df", "deviance", "df_resid", "resid_deviance", "aic", "statistic", "p_value"):
        if column in theirs and column in ours and any(v is not None for v in theirs[column]):
            want = np.array(theirs[column], float)
            # A p-value far out changes by many times the relative change of its statistic.
            loose = {"rtol": 10 * rtol, "atol": 1e-12} if column == "p_value" else {"rtol": rtol, "atol": 1e-13}
            np.testing.assert_allclose(ours[column].to_numpy(), want, **loose, err_msg=column)


def one(test, theirs, rtol=SAME):
    assert test.df == theirs["df"]
    assert test.statistic == pytest.approx(theirs["statistic"], rel=rtol)
    assert test.p_value == pytest.approx(theirs["p_value"], rel=10 * rtol, abs=1e-15)


def test_tables_are_those_of_r(pair):
    case, small, large = pair
    for test, tables in case["tables"].items():
        rtol = SAME_RAO if test == "Rao" else SAME
        same(large.anova(test=test), tables["anova"], rtol)
        dropped = large.drop1(test=test)
        theirs = dict(tables["drop1"])
        np.testing.assert_allclose(dropped["resid_deviance"], theirs.pop("deviance"), rtol=1e-9)
        same(dropped, theirs, rtol)
        same(jg.anova(small, large, test=test), tables["compare"], rtol)
        if "type2" in tables:
            theirs = dict(tables["type2"])
            same(large.anova(type=2, test=test), theirs)
    default = "Chisq" if large.fit.model.family.dispersion_known else "F"
    pd.testing.assert_frame_equal(large.anova(), large.anova(test=default))


def test_single_tests_are_those_of_r(pair):
    case, small, large = pair
    one(large.wald_test(case["hypothesis"], test="Chisq"), case["wald"]["Chisq"])
    if not large.fit.model.family.dispersion_known:
        one(large.wald_test(case["hypothesis"]), case["wald"]["F"])
    if case["lr"]:
        one(large.lr_test(small), case["lr"])
        one(small.lr_test(large), case["lr"])
    else:
        with pytest.raises(jg.NotAvailableError, match="no likelihood.*test='F'"):
            large.lr_test(small)
    one(small.score_test(case["added"]), case["score"], SAME_RAO)
