"""How solves end, whichever solver and start."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

NIST = Path(__file__).parent.parent / "reference" / "nist"
#: Digits of each NIST problem, of coefficients and standard errors alike. The residuals of Wampler 3 to 5 are up to 1e7
#: times the coefficients, whose digits would go in the rounding of X'r were it not summed in twice the precision; what
#: limits Wampler is the information, and Filip the rounding of its columns (powers up to the tenth).
DIGITS = {
    "norris": 10, "pontius": 10, "longley": 10, "wampler1": 10, "wampler2": 10, "wampler3": 10, "wampler4": 9,
    "wampler5": 7, "filip": 7,
}  # fmt: skip
#: Two solvers stop within tol of one optimum, and the last step squares that.
SAME = 1e-9
N = 60
rng = np.random.default_rng(41)
X = rng.normal(size=(N, 2))
MU = np.exp(0.5 + 0.4 * X[:, 0])
FITS = {
    "probit": (rng.integers(0, 2, N) * 1.0, "binomial", "probit"),
    "gamma log": (rng.gamma(2.0, MU), "gamma", "log"),
    "poisson log": (rng.poisson(MU) * 1.0, "poisson", None),
}


def fit(name, **options):
    y, family, link = FITS[name]
    return jg.fit(X, y, family, link=link, **options)


@pytest.mark.parametrize("name", FITS)
def test_all_solvers_reach_one_optimum(name):
    auto, irls, newton = (fit(name, solver=s) for s in ("auto", "irls", "newton"))
    assert auto.status is irls.status is newton.status is jg.Status.CONVERGED
    for other in (irls, newton):
        np.testing.assert_allclose(other.params, auto.params, rtol=1e-8, atol=SAME)
        np.testing.assert_allclose(other.bse, auto.bse, rtol=1e-7)
        assert other.llf == pytest.approx(auto.llf, rel=1e-12)
    assert auto.n_iter <= irls.n_iter


@pytest.mark.parametrize("start", [[0.0, 0.0, 0.0], [-6.0, 3.0, -3.0], [8.0, 0.0, 0.0]])
def test_any_finite_start_reaches_the_optimum(start):
    plain, started = fit("poisson log"), fit("poisson log", start=start)
    assert started.converged
    np.testing.assert_allclose(started.params, plain.params, rtol=1e-8, atol=SAME)


def test_steps_that_overshoot_are_halved():
    """Evaluations beyond the accepted steps and the first one are refused trials."""
    plain, started = fit("poisson log"), fit("poisson log", start=[-6.0, 3.0, -3.0])
    assert plain.n_passes["newton"] == plain.n_iter + 1
    assert started.n_passes["newton"] > started.n_iter + 1


def test_a_start_at_the_optimum_needs_few_steps():
    plain = fit("probit")
    again = fit("probit", start=plain.params)
    assert again.n_iter < plain.n_iter and again.n_iter <= 3


def test_max_iter():
    with pytest.warns(jg.ConvergenceWarning, match="MAX_ITER.*max_iter"):
        res = fit("probit", max_iter=1)
    assert res.status is jg.Status.MAX_ITER and not res.converged
    assert "raise max_iter" in " ".join(str(res.summary()).split())


def test_a_tolerance_beyond_rounding():
    """tol cannot be reached, and the status says what was."""
    plain, strict = fit("probit"), fit("probit", tol=1e-200)
    assert strict.status is jg.Status.CONVERGED_TO_PRECISION and strict.converged
    np.testing.assert_allclose(strict.params, plain.params, rtol=1e-8, atol=SAME)
    assert "Reached tolerance" in str(strict.summary())


def test_an_optimum_on_the_boundary():
    """The best line would have negative means on the left."""
    x = np.arange(20.0)
    y = np.where(x > 12, np.round(2 * (x - 12)), 0.0)
    with pytest.warns(jg.ConvergenceWarning, match="BOUNDARY.*link that keeps the mean in range"):
        res = jg.fit(x[:, None], y, "poisson", link="identity")
    assert res.status is jg.Status.BOUNDARY
    assert res.fittedvalues.min() > 0 and res.fittedvalues.min() < 1e-3


def polynomial(case):
    """Columns of a NIST problem without the intercept, and names."""
    data = {k: np.array(v, float) for k, v in case["data"].items()}
    y = data.pop("y")
    if case["degree"]:
        x = data["x"]
        # Products of whole numbers are exact; the power function of floats may be off by a rounding, which costs digits.
        return np.cumprod(np.tile(x[:, None], case["degree"]), axis=1), y
    return np.column_stack(list(data.values())), y


def digits(ours, certified):
    """Correct decimal digits of the worst figure; 15 are certified."""
    ours, certified = np.asarray(ours, float), np.asarray(certified, float)
    size = np.where(certified == 0, 1.0, np.abs(certified))
    return float(-np.log10(np.max(np.abs(ours - certified) / size) + 1e-15))


@pytest.mark.parametrize("name", DIGITS)
def test_nist(name):
    case = json.loads((NIST / f"{name}.json").read_text())
    columns, y = polynomial(case)
    res = jg.fit(columns, y)
    certified = case["certified"]
    assert res.converged
    assert digits(res.params, certified["coef"]) >= DIGITS[name]
    if certified["residual_sd"] > 0:
        assert digits(res.bse, certified["se"]) >= DIGITS[name]
        assert digits([np.sqrt(res.scale)], [certified["residual_sd"]]) >= DIGITS[name]
    else:
        assert np.all(res.bse < 1e-6 * np.abs(res.params) + 1e-6)
    if name == "filip":
        assert res.n_passes["qr"] > 0


def test_nist_by_formula():
    case = json.loads((NIST / "longley.json").read_text())
    res = jg.glm(case["formula"], pd.DataFrame(case["data"]))
    assert digits(res.params, case["certified"]["coef"]) >= DIGITS["longley"]


def test_a_logistic_fit_that_needs_qr():
    """A polynomial in raw years: the normal equations see nothing, the orthogonal basis gives the truth."""
    year = np.linspace(1990.0, 2020.0, N)
    u = (year - 2005.0) / 15.0
    y = (np.random.default_rng(7).random(N) < 1 / (1 + np.exp(-(0.3 + u - 2 * u**2)))) * 1.0
    raw = jg.fit(np.column_stack([year**k for k in (1, 2, 3)]), y, "binomial")
    scaled = jg.fit(np.column_stack([u**k for k in (1, 2, 3)]), y, "binomial")
    assert raw.converged and "qr" in raw.n_passes
    # Terms of eta are 1e10 times eta, so that its rounding alone moves fitted values by about 1e-6.
    np.testing.assert_allclose(raw.fittedvalues, scaled.fittedvalues, rtol=1e-5)
    assert raw.llf == pytest.approx(scaled.llf, rel=1e-8)
    assert raw.status is jg.Status.CONVERGED
    assert raw.tvalues.iloc[-1] == pytest.approx(scaled.tvalues.iloc[-1], rel=1e-6)
