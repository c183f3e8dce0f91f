"""Average effects, average predictions and prediction intervals against R."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

HERE = Path(__file__).parent
TRUTH = json.loads((HERE / "inference/margins/margins.json").read_text())
#: R's slopes are differences of averages, good to about 1e-10; where theta is estimated, to glm.nb's stopping rule.
CLOSE, THETA = 1e-7, 1e-6
COLUMNS = ["estimate", "std_error", "conf_low", "conf_high"]


def frame(case):
    return pd.read_csv(HERE / f"shared/data/{case['data']}.csv", dtype=dict.fromkeys(case["factors"], str))


@pytest.fixture(scope="module")
def fits():
    made = {}

    def fit(name):
        if name not in made:
            case = TRUTH["cases"][name]
            made[name] = jg.glm(case["formula"], frame(case), **case["options"])
        return made[name]

    return fit


@pytest.mark.parametrize("name", TRUTH["cases"])
def test_averages(fits, name):
    res = fits(name)
    for entry in TRUTH["cases"][name]["queries"]:
        query = dict(entry["query"])
        made = getattr(res, query.pop("what"))(**query).frame()
        want = pd.DataFrame(entry["expect"])
        assert len(made) == len(want), entry["query"]
        size = np.abs(want["estimate"]).to_numpy()[:, None] + want["std_error"].to_numpy()[:, None]
        gap = np.abs(made[COLUMNS].to_numpy() - want[COLUMNS].to_numpy()) / size
        tolerance = THETA if name == "negative binomial" else CLOSE
        assert gap.max() < tolerance, (entry["query"], gap.max())
        np.testing.assert_allclose(made["p_value"], want["p_value"], rtol=1e-4, atol=1e-12)


def test_a_grid_that_holds_every_column_is_that_of_emmeans(fits):
    res, want = fits("gamma log"), TRUTH["grid"]
    grid = {"region": ["east", "north", "south", "west"], "female": ["no", "yes"]}
    made = res.predictions(at=want["at"] | grid).frame()
    assert list(made["female"]) == want["female"] and list(made["region"]) == want["region"]
    np.testing.assert_allclose(made["estimate"], want["estimate"], rtol=CLOSE)
    np.testing.assert_allclose(made["std_error"], want["std_error"], rtol=CLOSE)
    pairs = res.margins("female", at=want["at"] | {"region": grid["region"]}).frame()
    np.testing.assert_allclose(pairs["estimate"], want["pairs"]["estimate"], rtol=CLOSE)
    np.testing.assert_allclose(pairs["std_error"], want["pairs"]["std_error"], rtol=CLOSE)


@pytest.mark.parametrize("which", ["new", "weighted", "fitted", "plain"])
def test_prediction_intervals_of_least_squares(fits, which):
    """R's predict(lm, interval="prediction"): a new row has weight 1, a fitted row its own."""
    res, want = fits("gaussian"), TRUTH["intervals"][which]
    data = frame(TRUTH["cases"]["gaussian"])
    if which == "plain":
        res = jg.glm(res.labels.formula, data)
    new = data.head(6) if which in ("new", "plain") else None
    alpha = 0.1 if which in ("new", "weighted") else 0.05
    made = res.get_prediction(new).summary_frame(alpha).head(6)
    for column, key in (("mean", "fit"), ("obs_ci_lower", "lower"), ("obs_ci_upper", "upper")):
        np.testing.assert_allclose(made[column], want[key], rtol=1e-9)
