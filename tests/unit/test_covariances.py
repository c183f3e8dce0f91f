"""Robust covariances: R, statsmodels, formulas written out, and what must hold for all of them."""

import json
import warnings
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import linalg, special, stats

import jaxglm as jg

REFERENCE = Path(__file__).parents[1] / "reference"
#: Agreement with R where both end at the floor of rounding, relative to the standard errors of a pair.
R_AGREES = 1e-8
#: statsmodels stops by the change of the deviance.
STATSMODELS_AGREES = 1e-6
#: The same sums in another order.
SAME = 1e-10
NAMES = ("nonrobust", "HC0", "HC1", "HC2", "HC3")


def cases(name):
    return json.loads((REFERENCE / f"inference/covariances/{name}.json").read_text())["cases"]


def frame(file):
    """The data of a reference case with the clusters that its maker adds."""
    data = pd.read_csv(REFERENCE / file).head(900)
    if file.endswith("ships.csv"):
        data = data[data["service"] > 0].reset_index(drop=True)
    i = np.arange(len(data))
    return data.assign(one=(7 * i) % 11, two=np.floor(9 * i / len(i)), when=np.sin(i + 1.0))


def gap(res, expected, names=None):
    """Largest difference of covariances in units of the standard errors, over the parameters that both have."""
    expected = np.asarray(expected)
    if names is not None:
        order = [list(names).index(name) for name in res.params.index]
        expected = expected[np.ix_(order, order)]
    k = len(expected)
    se = np.sqrt(np.abs(np.diagonal(expected)))
    return np.max(np.abs(res.covariance.matrix[:k, :k] - expected) / np.outer(se, se))


R_KINDS = {
    **{name: name for name in NAMES[1:]},
    "cluster": jg.Cluster("one"),
    "two_way": jg.Cluster("one", "two"),
    "two_way_fixed": jg.Cluster("one", "two", fix=True),
    "hac": jg.HAC(3),
    "hac_ordered": jg.HAC(3, time="when", adjust=True),
}


@pytest.mark.parametrize("case", cases("r"), ids=lambda case: case["id"])
@pytest.mark.filterwarnings("ignore:the multi-way cluster covariance")
def test_r(case):
    data = frame(case["file"])
    weights = {"tenure + 1": lambda: data["tenure"] + 1.0}.get(case.get("weights"), lambda: case.get("weights"))()
    res = jg.glm(case["formula"], data, family=case["family"], link=case["link"], var_weights=weights)
    assert res.params.to_numpy()[: len(case["coef"])] == pytest.approx(case["coef"], rel=1e-7, abs=1e-10)
    for key, cov in R_KINDS.items():
        if key == "two_way_fixed" and "alpha" in res.params:
            # Eigenvalues of the covariance without alpha, which is a constant in R.
            continue
        assert gap(res.with_cov(cov), case[key]) < R_AGREES, key


@pytest.mark.parametrize("case", cases("statsmodels"), ids=lambda case: case["id"])
@pytest.mark.filterwarnings("ignore:the multi-way cluster covariance")
def test_statsmodels(case):
    # The bread of its robust covariances is the observed information.
    options = {"family": case["family"], "link": case["link"], "information": "observed"}
    res = jg.glm(case["formula"], frame(case["file"]), **options)
    for key in ("HC0", "cluster", "two_way"):
        assert gap(res.with_cov(R_KINDS[key]), case[key], case["names"]) < STATSMODELS_AGREES, key
    assert gap(res.with_cov(jg.HAC(4)), case["hac"], case["names"]) < STATSMODELS_AGREES


# -- formulas written out ------------------------------------------------------------------------------------------


def dense(columns, score, curvature, kind):
    """HC0 to HC3 from rows X (n, K, P), scores (n, K) and curvatures (n, K, K) of the reported information."""
    n, _, p = columns.shape
    bread = np.linalg.inv(np.einsum("nkp,nkl,nlq->pq", columns, curvature, columns))
    meat = np.zeros((p, p))
    for x, s, w in zip(columns, score, curvature, strict=True):
        rest = np.eye(len(s)) - w @ x @ bread @ x.T
        if kind == "HC2":
            s = np.linalg.solve(np.real(linalg.sqrtm(rest)), s)
        elif kind == "HC3":
            s = np.linalg.solve(rest, s)
        meat += np.outer(x.T @ s, x.T @ s)
    return bread @ meat @ bread


def probit_rows(x, y, theta):
    q = 2 * y - 1
    eta = x @ theta
    mills = np.exp(stats.norm.logpdf(eta) - stats.norm.logcdf(q * eta))
    return -q * mills, mills * (mills + q * eta)


def gamma_rows(x, y, theta):
    ratio = y / np.exp(x @ theta)
    return 1 - ratio, ratio


@pytest.mark.parametrize(
    ("family", "link", "rows"), [("binomial", "probit", probit_rows), ("gamma", "log", gamma_rows)]
)
def test_observed_information_against_formulas(family, link, rows):
    rng = np.random.default_rng(5)
    x = np.column_stack([np.ones(90), rng.normal(size=(90, 2))])
    eta = x @ [0.2, 0.7, -0.4]
    y = (eta + rng.normal(size=90) > 0) * 1.0 if family == "binomial" else rng.gamma(2.0, np.exp(eta) / 2.0)
    prior = rng.uniform(0.5, 2.0, 90)
    res = jg.fit(x, y, family, link=link, intercept=False, var_weights=prior, information="observed", cov="HC3")
    score, curvature = (prior * v for v in rows(x, y, res.params.to_numpy()))
    for kind in NAMES[1:]:
        expected = dense(x[:, None, :], score[:, None], curvature[:, None, None], kind)
        factor = 90 / 87 if kind == "HC1" else 1.0
        assert gap(res.with_cov(kind), factor * expected) < R_AGREES, kind
    assert res.cov_type == "HC3" and res.information == "observed"
    # The fit does not change, and another information stays with the kind of covariance in use.
    fisher = res.with_cov(information="expected")
    assert fisher.cov_type == "HC3" and gap(fisher, res.covariance.matrix) > 1e-3


@pytest.fixture(scope="module")
def joint():
    """Counts with the dispersion estimated jointly, so that every row has two predictors."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=120)
    y = rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(1.0 + 0.4 * x)))
    return jg.glm("y ~ x", pd.DataFrame({"y": y, "x": x, "firm": np.arange(120) // 4}), "negative_binomial")


def test_two_predictors_against_formulas(joint):
    res = joint.with_cov(information="observed")
    frame = res.intake.table
    x, y = (frame[name].values for name in ("x", "y"))
    theta = res.fit.theta
    a = np.exp(theta[2])
    r, mu = 1 / a, np.exp(theta[0] + theta[1] * x)
    slope = special.digamma(y + r) - special.digamma(r) + np.log(r / (r + mu)) + (mu - y) / (r + mu)
    bend = special.polygamma(1, y + r) - special.polygamma(1, r) + 1 / r - 1 / (r + mu) - (mu - y) / (r + mu) ** 2
    score = np.column_stack([(mu - y) / (1 + a * mu), r * slope])
    cross = -(mu - y) * a * mu / (1 + a * mu) ** 2
    curvature = np.empty((len(y), 2, 2))
    curvature[:, 0, 0] = mu * (1 + a * y) / (1 + a * mu) ** 2
    curvature[:, 0, 1] = curvature[:, 1, 0] = cross
    curvature[:, 1, 1] = -(r * slope + r**2 * bend)
    columns = np.zeros((len(y), 2, 3))
    columns[:, 0, 0], columns[:, 0, 1], columns[:, 1, 2] = 1.0, x, 1.0
    for kind in ("HC0", "HC2", "HC3"):
        assert gap(res.with_cov(kind), dense(columns, score, curvature, kind)) < R_AGREES, kind
    sums = np.array([np.einsum("nk,nkp->p", score[i : i + 4], columns[i : i + 4]) for i in range(0, 120, 4)])
    bread = np.linalg.inv(np.einsum("nkp,nkl,nlq->pq", columns, curvature, columns))
    expected = bread @ sums.T @ sums @ bread * 30 / 29 * 119 / 118
    clustered = res.with_cov(jg.Cluster("firm"))
    assert gap(clustered, expected) < R_AGREES
    # alpha is reported on its own scale, by the delta method.
    assert clustered.bse["alpha"] == pytest.approx(a * np.sqrt(expected[2, 2]), rel=R_AGREES)
    assert clustered.conf_int().loc["alpha"].to_numpy() == pytest.approx(
        a * np.exp(np.array([-1, 1]) * stats.norm.ppf(0.975) * np.sqrt(expected[2, 2])), rel=R_AGREES
    )


# -- what must hold ------------------------------------------------------------------------------------------------


@cache
def counts():
    """Overdispersed counts with weights, clusters in two ways, and a time."""
    rng = np.random.default_rng(11)
    n = 96
    firm = rng.integers(0, 14, n)
    x = rng.normal(size=n)
    mean = np.exp(0.3 + 0.5 * x + 0.4 * rng.normal(size=14)[firm])
    return pd.DataFrame(
        {"y": rng.poisson(mean), "x": x, "f": np.array(list("abc"))[rng.integers(0, 3, n)], "firm": firm,
         "name": np.array([f"f{k}" for k in range(14)])[firm], "year": rng.integers(2000, 2006, n),
         "w": rng.integers(1, 4, n), "when": pd.date_range("2020-01-01", periods=n)[rng.permutation(n)]}
    )  # fmt: skip


KINDS = {
    **{name: name for name in NAMES},
    "cluster": jg.Cluster("firm"),
    "two ways": jg.Cluster("firm", "year"),
    "HAC": jg.HAC(2, time="when"),
}
ROBUST = [name for name in KINDS if name not in ("nonrobust", "HAC")]


def fit(data=None, **options):
    return jg.glm("y ~ x + f", counts() if data is None else data, family="poisson", **options)


def close(a, b, tolerance=SAME):
    np.testing.assert_allclose(a.covariance.matrix, b.covariance.matrix, rtol=0, atol=tolerance * a.bse.max() ** 2)


@pytest.mark.parametrize("name", ROBUST)
def test_a_frequency_is_repeated_rows(name):
    data = counts()
    repeated = fit(data.loc[data.index.repeat(data["w"])].reset_index(drop=True), cov=KINDS[name])
    close(fit(freq_weights="w", cov=KINDS[name]), repeated)


@pytest.mark.parametrize("name", ["survey", *ROBUST])
def test_scaled_weights_change_nothing(name):
    data = counts().assign(scaled=lambda d: 7.5 * d["w"])
    kind = KINDS.get(name, name)
    close(fit(data, prob_weights="w", cov=kind), fit(data, prob_weights="scaled", cov=kind))
    if name != "survey":
        close(fit(data, var_weights="w", cov=kind), fit(data, var_weights="scaled", cov=kind))


def test_weights_of_rows_and_of_clusters():
    """A row adds w s, so with variance and probability weights the meat has w^2 in it."""
    res = fit(var_weights="w")
    matrix, w = np.column_stack([np.ones(96), counts()["x"], counts()["f"] == "b", counts()["f"] == "c"]), counts()["w"]
    score = (w * (res.fittedvalues - counts()["y"])).to_numpy()
    bread = np.linalg.inv(matrix.T @ (matrix * (w * res.fittedvalues).to_numpy()[:, None]))
    sums = np.zeros((14, 4))
    np.add.at(sums, counts()["firm"], score[:, None] * matrix)
    assert gap(res.with_cov("HC0"), bread @ (matrix.T * score**2) @ matrix @ bread) < SAME
    expected = bread @ sums.T @ sums @ bread * 14 / 13
    assert gap(res.with_cov(jg.Cluster("firm")), expected * 95 / 92) < SAME
    # The survey sandwich with clusters as primary sampling units has no other factor.
    assert gap(fit(prob_weights="w", cov=jg.Cluster("firm")), expected) < SAME


def test_clusters_of_one_row():
    alone = jg.Cluster(np.arange(96))
    close(fit(cov=alone), fit(cov="HC1"))
    close(fit(prob_weights="w", cov=alone), fit(prob_weights="w"))
    close(fit(cov=jg.HAC(0)), fit(cov="HC0"))


def test_ways_that_add_nothing():
    """Clusters within coarser ones leave the coarser alone, and names serve as well as numbers."""
    data = counts().assign(half=lambda d: d["firm"] % 7)
    close(fit(data, cov=jg.Cluster("firm", "half")), fit(data, cov=jg.Cluster("half")))
    close(fit(cov=jg.Cluster("name")), fit(cov=jg.Cluster("firm")))
    close(fit(cov=jg.Cluster("firm", "year")), fit(cov=jg.Cluster("year", "name")))


def test_order_of_rows():
    shuffled = counts().sample(frac=1.0, random_state=2)
    for kind in KINDS.values():
        close(fit(cov=kind), fit(shuffled, cov=kind))
    in_time = counts().sort_values("when")
    close(fit(cov=jg.HAC(2, time="when")), fit(in_time, cov=jg.HAC(2)))
    assert gap(fit(cov=jg.HAC(2)), fit(in_time, cov=jg.HAC(2)).covariance.matrix) > 1e-3


def test_values_for_all_rows_follow_the_rows_that_are_kept():
    """A Series is aligned, an array is cut to the rows with weight and without holes."""
    data = counts().assign(w=lambda d: np.where(np.arange(96) % 10 == 3, 0, d["w"]))
    data.loc[[5, 17], "x"] = np.nan
    kept = data[(data["w"] > 0) & data["x"].notna()].reset_index(drop=True)
    expected = fit(kept, var_weights="w", cov=jg.Cluster("firm"))
    res = fit(data, var_weights="w", cov=jg.Cluster("firm"))
    firm = data["firm"]
    for cov in (firm.to_numpy(), firm.sample(frac=1.0, random_state=1), list(firm), firm.astype(str)):
        close(res.with_cov(jg.Cluster(cov)), expected)
        close(fit(data, var_weights="w", cov=jg.Cluster(cov)), expected)
    close(res, expected)
    assert res.cov_type == "cluster (firm, 14 clusters)"
    # From arrays, too.
    matrix = data[["x", "w"]].to_numpy(float)
    arrays = jg.fit(matrix, data["y"], "poisson", cov=jg.Cluster(firm.to_numpy()))
    again = jg.glm("y ~ x + w", data, "poisson").with_cov(jg.Cluster("firm"))
    assert arrays.bse.to_numpy() == pytest.approx(again.bse.to_numpy(), rel=1e-8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas means to give up inplace=
        data.sort_values("firm", inplace=True)
    close(res.with_cov(jg.Cluster("firm")), expected)


@pytest.fixture(scope="module")
def plain():
    return fit(freq_weights="w"), fit()


@pytest.mark.parametrize("name", [*ROBUST, "HAC"])
def test_sources_agree(name, plain):
    """In memory, on several devices, and in pieces, at the fit and after it."""
    data, cov = counts(), KINDS[name]
    words = {"freq_weights": "w"} if name != "HAC" else {}
    expected = plain[name == "HAC"].with_cov(cov)
    # A piece without rows that are kept, and pieces of different lengths.
    edges = [0, 10, 11, 50, 96]

    def pieces():
        for start, stop in zip(edges, edges[1:], strict=False):
            yield data.iloc[start:stop]
        yield data.iloc[:3].assign(x=np.nan)

    close(fit(devices=jax.devices(), cov=cov, **words), expected, 1e-9)
    streamed = fit(pieces, **words)
    close(streamed.with_cov(cov), expected, 1e-9)
    assert fit(pieces, cov=cov, **words).cov_type == expected.cov_type


def test_aliased_and_held_coefficients(joint):
    data = counts().assign(twice=lambda d: 2.0 * d["x"])
    with pytest.warns(jg.AliasWarning):
        res = jg.glm("y ~ x + twice + f", data, "poisson", cov=jg.Cluster("firm"))
    assert np.isnan(res.bse["twice"])
    np.testing.assert_allclose(res.bse.drop("twice"), fit(cov=jg.Cluster("firm")).bse, rtol=1e-8)
    even = pd.DataFrame({"y": [2, 3, 3, 2, 3, 2, 3, 2], "x": np.arange(8.0), "g": [0, 0, 1, 1, 2, 2, 3, 3]})
    with pytest.warns(jg.DataWarning, match="no more than Poisson"):
        held = jg.glm("y ~ x", even, "negative_binomial")
    given = jg.glm("y ~ x", even, "poisson")
    for cov in ("HC0", "HC1", "HC2", "HC3", jg.Cluster("g"), jg.HAC(1)):
        assert held.with_cov(cov).bse[:2].to_numpy() == pytest.approx(given.with_cov(cov).bse.to_numpy(), rel=1e-6)
        assert np.isnan(held.with_cov(cov).bse["alpha"])


def test_a_row_alone():
    data = counts().assign(only=np.arange(96) == 7, y=lambda d: np.where(np.arange(96) == 7, 3, d["y"]))
    res = jg.glm("y ~ x + only", data, "poisson")
    with pytest.warns(jg.DataWarning, match="leverage is 1"):
        assert res.with_cov("HC3").bse.isna().all()
    assert res.with_cov("HC1").bse["x"] > 0


@pytest.mark.parametrize(("precision", "digits"), [("mixed", 1e-6), ("float32", 1e-3)])
def test_lower_precision(precision, digits):
    for kind in KINDS.values():
        close(fit(precision=precision, cov=kind), fit(cov=kind), digits)


def test_many_clusters():
    """100,000 of them, against sums by pandas."""
    n = 200_000
    rng = np.random.default_rng(1)
    x, firm = rng.normal(size=(n, 2)), rng.integers(0, 100_000, n)
    y = rng.poisson(np.exp(0.2 * x[:, 0])) * 1.0
    res = jg.fit(x, y, "poisson", cov=jg.Cluster(firm))
    matrix = np.column_stack([np.ones(n), x])
    mu = np.exp(matrix @ res.params.to_numpy())
    sums = pd.DataFrame((mu - y)[:, None] * matrix).groupby(firm).sum().to_numpy()
    bread = np.linalg.inv(matrix.T @ (matrix * mu[:, None]))
    g = len(sums)
    # The information is that of the last step, which is within tol of the optimum.
    assert gap(res, bread @ sums.T @ sums @ bread * g / (g - 1) * (n - 1) / (n - 3)) < R_AGREES
    assert res.cov_type == f"cluster (given values, {g:,} clusters)"


def test_multi_way_negative_eigenvalues():
    """Two crossed factors with few levels can give a covariance that is none."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        one, two = rng.integers(0, 3, 30), rng.integers(0, 3, 30)
        data = pd.DataFrame({"y": rng.poisson(2.0, 30), "x": rng.normal(size=30), "one": one, "two": two})
        fixed = jg.glm("y ~ x", data, "poisson", cov=jg.Cluster("one", "two", fix=True))
        assert np.linalg.eigvalsh(fixed.covariance.matrix)[0] > -1e-12
        if np.linalg.eigvalsh(fixed.covariance.matrix)[0] < 1e-12:
            break
    with pytest.warns(jg.DataWarning, match="fix=True"):
        loose = fixed.with_cov(jg.Cluster("one", "two"))
    values, vectors = np.linalg.eigh(loose.covariance.matrix)
    assert values[0] < 0
    np.testing.assert_allclose(fixed.covariance.matrix, (vectors * np.maximum(values, 0)) @ vectors.T, atol=1e-12)


def test_what_a_summary_and_other_figures_say():
    res = fit(cov=jg.Cluster("firm", "year"))
    text = str(res)
    assert "cluster (firm, 14 clusters; year, 6 clusters), expected information" in text.replace("\n", " ")
    assert "G/(G-1) (n-1)/(n-k)" in text
    assert np.isinf(res.covariance.df) and res.tvalues["x"] == pytest.approx(res.params["x"] / res.bse["x"])
    squares = jg.glm("y ~ x", counts(), cov="hc3")
    assert squares.cov_type == "HC3" and "fvalue" not in squares.glance() and squares.covariance.df == squares.df_resid
    with pytest.raises(jg.NotAvailableError, match="nonrobust"):
        _ = squares.fvalue
    assert squares.get_prediction().summary_frame()["mean_se"].iloc[0] != pytest.approx(
        squares.with_cov("nonrobust").get_prediction().summary_frame()["mean_se"].iloc[0], rel=1e-4
    )
    assert "survey" in str(fit(prob_weights="w")) and fit(prob_weights="w").cov_type == "survey"


def test_without_the_rows():
    """A covariance asked for at the fit outlives the rows; another one needs them."""
    res = fit(cov=jg.Cluster("firm"), keep_data=False)
    close(res, fit(cov=jg.Cluster("firm")))
    assert res.with_cov("nonrobust").cov_type == "nonrobust"
    for cov in ("HC0", "HC3", jg.Cluster("firm"), jg.HAC(1)):
        with pytest.raises(jg.NotAvailableError, match="keep_data=True"):
            res.with_cov(cov)


HOLES = {"firm": [None, *list("ab" * 47), "a"]}
BAD = {
    "unknown name": (lambda: fit(cov="HC5"), jg.InputError, "'HC5'", "HC3"),
    "not a covariance": (lambda: fit(cov=3), jg.InputTypeError, "int", "Cluster"),
    "the class alone": (lambda: fit(cov=jg.Cluster), jg.InputTypeError, "Cluster"),
    "no column": (lambda: fit(cov=jg.Cluster("frim")), jg.FormulaError, "'frim'", "firm"),
    "no column later": (lambda: fit().with_cov(jg.Cluster("frim")), jg.FormulaError, "'frim'", "firm"),
    "no clusters": (lambda: jg.Cluster(), jg.InputError, "column name"),
    "a list of names": (lambda: fit(cov=jg.Cluster(["firm", "year"])), jg.DataError, "2 values", "96 rows"),
    "one number": (lambda: jg.Cluster(3), jg.InputTypeError, "int"),
    "too many ways": (lambda: jg.Cluster(*"abcdefgh"), jg.InputError, "8"),
    "fix": (lambda: jg.Cluster("firm", fix="yes"), jg.InputTypeError, "fix", "'yes'"),
    "one cluster": (lambda: fit(counts().assign(firm=1), cov=jg.Cluster("firm")), jg.InputError, "one cluster"),
    "missing cluster": (lambda: fit(counts().assign(**HOLES), cov=jg.Cluster("firm")), jg.DataError, "missing", "firm"),
    "too few values": (lambda: fit(cov=jg.Cluster(np.arange(5))), jg.DataError, "5 values", "96"),
    "a foreign index": (
        lambda: fit(cov=jg.Cluster(pd.Series(range(96), index=range(1, 97)))), jg.DataError, "index"),
    "names beside arrays": (
        lambda: jg.fit(np.arange(9.0)[:, None], np.arange(9.0), cov=jg.Cluster("firm")), jg.InputTypeError, "arrays"),
    "values beside a stream": (
        lambda: fit(lambda: iter([counts()]), cov=jg.Cluster(np.arange(96))), jg.InputError, "column name", "pieces"),
    "lags": (lambda: jg.HAC(-1), jg.InputError, "-1"),
    "lags that are no number": (lambda: jg.HAC("4"), jg.InputTypeError, "'4'"),
    "time that is no column": (lambda: jg.HAC(1, time=3), jg.InputTypeError, "int"),
    "adjust": (lambda: jg.HAC(1, adjust=1), jg.InputTypeError, "adjust"),
    "lags beyond the rows": (lambda: fit(cov=jg.HAC(96)), jg.InputError, "96"),
    "ties": (lambda: fit(cov=jg.HAC(1, time="year")), jg.DataError, "same value", "jg.Cluster"),
    "a frequency in a series": (lambda: fit(freq_weights="w", cov=jg.HAC(1)), jg.InputError, "freq_weights"),
    "a sampled series": (lambda: fit(prob_weights="w", cov=jg.HAC(1)), jg.InputError, "prob_weights"),
    "model-based under a survey": (lambda: fit(prob_weights="w", cov="nonrobust"), jg.InputError, "prob_weights"),
    "survey without weights": (lambda: fit(cov="survey"), jg.InputError, "prob_weights"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    call, kind, *words = BAD[name]
    with pytest.raises(kind) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


#: Simulated samples, and the coverage of 95 % intervals that so many allow where the covariance is right.
SAMPLES, COVERS = 300, (0.93, 0.97)


def coverage(samples, draw, family, slope, kinds):
    """Share of the intervals of the slope that hold it, by covariance."""
    hits = dict.fromkeys(kinds, 0)
    rng = np.random.default_rng(2024)
    for _ in range(samples):
        x, y, firm = draw(rng)
        res = jg.fit(x[:, None], y, family, names=["x"])
        for name in kinds:
            low, high = res.with_cov(jg.Cluster(firm) if name == "cluster" else name).conf_int().loc["x"]
            hits[name] += low < slope < high
    return {name: count / samples for name, count in hits.items()}


def unequal(rng):
    """Least squares whose errors grow with x."""
    x = rng.normal(size=200)
    return x, 1.0 + 0.5 * x + (0.3 + x**2) * rng.normal(size=200), None


def frailty(rng):
    """Counts of 200 firms, each with a rate of its own."""
    firm = np.repeat(np.arange(200), 3)
    x = 0.6 * rng.normal(size=200)[firm] + 0.5 * rng.normal(size=600)
    return x, rng.poisson(np.exp(0.5 + 0.3 * x) * rng.gamma(5.0, 0.2, 200)[firm]), firm


def test_intervals_cover():
    errors = coverage(SAMPLES, unequal, "gaussian", 0.5, ("nonrobust", "HC3"))
    assert COVERS[0] <= errors["HC3"] <= COVERS[1] and errors["nonrobust"] < 0.75, errors
    firms = coverage(SAMPLES, frailty, "poisson", 0.3, ("nonrobust", "cluster"))
    assert COVERS[0] <= firms["cluster"] <= COVERS[1] and firms["nonrobust"] < 0.9, firms
