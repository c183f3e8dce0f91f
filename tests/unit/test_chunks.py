"""How rows in memory are cut into chunks, and the programs that sum over them side by side."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxglm import precision
from jaxglm.design import Dense, Layout, Split
from jaxglm.families import Poisson
from jaxglm.kernels import Columns, Itself, Model, Newton, Point, Rows
from jaxglm.precision import Tiered
from jaxglm.sources import aliasing, arrays, base, packing, sums

#: Sums of the same products in another order.
SUMMED = 1e-12
rng = np.random.default_rng(11)


@pytest.fixture
def four_threads(monkeypatch):
    monkeypatch.setattr(base, "threads", lambda: 4)


@pytest.mark.parametrize(
    "width, n, size",
    [
        # Longer only where each of the four threads still has three.
        (8, 10_000, 2**15),
        (8, 12 * 2**16 - 1, 2**15),
        (8, 12 * 2**16, 2**16),
        (8, 12 * 2**17, 2**17),
        (8, 10**8, 2**17),
        # Wide rows by their bytes, 8 to 32 MB a chunk.
        (16_000, 1000, 512),
        (16_000, 12 * 2048, 2048),
        # Wider than the bytes of a chunk allow: there is a smallest one.
        (2**20, 10**6, 512),
    ],
)
def test_chunks_are_long_where_threads_have_several(four_threads, width, n, size):
    assert base.chunk_rows(width, n) == size


def test_chunks_of_streams_do_not_grow_with_the_rows(four_threads):
    assert base.chunk_rows(8) == base.CHUNK["cpu"]


@pytest.mark.parametrize("lanes", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [2**15 + 1, 100_000, 327_009, 400_000])
def test_threads_share_a_few_chunks_evenly(lanes, n):
    size = base.even_rows(2**15, n, lanes)
    assert size <= 2**15 and size % 2**12 == 0
    chunks = [min(size, n - start) for start in range(0, n, size)]
    rows = [sum(chunks[k::lanes]) for k in range(lanes)]
    # Lengths are multiples of an eighth of the most: by so much may a thread that has several chunks have more.
    assert max(rows) <= n / lanes + max(2**12 * -(-len(chunks) // lanes), 2**15 / 8)


@pytest.mark.parametrize(
    "m, size",
    # Blocks of Parquet, of two and of one and a half times as much, and some that no equal parts of round length fit.
    [(98_304, 49_152), (131_072, 65_536), (196_608, 65_536), (65_536, 65_536), (65_535, 32_768), (100_000, 65_536)],
)
def test_chunks_that_are_not_copied_leave_nothing_of_a_block(m, size):
    assert packing._in_place_rows(2**15, m) == size
    assert m % size == 0 or m % 2**10 or m < 2**16


@pytest.mark.parametrize("lanes", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [512, 5 * 2**10, 2**14, 3 * 2**14, 2**17])
def test_chunks_in_place_are_followed_by_rows_and_as_much_work_for_each_thread(size, lanes):
    unit = min(size & -size, base.LARGEST_BLOCK)
    for n in (size + 1, size + unit, 2 * size - 1, 3 * size, *rng.integers(2 * size, 60 * size, 40)):
        edges = aliasing.edges_of(int(n), size, lanes)
        counts = np.diff(edges)
        assert edges[0] == 0 and edges[-1] == n and (counts > 0).all() and counts.max() <= size
        whole = counts[:-1] if n % unit else counts
        # Whole blocks, of which none reaches beyond the end, and less than one that is copied.
        assert not (whole % unit).any() and (np.array(edges[: len(whole)]) + size <= n).all()
        dealt = sums._dealt_out([(None, count) for count in counts], lanes)
        rows = [sum(count for _, count in own) for own in dealt]
        assert sum(rows) == n and sum(map(len, dealt)) == len(counts)
        if n >= 2 * lanes * size:
            assert max(rows) <= n / lanes + 2 * unit


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_matrices_of_all_sizes_are_cut_into_few_shapes(lanes, monkeypatch):
    monkeypatch.setattr(base, "threads", lambda: lanes)
    shapes = set()
    for n in np.geomspace(140_000, 10**7, 200).astype(int):
        size = aliasing.shape_of(base.chunk_rows(240, int(n)), int(n), lanes)
        counts = np.diff(aliasing.edges_of(int(n), size, lanes))
        rows = [sum(count for _, count in own) for own in sums._dealt_out([(None, c) for c in counts], lanes)]
        assert max(rows) <= 1.35 * n / lanes
        shapes.add(size)
    assert len(shapes) <= 6 and all(size & (size - 1) == 0 for size in shapes)


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_in_place_sum_to_what_copies_do(weighted, x64, monkeypatch):
    monkeypatch.setitem(base.CHUNK, "cpu", 2**10)
    monkeypatch.setattr(base, "threads", lambda: 2)
    for module in (base, aliasing):
        monkeypatch.setattr(module, "LARGEST_BLOCK", 512)
    n, p = 13_333, 9
    raw = rng.normal(size=n * p + 1)
    X, y = raw[1:].reshape(n, p), rng.poisson(2.0, n).astype(float)
    freq = rng.uniform(0.5, 2.0, n) if weighted else np.broadcast_to(1.0, n)
    rows = Rows(x=((X,),), y=y, freq=freq)
    model = Model(Poisson(), Layout((Split((Dense(p),), (tuple(range(p)),)),)))
    point = Point(rng.normal(size=p) / 10, np.asarray(False), np.asarray(False), np.asarray(0.5))
    copied = arrays.ArraySource.from_rows(rows)
    monkeypatch.setattr(arrays, "ALIASED_BYTES", 0)
    there = arrays.ArraySource.from_rows(rows)
    assert there.aliased and not copied.aliased and len(set(there._counts)) > 2
    for kernel in (Newton(), Newton(gram="none")):
        ours, theirs = (source.reduce(kernel, model, point) for source in (there, copied))
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=SUMMED, atol=1e-9)
    # What is of each row is in the order of the rows.
    np.testing.assert_array_equal(there.map_rows(Columns(), model, None), X)
    values = [source.beside(y, lambda own, v: own._replace(y=v)).map_rows(Itself(), model, None).y
              for source in (there, copied)]  # fmt: skip
    for value in values:
        np.testing.assert_array_equal(value, y)
    for a, b in zip(*(jax.tree.leaves(source.sample(500)._chunks) for source in (there, copied)), strict=True):
        np.testing.assert_array_equal(a, b)


#: Compiles a function both ways where XLA may use all cores, of which a worker of these tests has but one.
BOTH_WAYS = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, range(os.cpu_count()))
import jax, jax.numpy as jnp, numpy as np
from jaxglm.precision import Tiered, cores, scope
made = Tiered(lambda x: jnp.exp(jnp.sin(x) ** 2) + jnp.log1p(jnp.cosh(x)), side_by_side=True)
with scope():
    x = np.linspace(0.0, 1.0, 2**20)
    np.testing.assert_allclose(made(x), made.plain(x), rtol=1e-12)
    for version in (made.plain, *made._versions.values()):
        print(cores(), 'outer_dimension_partitions":["' in version.lower(x).compile().as_text())
"""


def test_programs_side_by_side_share_out_no_loop():
    done = subprocess.run([sys.executable, "-c", BOTH_WAYS], capture_output=True, text=True, check=True)
    (cores, plain), (_, alone) = (line.split() for line in done.stdout.splitlines())
    assert (plain, alone) == (str(int(cores) > 1), "False")


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch):
    options = {"xla_no_such_option": "x", "xla_disable_hlo_passes": "cpu-parallel-task-assigner"}
    monkeypatch.setattr(precision, "_ALONE", options)
    assert Tiered(lambda x: x + 1, side_by_side=True)(np.float32(1)) == 2
    assert list(options) == ["xla_disable_hlo_passes"]


@pytest.mark.parametrize("p", [1, 2, 5, 8, 20, 27, 30, 60, 126, 130])
@pytest.mark.parametrize("q", [1, 2])
def test_products_beside_each_other_are_those_of_matrices(p, q):
    m = 600
    x, w, beside = rng.normal(size=(m, p)), rng.normal(size=m), rng.normal(size=(m, q))
    design = Dense(p)
    with precision.scope():
        zero = jax.tree.map(jnp.zeros_like, design.gram_sums(x, jnp.asarray(w)))
        own, sums = design.add_gram_beside(zero, jnp.asarray(x), jnp.asarray(w), jnp.asarray(beside))
        gram = design.gram(own)
    np.testing.assert_allclose(gram, (x * w[:, None]).T @ x, rtol=SUMMED, atol=SUMMED * m)
    np.testing.assert_allclose(sums, x.T @ beside, rtol=SUMMED, atol=SUMMED * m)


@pytest.mark.parametrize("p", [1, 2, 5, 30, 32, 130])
def test_products_in_single_precision_take_weights_of_either_sign(p):
    m = 600
    x, w = rng.normal(size=(m, p)), rng.normal(size=m)
    design = Dense(p)
    with precision.scope():
        narrow = jnp.asarray(w, jnp.float32)
        zero = jax.tree.map(jnp.zeros_like, design.gram_sums(x, narrow))
        gram = design.gram(design.add_gram(zero, jnp.asarray(x), narrow))
        assert gram.dtype == jnp.float64
    np.testing.assert_allclose(gram, (x * w[:, None]).T @ x, rtol=1e-5, atol=1e-6 * m)
