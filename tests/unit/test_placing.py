"""Rows on an accelerator: how they get there, and that fits from there are those from the host.

The processor stands for the accelerator here: the engine is told that its default device is one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm import precision
from jaxglm.kernels import Rows
from jaxglm.sources import base, placing
from jaxglm.sources.arrays import ArraySource

pytestmark = pytest.mark.usefixtures("compiled_quickly")

#: Fits of the same rows on one machine, in chunks of other sizes.
AGREE = 1e-9
#: Standard errors whose products of columns were added up in single precision in another order.
ROUNDED = 1e-6
N = 33_000
rng = np.random.default_rng(7)
X = rng.normal(size=(N, 4))
Y = rng.poisson(np.exp(0.3 * X[:, 0] - 0.2 * X[:, 1] + 0.1)).astype(float)
FRAME = pd.DataFrame(X, columns=list("abcd")).assign(
    y=Y, f=rng.choice(list("uvw"), N), g=rng.integers(0, 40, N), w=rng.integers(1, 4, N)
)


@pytest.fixture
def accelerator(monkeypatch):
    """Take the processor for an accelerator, with chunks and pieces that are small."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(precision, "resident", lambda a: isinstance(a, jax.Array))
    # What compiles fast there runs fast enough here.
    monkeypatch.setattr(precision, "_SETTLED", precision._QUICKLY)
    monkeypatch.setattr(base, "_CHUNK_ELSEWHERE", 2**14)
    monkeypatch.setattr(placing, "_PIECE_BYTES", 2**12)


def same(res, other, errors=AGREE):
    np.testing.assert_allclose(res.params, other.params, rtol=AGREE, atol=AGREE)
    np.testing.assert_allclose(res.bse, other.bse, rtol=errors)
    np.testing.assert_allclose([res.llf, res.null_deviance], [other.llf, other.null_deviance], rtol=AGREE)


def test_fits_there_are_those_of_the_host(request):
    def fits():
        yield jg.fit(np.asfortranarray(X[:3000]), Y[:3000], family="poisson", precision="mixed"), ROUNDED
        yield jg.glm("y ~ a + f + C(g)", FRAME, family="poisson", freq_weights="w", offset="c"), AGREE

    expected = list(fits())
    request.getfixturevalue("accelerator")
    for (res, errors), (other, _) in zip(fits(), expected, strict=True):
        same(res, other, errors)


@pytest.mark.parametrize("n, dtype", [(3000, np.float32), (N, np.float64)])
def test_a_matrix_that_is_there_stays_there(n, dtype, request, monkeypatch):
    given = X[:n].astype(dtype)
    given[5, 2] = np.nan
    expected = jg.fit(given, Y[:n], family="poisson")
    request.getfixturevalue("accelerator")
    with precision.scope():
        there = jnp.asarray(given)
    part, cut = placing._part, []
    monkeypatch.setattr(placing, "_part", lambda a, *span: cut.append(a) or part(a, *span))
    res = jg.fit(there, Y[:n], family="poisson")
    # Every chunk is cut from rows that never became an array of the host.
    assert len(cut) == -(-(n - 1) // 2**14) and all(isinstance(a, jax.Array) and a.dtype == dtype for a in cut)
    same(res, expected)
    assert res.nobs == n - 1
    np.testing.assert_allclose(res.resid("pearson"), expected.resid("pearson"), rtol=AGREE, atol=AGREE)


@pytest.mark.parametrize("size", [64, 96, 1024, 12_288])
@pytest.mark.parametrize("start, most", [(0, 64), (3, 1), (10, 50), (0, 1000)])
def test_rows_are_filled_up(size, start, most, accelerator, x64):
    count = min(most, size)
    whole = Rows(
        x=((X[:13_000], FRAME.g.to_numpy()[:13_000].astype(np.int64)), jnp.asarray(X[:13_000, 0])), y=Y[:13_000],
        freq=np.broadcast_to(1.0, 13_000), prior=FRAME.w.to_numpy()[:13_000].astype(np.float32),
    )  # fmt: skip
    made = placing.place(whole, start, start + count, size)
    at = start + np.where(np.arange(size) < count, np.arange(size), 0)
    for a, b in zip(jax.tree.leaves(made._replace(freq=())), jax.tree.leaves(whole._replace(freq=())), strict=True):
        assert isinstance(a, jax.Array)
        np.testing.assert_array_equal(a, np.asarray(b)[at])
    np.testing.assert_array_equal(made.freq, np.arange(size) < count)
    assert made.x[0][1].dtype == np.int32 and made.prior.dtype == np.float32


def test_a_sample_is_the_same_wherever_the_rows_lie(accelerator, x64):
    rows = Rows(x=((X,),), y=Y, freq=np.ones(N))
    early = ArraySource.from_rows(rows)
    late = ArraySource.from_rows(rows)
    assert len(late._chunks) == 3
    for a, b in zip(*(jax.tree.leaves(s.sample(1000)._chunks) for s in (early, late)), strict=True):
        np.testing.assert_array_equal(a, b)
