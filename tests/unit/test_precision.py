"""Fits in less than double precision agree with those in double as far as they promise."""

import re

import jax
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm import precision, resolve
from jaxglm.design import Constant, Dense, Layout, Split
from jaxglm.errors import AliasWarning, InputError, Status
from jaxglm.kernels import Closing, ClosingPoint, Model, Point, Rows
from jaxglm.sources import ArraySource

#: Promised of coefficients under "mixed".
MIXED = 1e-7
#: The same of standard errors, which come from products in single precision.
MIXED_ERRORS = 1e-5
#: What "float32" reaches, in standard errors and relative to them.
SINGLE = 1e-4
N = 3000
#: Rows for which programs are compiled quickly.
FEWER = 2000

rng = np.random.default_rng(11)


def frame():
    year = rng.integers(1990, 2024, N)
    income = np.exp(rng.normal(10.0, 0.7, N))
    group = rng.choice(list("abcd"), N)
    eta = 0.03 * (year - 2007) - 0.4 * (income > 3e4) + 0.5 * (group == "c")
    mean = np.exp(eta)
    return pd.DataFrame(
        {
            "year": year, "income": income, "group": group, "t": rng.uniform(0.5, 4.0, N),
            "died": (rng.random(N) < 1 / (1 + np.exp(-eta))).astype(float),
            "count": rng.poisson(mean), "size": rng.gamma(2.0, mean / 2), "value": eta + rng.normal(size=N),
            "many": rng.negative_binomial(2, 2 / (2 + mean)), "w": rng.uniform(0.5, 2.0, N),
        }
    )  # fmt: skip


DATA = frame()
MODELS = {
    "logit": ("died ~ year + income + group", "binomial", {}),
    "probit": ("died ~ year * group", jg.Binomial(link="probit"), {"var_weights": "w"}),
    "poisson": ("count ~ year + poly(income, 2) + group", "poisson", {"exposure": "t"}),
    "gamma": ("size ~ year + log(income)", jg.Gamma(link="log"), {"prob_weights": "w"}),
    "gaussian": ("value ~ 0 + year + income + group", "gaussian", {"var_weights": "w"}),
    "negative binomial": ("many ~ year + income", "negative_binomial", {}),
}


def fitted(name, wanted, data=None, **more):
    text, family, options = MODELS[name]
    if data is None:
        # The others differ from it in their figures, not in how they are compiled.
        data = DATA if name == "poisson" else DATA.head(FEWER)
    return jg.glm(text, data, family=family, precision=wanted, **options, **more)


@pytest.fixture(scope="module", params=list(MODELS))
def double(request):
    return request.param, fitted(request.param, "float64")


def test_mixed_keeps_seven_digits(double):
    name, double = double
    mixed = fitted(name, "mixed")
    assert mixed.status is Status.CONVERGED
    # In standard errors too, since a coefficient near 0 has no digits of its own.
    gap = np.abs(mixed.params - double.params)
    assert (gap < MIXED * np.maximum(np.abs(double.params), double.bse)).all()
    np.testing.assert_allclose(mixed.bse, double.bse, rtol=MIXED_ERRORS)
    np.testing.assert_allclose([mixed.deviance, mixed.llf], [double.deviance, double.llf], rtol=MIXED)
    new = DATA.head(7)
    np.testing.assert_allclose(mixed.predict(new), double.predict(new), rtol=10 * MIXED)
    np.testing.assert_allclose(mixed.resid("response"), double.resid("response"), rtol=1e-5, atol=1e-5)


def test_single_precision_says_how_far_it_came(double):
    name, double = double
    single = fitted(name, "float32")
    assert single.status is Status.CONVERGED_TO_PRECISION
    assert np.abs((single.params - double.params) / double.bse).max() < single.fit.tolerance
    np.testing.assert_allclose(single.bse, double.bse, rtol=SINGLE)
    np.testing.assert_allclose(single.deviance, double.deviance, rtol=1e-5)
    assert single.params.dtype == np.float64


def test_many_rows_take_few_passes_in_any_precision():
    n = 60_000
    draw = np.random.default_rng(3)
    X = np.column_stack([2000 + draw.integers(0, 20, n), draw.normal(size=(n, 9))])
    y = draw.poisson(np.exp(0.1 * (X[:, 0] - 2010) * 0.1 + X[:, 1:] @ np.full(9, 0.1)))
    double, mixed, single = (jg.fit(X, y, family="poisson", precision=wanted) for wanted in resolve.PRECISIONS)
    for res in (double, mixed, single):
        assert res.n_passes["closing"] == 1 and "survey" not in res.n_passes
    assert np.abs((mixed.params - double.params) / double.bse).max() < MIXED
    assert np.abs((single.params - double.params) / double.bse).max() < single.fit.tolerance
    np.testing.assert_allclose(mixed.bse, double.bse, rtol=MIXED_ERRORS)
    assert not mixed.fit.source.aliased


@pytest.mark.parametrize("wanted", ["mixed", "float32"])
def test_streams_and_meshes_keep_the_same_rows(wanted):
    whole = fitted("logit", wanted, DATA)

    def frames():
        yield from (DATA[k : k + 700] for k in range(0, N, 700))

    text, family, options = MODELS["logit"]
    stream = jg.glm(text, frames, family=family, precision=wanted, **options)
    mesh = fitted("logit", wanted, DATA, devices=jax.devices()[:1])
    for other in (stream, mesh):
        assert np.abs((other.params - whole.params) / whole.bse).max() < whole.fit.tolerance + MIXED
        np.testing.assert_allclose(other.bse, whole.bse, rtol=MIXED_ERRORS if wanted == "mixed" else SINGLE)


def test_streams_are_centered_by_rows_from_all_over():
    draw = np.random.default_rng(8)
    # The first piece, a row far from all others, says nothing of them.
    data = pd.DataFrame({"drift": 1e4 + draw.normal(size=N), "x": draw.normal(size=N)})
    data["y"] = draw.poisson(np.exp(0.1 * (data.drift - 1e4) + 0.2 * data.x)).astype(float)
    data.loc[0, ["drift", "y"]] = 9_700.0, 0.0

    def fit(wanted):
        edges = [0, 1, 800, 2000, N]
        return jg.glm(
            "y ~ drift + x", lambda: (data[a:b] for a, b in zip(edges, edges[1:], strict=False)), "poisson",
            precision=wanted,
        )  # fmt: skip

    double, mixed = fit("float64"), fit("mixed")
    assert np.abs((mixed.params - double.params) / double.bse).max() < MIXED
    np.testing.assert_allclose(mixed.bse, double.bse, rtol=MIXED_ERRORS)


def test_columns_that_single_precision_cannot_tell_apart_are_aliased():
    data = DATA.assign(sum=DATA.year * 1.1 + DATA.income / 3.0)
    with pytest.warns(AliasWarning, match="'sum' is dropped"):
        res = jg.glm("died ~ year + income + sum", data, family="binomial", precision="mixed")
    assert np.isnan(res.params["sum"])
    double = jg.glm("died ~ year + income", data, family="binomial")
    np.testing.assert_allclose(res.params[["year", "income"]], double.params[["year", "income"]], rtol=MIXED)


def test_nearly_dependent_columns_are_multiplied_in_double():
    near = DATA.year + 1e-3 * rng.normal(size=N)
    data = DATA.assign(near=near)
    double, mixed = (jg.glm("value ~ year + near", data, precision=wanted) for wanted in ("float64", "mixed"))
    np.testing.assert_allclose(mixed.bse, double.bse, rtol=MIXED_ERRORS)


def test_names():
    with pytest.raises(InputError, match="'float64' or 'mixed' or 'float32'"):
        jg.glm("died ~ year", DATA, family="binomial", precision="double")


@pytest.mark.parametrize(
    "family", ["gaussian", "binomial", "poisson", "gamma", "inverse_gaussian", "negative_binomial"]
)
def test_nothing_of_a_row_is_double_in_single_precision(family):
    """What is computed for each row is float32; only its sums, and what has P entries, are wider."""
    rows = 64
    X = np.linspace(0.1, 1.0, rows * 2).reshape(rows, 2)
    family = resolve.family(family)
    kinds = Split((Constant(), Dense(2)), ((0,), (1, 2)))
    raw = Layout((kinds,) + (Constant(),) * (len(family.predictors) - 1))
    x = (((), X),) + ((),) * (len(family.predictors) - 1)
    layout = raw.standardized(x)
    n_coefficients = layout.n_coefficients
    with precision.scope():
        source = ArraySource.from_rows(
            Rows(x=layout.encode(x, np.float32), y=np.full(rows, 0.5, np.float32), freq=np.ones(rows, np.float32))
        )
        point = ClosingPoint(
            Point(np.zeros(n_coefficients), np.asarray(False), None, np.asarray(0.5)), np.asarray(0.1), np.asarray(1.0)
        )
        chunk = source.resident
        text = jax.jit(Closing().map).lower(Model(family, layout), point, chunk).as_text()
    assert f"tensor<{rows}xf32>" in text
    # On the way into sums rows are widened, and multiplied by nothing but weights.
    wide = re.findall(rf"stablehlo\.(\w+).*tensor<{rows}(?:x\d+)*xf64>", text)
    assert set(wide) <= {"convert", "reduce", "dot_general", "broadcast_in_dim", "multiply"}
