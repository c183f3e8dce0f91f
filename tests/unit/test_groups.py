"""Many fits by one call: keys, hard groups, tables, predictions, interrupts."""

import jax
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm import groups


@pytest.fixture(scope="module")
def stores():
    rng = np.random.default_rng(0)
    n = 400
    df = pd.DataFrame({
        "city": rng.choice(["Bonn", "Cork"], n), "store": rng.integers(1, 5, n), "x": rng.normal(size=n),
        "z": rng.choice(["u", "v"], n),
    })  # fmt: skip
    return df.assign(y=rng.poisson(np.exp(0.5 + 0.3 * df["x"] + 0.2 * (df["z"] == "v"))))


@pytest.fixture(scope="module")
def grp(stores):
    return jg.glm_groups("y ~ x + z", stores, by=["city", "store"], family="poisson")


def test_keys_of_several_columns(grp, stores):
    assert grp.params.index.names == ["city", "store"]
    assert list(grp) == sorted(set(zip(stores["city"], stores["store"], strict=True)))
    part = stores[(stores["city"] == "Cork") & (stores["store"] == 3)]
    res = jg.glm("y ~ x + z", part, family="poisson")
    np.testing.assert_allclose(grp.params.loc[("Cork", 3)], res.params, rtol=1e-9)
    np.testing.assert_allclose(grp[("Cork", 3)].bse, res.bse, rtol=1e-9)
    assert grp[("Cork", 3)].resid().index.equals(part.index)
    assert len(grp) == 8 and ("Cork", 3) in grp and ("Cork", 9) not in grp


def test_tables(grp):
    tidy = grp.tidy(conf_int=True)
    assert list(tidy.columns[:4]) == ["city", "store", "term", "estimate"] and len(tidy) == 24
    row = tidy[(tidy["city"] == "Bonn") & (tidy["store"] == 2) & (tidy["term"] == "x")].iloc[0]
    one = grp[("Bonn", 2)].tidy(conf_int=True).set_index("term").loc["x"]
    for name in ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"):
        assert row[name] == pytest.approx(one[name], rel=1e-9)
    glance = grp.glance()
    assert glance["deviance"].to_numpy() == pytest.approx(grp.deviance.to_numpy())
    text = str(grp.summary())
    assert "8 of 8 groups fitted, 400 rows." in text and "median" in text
    assert len(grp.failed()) == 0


def test_predictions_go_to_their_group(grp, stores):
    new = stores.sample(50, random_state=3)
    found = grp.predict(new)
    for key, part in new.groupby(["city", "store"]):
        np.testing.assert_allclose(found[part.index], grp[key].predict(part), rtol=1e-9)
    strange = new.assign(store=99)
    with pytest.raises(jg.InputError, match="never fitted"):
        grp.predict(strange)
    assert grp.predict(strange, unseen="nan").isna().all()
    np.testing.assert_allclose(np.log(found), grp.predict(new, which="linear"), rtol=1e-9)


@pytest.fixture(scope="module")
def hard():
    rng = np.random.default_rng(1)
    parts = {}
    for name in ("good", "also good"):
        x = rng.normal(size=50)
        parts[name] = pd.DataFrame({"x": x, "y": rng.poisson(np.exp(0.3 * x)) * 1.0})
    parts["zeros"] = parts["good"].assign(y=0.0)
    parts["negative"] = parts["good"].assign(y=-1.0)
    parts["huge"] = parts["good"].assign(x=1e200)
    parts["constant"] = parts["good"].assign(x=2.0)
    parts["one"] = parts["good"].iloc[:1].assign(y=3.0)
    parts["missing"] = parts["good"].assign(y=np.nan)
    return pd.concat([p.assign(g=name) for name, p in parts.items()], ignore_index=True)


def test_hard_groups_change_no_other(hard):
    with pytest.warns(jg.ConvergenceWarning, match="have no estimates"):
        grp = jg.glm_groups("y ~ x", hard, by="g", family="poisson")
    good = jg.glm_groups("y ~ x", hard[hard["g"].str.contains("good")], by="g", family="poisson")
    np.testing.assert_allclose(grp.params.loc[good.params.index], good.params, rtol=1e-12)
    assert grp.status["zeros"] == "SEPARATED" and grp.params.loc["zeros"].isna().all()
    assert grp.status["negative"] == "UNUSABLE"
    failed = grp.failed()
    assert "numbers >= 0" in failed.loc["negative", "reason"]
    assert set(failed.index) == {"zeros", "negative", "huge", "missing"}
    assert "no complete row" in failed.loc["missing", "reason"]
    assert grp.nobs["missing"] == 0 and grp.tidy().set_index("g").loc["missing", "estimate"].isna().all()
    assert grp.predict(pd.DataFrame({"g": ["missing", "good"], "x": [0.5, 0.5]})).isna().tolist() == [True, False]
    # Aliased, as alone.
    assert np.isnan(grp.params.loc["constant", "x"]) and grp.converged["constant"]
    assert grp.params.loc["one", "Intercept"] == pytest.approx(np.log(3.0), rel=1e-9)
    with pytest.raises(jg.FitError, match="cannot be fitted"):
        grp["negative"]
    assert grp["zeros"].status is jg.Status.SEPARATED
    with pytest.raises(jg.InputError, match="no group 'goood'.*'good'"):
        grp["goood"]


def test_separation_in_a_group():
    rng = np.random.default_rng(2)
    x = rng.normal(size=200)
    df = pd.DataFrame({"x": x, "y": (rng.random(200) < 1 / (1 + np.exp(-x))) * 1.0, "g": np.repeat(["a", "b"], 100)})
    df.loc[df["g"] == "b", "y"] = (df["x"] > 0.1) * 1.0
    with pytest.warns(jg.ConvergenceWarning, match="1 SEPARATED"):
        grp = jg.glm_groups("y ~ x", df, by="g", family="binomial")
    assert grp.status.to_dict() == {"a": "CONVERGED", "b": "SEPARATED"}


def test_an_interrupt_leaves_what_is_done(stores, monkeypatch):
    plain, calls = groups._tile, []

    def tile(*args):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return plain(*args)

    monkeypatch.setattr(groups, "_tile", tile)
    monkeypatch.setattr(groups, "_NUMBERS", {jax.default_backend(): 1})
    monkeypatch.setattr(groups, "threads", lambda: 1)
    with pytest.warns(jg.ConvergenceWarning, match="interrupted"):
        grp = jg.glm_groups("y ~ x + z", stores, by=["city", "store"], family="poisson")
    assert grp.status.value_counts().to_dict() == {"NOT_FITTED": 7, "CONVERGED": 1}
    # What is done can be used.
    done = grp.converged
    assert grp.params[done].notna().all().all() and grp.params[~done].isna().all().all()
    found = grp.predict(stores)
    assert found.notna().sum() == grp.nobs[done].sum()
    assert "1 of 8 groups fitted" in str(grp) and "run it again" in grp.failed()["reason"].iloc[0]


def test_levels_that_a_group_lacks(stores):
    df = stores[~((stores["store"] == 2) & (stores["z"] == "v"))]
    grp = jg.glm_groups("y ~ x + z", df, by="store", family="poisson")
    assert np.isnan(grp.params.loc[2, "z[T.v]"]) and grp.converged.all()
    new = pd.DataFrame({"store": [2, 2, 1], "x": 0.5, "z": ["u", "v", "v"]})
    with pytest.warns(jg.DataWarning, match="1 of 3"):
        found = grp.predict(new)
    assert np.isnan(found[1]) and np.isfinite(found[[0, 2]]).all()


def test_mistakes(stores):
    with pytest.raises(jg.FormulaError, match="no column 'shop'"):
        jg.glm_groups("y ~ x", stores, by="shop", family="poisson")
    with pytest.raises(jg.InputTypeError, match="by must be"):
        jg.glm_groups("y ~ x", stores, by=3, family="poisson")
    with pytest.raises(jg.InputTypeError, match="weights"):
        jg.glm_groups("y ~ x", stores, by="store", weights="x")
    nobody = stores.assign(store=np.nan)
    with pytest.raises(jg.DataError, match="no row has a group"):
        jg.glm_groups("y ~ x", nobody, by="store", family="poisson")
    either = stores.assign(
        store=stores["store"].where(stores.index % 2 > 0), x=stores["x"].where(stores.index % 2 == 0)
    )
    with pytest.raises(jg.DataError, match="no row is complete: each lacks a value of 'store'"):
        jg.glm_groups("y ~ x", either, by="store", family="poisson")


def test_rows_without_a_group_are_left_out(stores):
    df = stores.assign(city=stores["city"].where(stores.index % 7 > 0))
    grp = jg.glm_groups("y ~ x", df, by="city", family="poisson")
    res = jg.glm("y ~ x", df[df["city"] == "Bonn"], family="poisson")
    np.testing.assert_allclose(grp.params.loc["Bonn"], res.params, rtol=1e-9)
    assert any("without a group" in note for note in grp.labels.notes)
    np.testing.assert_allclose(grp["Bonn"].fittedvalues, res.fittedvalues, rtol=1e-9)


def test_caterpillar(grp):
    ax = grp.plot.caterpillar("x")
    offsets = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(offsets[:, 0], np.sort(grp.params["x"]))
    with pytest.raises(jg.InputError, match="no coefficient 'xx'"):
        grp.plot.caterpillar("xx")


def test_lengths_are_few_where_rows_are_few_and_fit_where_they_are_many():
    lengths = np.array([8, 48, 64, 200, 224])
    assert groups.cuts(lengths, np.array([5, 5, 5, 5, 5])) == [(0, 4)]
    assert groups.cuts(lengths, np.array([10**6, 10, 10, 10**6, 10**6])) == [(0, 0), (1, 3), (4, 4)]


def test_many_groups_of_one_size_are_hardly_filled_up():
    def of(*counts):
        return [length for length, _ in groups._buckets(np.arange(len(counts)), np.array(counts))]

    assert of(*[200] * 1000) == of(*[193] * 500, *[199] * 500) == [200]
    assert of(*[197] * 10) == of(*[160] * 500, *[197] * 500) == [224]


def test_lengths_of_lanes():
    lengths = sorted({groups.ladder(n) for n in range(1, 200)})
    assert lengths == [8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224]
    assert all(groups.ladder(n) >= n for n in range(1, 3000))
