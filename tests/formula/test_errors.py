"""Every mistake is named, with what to do."""

import numpy as np
import pandas as pd
import pytest

from jaxglm.errors import DataError, FormulaError, InputTypeError
from jaxglm.formula import learn, learn_and_build
from jaxglm.frames import read

DATA = {
    "y": [1.0, 2.0, 3.0, 4.0],
    "x": [0.0, 1.0, 2.0, 3.0],
    "salary": [1.0, 2.0, 3.0, 5.0],
    "f": list("abab"),
    "one": list("aaaa"),
    "s": [1, 2, 3, 4],
    "n": [5, 5, 5, 5],
    "b": [True, False, True, True],
    "day": pd.Series(pd.date_range("2024-01-01", periods=4)),
    "inf": [1.0, np.inf, 2.0, 3.0],
    "gone": [np.nan] * 4,
}

CASES = [
    (3, InputTypeError, "a formula is a string"),
    (None, InputTypeError, "NoneType"),
    ("", FormulaError, "empty"),
    ("  ", FormulaError, "empty"),
    ("y", FormulaError, "no '~'"),
    ("~ x", FormulaError, "nothing left of '~'"),
    ("y ~", FormulaError, "nothing right"),
    ("y ~ x ~ f", FormulaError, "2 '~' signs"),
    ("y ~ salry", FormulaError, "no column 'salry'.*Did you mean 'salary'"),
    ("y ~ log(salry)", FormulaError, "no column 'salry' .*Did you mean 'salary'"),
    ("yy ~ x", FormulaError, "no column 'yy'"),
    ("y ~ x | f", FormulaError, "several parts.*dict"),
    ("y ~ x + (1|f)", FormulaError, "random effect"),
    ("y ~ (x || f)", FormulaError, "random effect"),
    ("s/n ~ x", FormulaError, r"cbind\(s, n - s\).*I\(s / n\).*trials"),
    ("s + n ~ x", FormulaError, r"cbind\(a, b\).*I\(a \+ b\)"),
    ("y*2 ~ x", FormulaError, r"I\(y\*2\)"),
    ("1 ~ x", FormulaError, "one response"),
    ("y > 0 ~ x", FormulaError, "inside I"),
    ("y = x", FormulaError, "'=' at position 2"),
    ("y ~ 'x'", FormulaError, "back-ticks"),
    ("y ~ x $ f", FormulaError, "at position 6"),
    ("y ~ x +", FormulaError, "cannot read"),
    ("y ~ * x", FormulaError, "cannot read"),
    ("y ~ x f", FormulaError, "cannot read"),
    ("y ~ (x + f", FormulaError, "cannot read"),
    ("y ~ x)", FormulaError, "cannot read"),
    ("y ~ log(x", FormulaError, "never closed"),
    ("y ~ `x", FormulaError, "never closed"),
    ("y ~ x**f", FormulaError, "cannot read"),
    ("y ~ 2*x", FormulaError, "cannot read.*Numeric literals"),
    ("y ~ lag(x)", FormulaError, "lag.*before the fit"),
    ("y ~ mean(x)", FormulaError, "center"),
    ("y ~ np.mean(x)", FormulaError, "center"),
    ("y ~ s(x)", FormulaError, "smooth"),
    ("y ~ scal(x)", FormulaError, "'scale'"),
    ("y ~ sqr(x)", FormulaError, "sqr.*functions={'f': f}"),
    ("y ~ x.fillna(0)", FormulaError, "not a function"),
    ("y ~ I(x.values)", FormulaError, "attribute"),
    ("y ~ I(log)", FormulaError, "is a function"),
    ("y ~ log", FormulaError, "is a function"),
    ("y ~ bs(x, dff=3)", FormulaError, "no argument 'dff'.*'df'"),
    ("y ~ bs(x, df=3, df=4)", FormulaError, "cannot read|'df'"),
    ("y ~ poly(x, 2, degree=2)", FormulaError, "given twice"),
    ("y ~ log(x, 2, 3)", FormulaError, "at most 2 arguments"),
    ("y ~ log()", FormulaError, "wrong arguments"),
    ("y ~ poly(x, 0)", FormulaError, "whole number from 1"),
    ("y ~ poly(x, 1.5)", FormulaError, "whole number"),
    ("y ~ bs(x, df=3, extrapolation='no')", FormulaError, "extrapolation"),
    ("y ~ ns(x, df=3, knots=[1])", FormulaError, "not both"),
    ("y ~ cut(x, [1])", FormulaError, "two different"),
    ("y ~ cut(x, 2, labels=['a'])", FormulaError, "2 different texts"),
    ("y ~ I(2)", FormulaError, "one value for each"),
    ("y ~ I([1, 2])", FormulaError, "one value for each"),
    ("y ~ I(f + 1)", FormulaError, "needs numbers"),
    ("y ~ log(f)", FormulaError, "needs numbers but got a factor"),
    ("y ~ I(poly(x, 2) + 1)", FormulaError, "needs numbers but got 2 columns"),
    ("y ~ I(x & f)", FormulaError, "true/false"),
    ("y ~ I(0 < x < 2)", FormulaError, "chains comparisons"),
    ("y ~ I(f < 'b')", FormulaError, "== or !="),
    ("y ~ day", FormulaError, "dates or times.*days"),
    ("y ~ log(day)", FormulaError, "dates or times.*days"),
    ("day ~ x", FormulaError, "dates or times"),
    ("y ~ offset(x):f", FormulaError, "term of its own"),
    ("y ~ x*offset(s)", FormulaError, "term of its own"),
    ("y ~ offset(x, s)", FormulaError, "one expression"),
    ("y ~ log(offset(x))", FormulaError, "term of its own"),
    ("y ~ offset(f)", FormulaError, "needs numbers"),
    ("y ~ offset(poly(x, 2))", FormulaError, "one column"),
    ("y ~ cbind(s, n)", FormulaError, "left of '~'"),
    ("cbind(s) ~ x", FormulaError, "two columns"),
    ("cbind(s, f) ~ x", FormulaError, "needs numbers"),
    ("poly(y, 2) ~ x", FormulaError, "one column"),
    ("y ~ C(f, Treatment('zz'))", FormulaError, "'zz' is not a level.*'a', 'b'"),
    ("y ~ C(f, 'Sum')", FormulaError, "Treatment\\('Sum'\\), Sum"),
    ("y ~ C(f, x)", FormulaError, "must be a contrast"),
    ("y ~ C(f, [[1], [2], [3]])", FormulaError, "levels"),
    ("y ~ C(f, [[1], [2, 3]])", FormulaError, "different lengths"),
    ("y ~ C(f, levels='ab')", FormulaError, "must be a list"),
    ("y ~ C(f, levels=['a', 'a'])", FormulaError, "twice"),
    ("y ~ relevel(f, 'c')", FormulaError, "not a level"),
    ("y ~ one", DataError, "'one' has only the level 'a'.*two or more"),
    ("y ~ C(one, Sum)", DataError, "only the level 'a'"),
    ("y ~ log(x)", DataError, r"'log\(x\)' is -inf in row 0 \(x = 0\)"),
    ("y ~ sqrt(x - 2)", DataError, r"not a number in row 0 \(x = 0\)"),
    ("y ~ I(x / x)", DataError, "not a number in row 0"),
    ("y ~ inf", DataError, "'inf' is inf in row 1"),
    ("inf ~ x", DataError, "'inf' is inf in row 1"),
    ("y ~ x + offset(log(x))", DataError, "-inf in row 0"),
    ("y ~ f:inf", DataError, "'inf' is inf in row 1"),
    ("y ~ gone", DataError, "no row is left.*'gone' in 4"),
    ("y ~ cut(f, 3)", FormulaError, "needs numbers"),
    ("y ~ scale(x, ddof=4)", DataError, "more than 4 values"),
    ("y ~ ifelse(x, 1, 2)", FormulaError, "true/false"),
    ("y ~ I(TRUE)", FormulaError, "one value for each"),
    ("y ~ I(x in 3)", FormulaError, "list of constants"),
    ("y ~ c(x, s)", FormulaError, "constants only"),
]


@pytest.mark.parametrize(("text", "error", "message"), CASES, ids=[repr(c[0]) for c in CASES])
def test_mistakes_are_explained(text, error, message):
    with pytest.raises(error, match="(?s)" + message):
        learn(text, read(DATA))


def test_no_rows():
    with pytest.raises(DataError, match="no rows"):
        learn("y ~ x", read({"y": np.zeros(0), "x": np.zeros(0)}))


def test_the_row_is_named_by_its_label_too():
    data = pd.DataFrame({"y": [1.0, 2.0], "x": [1.0, 0.0]}, index=["first", "second"])
    with pytest.raises(DataError, match=r"row 1 \(index 'second'\) \(x = 0\)"):
        learn("y ~ log(x)", read(data))


def test_an_infinite_value_in_a_row_that_is_dropped_does_no_harm():
    data = {"y": [np.nan, 1.0, 2.0], "x": [0.0, 1.0, 2.0]}
    assert learn("y ~ log(x)", read(data)).names == ("Intercept", "log(x)")


def test_the_many_combinations_of_two_large_factors_are_refused():
    n = 20_000
    table = read({"a": np.arange(n), "b": np.arange(n), "y": np.zeros(n)})
    with pytest.raises(DataError, match="combinations of levels"):
        learn_and_build("y ~ C(a):C(b)", table)
