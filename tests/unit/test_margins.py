"""Average effects and predictions: sources, weights, several predictors, derivatives, and what goes wrong."""

import warnings

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from matrices import columns_of
from scipy.interpolate import BSpline

import jaxglm as jg
from jaxglm.errors import DataError, DataWarning, FormulaError, InputError, InputTypeError, NotAvailableError
from jaxglm.formula import learn
from jaxglm.formula.slopes import tangents
from jaxglm.frames import read

#: Sums in another order; differences of fourth order; and derivatives of expressions.
SAME, DIFFERENCES, DERIVATIVES = 1e-10, 1e-7, 1e-9
N = 90


def make_data():
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {"x": rng.uniform(0.5, 4.0, N), "z": rng.normal(size=N).round(2), "f": rng.choice(list("abc"), N)}
    )
    mu = np.exp(0.4 + 0.3 * data["x"] - 0.2 * data["z"] + 0.4 * (data["f"] == "c"))
    data["y"] = rng.negative_binomial(3.0, 3.0 / (3.0 + mu))
    data["w"] = rng.integers(0, 4, N)
    data["k"] = rng.integers(1, 4, N)
    return data


DATA = make_data()
FORMULA = "y ~ x * f + I(z^2) + z"


@pytest.fixture(scope="module")
def poisson():
    return jg.glm(FORMULA, DATA, family="poisson")


def same(made, want, rtol=SAME):
    pd.testing.assert_frame_equal(made.labels, want.labels)
    np.testing.assert_allclose(made.estimate, want.estimate, rtol=rtol)
    np.testing.assert_allclose(made.std_error, want.std_error, rtol=rtol)


def frames(data):
    return lambda: (data.iloc[i : i + 25] for i in range(0, len(data), 25))


def test_a_stream_gives_the_same(poisson):
    res = jg.glm(FORMULA, frames(DATA), family="poisson")
    same(res.margins(), poisson.margins(), 1e-7)
    same(res.margins("z", by="f", at={"x": [1, 2]}), poisson.margins("z", by="f", at={"x": [1, 2]}), 1e-7)
    same(res.predictions(by=["k", "f"]), poisson.predictions(by=["k", "f"]), 1e-7)
    plain = [jg.glm("y ~ x + z", data, family="poisson") for data in (frames(DATA), DATA)]
    same(plain[0].margins(), plain[1].margins(), 1e-7)


def test_shards_give_the_same(poisson):
    import jax

    res = jg.glm(FORMULA, DATA, family="poisson", devices=jax.devices())
    same(res.margins(), poisson.margins(), 1e-7)


@pytest.mark.parametrize(("precision", "close"), [("mixed", 1e-6), ("float32", 1e-3)])
def test_rows_in_single_precision(poisson, precision, close):
    res = jg.glm(FORMULA, DATA, family="poisson", precision=precision)
    same(res.margins(), poisson.margins(), close)
    same(res.predictions(at={"x": [1, 2]}), poisson.predictions(at={"x": [1, 2]}), close)
    plain = [jg.fit(DATA[["x", "z"]], DATA["y"], "poisson", precision=p).margins() for p in (precision, "float64")]
    same(*plain, close)
    assert all(v.dtype == np.float64 for v in (plain[0].estimate, plain[0].std_error))


def test_arrays_are_columns_of_a_formula():
    x = DATA[["x", "z"]]
    ours, want = jg.fit(x, DATA["y"], "poisson"), jg.glm("y ~ x + z", DATA, family="poisson")
    for query in ({}, {"at": {"x": [1, 2]}}, {"kind": "eyex"}, {"kind": "contrast"}, {"scale": "link"}):
        same(ours.margins(**query), want.margins(**query), 1e-7)
    same(ours.predictions(at={"z": 0.0}), want.predictions(at={"z": 0.0}), 1e-7)
    np.testing.assert_allclose(ours.margins(scale="link").estimate, ours.params.iloc[1:], rtol=SAME)
    np.testing.assert_allclose(ours.margins(scale="link").std_error, ours.bse.iloc[1:], rtol=SAME)


def test_the_kernels_lower_for_gpus(poisson):
    import jax

    from jaxglm import precision
    from jaxglm.kernels import Level, Setting, Slopes, Tangent

    with precision.scope():
        rows = poisson.fit.source.resident
        rows = rows._replace(x=Setting(rows.x, (rows.x, rows.x), None, rows.y, (rows.y > 2).astype(int)))
        for kernel in (Level(n_groups=2), Slopes(n_groups=2), Tangent(n_groups=2)):
            function = jax.jit(
                lambda rows, theta, k=kernel: k.finish(poisson.fit.model, k.map(poisson.fit.model, theta, rows))
            )
            made = jax.export.export(function, platforms=["cpu", "cuda"])(rows, jnp.asarray(poisson.fit.theta))
            assert made.platforms == ("cpu", "cuda") and "f64" in made.mlir_module()


def test_columns_that_stand_alone_take_one_pass(monkeypatch):
    res = jg.fit(DATA[["x", "z", "k"]], DATA["y"], "poisson")
    passes = []
    kind = type(res.fit.source)
    real = kind.reduce
    monkeypatch.setattr(kind, "reduce", lambda self, kernel, *rest: passes.append(kernel) or real(self, kernel, *rest))
    assert len(res.margins()) == 3 and len(passes) == 1


def test_freq_weights_are_repeated_rows():
    data = DATA[DATA["w"] > 0]
    ours = jg.glm("y ~ x + f + I(z^2)", DATA, family="poisson", freq_weights="w")
    want = jg.glm("y ~ x + f + I(z^2)", data.loc[data.index.repeat(data["w"])], family="poisson")
    same(ours.margins(), want.margins(), 1e-7)
    same(ours.predictions(by="f"), want.predictions(by="f"), 1e-7)


def test_prob_weights_weigh_and_var_weights_do_not():
    formula = "y ~ x + f"
    one, ten = (jg.glm(formula, DATA.assign(k=DATA["k"] * c), family="poisson", prob_weights="k") for c in (1, 10))
    same(one.margins(), ten.margins(), 1e-7)
    mu = one.fittedvalues
    assert one.predictions().estimate[0] == pytest.approx(np.average(mu, weights=DATA["k"]), rel=SAME)
    positive = DATA[DATA["y"] > 0]
    prior = jg.glm(formula, positive, family="gamma", link="log", var_weights="k")
    assert prior.predictions().estimate[0] == pytest.approx(prior.fittedvalues.mean(), rel=SAME)


def gradient(function, theta):
    """Central differences of fourth order."""
    made = []
    for j in range(len(theta)):
        h = 1e-3 * max(1.0, abs(theta[j]))
        step = np.eye(len(theta))[j] * h
        made.append((function(theta - 2 * step) - 8 * function(theta - step)
                     + 8 * function(theta + step) - function(theta + 2 * step)) / (12 * h))  # fmt: skip
    return np.array(made)


@pytest.mark.parametrize("kind", ["eyex", "eydx", "dyex", "dydx"])
def test_elasticities_under_observed_information(kind):
    res = jg.glm("y ~ x + I(x^2)", DATA, family="negative_binomial", link="sqrt", information="observed")
    x = DATA["x"].to_numpy()

    def average(theta):
        eta = theta[0] + theta[1] * x + theta[2] * x**2
        mu, slope = eta**2, 2 * eta * (theta[1] + 2 * theta[2] * x)
        slope = slope / mu if kind.startswith("e") else slope
        return np.mean(slope * x if kind.endswith("ex") else slope)

    theta = res.params.to_numpy()
    made, g = res.margins("x", kind=kind), gradient(average, theta)
    assert made.estimate[0] == pytest.approx(average(theta), rel=DERIVATIVES)
    assert made.std_error[0] == pytest.approx(np.sqrt(g @ res.cov_params() @ g), rel=DIFFERENCES)


def nll(y, eta, aux):
    """Poisson with extra zeros: log rate, and the logit of the share of zeros that are no counts."""
    zero = jnp.logaddexp(eta[1], -jnp.exp(eta[0]))
    count = jnp.exp(eta[0]) - y * eta[0]
    return jnp.where(y == 0, -zero, count) + jnp.logaddexp(0.0, eta[1])


def share_of_mean(eta, aux):
    return jnp.exp(eta[0]) / (1.0 + jnp.exp(eta[1]))


INFLATED = jg.custom_family(nll, ("mean", "zeros"), mean=share_of_mean)


def test_a_mean_of_two_predictors():
    """The slope in a column of both predictors, its error by the joint covariance."""
    rng = np.random.default_rng(8)
    data = DATA.assign(y=np.where(rng.uniform(size=N) < 0.3, 0, DATA["y"]))
    res = jg.glm({"mean": "y ~ x + z", "zeros": "~ x + log(x)"}, data, family=INFLATED)
    x, z = data["x"].to_numpy(), data["z"].to_numpy()

    def average(theta):
        rate = np.exp(theta[0] + theta[1] * x + theta[2] * z)
        odds = np.exp(theta[3] + theta[4] * x + theta[5] * np.log(x))
        mu = rate / (1 + odds)
        return np.array(
            [np.mean(mu * (theta[1] - odds / (1 + odds) * (theta[4] + theta[5] / x))), np.mean(mu * theta[2])]
        )

    theta = res.params.to_numpy()
    made, g = res.margins(), gradient(average, theta)
    assert list(made.labels["term"]) == ["x", "z"]
    np.testing.assert_allclose(made.estimate, average(theta), rtol=DERIVATIVES)
    np.testing.assert_allclose(made.cov(), g.T @ res.cov_params().to_numpy() @ g, rtol=DIFFERENCES)


def test_alpha_is_no_part_of_the_mean():
    res = jg.glm({"mean": "y ~ x", "dispersion": "~ f"}, DATA, family="negative_binomial")
    made = res.margins()
    assert made.estimate[0] == pytest.approx(res.params["mean", "x"] * res.fittedvalues.mean(), rel=SAME)
    assert list(made.labels["term"]) == ["x", "f", "f"] and np.abs(made.estimate[1:]).max() < 1e-12


def derivative(formula, table, name):
    spec = learn(formula, table)
    found = tangents(spec, table, name, float(np.std(table[name].values)))
    return sum((1 - 2 * (i % 2)) * columns_of(spec.design, x, table.n_rows) for i, x in enumerate(found.x)), spec


def test_derivatives_of_expressions():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 100, 400), [1e-6, 0.01, 0.5]])
    table = read({"y": x, "x": x, "z": np.cos(x), "f": np.where(x > 50, "b", "a")})
    for formula, truth in [
        ("y ~ log(x)", 1 / x), ("y ~ np.log1p(x)", 1 / (1 + x)), ("y ~ sqrt(x)", 0.5 / np.sqrt(x)),
        ("y ~ I(x^2)", 2 * x), ("y ~ x:z", np.cos(x)), ("y ~ x:I(x^2)", 3 * x**2), ("y ~ np.sin(10 * x)", 10 * np.cos(10 * x)),
        ("y ~ scale(x)", np.full(x.size, 1 / x.std(ddof=1))), ("y ~ pmax(x, 30)", 1.0 * (x > 30)),
    ]:  # fmt: skip
        made, _ = derivative(formula, table, "x")
        assert np.all(made[:, 0] == 0)
        np.testing.assert_allclose(made[:, 1], truth, rtol=DERIVATIVES, atol=DERIVATIVES)
    made, _ = derivative("y ~ 0 + x:f", table, "x")
    np.testing.assert_allclose(made, np.column_stack([x <= 50, x > 50]), atol=SAME)


def test_derivatives_of_splines_at_knots_and_ends():
    """Whole numbers lie on the knots and on the boundary, where only one side is within reach."""
    year = np.random.default_rng(0).integers(1990, 2020, 500)
    year[:2] = 1990, 2019
    made, spec = derivative("y ~ bs(t, df=5)", read({"y": year, "t": year}), "t")
    state = next(iter(spec.factors[-1].state.values()))
    knots = np.array(state["knots"])
    for j in range(1, len(knots) - 4):
        truth = BSpline(knots, np.eye(len(knots) - 4)[j], 3).derivative()(year.astype(float))
        np.testing.assert_allclose(made[:, j], truth, atol=DERIVATIVES)


def test_values_of_a_column_behind_steps():
    res = jg.glm("y ~ cut(x, [0, 2, 5]) + z", DATA, family="poisson")
    made = res.margins("x", values=[1, 3])
    rate = np.exp(res.params.iloc[1])
    levels = res.predictions(at={"x": [1, 3]}).estimate
    assert list(made.labels["contrast"]) == ["3 - 1"]
    assert made.estimate[0] == pytest.approx(levels[1] - levels[0], rel=SAME)
    assert levels[1] / levels[0] == pytest.approx(rate, rel=SAME)
    with pytest.raises(FormulaError, match=r"compare values of it instead, as in margins\('x'"):
        res.margins("x")
    with pytest.warns(DataWarning, match="'x' is left out"):
        assert list(res.margins().labels["term"]) == ["z"]


def test_a_jump_is_refused():
    data = DATA.assign(t=np.arange(N) % 5)
    res = jg.glm("y ~ I((t > 2) * (t - 1.0))", data, family="poisson")
    assert np.isfinite(res.margins("t", values=[1, 4]).estimate).all()
    jumpy = jg.glm("y ~ np.floor(t / 2) + t", data, family="poisson")
    with pytest.raises(DataError, match=r"no derivative in 't' at t = "):
        jumpy.margins("t")


def test_what_an_aliased_fit_does_not_determine():
    data = DATA.assign(twice=2 * DATA["x"])
    with pytest.warns(jg.AliasWarning):
        res = jg.glm("y ~ x + twice + z", data, family="poisson")
    with pytest.warns(DataWarning, match="2 averages are NaN"):
        made = res.margins()
    assert list(np.isnan(made.estimate)) == [True, True, False] and np.isnan(made.frame()["conf_low"]).sum() == 2
    with pytest.warns(DataWarning, match="1 average is NaN"):
        assert np.isnan(res.predictions(at={"x": 1.0}).estimate).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(res.predictions(at={"x": 1.0, "twice": 2.0}).estimate).all()
        assert np.isfinite(res.predictions(by="f").estimate).all()


def test_an_empty_cell():
    data = pd.DataFrame({"f": list("aabbab"), "g": list("ccccdc"), "y": [1, 2, 4, 3, 5, 2]})
    with pytest.warns(jg.AliasWarning):
        res = jg.glm("y ~ f * g", data, family="poisson")
    with pytest.warns(DataWarning, match="1 average is NaN"):
        made = res.predictions(at={"f": ["a", "b"], "g": ["c", "d"]})
    assert list(np.isnan(made.estimate)) == [False, False, False, True]


def test_levels_are_those_of_the_model():
    data = DATA.assign(b=DATA["z"] > 0, n=DATA["k"])
    res = jg.glm('y ~ C(f, Treatment("b")) + b + C(n)', data, family="poisson")
    made = res.margins()
    assert list(made.labels["contrast"]) == ["a - b", "c - b", "True - False", "2 - 1", "3 - 1"]
    pairs = res.margins("f", reference="pairwise")
    assert list(pairs.labels["contrast"]) == ["b - a", "c - a", "c - b"]
    assert pairs.estimate[2] == pytest.approx(pairs.estimate[1] - pairs.estimate[0], rel=1e-8)
    assert pairs.estimate[2] == pytest.approx(made.estimate[1], rel=SAME)


def test_another_covariance_alone_changes_the_errors(poisson):
    from dataclasses import replace

    doubled = replace(poisson, covariance=replace(poisson.covariance, matrix=4 * poisson.covariance.matrix, df=7.0))
    made, want = doubled.margins("x"), poisson.margins("x")
    assert made.std_error[0] == pytest.approx(2 * want.std_error[0], rel=SAME)
    half = made.conf_int()[0, 1] - made.estimate[0]
    assert half == pytest.approx(2.364624251 * made.std_error[0], rel=1e-8)
    assert "Student t with 7 degrees" in repr(made) and "normal" in repr(want)


def test_offset_given_as_values_stays(poisson):
    offset = np.linspace(-1, 1, N)
    named = jg.glm("y ~ x + I(z^2)", DATA.assign(o=offset), family="poisson", offset="o")
    given = jg.glm("y ~ x + I(z^2)", DATA, family="poisson", offset=offset)
    inside = jg.glm("y ~ x + I(z^2) + offset(o)", DATA.assign(o=offset), family="poisson")
    for res in (given, inside):
        same(res.margins(["x", "z"]), named.margins(["x", "z"]), 1e-7)
        same(res.predictions(at={"x": [1, 2]}), named.predictions(at={"x": [1, 2]}), 1e-7)
    exposed = jg.glm("y ~ x", DATA.assign(e=np.exp(offset)), family="poisson", exposure="e")
    made = exposed.margins("e")
    assert made.estimate[0] == pytest.approx(np.mean(exposed.fittedvalues / np.exp(offset)), rel=SAME)
    one, three = exposed.predictions(at={"e": [1.0, 3.0]}).estimate
    assert three == pytest.approx(3 * one, rel=SAME)


def test_the_table(poisson):
    made = poisson.margins(["x", "f"], by="f", alpha=0.1)
    table = made.frame()
    assert list(table.columns) == ["term", "contrast", "f", "estimate", "std_error", "statistic", "p_value", "conf_low",
                                   "conf_high"]  # fmt: skip
    assert len(made) == len(table) == 9 and "[0.05" in repr(made) and "<table" in made._repr_html_()
    np.testing.assert_allclose(
        table["conf_high"] - table["estimate"], 1.6448536269514722 * table["std_error"], rtol=1e-8
    )
    np.testing.assert_allclose(made.std_error, np.sqrt(np.diag(made.cov())), rtol=SAME)
    with pytest.raises(AttributeError):
        made.alpha = 0.2


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ({"variables": "xx"}, InputError, "'xx' is not a column that the model uses.*'x'"),
        ({"variables": "y"}, InputError, "'y' is not a column"),
        ({"at": {"g": 1}}, InputError, "does not name a column of the model"),
        ({"at": {"f": "q"}}, jg.UnseenLevelError, "'f' has no level 'q'"),
        ({"at": {"x": "q"}}, InputTypeError, "holds numbers"),
        ({"at": {"x": []}}, InputError, "has no value"),
        ({"at": [1]}, InputTypeError, "at is a dict"),
        ({"by": "nope"}, FormulaError, "no column 'nope'"),
        ({"kind": "slope"}, InputError, "kind must be 'dydx' or"),
        ({"scale": "log"}, InputError, "scale must be 'response' or 'link'"),
        ({"reference": "c"}, InputError, "reference must be 'base' or"),
        ({"values": [1, 2]}, InputError, "values= belongs to one column"),
        ({"variables": "x", "values": [1]}, InputError, "at least two different values"),
        ({"variables": "f", "kind": "eyex"}, InputError, "elasticities"),
        ({"alpha": 2}, InputError, "alpha must lie between"),
    ],
)
def test_what_cannot_be_asked(poisson, query, error, words):
    with pytest.raises(error, match=words):
        poisson.margins(**query)


def test_what_is_not_there():
    kept = jg.glm("y ~ x", DATA, family="poisson", keep_data=False)
    for ask in (kept.margins, kept.predictions):
        with pytest.raises(NotAvailableError, match="keep_data=True"):
            ask()
    own = jg.custom_family(nll, ("mean", "zeros"))
    res = jg.glm("y ~ x", DATA, family=own)
    with pytest.raises(NotAvailableError, match="without mean="):
        res.margins()
    assert res.margins(scale="link").estimate[0] == pytest.approx(res.params["x"])
    with pytest.raises(InputError, match="no column to take the effect of"):
        jg.glm("y ~ 1", DATA, family="poisson").margins()


@pytest.mark.usefixtures("compiled_quickly")
def test_averages_over_many_rows_are_means_of_their_values():
    # More than are summed at once, of columns that a block lays together first.
    m = 40_000
    draws = np.random.default_rng(3)
    frame = pd.DataFrame({"a": draws.normal(size=m), "b": draws.normal(size=m), "f": draws.choice(list("uvw"), m)})
    frame["y"] = draws.poisson(np.exp(0.2 * frame.a - 0.1 * frame.b))
    res = jg.glm("y ~ a + b + f", frame, "poisson")
    found = res.margins().frame().set_index("term")["estimate"]
    mean = res.predict(frame).mean()
    np.testing.assert_allclose(found["a"], mean * res.params["a"], rtol=1e-9)
    np.testing.assert_allclose(found["b"], mean * res.params["b"], rtol=1e-9)
