"""Many rows in few passes: the same fit as step by step, in passes that are counted."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm import precision
from jaxglm.design import Constant, Dense, Layout, Split
from jaxglm.errors import DataError
from jaxglm.families import Poisson
from jaxglm.kernels import Model, Newton, Point, Rows
from jaxglm.kernels.base import Kernel
from jaxglm.precision import aligned_empty
from jaxglm.solvers import drive, lending, passes, sampled, starts
from jaxglm.solvers.information import Information
from jaxglm.sources import arrays, base, sums
from jaxglm.sources.distinct import distinct

N = 40_000
#: Both ways stop within 1e-8 standard errors, and one more step squares that.
SAME_ESTIMATE = 1e-7
#: The information may be taken 1e-8 of a standard error away.
SAME_ERROR = 2e-8
SAME_SUM = 1e-10
#: Pearson's sum is not least at the estimate, so the last step shows in it.
SAME_PEARSON = 1e-8
QUICKLY = pytest.mark.usefixtures("compiled_quickly")


def made(family):
    """A frame whose response follows the family, with two numbers and a factor that has a rare level."""
    rng = np.random.default_rng(3)
    f = rng.choice(list("abcd"), N, p=[0.5, 0.3, 0.1985, 0.0015])
    data = pd.DataFrame({"x": rng.normal(size=N), "z": rng.uniform(-1, 1, N), "f": f, "t": rng.uniform(0.5, 2.0, N)})
    eta = 0.2 + 0.4 * data["x"] - 0.3 * data["z"] + 0.5 * (data["f"] == "b")
    mu = np.exp(eta)
    data["y"] = {
        "gaussian": lambda: eta + rng.normal(size=N),
        "poisson": lambda: rng.poisson(mu * data["t"]),
        "binomial": lambda: (rng.random(N) < 1 / (1 + np.exp(-eta))).astype(float),
        "gamma": lambda: rng.gamma(2.0, mu / 2.0),
        "negative_binomial": lambda: rng.negative_binomial(2.0, 2.0 / (2.0 + mu)),
    }[family]()
    return data


FITS = {
    "gaussian": {"family": "gaussian"},
    "poisson with an exposure": {"family": "poisson", "exposure": "t"},
    "logit": {"family": "binomial"},
    "probit": {"family": "binomial", "link": "probit"},
    "probit, observed": {"family": "binomial", "link": "probit", "information": "observed"},
    "gamma, log": {"family": "gamma", "link": "log"},
    "cloglog": {"family": "binomial", "link": "cloglog"},
    "negative binomial": {"family": "negative_binomial"},
}


@pytest.mark.parametrize("name", FITS)
def test_few_passes_give_the_same_fit(name, monkeypatch, request):
    if name != "logit":
        request.getfixturevalue("compiled_quickly")
    options = FITS[name]
    data = made(options["family"])
    quick = jg.glm("y ~ x + z + f", data, **options)
    monkeypatch.setattr(sampled, "solve", lambda *a, **k: None)
    plain = jg.glm("y ~ x + z + f", data, **options)
    assert "survey" in plain.n_passes and "closing" not in plain.n_passes
    assert quick.n_passes["closing"] == 1 and "survey" not in quick.n_passes
    assert quick.n_passes.get("newton", 0) + quick.n_passes.get("gradient", 0) <= 8
    assert quick.converged and quick.fit.tolerance < 1e-8
    assert np.max(np.abs(quick.params - plain.params) / plain.bse) < SAME_ESTIMATE
    np.testing.assert_allclose(quick.bse, plain.bse, rtol=SAME_ERROR)
    np.testing.assert_allclose(quick.pearson_chi2, plain.pearson_chi2, rtol=SAME_PEARSON)
    for figure in ("deviance", "null_deviance", "llf", "nobs", "df_resid"):
        np.testing.assert_allclose(getattr(quick, figure), getattr(plain, figure), rtol=SAME_SUM, err_msg=figure)


@pytest.fixture
def lent(monkeypatch):
    """Numeric columns count as dear when there are two, and a sample as large when the smallest is."""
    monkeypatch.setattr(lending, "_WIDE", 2)
    monkeypatch.setattr(sampled, "_LEAST_FEWER", 2**10)


@QUICKLY
def test_a_sample_lends_its_hessian(monkeypatch, lent):
    """The first pass is for the gradient alone, the second one for the only other X'WX but that of the last."""
    data, options = made("binomial"), FITS["logit"]
    data["z"] += 0.5 * data["x"] ** 2
    reached = []
    monkeypatch.setattr(sampled, "_from_fewer", lambda *a, f=sampled._from_fewer: reached.append(f(*a)) or reached[-1])
    quick = jg.glm("y ~ x + z + t", data, **options)
    assert len(reached) == 1 and reached[0].whole
    monkeypatch.setattr(sampled, "solve", lambda *a, **k: None)
    plain = jg.glm("y ~ x + z + t", data, **options)
    assert quick.n_passes["newton"] == quick.n_passes["closing"] == 1 and 2 <= quick.n_passes["gradient"] <= 4
    assert quick.converged and quick.fit.tolerance < 1e-8
    assert np.max(np.abs(quick.params - plain.params) / plain.bse) < SAME_ESTIMATE
    np.testing.assert_allclose(quick.bse, plain.bse, rtol=SAME_ERROR)
    np.testing.assert_allclose(quick.fit.column_lengths, plain.fit.column_lengths, rtol=0.2)
    for figure in ("deviance", "null_deviance", "llf", "nobs", "df_resid"):
        np.testing.assert_allclose(getattr(quick, figure), getattr(plain, figure), rtol=SAME_SUM, err_msg=figure)


@QUICKLY
def test_a_sample_whose_hessian_leads_too_far_lends_it_in_vain(monkeypatch, lent):
    """As one may without the rows that lie far out: the Hessian of all rows takes its place."""
    want = jg.glm("y ~ x + z", data := made("poisson"), family="poisson")

    def flat(*a, f=sampled.fit_rows):
        found = f(*a)
        return found._replace(information=Information.from_matrix(0.1 * found.information.matrix(), np.ones(3, bool)))

    monkeypatch.setattr(sampled, "fit_rows", flat)
    res = jg.glm("y ~ x + z", data, family="poisson")
    assert want.n_passes["newton"] == 1 and res.n_passes["newton"] == 2 and res.n_passes["closing"] == 1
    assert np.max(np.abs(res.params - want.params) / want.bse) < SAME_ESTIMATE
    np.testing.assert_allclose(res.bse, want.bse, rtol=SAME_ERROR)


@QUICKLY
def test_a_sample_lends_nothing_where_estimates_run_away(lent):
    data = made("binomial")
    data["late"] = (np.arange(N) >= N - 40).astype(float)
    data["y"] = np.where(data["late"] == 1, 1.0, data["y"])
    with pytest.warns(jg.SeparationWarning):
        res = jg.glm("y ~ z + late", data, family="binomial")
    assert res.status.name == "SEPARATED" and "closing" not in res.n_passes


@QUICKLY
def test_where_few_responses_are_not_zero_a_sample_has_them_all(monkeypatch, x64):
    """Weighted so that it is to all rows what any other sample is, and nearer to their fit."""
    data = made("poisson")
    data["y"] = (data["y"] > 4).astype(float)
    y = data["y"].to_numpy()
    assert 0.01 < y.mean() < 1 / arrays._RARE
    rows = Rows(x=(data[["x"]].to_numpy(),), y=y, freq=np.ones(N))
    few = arrays.ArraySource.from_rows(rows).sample(2**12)
    kept, freq = (np.asarray(a)[: few.n_rows] for a in few.resident[1:3])
    assert np.count_nonzero(kept) == np.count_nonzero(y) and few.n_rows < 3 * 2**12
    np.testing.assert_allclose([freq.mean(), np.average(kept, weights=freq)], [1.0, y.mean()], rtol=SAME_SUM)
    quick = jg.glm("y ~ x + z", data, family="binomial")
    monkeypatch.setattr(arrays, "_RARE", N)
    other = jg.glm("y ~ x + z", data, family="binomial")
    assert sum(quick.n_passes.values()) <= sum(other.n_passes.values()) and quick.n_passes["closing"] == 1
    assert np.max(np.abs(quick.params - other.params) / other.bse) < SAME_ESTIMATE
    np.testing.assert_allclose(quick.bse, other.bse, rtol=SAME_ERROR)
    np.testing.assert_allclose(quick.fit.column_lengths, other.fit.column_lengths, rtol=0.05)


def test_levels_with_few_rows_have_both_outcomes_in_a_sample(x64):
    rng = np.random.default_rng(8)
    codes = np.where(np.arange(N) % 1000 == 1, rng.integers(1, 5, N), 0).astype(np.int32)
    y = (rng.random(N) < np.where(codes > 0, 0.4, 0.05)).astype(float)
    few = arrays.ArraySource.from_rows(Rows(x=(codes,), y=y, freq=np.ones(N))).sample(2**12)
    kept, outcome, freq = (np.asarray(a)[: few.n_rows] for a in (few.resident.x[0], *few.resident[1:3]))
    assert np.array_equal(np.unique(kept[outcome == 0]), np.arange(5)) and (codes > 0).sum() == 40
    np.testing.assert_allclose([freq.mean(), np.average(outcome, weights=freq)], [1.0, y.mean()], rtol=SAME_SUM)


@QUICKLY
@pytest.mark.parametrize("name", ["logit", "probit, observed", "gamma, log", "poisson with an exposure"])
def test_where_products_are_dear_fewer_rows_go_by_gradients(name, monkeypatch):
    """From the starting values, without a sample; a curvature that is the same everywhere is summed once."""
    options, rows = FITS[name], made(FITS[name]["family"]).iloc[:6000]
    rows = rows[rows["f"] != "d"]
    plain = jg.glm("y ~ x + z + f", rows, **options)
    monkeypatch.setattr(sampled, "_MANY_ROWS", 1000)
    monkeypatch.setattr(sampled, "_MANY_COEFFICIENTS", 2)
    quick = jg.glm("y ~ x + z + f", rows, **options)
    assert "closing" not in plain.n_passes and quick.n_passes["closing"] == quick.n_passes["survey"] == 1
    assert quick.n_passes["newton"] < plain.n_passes["newton"]
    assert np.max(np.abs(quick.params - plain.params) / plain.bse) < SAME_ESTIMATE
    np.testing.assert_allclose(quick.bse, plain.bse, rtol=SAME_ERROR)
    np.testing.assert_allclose(quick.fit.column_lengths, plain.fit.column_lengths, rtol=SAME_SUM)
    for figure in ("deviance", "null_deviance", "llf", "nobs", "df_resid"):
        np.testing.assert_allclose(getattr(quick, figure), getattr(plain, figure), rtol=SAME_SUM, err_msg=figure)
    with pytest.warns(jg.AliasWarning):
        assert "closing" not in jg.glm("y ~ x + z + f + I(2 * x)", rows, **options).n_passes


@QUICKLY
@pytest.mark.parametrize("coding", ["f", "C(f, Sum)"])
@pytest.mark.parametrize("name", ["logit", "gamma, log", "poisson with an exposure"])
def test_means_of_levels_are_the_estimates_of_one_factor(name, coding, monkeypatch):
    """What a fit starts with is in this case, taken whole, where it ends: a mean for each level."""
    options = FITS[name]
    res = jg.glm(f"y ~ {coding}", made(options["family"]), **options)
    monkeypatch.setattr(starts, "_OF_MARGINS", 1.0)
    monkeypatch.setattr(starts, "_LENT", 0.0)
    with precision.scope():
        _, start = starts.survey(res.fit.source, res.fit.model)
    assert np.max(np.abs(start - res.params) / res.bse) < SAME_ESTIMATE


@QUICKLY
@pytest.mark.parametrize("name", ["logit", "gamma, log", "poisson with an exposure", "cloglog"])
def test_means_of_levels_are_nearer_than_starting_values(name, monkeypatch):
    """Also where an interaction is in the model, and to the same estimates."""
    options = FITS[name]
    data = made(options["family"])
    data["g"], data["h"] = np.digitize(data["x"], [-1, 0, 1]), np.digitize(data["z"], [-0.3, 0.3])
    monkeypatch.setattr(sampled, "_MANY_ROWS", 10)
    monkeypatch.setattr(sampled, "_MANY_COEFFICIENTS", 2)
    monkeypatch.setattr(sampled, "rows_of", lambda *a: None)
    near = jg.glm("y ~ f + C(g, Sum) * C(h)", data, **options)
    monkeypatch.setattr(starts, "has_margins", lambda model: False)
    far = jg.glm("y ~ f + C(g, Sum) * C(h)", data, **options)
    assert near.n_passes["closing"] == far.n_passes["closing"] == 1
    assert sum(near.n_passes.values()) < sum(far.n_passes.values())
    assert np.max(np.abs(near.params - far.params) / far.bse) < SAME_ESTIMATE
    np.testing.assert_allclose(near.bse, far.bse, rtol=SAME_ERROR)


@QUICKLY
def test_where_means_of_levels_lead_too_far_steps_are_by_the_expected_information(monkeypatch):
    """Two factors that say the same: their means tell of each effect twice, from where the observed is indefinite."""
    rng = np.random.default_rng(8)
    f = rng.integers(0, 8, N)
    data = pd.DataFrame({"f": f.astype(str), "g": np.where(rng.random(N) < 0.02, rng.integers(0, 8, N), f).astype(str)})
    data["y"] = np.exp(0.4 * f) + rng.normal(size=N)
    family = jg.Gaussian(link="log")
    plain = jg.glm("y ~ f + g", data, family=family)
    monkeypatch.setattr(sampled, "_MANY_COEFFICIENTS", 2)
    monkeypatch.setattr(sampled, "_WORTH_BESIDE_MEANS", 1000)
    kinds, reduce = [], passes.Run._reduce

    def noted(run, rows, kernel, point, name):
        kinds.append((name, bool(point.observed) if name == "newton" else None))
        return reduce(run, rows, kernel, point, name)

    monkeypatch.setattr(passes.Run, "_reduce", noted)
    res = jg.glm("y ~ f + g", data, family=family)
    assert kinds[:2] == [("newton", True), ("newton", False)]
    assert res.converged and np.max(np.abs(res.params - plain.params) / plain.bse) < SAME_ESTIMATE
    np.testing.assert_allclose(res.bse, plain.bse, rtol=SAME_ERROR)


@pytest.mark.parametrize("searches", [True, False])
def test_what_is_only_waited_for_is_given_up_where_normal_equations_do_not_serve(searches, x64):
    """The fit to a sample, which would go through all of its rows by QR."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=2000)
    X = np.column_stack([x, x + 1e-7 * rng.normal(size=2000)])
    model = Model(Poisson(), Layout((Split((Constant(), Dense(2)), ((0,), (1, 2))),)))
    rows = Rows(x=(((), X),), y=rng.poisson(np.exp(x / 2)).astype(float), freq=np.ones(2000))
    source = arrays.ArraySource.from_rows(rows)
    facts = drive.survey(source, model)
    found, _ = drive.decide_rank(source, model, facts)
    end = drive.solve(source, model, facts, found, tol=1e-8, max_iter=50, searches=searches)
    assert found.active.all() and end.status.converged == searches and ("qr" in end.n_passes) == searches


@pytest.mark.parametrize("family", ["poisson", "gamma", jg.Tweedie(power=1.5)])
def test_the_null_model_of_a_log_link_has_a_closed_form(family):
    """One pass gives what a fit of the constant does."""
    rng = np.random.default_rng(5)
    offset = rng.normal(size=300)
    y = rng.gamma(3.0, np.exp(offset)) if family != "poisson" else rng.poisson(3.0 * np.exp(offset)).astype(float)
    family = jg.Gamma(link="log") if family == "gamma" else family
    res = jg.fit(rng.normal(size=(300, 1)), y, family, offset=offset)
    alone = jg.fit(np.empty((300, 0)), y, family, offset=offset)
    assert res.n_passes["null"] == 1
    np.testing.assert_allclose(res.null_deviance, alone.deviance, rtol=SAME_SUM)


@QUICKLY
def test_what_is_not_plain_is_left_to_the_other_way():
    data = made("binomial")
    data["twice"] = 2 * data["x"]
    with pytest.warns(jg.AliasWarning):
        res = jg.glm("y ~ x + twice", data, family="binomial")
    assert "survey" in res.n_passes and np.isnan(res.params["twice"])
    data["y"] = np.where(data["f"] == "d", 0.0, data["y"])
    with pytest.warns(jg.SeparationWarning):
        res = jg.glm("y ~ f", data, family="binomial")
    assert res.status.name == "SEPARATED"


@QUICKLY
@pytest.mark.parametrize(("column", "value", "words"), [("x", np.inf, "not finite"), ("y", -1.0, "numbers >= 0")])
def test_a_bad_value_in_a_late_row_is_named(column, value, words, lent):
    data = made("poisson").astype({"y": float})
    data.loc[N - 3, column] = value
    X = data[["x", "z"]].to_numpy()
    with pytest.raises(DataError, match=f"(?s){words}.*row {N - 3}"):
        jg.fit(X, data["y"].to_numpy(), "poisson")


@QUICKLY
def test_data_changed_after_the_fit_is_noticed(monkeypatch):
    """Large arrays are read where they lie; what then needs the rows looks whether they are the same."""
    monkeypatch.setattr(arrays, "ALIASED_BYTES", 0)
    data = made("poisson")
    X, y = np.ascontiguousarray(data[["x", "z"]]), data["y"].to_numpy()
    res = jg.fit(X, y, "poisson")
    assert res.fit.source.aliased
    before = res.resid()
    X[77, 1] += 1e-3
    with pytest.raises(DataError, match="changed after the fit"):
        res.resid()
    X[77, 1] = data["z"][77]
    pd.testing.assert_series_equal(res.resid(), before)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_memory_that_starts_anywhere(order, shift, monkeypatch, request):
    """Rows in place are the same however the array is aligned, and equal rows that were copied."""
    if order == "C":
        # Columns are compiled in full, so that what is loaded at once may start anywhere too.
        request.getfixturevalue("compiled_quickly")
    data = made("gamma")
    raw = np.empty(2 * N + 8)
    X = raw[shift : shift + 2 * N].reshape((N, 2), order=order)
    X[:] = data[["x", "z"]]
    copied = jg.fit(X, data["y"], "gamma", link="log")
    monkeypatch.setattr(arrays, "ALIASED_BYTES", 0)
    there = jg.fit(X, data["y"], "gamma", link="log")
    aligned = aligned_empty((2, N) if order == "F" else (N, 2))
    aligned = aligned.T if order == "F" else aligned
    aligned[:] = X
    plain = jg.fit(aligned, data["y"], "gamma", link="log")
    assert there.fit.source.aliased and plain.fit.source.aliased and not copied.fit.source.aliased
    np.testing.assert_array_equal(there.params, plain.params)
    np.testing.assert_array_equal(there.resid(), plain.resid())
    # Copies are cut at other rows.
    np.testing.assert_allclose(there.params, copied.params, rtol=1e-13)
    np.testing.assert_allclose(there.resid(), copied.resid(), rtol=1e-13, atol=1e-14)


@QUICKLY
def test_threads_give_one_sum(monkeypatch):
    """Chunks dealt out to threads: the same sums to rounding, and the very same every time."""
    data = made("poisson")
    monkeypatch.setitem(base.CHUNK, "cpu", 2**12)
    fits = {}
    for workers in (1, 3):
        monkeypatch.setattr(base, "threads", lambda n=workers: n)
        fits[workers] = [jg.glm("y ~ x + f", data, family="poisson").params for _ in range(2)]
    np.testing.assert_array_equal(*fits[3])
    np.testing.assert_allclose(fits[1][0], fits[3][0], rtol=1e-11)


@dataclass(frozen=True)
class Weighed(Kernel):
    """The rows of the response times a number, added up."""

    def map(self, model, point, rows):
        return jnp.sum(point * rows.y)


@pytest.mark.parametrize("point", [np.float64(2.0), 2.0, np.float32(2.0)], ids=["double", "bare", "single"])
def test_sums_begin_with_a_zero_of_their_own_type(point, x64):
    """A number in double precision is no bare one, which would take the type of the rows."""
    rows = Rows(x=(), y=np.ones(8, np.float32), freq=np.ones(8, np.float32))
    zero = sums.zero_of(Weighed(), None, point, rows)
    assert zero.dtype == jnp.sum(point * jnp.asarray(rows.y)).dtype and zero.shape == ()


def test_an_error_in_a_thread_reaches_the_caller():
    def fail():
        raise ValueError("in a thread")

    with pytest.raises(ValueError, match="in a thread"):
        precision.in_threads([lambda: 1, fail])
    with precision.scope():
        assert precision.in_threads([lambda: 1, lambda: 2]) == [1, 2]


@QUICKLY
@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_rows_that_are_alike_are_taken_together(family, monkeypatch):
    """Of factors and a response of few values, sums over distinct rows are those over all; the figures too."""
    data = made(family)
    rng = np.random.default_rng(7)
    data["g"], data["h"] = rng.integers(0, 5, N), rng.integers(0, 4, N)
    formula = "y ~ f + C(g, Sum) + C(h)"
    many = data.astype({"y": int}) if family == "poisson" else data
    quick = jg.glm(formula, many, family=family)
    monkeypatch.setattr(arrays.ArraySource, "condensed", base.Source.condensed)
    plain = jg.glm(formula, data, family=family)
    assert "survey" in quick.n_passes and "closing" in plain.n_passes
    assert quick.fit.source.n_rows == quick.fit.n_rows == N and not quick.fit.source.repeats
    assert np.max(np.abs(quick.params - plain.params) / plain.bse) < SAME_ESTIMATE
    np.testing.assert_allclose(quick.bse, plain.bse, rtol=SAME_ERROR)
    for figure in ("deviance", "null_deviance", "llf", "nobs", "df_resid"):
        np.testing.assert_allclose(getattr(quick, figure), getattr(plain, figure), rtol=SAME_SUM, err_msg=figure)
    np.testing.assert_allclose(quick.pearson_chi2, plain.pearson_chi2, rtol=SAME_PEARSON)
    np.testing.assert_allclose(quick.resid("pearson"), plain.resid("pearson"), atol=SAME_PEARSON)
    columns = np.column_stack([np.ones(N), *(data["f"] == level for level in "bcd")])
    np.testing.assert_allclose(quick.fit.column_lengths[:4], np.linalg.norm(columns, axis=0))


@QUICKLY
@pytest.mark.parametrize("options", [{"family": "poisson"}, {"family": "binomial", "link": "cloglog"}])
def test_rows_that_differ_in_the_response_alone_have_one_mean(options, x64):
    """Where nll is linear in y, it and its derivatives are the same over the means."""
    data = made(options["family"])
    res = jg.glm("y ~ f", data, **options)
    source = arrays.ArraySource.from_rows(
        Rows(x=(((), pd.Categorical(data["f"]).codes),), y=data["y"].to_numpy(float), freq=np.ones(N))
    )
    few, model = source.condensed(res.fit.model)
    mean = few.pooled(model)
    assert mean.n_rows == 4 < few.n_rows and mean.pooled(model) is mean
    point = Point(res.fit.theta + 0.1, np.asarray(True), None, np.asarray(0.0))
    for kernel in (Newton(), Newton(gram="none")):
        found = [precision.host(s.reduce(kernel, m, point)) for s, m in ((source, res.fit.model), (mean, model))]
        # The sum of absolute values is only a yardstick.
        found = [totals._replace(size=None) for totals in found]
        for whole, part in zip(*map(jax.tree.leaves, found), strict=True):
            np.testing.assert_allclose(part, whole, rtol=SAME_SUM, atol=SAME_SUM * np.abs(whole).max())


def test_rows_that_differ_are_left_apart():
    """Many values of the response, fractions, weights, offsets: nothing is taken together."""
    codes, y = np.arange(N, dtype=np.int32) % 7, np.arange(N) % 3 * 1.0
    rows = Rows(((codes,),), y, np.ones(N))
    few = distinct(rows)
    assert len(few.y) == 21 and few.freq.sum() == N
    for (code, value), freq in zip(zip(few.x[0][0], few.y, strict=True), few.freq, strict=True):
        assert freq == np.sum((codes == code) & (y == value))
    for change in (
        {"y": y + 0.5}, {"y": y - 1.0}, {"y": np.arange(N) * 1.0}, {"freq": y + 1.0}, {"prior": y + 1.0},
        {"offset": y[:, None]}, {"aux": {"trials": y + 1.0}}, {"x": ((np.arange(N, dtype=np.int32),),)}, {"x": ((),)},
    ):  # fmt: skip
        assert distinct(rows._replace(**change)) is None, change
    # A response that is not a number is an error later on, with its row.
    y[5] = np.nan
    assert distinct(rows) is None
