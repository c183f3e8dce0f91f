"""Profile limits are the roots that R finds on constrained fits."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

HERE = Path(__file__).parents[1] / "reference"
CASES = json.loads((HERE / "inference/profile/cases.json").read_text())["cases"]
#: Roots in R end at 1e-13, of deviances that glm.fit gives to about 1e-13 of themselves; ours at about 1e-9.
ROOT = 1e-7
#: optimize() of R finds theta to 1e-9 at the most, hence the likelihood to 1e-12 or so.
NESTED = 1e-6
#: Splines of MASS through ten points.
SPLINES = 2e-3


def fitted(case, **more):
    data = pd.read_csv(HERE / case["data"])
    weights = case.get("var_weights")
    return jg.glm(case["formula_py"], data, family=case["family"], link=case["link"], var_weights=weights, **more)


def relative(found, want, unit):
    """Largest difference in units of the width of the intervals."""
    return np.max(np.abs(np.asarray(found) - np.asarray(want)) / np.asarray(unit)[:, None])


@pytest.mark.parametrize("name", CASES)
def test_limits_are_those_of_r(name):
    case = CASES[name]
    res = fitted(case)
    np.testing.assert_allclose(res.params, case["coef"], rtol=1e-7)
    found = res.conf_int(method="profile")
    want = np.array(case.get("t", case["z"]))
    width = want[:, 1] - want[:, 0]
    assert relative(found, want, width) < (NESTED if name == "negative_binomial" else ROOT)
    if "t" in case:
        found = fitted(case, use_t=False).conf_int(method="profile")
        assert relative(found, case["z"], width) < ROOT
    if name != "negative_binomial":
        assert relative(found, case["mass"], width) < SPLINES
    print(
        name,
        relative(found, case["z"], width),
        relative(found[: len(case["mass"])], case["mass"], width[: len(case["mass"])]),
    )
