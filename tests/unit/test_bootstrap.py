"""Refits to drawn rows, clusters and responses: each is a fit of its own, and their spread is what theory says."""

from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm import bootstrap as refits
from jaxglm import groups
from jaxglm.precision import scope

#: Lanes and single fits add up in another order.
AS_ALONE = 1e-9
#: Monte Carlo error of a standard deviation over 2,000 refits is 1.6 %; four of these.
MONTE_CARLO = 0.065
B = 2000


@pytest.fixture(scope="module")
def df():
    rng = np.random.default_rng(3)
    n = 60
    x, k = rng.normal(size=n), rng.integers(0, 30, n)
    spread = rng.normal(size=30)[k] + np.exp(0.6 * x) * rng.normal(size=n)
    return pd.DataFrame({
        "x": x, "k": k, "f": rng.integers(1, 4, n).astype(float), "w": rng.uniform(0.5, 2.0, n), "one": 0, "part": 0.5,
        "z": 1.0 + 0.5 * x + spread, "y": (rng.random(n) < 1 / (1 + np.exp(-0.5 - 0.6 * x))) * 1.0,
    })  # fmt: skip


@pytest.fixture(scope="module")
def logit(df):
    return jg.glm("y ~ x", df, family="binomial")


@pytest.fixture(scope="module")
def line(df):
    return jg.glm("z ~ x", df)


def drawn(res, seed, cluster=None):
    codes = None if cluster is None else res.intake.codes(cluster, "cluster")
    with scope():
        return refits.weights(refits.rows_of(res.fit), seed, codes)


def test_a_refit_is_the_fit_with_its_weights(df, logit):
    boot, draw = logit.bootstrap(40, seed=5), drawn(logit, 5)
    for b in (0, 17, 39):
        weights = draw(b)
        assert weights.sum() == len(df)
        one = jg.glm("y ~ x", df, family="binomial", freq_weights=weights)
        np.testing.assert_allclose(boot.params.loc[b], one.params, rtol=AS_ALONE)
    few = logit.bootstrap(7, seed=5)
    np.testing.assert_array_equal(few.params, boot.params[:7])


@pytest.mark.parametrize("kind", ["freq_weights", "var_weights", "prob_weights"])
def test_weights_of_every_kind(df, kind):
    """Of freq_weights observations are drawn; the others go with their row."""
    column = df["f" if kind == "freq_weights" else "w"]
    res = jg.glm("z ~ x", df, **{kind: column})
    boot, weights = res.bootstrap(3, seed=1), drawn(res, 1)(2)
    if kind == "freq_weights":
        assert weights.sum() == df["f"].sum()
        one = jg.glm("z ~ x", df, freq_weights=weights)
    elif kind == "var_weights":
        one = jg.glm("z ~ x", df, freq_weights=weights, var_weights=df["w"])
    else:
        one = jg.glm("z ~ x", df, var_weights=df["w"] * weights)
    np.testing.assert_allclose(boot.params.loc[2], one.params, rtol=AS_ALONE)
    if kind != "prob_weights":
        assert boot.scale[2] == pytest.approx(one.scale, rel=AS_ALONE)


def test_standard_errors_are_those_of_theory(df, line):
    n = len(df)
    rows = line.bootstrap(B, seed=2)
    # Pairs agree with HC0 up to terms of 1/n.
    np.testing.assert_allclose(rows.bse, line.with_cov("HC0").bse, rtol=MONTE_CARLO + 3 / n)
    clusters = line.bootstrap(B, seed=2, cluster="k")
    count = df["k"].nunique()
    factor = np.sqrt(count / (count - 1) * (n - 1) / (n - 2))
    plain = line.with_cov(jg.Cluster("k")).bse / factor
    np.testing.assert_allclose(clusters.bse, plain, rtol=MONTE_CARLO + 3 / count)
    # They differ by more than that, so the test can tell them apart.
    assert clusters.bse["Intercept"] > 1.15 * rows.bse["Intercept"]
    model = line.bootstrap(B, seed=2, kind="parametric")
    np.testing.assert_allclose(model.bse, line.bse, rtol=MONTE_CARLO)
    with scope():
        drawn_y = refits.responses(line.fit, refits.rows_of(line.fit), 2)(3)
    np.testing.assert_allclose(model.params.loc[3], jg.glm("z ~ x", df.assign(z=drawn_y)).params, rtol=AS_ALONE)


def test_clusters_are_drawn_whole(df, line):
    weights = drawn(line, 4, "k")(0)
    by = pd.Series(weights).groupby(df["k"])
    assert (by.nunique() == 1).all() and by.first().sum() == df["k"].nunique()
    one = jg.glm("z ~ x", df, freq_weights=weights)
    np.testing.assert_allclose(line.bootstrap(2, seed=4, cluster=df["k"]).params.loc[0], one.params, rtol=AS_ALONE)


def test_neither_tiles_nor_threads_matter(line, monkeypatch):
    boot = line.bootstrap(40, seed=5)
    monkeypatch.setattr(groups, "_NUMBERS", {jax.default_backend(): 1})
    np.testing.assert_allclose(line.bootstrap(5, seed=5).params, boot.params[:5], rtol=1e-12)
    # Refits one by one, as those of many rows are.
    monkeypatch.setattr(groups, "_LONG", 10)
    alone = line.bootstrap(5, seed=5)
    np.testing.assert_allclose(alone.params, boot.params[:5], rtol=AS_ALONE)


def test_failures_are_reported(df):
    # Two rows tell of x: without one of them x separates, without both it is aliased.
    rare = df.assign(x=[1.0, 1.0] + [0.0] * 58, y=[1.0, 0.0, 0.0, 1.0] * 15)
    res = jg.glm("y ~ x", rare, family="binomial")
    with pytest.warns(jg.ConvergenceWarning, match="of 200 refits have no estimates .* left out"):
        boot = res.bootstrap(200, seed=0)
    failed = boot.failed()
    weights = [drawn(res, 0)(b) for b in range(200)]
    assert failed.index.to_list() == [b for b, w in enumerate(weights) if (w[0] > 0) != (w[1] > 0)]
    assert (boot.status[failed.index] == "SEPARATED").all() and "separates" in failed["reason"].iloc[0]
    assert boot.params.loc[failed.index].isna().all().all()
    fine = boot.params.drop(failed.index)
    np.testing.assert_allclose(boot.bse, fine.std(), rtol=1e-12)
    assert f"{200 - len(failed)} of 200 refits have estimates" in str(boot) and "SEPARATED" in str(boot)
    aliased = [b for b, w in enumerate(weights) if w[0] == w[1] == 0]
    assert fine.index[fine["x"].isna()].to_list() == aliased and fine["Intercept"].notna().all()
    assert f"{len(aliased)} lack coefficients whose columns are aliased" in str(boot)
    assert np.isfinite(boot.conf_int().to_numpy()).all()


def test_intervals(logit):
    boot = logit.bootstrap(200, seed=5)
    wanted = boot.params.quantile([0.05, 0.95]).T.to_numpy()
    np.testing.assert_allclose(boot.conf_int(0.1), wanted, rtol=1e-12)
    mirrored = 2 * logit.params.to_numpy()[:, None] - wanted[:, ::-1]
    np.testing.assert_allclose(boot.conf_int(0.1, "basic"), mirrored, rtol=1e-12)
    np.testing.assert_allclose(boot.cov_params(), np.cov(boot.params.T), rtol=1e-12)
    assert list(boot.conf_int().columns) == ["lower", "upper"] and boot.conf_int().index.equals(logit.params.index)
    assert "percentile" in boot._repr_html_()


def test_corrected_intervals_are_those_of_scipy(df):
    from scipy import stats

    values = df["w"] ** 3
    res = jg.glm("w3 ~ 1", df.assign(w3=values))
    boot = res.bootstrap(B, seed=1)
    assert boot.bse["Intercept"] == pytest.approx(values.std(ddof=0) / np.sqrt(len(df)), rel=MONTE_CARLO)
    assert abs(boot.bias["Intercept"]) < 4 * boot.bse["Intercept"] / np.sqrt(B)
    found = boot.conf_int(0.1, "bca").loc["Intercept"]

    class Before:
        bootstrap_distribution = boot.params["Intercept"].to_numpy()

    wanted = stats.bootstrap(
        (values.to_numpy(),), np.mean, confidence_level=0.9, n_resamples=0, bootstrap_result=Before()
    ).confidence_interval
    np.testing.assert_allclose(found, [wanted.low, wanted.high], rtol=1e-9)
    # A row of weight w is w rows, and a row is a cluster of itself.
    whole = df.loc[df.index.repeat(df["f"].astype(int))]
    one, many = jg.glm("z ~ x", df, freq_weights="f"), jg.glm("z ~ x", whole)
    with scope():
        wanted = refits.acceleration(many.fit, refits.weights(refits.rows_of(many.fit), 0, None))
        found = refits.acceleration(one.fit, refits.weights(refits.rows_of(one.fit), 0, None))
        single = refits.weights(refits.rows_of(many.fit), 0, np.arange(len(whole)))
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
        np.testing.assert_allclose(refits.acceleration(many.fit, single), wanted, rtol=1e-9)
    with pytest.raises(jg.NotAvailableError, match="responses were drawn"):
        replace(boot, acceleration=None).conf_int(method="bca")


def test_alpha_is_estimated_again(monkeypatch):
    rng = np.random.default_rng(1)
    x = rng.normal(size=60)
    df = pd.DataFrame({"x": x, "y": rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(1.0 + 0.4 * x)))})
    res = jg.glm("y ~ x", df, family="negative_binomial")
    # One by one, which needs no program of its own.
    monkeypatch.setattr(groups, "_LONG", 10)
    boot = res.bootstrap(5, seed=1)
    one = jg.glm("y ~ x", df, family="negative_binomial", freq_weights=drawn(res, 1)(4))
    np.testing.assert_allclose(boot.params.loc[4], one.params, rtol=1e-8)
    assert boot.params["alpha"].nunique() == 5
    lower, upper = boot.conf_int(method="basic").loc["alpha"]
    q = boot.params["alpha"].quantile([0.975, 0.025]).to_numpy()
    np.testing.assert_allclose([lower, upper], res.params["alpha"] ** 2 / q, rtol=1e-12)


def test_an_interrupt_leaves_what_is_done(line, monkeypatch):
    plain, calls = refits._tile, []

    def tile(*args):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return plain(*args)

    monkeypatch.setattr(refits, "_tile", tile)
    monkeypatch.setattr(groups, "_NUMBERS", {jax.default_backend(): 1})
    monkeypatch.setattr(groups, "threads", lambda: 1)
    with pytest.warns(jg.ConvergenceWarning, match="interrupted"):
        boot = line.bootstrap(5, seed=5)
    assert boot.status.to_list() == ["CONVERGED"] + ["NOT_FITTED"] * 4


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"B": 1}, jg.InputError, "at least 2"),
        ({"B": 2.5}, jg.InputTypeError, "B must be a whole number"),
        ({"seed": -1}, jg.InputError, "seed must be between"),
        ({"kind": "jackknife"}, jg.InputError, "kind must be"),
        ({"kind": "parametric", "cluster": "k"}, jg.InputError, "leave one of them out"),
        ({"cluster": "one"}, jg.InputError, "all rows are in one cluster"),
        ({"cluster": "firm"}, jg.InputError, "firm"),
    ],
)
def test_mistakes(line, options, error, words):
    with pytest.raises(error, match=words):
        line.bootstrap(**{"B": 3, **options})


def test_what_cannot_be_drawn(df, line):
    halves = jg.glm("z ~ x", df, freq_weights="part")
    with pytest.raises(jg.InputError, match="whole numbers"):
        halves.bootstrap(3)
    with pytest.raises(jg.InputError, match="under freq_weights= a row stands"):
        halves.bootstrap(3, kind="parametric")
    with pytest.raises(jg.InputError, match="under prob_weights= a row stands"):
        jg.glm("z ~ x", df, prob_weights="w").bootstrap(3, kind="parametric")
    with pytest.raises(jg.NotAvailableError, match="quasi"):
        jg.glm("y ~ x", df, family="quasibinomial").bootstrap(3, kind="parametric")
    with pytest.raises(jg.NotAvailableError, match="come in pieces"):
        jg.glm("z ~ x", lambda: iter([df])).bootstrap(3)
    with pytest.raises(jg.NotAvailableError, match="not kept"):
        jg.glm("z ~ x", df, keep_data=False).bootstrap(3)
