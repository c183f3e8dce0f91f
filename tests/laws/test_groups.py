"""What must hold of many fits by one call: each equals the fit of its rows alone, whoever it shares a tile with."""

import warnings

import jax
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm.solvers import batch

#: Lanes and single fits take the same steps; sums are in another order, and rounding of ill-conditioned columns shows.
AS_ALONE = 1e-9
#: Only the order of sums changes.
SAME = 1e-12

FAMILIES = {
    "gaussian": {},
    "binomial": {},
    "probit": {"family": "binomial", "link": "probit", "information": "observed"},
    "poisson": {"offset": "o", "freq_weights": "f"},
    "gamma": {"link": "log", "var_weights": "w", "offset": "o"},
    "quasipoisson": {"prob_weights": "w"},
    "negative_binomial": {"cov": "HC1"},
    "known alpha": {"family": jg.NegativeBinomial(alpha=0.5), "cov": "HC0", "exposure": "w"},
    "trials": {"family": "binomial", "link": "cloglog", "trials": "t"},
}


def frame(name, seed=0, sizes=(1, 2, 9, 30, 60, 150, 300)):
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    df = pd.DataFrame({
        "g": np.repeat([f"g{i:02d}" for i in range(len(sizes))], sizes), "x": rng.normal(size=n),
        "c": rng.choice(list("abc"), n), "o": rng.normal(0, 0.3, n), "f": rng.integers(1, 4, n).astype(float),
        "w": rng.uniform(0.5, 2.0, n), "t": rng.integers(1, 9, n).astype(float),
    })  # fmt: skip
    eta = 0.6 + 0.4 * df["x"].to_numpy() + 0.3 * (df["c"] == "b").to_numpy()
    mu, p = np.exp(eta), 1 / (1 + np.exp(-eta))
    y = {
        "gaussian": lambda: eta + rng.normal(size=n), "binomial": lambda: (rng.random(n) < p) * 1.0,
        "probit": lambda: (rng.random(n) < p) * 1.0, "poisson": lambda: rng.poisson(mu) * 1.0,
        "gamma": lambda: mu * rng.gamma(2, 0.5, n), "quasipoisson": lambda: rng.poisson(mu) * 1.0,
        "trials": lambda: rng.binomial(df["t"].to_numpy().astype(int), p) / df["t"],
    }.get(name, lambda: rng.negative_binomial(2.0, 2.0 / (2.0 + mu)) * 1.0)()  # fmt: skip
    return df.assign(y=y).sample(frac=1.0, random_state=1, ignore_index=True)


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jg.JaxglmWarning)
        return function(*args, **kwargs)


def grouped(name, df, **more):
    options = dict(FAMILIES[name])
    return quietly(jg.glm_groups, "y ~ x + C(c)", df, by="g", **{"family": name, **options, **more})


def alone(name, df, levels, **more):
    options = dict(FAMILIES[name])
    df = df.assign(c=pd.Categorical(df["c"], levels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jg.glm("y ~ x + C(c)", df, **{"family": name, **options, **more})


@pytest.fixture(scope="module", params=FAMILIES)
def case(request):
    df = frame(request.param)
    return request.param, df, grouped(request.param, df)


def test_every_group_is_as_if_fitted_alone(case):
    name, df, grp = case
    compared = 0
    for key in grp:
        if grp.status[key] in ("UNUSABLE", "SEPARATED") or not grp.converged[key]:
            continue
        res = grp[key]
        compared += 1
        np.testing.assert_allclose(grp.params.loc[key], res.params, rtol=AS_ALONE, atol=AS_ALONE, err_msg=key)
        np.testing.assert_allclose(grp.bse.loc[key], res.bse, rtol=1e-8, atol=AS_ALONE, err_msg=key)
        fields = ["deviance", "null_deviance", "nobs", "scale", "df_resid"]
        # Where nothing is left over, likelihoods and tests are made of rounding.
        perfect = res.df_resid <= 0
        for field in fields if perfect else [*fields, "llf", "aic", "bic"]:
            ours, theirs = getattr(grp, field)[key], getattr(res, field)
            np.testing.assert_allclose(ours, theirs, rtol=AS_ALONE, atol=AS_ALONE, err_msg=f"{key} {field}")
        if perfect:
            continue
        np.testing.assert_allclose(grp.pvalues.loc[key], res.pvalues, rtol=1e-7, atol=AS_ALONE)
        limits = grp.conf_int().loc[key]
        np.testing.assert_allclose(limits.to_numpy(), res.conf_int().to_numpy(), rtol=1e-7, atol=1e-8)
    assert compared >= 4


def test_the_large_groups_need_no_fit_of_their_own(case):
    name, df, grp = case
    assert grp.converged.iloc[-3:].all()
    # Every coefficient of these is estimated.
    assert np.isfinite(grp.bse.iloc[-3:].to_numpy()).all()


def test_a_group_equals_glm_on_its_rows():
    df = frame("poisson")
    grp = grouped("poisson", df)
    for key in ("g04", "g06"):
        res = alone("poisson", df[df["g"] == key], list("abc"))
        np.testing.assert_allclose(grp.params.loc[key], res.params, rtol=AS_ALONE)
        np.testing.assert_allclose(grp.bse.loc[key], res.bse, rtol=AS_ALONE)
        assert grp.cov_type == res.cov_type


@pytest.mark.parametrize("name", ["binomial", "negative_binomial"])
def test_order_and_company_change_nothing(name):
    df = frame(name)
    whole = grouped(name, df)
    again = grouped(name, df.iloc[::-1])
    few = grouped(name, df[df["g"].isin(["g04", "g06"])])
    for other, keys in ((again, list(whole)), (few, ["g04", "g06"])):
        np.testing.assert_allclose(other.params.loc[keys], whole.params.loc[keys], rtol=1e-9, atol=SAME)
        np.testing.assert_allclose(other.bse.loc[keys], whole.bse.loc[keys], rtol=1e-8, atol=SAME)
        assert (other.status[keys] == whole.status[keys]).all()


def test_no_new_program_for_other_numbers_of_groups():
    def run(groups, seed):
        df = frame("binomial", seed, (200,) * groups)
        grouped("binomial", df)

    run(9, 0)
    before = batch.fit_tile._cache_size()
    run(31, 1)
    assert batch.fit_tile._cache_size() == before
    assert jax.config.jax_enable_x64 is False
