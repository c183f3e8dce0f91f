"""What must hold of many responses beside one X: each equals the fit of its column alone."""

import warnings

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

#: Lanes and single fits end at the same optimum; sums are in another order.
AS_ALONE = 1e-9
N, G = 60, 6

rng = np.random.default_rng(5)
X = pd.DataFrame(rng.normal(size=(N, 2)), columns=["a", "b"], index=[f"r{i}" for i in range(N)])
MU = np.exp(0.8 + X.to_numpy() @ rng.normal(0, 0.3, (2, G)))
WEIGHTS = rng.uniform(0.5, 2.0, N)
OFFSETS = rng.normal(0, 0.3, (N, G))
TIMES = rng.integers(1, 4, (N, G)).astype(float)
TIMES[3, 2] = 0.0

#: name: family, responses, what is beside each of them.
CASES = {
    "poisson, holes": ("poisson", lambda: holed(rng.poisson(MU).astype(float)), {}),
    "negative binomial, own offsets": (
        "negative_binomial", lambda: rng.negative_binomial(2.0, 2.0 / (2.0 + MU)), {"offset": OFFSETS}
    ),
    "binomial, counts of rows": ("binomial", lambda: (rng.random((N, G)) < 0.4), {"freq_weights": TIMES, "cov": "HC1"}),
    "gamma, weights of all": (
        jg.Gamma(link="log"), lambda: MU * rng.gamma(2.0, 0.5, (N, G)), {"var_weights": WEIGHTS}
    ),
}  # fmt: skip


def holed(y):
    y[rng.random(y.shape) < 0.1] = np.nan
    return y


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jg.JaxglmWarning)
        return function(*args, **kwargs)


def own(options, g):
    return {name: v[:, g] if np.ndim(v) == 2 else v for name, v in options.items()}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    family, draw, options = CASES[request.param]
    Y = pd.DataFrame(draw(), columns=[f"gene {g}" for g in range(G)], index=X.index)
    return family, Y, options, quietly(jg.fit_many, X, Y, family, **options)


def test_every_response_is_as_if_fitted_alone(case):
    family, Y, options, many = case
    assert list(many) == list(Y.columns) and many.converged.all()
    for g, key in enumerate(Y):
        alone = quietly(jg.fit, X, Y[key].astype(float), family, **own(options, g))
        whole = quietly(many.__getitem__, key)
        np.testing.assert_allclose(many.params.loc[key], alone.params, rtol=AS_ALONE, atol=AS_ALONE)
        np.testing.assert_allclose(many.bse.loc[key], alone.bse, rtol=1e-8, atol=AS_ALONE)
        for field in ("deviance", "null_deviance", "nobs", "scale", "df_resid", "llf", "aic", "bic"):
            ours, theirs = getattr(many, field)[key], getattr(alone, field)
            np.testing.assert_allclose(ours, theirs, rtol=AS_ALONE, atol=AS_ALONE, err_msg=f"{key} {field}")
        np.testing.assert_allclose(whole.params, alone.params, rtol=1e-10)
        assert whole.resid().index.equals(alone.resid().index)
        np.testing.assert_allclose(whole.resid(), alone.resid(), rtol=1e-7, atol=1e-9)
        assert whole.labels.response == key


def test_every_model_predicts_every_row(case, tmp_path):
    family, Y, options, many = case
    new = X.iloc[:5]
    beside = {name: v for name, v in options.items() if name == "offset"}
    found = many.predict(new, **{name: v[:5] for name, v in beside.items()})
    assert found.shape == (5, G) and found.index.equals(new.index) and found.columns.equals(many.keys)
    for g in (0, G - 1):
        alone = many[Y.columns[g]].predict(new, **{name: v[:5, g] for name, v in beside.items()})
        np.testing.assert_allclose(found.iloc[:, g], alone, rtol=AS_ALONE)
    many.save(tmp_path / "many")
    loaded = jg.load(tmp_path / "many")
    again = loaded.predict(new, **{name: v[:5] for name, v in beside.items()})
    pd.testing.assert_frame_equal(again, found, rtol=1e-14)
    pd.testing.assert_frame_equal(loaded.bse, many.bse)
