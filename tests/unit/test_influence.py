"""Influence: what must hold whatever the model, and what it says where it has no answer."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import jaxglm as jg

#: The same float64 formula by another way.
SAME = 1e-9
N = 90
rng = np.random.default_rng(3)
DATA = pd.DataFrame({"x": rng.normal(size=N), "z": rng.uniform(size=N), "f": rng.choice(list("abc"), N)})
DATA["y"] = 1 + DATA["x"] + 0.5 * rng.normal(size=N)
DATA["count"] = rng.negative_binomial(1.5, 1.5 / (1.5 + np.exp(1 + 0.4 * DATA["x"])))
DATA["won"] = (rng.random(N) < 1 / (1 + np.exp(-DATA["x"]))) * 1
DATA["k"], DATA["w"] = rng.integers(1, 4, N), rng.uniform(0.5, 2.0, N)
DATA.index = [f"r{i}" for i in range(N)]
TWO = jg.custom_family(
    lambda y, eta, aux: 0.5 * ((y - eta[0]) * jnp.exp(-eta[1])) ** 2 + eta[1], predictors=("loc", "log_scale")
)


@pytest.fixture(scope="module")
def gaussian():
    return jg.glm("y ~ x + f", DATA, var_weights="w")


@pytest.fixture(scope="module")
def joint():
    return jg.glm({"mean": "count ~ x + f", "dispersion": "~ z"}, DATA, family="negative_binomial")


@pytest.fixture(scope="module")
def logit():
    return jg.glm("won ~ x + f", DATA, family="binomial")


@pytest.fixture(scope="module")
def two():
    return jg.glm({"loc": "y ~ x", "log_scale": "~ z"}, DATA, family=TWO)


def test_leaving_a_row_out_is_exact_for_least_squares(gaussian):
    infl = gaussian.influence()
    frame, dfbetas = infl.frame(), infl.dfbetas
    bread = gaussian.cov_params().to_numpy() / gaussian.scale
    for label in ("r0", "r17", "r89"):
        without = jg.glm("y ~ x + f", DATA.drop(index=label), var_weights="w")
        change = (gaussian.params - without.params).to_numpy()
        want = change @ np.linalg.solve(bread, change) / (gaussian.scale * 4)
        assert frame["cooks_distance"][label] == pytest.approx(want, rel=SAME)
        sigma = np.sqrt(without.scale)
        np.testing.assert_allclose(dfbetas.loc[label], change / (sigma * np.sqrt(np.diag(bread))), rtol=SAME)
        row = DATA.loc[label]
        error = np.sqrt(row["w"]) * (row["y"] - without.predict(DATA.loc[[label]]).iloc[0])
        studentized = error * np.sqrt(1 - infl.hat[label]) / sigma
        assert infl.resid_studentized[label] == pytest.approx(studentized, rel=SAME)
        ratio = np.linalg.det(without.cov_params()) / np.linalg.det(gaussian.cov_params())
        assert infl.covariance_ratio[label] == pytest.approx(ratio, rel=SAME)


def test_one_step_of_newton_is_what_is_given_for_two_predictors(two):
    """By finite differences: the weight of a row, and the information without it."""
    infl = two.influence()
    derivative, dfbetas = infl.case_derivatives, infl.dfbetas
    step = 1e-4
    for label in ("r4", "r31"):
        sides = [
            jg.glm({"loc": "y ~ x", "log_scale": "~ z"}, DATA.assign(v=1.0 + h * (DATA.index == label)), family=TWO,
                   freq_weights="v", tol=1e-12).params
            for h in (step, -step)
        ]  # fmt: skip
        np.testing.assert_allclose(derivative.loc[label], (sides[0] - sides[1]) / (2 * step), rtol=1e-5, atol=1e-8)
    V = two.cov_params().to_numpy()
    label = "r31"
    theta, row = two.params.to_numpy(), DATA.loc[label]
    X = np.array([[1, row["x"], 0, 0], [0, 0, 1, row["z"]]])
    eta = X @ theta
    r, weight = row["y"] - eta[0], np.exp(-2 * eta[1])
    score = np.array([r * weight, r**2 * weight - 1])
    curvature = np.array([[weight, 2 * r * weight], [2 * r * weight, 2 * r**2 * weight]])
    change = np.linalg.solve(np.linalg.inv(V) - X.T @ curvature @ X, X.T @ score)
    np.testing.assert_allclose(dfbetas.loc[label], change / two.bse.to_numpy(), rtol=1e-7)
    frame = infl.frame().loc[label]
    for k, name in ((0, ""), (1, "_log_scale")):
        mine = slice(2 * k, 2 * k + 2)
        want = change[mine] @ np.linalg.solve(V[mine, mine], change[mine]) / 2
        assert frame[f"cooks_distance{name}"] == pytest.approx(want, rel=1e-7)
    assert frame["local_influence"] == pytest.approx(2 * score @ X @ V @ X.T @ score, rel=1e-7)


@pytest.mark.parametrize("name", ["gaussian", "joint", "logit", "two"])
@pytest.mark.parametrize("information", ["expected", "observed"])
def test_leverages_sum_to_the_rank(name, information, request):
    res = request.getfixturevalue(name)
    if information == "observed":
        res = res.with_cov(information="observed")
    elif not res.fit.model.family.has_expected:
        pytest.skip("this family has the observed information alone")
    frame = res.influence().frame()
    ranks = [d.n_columns for d in res.fit.model.layout.designs]
    for column, rank in zip([c for c in frame if c.startswith("hat")], ranks, strict=True):
        assert frame[column].sum() == pytest.approx(rank, rel=SAME), column


def test_observed_information_uses_observed_weights():
    res = jg.glm("y ~ x", DATA.assign(y=np.exp(DATA["y"])), family="gaussian", link="log", information="observed")
    mu, y = res.fittedvalues.to_numpy(), np.exp(DATA["y"].to_numpy())
    x = np.column_stack([np.ones(N), DATA["x"]])
    weight = mu * (2 * mu - y)
    spread = np.einsum("ij,jk,ik->i", x, np.linalg.inv(x.T @ (weight[:, None] * x)), x)
    np.testing.assert_allclose(res.influence().hat, weight * spread, rtol=1e-7)
    distance = ((y - mu) * mu / (1 - weight * spread)) ** 2 * spread / (2 * res.scale)
    np.testing.assert_allclose(res.influence().cooks_distance, distance, rtol=1e-6)


@pytest.mark.parametrize(("y", "family"), [("count", "poisson"), ("won", "binomial"), ("y", "gaussian")])
def test_a_frequency_is_so_many_rows(y, family):
    weighted = jg.glm(f"{y} ~ x + f", DATA, family=family, freq_weights="k")
    repeated = jg.glm(f"{y} ~ x + f", DATA.loc[DATA.index.repeat(DATA["k"])], family=family)
    first = ~repeated.labels.index.duplicated()
    ours, theirs = weighted.influence(), repeated.influence()
    np.testing.assert_allclose(ours.frame(), theirs.frame()[first], rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(ours.dfbetas, theirs.dfbetas[first], rtol=1e-7, atol=1e-10)
    assert np.sum(DATA["k"] * ours.hat) == pytest.approx(4.0, rel=SAME)
    a, b = (r.diagnose().frame()[["statistic", "p_value"]].to_numpy(float) for r in (weighted, repeated))
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_scale_of_probability_weights_does_not_matter():
    one, ten = (
        jg.glm("won ~ x", DATA.assign(p=c * DATA["w"]), family="binomial", prob_weights="p").influence()
        for c in (1, 10)
    )
    np.testing.assert_allclose(one.frame(), ten.frame(), rtol=1e-7, atol=1e-12)


def test_streams_and_devices_give_the_same(logit):
    parts = [DATA.iloc[:40], DATA.iloc[40:41], DATA.iloc[41:]]
    stream = jg.glm("won ~ x + f", lambda: iter(parts), family="binomial")
    mesh = jg.glm("won ~ x + f", DATA, family="binomial", devices="all")
    want = logit.influence()
    for other in (stream, mesh):
        infl = other.influence()
        np.testing.assert_allclose(infl.frame(), want.frame(), rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(infl.dfbetas, want.dfbetas, rtol=1e-7, atol=1e-10)
        a, b = (r.diagnose().frame() for r in (other, logit))
        np.testing.assert_allclose(a["statistic"].astype(float), b["statistic"].astype(float), rtol=1e-6)
        assert list(a["verdict"]) == list(b["verdict"])


def test_rows_in_single_precision(logit):
    single = jg.glm("won ~ x + f", DATA, family="binomial", precision="float32")
    frame, want = single.influence().frame(), logit.influence().frame()
    np.testing.assert_allclose(frame, want, rtol=1e-4, atol=1e-5)
    ours, theirs = (r.diagnose().frame()["statistic"].astype(float) for r in (single, logit))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


@pytest.mark.parametrize("by", ["cooks_distance", "hat", "resid_studentized"])
def test_the_top_are_the_largest(logit, by):
    whole = logit.influence().frame()
    top = logit.influence().top(7, by=by)
    order = whole[by].abs().sort_values(ascending=False).index[:7]
    assert set(top.index) == set(order) and top[by].abs().is_monotonic_decreasing
    np.testing.assert_allclose(top, whole.loc[top.index], rtol=SAME)
    assert len(logit.influence().top(10_000)) == N
    text = repr(logit.influence())
    assert all(label in text for label in logit.influence().top(10).index)


def test_errors_say_what_to_do(logit, two):
    with pytest.raises(jg.InputError, match="cooks_distance"):
        logit.influence().top(3, by="cooks")
    with pytest.raises(jg.InputError, match="at least 1, not 0"):
        logit.influence().top(0)
    with pytest.raises(jg.InputTypeError, match="whole number"):
        logit.influence().top(2.5)
    with pytest.raises(jg.NotAvailableError, match="dffits needs"):
        two.influence().dffits  # noqa: B018
    lean = jg.glm("won ~ x + f", DATA, family="binomial", keep_data=False)
    with pytest.raises(jg.NotAvailableError, match="keep_data=True"):
        lean.influence()


def test_aliased_columns_have_no_change():
    with pytest.warns(jg.AliasWarning):
        res = jg.glm("y ~ x + I(2 * x) + z", DATA)
    plain = jg.glm("y ~ x + z", DATA).influence()
    infl = res.influence()
    assert infl.dfbetas["I(2 * x)"].isna().all()
    np.testing.assert_allclose(infl.frame(), plain.frame(), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(infl.dfbetas.drop(columns="I(2 * x)"), plain.dfbetas, rtol=1e-7, atol=1e-12)


def test_as_few_rows_as_coefficients():
    res = jg.glm("y ~ x", DATA.iloc[:2])
    frame = res.influence().frame()
    assert (frame["hat"] == 1.0).all() and frame["cooks_distance"].isna().all()
    assert res.diagnose()["influential rows"].verdict == "problem"
