"""Data that look odd and must just work."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import jaxglm as jg

SAME = 1e-8
N = 60
rng = np.random.default_rng(31)
x, z = rng.normal(size=N), rng.normal(size=N)
y = rng.poisson(np.exp(0.3 + 0.4 * x)) * 1.0
DATA = {"x": x, "z": z, "y": y, "f": np.array(list("abc") * 20, dtype=object)}
#: column added: (values, the columns it depends on as the warning puts it)
ALIASED = {
    "constant": (np.full(N, 3.0), "3 * Intercept"),
    "copy": (x.copy(), "x"),
    "sum": (x + 2 * z, "x + 2 * z"),
    "zero": (np.zeros(N), "always 0"),
    "far copy": (1e8 * x, r"1e\+08 * x"),
    "year in days": (np.full(N, 7.3e5) + 365 * x, r"7.3e\+05 * Intercept + 365 * x"),
}


def poisson(data=DATA, formula="y ~ x + z", **options):
    return jg.glm(formula, data, family="poisson", **options)


@pytest.fixture(scope="module")
def plain():
    return poisson()


@pytest.mark.parametrize("name", ALIASED)
def test_a_dependent_column_is_dropped_with_a_warning(name, plain):
    values, words = ALIASED[name]
    words = words.replace("*", r"\*").replace(" + ", r" \+ ")
    with pytest.warns(jg.AliasWarning, match=f"column 'more' .*{words}"):
        res = poisson({**DATA, "more": values}, "y ~ x + z + more")
    assert np.isnan(res.params["more"]) and np.isnan(res.bse["more"]) and res.converged
    np.testing.assert_allclose(res.params[:3], plain.params, rtol=SAME)
    np.testing.assert_allclose(res.bse[:3], plain.bse, rtol=SAME)
    assert (res.df_resid, res.df_model) == (plain.df_resid, plain.df_model)
    assert "aliased" in str(res.summary())


FRAMES = {
    "polars": pl.DataFrame,
    "polars lazy": lambda d: pl.DataFrame(d).lazy(),
    "arrow": pa.table,
    "pandas": pd.DataFrame,
    "pandas arrow": lambda d: pd.DataFrame(d).convert_dtypes(dtype_backend="pyarrow"),
    "lists": lambda d: {k: list(v) for k, v in d.items()},
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_kind_of_frame_gives_the_same(name):
    res = poisson(FRAMES[name](DATA), "y ~ x + f")
    want = poisson(DATA, "y ~ x + f")
    assert list(res.params.index) == list(want.params.index)
    np.testing.assert_allclose(res.params, want.params, rtol=1e-12)
    np.testing.assert_allclose(res.predict(FRAMES[name](DATA)), want.fittedvalues, rtol=1e-9)


DTYPES = ["uint8", "int8", "int16", "bool", "float32", "Int64", "Float64", "boolean"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_types_never_wrap_around(dtype):
    """Squares and sums of small integers would not fit their own type."""
    values = np.arange(N) % 2 if dtype.startswith("bool") else np.arange(N) * 2
    narrow = pd.DataFrame({"y": y, "a": pd.Series(values).astype(dtype)})
    wide = pd.DataFrame({"y": y, "a": values.astype(float)})
    if dtype.startswith("bool"):
        narrow_res, wide_res = poisson(narrow, "y ~ a"), poisson(wide, "y ~ a")
        matrix = jg.fit(narrow[["a"]], y, "poisson")
        np.testing.assert_allclose(matrix.params, wide_res.params, rtol=SAME)
    else:
        narrow_res, wide_res = poisson(narrow, "y ~ a + I(a**2)"), poisson(wide, "y ~ a + I(a**2)")
    np.testing.assert_allclose(narrow_res.params, wide_res.params, rtol=SAME)
    np.testing.assert_allclose(narrow_res.tvalues, wide_res.tvalues, rtol=SAME)


@pytest.mark.parametrize(("factor", "shift"), [(1e8, 0.0), (1e-8, 0.0), (1e10, 0.0), (1e-10, 0.0), (3.0e7, 1.7e9)])
def test_units_of_columns_do_not_matter(factor, shift, plain):
    """Large, small, and timestamps in seconds since 1970."""
    res = poisson({**DATA, "x": factor * x + shift})
    assert res.converged
    np.testing.assert_allclose(res.tvalues[["x", "z"]], plain.tvalues[["x", "z"]], rtol=1e-7)
    assert res.deviance == pytest.approx(plain.deviance, rel=SAME)


@pytest.mark.parametrize("family", ["poisson", "binomial"])
def test_a_response_of_zeros_is_separated(family):
    with pytest.warns(jg.SeparationWarning, match=r"Intercept \(-inf\)"):
        res = jg.glm("y ~ x + z", {**DATA, "y": np.zeros(N)}, family=family)
    assert res.status is jg.Status.SEPARATED and not res.converged
    assert np.all(res.fittedvalues < 1e-2)
    assert np.isfinite(res.params).all()


def test_a_perfect_gaussian_fit():
    res = jg.glm("y ~ x + z", {**DATA, "y": 1.0 + 2.0 * x - 3.0 * z})
    assert res.converged
    np.testing.assert_allclose(res.params, [1, 2, -3], rtol=1e-12)
    assert res.deviance < 1e-24 and np.all(res.bse < 1e-12)
    assert "converged" in str(res.summary())


@pytest.mark.parametrize(("family", "value"), [("gaussian", 4.0), ("poisson", 4.0), ("gamma", 4.0)])
def test_a_constant_response(family, value):
    link = "log" if family == "gamma" else None
    res = jg.glm("y ~ x + z", {**DATA, "y": np.full(N, value)}, family=family, link=link)
    assert res.converged
    np.testing.assert_allclose(res.fittedvalues, value, rtol=1e-9)
    np.testing.assert_allclose(res.params[1:], 0.0, atol=1e-8)
    assert res.null_deviance == pytest.approx(0.0, abs=1e-12)


def test_as_many_rows_as_coefficients():
    res = jg.glm("y ~ x + z", {k: v[:3] for k, v in DATA.items()})
    assert res.df_resid == 0 and np.isnan(res.scale) and np.isnan(res.bse).all()
    np.testing.assert_allclose(res.fittedvalues, y[:3], atol=1e-9)
    assert "nan" in str(res.summary())


def test_fewer_rows_than_coefficients():
    with pytest.warns(jg.AliasWarning, match="'z'"):
        res = jg.glm("y ~ x + z", {k: v[:2] for k, v in DATA.items()})
    assert np.isnan(res.params["z"]) and np.isfinite(res.params[["Intercept", "x"]]).all()


def test_two_rows():
    res = jg.glm("y ~ 1", {"y": [1.0, 3.0]}, family="poisson")
    assert res.params["Intercept"] == pytest.approx(np.log(2.0), rel=SAME)
    assert res.df_resid == 1


def test_one_row():
    res = jg.fit(np.zeros((1, 0)), [3.0], "poisson")
    assert res.params["Intercept"] == pytest.approx(np.log(3.0), rel=SAME)


def test_a_number_with_one_value_is_the_constant():
    with pytest.warns(jg.AliasWarning, match=r"'more'.*Intercept"):
        poisson({**DATA, "more": np.ones(N, int)}, "y ~ x + more")


def test_names_that_are_not_identifiers():
    data = pd.DataFrame(DATA).rename(columns={"x": "my column", "z": "2nd"})
    res = poisson(data, "y ~ `my column` + `2nd`")
    assert list(res.params.index) == ["Intercept", "my column", "2nd"]
    np.testing.assert_allclose(res.params, poisson().params, rtol=1e-12)
