"""Rows read ahead in a thread: order, ends, errors, memory, samples, progress."""

import sys
import threading
import time
import tracemalloc
from itertools import pairwise
from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pytest
import source_models

import jaxglm as jg
from jaxglm import precision, progress
from jaxglm.kernels import Newton, Observed, Point, Rows, Survey
from jaxglm.solvers import lending, passes
from jaxglm.sources import ArraySource, StreamSource, base, packing, stream, sums, thinning
from jaxglm.sources.prefetch import Prefetch, dealt, side_by_side

N = 1000
#: What is true of rows in the memory of the host.
ON_HOST = pytest.mark.skipif(jax.default_backend() != "cpu", reason="rows are elsewhere on an accelerator")


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Whatever happens in a test, nothing of ours runs after it."""
    yield
    assert not [t.name for t in threading.enumerate() if t.name == "jaxglm-prefetch"]


@pytest.fixture
def three(monkeypatch):
    """As on a machine with three cores."""
    monkeypatch.setattr(stream, "threads", lambda: 3)


def counting(end, seen, broken=None):
    """Numbers up to `end`; `seen` is told which were made, and that the iterator was closed."""
    try:
        for i in range(end):
            if i == broken:
                raise ValueError("the disk is gone")
            seen.append(i)
            yield i
    finally:
        seen.append("closed")


@pytest.mark.parametrize("lanes", [1, 3])
def test_items_are_dealt_out_in_turn(lanes):
    seen = []
    found = dealt(lambda: counting(20, seen), list, lanes)
    assert found == [list(range(k, 20, lanes)) for k in range(lanes)] and seen == [*range(20), "closed"]


def test_no_more_is_made_ahead_than_allowed():
    seen = []
    with Prefetch(lambda: counting(100, seen), ahead=3) as made:
        lane = made.lane()
        assert next(lane) == 0
        time.sleep(0.05)
        # One was taken, three wait, one is held until there is room.
        assert len(seen) <= 5
    assert seen[-1] == "closed" and len(seen) <= 6


@pytest.mark.parametrize("lanes", [1, 3])
def test_an_error_of_the_iterator_is_raised_where_it_is_read(lanes):
    seen = []
    with pytest.raises(ValueError, match="the disk is gone") as caught:
        dealt(lambda: counting(20, seen, broken=7), list, lanes)
    assert any(entry.name == "counting" for entry in caught.traceback) and seen[-1] == "closed"
    with pytest.raises(ZeroDivisionError):
        dealt(lambda: 1 / 0, list, lanes)


@pytest.mark.parametrize("reader", [0, 2])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_of_a_reader_stops_all(reader, error):
    seen = []

    def consume(items):
        for i in items:
            if i == reader + 3:
                raise error("enough")

    with pytest.raises(error, match="enough"):
        dealt(lambda: counting(10**6, seen), consume, 3)
    assert seen[-1] == "closed" and len(seen) < 100


def test_several_iterators_run_side_by_side():
    seen = [[], [], []]
    makes = [lambda k=k: counting(5 + k, seen[k]) for k in range(3)]
    assert side_by_side(makes, [list, sum, max]) == [[0, 1, 2, 3, 4], 15, 6]
    assert all(made[-1] == "closed" for made in seen)


@pytest.mark.parametrize("broken", [0, 2])
@pytest.mark.parametrize("where", ["iterator", "reader"])
def test_an_error_of_one_of_several_ends_all(broken, where):
    seen = [[], [], []]

    def consume(k, items):
        for i in items:
            if where == "reader" and k == broken and i == 7:
                raise ValueError("the disk is gone")
            if k != broken:
                # The broken one may be late; until then the others go on.
                time.sleep(1e-4)

    at = [7 if where == "iterator" and k == broken else None for k in range(3)]
    makes = [lambda k=k: counting(10**6, seen[k], at[k]) for k in range(3)]
    with pytest.raises(ValueError, match="the disk is gone"):
        side_by_side(makes, [lambda items, k=k: consume(k, items) for k in range(3)])
    assert all(made[-1] == "closed" and len(made) < 10**5 for made in seen)


def test_the_thread_has_the_precision_of_its_reader(x64):
    with Prefetch(lambda: (jax.numpy.ones(1).dtype for _ in range(1))) as made:
        assert list(made.lane()) == ["float64"]


def blocks_of(rows, size):
    return [base.cut(rows, start, min(start + size, len(rows.y))) for start in range(0, len(rows.y), size)]


def numbers(n=N, width=3):
    rng = np.random.default_rng(5)
    x = tuple(rng.normal(size=n) for _ in range(width))
    return Rows(x=(((), x),), y=rng.poisson(1.0, n).astype(float), freq=np.broadcast_to(1.0, (n,)))


def lasting(a):
    """The same numbers in memory that nobody can write to, where the device can read it."""
    ours = precision.aligned_empty(a.shape)
    ours[...] = a
    return np.frombuffer(memoryview(ours).toreadonly(), a.dtype)


@pytest.mark.parametrize(("size", "block"), [(64, 17), (64, 64), (64, 200), (96, 500), (64, N)])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("fixed", [False, True])
def test_chunks_hold_every_row_once_and_in_order(size, block, kept, fixed, x64):
    """Twice as many where no memory is taken for them."""
    rows = numbers()
    if kept:
        rows = rows._replace(x=jax.tree.map(lasting, rows.x), y=lasting(rows.y))
    chunks = list(packing.Packer(size, fixed).chunks(iter(blocks_of(rows, block))))
    longer = kept and not fixed and block >= 2 * size and jax.default_backend() == "cpu"
    assert {leaf.shape[0] for c in chunks for leaf in jax.tree.leaves(c.rows)} == {size * (1 + longer)}
    found = [base.cut(jax.tree.map(np.asarray, c.rows), 0, c.count) for c in chunks]
    for ours, theirs in zip(jax.tree.leaves(rows), zip(*map(jax.tree.leaves, found), strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(theirs), ours)
    assert sum(float(np.sum(c.rows.freq)) for c in chunks) == N


@ON_HOST
def test_memory_that_nobody_writes_to_is_read_where_it_lies(x64):
    rows = numbers()
    kept = rows._replace(x=jax.tree.map(lasting, rows.x))
    for given, in_place in ((rows, False), (kept, True)):
        first = next(packing.Packer(64).chunks(iter([given])))
        place = first.rows.x[0][1][0].unsafe_buffer_pointer()
        assert (place == given.x[0][1][0].ctypes.data) == in_place
        assert (len(first.buffers) == 1) == in_place
        unplaced = next(packing.Packer(64, placed=False).chunks(iter([given]))).rows
        assert np.shares_memory(unplaced.x[0][1][0], given.x[0][1][0]) == in_place
        jax.tree.map(np.testing.assert_array_equal, unplaced, first.rows)


def test_memory_that_is_written_to_again_does_no_harm(three, monkeypatch, x64):
    """A reader that fills the same arrays with block after block, as many do."""
    monkeypatch.setattr(stream, "_FEW_ROWS", 0)
    rows, model = numbers(), numeric_model()
    want = ArraySource.from_rows(rows).reduce(Survey(), model, None)

    def blocks():
        ours = jax.tree.map(lambda a: np.empty(50, a.dtype), rows)
        for block in blocks_of(rows, 50):
            jax.tree.map(lambda mine, new: mine.__setitem__(slice(None), new), ours, block)
            yield ours
        jax.tree.map(lambda mine: mine.fill(np.nan), ours)

    found = StreamSource(blocks, N, 64).reduce(Survey(), model, None)
    np.testing.assert_allclose(found.gram, want.gram, rtol=1e-12)


@ON_HOST
@pytest.mark.parametrize("in_flight", [0, 2])
def test_memory_of_chunks_that_are_being_read_is_not_used_again(in_flight, x64):
    """A chunk lies where the one did that was the last to be done with, and not where others are in flight."""
    packer = packing.Packer(64, placed=False)
    places = [
        jax.tree.leaves(rows.x)[0].ctypes.data
        for rows, _ in packer.given_back(packer.chunks(blocks_of(numbers(64 * 9), 50)), in_flight)
    ]
    lasting = in_flight + 1
    assert all(len(set(places[i : i + lasting])) == lasting for i in range(len(places) - in_flight))
    assert places[lasting:] == places[:-lasting]


def numeric_model():
    from jaxglm import families
    from jaxglm.design import Columns, Constant, Layout, Split
    from jaxglm.kernels import Model

    return Model(families.Poisson(), Layout((Split((Constant(), Columns(3)), ((0,), (1, 2, 3))),)))


def point(p=4):
    return Point(np.linspace(-0.1, 0.1, p), np.asarray(False), None, np.asarray(0.4))


def test_sums_do_not_depend_on_which_thread_is_faster(three, monkeypatch, x64):
    monkeypatch.setattr(stream, "_FEW_ROWS", 0)
    rows, model, rng = numbers(), numeric_model(), np.random.default_rng(1)
    found = []
    for _ in range(3):
        kernel_add = sums._add

        def add(*arguments, kernel_add=kernel_add, **options):
            time.sleep(rng.uniform(0, 2e-3))
            return kernel_add(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(sums, "_add", add)
            found.append(StreamSource(lambda: iter(blocks_of(rows, 70)), N, 64).reduce(Newton(), model, point()))
    for other in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, other, found[0])


def test_rows_that_can_be_read_in_several_places_are(three, monkeypatch, x64):
    """The same sums, and always the same; beside values of all rows they come in order."""
    monkeypatch.setattr(stream, "_FEW_ROWS", 0)
    rows, model, asked = numbers(), numeric_model(), []
    whole = ArraySource.from_rows(rows).reduce(Newton(), model, point())

    def apart(most):
        asked.append(most)
        edges = [0, 300, 650, N]
        return [lambda a=a, b=b: iter(blocks_of(base.cut(rows, a, b), 70)) for a, b in pairwise(edges)]

    source = StreamSource(lambda: iter(blocks_of(rows, 70)), N, 64, apart)
    found = [source.reduce(Newton(), model, point()) for _ in range(3)]
    assert asked == [3] * 3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found[0], whole)
    for other in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, other, found[0])
    twice = source.replace(lambda r: r._replace(freq=2 * r.freq)).reduce(Newton(), model, point())
    np.testing.assert_allclose(twice.nll, 2 * whole.nll, rtol=1e-12)
    weights = np.arange(N, dtype=float)
    beside = source.beside(weights, lambda r, w: r._replace(freq=r.freq * w))
    want = ArraySource.from_rows(rows._replace(freq=weights)).reduce(Newton(), model, point())
    np.testing.assert_allclose(beside.reduce(Newton(), model, point()).gradient, want.gradient, rtol=1e-12)
    assert asked == [3] * 4


def test_another_length_meets_compiled_code(three, x64):
    model = numeric_model()

    def run(n, block):
        return StreamSource(lambda: iter(blocks_of(numbers(n), block)), n, 64).reduce(Newton(), model, point())

    run(40_000, 1000)
    compiled = sums._adding._cache_size
    before = compiled()
    assert before and float(run(33_333, 777).size) > 0 and compiled() == before


@ON_HOST
def test_samples_of_another_size_meet_compiled_code(x64):
    """A sample of 9,000 rows is of chunks such as one of 27,000 has, whoever takes it."""
    model, whole = numeric_model(), ArraySource.from_rows(numbers(40_000))

    def run(n):
        for some in (ArraySource.of_sample(numbers(n)), whole.sample(n)):
            assert float(some.reduce(Newton(), model, point()).size) > 0
            found = jax.tree.map(np.asarray, some.map_rows(Observed(), model, None))
            assert len(jax.tree.leaves(found)[0]) == some.n_rows
        return some

    compiled = [sums._adding._cache_size, sums._whole._cache_size, sums._map._cache_size]
    assert run(9_000).resident is None
    before = [size() for size in compiled]
    run(27_000)
    assert [size() for size in compiled] == before


@ON_HOST
def test_a_pass_takes_nothing_from_the_device_before_its_end(three, monkeypatch, x64):
    monkeypatch.setattr(stream, "_FEW_ROWS", 0)
    calls = []
    monkeypatch.setattr(sums, "host", lambda tree: calls.append(threading.current_thread()) or precision.host(tree))
    source = StreamSource(lambda: iter(blocks_of(numbers(), 70)), N, 64)
    model, at = jax.device_put((numeric_model(), point()))

    def guarded(*arguments):
        with jax.transfer_guard_device_to_host("disallow"):
            return sums.add_chunks(*arguments)

    monkeypatch.setattr(stream, "add_chunks", guarded)
    source.reduce(Newton(), model, at)
    # Two sums of three threads are added to the first, and the result is finished: all in the calling thread.
    assert len(calls) == 5 and set(calls) == {threading.current_thread()}


def test_an_end_before_the_last_row_closes_the_data(three, x64):
    closed = []

    def blocks():
        try:
            yield from blocks_of(numbers(20_000), 100)
        finally:
            closed.append(True)

    source = StreamSource(blocks, 20_000, 64)
    for values in source.iterate(Observed(), numeric_model(), None):
        assert len(jax.tree.leaves(values)[0]) == 64
        break
    assert closed == [True]


def test_errors_of_the_data_come_through_a_fit(three, monkeypatch):
    monkeypatch.setattr(stream, "_FEW_ROWS", 0)

    def frames():
        yield pd.DataFrame({"y": [1.0, 2.0, 3.0], "x": [0.0, 1.0, 3.0]})
        if frames.calls:
            raise OSError("connection lost")
        frames.calls += 1

    frames.calls = 0
    with pytest.raises(OSError, match="connection lost") as caught:
        jg.glm("y ~ x", frames, "poisson")
    assert any(entry.name == "frames" for entry in caught.traceback)


def test_memory_is_a_few_chunks(three, x64):
    """A hundred chunks pass; NumPy's memory never holds more than twenty."""
    size, count, model = 4096, 100, numeric_model()
    block = numbers(size)

    def blocks():
        for _ in range(count):
            yield jax.tree.map(np.array, block)

    source = StreamSource(blocks, size * count, size)
    source.reduce(Newton(), model, point())
    tracemalloc.start()
    try:
        source.reduce(Newton(), model, point())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * size * 5 * 8


def thinned(n, most, block=997, codes=None, expected=0):
    kept = thinning.Thinning(most, expected=expected)
    for start in range(0, n, block):
        y = np.arange(start, min(start + block, n), dtype=float)
        x = (y, y) if codes is None else (y, codes[start : start + block])
        kept.add(Rows(x=(x,), y=y, freq=np.broadcast_to(1.0, y.shape)))
    return kept.rows()


@pytest.mark.parametrize("block", [1, 997, 50_000])
def test_a_sample_is_spread_over_rows_whose_number_nobody_knew(block):
    found = thinned(50_000 if block > 1 else 3000, 1024 if block > 1 else 64, block)
    step = 64
    np.testing.assert_array_equal(found.y // step, np.arange(len(found.y)))
    np.testing.assert_array_equal(found.x[0][0], found.y)
    # Places within the stretches look uniform: their mean is that of 0 to 63 within 4 standard errors.
    assert abs(np.mean(found.y % step) - 31.5) < 4 * 18.5 / np.sqrt(len(found.y))


def test_a_sample_is_the_same_where_half_of_the_rows_come_that_were_expected():
    found, other = thinned(50_000, 1024), thinned(50_000, 1024, expected=100_000)
    np.testing.assert_array_equal(found.y, other.y)
    assert len(thinned(50_000, 1024, expected=10_000_000).y) < 64


def test_a_sample_has_rows_of_rare_levels():
    n = 40_000
    codes = np.zeros(n, np.int32)
    codes[np.random.default_rng(0).choice(n, 500, replace=False)] = 1
    codes[-3:] = 2
    found = thinned(n, 1024, codes=codes)
    counts = np.bincount(found.x[0][1])
    assert counts[1] >= thinning.ROWS_OF_A_LEVEL and counts[2] == 3 and 600 < counts[0] < 1100
    assert np.all(np.diff(found.y) > 0)


def test_a_sample_of_several_parts_is_spread_over_all(three, x64):
    n, edges = 60_000, [0, 20_000, 20_000, 45_000, 60_000]
    y = np.arange(n, dtype=float)
    rows = Rows(x=((y,),), y=y, freq=np.broadcast_to(1.0, (n,)))

    def apart(most):
        return [lambda a=a, b=b: iter(blocks_of(base.cut(rows, a, b), 4096)) for a, b in pairwise(edges)]

    found = StreamSource(lambda: iter(blocks_of(rows, 4096)), n, 4096, apart).sample(1000)
    kept = np.asarray(found.resident.y)[: found.n_rows]
    assert 3000 < found.n_rows < n // 4 and 0 < np.diff(kept).min() and np.diff(kept).max() < 64
    assert kept[0] < 64 and kept[-1] > n - 64 and np.all(kept == kept.astype(int))


def test_no_sample_of_few_rows():
    assert thinned(1000, 10**6) is None


@pytest.mark.usefixtures("compiled_quickly")
def test_a_fit_to_a_stream_begins_with_a_sample(three):
    """The same estimates as from memory, in few passes, with a level that hardly any row has."""
    rng = np.random.default_rng(3)
    n = 60_000
    f = rng.choice(list("abcd"), n, p=[0.5, 0.3, 0.1985, 0.0015])
    data = pd.DataFrame({"x": rng.normal(size=n), "f": f})
    data["y"] = rng.poisson(np.exp(0.2 + 0.4 * data["x"] + 0.5 * (f == "b")))
    readings = []

    def frames():
        readings.append(1)
        return (data.iloc[start : start + 9_999] for start in range(0, n, 9_999))

    streamed, whole = jg.glm("y ~ x + f", frames, "poisson"), jg.glm("y ~ x + f", data, "poisson")
    counts = streamed.n_passes
    assert counts["sample"] == counts["closing"] == 1 and "survey" not in counts
    # One more reading has learned the levels.
    assert sum(counts.values()) == len(readings) - 1 <= 6
    assert np.max(np.abs(streamed.params - whole.params) / whole.bse) < 1e-7
    np.testing.assert_allclose(streamed.bse, whole.bse, rtol=2e-8)
    np.testing.assert_allclose(streamed.llf, whole.llf, rtol=1e-10)


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("family", ["poisson", "gaussian"])
def test_the_first_step_of_a_stream_of_numbers_is_by_the_sample(family, monkeypatch):
    """The first Hessian of all rows is then where that step ends; one that serves for good is of all rows at once."""
    rng = np.random.default_rng(3)
    n, p = 60_000, 8
    X = rng.normal(size=(n, p))
    eta = X @ np.linspace(-0.3, 0.3, p)
    y = rng.poisson(np.exp(eta)).astype(float) if family == "poisson" else rng.normal(eta)
    data = pd.DataFrame(X, columns=[f"x{j}" for j in range(p)]).assign(y=y)
    names, reduce = [], passes.Run._reduce
    monkeypatch.setattr(passes.Run, "_reduce", lambda *a: (names.append(a[-1]), reduce(*a))[1])
    monkeypatch.setattr(lending, "_ROWS_OF_A_HESSIAN", 500)
    # Compiled sooner, into slower code.
    monkeypatch.setattr(sums, "FEW_ROWS", n)
    pieces = [data.iloc[start : start + 9_999] for start in range(0, n, 9_999)]
    res = jg.glm("y ~ " + " + ".join(data.columns[:p]), lambda: iter(pieces), family)
    assert names[:2] == (["newton", "closing"] if family == "gaussian" else ["gradient", "newton"]) and len(names) <= 5

    X, theta = np.column_stack([np.ones(n), X]), np.zeros(p + 1)
    for _ in range(20):
        mu = np.exp(X @ theta) if family == "poisson" else X @ theta
        bread = np.linalg.inv((X.T * (mu if family == "poisson" else 1.0)) @ X)
        theta = theta + bread @ (X.T @ (y - mu))
    scale = 1.0 if family == "poisson" else np.sum((y - mu) ** 2) / (n - p - 1)
    errors = np.sqrt(scale * np.diagonal(bread))
    assert np.max(np.abs(res.params - theta) / errors) < 1e-7
    np.testing.assert_allclose(res.bse, errors, rtol=2e-8)


class Recorded:
    """Stands for a bar of tqdm."""

    made: list["Recorded"] = []

    def __init__(self, total, initial, **options):
        self.events = [("total", total), ("options", options)]
        self.n = initial
        Recorded.made.append(self)

    def update(self, count):
        self.n += count

    def reset(self, total):
        self.events.append(("pass", self.n, total))
        self.n = 0

    def set_description_str(self, text, refresh):
        self.events.append(("description", text))

    def set_postfix_str(self, text):
        self.events.append(("postfix", text))

    def close(self):
        self.events.append(("closed", self.n))


@pytest.fixture
def bars(monkeypatch):
    """The bars that are opened."""
    monkeypatch.setattr(Recorded, "made", [])
    monkeypatch.setitem(sys.modules, "tqdm.auto", SimpleNamespace(tqdm=Recorded))
    return Recorded.made


SMALL = pd.DataFrame({"y": [1.0, 2, 4, 3, 6, 5], "x": np.arange(6.0)})


def test_progress_shows_passes_rows_and_steps(bars):
    res = jg.glm("y ~ x", lambda: iter([SMALL[:4], SMALL[4:]]), "poisson", progress=True)
    (bar,) = bars
    descriptions = [event[1] for event in bar.events if event[0] == "description"]
    assert descriptions == [f"pass {i + 1}" for i in range(sum(res.n_passes.values()))]
    # Every pass ends with all six rows.
    assert [event[1] for event in bar.events if event[0] == "pass"][1:] == [6] * (len(descriptions) - 1)
    assert bar.events[-1] == ("closed", 6)
    steps = [event[1] for event in bar.events if event[0] == "postfix"]
    assert steps[0] == "" and steps[-1].startswith("step of ") and steps[-1].endswith(" standard errors")


@pytest.mark.usefixtures("compiled_quickly")
def test_progress_leaves_out_the_sample(bars):
    x = np.random.default_rng(4).normal(size=40_000)
    res = jg.fit(x[:, None], np.random.default_rng(5).poisson(np.exp(0.2 * x)), "poisson", progress=True)
    (bar,) = bars
    descriptions = [event[1] for event in bar.events if event[0] == "description"]
    assert "closing" in res.n_passes and len(descriptions) == sum(res.n_passes.values())


def test_progress_is_off_for_short_work_and_on_for_long(bars, monkeypatch):
    pieces = lambda: iter([SMALL[:4], SMALL[4:]])  # noqa: E731
    jg.glm("y ~ x", pieces, "poisson")
    jg.fit(SMALL[["x"]], SMALL["y"], "poisson")
    assert not bars
    monkeypatch.setattr(progress, "PATIENCE_OF_A_FIT", 0.0)
    jg.glm("y ~ x", SMALL, "poisson")
    jg.glm("y ~ x", pieces, "poisson", progress=False)
    assert not bars
    jg.glm("y ~ x", pieces, "poisson")
    jg.fit(SMALL[["x"]], SMALL["y"], "poisson", progress=True)
    assert len(bars) == 2


def test_progress_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(jg.errors.MissingExtraError, match=r"jaxglm\[progress\]"):
        jg.glm("y ~ x", SMALL, "poisson", progress=True)
    with pytest.raises(jg.errors.InputTypeError, match="progress must be"):
        jg.glm("y ~ x", SMALL, "poisson", progress="yes")


def test_models_of_other_rows_come_with_the_stream(three, monkeypatch, x64):
    """What is changed after what was put beside keeps its order, on chunks that threads share."""
    monkeypatch.setattr(stream, "_FEW_ROWS", 0)
    rows = source_models.rows(source_models.MODELS["gaussian"])
    model = source_models.model("gaussian")
    values = np.arange(source_models.N, dtype=float)

    def changed(source):
        source = source.replace(lambda r: r._replace(y=2.0 * r.y))
        source = source.beside(values, lambda r, v: r._replace(y=r.y + v))
        return source.replace(lambda r: r._replace(y=3.0 * r.y)).map_rows(Observed(), model, None)

    found = changed(StreamSource(lambda: iter(blocks_of(rows, 33)), source_models.N, 40))
    jax.tree.map(np.testing.assert_allclose, found, changed(ArraySource.from_rows(rows)))
