"""All sources give the same sums, the same row values, and the same fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import source_models
from source_models import MODELS, N

import jaxglm as jg
from jaxglm import precision
from jaxglm.fit import fit_source
from jaxglm.fitted import Options
from jaxglm.hosts import ALONE
from jaxglm.kernels import (
    Added,
    AddedPoint,
    Anscombe,
    Boundaries,
    Changes,
    Closing,
    ClosingPoint,
    ClusterMeat,
    Columns,
    Compensated,
    Deletion,
    DeletionPoint,
    Dependence,
    FitPoint,
    Given,
    Itself,
    Joint,
    LanePoints,
    Lanes,
    LeverageMeat,
    LeveragePoint,
    Margins,
    Matrix,
    Meat,
    Moments,
    Movement,
    Newton,
    Observed,
    Outcomes,
    Point,
    Predictions,
    Predictors,
    Residuals,
    Routed,
    Scores,
    Spread,
    Statistics,
    Survey,
    Tails,
    Triangle,
    Unsound,
)
from jaxglm.sources import ArraySource, HostsSource, MeshSource, MeshStream, StreamSource, base

#: Sums of 201 terms in another order.
ROUNDING = 1e-12
#: Two fits stop within tol standard errors of the optimum, and one more step squares that.
SAME_FIT = 1e-9


def pieces(rows, lengths):
    """The rows in blocks of the given lengths, repeated until they end."""
    start, k = 0, 0
    while start < N:
        stop = min(start + lengths[k % len(lengths)], N)
        yield base.cut(rows, start, stop)
        start, k = stop, k + 1


def array(rows):
    return ArraySource.from_rows(rows)


def stream(chunk, *lengths):
    return lambda rows: StreamSource(lambda: pieces(rows, lengths), N, chunk)


#: name: (rows of a chunk, or None for the default; maker of a source)
SOURCES = {
    "array in chunks of 64": (64, array),
    "array in chunks of 67": (67, array),
    "stream in chunks of 64": (None, stream(64, 30, 1, 90)),
    "stream in one chunk": (None, stream(None, 201)),
    "stream of single rows": (None, stream(64, 1)),
    "stream in chunks of 40": (None, stream(40, 70)),
    "mesh of 4": (None, lambda rows: MeshSource.from_rows(rows, jax.devices())),
    "mesh of 4 in chunks of 64": (16, lambda rows: MeshSource.from_rows(rows, jax.devices())),
    "mesh of 3 in chunks of 67": (67, lambda rows: MeshSource.from_rows(rows, jax.devices()[:3])),
    "sums that could travel": (64, lambda rows: HostsSource(array(rows), ALONE, N)),
    "stream over a mesh of 2": (
        None,
        lambda rows: MeshStream(lambda: pieces(rows, (30, 1, 90)), N, jax.devices()[:2], 33),
    ),
}
#: What a whole fit is run on; the others differ in shapes alone.
FITTED = ("array in chunks of 64", "stream in chunks of 64", "mesh of 4 in chunks of 64")


def make(name, rows, monkeypatch):
    chunk, maker = SOURCES[name]
    if chunk:
        monkeypatch.setitem(base.CHUNK, jax.default_backend(), chunk)
    made = maker(rows)
    assert made.n_rows == N
    return made


def kernels(p):
    """name: (kernel, point), every kernel that sums."""
    theta = jnp.linspace(-0.2, 0.3, p)
    at = Point(theta, jnp.asarray(True), jnp.asarray(False), jnp.asarray(0.4))
    lanes = Point(jnp.linspace(0.5, 1.5, 8)[:, None] * theta, jnp.arange(8) % 2 == 0, None, jnp.zeros(8))
    return {
        "survey": (Survey(), None),
        "totals": (Newton(), at),
        "totals, never a start": (Newton(), at._replace(start=None)),
        "gradient alone": (Newton(gram="none"), at._replace(start=None)),
        "closing": (Closing(), ClosingPoint(at._replace(start=None), jnp.asarray(0.1), jnp.asarray(1.0))),
        "facts alone": (Survey("none"), None),
        "facts and own products": (Survey("own"), None),
        "margins": (Margins(), None),
        "totals at the start": (Newton(), at._replace(start=jnp.asarray(True), observed=jnp.asarray(False))),
        "triangle": (Triangle(), at._replace(observed=jnp.asarray(False))),
        "gradient": (Compensated(), at._replace(observed=jnp.asarray(False))),
        "gradient at the start": (Compensated(), at._replace(start=jnp.asarray(True), observed=jnp.asarray(False))),
        "two in one pass": (Joint((Newton(), Compensated())), at),
        "plain triangle": (Triangle(plain=True), at),
        "moves": (Movement(), (theta, jnp.asarray(0.1))),
        "statistics": (Statistics(), FitPoint(theta, jnp.asarray(0.1), jnp.asarray(1.0))),
        "meat": (Meat(), theta),
        "moments": (Moments(), theta),
        "added": (Added(), AddedPoint(theta, jnp.asarray(True), jnp.array([1, 5]), jnp.array([0.1, 0.2, 0.3]))),
        "totals at many points": (Lanes(Newton()), LanePoints(lanes, jnp.asarray(8))),
        "clusters": (ClusterMeat((("firm", 32), ("year", 8))), theta),
        "leverages": (
            LeverageMeat(),
            LeveragePoint(theta, 0.03 * jnp.eye(p), jnp.asarray(True), jnp.asarray(0.5), jnp.asarray(0.99)),
        ),
    }


def row_maps(p):
    theta = jnp.linspace(-0.2, 0.3, p)
    return {
        "columns": (Columns(), None),
        "predictors": (Predictors(), theta),
        "predictions": (Predictions(), (theta, jnp.eye(p))),
        "residuals": (Residuals(), theta),
        "boundaries": (Boundaries(), None),
        "itself": (Itself(), None),
        "observed": (Observed(), None),
        "scores": (Scores(), theta),
        "matrix": (Matrix(), None),
        "routed": (Routed("firm"), jnp.linspace(0.5, 1.5, 32)[:, None] * theta),
    }


def rare_maps(p):
    theta = jnp.linspace(-0.2, 0.3, p)
    both = (theta, jnp.asarray(1.0))
    out = DeletionPoint(theta, 0.05 * jnp.eye(p), None, jnp.asarray(False), jnp.asarray(1.0))
    return {
        "anscombe": (Anscombe(), theta),
        "tails": (Tails(), both),
        "given": (Given(), both),
        "deletion": (Deletion(), out),
        "changes": (Changes(), out),
        "outcomes": (Outcomes(), theta),
        "unsound": (Unsound(), None),
        "dependence": (Dependence(), jnp.eye(p)[:, :2]),
        "spread": (Spread(), (theta, jnp.eye(p), both[1])),
    }


def evaluate(source, model):
    """All kernels on a source; triangles as the Gram matrices they stand for."""
    p = model.layout.n_coefficients
    found = {name: source.reduce(kernel, model, point) for name, (kernel, point) in kernels(p).items()}
    for name in ("triangle", "plain triangle"):
        found[name] = found[name].T @ found[name]
    found |= {name: source.own.map_rows(kernel, model, point) for name, (kernel, point) in row_maps(p).items()}
    return jax.tree.map(np.asarray, found)


@pytest.fixture(scope="module")
def binomial():
    """Model, rows and the values of one chunk that holds all rows."""
    with precision.scope():
        model = source_models.model("binomial")
        rows = source_models.rows(model.family)
        source = array(rows)
        assert source.resident is not None
        return model, rows, evaluate(source, model)


@pytest.mark.parametrize("name", SOURCES)
def test_every_kernel_gives_the_same(name, binomial, monkeypatch, x64):
    model, rows, want = binomial
    source = make(name, rows, monkeypatch)
    found = evaluate(source, model)
    assert found["survey"].n_rows == N
    for key in want:
        for ours, theirs in zip(jax.tree.leaves(found[key]), jax.tree.leaves(want[key]), strict=True):
            size = np.max(np.abs(theirs), initial=1.0)
            np.testing.assert_allclose(ours, theirs, rtol=ROUNDING, atol=ROUNDING * size, err_msg=key)


def test_rare_row_values_are_the_same_from_every_source(binomial, monkeypatch, x64):
    model, rows, want = binomial
    for kernel, point in rare_maps(model.layout.n_coefficients).values():
        values = [make(name, rows, monkeypatch).map_rows(kernel, model, point) for name in FITTED]
        for other in values[1:]:
            for a, b in zip(jax.tree.leaves(values[0]), jax.tree.leaves(other), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
                assert len(a) == N


def test_replaced_rows_change_every_source(binomial, monkeypatch, x64):
    model, rows, _ = binomial
    want = np.sum(rows.freq * rows.prior) * 3.0
    for name in FITTED:
        source = make(name, rows, monkeypatch).replace(lambda r: r._replace(prior=3.0 * r.prior))
        assert float(source.reduce(Survey(), model, None).weight) == pytest.approx(want, rel=ROUNDING)
        assert source.n_rows == N


def test_codes_come_to_every_source(binomial, monkeypatch, x64):
    """As given with the rows, so given later; and against sums by NumPy."""
    model, rows, want = binomial
    p = model.layout.n_coefficients
    kernel, point = kernels(p)["clusters"]
    for name in FITTED:
        source = make(name, rows._replace(codes={}), monkeypatch)
        source = source.beside(rows.codes, lambda r, codes: r._replace(codes=codes))
        found = source.reduce(kernel, model, point)
        for key, size in (("firm", 32), ("year", 8)):
            sums = np.zeros((size, p))
            np.add.at(sums, rows.codes[key], want["scores"])
            np.testing.assert_allclose(found[key], sums.T @ sums, rtol=1e-10, atol=1e-9)


def test_values_beside_the_rows_meet_their_own_row_on_every_source(monkeypatch, binomial, x64):
    model, rows, _ = binomial
    values = np.arange(N, dtype=float)
    for name in SOURCES:
        with monkeypatch.context() as changed:
            source = make(name, rows, changed).beside(values, lambda r, v: r._replace(prior=r.prior * v))
            survey = source.reduce(Survey("none"), model, None)
            assert float(survey.weight) == pytest.approx(np.sum(rows.freq * rows.prior * values), rel=ROUNDING), name
            pairs = source.beside(
                np.stack([values, values], axis=1), lambda r, v: r._replace(y=v[:, 0], offset=v[:, 1:])
            )
            eta = pairs.own.map_rows(Predictors(), model, np.zeros(model.layout.n_coefficients))
            np.testing.assert_array_equal(eta[:, 0], values, err_msg=name)


def test_totals_are_the_plain_sums(binomial, x64):
    """One source against NumPy, so that all cannot be wrong together."""
    model, rows, want = binomial
    columns = want["columns"]
    w = rows.freq * rows.prior
    survey = want["survey"]
    np.testing.assert_allclose(survey.gram, columns.T @ columns, rtol=ROUNDING, atol=1e-10)
    np.testing.assert_allclose(survey.ones, columns.sum(axis=0), rtol=ROUNDING, atol=1e-10)
    assert survey.total == pytest.approx(np.sum(w * rows.aux["trials"] * rows.y), rel=ROUNDING)
    theta = np.linspace(-0.2, 0.3, columns.shape[1])
    eta = columns @ theta + rows.offset[:, 0]
    mu = -np.expm1(-np.exp(eta))
    log_likelihood = rows.aux["trials"] * (rows.y * np.log(mu) + (1 - rows.y) * np.log1p(-mu))
    assert want["totals"].nll == pytest.approx(-np.sum(w * log_likelihood), rel=ROUNDING)
    slope = np.exp(eta) * (1 - mu)
    score = -w * rows.aux["trials"] * (rows.y - mu) / (mu * (1 - mu)) * slope
    np.testing.assert_allclose(want["totals"].gradient, columns.T @ score, rtol=1e-11, atol=1e-10)
    np.testing.assert_allclose(want["gradient"].high, columns.T @ score, rtol=1e-11, atol=1e-10)
    for kind in ("", " at the start"):
        plain = want["totals" + kind].gradient
        np.testing.assert_allclose(want["gradient" + kind].high, plain, rtol=1e-11, atol=1e-10)
    np.testing.assert_array_equal(want["two in one pass"][0].gradient, want["totals"].gradient)
    fisher = w * rows.aux["trials"] * slope**2 / (mu * (1 - mu))
    gram = columns.T @ (fisher[:, None] * columns)
    np.testing.assert_allclose(want["triangle"], gram, rtol=1e-11, atol=1e-10)


@pytest.fixture(scope="module")
def reference_fits():
    """The fit of every family with all rows in one chunk."""
    found = {}
    with precision.scope():
        for name in MODELS:
            model = source_models.model(name)
            found[name] = run(array(source_models.rows(model.family)), model)
    return found


def run(source, model):
    return fit_source(source, model, Options(), has_intercept=True, has_offset=True)


FIGURES = ("theta", "deviance", "null_deviance", "pearson_chi2", "scale", "llf", "nobs", "weight", "df_resid", "n_rows")


@pytest.mark.slow
@pytest.mark.parametrize("name", FITTED)
@pytest.mark.parametrize("family", MODELS)
def test_every_source_gives_the_same_fit(name, family, reference_fits, monkeypatch, x64):
    model, want = source_models.model(family), reference_fits[family]
    fit = run(make(name, source_models.rows(model.family), monkeypatch), model)
    assert fit.status is jg.Status.CONVERGED and fit.n_iter == want.n_iter
    for figure in FIGURES:
        np.testing.assert_allclose(getattr(fit, figure), getattr(want, figure), rtol=SAME_FIT, err_msg=figure)
    np.testing.assert_allclose(np.asarray(fit.bread.inverse()), np.asarray(want.bread.inverse()), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("n", "size"), [(1, 64), (64, 64), (65, 128), (8192, 8192), (8193, 12288), (12289, 16384), (40000, 49152)]
)
def test_buckets(n, size):
    assert base.bucket(n) == size


def frame() -> pd.DataFrame:
    """Counts, numbers, text and a column of weights, with holes."""
    rng = np.random.default_rng(12)
    x = rng.normal(size=120)
    f = rng.choice(["low", "mid", "top"], 120)
    y = rng.poisson(np.exp(0.4 + 0.3 * x + 0.5 * (f == "top"))).astype(float)
    data = pd.DataFrame({"y": y, "x": x, "f": f, "w": rng.uniform(0.5, 2.0, 120), "t": rng.uniform(1.0, 2.0, 120)})
    # The last level appears late, so that one frame alone would not show it.
    data.loc[data.index < 50, "f"] = data["f"].where(data["f"] != "top", "low")
    data.loc[[3, 77], "x"] = np.nan
    data.loc[11, "f"] = None
    data.loc[5, "w"] = 0.0
    return data


def parts(data, *cuts):
    """A callable that yields frames, one of them empty of usable rows."""
    edges = [0, *cuts, len(data)]
    return lambda: (data.iloc[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True))


@pytest.mark.parametrize("formula", ["y ~ x + f", "y ~ scale(x) * f + offset(log(t))"])
def test_a_stream_of_frames_equals_the_frame(formula):
    data = frame()
    options = {"family": "poisson", "var_weights": "w", "exposure": "t"}
    whole = jg.glm(formula, data, **options)
    streamed = jg.glm(formula, parts(data, 3, 4, 60), **options)
    assert streamed.nobs == whole.nobs == 116
    assert list(streamed.params.index) == list(whole.params.index)
    for figure in ("params", "bse", "cov_params", "deviance", "null_deviance", "llf", "aic", "pearson_chi2"):
        ours, theirs = (getattr(r, figure) for r in (streamed, whole))
        ours, theirs = (v() if callable(v) else v for v in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=SAME_FIT, atol=1e-12, err_msg=figure)
    np.testing.assert_allclose(streamed.resid("pearson"), whole.resid("pearson"), rtol=1e-8, atol=1e-9)
    new = data.dropna().iloc[:7]
    np.testing.assert_allclose(streamed.predict(new), whole.predict(new), rtol=SAME_FIT)


def test_a_separated_level_is_reported_on_a_stream():
    data = frame().dropna()
    data.loc[data["f"] == "mid", "y"] = 0.0
    with pytest.warns(jg.SeparationWarning, match=r"f\[T\.mid\] \(-inf\)"):
        res = jg.glm("y ~ x + f", parts(data, 20, 90), family="poisson")
    assert res.status is jg.Status.SEPARATED


def test_an_array_beside_a_stream_is_refused():
    data = frame()
    with pytest.raises(jg.InputError, match="var_weights.*column name"):
        jg.glm("y ~ x", parts(data, 60), family="poisson", var_weights=data["w"].to_numpy())


@pytest.mark.skipif(jax.device_count() == 1, reason="there is but one device")
def test_all_devices_equal_one():
    data = frame()
    options = {"family": "poisson", "var_weights": "w"}
    one = jg.glm("y ~ x + f", data, **options)
    many = jg.glm("y ~ x + f", data, devices="all", **options)
    assert isinstance(many.fit.source, MeshSource) and isinstance(one.fit.source, ArraySource)
    np.testing.assert_allclose(many.params, one.params, rtol=SAME_FIT)
    np.testing.assert_allclose(many.bse, one.bse, rtol=1e-8)
    np.testing.assert_allclose(many.resid("deviance"), one.resid("deviance"), rtol=1e-8, atol=1e-10)
    assert many.llf == pytest.approx(one.llf, rel=SAME_FIT) and many.nobs == one.nobs
