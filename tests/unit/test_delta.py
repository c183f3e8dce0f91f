"""Functions of the parameters with standard errors, against R and by hand."""

import json
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxglm as jg
from jaxglm.errors import InputError, InputTypeError

HERE = Path(__file__).parents[1] / "reference"
REFERENCE = json.loads((HERE / "inference/delta/cases.json").read_text())
#: Estimates of R end at 1e-9 or so; its covariance is that of the last step but one.
CLOSED, VCOV = 1e-8, 1e-6
N = 50
rng = np.random.default_rng(3)
DATA = pd.DataFrame({"x": rng.normal(size=N), "z": rng.uniform(size=N)})
DATA["k"] = rng.negative_binomial(2, 0.3, N)
DATA["twice"] = 2 * DATA["x"]


@pytest.fixture(scope="module")
def counts():
    return jg.glm("k ~ x + z", DATA, family="negative_binomial")


@pytest.mark.parametrize("case", REFERENCE["doses"], ids=lambda case: case["link"])
def test_doses_are_those_of_mass(case):
    data = pd.DataFrame(REFERENCE["budworm"])
    res = jg.glm("cbind(dead, alive) ~ dose + C(sex, Treatment('F'))", data, family="binomial", link=case["link"])
    law = {"logit": stats.logistic, "probit": stats.norm}[case["link"]]
    level = law.ppf(case["p"])
    found = res.delta(lambda b: (level - b["Intercept"]) / b["dose"])
    np.testing.assert_allclose(found["estimate"], case["estimate"], rtol=CLOSED)
    np.testing.assert_allclose(found["std_error"], case["std_error"], rtol=VCOV)
    half = stats.norm.ppf(0.95) * found["std_error"]
    limits = res.delta(lambda b: (level - b["Intercept"]) / b["dose"], alpha=0.1)[["conf_low", "conf_high"]]
    np.testing.assert_allclose(
        limits, np.column_stack([found["estimate"] - half, found["estimate"] + half]), rtol=1e-12
    )


def test_functions_are_those_of_car():
    res = jg.glm("wage ~ exper + I(exper**2)", pd.read_csv(HERE / "shared/data/wage1.csv"), family="gamma", link="log")
    found = res.delta(lambda b: {"peak": -b[1] / (2 * b[2]), "level": jnp.exp(b[0] - b[1] ** 2 / (4 * b[2]))})
    for name, want in REFERENCE["wage"].items():
        assert found.loc[name, "estimate"] == pytest.approx(want[0], rel=CLOSED)
        assert found.loc[name, "std_error"] == pytest.approx(want[1], rel=VCOV)
    # The dispersion is estimated, so intervals are Student's.
    half = stats.t.ppf(0.975, res.df_resid) * found["std_error"]
    np.testing.assert_allclose(found["conf_high"], found["estimate"] + half, rtol=1e-12)


def test_parameters_by_name_position_and_as_a_vector(counts):
    variance = counts.cov_params().to_numpy()
    rows = np.array([[1.0, 2.0, -1.0, 0.0], [0.0, 1.0, 0.0, 3.0]])
    want = pd.DataFrame({"estimate": rows @ counts.params, "std_error": np.sqrt(np.diag(rows @ variance @ rows.T))})
    ways = [
        lambda b: rows @ b,
        lambda b: b @ rows.T,
        lambda b: jnp.dot(rows, b.values),
        lambda b: [b["Intercept"] + 2 * b["x"] - b["z"], b[1] + 3 * b[-1]],
        lambda b: rows[:, :3] @ b[:3] + rows[:, 3] * b["alpha"],
        lambda b: rows @ b[["Intercept", "x", "z", "alpha"]],
        lambda b: jnp.stack([sum(c * part for c, part in zip(row, b, strict=True)) for row in rows]),
    ]
    for way in ways:
        np.testing.assert_allclose(counts.delta(way)[["estimate", "std_error"]], want, rtol=1e-10)


def test_alpha_is_on_its_natural_scale(counts):
    found = counts.delta(lambda b: {"alpha": b["alpha"], "theta": 1 / b["alpha"]})
    alpha, se = counts.params["alpha"], counts.bse["alpha"]
    np.testing.assert_allclose(found["estimate"], [alpha, 1 / alpha], rtol=1e-12)
    np.testing.assert_allclose(found["std_error"], [se, se / alpha**2], rtol=1e-12)


def test_labels_say_where_a_number_stands(counts):
    def ratio(b):
        return b["x"] / b["z"]

    assert list(counts.delta(ratio).index) == ["ratio"]
    assert list(counts.delta(lambda b: ratio(b)).index) == ["value"]
    assert list(counts.delta(lambda b: b[:2]).index) == [0, 1]
    assert list(counts.delta(lambda b: {"a": b[0], "c": b[:2]}).index) == ["a", "c: 0", "c: 1"]
    assert list(counts.delta(lambda b: {"a": {"p": b[0]}, "c": {"q": b[1]}}).index) == [("a", "p"), ("c", "q")]
    assert list(counts.delta(lambda b: jnp.outer(b[:2], b[:2])).index) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_names_of_two_parts():
    res = jg.glm({"mean": "k ~ x", "dispersion": "~ z"}, DATA, family="negative_binomial")
    for way in (lambda b: b["dispersion", "z"], lambda b: b["dispersion: z"], lambda b: b["z"], lambda b: b[3]):
        found = res.delta(way).iloc[0]
        assert found["estimate"] == res.params["dispersion", "z"]
        assert found["std_error"] == pytest.approx(res.bse["dispersion", "z"], rel=1e-12)
    with pytest.raises(InputError, match="Did you mean 'mean: Intercept' or 'dispersion: Intercept'"):
        res.delta(lambda b: b["Intercept"])


def test_the_covariance_in_force_counts():
    res = jg.glm("k ~ x", DATA, family="poisson", prob_weights="z")
    found = res.delta(lambda b: jnp.exp(b["x"]))
    assert found["std_error"].iloc[0] == pytest.approx(np.exp(res.params["x"]) * res.bse["x"], rel=1e-12)


def test_aliased_and_held_parameters():
    with pytest.warns(jg.AliasWarning):
        res = jg.glm("k ~ x + twice + z", DATA, family="poisson")
    for way in (lambda b: b["twice"], lambda b: b[2], lambda b: b.values.sum()):
        with pytest.raises(InputError, match="'twice'.*dropped because it equals 2 \\* x"):
            res.delta(way)
    at = np.array([1.0, 0.5, 0.0, 0.2])
    want = jg.glm("k ~ x + z", DATA, family="poisson").delta(lambda b: at[[0, 1, 3]] @ b)
    np.testing.assert_allclose(res.delta(lambda b: at @ b), want, rtol=CLOSED)
    even = pd.DataFrame({"k": [3.0, 4, 3, 4, 3, 4], "x": np.arange(6.0)})
    with pytest.warns(jg.DataWarning, match="alpha is 0"):
        held = jg.glm("k ~ x", even, family="negative_binomial")
    found = held.delta(lambda b: {"x": b["x"], "variance": b["Intercept"] + b["alpha"]})
    assert found.loc["x", "std_error"] == pytest.approx(held.bse["x"], rel=1e-12)
    assert np.isfinite(found.loc["variance", "estimate"]) and np.isnan(found.loc["variance", "std_error"])


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda b: np.exp(b["x"]), InputTypeError, "jax.numpy"),
        (lambda b: np.exp(b), InputTypeError, "np.exp cannot be differentiated; .*jax.numpy"),
        (lambda b: np.asarray(b), InputTypeError, "jax.numpy"),
        (lambda b: math.exp(b["x"]), InputTypeError, "jax.numpy"),
        (lambda b: float(b["x"]), InputTypeError, "without float"),
        (lambda b: jnp.exp(b), InputTypeError, "b.values, not b itself"),
        (lambda b: b["xx"], InputError, "Did you mean 'x'"),
        (lambda b: b[4], InputError, "there are 4 parameters"),
        (lambda b: {"name": "x", "value": b["x"]}, InputTypeError, "numbers, arrays or dicts of them, not str"),
        (lambda b: b["x"] > 0, InputTypeError, "true or false"),
        (lambda b: 1.0, InputError, "does not use its argument"),
        ("x", InputTypeError, "takes a function"),
    ],
)
def test_wrong_functions_say_what_to_do(counts, function, error, words):
    with pytest.raises(error, match=words):
        counts.delta(function)
