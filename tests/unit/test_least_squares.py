"""Least squares: one Newton pass, on every source."""

import jax
import numpy as np
import pytest

import jaxglm as jg
from jaxglm import families, precision
from jaxglm.design import Constant, Dense, Layout, Split
from jaxglm.fit import fit_source
from jaxglm.fitted import Options
from jaxglm.kernels import Model, Rows
from jaxglm.solvers import drive
from jaxglm.sources import ArraySource, MeshSource, StreamSource, base

#: One step from well-conditioned normal equations.
SAME = 1e-11
N = 150
rng = np.random.default_rng(53)
X = rng.normal(size=(N, 3)) + [0.0, 2.0, -1.0]
Y = 5.0 + X @ [1.0, -2.0, 0.5] + rng.normal(size=N)
W, OFFSET = rng.uniform(0.5, 2.0, N), rng.normal(size=N)
COUNTS = rng.integers(1, 4, N).astype(float)
ONE_PASS = {"survey": 1, "newton": 1, "statistics": 1}


def least_squares(x=X, y=Y, weight=None):
    columns = np.column_stack([np.ones(len(y)), x])
    root = np.sqrt(np.ones(len(y)) if weight is None else weight)
    theta = np.linalg.lstsq(columns * root[:, None], y * root, rcond=None)[0]
    return theta, np.sum((root * (y - columns @ theta)) ** 2)


@pytest.mark.parametrize("start", [None, [0.0, 0.0, 0.0, 0.0], [1e3, -50.0, 7.0, 1.0]])
@pytest.mark.parametrize("weights", [None, "freq_weights", "var_weights", "prob_weights"])
@pytest.mark.parametrize("offset", [None, OFFSET], ids=["", "offset"])
def test_one_newton_pass(weights, offset, start):
    weight = {None: None, "freq_weights": COUNTS}.get(weights, W)
    options = {} if weights is None else {weights: weight}
    res = jg.fit(X, Y, offset=offset, start=start, **options)
    theta, deviance = least_squares(y=Y if offset is None else Y - offset, weight=weight)
    np.testing.assert_allclose(res.params, theta, rtol=SAME)
    assert res.deviance == pytest.approx(deviance, rel=SAME)
    assert res.status is jg.Status.CONVERGED and res.n_iter == 1
    assert res.fit.tolerance < 1e-9
    passes = {k: v for k, v in res.n_passes.items() if k != "null"}
    assert passes == ONE_PASS
    # The null model has no closed form with an offset: a survey and one Newton pass of its own.
    assert res.n_passes.get("null", 0) == (0 if offset is None else 2)


@pytest.mark.parametrize("name", ["device loop", "host loop", "chunks", "stream", "mesh"])
def test_one_newton_pass_on_every_source(name, monkeypatch, x64):
    model = Model(families.Gaussian(), Layout((Split((Constant(), Dense(3)), ((0,), (1, 2, 3))),)))
    rows = Rows((((), X),), Y, COUNTS, W, OFFSET[:, None])
    if name == "host loop":
        monkeypatch.setattr(drive, "_DEVICE_COEFFICIENTS", 1)
    if name == "chunks":
        monkeypatch.setitem(base.CHUNK, jax.default_backend(), 64)
    source = {
        "stream": lambda: StreamSource(lambda: iter([base.cut(rows, 0, 40), base.cut(rows, 40, N)]), N, 64),
        "mesh": lambda: MeshSource.from_rows(rows, jax.devices()),
    }.get(name, lambda: ArraySource.from_rows(rows))()
    fit = fit_source(source, model, Options(), has_intercept=True, has_offset=True)
    theta, deviance = least_squares(y=Y - OFFSET, weight=W * COUNTS)
    np.testing.assert_allclose(fit.theta, theta, rtol=SAME)
    assert fit.deviance == pytest.approx(deviance, rel=SAME)
    assert (fit.status, fit.n_iter) == (jg.Status.CONVERGED, 1)
    assert fit.n_passes == {**ONE_PASS, "null": 2}


def test_a_long_column_of_large_numbers_is_refined():
    """Timestamps: the step from normal equations alone has fewer digits, and one gradient gives them back."""
    day = 1.7e9 + 86400.0 * np.arange(N)
    res = jg.fit(day[:, None], Y)
    theta, _ = least_squares((day - day.mean())[:, None])
    assert res.n_passes == {**ONE_PASS, "gradient": 1} and res.n_iter == 1
    assert res.params.iloc[1] == pytest.approx(theta[1], rel=1e-10)
    assert res.params.iloc[0] == pytest.approx(theta[0] - theta[1] * day.mean(), rel=1e-10)


def test_many_columns_that_are_not_well_conditioned():
    """An accurate gradient would take longer than another Newton pass."""
    x = np.random.default_rng(1).normal(size=(N, 20)) + 100.0
    res = jg.fit(x, Y)
    theta, _ = least_squares(x - 100.0)
    assert res.n_passes == {**ONE_PASS, "newton": 2} and res.n_iter == 1 and res.converged
    np.testing.assert_allclose(res.params[1:], theta[1:], rtol=1e-10)


def test_a_perfect_fit_is_not_taken_on_trust():
    """One step leaves 1e-14 of y, which is no small part of residuals that are themselves rounding."""
    res = jg.fit(X, 1.0 + X @ [1.0, 2.0, 3.0])
    assert res.n_passes["newton"] == 2 and res.converged
    np.testing.assert_allclose(res.params, [1.0, 1.0, 2.0, 3.0], rtol=1e-14)


def test_other_links_iterate():
    res = jg.fit(X, np.exp(Y / 10), link="log")
    assert res.n_passes["newton"] > 2 and not families.Gaussian(jg.links.Log()).quadratic
    assert res.n_passes["statistics"] == 1


@pytest.mark.parametrize("factor", [1e-9, 1.0, 1e12])
@pytest.mark.parametrize("weights", [None, "freq_weights", "var_weights"])
@pytest.mark.parametrize("link", ["identity", "log"])
def test_the_log_likelihood_in_closed_form(weights, link, factor):
    """Equal to the sum of normal log densities with variance phi / w, phi = deviance / n."""
    from scipy import stats

    weight = {None: np.ones(N), "freq_weights": COUNTS, "var_weights": W}[weights]
    y = factor * (np.exp(Y / 10) if link == "log" else Y)
    res = jg.fit(X, y, link=link, **({} if weights is None else {weights: weight}))
    count, prior = (weight, 1.0) if weights == "freq_weights" else (np.ones(N), weight)
    sd = np.sqrt(res.deviance / count.sum() / prior)
    want = np.sum(count * stats.norm.logpdf(y, res.fittedvalues, sd))
    assert res.llf == pytest.approx(want, rel=1e-11)


def test_a_joint_pass_of_ill_conditioned_columns_counts_once(x64):
    year = np.linspace(1990.0, 2020.0, N)
    res = jg.fit(np.column_stack([year, year**2, year**3]), Y)
    assert res.n_passes["newton"] == 1 and res.n_passes["qr"] <= 3 and res.n_iter == 1
    with precision.scope():
        centered = jg.fit(np.column_stack([(year - 2005.0) ** k for k in (1, 2, 3)]), Y)
    assert res.deviance == pytest.approx(centered.deviance, rel=1e-9)
    assert res.tvalues.iloc[-1] == pytest.approx(centered.tvalues.iloc[-1], rel=1e-6)
