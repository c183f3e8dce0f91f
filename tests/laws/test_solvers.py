"""Every solver gives the same fit, on every source and for every family; what fails on the way is told."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm.design import Dense, Layout
from jaxglm.families import Gaussian
from jaxglm.kernels import Model, Rows, Walk
from jaxglm.solvers.stochastic import _trouble
from jaxglm.sources import ArraySource, MeshSource, StreamSource, base

#: Two solves stop within 1e-8 standard errors of the optimum, and the last step squares that.
SAME_ESTIMATE, SAME_ERROR = 1e-8, 1e-7
N = 900

rng = np.random.default_rng(4)
#: In units that differ by sixteen orders of magnitude.
UNITS = np.array([1.0, 1e8, 1e-8])
X = rng.normal(size=(N, 3)) * UNITS + [0.0, 3e8, 0.0]
ETA = 0.3 + X / UNITS @ [0.4, -0.2, 0.3] + 0.6
MU = np.exp(ETA)
SOLVERS = {
    "newton": "newton",
    "irls": "irls",
    "lbfgs": "lbfgs",
    "stochastic": jg.Stochastic(epochs=2, seed=3),
    "an optimizer": optax.adam(1e-2),
}
#: name: (family, response)
FAMILIES = {
    "gaussian": ("gaussian", 1e6 * (ETA + rng.normal(size=N))),
    "binomial": ("binomial", (rng.random(N) < 1 / (1 + np.exp(-ETA))) * 1.0),
    "poisson": ("poisson", rng.poisson(MU) * 1.0),
    "gamma": (jg.Gamma(link="log"), 1e3 * rng.gamma(3.0, MU / 3.0)),
    "negative binomial": ("negative_binomial", rng.negative_binomial(1.5, 1.5 / (1.5 + MU)) * 1.0),
    "own": (
        jg.custom_family(
            nll=lambda y, eta, aux: 0.5 * eta[1] + 0.5 * (y - eta[0]) ** 2 * jnp.exp(-eta[1]),
            predictors=("mean", "log_variance"),
        ),
        ETA + rng.normal(size=N),
    ),
}


def same(res, want):
    """Estimates and standard errors are the same, and so is what is said of them."""
    assert res.status is want.status
    np.testing.assert_allclose((res.params - want.params) / want.bse, 0.0, atol=SAME_ESTIMATE)
    np.testing.assert_allclose(res.bse, want.bse, rtol=SAME_ERROR)
    for figure in ("deviance", "null_deviance", "pearson_chi2", "llf", "nobs", "df_resid"):
        np.testing.assert_allclose(getattr(res, figure), getattr(want, figure), rtol=1e-9, err_msg=figure)


@pytest.fixture(scope="module")
def exact():
    """The exact fit of each family, made when it is asked for."""
    made = {}

    class Exact:
        def __getitem__(self, name):
            family, y = FAMILIES[name]
            return made[name] if name in made else made.setdefault(name, jg.fit(X, y, family))

    return Exact()


@pytest.mark.parametrize(
    ("name", "solver"),
    [(name, "stochastic" if i % 2 else "lbfgs") for i, name in enumerate(FAMILIES)],
)
def test_gradients_end_as_the_exact_solver_does(name, solver, exact):
    family, y = FAMILIES[name]
    res = jg.fit(X, y, family, solver=SOLVERS[solver])
    same(res, exact[name])
    assert res.n_passes["epoch" if solver == "stochastic" else "gradient"] >= 1
    way, end = res.labels.notes
    assert "exact" in way and end in str(res.summary())
    # Nearer than the exact solver would begin by itself.
    assert float(end.split(" standard errors")[0].split()[-1]) < 3.0


#: How rows get to the solver: options, and rows of a chunk on a CPU.
SOURCES = {
    "chunks": ({}, 256),
    "stream": ({"stream": True}, 512),
    "mesh": ({"devices": "all"}, None),
}


@pytest.mark.parametrize(
    ("source", "solver"),
    [
        ("chunks", "stochastic"),
        ("stream", "stochastic"),
        ("stream", "lbfgs"),
        ("mesh", "stochastic"),
        ("mesh", "lbfgs"),
    ],
)
def test_every_solver_takes_every_source(source, solver, exact, monkeypatch):
    options, chunk = SOURCES[source]
    if chunk:
        monkeypatch.setitem(base.CHUNK, jax.default_backend(), chunk)
    data = pd.DataFrame(X, columns=["x1", "x2", "x3"]).assign(y=FAMILIES["poisson"][1])
    data = (lambda whole=data: (whole.iloc[i : i + 350] for i in range(0, N, 350))) if "stream" in options else data
    devices = options.get("devices")
    res = jg.glm("y ~ x1 + x2 + x3", data, family="poisson", solver=SOLVERS[solver], devices=devices)
    same(res, exact["poisson"])


@pytest.mark.parametrize(("precision", "solver"), [("mixed", "stochastic"), ("float32", "lbfgs")])
def test_gradients_of_columns_in_single_precision(precision, solver):
    y = FAMILIES["poisson"][1]
    found = [jg.fit(X, y, "poisson", precision=precision, solver=s) for s in ("auto", SOLVERS[solver])]
    for res in found[1:]:
        # Rounding of rows leaves what these precisions promise.
        assert np.max(np.abs(res.params - found[0].params) / found[0].bse) < 1e-4
        np.testing.assert_allclose(res.bse, found[0].bse, rtol=1e-5)


@pytest.mark.parametrize("solver", ["newton", "irls", "an optimizer"])
def test_other_solvers(solver, exact):
    same(jg.fit(X, FAMILIES["poisson"][1], "poisson", solver=SOLVERS[solver]), exact["poisson"])


@pytest.mark.usefixtures("compiled_quickly")
def test_many_rows_begin_at_a_sample():
    """The road and the exact solve share the fit to a sample; two passes of X'WX are left."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=(40_000, 3))
    y = rng.poisson(np.exp(0.2 + x @ [0.3, -0.2, 0.1])) * 1.0
    want = jg.fit(x, y, "poisson")
    for solver in ("lbfgs", jg.Stochastic(epochs=1, batch_rows=1000)):
        res = jg.fit(x, y, "poisson", solver=solver)
        same(res, want)
        assert res.n_passes["newton"] == 1 and res.n_passes["closing"] == 1 and "survey" not in res.n_passes
    again = jg.fit(x, y, "poisson", solver=jg.Stochastic(epochs=1, batch_rows=1000))
    np.testing.assert_array_equal(again.params, res.params)


def test_a_start_far_away_is_where_gradients_begin(exact):
    """From there the exact solver takes many steps, gradients come near first."""
    far = exact["poisson"].params + [0.3, 0.5, 0.5e-8, 0.5e8]
    plain = jg.fit(X, FAMILIES["poisson"][1], "poisson", start=far)
    for solver in ("lbfgs", jg.Stochastic(optax.adam(5e-2), epochs=8)):
        res = jg.fit(X, FAMILIES["poisson"][1], "poisson", start=far, solver=solver)
        same(res, exact["poisson"])
        assert res.n_passes["newton"] < plain.n_passes["newton"]


def test_a_rate_that_is_too_high_is_told_and_costs_no_digit(exact):
    res = jg.fit(X, FAMILIES["poisson"][1], "poisson", solver=optax.sgd(1e3))
    same(res, exact["poisson"])
    (note,) = res.labels.notes
    assert "given up after 1 epoch" in note and "no longer finite" in note and "learning rate is too high" in note


def test_a_loss_that_rose_is_trouble():
    rng = np.random.default_rng(0)
    losses = [1.0 + 0.1 * rng.normal(size=64) for _ in range(3)]
    assert _trouble(losses) == ""
    assert "rose from 1" in _trouble([*losses, losses[0] + 0.2])


@pytest.mark.parametrize("solver", ["lbfgs", "stochastic"])
def test_aliased_columns_and_separation_are_reported(solver):
    x = np.column_stack([X[:, 0], 2.0 * X[:, 0], X[:, 2]])
    with pytest.warns(jg.AliasWarning, match="x2"):
        want = jg.fit(x, FAMILIES["poisson"][1], "poisson")
    with pytest.warns(jg.AliasWarning, match="x2"):
        res = jg.fit(x, FAMILIES["poisson"][1], "poisson", solver=SOLVERS[solver])
    np.testing.assert_allclose(res.params, want.params, rtol=1e-8)
    np.testing.assert_allclose(res.bse, want.bse, rtol=SAME_ERROR)
    y = np.where(X[:, 0] > 0, 1.0, FAMILIES["binomial"][1])
    with pytest.warns(jg.SeparationWarning, match="x1"):
        res = jg.fit(np.column_stack([X[:, 0] > 0, X[:, 2]]), y, "binomial", solver=SOLVERS[solver])
    assert res.status is jg.Status.SEPARATED and "left out" in res.labels.notes[-1]


def test_bad_rows_are_named_after_gradients_too():
    y = FAMILIES["poisson"][1].copy()
    y[N - 3] = -1.0
    with pytest.raises(jg.DataError, match=f"row {N - 3}"):
        jg.fit(X, y, "poisson", solver=SOLVERS["stochastic"])


def test_saved_results_say_how_they_were_solved(tmp_path, exact):
    res = jg.fit(X, FAMILIES["poisson"][1], "poisson", solver=jg.Stochastic(optax.adam(1e-2), epochs=1))
    res.save(tmp_path / "fit")
    loaded = jg.load(tmp_path / "fit")
    assert loaded.fit.options.solver == "Stochastic(optimizer=<scale_by_adam, scale>, epochs=1, seed=0)"
    assert loaded.labels.notes == res.labels.notes and loaded.n_passes == res.n_passes
    same(loaded, exact["poisson"])


class Count(Walk):
    """Adds up what it meets: weights, and rows times their response."""

    def map(self, model, frame, state, rows):
        return jnp.sum(rows.freq), jnp.sum(rows.freq[:, None] * rows.y[:, None] * rows.x[0], axis=0)

    def move(self, model, frame, state, sums, count):
        return jax.tree.map(jnp.add, state, sums), count.astype(float)


def _sources(rows, n, monkeypatch):
    yield "array", ArraySource.from_rows(rows)
    monkeypatch.setitem(base.CHUNK, jax.default_backend(), 64)
    yield "chunks", ArraySource.from_rows(rows)
    yield "stream", StreamSource(lambda: (base.cut(rows, i, i + 50) for i in range(0, n, 50)), n, 64)
    yield "mesh", MeshSource.from_rows(rows, jax.devices())


def test_an_epoch_meets_every_row_once_on_every_source(monkeypatch, x64):
    n = 201
    rng = np.random.default_rng(2)
    rows = Rows((rng.normal(size=(n, 2)),), rng.normal(size=n), rng.integers(1, 4, n) * 1.0)
    model = Model(Gaussian(), Layout((Dense(2),)))
    want = rows.freq.sum(), (rows.freq * rows.y) @ rows.x[0]
    for name, source in _sources(rows, n, monkeypatch):
        for size in (1, 50, 1000):
            zero = jax.device_put((np.zeros(()), np.zeros(2)))
            found, kept = source.walk(Count(), model, None, zero, size, 5)
            np.testing.assert_allclose(found[0], want[0], err_msg=f"{name} {size}")
            np.testing.assert_allclose(found[1], want[1], rtol=1e-12, err_msg=f"{name} {size}")
            most = max(size, jax.device_count() if name == "mesh" else 1)
            assert kept.max() <= most and len(kept) >= n / most
