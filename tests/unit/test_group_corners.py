"""Groups of every size and kind, and the files of many fits."""

import io
import json
import sys
import types

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm import groups

#: Lanes and single fits add up in another order.
AS_ALONE = 1e-9


def test_long_and_wide_groups_are_fitted_alone(monkeypatch):
    rng = np.random.default_rng(0)
    sizes = {"long": groups._LONG + 700, "short": 40}
    key = np.repeat(list(sizes), list(sizes.values()))
    df = pd.DataFrame({"g": key, "x": rng.normal(size=len(key))})
    df["y"] = 1.0 + 0.5 * df["x"] + rng.normal(size=len(key))
    grp = jg.glm_groups("y ~ x", df, by="g")
    for name in sizes:
        res = jg.glm("y ~ x", df[df["g"] == name])
        np.testing.assert_allclose(grp.params.loc[name], res.params, rtol=AS_ALONE)
        np.testing.assert_allclose(grp.bse.loc[name], res.bse, rtol=AS_ALONE)
        assert grp.nobs[name] == sizes[name] and grp.llf[name] == pytest.approx(res.llf, rel=AS_ALONE)
    monkeypatch.setattr(groups, "WIDE", 1)
    few = df.groupby("g").head(20)
    with monkeypatch.context() as nobody:
        nobody.setattr(groups, "_tile", None)
        grp = jg.glm_groups("y ~ x", few, by="g")
    for name in sizes:
        np.testing.assert_allclose(grp.bse.loc[name], jg.glm("y ~ x", few[few["g"] == name]).bse, rtol=AS_ALONE)


def test_rows_with_something_missing_are_left_out_of_their_group():
    rng = np.random.default_rng(1)
    df = pd.DataFrame({"g": list("abc") * 20, "x": rng.normal(size=60), "y": rng.normal(size=60)})
    df.loc[[3, 4, 30], "x"] = np.nan
    df.loc[df["g"] == "c", "y"] = np.nan
    df.loc[2, "y"] = 1.5
    grp = jg.glm_groups("y ~ x", df, by="g")
    assert grp.nobs.to_dict() == {"a": 18, "b": 19, "c": 1}
    res = jg.glm("y ~ x", df[df["g"] == "a"])
    np.testing.assert_allclose(grp.params.loc["a"], res.params, rtol=AS_ALONE)
    # One row: its own mean, and nothing left to estimate an error from.
    assert grp.params.loc["c"].to_list() == pytest.approx([1.5, np.nan], nan_ok=True)
    assert grp.converged["c"] and np.isnan(grp.bse.loc["c"]).all()
    np.testing.assert_allclose(grp["a"].resid(), res.resid(), rtol=1e-7, atol=1e-12)


@pytest.fixture
def small():
    rng = np.random.default_rng(2)
    df = pd.DataFrame({"g": np.repeat(["a", "b", "c"], 20), "x": rng.normal(size=60), "c": np.arange(60) % 5})
    df["d"] = np.arange(60) % 7
    return df.assign(y=rng.normal(size=60))


def test_a_bar_counts_groups(small, monkeypatch):
    shown = []

    class Bar:
        def __init__(self, **options):
            shown.append(options)

        def update(self, count):
            shown.append(count)

        def close(self):
            shown.append("closed")

    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", types.ModuleType("tqdm.auto"))
    sys.modules["tqdm.auto"].tqdm = Bar
    jg.glm_groups("y ~ x", small, by="g", progress=True)
    assert shown[0]["total"] == 3 and shown[-1] == "closed" and sum(v for v in shown[1:-1]) == 3
    shown.clear()
    jg.glm_groups("y ~ x", small, by="g", progress=False)
    assert not shown
    # Without tqdm: an error where a bar is asked for, none where it is only welcome.
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr("jaxglm.progress.PATIENCE", -1.0)
    jg.glm_groups("y ~ x", small, by="g")
    with pytest.raises(jg.MissingExtraError, match=r"jaxglm\[progress\]"):
        jg.glm_groups("y ~ x", small, by="g", progress=True)


COVARIANCES = {
    "HC2": "HC2",
    "HC3": "HC3",
    "clusters": jg.Cluster("c", "d"),
    "times": jg.HAC(2, time="t"),
}


@pytest.mark.parametrize("name", COVARIANCES)
def test_every_covariance_is_that_of_a_group_alone(small, name):
    rng = np.random.default_rng(5)
    df = small.assign(t=rng.permutation(60), w=rng.integers(1, 4, 60))
    weights = {} if name == "times" else {"freq_weights": "w"}
    grp = jg.glm_groups("y ~ x", df, by="g", cov=COVARIANCES[name], **weights)
    for key in grp:
        res = jg.glm("y ~ x", df[df["g"] == key], cov=COVARIANCES[name], **weights)
        np.testing.assert_allclose(grp.bse.loc[key], res.bse, rtol=AS_ALONE)
        np.testing.assert_allclose(grp.pvalues.loc[key], res.pvalues, rtol=1e-7)
    assert grp[key].cov_type == res.cov_type
    np.testing.assert_allclose(grp[key].bse, res.bse, rtol=1e-12)


def test_a_group_with_one_cluster_has_no_standard_errors(small):
    df = small.assign(c=small["c"].where(small["g"] != "b", 7))
    with pytest.warns(jg.DataWarning, match="1 of 3 groups have estimates but no .* 'b': all rows are in one cluster"):
        grp = jg.glm_groups("y ~ x", df, by="g", cov=jg.Cluster("c", "d"))
    assert grp.converged.all() and grp.params.notna().all().all()
    assert grp.bse.loc["b"].isna().all() and grp.bse.loc[["a", "c"]].notna().all().all()
    assert grp.cov_type == "cluster (c, d)"
    with pytest.raises(jg.InputError, match="one cluster of 'c'"):
        grp["b"]
    with pytest.raises(jg.InputError, match="one cluster"):
        jg.glm_groups("y ~ x", df.assign(c=1), by="g", cov=jg.Cluster("c"))
    with pytest.raises(jg.InputError, match="firm"):
        jg.glm_groups("y ~ x", df, by="g", cov=jg.HAC(1, time="firm"))
    with pytest.warns(jg.DataWarning, match="lags must be below"):
        grp = jg.glm_groups("y ~ x", df.iloc[:45], by="g", cov=jg.HAC(5))
    assert grp.bse.loc["c"].isna().all() and grp.converged["c"]


@pytest.fixture(scope="module")
def stores():
    """Six stores of 20 rows; x is constant in one and too large in another."""
    rng = np.random.default_rng(4)
    city, store = np.repeat(["Bonn", "Cork"], 60), np.tile(np.repeat([1, 2, 3], 20), 2)
    df = pd.DataFrame({"city": city, "store": store, "x": rng.normal(size=120)})
    df["y"] = 1.0 + 0.3 * df["x"] + rng.normal(size=120)
    df.loc[(df["city"] == "Bonn") & (df["store"] == 2), "x"] = 2.0
    df.loc[df.index[-1], "x"] = 1e200
    return df


@pytest.fixture(scope="module")
def grp(stores):
    with pytest.warns(jg.ConvergenceWarning, match="1 UNUSABLE"):
        return jg.glm_groups("y ~ x", stores, by=["city", "store"])


def content(result) -> bytes:
    file = io.BytesIO()
    result.save(file)
    return file.getvalue()


def test_a_loaded_result_is_the_same_without_its_rows(grp, stores, tmp_path):
    grp.save(tmp_path / "groups.jaxglm")
    back = jg.load(tmp_path / "groups.jaxglm")
    for name in ("params", "bse", "tvalues", "pvalues"):
        pd.testing.assert_frame_equal(getattr(back, name), getattr(grp, name), check_exact=True)
    for name in ("deviance", "llf", "aic", "scale", "status", "converged", "n_iter"):
        pd.testing.assert_series_equal(getattr(back, name), getattr(grp, name), check_exact=True)
    for one, other in ((back.tidy(True), grp.tidy(True)), (back.glance(), grp.glance()), (back.failed(), grp.failed())):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert str(back) == str(grp) and back.cov_type == "nonrobust" and ("Bonn", 3) in back
    new = pd.concat([stores.iloc[:40], stores.iloc[25:27].assign(x=1.0)], ignore_index=True)
    with pytest.warns(jg.DataWarning, match="2 of 42 predictions are NaN"):
        wanted = grp.predict(new)
    with pytest.warns(jg.DataWarning, match="2 of 42 predictions are NaN"):
        found = back.predict(new)
    pd.testing.assert_series_equal(found, wanted, check_exact=True)
    assert wanted.iloc[-2:].isna().all() and wanted.notna().sum() == 40
    with pytest.raises(jg.NotAvailableError, match=r"group \('Bonn', 3\) needs its rows"):
        back[("Bonn", 3)]
    assert content(back) == content(grp)
    assert len(content(grp)) < 30_000


def test_what_a_file_needs_is_asked_for(small):
    grp = jg.glm_groups(
        "y ~ half(x)", small, by="g", cov=jg.Cluster(small["c"], "d"), functions={"half": lambda x: x / 2}
    )
    data = content(grp)
    with pytest.raises(jg.InputError, match="functions="):
        jg.load(io.BytesIO(data))
    back = jg.load(io.BytesIO(data), functions={"half": lambda x: x / 2})
    pd.testing.assert_series_equal(back.predict(small), grp.predict(small), check_exact=True)
    assert back.cov_type == grp.cov_type == "cluster (c, d)" and back.bse.equals(grp.bse)


@pytest.mark.parametrize("part", ["batch", "work", "keys", "dependences", "labels"])
def test_a_damaged_file_is_no_result(grp, part):
    from jaxglm import archive

    manifest, arrays = archive.read(io.BytesIO(content(grp)), {"jaxglm grouped results": 1})
    file = io.BytesIO()
    archive.write(file, {**manifest, part: None}, arrays)
    file.seek(0)
    with pytest.raises(jg.StorageError, match="damaged"):
        jg.load(file)
    cut = [a[:-1] if a.ndim else a for a in arrays]
    file = io.BytesIO()
    archive.write(file, manifest, cut)
    file.seek(0)
    with pytest.raises(jg.StorageError, match="damaged"):
        jg.load(file)


def test_parquet(grp, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    path = tmp_path / "groups.parquet"
    grp.to_parquet(path, alpha=0.1)
    table = pq.read_table(path)
    frame = table.to_pandas()
    tidy = grp.tidy(conf_int=True, alpha=0.1)
    pd.testing.assert_frame_equal(frame[tidy.columns], tidy, check_dtype=False)
    per_group = frame.groupby(["city", "store"], sort=False)["deviance"]
    assert (per_group.nunique(dropna=False) == 1).all()
    np.testing.assert_array_equal(per_group.first(), grp.deviance)
    assert (frame["status"].to_numpy()[::2] == grp.status.to_numpy()).all()
    words = json.loads(table.schema.metadata[b"jaxglm"])
    assert words["formula"] == "y ~ x" and words["covariance"] == "nonrobust" and words["alpha"] == 0.1
    buffer = io.BytesIO()
    grp.to_parquet(buffer)
    assert len(buffer.getvalue()) > 1000
    with pytest.raises(FileNotFoundError, match="no such folder"):
        grp.to_parquet(tmp_path / "none" / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(jg.MissingExtraError, match=r"jaxglm\[parquet\]"):
        grp.to_parquet(path)
