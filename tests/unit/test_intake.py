"""Responses, offsets and exposures, at the fit and again at prediction."""

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm.intake import whole

#: The same numbers by another way in.
SAME = 1e-9
N = 60
rng = np.random.default_rng(51)
x = rng.normal(size=N)
won = rng.random(N) < 1 / (1 + np.exp(-0.7 * x))
count = rng.poisson(np.exp(0.5 + 0.3 * x)) * 1.0
time = rng.uniform(0.5, 3.0, N)
NEW = pd.DataFrame({"x": [0.0, 1.0, -1.0], "t": [1.0, 2.0, 0.5]})


def labels(values, **options):
    return pd.Series(np.where(won, *values), **options)


#: name: (response, whether success is what `won` says, words of the note or None)
RESPONSES = {
    "bool": (won, True, "won is True"),
    "0/1": (won * 1.0, True, None),
    "integers": (won.astype("int8"), True, None),
    "text in order": (labels(("yes", "no")), True, "won is 'yes' (against 'no')"),
    "text against it": (labels(("a", "b")), False, "won is 'b' (against 'a')"),
    "category order": (
        pd.Series(pd.Categorical(np.where(won, "a", "b"), categories=["b", "a"])), True, "won is 'a' (against 'b')"),
    "category with an unused level": (
        pd.Series(pd.Categorical(np.where(won, "u", "t"), categories=["s", "t", "u"])), True, "won is 'u'"),
    "arrow text": (labels(("yes", "no")).astype("string[pyarrow]"), True, "won is 'yes'"),
    "nullable bool": (pd.Series(won).astype("boolean"), True, "won is True"),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    return jg.fit(x[:, None], won * 1.0, "binomial", names=["x"])


@pytest.mark.parametrize("way", ["glm", "fit"])
@pytest.mark.parametrize("name", RESPONSES)
def test_two_outcomes(name, way, plain):
    values, success, note = RESPONSES[name]
    if way == "glm":
        res = jg.glm("won ~ x", pd.DataFrame({"won": values, "x": x}), family="binomial")
    else:
        res = jg.fit(x[:, None], pd.Series(values, name="won"), "binomial", names=["x"])
    np.testing.assert_allclose(res.params, plain.params * (1 if success else -1), rtol=SAME)
    text = " ".join(str(res.summary()).split())
    assert (f"probability that {note}" in text) if note else ("probability that" not in text)


#: name: (family, y, trials, words)
NOTES = {
    "fractions": ("binomial", 0.5 * won + 0.25, None, "fractional (quasi-likelihood) model"),
    "trials that do not fit": ("binomial", 0.5 * won + 0.25, np.full(N, 3.0), "not a whole number in some rows"),
    "rates": ("poisson", count / time, None, "give exposure= instead"),
    "whole numbers": ("poisson", count, None, None),
}


@pytest.mark.parametrize("name", NOTES)
def test_what_looks_like_a_mistake_is_noted(name):
    family, y, trials, words = NOTES[name]
    res = jg.fit(x[:, None], y, family, trials=trials)
    text = " ".join(str(res.summary()).split())
    for any_words in {w for *_, w in NOTES.values() if w}:
        assert (any_words in text) is (any_words == words)


def test_dropped_rows_are_counted_by_column():
    data = pd.DataFrame({"y": count, "x": x, "t": time}, index=[f"r{i}" for i in range(N)])
    data.iloc[[1, 2], 1] = np.nan
    data.iloc[[2, 5], 0] = np.nan
    res = jg.glm("y ~ x", data, family="poisson", exposure="t")
    assert res.nobs == N - 3
    assert "3 rows with missing values dropped" in " ".join(str(res.summary()).split())
    kept = [label for i, label in enumerate(data.index) if i not in (1, 2, 5)]
    assert list(res.fittedvalues.index) == kept == list(res.resid().index)
    assert list(res.augment().index) == kept


@pytest.mark.parametrize("places", [[5], [0, 5, N - 1]])
def test_values_missing_from_a_large_matrix_are_found_by_its_sums(places, monkeypatch):
    """Of such a matrix only some rows are looked at beforehand."""
    X, y = np.column_stack([x, time]), count.copy()
    X[places, 1] = np.nan
    want, looks = jg.fit(X, y, "poisson"), []
    monkeypatch.setattr(whole, "_UNREAD", 0)
    monkeypatch.setattr(whole, "_holes", lambda m, f=whole._holes: looks.append(m) or f(m))
    res = jg.fit(X, y, "poisson")
    assert len(looks) == 1 and res.nobs == N - len(places)
    assert "missing values dropped: x2" in " ".join(str(res.summary()).split())
    np.testing.assert_array_equal(res.params, want.params)
    with pytest.raises(jg.DataError, match=f"x2 is missing in row {places[0]}"):
        jg.fit(X, y, "poisson", missing="raise")
    X[places, 1] = np.inf
    with pytest.raises(jg.DataError, match=f"(?s)'x2' is not finite.*row {places[0]}"):
        jg.fit(X, y, "poisson")
    X[places, 1], y[3] = 0.0, -1.0
    with pytest.raises(jg.DataError, match="(?s)numbers >= 0.*row 3"):
        jg.fit(X, y, "poisson")


#: How an offset of log(t) is given at the fit: options of glm, and what predict then needs.
OFFSETS = {
    "formula": ("y ~ x + offset(log(t))", {}, {}),
    "exposure by name": ("y ~ x", {"exposure": "t"}, {}),
    "offset by name": ("y ~ x", {"offset": "logt"}, {}),
    "exposure as values": ("y ~ x", {"exposure": time}, {"exposure": NEW["t"].to_numpy()}),
    "offset as values": ("y ~ x", {"offset": np.log(time)}, {"offset": np.log(NEW["t"].to_numpy())}),
    "exposure by name at predict": ("y ~ x", {"exposure": time}, {"exposure": "t"}),
}


@pytest.mark.parametrize("name", OFFSETS)
def test_an_offset_is_evaluated_again(name):
    formula, options, again = OFFSETS[name]
    data = pd.DataFrame({"y": count, "x": x, "t": time, "logt": np.log(time)})
    res = jg.glm(formula, data, family="poisson", **options)
    new = NEW.assign(logt=np.log(NEW["t"]))
    want = NEW["t"] * np.exp(res.params["Intercept"] + res.params["x"] * NEW["x"])
    np.testing.assert_allclose(res.predict(new, **again), want, rtol=SAME)
    np.testing.assert_allclose(res.predict(new, which="linear", **again), np.log(want), rtol=1e-8, atol=SAME)


def test_one_number_as_exposure_at_predict():
    res = jg.fit(x[:, None], count, "poisson", exposure=time, names=["x"])
    one, three = (res.predict(NEW[["x"]].to_numpy(), exposure=e) for e in (1.0, 3.0))
    np.testing.assert_allclose(three, 3.0 * one, rtol=SAME)


def test_rows_that_cannot_be_predicted_are_nan():
    data = pd.DataFrame({"y": count, "x": x, "f": np.array(list("ab") * 30, dtype=object)})
    res = jg.glm("y ~ x + f", data, family="poisson")
    new = pd.DataFrame({"x": [0.0, np.nan, 1.0, 0.0], "f": ["a", "a", "b", "q"]}, index=list("stuv"))
    made = res.predict(new, unseen="nan")
    assert list(made.index) == list("stuv") and made.isna().tolist() == [False, True, False, True]
    assert made["s"] == pytest.approx(np.exp(res.params["Intercept"]), rel=SAME)
    frame = res.get_prediction(new, unseen="nan").summary_frame()
    assert frame.isna().all(axis=1).tolist() == [False, True, False, True]


def test_series_beside_a_frame_are_aligned_by_label():
    data = pd.DataFrame({"y": count, "x": x}, index=np.arange(N) + 100)
    weights = pd.Series(time, index=data.index)
    one = jg.glm("y ~ x", data, family="poisson", var_weights=weights)
    other = jg.glm("y ~ x", data, family="poisson", var_weights=weights.iloc[::-1])
    np.testing.assert_allclose(one.params, other.params, rtol=1e-13)
    y = pd.Series(count, index=data.index)
    by_label = jg.fit(data[["x"]], y.iloc[::-1], "poisson", var_weights=time)
    np.testing.assert_allclose(by_label.params, one.params, rtol=1e-12)


def test_without_an_intercept():
    """A constant column of X counts as the intercept of the null model."""
    ones = np.column_stack([np.ones(N), x])
    given = jg.fit(ones, count, "poisson", intercept=False, names=["one", "x"])
    made = jg.fit(x[:, None], count, "poisson", names=["x"])
    np.testing.assert_allclose(given.params, made.params, rtol=SAME)
    assert given.null_deviance == pytest.approx(made.null_deviance, rel=SAME) and given.df_model == 1
    bare = jg.fit(x[:, None], count, "poisson", intercept=False)
    assert bare.fit.df_null == N
    assert bare.null_deviance == pytest.approx(2 * np.sum(count * np.log(np.maximum(count, 1)) - count + 1), rel=SAME)
