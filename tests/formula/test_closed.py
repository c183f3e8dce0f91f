"""Nothing but the known subset is ever evaluated: in a formula, and in a file."""

import copy
import time

import pytest

from jaxglm.errors import FormulaError
from jaxglm.formula import FormulaSpec, learn
from jaxglm.frames import read

TABLE = {"x": [1.0, 2.0, 3.0], "z": [3.0, 2.0, 5.0], "f": list("aba"), "y": [1.0, 2.0, 3.0]}

UNREADABLE = [
    "I(x*(__import__('os').system('true')+1))",
    "I(__import__('os'))",
    "np.savetxt('/tmp/stolen', x)",
    "x.to_csv('/tmp/stolen')",
    "I(x.__class__)",
    "I(().__class__.__bases__[0].__subclasses__())",
    "np.log(z, out=z)",
    "np.log(x, where=z)",
    "np.load('/etc/passwd')",
    "np.linalg.inv(x)",
    "np.__loader__(x)",
    "eval('1')",
    "exec('1')",
    "open('/etc/passwd')",
    "getattr(x, 'y')",
    "I((lambda: 1)())",
    "I([a for a in x])",
    "I({a for a in x})",
    "I((yield x))",
    "I(f'{x}')",
    "I(x if x else z)",
    "I(x[0])",
    "x[0]",
    "I((a := x))",
    "bs(x, _state={})",
    "scale(x, _context=z)",
    "bs(*x)",
    "bs(x, **z)",
    "C(f, Treatment)(x)",
]

#: Read without harm, refused when evaluated or by their size.
UNBOUNDED = [
    "bs(x, df=10**9)",
    "bs(x, df=101)",
    "bs(x, degree=1000)",
    "poly(x, 1000)",
    "poly(x, degree=x)",
    "cut(x, 100000)",
    "I(x + 'a'*10**9)",
    "I([0]*10**9)",
    "I(9**9**9**9)",
    "I(x if 1 else 2)",
    "I(b'x')",
    "I(1j*x)",
    "I(x + 99999999999999999999999999999999)",
    "I(...)",
    "I(x @ z)",
    "I(x and z)",
    "I(x; import os)",
    "I(x\x00)",
    "{x; 1}",
    "{import os}",
    "abs(" * 60 + "x" + ")" * 60,
    "I(" + "-" * 100 + "x)",
    "I(" + "-" * 1500 + "x)",
    "I(" + "+".join(["x"] * 150) + ")",
    "I(x + " + "1" * 3000 + ")",
    "C(f, contr.custom(open('x')))",
    "C(f, contr.custom.__init__)",
    "C(f, [[x, z], [1, 2]])",
    "Q(f)",
    "Q('f', 'g')",
]
HOSTILE = UNREADABLE + UNBOUNDED


@pytest.mark.parametrize("text", HOSTILE)
def test_refused_in_a_formula(text):
    start = time.perf_counter()
    with pytest.raises(FormulaError):
        learn(f"y ~ {text}", read(TABLE))
    assert time.perf_counter() - start < 2.0


@pytest.mark.parametrize("text", UNREADABLE)
def test_refused_from_a_file_before_any_data(text):
    saved = learn("y ~ scale(x) + f + offset(log(z))", read(TABLE)).to_json()
    for place in (saved["factors"][0], saved["offsets"][0]):
        damaged = copy.deepcopy(saved)
        target = damaged["factors"][0] if place is saved["factors"][0] else damaged["offsets"][0]
        target["expr"]["code"] = text
        with pytest.raises(FormulaError):
            FormulaSpec.from_json(damaged)


def put(saved, path, value):
    *head, last = path
    for key in head:
        saved = saved[key]
    saved[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), 99),
        (("format",), True),
        (("text",), 3),
        (("factors",), {}),
        (("factors", 0, "state"), []),
        (("factors", 0, "state"), {"0": {"center": float("nan")}}),
        (("factors", 0, "state"), {"0": {"center": {"a": 1}}}),
        (("factors", 0, "variables"), ["z"]),
        (("factors", 0, "fields"), [1]),
        (("factors", 1, "levels"), ["a", "a"]),
        (("factors", 1, "levels"), ["a", ["b"]]),
        (("factors", 1, "levels"), None),
        (("factors", 1, "coding", "base"), 7),
        (("factors", 1, "coding", "base"), None),
        (("factors", 1, "coding", "form"), "{name.__class__}"),
        (("factors", 1, "coding", "form"), "{field!r:>9999999999}"),
        (("factors", 1, "expr", "name"), "x"),
        (("terms", 1, "factors"), [9]),
        (("terms", 1, "blocks"), [[[0]]]),
        (("terms", 1, "blocks"), [[[True, False]]]),
        (("terms", 1, "blocks"), [[[0, 1]]]),
        (("terms", 1, "scale"), "2"),
        (("response", "kind"), "matrix"),
        (("response", "levels"), ["a"]),
        (("response", "exprs"), []),
        (("functions",), ["f"]),
    ],
)
def test_damaged_files_are_refused(path, value):
    saved = learn("y ~ scale(x) + f", read(TABLE)).to_json()
    put(saved, path, value)
    with pytest.raises(FormulaError):
        FormulaSpec.from_json(saved)


@pytest.mark.parametrize("part", ["format", "text", "functions", "factors", "terms", "offsets"])
def test_files_that_lack_a_part_are_refused(part):
    saved = learn("y ~ scale(x) + f", read(TABLE)).to_json()
    del saved[part]
    with pytest.raises(FormulaError, match=f"'{part}' is missing"):
        FormulaSpec.from_json(saved)


def test_learned_values_that_were_taken_out_are_not_learned_again():
    saved = learn("y ~ scale(x) + ns(z, df=2)", read(TABLE)).to_json()
    for number, state in ((0, {}), (0, {"0": {}}), (1, {"0": {"knots": [1.0]}})):
        damaged = copy.deepcopy(saved)
        damaged["factors"][number]["state"] = state
        with pytest.raises(FormulaError, match="lost|wrong arguments"):
            FormulaSpec.from_json(damaged).build(read(TABLE))


def test_a_formula_of_endless_length_is_refused():
    with pytest.raises(FormulaError, match="characters"):
        learn("y ~ " + "x + " * 100_000 + "x", read(TABLE))


def test_inputs_are_never_written_to():
    import numpy as np

    x = np.array([1.0, np.nan, 3.0, 4.0])
    before = x.copy()
    learn("scale(x) + poly(x, 2) + bs(x, df=4) + I(x + 1) + ns(x, df=2) + cut(x, 2)", read({"x": x}), response=False)
    np.testing.assert_array_equal(x, before)
