"""Columns of every library and type."""

import decimal

import numpy as np
import pandas as pd
import pytest

from jaxglm.errors import DataError, FormulaError, InputTypeError
from jaxglm.frames import Datetime, Factor, Numeric, Table, concat_columns, read

NAN = float("nan")


def column(values, **options):
    return read({"c": pd.Series(values, **options)})["c"]


def assert_numbers(found, expected, integer=None):
    assert isinstance(found, Numeric)
    assert found.values.dtype == np.float64
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_array_equal(found.missing, np.isnan(expected))
    if integer is not None:
        assert found.integer is integer


def assert_factor(found, levels, codes):
    assert isinstance(found, Factor)
    assert found.levels == tuple(levels)
    assert found.codes.dtype == np.int32
    assert found.codes.tolist() == codes
    np.testing.assert_array_equal(found.missing, np.array(codes) < 0)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "i8", "u8", "f2", "f4", "f8", ">f8", ">i4", "longdouble"])
def test_numpy_numbers(dtype):
    assert_numbers(read({"c": np.array([1, 2, 200 % 128], dtype)})["c"], [1, 2, 72])


def test_float64_is_a_view():
    values = np.arange(4.0)
    assert np.shares_memory(read({"c": values})["c"].values, values)
    frame = pd.DataFrame({"a": values.copy(), "b": values.copy()})
    assert np.shares_memory(read(frame)["a"].values, frame["a"].to_numpy())


@pytest.mark.parametrize(
    ("values", "options", "expected", "integer"),
    [
        ([1, None, 3], {"dtype": "Int64"}, [1, NAN, 3], True),
        ([1, 2, 3], {"dtype": "UInt8"}, [1, 2, 3], True),
        ([1.5, None, 3], {"dtype": "Float32"}, [1.5, NAN, 3], False),
        ([decimal.Decimal("1.5"), None, decimal.Decimal(3)], {}, [1.5, NAN, 3], False),
        ([1, 2.5, None], {"dtype": object}, [1, 2.5, NAN], False),
        ([1, 2, None], {"dtype": object}, [1, 2, NAN], True),
        ([1, decimal.Decimal(2)], {"dtype": object}, [1, 2], False),
        ([None, None], {"dtype": object}, [NAN, NAN], None),
        ([np.float32(1.5), 2], {"dtype": object}, [1.5, 2], False),
        ([0.0, 1.0], {"dtype": pd.SparseDtype(float, 0.0)}, [0, 1], False),
    ],
)
def test_pandas_numbers(values, options, expected, integer):
    assert_numbers(column(values, **options), expected, integer)


@pytest.mark.parametrize(
    ("values", "options", "levels", "codes"),
    [
        (["b", None, "a", "b"], {}, ["a", "b"], [1, -1, 0, 1]),
        (["b", None, "a", ""], {"dtype": object}, ["", "a", "b"], [2, -1, 1, 0]),
        (["b", None, "a"], {"dtype": "string"}, ["a", "b"], [1, -1, 0]),
        ([True, False], {}, [False, True], [1, 0]),
        ([True, None, False], {"dtype": "boolean"}, [False, True], [1, -1, 0]),
        ([True, None, False], {"dtype": object}, [False, True], [1, -1, 0]),
        (pd.Categorical(["q", "p", None], categories=["q", "z", "p"]), {}, ["q", "z", "p"], [0, 2, -1]),
        (pd.Categorical([3, 1, 3]), {}, [1, 3], [1, 0, 1]),
        (pd.cut(pd.Series([1.0, 5.0, NAN]), [0, 2, 6]), {}, ["(0, 2]", "(2, 6]"], [0, 1, -1]),
    ],
)
def test_pandas_factors(values, options, levels, codes):
    found = column(values, **options)
    assert_factor(found, levels, codes)
    assert found.boolean is (tuple(levels) == (False, True))


def test_an_ordered_category_says_so():
    assert column(pd.Categorical(["a"], ordered=True)).ordered
    assert not column(["a"]).ordered


def test_numbers_as_levels():
    assert_factor(read({"c": np.array([7, 3, 7], np.uint8)})["c"].factor, [3, 7], [1, 0, 1])
    assert_factor(read({"c": [2.5, NAN, 1.0]})["c"].factor, [1.0, 2.5], [1, -1, 0])
    assert_factor(read({"c": np.array([127, -128, 3] * 50, np.int8)})["c"].factor, [-128, 3, 127], [2, 0, 1] * 50)
    assert_factor(read({"c": np.array([-2, -4, -3, -2])})["c"].factor, [-4, -3, -2], [2, 0, 1, 2])
    big = 2**60
    # As floats the two would be one.
    assert read({"c": np.array([big, big + 1])})["c"].factor.levels == (big, big + 1)


def test_truth_values_as_numbers():
    np.testing.assert_array_equal(column([True, None, False], dtype="boolean").values, [1, NAN, 0])
    with pytest.raises(DataError, match="levels, not numbers"):
        column(["a"]).values.sum()


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (pd.to_datetime(["2024-01-02", None, "2024-01-01"]), "datetime64"),
        (pd.to_datetime(["2024-01-02", "2024-01-01"]).tz_localize("UTC"), "datetime64"),
        (pd.to_timedelta([1, 2], "D"), "timedelta64"),
        (pd.period_range("2024-01", periods=2, freq="M"), "period"),
        ([pd.Timestamp("2024-01-02").date(), None], "date"),
    ],
)
def test_dates_are_neither(values, name):
    found = column(values)
    assert isinstance(found, Datetime) and name in found.type_name
    assert len(found.factor.levels) >= 1
    assert found.missing.sum() == pd.isna(pd.Series(values)).sum()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "a", 2], r"column 'c' mixes types: row 0 has 1 \(int\) but row 1 has 'a'"),
        ([None, "a", "b", 2.5], r"row 1 has 'a' \(str\) but row 3 has 2.5"),
        ([True, 3], r"row 0 has True \(bool\) but row 1 has 3"),
        ([1, True], r"row 1 has True"),
    ],
)
def test_mixed_columns_name_the_row(values, message):
    with pytest.raises(DataError, match=message):
        column(values, dtype=object)


def test_values_of_no_kind():
    with pytest.raises(InputTypeError, match="values of type list .row 0"):
        column([[1], [2]], dtype=object)
    with pytest.raises(InputTypeError, match="sequence in each row"):
        read({"c": [[1], [2]]})["c"]
    with pytest.raises(DataError, match="complex"):
        read({"c": np.array([1j])})["c"]
    with pytest.raises(InputTypeError, match=r"shape \(2, 2\)"):
        read({"c": np.zeros((2, 2))})


def test_dicts():
    table = read({"x": [1, 2], "t": ("a", "b"), "r": range(2), "u": np.array(["b", "a"]), "s": np.array([b"b", b"a"])})
    assert table.names == ("x", "t", "r", "u", "s") and table.n_rows == 2 and table.index is None
    assert_factor(table["u"], ["a", "b"], [1, 0])
    assert_factor(table["s"], ["a", "b"], [1, 0])
    assert read({"x": 1.0, "f": "a"}).n_rows == 1
    with pytest.raises(DataError, match="'x': 2, 'z': 3"):
        read({"x": [1, 2], "z": [1, 2, 3]})
    with pytest.raises(InputTypeError, match="'f' must hold one value a row"):
        read({"x": [1, 2], "f": "ab"})
    with pytest.raises(DataError, match="different indexes"):
        read({"a": pd.Series([1, 2]), "b": pd.Series([1, 2], index=[1, 0])})
    assert list(read({"a": pd.Series([1, 2], index=["u", "v"])}).index) == ["u", "v"]


def test_jax_arrays():
    jnp = pytest.importorskip("jax.numpy")
    table = read({"x": jnp.arange(3), "h": jnp.ones(3, jnp.bfloat16), "b": jnp.array([True, False, True])})
    assert_numbers(table["x"], [0, 1, 2], integer=True)
    assert_numbers(table["h"], [1, 1, 1])
    assert_factor(table["b"], [False, True], [1, 0, 1])


def test_structured_arrays():
    values = np.array([(1.0, 2), (3.0, 4)], dtype=[("a", "f8"), ("b", "i4")])
    assert_numbers(read(values)["b"], [2, 4], integer=True)
    with pytest.raises(InputTypeError, match="named columns"):
        read(np.zeros((2, 2)))


def test_frames_are_lazy_and_columns_are_kept():
    frame = pd.DataFrame({"x": [1.0], "bad": pd.Series([[1]], dtype=object)})
    table = read(frame)
    assert table["x"] is table["x"]
    assert read(table) is table
    with pytest.raises(InputTypeError):
        table["bad"]
    with pytest.raises(FormulaError, match="no column 'xx'.*Did you mean 'x'|Known: 'x'"):
        table["xx"]


def test_repeated_and_odd_column_names():
    frame = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["x", "x", 7])
    table = read(frame)
    assert_numbers(table["7"], [3])
    with pytest.raises(DataError, match="'x' occurs more than once"):
        table["x"]


def test_what_is_no_frame():
    for data in (None, 3, "y", [1, 2], [{"x": 1}], object()):
        with pytest.raises(InputTypeError, match="the data must be"):
            read(data)
    with pytest.raises(InputTypeError, match="to_frame"):
        read(pd.Series([1, 2], name="x"))


def test_pieces_of_a_column():
    text, other = column(["b", "a"]), column(["c", None])
    assert_factor(concat_columns([text, other]), ["a", "b", "c"], [1, 0, 2, -1])
    empty = column([None, None], dtype=object)
    assert_factor(concat_columns([empty, text]), ["a", "b"], [-1, -1, 1, 0])
    assert_numbers(concat_columns([column([1, 2]), column([0.5])]), [1, 2, 0.5], integer=False)
    assert_numbers(concat_columns([column([1, 2]), empty]), [1, 2, NAN, NAN])
    ordered = [
        column(pd.Categorical(["b"], categories=["b", "a"])),
        column(pd.Categorical(["a"], categories=["b", "a"])),
    ]
    assert concat_columns(ordered).levels == ("b", "a")
    both = concat_columns([column([True]), column([False])])
    assert both.boolean and both.codes.tolist() == [1, 0]
    with pytest.raises(DataError, match="'c' holds factor and numeric"):
        concat_columns([text, column([1.0])], "c")


# polars ---------------------------------------------------------------------------------------------------------------


def test_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        {
            "f": [1.0, None, NAN],
            "i": [1, None, 3],
            "u": pl.Series([1, 2, 250], dtype=pl.UInt8),
            "s": ["b", None, "a"],
            "b": [True, None, False],
            "d": [decimal.Decimal("1.5"), None, decimal.Decimal("2.5")],
            "e": pl.Series(["q", "p", None], dtype=pl.Enum(["q", "z", "p"])),
            "c": pl.Series(["q", "p", None], dtype=pl.Categorical),
            "n": [None, None, None],
            "t": pl.Series([1, 2, 3]).cast(pl.Date),
            "l": [[1], [2], [3]],
        }
    )
    table = read(frame)
    assert_numbers(table["f"], [1, NAN, NAN])
    assert_numbers(table["i"], [1, NAN, 3], integer=True)
    assert_numbers(table["u"], [1, 2, 250], integer=True)
    assert_numbers(table["d"], [1.5, NAN, 2.5])
    assert_numbers(table["n"], [NAN] * 3)
    assert_factor(table["s"], ["a", "b"], [1, -1, 0])
    assert_factor(table["b"], [False, True], [1, -1, 0])
    assert_factor(table["e"], ["q", "z", "p"], [0, 2, -1])
    assert_factor(table["c"], ["p", "q"], [1, 0, -1])
    assert isinstance(table["t"], Datetime)
    with pytest.raises(InputTypeError, match="polars type List"):
        table["l"]
    assert read(frame.lazy().select("i"))["i"].values[2] == 3
    # Codes of a categorical are shared with other columns and do not start at zero.
    other = frame.select(pl.col("c").filter(pl.col("c") == "p"))
    assert_factor(read(other)["c"], ["p"], [0])
    assert_factor(read({"c": frame["s"]})["c"], ["a", "b"], [1, -1, 0])
    empty = read(frame.clear())
    assert empty.n_rows == 0 and empty["c"].levels == () and empty["s"].levels == ()


# pyarrow --------------------------------------------------------------------------------------------------------------


def test_arrow():
    pa = pytest.importorskip("pyarrow")
    table = read(
        pa.table(
            {
                "f": pa.array([1.0, None, 2.0]),
                "i": pa.array([1, None, 3], pa.int32()),
                "u": pa.array([1, 2, 250], pa.uint8()),
                "s": pa.array(["b", None, "a"]),
                "b": pa.array([True, None, False]),
                "d": pa.array([decimal.Decimal("1.5"), None, decimal.Decimal("2.5")]),
                "c": pa.array(["q", None, "p"]).dictionary_encode(),
                "n": pa.nulls(3),
                "t": pa.array([1, 2, 3], pa.date32()),
                "l": pa.array([[1], [2], [3]]),
            }
        )
    )
    assert_numbers(table["f"], [1, NAN, 2])
    assert_numbers(table["i"], [1, NAN, 3], integer=True)
    assert_numbers(table["u"], [1, 2, 250], integer=True)
    assert_numbers(table["d"], [1.5, NAN, 2.5])
    assert_numbers(table["n"], [NAN] * 3)
    assert_factor(table["s"], ["a", "b"], [1, -1, 0])
    assert_factor(table["b"], [False, True], [1, -1, 0])
    assert_factor(table["c"], ["q", "p"], [0, -1, 1])
    assert isinstance(table["t"], Datetime)
    with pytest.raises(InputTypeError, match="Arrow type list"):
        table["l"]


def test_arrow_chunks_with_different_dictionaries():
    pa = pytest.importorskip("pyarrow")
    chunks = [pa.array(["q", "p"]).dictionary_encode(), pa.array(["z", "p", None]).dictionary_encode()]
    table = read(pa.table({"c": pa.chunked_array(chunks), "x": pa.chunked_array([[1.0, 2.0], [3.0, None, 5.0]])}))
    assert_factor(table["c"], ["q", "p", "z"], [0, 1, 2, 1, -1])
    assert_numbers(table["x"], [1, 2, 3, NAN, 5])
    batch = pa.record_batch({"s": pa.array(["b", "a"]), "x": pa.array([1.0, 2.0])})
    assert_factor(read(batch)["s"], ["a", "b"], [1, 0])
    assert np.shares_memory(read(batch)["x"].values, batch.column(1).to_numpy())
    assert_factor(column(pd.Series(["b", "a"], dtype=pd.ArrowDtype(pa.string()))), ["a", "b"], [1, 0])
    assert_numbers(column(pd.Series([1, None], dtype=pd.ArrowDtype(pa.int64()))), [1, NAN], integer=True)
    empty = read(pa.table({"c": pa.chunked_array([], pa.dictionary(pa.int32(), pa.string()))}))
    assert empty["c"].levels == ()


def test_narwhals_frames():
    nw = pytest.importorskip("narwhals")
    table = read(nw.from_native(pd.DataFrame({"x": [1.0, 2.0], "f": ["b", "a"]})))
    assert isinstance(table, Table)
    assert_factor(table["f"], ["a", "b"], [1, 0])
