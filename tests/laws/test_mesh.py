"""A fit on several devices is that of one, in all that is asked of it."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from jax.sharding import Mesh

import jaxglm as jg
from jaxglm.sources import MeshSource, MeshStream, base

pytestmark = pytest.mark.skipif(jax.device_count() < 4, reason="the tests of sharded rows need four devices")
#: Two fits stop within tol standard errors of the optimum, and one more step squares that.
SAME_FIT = 1e-8


def frame(n: int = 211) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    x, z, f = rng.normal(size=n), rng.uniform(1.0, 2.0, n), rng.choice(list("abc"), n)
    rate = np.exp(0.3 + 0.4 * x + 0.3 * (f == "c")) * z
    return pd.DataFrame({
        "k": rng.poisson(rate).astype(float), "x": x, "z": z, "f": f, "firm": rng.integers(0, 20, n),
        "won": rng.random(n) < 1 / (1 + np.exp(-x)), "w": rng.uniform(0.5, 2.0, n),
    })  # fmt: skip


DATA = frame()
#: What is asked of a fit, every way to use rows that there is.
ASKED = {
    "params": lambda r: r.params,
    "cov": lambda r: r.cov_params(),
    "HC0": lambda r: r.with_cov("HC0").bse,
    "HC3": lambda r: r.with_cov("HC3").bse,
    "cluster": lambda r: r.with_cov(jg.Cluster("firm")).bse,
    "HAC": lambda r: r.with_cov(jg.HAC(3)).bse,
    "observed": lambda r: r.with_cov(information="observed").bse,
    "figures": lambda r: [r.llf, r.deviance, r.null_deviance, r.pearson_chi2, r.nobs, r.aic],
    "fitted": lambda r: r.fittedvalues,
    "residuals": lambda r: r.resid("pearson"),
    "quantile residuals": lambda r: r.resid("quantile"),
    "influence": lambda r: r.influence().frame(),
    "margins": lambda r: r.margins().frame().select_dtypes("number"),
    "drop1": lambda r: r.drop1(),
    "profile": lambda r: r.conf_int(method="profile"),
    "score test": lambda r: r.score_test("z").statistic,
    "new rows": lambda r: r.get_prediction(DATA.iloc[:9]).summary_frame(),
    "own rows": lambda r: r.get_prediction().summary_frame(),
    "checks": lambda r: r.diagnose().frame().select_dtypes("number"),
}


def fitted(**options):
    return jg.glm("k ~ x + f", DATA, family="poisson", **options)


@pytest.fixture(scope="module")
def pair():
    """The fit on one device, and on four in several chunks with a last one that is not full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(base.CHUNK, jax.default_backend(), 32)
        many = fitted(devices="all")
    assert isinstance(many.fit.source, MeshSource) and len(many.fit.source._held) == 2
    return fitted(), many


@pytest.mark.parametrize("name", ASKED)
def test_all_that_is_asked_of_a_fit(name, pair):
    one, many = (np.asarray(ASKED[name](res), float) for res in pair)
    np.testing.assert_allclose(many, one, rtol=SAME_FIT, atol=1e-9)


def test_meshes_and_single_devices():
    want = fitted()
    devices = jax.devices()
    grid = Mesh(np.asarray(devices[:4]).reshape(2, 2), ("a", "b"))
    for placed in (grid, [devices[1]]):
        res = fitted(devices=placed)
        assert isinstance(res.fit.source, MeshSource)
        np.testing.assert_allclose(res.params, want.params, rtol=SAME_FIT)
    assert next(iter(res.fit.source._held[0].y.devices())) == devices[1]
    with pytest.raises(jg.InputError, match="more than once"):
        fitted(devices=devices[:2] + devices[:1])


def test_a_stream_over_devices():
    """Frames, one without rows that can be used; one matrix; weights of rows."""
    pieces = [DATA.iloc[:100], DATA.iloc[:5].assign(x=np.nan), DATA.iloc[100:]]
    res = jg.glm("k ~ x + f", lambda: iter(pieces), family="poisson", devices="all", var_weights="w")
    assert isinstance(res.fit.source, MeshStream)
    want = fitted(var_weights="w")
    np.testing.assert_allclose(res.params, want.params, rtol=SAME_FIT)
    np.testing.assert_allclose(res.resid("deviance"), want.resid("deviance"), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(res.with_cov(jg.Cluster("firm")).bse, want.with_cov(jg.Cluster("firm")).bse, rtol=1e-7)


def test_many_rows_begin_with_a_sample(monkeypatch):
    """The same rows are sampled from one device and from several, so the passes are the same."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(40_000, 3))
    y = (rng.random(40_000) < 1 / (1 + np.exp(-X[:, 0]))).astype(float)
    one, many = (jg.fit(X, y, family="binomial", devices=d) for d in (None, "all"))
    assert "closing" in many.n_passes and many.n_passes == one.n_passes
    np.testing.assert_allclose(many.params, one.params, rtol=SAME_FIT, atol=1e-10)


@pytest.mark.parametrize(("precision", "close"), [("mixed", 1e-7), ("float32", 1e-3)])
def test_narrow_columns_over_devices(precision, close):
    one, many = (fitted(precision=precision, devices=d) for d in (None, "all"))
    assert next(iter(jax.tree.leaves(many.fit.source._held[0].x[0]))).dtype == np.float32
    np.testing.assert_allclose(many.params, one.params, rtol=close, atol=close)


def main() -> None:
    """In a process that has eight devices."""
    models = {
        "poisson": (partial(jg.glm, "k ~ x * f", DATA, family="poisson"), (2, 4, 8)),
        "binomial": (partial(jg.glm, "won ~ scale(x) + f", DATA, family="binomial"), (8,)),
        "negative_binomial": (partial(jg.glm, "k ~ x + f", DATA, family="negative_binomial"), (8,)),
        "gaussian": (partial(jg.fit, DATA[["x", "z"]], DATA["k"]), (8,)),
    }
    done = []
    for name, (fit, counts) in models.items():
        want = fit()
        for count in counts:
            res = fit(devices=jax.devices()[:count])
            assert len(res.fit.source._held[0].y.devices()) == count
            for found, true in ((res.params, want.params), (res.bse, want.bse), (res.fittedvalues, want.fittedvalues)):
                np.testing.assert_allclose(found, true, rtol=SAME_FIT, atol=1e-9)
            done.append([name, count])
    print(json.dumps(done))


@pytest.mark.slow
def test_two_four_and_eight_devices():
    # Compiled quickly: what is looked at is how rows are dealt out.
    quickly = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    flags = f"--xla_force_host_platform_device_count=8 {quickly}"
    made = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, timeout=300,
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(Path(jg.__file__).parents[1])},
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-3000:]
    assert [count for _, count in json.loads(made.stdout)] == [2, 4, 8, 8, 8, 8]


if __name__ == "__main__":
    main()
