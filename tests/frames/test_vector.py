"""Vectors given beside a frame: by name, as arrays, as Series with an index."""

import numpy as np
import pandas as pd
import pytest

from jaxglm.errors import DataError, FormulaError, InputTypeError
from jaxglm.frames import Factor, as_column, as_vector, read

FRAME = pd.DataFrame({"weight": [1, 2, 3], "f": list("aba"), "b": [True, False, True]}, index=["u", "v", "w"])
TABLE = read(FRAME)


@pytest.mark.parametrize(
    "value",
    ["weight", [1, 2, 3], (1, 2, 3), np.array([1, 2, 3], np.uint8), FRAME["weight"], FRAME["weight"].iloc[::-1]],
)
def test_ways_to_give_a_vector(value):
    found = as_vector(value, TABLE, "var_weights")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1, 2, 3])


def test_one_number_stands_for_all_rows():
    np.testing.assert_array_equal(as_vector(2, TABLE, "trials"), [2, 2, 2])


def test_truth_values_count_as_numbers_and_labels_do_not():
    np.testing.assert_array_equal(as_vector("b", TABLE, "offset"), [1, 0, 1])
    with pytest.raises(DataError, match="offset must be numbers, but got text or categories .column 'f'"):
        as_vector("f", TABLE, "offset")
    with pytest.raises(DataError, match="datetime64"):
        as_vector(pd.date_range("2024-01-01", periods=3).to_numpy(), TABLE, "offset")
    assert isinstance(as_column("f", TABLE, "groups"), Factor)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("wieght", FormulaError, "var_weights='wieght' is not a column.*Did you mean 'weight'"),
        ("log(weight)", FormulaError, "Expressions are not read here"),
        ([1, 2], DataError, "has 2 values but the data has 3 rows"),
        (np.ones((3, 1)), InputTypeError, r"shape \(3, 1\)"),
        (FRAME, InputTypeError, "one column but is a frame"),
        (None, InputTypeError, "NoneType"),
        (pd.Series([1, 2, 3]), DataError, "label 0 is not in the data"),
        (pd.Series([1, 2, 3], index=list("uuv")), DataError, "labels occur more than once"),
        (pd.Series([1, 2], index=list("uv")), DataError, "Series of 2 values"),
    ],
)
def test_what_is_refused(value, error, message):
    with pytest.raises(error, match=message):
        as_vector(value, TABLE, "var_weights")


def test_a_series_is_aligned_and_never_paired_by_position():
    shuffled = FRAME["weight"].loc[["w", "u", "v"]]
    np.testing.assert_array_equal(as_vector(shuffled, TABLE, "offset"), [1, 2, 3])
    repeated = read(pd.DataFrame({"x": [1, 2]}, index=[0, 0]))
    np.testing.assert_array_equal(as_vector(pd.Series([5, 6], index=[0, 0]), repeated, "offset"), [5, 6])
    plain = read(pd.DataFrame({"x": [1, 2]}))
    with pytest.raises(DataError, match="more than once"):
        as_vector(pd.Series([5, 6], index=[0, 0]), plain, "offset")


def test_a_series_beside_a_frame_without_index():
    table = read({"x": [1, 2, 3]})
    np.testing.assert_array_equal(as_vector(pd.Series([1, 2, 3]), table, "offset"), [1, 2, 3])
    with pytest.raises(DataError, match="no index to align"):
        as_vector(FRAME["weight"], table, "offset")
    with pytest.raises(DataError, match="no index to align"):
        as_vector(pd.Series([1, 2, 3], index=[0, 2, 1]), table, "offset")


def test_vectors_of_other_libraries():
    pl = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    np.testing.assert_array_equal(as_vector(pl.Series([1, None, 3]), TABLE, "offset"), [1, np.nan, 3])
    np.testing.assert_array_equal(as_vector(pa.array([1.0, 2.0, 3.0]), TABLE, "offset"), [1, 2, 3])
