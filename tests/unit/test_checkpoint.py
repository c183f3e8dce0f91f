"""An interrupted fit goes on from its last pass to the same result, to the bit."""

import errno
import os

import numpy as np
import optax
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm import archive
from jaxglm.sources import ArraySource, base

N = 900

rng = np.random.default_rng(6)
DATA = pd.DataFrame(rng.normal(size=(N, 2)), columns=["a", "b"])
DATA["y"] = rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(0.5 + 0.4 * DATA["a"] - 0.2 * DATA["b"]))) * 1.0
DATA["any"] = (DATA["y"] > 0) * 1.0
DATA["t"] = rng.uniform(0.5, 2.0, N)


class Frames:
    """The data in pieces; counts how often it is read, and is interrupted in the middle of a reading on request."""

    def __init__(self, data=DATA):
        self.data, self.n_read, self.stop = data, 0, None

    def __call__(self):
        self.n_read += 1
        for start in range(0, len(self.data), 200):
            if self.n_read == self.stop and start > 300:
                raise KeyboardInterrupt
            yield self.data.iloc[start : start + 200]


def run(frames, stop=None, **options):
    """A fit of the frames, which may be interrupted, and how often they were read."""
    frames.n_read, frames.stop = 0, stop
    given = {"formula": "y ~ a + b", "data": frames, "family": "poisson", "exposure": "t", "cov": "HC3"}
    res = jg.glm(**given | options)
    return res, frames.n_read


def same_to_the_bit(res, want):
    for figure in ("params", "bse", "deviance", "null_deviance", "llf", "nobs", "fittedvalues"):
        np.testing.assert_array_equal(getattr(res, figure), getattr(want, figure), err_msg=figure)
    np.testing.assert_array_equal(res.cov_params(), want.cov_params())
    assert res.status is want.status and res.labels.notes == want.labels.notes
    assert res.n_passes == want.n_passes and res.n_iter == want.n_iter


#: Exact, with a null model that is a fit of its own, and after roads of both kinds.
FITS = {
    "exact": {},
    "null model by steps": {
        "formula": "any ~ a + b", "family": "binomial", "link": "probit", "exposure": None, "offset": "t",
    },
    "lbfgs": {"solver": "lbfgs"},
    "stochastic": {"solver": jg.Stochastic(optax.adam(1e-2), epochs=2)},
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_a_stream_goes_on_after_its_last_pass(name, tmp_path):
    frames, path = Frames(), tmp_path / "fit.checkpoint"
    want, n_read = run(frames, **FITS[name])
    with pytest.raises(KeyboardInterrupt):
        run(frames, n_read - 1, checkpoint=path, **FITS[name])
    assert path.exists()
    res, again = run(frames, checkpoint=path, **FITS[name])
    same_to_the_bit(res, want)
    # Twice to learn, one or two looks at the first rows, the interrupted pass, and two that come after.
    assert again <= 6 < n_read
    assert not path.exists() and not os.listdir(tmp_path)


def interrupted(passes, monkeypatch):
    """Interrupt sums over rows in memory after a number of them."""
    reduce, done = ArraySource.reduce, []

    def counted(self, *arguments):
        done.append(1)
        if len(done) > passes:
            raise KeyboardInterrupt
        return reduce(self, *arguments)

    monkeypatch.setattr(ArraySource, "reduce", counted)
    return done


def test_rows_in_memory_and_their_sample(tmp_path, monkeypatch):
    """In chunks, by way of a fit to a sample."""
    monkeypatch.setitem(base.CHUNK, "cpu", 2**13)
    path = tmp_path / "fit"
    rng = np.random.default_rng(7)
    x = rng.normal(size=(40_000, 2))
    y = (rng.random(40_000) < 1 / (1 + np.exp(-x[:, 0]))) * 1.0
    with monkeypatch.context() as patched:
        whole = interrupted(1000, patched)
        want = jg.fit(x, y, "binomial", checkpoint=path)
    with monkeypatch.context() as patched:
        interrupted(len(whole) - 2, patched)
        with pytest.raises(KeyboardInterrupt):
            jg.fit(x, y, "binomial", checkpoint=path)
    with monkeypatch.context() as patched:
        again = interrupted(1000, patched)
        res = jg.fit(x, y, "binomial", checkpoint=path)
    same_to_the_bit(res, want)
    same_to_the_bit(res, jg.fit(x, y, "binomial"))
    # The facts that tell this fit from others, and the two passes that were missing.
    assert len(again) == 3


@pytest.fixture
def stopped(tmp_path):
    """A checkpoint of two passes."""
    frames, path = Frames(), tmp_path / "fit.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        run(frames, 6, checkpoint=path)
    return path


#: What differs: (options, data, words)
OTHERS = {
    "family": ({"family": "quasipoisson"}, DATA, "the family is poisson .* there, but quasipoisson"),
    "rows": ({}, DATA.iloc[:-1], "number of rows is 900 there, but 899 here"),
    "first rows": ({}, DATA.assign(a=DATA["a"] + 1e-9), "the first rows"),
    "tolerance": ({"tol": 1e-6}, DATA, "tol is 1e-08 there, but 1e-06 here"),
    "solver": ({"solver": "lbfgs"}, DATA, "solver is auto there, but lbfgs here"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_another_fit_is_refused(name, stopped):
    options, data, words = OTHERS[name]
    before = stopped.read_bytes()
    with pytest.raises(
        jg.InputError, match=f"(?s)fit.checkpoint belongs to another fit: .*{words}.*[Dd]elete the file"
    ):
        run(Frames(data), checkpoint=stopped, **options)
    assert stopped.read_bytes() == before


def test_an_optimizer_with_another_rate_is_another_fit(tmp_path):
    path = tmp_path / "fit"
    solver = {rate: jg.Stochastic(optax.adam(rate), epochs=1) for rate in (1e-2, 2e-2)}
    frames = Frames()
    with pytest.raises(KeyboardInterrupt):
        run(frames, 6, checkpoint=path, solver=solver[1e-2])
    with pytest.raises(jg.InputError, match="another fit: the solver's steps"):
        run(frames, checkpoint=path, solver=solver[2e-2])


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty", "results"])
def test_a_damaged_checkpoint_is_named_with_the_remedy(damage, stopped):
    content = stopped.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    if damage == "results":
        jg.fit(DATA[["a"]], DATA["y"], "poisson").save(stopped)
    else:
        new = {"cut": content[:-200], "flipped": bytes(flipped), "text": b"theta = 1", "empty": b""}[damage]
        stopped.write_bytes(new)
    with pytest.raises(jg.StorageError, match=r"(?s)fit\.checkpoint cannot be read.*Delete the file"):
        run(Frames(), checkpoint=stopped)


def test_a_full_disk_leaves_the_passes_before(stopped, monkeypatch):
    """The pass that cannot be written is an error of the system, and the file is that of the pass before."""
    before = stopped.read_bytes()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", str(stopped))

    with monkeypatch.context() as patched:
        patched.setattr(archive, "_write", full)
        with pytest.raises(OSError, match="No space left"):
            run(Frames(), checkpoint=stopped)
    assert stopped.read_bytes() == before and os.listdir(stopped.parent) == [stopped.name]
    res, _ = run(Frames(), checkpoint=stopped)
    same_to_the_bit(res, run(Frames())[0])


@pytest.mark.parametrize(("path", "error"), [(3.5, jg.InputTypeError), ("no/such/folder/fit", FileNotFoundError)])
def test_a_path_that_cannot_be_written(path, error):
    with pytest.raises(error, match="checkpoint must be the path|no such folder"):
        jg.fit(DATA[["a"]], DATA["y"], "poisson", checkpoint=path)
