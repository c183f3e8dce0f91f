"""What was learned, applied to other data; rows that are dropped; files; streams."""

import json

import numpy as np
import pandas as pd
import pytest
from matrices import matrix

from jaxglm.errors import DataError, FormulaError, InputError, UnseenLevelError
from jaxglm.formula import FormulaSpec, learn, learn_and_build, learn_stream
from jaxglm.frames import read

FORMULAS = [
    "y ~ x + f",
    "y ~ f*g + x:f",
    "log(t) ~ scale(x) + poly(z, 3) + offset(log(t))",
    "y ~ bs(x, df=5, extrapolation='extend'):f + ns(z, df=3)",
    "y ~ cr(x, df=4, constraints='center') + cc(z, df=4)",
    "g ~ C(f, Sum)*x + C(h, Poly) + C(k)",
    "cbind(k, 5 - k) ~ C(f, Treatment('b')) + cut(x, 3) + I(z > 0):x",
    "b ~ h + C(f, levels=['c', 'b', 'a', 'd']) + offset(t) + offset(scale(x))",
    "y ~ 0 + `my col`:f + C(f, [[1, 0], [0, 1], [2, 2]])",
    "y ~ 1",
]


def frame(n=120, seed=3):
    r = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "y": r.normal(size=n),
            "x": r.gamma(2.0, size=n),
            "z": r.normal(size=n),
            "t": r.uniform(1, 5, n),
            "k": r.integers(0, 4, n),
            "f": r.choice(list("abc"), n),
            "g": r.choice(["u", "v"], n),
            "b": r.random(n) > 0.4,
            "h": pd.Categorical(r.choice(list("pqrs"), n), categories=list("srqp")),
        }
    )
    data["my col"] = data["x"] * 2
    return data


def assert_same(a, b):
    np.testing.assert_array_equal(matrix(a), matrix(b))
    for name in ("offset", "keep"):
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None), name
        if left is not None:
            np.testing.assert_array_equal(left, right)


def split(data, sizes):
    stops = np.cumsum(sizes)
    return [data.iloc[a:b] for a, b in zip([0, *stops], [*stops, len(data)], strict=True)]


@pytest.mark.parametrize("text", FORMULAS)
def test_replay_in_pieces_and_from_a_file(text):
    data = frame()
    spec, whole = learn_and_build(text, read(data))
    assert_same(spec.build(read(data)), whole)
    again = FormulaSpec.from_json(json.loads(json.dumps(spec.to_json(), allow_nan=False)))
    assert again == spec
    assert again.names == spec.names and again.terms == spec.terms
    pieces = [again.build(read(p)) for p in split(data, [1, 7, 60])]
    # A product of matrices of another height may be summed in another order.
    np.testing.assert_allclose(np.concatenate([matrix(p) for p in pieces]), matrix(whole), rtol=0, atol=1e-15)
    if whole.offset is not None:
        np.testing.assert_array_equal(np.concatenate([p.offset for p in pieces]), whole.offset)
    assert all(p.design is again.design for p in pieces)


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_a_stream_learns_what_the_whole_learns(text, holes):
    data = frame()
    r = np.random.default_rng(8)
    if holes:
        for name in ("x", "f", "z", "h"):
            data[name] = data[name].where(r.random(len(data)) > holes)
    whole = learn(text, read(data))
    calls = []

    def tables():
        calls.append(1)
        return (read(p) for p in split(data, [5, 1, 30, 0, 40]))

    assert learn_stream([text], tables).specs == (whole,)
    assert calls == [1]


def test_a_stream_joins_levels_and_kinds():
    pieces = [
        {"f": [None, None], "k": [3, 1], "y": [1.0, 2.0], "c": pd.Series(["b"] * 2, dtype="category")},
        {"f": ["z", "a"], "k": [2.0, np.nan], "y": [1.0, 2.0], "c": pd.Series(["a", "b"], dtype="category")},
        {"f": ["m", "a"], "k": [7, 3], "y": [1.0, 2.0], "c": pd.Series(["c", "b"], dtype="category")},
    ]
    (spec,) = learn_stream(["y ~ f + C(k) + c"], lambda: iter([read(p) for p in pieces])).specs
    assert spec.factors[0].levels == ("a", "m", "z")
    # The row with k = 2 counts, the first piece has no f, so only its rows' levels of k are unknown.
    assert spec.factors[1].levels == (2.0, 3.0, 7.0)
    built = spec.build(read(pieces[0]), allow_empty=True)
    assert built.n_rows == 0 and matrix(built).shape == (0, len(spec.names))
    with pytest.raises(DataError, match="no rows"):
        learn_stream(["y ~ f"], lambda: iter([]))
    with pytest.raises(DataError, match="no row is left.*'f' in 2"):
        learn_stream(["y ~ f"], lambda: iter([read(pieces[0])]))


def test_weights_beside_a_stream_take_part():
    data = frame()
    data["w"] = np.where(data["f"] == "a", np.nan, 1.0)
    tables = (read(p) for p in split(data, [50]))
    (spec,) = learn_stream(["y ~ f"], lambda: tables, extra=lambda t: {"w": t["w"].values}).specs
    assert spec.factors[0].levels == ("b", "c")
    assert spec == learn("y ~ f", read(data), extra={"w": data["w"].to_numpy()})


def test_missing_rows_are_dropped_jointly_and_counted():
    data = frame(10)
    data.loc[[0, 1], "x"] = np.nan
    data.loc[[1, 2], "f"] = None
    data.loc[3, "y"] = np.nan
    weights = np.ones(10)
    weights[4] = np.nan
    spec, built = learn_and_build("y ~ x*f", read(data), extra={"w": weights})
    assert built.n_dropped == 5 and built.n_rows == 5
    assert built.dropped_by == {"x": 2, "f": 2, "y": 1, "w": 1}
    assert built.keep.tolist() == [False] * 5 + [True] * 5
    assert list(built.index) == list(range(5, 10))
    assert built.extra["w"].tolist() == [1.0] * 5
    np.testing.assert_array_equal(built.response.values, data["y"].to_numpy()[5:])
    assert_same(spec.build(read(data), extra={"w": weights}), built)
    with pytest.raises(DataError, match="'x' in 2 rows.*row 0"):
        spec.build(read(data), missing="raise")
    with pytest.raises(InputError, match="missing must be"):
        spec.build(read(data), missing="ignore")


def test_missing_rows_may_be_kept_for_predictions():
    data = frame(10)
    spec = learn("y ~ x*f + g + x:z", read(data))
    data.loc[[0, 1], "x"] = np.nan
    data.loc[[1, 2], "f"] = None
    built = spec.build(read(data), missing="keep", response=False)
    assert built.keep is None and built.n_rows == 10 and built.n_dropped == 0
    assert built.bad_rows.tolist() == [True] * 3 + [False] * 7
    assert np.isfinite(matrix(built)).all()


def test_a_mask_of_rows_leaves_rows_out():
    data = frame(20)
    rows = np.arange(20) % 2 == 0
    spec, built = learn_and_build("y ~ x + f", read(data), rows=rows)
    assert built.n_rows == 10 and built.n_dropped == 0
    np.testing.assert_array_equal(built.keep, rows)
    np.testing.assert_array_equal(matrix(built), matrix(spec.build(read(data[rows]))))


def test_repeated_index_labels_do_no_harm():
    data = frame(12)
    data.index = [0] * 12
    data.loc[:, "x"] = np.where(np.arange(12) == 3, np.nan, data["x"])
    built = learn_and_build("y ~ x + f", read(data))[1]
    assert built.n_dropped == 1 and len(built.index) == 11


def test_levels_come_from_the_rows_that_are_used():
    data = pd.DataFrame({"x": [1.0, 2.0, 3.0, np.nan], "f": pd.Categorical(list("abac"), categories=list("cbaz"))})
    assert learn("f", read(data), response=False).names == ("Intercept", "f[T.b]", "f[T.a]")
    assert learn("x + f", read(data), response=False).factors[1].levels == ("b", "a")
    listed = learn("x + C(f, levels=['a', 'b', 'c', 'z'])", read(data), response=False)
    assert listed.factors[1].levels == ("a", "b", "c", "z")


def test_values_outside_listed_levels_are_missing():
    built = learn_and_build("C(f, levels=['a', 'b'])", read({"f": list("abcab")}), response=False)[1]
    assert built.n_dropped == 1 and built.keep.tolist() == [True, True, False, True, True]


def test_unseen_levels():
    spec = learn("y ~ f*x", read(frame()))
    new = pd.DataFrame({"f": ["a", "q", "b", "w", "q"], "x": 1.0}, index=list("ABCDE"))
    with pytest.raises(UnseenLevelError, match=r"'f' has levels .*'q', 'w' \(first in row 1 \(index 'B'\)\).*'a', 'b'"):
        spec.build(read(new), response=False)
    built = spec.build(read(new), response=False, unseen="nan")
    assert built.bad_rows.tolist() == [False, True, False, True, True]
    assert matrix(built).shape == (5, len(spec.names))
    # A row that is dropped for another reason may have any level.
    gone = new.assign(x=[1.0, np.nan, 1.0, np.nan, np.nan])
    assert spec.build(read(gone), response=False).n_rows == 2
    with pytest.raises(InputError, match="unseen must be"):
        spec.build(read(new), response=False, unseen="zero")


def test_values_outside_a_spline():
    spec = learn("y ~ bs(x, df=4)", read(frame()))
    new = read({"x": [1.0, 500.0]})
    with pytest.raises(DataError, match="row 1 has 500, outside"):
        spec.build(new, response=False)
    assert spec.build(new, response=False, unseen="nan").bad_rows.tolist() == [False, True]


def test_columns_that_changed_their_kind():
    spec = learn("y ~ x + f", read(frame()))
    with pytest.raises(DataError, match="'x' was numbers at the fit but is a factor"):
        spec.build(read({"x": ["1"], "f": ["a"]}), response=False)
    with pytest.raises(DataError, match="'f' was text or categories"):
        spec.build(read({"x": [1.0], "f": [1]}), response=False)
    with pytest.raises(FormulaError, match="no column 'f'.*needs"):
        spec.build(read({"x": [1.0], "ff": [1]}), response=False)


def test_responses():
    data = frame()
    numeric = learn_and_build("I(y > 0) ~ x", read(data))[1].response
    assert numeric.kind == "factor" and numeric.factor.boolean
    np.testing.assert_array_equal(numeric.values, (data["y"] > 0).astype(float))
    spec, built = learn_and_build("g ~ x", read(data))
    assert built.response.kind == "factor" and built.response.factor.levels == ("u", "v")
    np.testing.assert_array_equal(built.response.factor.codes, (data["g"] == "v").astype(int))
    with pytest.raises(UnseenLevelError, match="'w'"):
        spec.build(read({"g": ["w"], "x": [1.0]}))
    counts = learn_and_build("cbind(k, 5 - k) ~ x", read(data))[1].response
    assert counts.kind == "counts" and counts.name == "cbind(k, 5 - k)"
    np.testing.assert_array_equal(counts.success + counts.failure, np.full(len(data), 5.0))
    assert learn("np.log(t) ~ x", read(data)).response_name == "np.log(t)"
    assert learn("`my col` ~ x", read(data)).response_variables == ("my col",)


def test_offsets_add_up_and_are_evaluated_again():
    data = frame()
    spec, built = learn_and_build("y ~ x + offset(log(t)) + offset(z)", read(data))
    assert spec.offset_terms == ("log(t)", "z") and spec.variables == ("x", "t", "z")
    np.testing.assert_allclose(built.offset, np.log(data["t"]) + data["z"], rtol=1e-15)
    new = spec.build(read({"x": [1.0], "t": [np.e], "z": [2.0]}), response=False)
    np.testing.assert_allclose(new.offset, [3.0])
    # As in R, a column in an offset is not thereby taken out of the dot.
    assert learn("y ~ . + offset(t)", read(data[["y", "x", "t"]])).names == ("Intercept", "x", "t")
    assert learn("y ~ x + offset(t) - offset(t)", read(data)).offset_terms == ()


def test_functions_of_the_user():
    def twice(x):
        assert not x.flags.writeable
        return 2 * x

    def powers(x):
        return np.stack([x, x**2], axis=1)

    functions = {"twice": twice, "powers": powers}
    data = frame()
    spec, built = learn_and_build("y ~ twice(x) + powers(z):f", read(data), functions=functions)
    assert spec.names[:3] == ("Intercept", "twice(x)", "powers(z)[0]:f[a]")
    np.testing.assert_array_equal(matrix(built)[:, 1], 2 * data["x"])
    saved = json.loads(json.dumps(spec.to_json()))
    with pytest.raises(FormulaError, match="calls your function 'powers'"):
        FormulaSpec.from_json(saved)
    assert_same(FormulaSpec.from_json(saved, functions).build(read(data)), built)
    with pytest.raises(FormulaError, match="your function twice.. failed"):
        learn("y ~ twice(f)", read(data), functions={"twice": lambda x: x / 2})
    with pytest.raises(FormulaError, match="one value for each of the 120 rows"):
        learn("y ~ twice(x)", read(data), functions={"twice": lambda x: x[:3]})


def test_columns_named_like_functions_and_functions_of_them():
    data = pd.DataFrame({"y": [1.0, 2.0, 3.0], "log": [1.0, 2.0, 4.0], "C": list("aba"), "my.var": [3.0, 1.0, 2.0]})
    spec, built = learn_and_build("y ~ log(log) + C(C) + sqrt(my.var)", read(data))
    assert spec.names == ("Intercept", "log(log)", "C(C)[T.b]", "sqrt(my.var)")
    np.testing.assert_allclose(matrix(built)[:, 1], np.log(data["log"]))


def test_small_integers_do_not_wrap():
    built = learn_and_build("I(k - 5) + I(k*k)", read({"k": np.array([1, 200], np.uint8)}), response=False)[1]
    np.testing.assert_array_equal(matrix(built)[:, 1:], [[-4.0, 1.0], [195.0, 40000.0]])


def test_quotes_inside_names_and_state_of_backticks():
    data = pd.DataFrame({"it's": [1.0, 2.0, 4.0], "my col": [1.0, 2.0, 3.0], "my_col": [5.0, 1.0, 1.0]})
    spec = learn('scale(Q("it\'s")) + scale(`my col`) + my_col', read(data), response=False)
    moved = spec.build(read(data + 10))
    np.testing.assert_allclose(matrix(moved)[:, 2], (data["my col"] + 10 - 2) / 1.0)


def test_the_parts_of_the_design():
    data = frame()
    spec, built = learn_and_build("y ~ x + f + z + f:x + f:g", read(data))
    kinds = [type(p).__name__ for p in built.design.kinds]
    assert kinds == ["Constant", "Columns", "Categorical", "Categorical", "Categorical"]
    assert built.x[0] == () and [column.shape for column in built.x[1]] == [(120,), (120,)]
    assert built.x[2].dtype == np.int32
    assert isinstance(built.x[3], tuple) and built.design.kinds[3].scaled
    assert built.x[3][0] is built.x[2]
    assert sorted(p for place in built.design.places for p in place) == list(range(len(spec.names)))
    assert matrix(learn_and_build("y ~ 0", read(data))[1]).shape == (120, 0)


def test_numeric_columns_are_read_where_they_lie():
    """No copy is made of a column of float64; many columns become one matrix, which is ours."""
    data = {f"x{j}": np.arange(5.0) + j for j in range(65)}
    built = learn_and_build("0 + x0 + x1", read(data), response=False)[1]
    assert all(np.shares_memory(column, data[f"x{j}"]) for j, column in enumerate(built.x[0]))
    many = learn_and_build("0 + " + " + ".join(data), read(data), response=False)[1].x[0]
    assert many.ctypes.data % 64 == 0 and many.flags.c_contiguous
    np.testing.assert_array_equal(many, np.column_stack(list(data.values())))


def test_many_levels_stay_codes():
    n = 30_000
    table = read({"f": np.arange(n), "y": np.zeros(n)})
    spec, built = learn_and_build("y ~ C(f)", table)
    assert len(spec.names) == n
    assert built.design.kinds[1].coding.column_of_level.shape == (n,)
