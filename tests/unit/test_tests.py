"""Tests of hypotheses against R: anova, drop1, car, lmtest; see tests/reference/make_tests.R."""

import json
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

ROOT = Path(__file__).parents[1] / "reference"
REFERENCE = json.loads((ROOT / "inference/tests/tests.json").read_text())
CASES = REFERENCE["cases"]
NB = REFERENCE["negative_binomial"]
#: Fits stop within 1e-8 standard errors and R's within 1e-14 of the deviance: differences of deviances have 9 digits.
SAME = 1e-7
#: R's score statistics take the weights of the iteration before the last one.
SAME_RAO = 1e-6
#: R's glm.nb stops alternating when theta changes little; twice the log-likelihood is flat there.
SAME_NB = 1e-6
_DATA = {}


def frame(name):
    if name not in _DATA:
        _DATA[name] = pd.read_csv(ROOT / "shared/data" / f"{name}.csv")
        for column in {"type", "year", "period"} & set(_DATA[name]):
            _DATA[name][column] = _DATA[name][column].astype(str)
    return _DATA[name]


def fit(case, formula):
    options = {k: case[k] for k in ("offset", "var_weights", "link") if case.get(k)}
    return jg.glm(formula, frame(case["data"]).iloc[:: case.get("every", 1)], family=case["family"], **options)


@pytest.fixture(scope="module", params=CASES)
def pair(request):
    case = CASES[request.param]
    return case, fit(case, case["small"]), fit(case, case["formula"])


def same(ours, theirs, rtol=SAME):
    """A table's columns, where R has them."""
    for column in ("df", "deviance", "df_resid", "resid_deviance", "aic", "statistic", "p_value"):
        if column in theirs and column in ours and any(v is not None for v in theirs[column]):
            want = np.array(theirs[column], float)
            # A p-value far out changes by many times the relative change of its statistic.
            loose = {"rtol": 10 * rtol, "atol": 1e-12} if column == "p_value" else {"rtol": rtol, "atol": 1e-13}
            np.testing.assert_allclose(ours[column].to_numpy(), want, **loose, err_msg=column)


def one(test, theirs, rtol=SAME):
    assert test.df == theirs["df"]
    assert test.statistic == pytest.approx(theirs["statistic"], rel=rtol)
    assert test.p_value == pytest.approx(theirs["p_value"], rel=10 * rtol, abs=1e-15)


def test_tables_are_those_of_r(pair):
    case, small, large = pair
    for test, tables in case["tables"].items():
        rtol = SAME_RAO if test == "Rao" else SAME
        same(large.anova(test=test), tables["anova"], rtol)
        dropped = large.drop1(test=test)
        theirs = dict(tables["drop1"])
        np.testing.assert_allclose(dropped["resid_deviance"], theirs.pop("deviance"), rtol=1e-9)
        same(dropped, theirs, rtol)
        same(jg.anova(small, large, test=test), tables["compare"], rtol)
        if "type2" in tables:
            theirs = dict(tables["type2"])
            same(large.anova(type=2, test=test), theirs)
    default = "Chisq" if large.fit.model.family.dispersion_known else "F"
    pd.testing.assert_frame_equal(large.anova(), large.anova(test=default))


def test_single_tests_are_those_of_r(pair):
    case, small, large = pair
    one(large.wald_test(case["hypothesis"], test="Chisq"), case["wald"]["Chisq"])
    if not large.fit.model.family.dispersion_known:
        one(large.wald_test(case["hypothesis"]), case["wald"]["F"])
    if case["lr"]:
        one(large.lr_test(small), case["lr"])
        one(small.lr_test(large), case["lr"])
    else:
        with pytest.raises(jg.NotAvailableError, match="no likelihood.*test='F'"):
            large.lr_test(small)
    one(small.score_test(case["added"]), case["score"], SAME_RAO)


@pytest.fixture(scope="module")
def counts():
    return fit(NB, NB["small"]), fit(NB, NB["formula"])


def test_alpha_is_estimated_anew_in_every_submodel(counts):
    small, large = counts
    # All of what is not the test itself is minus twice the log-likelihood here.
    same(
        large.anova(),
        {k: [None, *v] if k in ("df", "statistic", "p_value") else v for k, v in NB["anova"].items()},
        SAME_NB,
    )
    same(large.anova(test="Rao"), {k: [None, *v] for k, v in NB["rao"].items()}, SAME_NB)
    theirs = {k: [None, *v] if k != "aic" else v for k, v in NB["drop1"].items()}
    same(large.drop1(), theirs, SAME_NB)
    compared = jg.anova(small, large)
    assert compared["statistic"].iloc[1] == pytest.approx(NB["compare"]["statistic"], rel=SAME_NB)
    assert jg.anova(small, large, test="Rao")["statistic"].iloc[1] == pytest.approx(
        NB["score"]["statistic"], rel=SAME_NB
    )
    one(large.lr_test(small), NB["lr"], SAME_NB)
    one(small.score_test(NB["added"]), NB["score"], SAME_NB)


def test_alpha_is_tested_as_it_is_reported(counts):
    large = counts[1]
    test = large.wald_test("alpha = 0.5")
    assert test.statistic == pytest.approx(((large.params["alpha"] - 0.5) / large.bse["alpha"]) ** 2, rel=1e-12)
    with pytest.raises(jg.InputError, match="end of that parameter's range"):
        large.wald_test("alpha = 0")


# -- small data of our own: what sources, weights and predictors do ------------------------------------------------------
rng = np.random.default_rng(7)
N = 90
SMALL = pd.DataFrame(
    {"x": rng.normal(size=N), "z": rng.normal(size=N), "f": rng.choice(list("abc"), N), "k": rng.integers(1, 4, N)}
)
SMALL["y"] = rng.poisson(np.exp(0.4 * SMALL.x + 0.5 * (SMALL.f == "b"))) * 1.0
SMALL["s"] = SMALL.x + SMALL.z


@pytest.fixture(scope="module")
def plain():
    return jg.glm("y ~ x + z + f", SMALL, "poisson")


def normal(y, eta, aux):
    """Two predictors: mean and log standard deviation."""
    return 0.5 * ((y - eta[0]) / jnp.exp(eta[1])) ** 2 + eta[1] + 0.5 * jnp.log(2 * jnp.pi)


NORMAL = jg.custom_family(normal, predictors=("mean", "log_sd"), mean=lambda eta, aux: eta[0])


@pytest.fixture(scope="module")
def twofold():
    """A fit of two predictors, and one without some of their terms."""
    large = jg.glm({"mean": "y ~ x * f", "log_sd": "~ z + k"}, SMALL, NORMAL)
    return jg.glm({"mean": "y ~ x", "log_sd": "~ z"}, SMALL, NORMAL), large


@pytest.mark.parametrize("test", ["Chisq", "Rao"])
def test_streams_give_the_same_tables(plain, test):
    stream = jg.glm("y ~ x + z + f", lambda: (SMALL.iloc[i : i + 31] for i in range(0, N, 31)), "poisson")
    for ours, theirs in ((stream.anova(test=test), plain.anova(test=test)), (stream.drop1(test), plain.drop1(test))):
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9, atol=1e-9)
    added = SMALL.x * SMALL.z
    assert stream.score_test(added.to_numpy()).statistic == pytest.approx(plain.score_test("x:z").statistic, rel=1e-9)


def test_submodels_share_each_reading_of_the_data():
    readings = []

    def blocks():
        readings.append(1)
        return (SMALL.iloc[i : i + 31] for i in range(0, N, 31))

    res = jg.glm("y ~ x + z + f + x:z", blocks, "poisson")
    for table, most in ((lambda: res.drop1("Rao"), 8), (lambda: res.anova(), 7), (lambda: res.anova(type=2), 7)):
        readings.clear()
        table()
        assert len(readings) <= most
    bare = jg.glm("y ~ 1", blocks, "poisson")
    assert len(bare.drop1("Rao")) == len(bare.anova(test="Rao")) == 1


def test_freq_weights_are_repeated_rows():
    weighted = jg.glm("y ~ x + f", SMALL, "quasipoisson", freq_weights="k")
    repeated = jg.glm("y ~ x + f", SMALL.loc[SMALL.index.repeat(SMALL.k)].reset_index(drop=True), "quasipoisson")
    for test in ("F", "Rao"):
        pd.testing.assert_frame_equal(weighted.anova(test=test), repeated.anova(test=test), rtol=1e-9)
    assert weighted.score_test("z").statistic == pytest.approx(repeated.score_test("z").statistic, rel=1e-9)


def test_terms_of_every_predictor(twofold):
    small, large = twofold
    table = large.anova()
    rows = [("mean", "x"), ("mean", "f"), ("mean", "x:f"), ("log_sd", "z"), ("log_sd", "k")]
    assert list(table.index) == [("NULL", ""), *rows] and list(table.index.names) == ["predictor", "term"]
    assert list(large.drop1().index[1:]) == rows[2:]
    formulas = {"mean": "y ~ x + f", "log_sd": "~ 1"}
    refitted = jg.glm(formulas, SMALL, NORMAL)
    assert table.loc[("mean", "f"), "resid_deviance"] == pytest.approx(-2 * refitted.llf, rel=1e-10)
    lost = 2 * (large.llf - small.llf)
    assert large.lr_test(small).statistic == pytest.approx(lost, rel=1e-10) and large.lr_test(small).df == 5
    assert jg.anova(small, large)["statistic"].iloc[1] == pytest.approx(lost, rel=1e-10)
    score = jg.anova(small, large, test="Rao")["statistic"].iloc[1]
    assert small.score_test({"mean": "f * x", "log_sd": "k"}).statistic == pytest.approx(score, rel=1e-6)


def test_score_statistic_of_two_predictors_by_hand(twofold):
    """Score and information of the longer model at the shorter one's estimate, by differences of its likelihood."""
    small = twofold[0]
    b = small.params
    mean = b["mean", "Intercept"] + b["mean", "x"] * SMALL.x.to_numpy()
    log_sd = b["log_sd", "Intercept"] + b["log_sd", "z"] * SMALL.z.to_numpy()
    u = (SMALL.y.to_numpy() - mean) / np.exp(log_sd)
    designs = [np.column_stack([np.ones(N), SMALL.x, SMALL.z]), np.column_stack([np.ones(N), SMALL.z, SMALL.k])]
    score = np.concatenate([designs[0].T @ (u / np.exp(log_sd)), designs[1].T @ (u**2 - 1)])
    cross = designs[0].T @ ((2 * u / np.exp(log_sd))[:, None] * designs[1])
    blocks = [d.T @ (w[:, None] * d) for d, w in zip(designs, (np.exp(-2 * log_sd), 2 * u**2), strict=True)]
    information = np.block([[blocks[0], cross], [cross.T, blocks[1]]])
    want = score @ np.linalg.solve(information, score)
    assert small.score_test({"mean": "z", "log_sd": "k"}).statistic == pytest.approx(want, rel=1e-6)


def test_observed_information_in_the_score_test():
    """Gamma with a log link: the weight of a row is y / mu where the information is the observed one."""
    data = frame("wage1")
    res = jg.glm("wage ~ educ", data, "gamma", link="log", information="observed")
    ratio = data.wage.to_numpy() / res.fittedvalues.to_numpy()
    columns = np.column_stack([np.ones(len(data)), data.educ, data.exper])
    score = columns.T @ (ratio - 1)
    want = score @ np.linalg.solve(columns.T @ (ratio[:, None] * columns), score) / res.scale
    assert res.score_test("exper").statistic == pytest.approx(want, rel=1e-9)
    table = jg.glm("wage ~ educ + exper", data, "gamma", link="log", information="observed").anova(test="Rao")
    assert table.loc["exper", "statistic"] == pytest.approx(want * res.scale / _scale_of(data), rel=1e-7)


def _scale_of(data):
    return jg.glm("wage ~ educ + exper", data, "gamma", link="log").scale


def test_aliased_columns_count_again_where_what_they_depend_on_is_gone():
    with pytest.warns(jg.AliasWarning):
        res = jg.glm("y ~ x + z + s + f", SMALL, "poisson")
    dropped = res.drop1()
    np.testing.assert_array_equal(dropped["df"].to_numpy()[1:], [0, 0, 0, 2])
    np.testing.assert_allclose(dropped["resid_deviance"].iloc[:4], res.deviance, rtol=1e-12)
    assert dropped["p_value"].iloc[:4].isna().all()
    np.testing.assert_array_equal(res.anova()["df"].to_numpy()[1:], [1, 1, 0, 2])
    with pytest.raises(jg.InputError, match="'s' has no estimate.*aliased"):
        res.wald_test("s = 0")


def robust(res, kind="HC0"):
    """The same covariance under the name of another kind."""
    return replace(res, covariance=replace(res.covariance, kind=kind, robust=True))


def test_robust_covariances_give_wald_tables(plain):
    res = robust(plain)
    assert res.drop1().columns.name == "drop1, Wald Chisq, HC0"
    v = plain.cov_params()
    b = plain.params

    def wald(names):
        return b[names] @ np.linalg.solve(v.loc[names, names], b[names])

    levels = ["f[T.b]", "f[T.c]"]
    assert res.drop1().loc["f", "statistic"] == pytest.approx(wald(levels), rel=1e-12)
    assert res.anova(2).loc["z", "statistic"] == pytest.approx(plain.tvalues["z"] ** 2, rel=1e-12)
    # In order: what a term adds given those before it, which is what remains of the joint test of it and all later ones.
    assert res.anova().loc["z", "statistic"] == pytest.approx(wald(["z", *levels]) - wald(levels), rel=1e-9)
    for call in (lambda: res.lr_test(plain), lambda: res.score_test("z"), lambda: jg.anova(plain, res)):
        with pytest.raises(jg.NotAvailableError, match="HC0.*wald_test"):
            call()
    with pytest.raises(jg.InputError, match="Wald tests"):
        res.anova(test="Rao")


def test_wald_tables_are_exact_for_least_squares():
    """There the Wald statistics in order, and of type 2 with an interaction, are those of deviances."""
    res = jg.glm("y ~ x * f + z", SMALL)
    for kind in (1, 2):
        plain_table, wald = res.anova(kind), robust(res).anova(kind)
        np.testing.assert_allclose(wald["statistic"], plain_table.loc[wald.index, "statistic"], rtol=1e-8)
        np.testing.assert_allclose(wald["p_value"], plain_table.loc[wald.index, "p_value"], rtol=1e-7)


def test_survey_weights():
    res = jg.glm("y ~ x + f", SMALL, "poisson", prob_weights="k")
    assert list(res.anova().columns) == ["df", "statistic", "p_value"]
    assert res.anova(2).loc["x", "statistic"] == pytest.approx(res.tvalues["x"] ** 2, rel=1e-12)
    with pytest.raises(jg.NotAvailableError, match="prob_weights=.*wald_test"):
        res.lr_test(res)


@pytest.mark.parametrize(
    "hypothesis",
    [
        "x = z, f[T.b] = 0.5",
        "x=z,f[T.b]-0.5",
        "x - z == 0, 2*f[T.b]/2 - (1 - 0.5)",
        "'x' - `z` = 0, f[T.b] = 1/2",
        {"x - z": 0, "f[T.b]": 0.5},
        ([[0, 1, -1, 0, 0], [0, 0, 0, 1, 0]], [0, 0.5]),
        (pd.DataFrame({"x": [1, 0], "z": [-1, 0], "f[T.b]": [0, 1]}), [0, 0.5]),
        "x = z, 2*x = 2*z, f[T.b] = 0.5",
    ],
    ids=str,
)
def test_ways_to_write_a_hypothesis(plain, hypothesis):
    rows = np.array([[0, 1, -1, 0, 0], [0, 0, 0, 1.0, 0]])
    distance = rows @ plain.params.to_numpy() - [0, 0.5]
    want = distance @ np.linalg.solve(rows @ plain.cov_params().to_numpy() @ rows.T, distance)
    test = plain.wald_test(hypothesis)
    assert test.statistic == pytest.approx(want, rel=1e-10)
    assert (test.df, test.df_denom) == (2, np.inf)


def test_names_may_hold_any_sign(plain):
    res = jg.glm("y ~ x + C(f, Treatment('b')) + I(x ** 2) + x:C(f, Treatment('b'))", SMALL, "quasipoisson")
    name = "C(f, Treatment('b'))[T.a]:x"
    name = name if name in res.params.index else "x:C(f, Treatment('b'))[T.a]"
    test = res.wald_test(f"2 * {name.replace(', ', ',')} = x + 1, I(x**2) = 0")
    assert test.df == 2 and test.df_denom == res.df_resid
    assert plain.wald_test(["f", "x"]).df == plain.wald_test("x = f[T.b] = f[T.c] = 0").df == 3
    text = repr(plain.wald_test("f"))
    assert text.splitlines()[:3] == ["Wald test", "  H0: f[T.b] = 0", "  H0: f[T.c] = 0"] and "chi2(2) = " in text


@pytest.mark.parametrize(
    ("hypothesis", "words"),
    [
        ("q = 0", "cannot be read at 'q = 0'.*Known"),
        ("x*z = 0", "not linear"),
        ("x = ", "at its end: a coefficient or a number"),
        ("x / 0 = 1", "other than 0"),
        ("(x + z = 0", r"'\)' is wanted"),
        ("x z", "an operator"),
        ("1 = 1", "no coefficient"),
        ("x = 0, x = 1", "contradicts"),
        ("f = 0", "term with 2 coefficients"),
        ([], "empty"),
        ({"x": "a"}, "one finite number"),
        ({"x, z": 0}, "one linear combination"),
        ({3: 0}, "names of coefficients"),
        (np.eye(3), "one column a coefficient, 5"),
        (pd.DataFrame({"xx": [1]}), "'xx', which is no coefficient.*'x'"),
        ((np.eye(5), [1, 2]), "5 rows but there are 2 values"),
        ([[np.nan, 0, 0, 0, 1]], "finite"),
        (None, "a hypothesis is text"),
    ],
    ids=str,
)
def test_bad_hypotheses(plain, hypothesis, words):
    with pytest.raises(jg.JaxglmError, match=words):
        plain.wald_test(hypothesis)


def gaps():
    return jg.glm("y ~ m", SMALL.assign(m=SMALL.z.where(SMALL.index != 5)), "poisson")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: r.lr_test(gaps()), "different rows: .*89.*Missing values"),
        (lambda r: r.lr_test(r), "neither model holds the other"),
        (lambda r: r.lr_test(jg.glm("y ~ k", SMALL, "poisson")), "not nested.*lacks k"),
        (lambda r: r.lr_test(jg.glm("y ~ x", SMALL, "poisson", offset="k")), "not nested.*offsets differ"),
        (lambda r: r.lr_test(jg.glm("y ~ x", SMALL, "quasipoisson")), "different families"),
        (lambda r: r.lr_test(jg.glm("k ~ x", SMALL, "poisson")), "different responses"),
        (lambda r: r.lr_test("x"), "a fitted model is wanted, not str"),
        (lambda r: r.anova(test="F"), "dispersion that is estimated"),
        (lambda r: r.anova(test="LRT"), "'Chisq', 'F' or 'Rao'"),
        (lambda r: r.anova(3), "type must be 1"),
        (lambda r: r.wald_test("x", test="F"), "degrees of freedom below it"),
        (lambda r: r.score_test("q"), "no column 'q'"),
        (lambda r: r.score_test("s"), "gains nothing from s"),
        (lambda r: r.score_test("offset(k)"), "no coefficient to test"),
        (lambda r: r.score_test(np.ones(3)), "one row for each of the 90"),
        (lambda r: r.score_test(SMALL.z.where(SMALL.index != 5)), "not finite in the fitted row 5"),
        (lambda r: r.score_test({"scale": "k"}), "predictors 'mean', not 'scale'"),
        (lambda r: r.score_test(""), "added terms are written"),
        (lambda r: jg.anova(), "at least one"),
    ],
)
def test_what_cannot_be_tested_says_why(plain, call, words):
    with pytest.raises(jg.JaxglmError, match=words):
        call(plain)


def test_other_names_for_the_same_columns(plain):
    summed = jg.glm("y ~ s", SMALL, "poisson")
    wide = jg.glm("y ~ x + z", SMALL, "poisson")
    test = wide.lr_test(summed)
    assert test.statistic == pytest.approx(summed.deviance - wide.deviance, rel=1e-9) and test.df == 1
    # Backwards too, with the signs of R.
    table = jg.anova(wide, summed)
    assert table["df"].iloc[1] == -1 and table["statistic"].iloc[1] == pytest.approx(test.statistic, rel=1e-9)


def test_without_the_rows(plain):
    bare = jg.glm("y ~ x + z + f", SMALL, "poisson", keep_data=False)
    less = jg.glm("y ~ x", SMALL, "poisson", keep_data=False)
    assert bare.lr_test(less).statistic == pytest.approx(plain.anova()["deviance"].iloc[2:].sum(), rel=1e-9)
    assert bare.wald_test("f").statistic == plain.wald_test("f").statistic
    with pytest.raises(jg.NotAvailableError, match="keep_data=True"):
        bare.anova()
    with pytest.warns(jg.DataWarning, match="was not looked at"):
        bare.lr_test(jg.glm("y ~ s", SMALL, "poisson", keep_data=False))


def test_arrays_have_a_term_a_column(plain):
    res = jg.fit(SMALL[["x", "z"]], SMALL.y, "poisson")
    table = jg.glm("y ~ x + z", SMALL, "poisson").anova()
    pd.testing.assert_frame_equal(res.anova(), table, rtol=1e-9)
    assert res.score_test(SMALL.k).hypothesis == ("k = 0",)
    with pytest.raises(jg.InputTypeError, match="give the added columns as an array"):
        res.score_test("k")


def test_models_without_terms_and_perfect_fits():
    alone = jg.glm("y ~ 1", SMALL, "poisson")
    assert list(alone.anova().index) == ["NULL"] and list(alone.drop1().index) == ["<none>"]
    # Without an intercept and with an inverse link there is no mean to compare the first term with.
    bare = jg.glm("wage ~ 0 + region + educ", frame("wage1"), "gamma").anova()
    assert np.isnan(bare["resid_deviance"].iloc[0]) and bare["statistic"].isna().tolist() == [True, True, False]
    exact = jg.glm("I(2 * x + 1) ~ x", SMALL)
    assert exact.anova().loc["x", "df"] == 1 and exact.anova().loc["x", "p_value"] < 1e-100


def test_counts_without_overdispersion():
    data = SMALL.assign(u=np.tile([1.0, 2.0, 3.0], N // 3))
    with pytest.warns(jg.DataWarning):
        res = jg.glm("u ~ x + z", data, "negative_binomial")
    poisson = jg.glm("u ~ x + z", data, "poisson")
    for test in ("Chisq", "Rao"):
        ours, theirs = res.anova(test=test), poisson.anova(test=test)
        np.testing.assert_allclose(ours["statistic"], theirs["statistic"], rtol=1e-6)
