"""Profile limits are the roots that R finds on constrained fits."""

import json
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import jaxglm as jg
from jaxglm.errors import ConvergenceWarning, InputError, NotAvailableError, SeparationWarning
from jaxglm.solvers import bounds, lanes

HERE = Path(__file__).parents[1] / "reference"
REFERENCE = json.loads((HERE / "inference/profile/cases.json").read_text())
CASES, SEPARATED = REFERENCE["cases"], REFERENCE["separated"]
#: Roots in R end at 1e-13, of deviances that glm.fit gives to about 1e-13 of themselves; ours at about 1e-10.
ROOT = 1e-9
#: A fit held to the end of its precision by another way, and limits of the likelihood that are 1e-9 away.
LIMIT = 1e-8
#: Splines of MASS through ten points; its negative binomial keeps theta as it is.
SPLINES, THETA_FIXED = 1e-4, 1e-2

N = 60
rng = np.random.default_rng(5)
DATA = pd.DataFrame({"x": rng.normal(size=N), "z": rng.uniform(size=N), "f": rng.choice(list("abc"), N)})
DATA["k"] = rng.poisson(np.exp(0.5 + 0.4 * DATA["x"]))
DATA["even"] = rng.binomial(6, 1 / (1 + np.exp(-1.5 * DATA["x"])))
DATA["over"] = rng.negative_binomial(6, 0.7, N)
DATA["g"] = rng.gamma(2.0, np.exp(0.3 * DATA["x"]))
DATA["copies"] = rng.integers(1, 4, N)
DATA["twice"] = 2 * DATA["x"]


def profile(res, alpha=0.05):
    return res.conf_int(alpha, method="profile")


def relative(found, want):
    """Largest difference in units of the width of the intervals."""
    want = np.asarray(want, float)
    return np.max(np.abs(np.asarray(found) - want) / (want[:, 1] - want[:, 0])[:, None])


@pytest.mark.parametrize("name", CASES)
def test_limits_are_those_of_r(name):
    case = CASES[name]
    data, keys = pd.read_csv(HERE / case["data"]), ("family", "link", "var_weights")
    options = {key: case[key] for key in keys if key in case}
    res = jg.glm(case["formula_py"], data, **options)
    normal = profile(jg.glm(case["formula_py"], data, **options, use_t=False))
    assert relative(normal, case["z"]) < ROOT
    assert relative(profile(res), case.get("t", case["z"])) < ROOT
    of_mass = normal[: len(case["mass"])]
    assert relative(of_mass, case["mass"]) < (THETA_FIXED if name == "negative_binomial" else SPLINES)


@pytest.mark.parametrize("name", SEPARATED)
def test_limits_under_separation(name):
    """Of a coefficient without a finite estimate one limit is finite, and it is the right one."""
    case = SEPARATED[name]
    with pytest.warns(SeparationWarning):
        res = jg.glm(case["formula_py"], pd.read_csv(HERE / case["data"]), family=case["family"], link=case["link"])
    found, infinite = profile(res).to_numpy(), np.array(case["infinite"])
    assert infinite.any() and (np.isinf(found) == infinite).all()
    assert (np.sign(found[infinite]) == np.where(infinite, [-1, 1], 0)[infinite]).all()
    np.testing.assert_allclose(found[~infinite], np.array(case["z"], float)[~infinite], rtol=LIMIT)


def rise(res, formula, by, **options):
    """How far the likelihood falls where the terms `by` are given as an offset, in units of what a limit allows."""
    held = jg.glm(formula, DATA.assign(by=by), offset="by", **options)
    return 2 * (res.llf - held.llf) / stats.chi2.ppf(0.95, 1)


def test_alpha_is_free_again_away_from_the_fit():
    """The counts vary less than Poisson counts; with the slope at its lower limit they vary more."""
    with pytest.warns(jg.DataWarning, match="alpha is 0"):
        res = jg.glm("even ~ x", DATA, family="negative_binomial")
    limits = profile(res)
    assert limits.loc["alpha", "lower"] == 0
    for limit in limits.loc["x"]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jg.DataWarning)
            assert rise(res, "even ~ 1", limit * DATA["x"], family="negative_binomial") == pytest.approx(1, abs=LIMIT)

    def fall(alpha):
        held = jg.glm("even ~ x", DATA, family=jg.NegativeBinomial(alpha=alpha))
        return 2 * (res.llf - held.llf) - stats.chi2.ppf(0.95, 1)

    assert limits.loc["alpha", "upper"] == pytest.approx(optimize.brentq(fall, 1e-4, 1.0, xtol=1e-12), rel=LIMIT)


def test_alpha_may_be_zero():
    """At alpha = 0 the likelihood is high enough, so the interval begins there; on another link as well."""
    res = jg.glm("over ~ x", DATA, family="negative_binomial", link="sqrt")
    poisson = jg.glm("over ~ x", DATA, family="poisson", link="sqrt")
    assert 0 < 2 * (res.llf - poisson.llf) < stats.chi2.ppf(0.95, 1)
    limits = profile(res).loc["alpha"]
    assert limits["lower"] == 0 and limits["upper"] > res.params["alpha"]


def test_two_predictors_of_a_likelihood_of_ones_own():
    spread = jg.custom_family(
        nll=lambda y, eta, aux: 0.5 * ((y - eta[0]) * jnp.exp(-eta[1])) ** 2 + eta[1], predictors=("mean", "log_sd")
    )
    res = jg.glm({"mean": "g ~ x", "log_sd": "~ z"}, DATA, family=spread)
    x, z, y = (DATA[c].to_numpy() for c in ("x", "z", "g"))

    def nll(b):
        eta = b[2] + b[3] * z
        return np.sum(0.5 * ((y - b[0] - b[1] * x) * np.exp(-eta)) ** 2 + eta)

    top = nll(res.params.to_numpy())
    for j, limits in enumerate(profile(res).to_numpy()):
        for limit in limits:
            start = np.delete(res.params.to_numpy(), j)
            held = optimize.minimize(lambda b, j=j, v=limit: nll(np.insert(b, j, v)), start, tol=1e-12).fun
            assert 2 * (held - top) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-6)


def test_every_source_gives_the_same(monkeypatch):
    want = profile(jg.glm("k ~ x + f", DATA, family="poisson"))
    parts = [DATA[:25], DATA[25:]]
    streamed = jg.glm("k ~ x + f", lambda: iter(parts), family="poisson")
    sharded = jg.glm("k ~ x + f", DATA, family="poisson", devices=jax.devices())
    np.testing.assert_allclose(profile(streamed), want, rtol=ROOT)
    np.testing.assert_allclose(profile(sharded), want, rtol=ROOT)
    # A few lanes at a time, as where P is large.
    monkeypatch.setattr(lanes, "_NUMBERS", 1)
    assert lanes.size_of(10, 5) < 10
    np.testing.assert_allclose(profile(jg.glm("k ~ x + z + f", lambda: iter(parts), family="poisson")).loc["z"],
                               profile(jg.glm("k ~ f + x + z", DATA, family="poisson")).loc["z"], rtol=ROOT)  # fmt: skip


def test_one_compiled_program_and_few_readings():
    """Lanes that end leave without a new compilation, and all of them share each reading of the data."""
    readings = []

    def blocks():
        readings.append(1)
        return iter([DATA[:30], DATA[30:]])

    res = jg.glm("k ~ x + z + f", blocks, family="poisson")
    readings.clear()
    profile(res)
    assert 3 <= len(readings) <= 6
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda e, d, **m: compiled.append(m.get("fun_name")) if "backend_compile" in e else None
    )
    profile(res, 0.01)
    jax.monitoring.clear_event_listeners()
    assert compiled == []


def test_aliased_weighted_and_scaled():
    with pytest.warns(jg.AliasWarning):
        res = jg.glm("k ~ x + twice + f", DATA, family="poisson")
    limits = profile(res)
    assert limits.loc["twice"].isna().all()
    np.testing.assert_allclose(limits.drop("twice"), profile(jg.glm("k ~ x + f", DATA, family="poisson")), rtol=ROOT)
    repeated = DATA.loc[DATA.index.repeat(DATA["copies"])]
    np.testing.assert_allclose(profile(jg.glm("g ~ x + f", DATA, family="gamma", link="log", freq_weights="copies")),
                               profile(jg.glm("g ~ x + f", repeated, family="gamma", link="log")), rtol=ROOT)  # fmt: skip
    far = profile(jg.glm("k ~ f + I(1e10 * x)", DATA, family="poisson"))
    np.testing.assert_allclose(1e10 * far.iloc[-1], limits.loc["x"], rtol=ROOT)


def test_least_squares_need_no_rows():
    res = jg.glm("g ~ x + f", DATA, keep_data=False)
    np.testing.assert_array_equal(profile(res), res.conf_int())


def test_wrong_uses_say_what_to_do():
    res = jg.glm("k ~ x", DATA, family="poisson")
    with pytest.raises(InputError, match="Did you mean 'profile'"):
        res.conf_int(method="profil")
    with pytest.raises(InputError, match="between 0 and 1"):
        profile(res, 5)
    with pytest.raises(NotAvailableError, match="prob_weights.*use method='wald'"):
        profile(jg.glm("k ~ x", DATA, family="poisson", prob_weights="z"))
    with pytest.raises(NotAvailableError, match="keep_data=True"):
        profile(jg.glm("k ~ x", DATA, family="poisson", keep_data=False))
    with pytest.warns(ConvergenceWarning):
        unfinished = jg.glm("k ~ x", DATA, family="poisson", max_iter=1)
    with pytest.raises(NotAvailableError, match="raise max_iter"):
        profile(unfinished)


def test_a_limit_that_is_not_found_is_nan(monkeypatch):
    monkeypatch.setattr(bounds, "_MOST_TURNS", 0)
    res = jg.glm("k ~ x", DATA, family="poisson")
    with pytest.warns(ConvergenceWarning, match="lower limit of Intercept: .* did not converge; .*NaN|NaN"):
        assert profile(res).isna().all(axis=None)


def test_no_degrees_of_freedom_left():
    assert profile(jg.glm("g ~ x", DATA[:2], family="gamma", link="log")).isna().all(axis=None)


def test_tidy_takes_the_method():
    res = jg.glm("k ~ x", DATA, family="poisson")
    table = res.tidy(conf_int=True, exponentiate=True, method="profile")
    np.testing.assert_allclose(table[["conf_low", "conf_high"]], np.exp(profile(res)), rtol=1e-14)
