"""What the package promises about itself: names, imports, sizes, compiles."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm.results import Results
from jaxglm.results.answers import Answers
from jaxglm.results.figures import Figures

#: Lines of a function without its docstring.
LINES = 62
ROOT = Path(jg.__file__).parent
MODULES = [m.name for m in pkgutil.walk_packages([str(ROOT)], "jaxglm.")]


@pytest.mark.parametrize("name", jg.__all__)
def test_public_names_are_documented(name):
    thing = getattr(jg, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for key, member in vars(thing).items():
            if not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                assert inspect.getdoc(getattr(thing, key)), f"{name}.{key}"


def test_public_names_are_sorted_and_whole():
    assert list(jg.__all__) == sorted(jg.__all__)
    assert set(jg.__all__) <= set(dir(jg))
    with pytest.raises(AttributeError, match="no attribute 'glmm'"):
        jg.glmm  # noqa: B018
    public = {n for n, v in vars(jg).items() if not n.startswith("_") and not inspect.ismodule(v)}
    assert public <= set(jg.__all__)


@pytest.mark.parametrize("function", [jg.glm, jg.fit])
def test_every_option_is_documented(function):
    text = inspect.getdoc(function)
    for name, parameter in inspect.signature(function).parameters.items():
        assert name in text or parameter.kind is parameter.VAR_KEYWORD, name


def run(code: str) -> str:
    """Output of a fresh Python that treats warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT.parent, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


OPTIONAL = (
    "matplotlib",
    "sklearn",
    "pyarrow",
    "polars",
    "duckdb",
    "formulaic",
    "scipy.optimize",
    "optax",
    "statsmodels",
    "narwhals",
)


def test_import_changes_no_setting_and_loads_no_optional_library():
    out = run(
        "import jax; before = dict(jax.config.values); import sys, pandas; loaded = set(sys.modules)\n"
        "import jaxglm as jg\n"
        "assert dict(jax.config.values) == before and not jax.config.jax_enable_x64\n"
        f"print([m for m in {OPTIONAL} if m in sys.modules and m not in loaded])\n"
        "res = jg.fit([[0.0], [1.0], [2.0], [3.0]], [1, 2, 4, 9], family='poisson')\n"
        "res.summary(), res.bse, res.predict([[1.0]])\n"
        "assert dict(jax.config.values) == before and jax.numpy.ones(1).dtype == 'float32'\n"
        f"print([m for m in {OPTIONAL} if m in sys.modules and m not in loaded])\n"
    )
    assert out.split("\n")[:2] == ["[]", "[]"]


def test_results_hold_double_precision_numpy():
    res = jg.fit(np.arange(6.0)[:, None], [1, 2, 2, 4, 9, 12], "poisson")
    assert not jax.config.jax_enable_x64
    for value in (res.params, res.bse, res.fittedvalues, res.resid()):
        assert value.dtype == np.float64 and isinstance(value.to_numpy(), np.ndarray)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_users_arrays_stay_as_they_are(order):
    """A fit writes nothing, and later writes of the user change no result."""
    rng = np.random.default_rng(0)
    x = np.asarray(rng.normal(size=(60, 3)), order=order)
    y = rng.poisson(2.0, 60) * 1.0
    weights = rng.uniform(0.5, 2.0, 60)
    kept = [a.copy() for a in (x, y, weights)]
    res = jg.fit(x, y, "poisson", var_weights=weights)
    before = {kind: res.resid(kind).copy() for kind in ("response", "deviance")}
    for a, b in zip((x, y, weights), kept, strict=True):
        np.testing.assert_array_equal(a, b)
        a[:] = 1e3
    for kind, values in before.items():
        np.testing.assert_array_equal(res.resid(kind), values)
    assert res.with_cov(information="observed").bse.to_numpy() == pytest.approx(res.bse.to_numpy())


def test_a_frame_stays_as_it_is():
    data = pd.DataFrame({"y": [1.0, 2, 0, 4, 5, 1], "x": np.arange(6.0), "f": list("ababab")})
    copy = data.copy(deep=True)
    res = jg.glm("y ~ x + f", data, family="poisson")
    pd.testing.assert_frame_equal(data, copy)
    before = res.resid().copy()
    data.loc[:, "x"] = -1.0
    data.loc[:, "y"] = 7.0
    pd.testing.assert_series_equal(res.resid(), before)


def test_the_facade_is_thin():
    """Each public method forwards in one statement, without arithmetic; there are no more names than users can know."""
    sources = [inspect.getsource(cls) for cls in (Results, Answers, Figures)]
    names = {name for name in dir(Results) if not name.startswith("_")} | {field.name for field in fields(Results)}
    assert max(len(source.splitlines()) for source in sources) <= 250 and 45 <= len(names) <= 56
    for source in sources:
        (cls,) = ast.parse(source).body
        for function in cls.body:
            if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
                assert ast.get_docstring(function), function.name
                assert len(function.body) == 2 and isinstance(function.body[1], ast.Return | ast.Expr), function.name
    # Unions of types in signatures are operators too, so only bodies count.
    counting = [
        function.name
        for source in sources
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(node, (ast.BinOp, ast.AugAssign)) for line in function.body for node in ast.walk(line))
    ]
    assert not counting


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        length = getattr(node, "end_lineno", 0) - getattr(node, "lineno", 0) + 1
        if isinstance(node, ast.ClassDef):
            assert length <= 250, node.name
        if isinstance(node, ast.FunctionDef):
            words = ast.get_docstring(node)
            assert length - (len(words.splitlines()) + 1 if words else 0) <= LINES, node.name


@pytest.fixture
def compiles(monkeypatch):
    """Counts compilations of jitted functions by name."""
    found = Counter()

    def listen(event, duration, **more):
        if event == "/jax/core/compile/backend_compile_duration":
            found[str(more.get("fun_name"))] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


def test_new_lengths_meet_compiled_code(compiles):
    """n = 100 and n = 120 share a bucket, so the second fit compiles nothing at all."""
    rng = np.random.default_rng(0)

    def fit(n):
        x = rng.normal(size=(n, 4))
        res = jg.fit(x, rng.poisson(np.exp(0.3 * x[:, 0])) * 1.0, "poisson", var_weights=rng.uniform(1, 2, n))
        return res.bse, res.resid(), res.predict(x[:10])

    fit(100)
    first = Counter(compiles)
    assert sum(first.values()) > 0
    fit(120)
    assert Counter(compiles) - first == Counter()
    # Nothing but passes over the rows is worth a program.
    assert set(first) == {"jit(reduce_rows)", "jit(map_blocks)"}
    # Survey, Newton and statistics are three kernels of one function.
    assert first["jit(reduce_rows)"] == 3
    assert not first["jit(_link)"]


@pytest.mark.parametrize("name", ["jaxglm", *MODULES])
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0
    if name in ("jaxglm.api", "jaxglm.families.gaussian", "jaxglm.precision"):
        assert found.attempted > 0


def test_a_first_fit_waits_for_no_more_than_it_needs():
    """Plain sums need no parser, normal tests and few coefficients no scipy, and neither what is asked of a fit."""
    libraries = ("scipy", "formulaic", "matplotlib", "optax", "narwhals")
    libraries += tuple(f"jaxglm.{name}" for name in ("groups", "functional", "codec", "results.tests", "plot.base"))
    out = run(
        "import sys, pandas, jax; loaded = set(sys.modules); import jaxglm as jg\n"
        "data = pandas.DataFrame({'y': [1, 2, 4, 9, 7, 3], 'x': [0.0, 1, 2, 3, 2, 1], 'f': list('aabbab')})\n"
        "res = jg.glm('y ~ x + f + log(x + 1)', data, family='poisson')\n"
        "str(res.summary()), res.conf_int(), res.tidy(), res.cov_params()\n"
        f"print([m for m in {libraries} if m in sys.modules and m not in loaded])\n"
    )
    assert out.strip() == "[]"
