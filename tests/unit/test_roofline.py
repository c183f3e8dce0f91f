"""The benchmarks of passes: their count of the work agrees with the compiler's, and their page can be read."""

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

FOLDER = Path(jg.__file__).parent.parent / "benchmarks"
#: Flops that the compiler may count beyond the least: whole products for half of them, and the likelihood.
BEYOND = 3.0
N, P, LEVELS = 3000, 12, 5


@pytest.fixture(scope="module")
def scripts():
    """Modules of the benchmarks by name, which find each other by their folder alone."""
    names = ("harness", "report", "roofline", "run", "timeline")
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(FOLDER))
        for name in set(sys.modules) - before:
            if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def designs(scale):
    """A dense design and one of factors, in the form of the script's own."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, P)), rng.poisson(1.0, N)
    frame = pd.DataFrame({"y": y, "t": rng.uniform(0.5, 1.0, N)} | {f: rng.integers(0, LEVELS, N) for f in "fg"})
    formula = "y ~ C(f) + C(g)"
    yield "narrow", "dense", N, P, lambda: jg.fit(X, y, "poisson").fit
    yield "factors", "factors", N, 2 * LEVELS - 2, lambda: jg.glm(formula, frame, family="poisson", exposure="t").fit


@pytest.fixture(scope="module")
def records(scripts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts["roofline"], "designs", designs)
        return list(scripts["roofline"].records(scale=1e-6, repeats=1))


def test_every_kind_of_pass_has_its_figures(records):
    kinds = ["gradient", "full", "coarse", "closing", "survey"]
    dense = [f"roofline.narrow.{kind}" for kind in kinds]
    assert [r.name for r in records] == dense + [f"roofline.factors.{kind}" for kind in kinds if kind != "coarse"]
    for record in records:
        assert record.ratio > 0 and record.ours > 0 and not record.failed and "GB/s" in record.note
        assert all(value > 0 for value in record.figures.values())


def test_the_work_is_counted_right(records):
    """By hand for both designs, and beside the compiler's count."""
    by_name = {record.name.removeprefix("roofline."): record for record in records}
    figures = by_name["narrow.full"].figures
    assert figures["MB"] == pytest.approx(N * (8 * P + 8) / 1e6)
    # X b, X'r, X'WX and X'w.
    assert figures["Mflop"] == pytest.approx(N * (2 * P + 2 * P + P * (P + 1) + 2 * P) / 1e6)
    # Two codes, the response and the offset; six additions for b and r, three for pairs, two beside the intercept.
    figures = by_name["factors.full"].figures
    assert figures["MB"] == pytest.approx(N * (2 * 4 + 8 + 8) / 1e6)
    assert figures["Mflop"] == pytest.approx(N * (2 * 2 + 3 + 2) / 1e6)
    for kind in ("full", "closing", "survey"):
        figures = by_name[f"narrow.{kind}"].figures
        assert 1.0 <= figures["XLA Mflop"] / figures["Mflop"] <= BEYOND, kind


def test_the_page_has_both_tables(records, scripts):
    """Records survive their file, and the figures stand below the usual table."""
    again = [scripts["harness"].Record(**json.loads(json.dumps(asdict(record)))) for record in records]
    assert again == records
    title, about = scripts["run"].scripts()["roofline"]
    script = {"title": title, "about": about, "date": "2026-01-01", "commit": None, "seconds": 1.0}
    machine = {
        "cpu": "a processor", "cores": 2, "memory_gb": 8.0, "system": "Linux", "device": "cpu", "python": "CPython 3.12",
        "blas": "openblas", "r_blas": None, "versions": {"jaxglm": jg.__version__, "glum": None},
    }  # fmt: skip
    document = {"machine": machine, "scale": 0.1, "repeats": 1, "scripts": {"roofline": script}}
    page = scripts["report"].page(document, records, False)
    for words in (
        "no full run", "one counted run", "glum (not installed)", "Floor and aim", f"| {records[0].what} | {N:,} | {P} |",
        "| case | MB | Mflop | XLA Mflop | GB/s |", f"- the roofline: {records[0].note}.",
    ):  # fmt: skip
        assert words in page, words
    assert "None" not in page and "nan" not in page


def test_a_fit_is_cut_into_what_it_does(scripts):
    script = scripts["timeline"]
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60_000, P)), rng.poisson(1.0, 60_000)
    total, spent = script.cut(lambda: jg.fit(X, y, "poisson"))
    assert set(spent) <= {"before", "sample", *script.PASSES, "rest"} and min(spent.values()) > 0
    assert {"before", "sample", "last pass", "rest"} <= set(spent)
    assert sum(spent.values()) == pytest.approx(total)
    again, _ = script.cut(lambda: jg.fit(X, y, "poisson"))
    assert again < total
