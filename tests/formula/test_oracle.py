"""Columns and names against formulaic's own one-hot matrix, which stays the oracle.

What differs on purpose is left out of the list: truth values (a factor here, as in R), powers written ``^`` inside a
call, and missing values under ``scale``.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from matrices import matrix

from jaxglm.formula import grammar, learn, learn_and_build, parse
from jaxglm.frames import read

#: A three-way product is rounded in another order.
ROUNDING = 1e-14

FORMULAS = [
    "1", "x", "x + z - 1", "0 + x", "x*z", "x:z", "2:x", "x:x", "f", "0 + f", "f - 1", "f + g", "0 + f + g", "f*g",
    "f:g", "0 + f:g", "f:g:h", "f*g*h", "(f + g + h)**3", "(x + z + f)^2 - x:z", "f/g", "x/f", "f %in% g", "x:f",
    "f:x", "f*x", "f:x + f", "0 + f:x + f", "x + f:x", "f:x:z", "f:g:x", "x:f:g", "f + C(f)", "h", "h*x", "C(k)",
    "C(k):x", "C(k % 3) + h:f", "poly(x, 3)", "poly(x, 2, raw=True)", "bs(x, df=5)", "bs(x, knots=[1, 2]):g",
    "bs(x, df=5, include_intercept=True)", "0 + bs(x, df=4, include_intercept=True):f", "f:bs(x, df=4)",
    "bs(x, df=4):f", "f:bs(x, df=4):h", "cr(x, df=4)", "cr(x, df=4, constraints='center')", "cc(x, df=4)",
    "scale(x)", "scale(x, center=False)", "center(x):f", "scale(poly(x, 2))", "standardize(x)",
    "C(f, Treatment('b'))", "C(f, Treatment(reference='b')):x + g", "C(f, contr.treatment('c'))*x", "C(f, Sum)*g",
    "C(h, contr.sum)", "C(h, Helmert):x", "C(h, contr.helmert(scale=True))", "C(h, Poly)", "C(h, Diff) + x",
    "C(h, contr.poly(scores=[1, 2, 5, 9]))", "C(h, contr.SAS)", "C(f, [[1, 0], [0, 1], [2, 2]])*g",
    "0 + C(f, [[1, 0], [0, 1], [2, 2]])", "C(f, {'u': [1, 0, 0], 'v': [0, 1, 1]})", "C(f, levels=['c', 'a', 'b'])",
    "I(x**2) + I(x*z)", "np.log(x) + np.exp(z) + log10(x)", "{x + 1}", "`my col` + log(`my col`):f", "Q('my col')",
    "(x + z + t)**2 + f:g", "x + z + t + f*g*h + poly(t, 2):h",
]  # fmt: skip


def frame(n=90, seed=5):
    r = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "x": r.gamma(2.0, size=n),
            "z": r.normal(size=n),
            "t": r.uniform(1, 5, n),
            "k": r.integers(0, 4, n),
            "f": r.choice(list("abc"), n),
            "g": r.choice(["u", "v"], n),
            "h": pd.Categorical(r.choice(list("pqrs"), n), categories=list("srqp")),
        }
    )
    data["my col"] = data["x"] + 1
    return data


def random_formulas(count, seed=11):
    r = np.random.default_rng(seed)
    atoms = ["x", "z", "t", "f", "g", "h", "C(k)", "poly(t, 2)", "I(x + z)", "C(f, Sum)", "bs(x, df=4)", "C(h, Poly)"]
    out = []
    for _ in range(count):
        terms = []
        for _ in range(r.integers(1, 5)):
            size = r.choice([1, 1, 2, 2, 3])
            chosen = list(r.choice(atoms, size, replace=False))
            terms.append(str(r.choice([":", ":", "*"])).join(chosen))
        out.append(str(r.choice(["", "", "0 + "])) + " + ".join(terms))
    return out


def check(text, data):
    from formulaic import model_matrix

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = model_matrix(text, data, context={})
    spec, built = learn_and_build(text, read(data), response=False)
    assert list(built.names) == list(expected.columns), text
    found = matrix(built)
    expected = np.asarray(expected, dtype=float)
    assert found.shape == expected.shape, text
    scale = np.maximum(1.0, np.abs(expected))
    assert np.max(np.abs(found - expected) / scale, initial=0.0) <= ROUNDING, text
    positions = [c for term in spec.terms for c in term.columns]
    assert positions == list(range(len(built.names))), text


def test_listed_formulas_equal_formulaic():
    data = frame()
    for text in FORMULAS:
        check(text, data)


@pytest.mark.parametrize("part", range(3))
def test_random_formulas_equal_formulaic(part):
    data = frame()
    for text in random_formulas(150)[part * 50 : (part + 1) * 50]:
        check(text, data)


def test_dropped_rows_and_vanished_levels_equal_formulaic():
    """formulaic keeps unused categories of a category column; text columns lose them, as ours do."""
    data = frame(14, seed=2).drop(columns="h")
    r = np.random.default_rng(0)
    for name in ("x", "f", "g", "t"):
        data[name] = data[name].where(r.random(14) > 0.15)
    for text in ("x + f", "f*g", "f:t", "0 + f:g + x", "log(t) + C(k):f", "I(x*t):g"):
        check(text, data)


def test_numeric_column_and_own_dots():
    data = frame()
    data["y"] = np.arange(len(data))
    # All columns that the left side does not use, with formulaic's own expansion written out as the oracle.
    spec = learn("log1p(y) ~ . - z", read(data))
    assert spec.variables == ("x", "t", "k", "f", "g", "h", "my col")
    check("x + t + k + f + g + h + `my col`", data.drop(columns="y"))
    assert spec.names == learn("x + t + k + f + g + h + `my col`", read(data), response=False).names


def test_plain_sums_are_read_as_formulaic_reads_them(monkeypatch):
    """Sums of single factors do not go through formulaic unless they are sent there."""
    names = ["x", "z", "f", "g"]
    texts = ("x + f", "0 + x", "x - 1", "-1 + x", "x + 0 + z", "x - 1 + 1", "1 + x + x", "C(f) + x + log(z)", ". - 1")
    plain = [parse(text, names).terms for text in texts]
    monkeypatch.setattr(grammar._Reader, "plain_sum", lambda *_: None)
    assert [parse(text, names).terms for text in texts] == plain


def test_a_long_row_of_columns_is_fast():
    import time

    wide = read({f"c{i}": np.zeros(3) for i in range(2000)} | {"y": np.zeros(3)})
    learn("y ~ .", wide)
    # Processor time: what else the machine does is not ours. Text terms would be quadratic, minutes here.
    start = time.process_time()
    spec = learn("y ~ .", wide)
    assert len(spec.names) == 2001
    assert time.process_time() - start < 1.5


def test_spaces_before_parentheses_and_line_breaks():
    data = read(frame())
    spaced = learn("\n x\n + log (x) + C (f) ", data, response=False)
    assert spaced.names == learn("x + log(x) + C(f)", data, response=False).names


def test_dates_as_a_factor_are_named_as_in_formulaic():
    data = pd.DataFrame({"d": pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-02"])})
    check("C(d)", data)
