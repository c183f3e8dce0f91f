"""Matrices in a file: as good as in memory, and never copied whole."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxglm as jg
from jaxglm.sources import ArraySource, StreamSource

N, P = 150, 3
rng = np.random.default_rng(4)
X = rng.normal(size=(N, P)).astype(np.float32)
Y = rng.poisson(np.exp(0.2 + 0.4 * X[:, 0]))


def mapped(folder, values, order="C"):
    made = np.memmap(folder / f"{order}{values.dtype}", values.dtype, "w+", shape=values.shape, order=order)
    made[...] = values
    return np.memmap(folder / f"{order}{values.dtype}", values.dtype, "r", shape=values.shape, order=order)


def holed(values):
    values = values.copy()
    values[[4, 90], [0, 2]] = np.nan
    return values


CASES = {
    "where it lies": (X.astype(float), {}, ArraySource),
    "single precision": (X, {}, ArraySource),
    "columns": (X.astype(float), {"order": "F"}, ArraySource),
    "whole numbers": ((100 * X).astype(np.int16), {}, StreamSource),
    "another order of bytes": (X.astype(">f8"), {}, StreamSource),
    "rows left out": (holed(X.astype(float)), {}, StreamSource),
    "rows of weight 0": (X.astype(float), {"freq_weights": np.arange(N) % 3}, StreamSource),
    "mixed": (X.astype(float), {"precision": "mixed"}, StreamSource),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_mapped_matrix_gives_the_fit_of_one_in_memory(case, tmp_path):
    values, options, kind = CASES[case]
    options = dict(options)
    there = mapped(tmp_path, values, options.pop("order", "C"))
    found = jg.fit(there, mapped(tmp_path, Y), "poisson", offset=X[:, 1], **options)
    want = jg.fit(values, Y, "poisson", offset=X[:, 1], **options)
    assert isinstance(found.fit.source, kind) and found.labels.notes == want.labels.notes
    tolerance = 1e-6 if "precision" in options else 1e-10
    for figure in ("params", "bse", "deviance", "null_deviance", "llf", "nobs", "fittedvalues"):
        np.testing.assert_allclose(getattr(found, figure), getattr(want, figure), rtol=tolerance, err_msg=figure)
    assert found.fittedvalues.index.equals(want.fittedvalues.index)
    for ours, theirs in ((found.margins(), want.margins()), (found.influence(), want.influence())):
        pair = [found.frame().select_dtypes("number").to_numpy() for found in (ours, theirs)]
        np.testing.assert_allclose(*pair, rtol=1e-5, atol=1e-9)


def test_errors_name_the_row(tmp_path):
    values = holed(X.astype(float))
    values[100, 1] = np.inf
    with pytest.raises(jg.DataError, match="x2.*row 100|row 100.*x2"):
        jg.fit(mapped(tmp_path, values), Y, "poisson")


MEMORY = """
import sys, numpy as np, jaxglm as jg
def own():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("RssAnon")) / 1024
x = np.memmap(sys.argv[1], sys.argv[2], "w+", shape=(int(sys.argv[3]), 30))
for i in range(0, len(x), 50_000):
    x[i : i + 50_000] = np.random.default_rng(i).normal(size=(50_000, 30)) * 100
y = x[:, 0] * 0.01 + np.random.default_rng(0).normal(size=len(x))
jg.fit(x[:70_000], y[:70_000]); before = own(); jg.fit(x, y); print(own() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by Linux")
@pytest.mark.parametrize("dtype, rows, most", [("f8", 400_000, 50), ("i2", 1_600_000, 280)])
def test_no_copy_is_made(dtype, rows, most, tmp_path):
    """96 and 384 MB as float64; what the process has of its own grows by less: by chunks, a sample and the response.

    That of a stream is about 150 MB for few rows as well, so there must be many to tell it from a copy.
    Compiling is not counted: the fit before it has enough rows for the same programs.
    """
    arguments = [sys.executable, "-c", MEMORY, tmp_path / "x", dtype, str(rows)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < most
