"""What is asked of a fit gives the same answer whichever way the rows came in, were kept, and under any covariance."""

import io
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jaxglm as jg

#: Sums in another order; a search for profile limits ends at its own tolerance.
SAME, SEARCHED = 1e-9, 1e-6
#: Columns rounded to single precision after they were centered and scaled; rows computed in single precision.
MIXED, SINGLE = 2e-6, 2e-3
N = 90
rng = np.random.default_rng(5)
DATA = pd.DataFrame(
    {"x": rng.normal(5.0, 1.0, N), "z": rng.normal(size=N), "f": rng.choice(list("abc"), N), "t": rng.uniform(1, 3, N)}
)
DATA["n"] = rng.poisson(np.exp(-0.5 + 0.2 * DATA["x"] + 0.3 * (DATA["f"] == "b")))
FIRM = np.arange(N) % 11
FORMULA = "n ~ x + z + f"
MATRIX = np.column_stack([DATA["x"], DATA["z"], DATA["f"] == "b", DATA["f"] == "c"]).astype(float)
NAMES = ["x", "z", "f[T.b]", "f[T.c]"]


def glm(data=DATA, **options):
    return jg.glm(FORMULA, data, "poisson", **options)


#: How the rows come in: the fit, and how near its answers are to those of one in double precision from a frame.
WAYS = {
    "arrays": (lambda: jg.fit(MATRIX, DATA["n"].to_numpy(), "poisson", names=NAMES), SAME),
    "pieces": (lambda: glm(lambda: iter([DATA[:40], DATA[40:]])), SAME),
    "other labels": (lambda: glm(DATA.set_axis([f"r{3 * i}" for i in range(N)])), SAME),
    "mixed": (lambda: glm(precision="mixed"), MIXED),
    "pieces mixed": (lambda: glm(lambda: iter([DATA[:40], DATA[40:]]), precision="mixed"), MIXED),
    "single": (lambda: glm(precision="float32"), SINGLE),
}
EXTRA = np.linspace(-1.0, 1.0, N) ** 2
NUMERIC = ["x", "z"]
NEW = DATA[["x", "z", "f"]][:6]


def new(res):
    return NEW if hasattr(res.intake, "specs") else MATRIX[:6]


#: What is asked, and numbers of the answer.
ANSWERS = {
    "HC3": lambda res: res.with_cov("HC3").bse,
    "profile": lambda res: res.conf_int(method="profile"),
    "wald": lambda res: res.wald_test("x = 2*z").statistic,
    "score": lambda res: res.score_test(EXTRA).statistic,
    "type 1": lambda res: res.anova().loc[NUMERIC, "statistic"],
    "Rao": lambda res: res.anova(test="Rao").loc[NUMERIC, "statistic"],
    "slopes": lambda res: res.margins(NUMERIC).frame()[["estimate", "std_error"]],
    "elasticities": lambda res: res.margins("x", kind="eyex").frame()[["estimate", "std_error"]],
    "averages": lambda res: res.predictions(at={"x": [4.0, 6.0]}).frame()[["estimate", "std_error"]],
    "delta": lambda res: res.delta(lambda b: b["x"] / b["z"])[["estimate", "std_error"]],
    "new rows": lambda res: res.get_prediction(new(res)).summary_frame(),
    "influence": lambda res: res.influence().frame(),
    "dfbetas": lambda res: res.influence().dfbetas,
    "dispersion": lambda res: res.diagnose()["dispersion"].p_value,
}


@cache
def plain():
    return glm()


@cache
def fitted(way):
    return WAYS[way][0]()


@cache
def wanted(answer):
    return np.asarray(ANSWERS[answer](plain()), float)


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("way", WAYS)
def test_answers_do_not_depend_on_how_the_rows_came_in(way, answer):
    near = max(WAYS[way][1], SEARCHED if answer == "profile" else 0.0)
    found, want = np.asarray(ANSWERS[answer](fitted(way)), float), wanted(answer)
    np.testing.assert_allclose(found, want, rtol=near, atol=near * np.nanmax(np.abs(want)))


@pytest.mark.parametrize("way", ["arrays", "mixed"])
def test_clusters_by_value(way):
    want = plain().with_cov(jg.Cluster(FIRM)).bse
    np.testing.assert_allclose(fitted(way).with_cov(jg.Cluster(FIRM)).bse, want, rtol=WAYS[way][1])


@pytest.mark.parametrize("precision", ["float64", "mixed", "float32"])
def test_a_row_that_alone_determines_a_coefficient_has_no_jackknife(precision):
    """What is left of its score is rounding, in whatever precision."""
    data = DATA.assign(alone=(np.arange(N) == 7) * 1.0)
    data.loc[7, "n"] = 3
    res = jg.glm("n ~ x + alone", data, "poisson", precision=precision)
    with pytest.warns(jg.DataWarning, match="HC3 is not defined"):
        assert res.with_cov("HC3").bse.isna().all()
    assert res.influence().hat[7] == 1.0


@pytest.mark.parametrize("formula, rows", [("y ~ 1", N), ("z ~ x + t", 3)])
def test_an_exact_fit_leaves_nothing_to_test(formula, rows):
    """NaN or a plain error, whether the dispersion is 0 or there are no degrees of freedom."""
    res = jg.glm(formula, DATA.assign(y=2.0)[:rows])
    assert np.isnan(res.wald_test("Intercept").p_value) and np.isnan(res.wald_test("Intercept", "Chisq").p_value)
    if rows == N:
        assert np.isnan(res.score_test("z").p_value)
    else:
        res.plot.effect("x").figure.clear()
    for draw in (res.plot.qq, res.plot.influence):
        with pytest.raises(jg.NotAvailableError, match="exactly"):
            draw()
    # None of these warns.
    assert all(str(ask()) for ask in (res.summary, res.diagnose, res.influence, res.predictions, res.anova, res.drop1))


def test_counts_without_an_upper_end():
    """Every response is 0, so the mean is as good as unknown upwards."""
    with pytest.warns(jg.SeparationWarning):
        res = jg.glm("y ~ x", DATA.assign(y=0), "poisson")
    found = res.get_prediction(NEW).summary_frame()
    assert (found["obs_ci_lower"] == 0).all() and np.isinf(found["obs_ci_upper"]).all()


# -- weights -----------------------------------------------------------------------------------------------------------


def test_probability_weights_have_no_unit():
    """Scaled, they change neither the distribution of an observation nor anything made of it; equal, they do nothing."""
    data = DATA.assign(y=rng.gamma(2.0, np.exp(0.2 * DATA["x"]) / 2), tenfold=10 * DATA["t"], same=4.0)
    plain, *weighted = (jg.glm("y ~ x + f", data, "gamma", link="log", prob_weights=name)
                        for name in (None, "t", "tenfold", "same"))  # fmt: skip
    for ask in (
        lambda res: res.get_prediction(NEW).summary_frame(),
        lambda res: res.get_prediction().obs_int(),
        lambda res: res.resid("quantile"),
        lambda res: res.simulate(2, seed=0),
        lambda res: res.margins().frame()[["estimate", "std_error"]],
        lambda res: res.influence().frame()[["hat", "cooks_distance", "dffits", "resid_studentized"]],
    ):
        np.testing.assert_allclose(ask(weighted[1]), ask(weighted[0]), rtol=SAME)
    equal = weighted[2]
    np.testing.assert_allclose(equal.resid("quantile"), plain.resid("quantile"), rtol=SAME)
    for ask in (lambda of: of.quantile(0.9, plug_in=True), lambda of: of.cdf(2.0)):
        np.testing.assert_allclose(ask(equal.get_prediction(NEW)), ask(plain.get_prediction(NEW)), rtol=SAME)
    # The dispersion of an observation is that of all, whatever its own weight.
    res, phi = weighted[0], weighted[0].scale * N / data["t"].sum()
    tail = stats.gamma.cdf(data["y"], 1 / phi, scale=phi * res.fittedvalues)
    np.testing.assert_allclose(res.resid("quantile"), stats.norm.ppf(tail), rtol=SEARCHED)


# -- one covariance for all --------------------------------------------------------------------------------------------


@cache
def clustered():
    return plain().with_cov(jg.Cluster(pd.Series(FIRM, name="firm")))


def test_the_covariance_is_that_of_every_answer():
    res, bse = clustered(), clustered().bse
    assert (np.abs(bse / plain().bse - 1) > 1e-3).all()
    for table in (res.tidy().set_index("term")["std_error"], jg.compare(res).frame[("(1)", "std_error")]):
        np.testing.assert_allclose(table, bse, rtol=SAME)
    np.testing.assert_allclose(res.wald_test(["x"]).statistic, (res.params / bse)["x"] ** 2, rtol=SAME)
    np.testing.assert_allclose(res.drop1().loc["x", "statistic"], (res.params / bse)["x"] ** 2, rtol=SAME)
    np.testing.assert_allclose(res.anova(type=2).loc["z", "statistic"], (res.params / bse)["z"] ** 2, rtol=SAME)
    np.testing.assert_allclose(res.delta(lambda b: b["x"]).loc["value", "std_error"], bse["x"], rtol=SAME)
    np.testing.assert_allclose(res.margins("x", scale="link").frame()["std_error"], bse["x"], rtol=SAME)
    pair = res.get_prediction(NEW.assign(x=[4.0] * 6), which="linear").se
    row = np.column_stack([np.ones(6), np.full(6, 4.0), NEW["z"], NEW["f"] == "b", NEW["f"] == "c"]).astype(float)
    np.testing.assert_allclose(pair, np.sqrt(np.einsum("ij,jk,ik->i", row, res.cov_params(), row)), rtol=SAME)
    for text in (str(res.summary()), repr(res.margins("x")), repr(res.wald_test("x")), str(jg.compare(res))):
        assert "cluster (firm, 11 clusters)" in text
    for refused in (lambda: res.lr_test(plain()), lambda: res.score_test("t"), lambda: res.conf_int(method="profile")):
        with pytest.raises(jg.NotAvailableError, match="cluster"):
            refused()


def test_no_test_is_f_without_degrees_of_freedom():
    for ask in (lambda: clustered().wald_test("x", "F"), lambda: clustered().anova(test="F"),
                lambda: clustered().drop1("F")):  # fmt: skip
        with pytest.raises(jg.InputError, match="degrees of freedom.*use_t=True"):
            ask()


def test_what_an_alias_leaves_open():
    with pytest.warns(jg.AliasWarning, match=r"'c' is dropped: it equals Intercept \+ 2 \* x$"):
        res = jg.glm("n ~ x + c + f", DATA.assign(c=1 + 2 * DATA["x"]), "poisson", precision="mixed")
    assert np.isfinite(res.predict(DATA.assign(c=1 + 2 * DATA["x"]))).all()
    with (
        pytest.warns(jg.DataWarning, match="predictions are NaN"),
        pytest.raises(jg.NotAvailableError, match="does not determine"),
    ):
        res.plot.effect("x")


# -- without the rows --------------------------------------------------------------------------------------------------


def saved(res):
    file = io.BytesIO()
    res.save(file)
    return file


@cache
def loaded():
    file = saved(clustered())
    file.seek(0)
    return jg.load(file)


def test_a_file_keeps_the_covariance_and_not_the_rows():
    pd.testing.assert_frame_equal(loaded().cov_params(), clustered().cov_params())
    assert str(loaded().summary()) == str(clustered().summary())
    pd.testing.assert_frame_equal(loaded().anova(), clustered().anova())
    many = pd.concat([DATA] * 9, ignore_index=True)
    longer = glm(many, cov=jg.Cluster(pd.Series(np.tile(FIRM, 9), name="firm")), offset=np.zeros(9 * N))
    assert len(saved(longer).getvalue()) < 1.1 * len(saved(clustered()).getvalue())


NEEDS_ROWS = {
    "HC3": lambda res: res.with_cov("HC3"),
    "Cluster by name": lambda res: res.with_cov(jg.Cluster("f")),
    "Cluster by value": lambda res: res.with_cov(jg.Cluster(FIRM)),
    "the cluster again": lambda res: res.with_cov(),
    "HAC": lambda res: res.with_cov(jg.HAC(2)),
    "residuals": lambda res: res.resid(),
    "means": lambda res: res.fittedvalues,
    "predictions": lambda res: res.predict(),
    "draws": lambda res: res.simulate(),
    "table": lambda res: res.augment(),
    "anova": lambda res: res.with_cov("nonrobust").anova(),
    "drop1": lambda res: res.with_cov("nonrobust").drop1(),
    "score": lambda res: res.with_cov("nonrobust").score_test("t"),
    "profile": lambda res: res.with_cov("nonrobust").conf_int(method="profile"),
    "slopes": lambda res: res.margins(),
    "influence": lambda res: res.influence(),
    "picture of residuals": lambda res: res.plot.residuals(),
    "picture of influence": lambda res: res.plot.influence(),
    "picture of effects": lambda res: res.plot.effect("x"),
}


@pytest.mark.parametrize("what", NEEDS_ROWS)
def test_a_loaded_result_says_why_it_has_no_rows(what):
    with pytest.raises(jg.NotAvailableError, match=r"not kept \(.*file.*") as told:
        NEEDS_ROWS[what](loaded())
    assert "keep_data" in str(told.value) and len(str(told.value)) < 200
