"""Pictures: what is drawn is what was computed, by another way."""

import warnings
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

import jaxglm as jg
from jaxglm.inference import counts, intervals
from jaxglm.plot import calibration, coefficients, influence, names, quantiles, residuals, rootogram
from jaxglm.plot.base import level_ticks, log_axis, ratio_ticks
from jaxglm.plot.smoother import smooth
from jaxglm.results import Results

matplotlib.use("Agg")

#: The same numbers by another order of additions.
SAME = 1e-9
#: Incomplete beta and gamma functions of two libraries.
SPECIAL = 1e-8

N = 240
_rng = np.random.default_rng(11)
DATA = pd.DataFrame(
    {"x": _rng.normal(size=N), "f": _rng.choice(["low", "mid", "high"], N), "w": _rng.integers(1, 4, N)}
)
_eta = 0.4 + 0.5 * DATA["x"] + 0.4 * (DATA["f"] == "mid")
DATA["won"] = np.where(_rng.uniform(size=N) < 1 / (1 + np.exp(-_eta)), "yes", "no")
DATA["visits"] = _rng.poisson(np.exp(_eta))
DATA["claims"] = _rng.poisson(np.exp(_eta) * _rng.gamma(1.25, 0.8, N))
DATA["cost"] = _rng.gamma(2.0, np.exp(_eta))
DATA["trials"] = _rng.integers(2, 9, N)
DATA["wins"] = _rng.binomial(DATA["trials"], 1 / (1 + np.exp(-_eta)))
DATA["survey"] = _rng.uniform(10.0, 90.0, N)


@pytest.fixture(autouse=True)
def _unchanged():
    """No picture changes a setting; every figure is closed."""
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    yield
    pyplot.close("all")
    assert dict(matplotlib.rcParams) == before


@pytest.fixture(scope="module")
def fits():
    made = {
        "logit": jg.glm("won ~ x + f", DATA, family="binomial"),
        "poisson": jg.glm("visits ~ x + f", DATA, family="poisson"),
        "negative binomial": jg.glm("claims ~ x + f", DATA, family="negative_binomial"),
        "gamma": jg.glm("cost ~ x + f", DATA, family="gamma", link="log"),
        "trials": jg.glm("cbind(wins, trials - wins) ~ x", DATA, family="binomial"),
        "quasi": jg.glm("claims ~ x + f", DATA, family="quasipoisson"),
        "two": jg.glm({"mean": "claims ~ x", "dispersion": "~ f"}, DATA, family="negative_binomial"),
        "frequency": jg.glm("visits ~ x", DATA, family="poisson", freq_weights="w"),
        "survey": jg.glm("visits ~ x", DATA, family="poisson", prob_weights="survey"),
        "survey logit": jg.glm("won ~ x", DATA, family="binomial", prob_weights="survey"),
        "few": jg.glm("visits ~ 1", DATA.head(6), family="poisson"),
    }
    return SimpleNamespace(**{key.replace(" ", "_"): value for key, value in made.items()})


@pytest.fixture
def leverages(monkeypatch):
    """Leverages by least squares where results have none of their own."""
    if hasattr(Results, "influence"):
        return

    def stand_in(res):
        mu, x = res.fittedvalues, pd.get_dummies(DATA[["x", "f"]], dtype=float).to_numpy()
        pearson, working, response = (res.resid(kind).to_numpy() for kind in ("pearson", "working", "response"))
        weight = np.divide(pearson, working, out=np.ones(len(mu)), where=response != 0) ** 2
        q = np.linalg.qr(np.column_stack([np.sqrt(weight), np.sqrt(weight)[:, None] * x[: len(mu), :3]]))[0]
        hat = np.sum(q**2, axis=1)
        cook = pearson**2 / res.scale * hat / (1 - hat) ** 2 / (res.nobs - res.df_resid)
        return SimpleNamespace(hat=pd.Series(hat, mu.index), cooks_distance=pd.Series(cook, mu.index))

    monkeypatch.setattr(Results, "influence", stand_in, raising=False)


def texts(ax):
    return [t.get_text() for t in ax.texts]


# -- smoother ------------------------------------------------------------------------------------------------------


def test_the_smoother_reproduces_lines_and_follows_curves():
    x = np.sort(np.random.default_rng(0).uniform(-2, 3, 400))
    line = smooth(x, 2.0 - 3.0 * x)
    np.testing.assert_allclose(line.mean, 2.0 - 3.0 * line.x, atol=1e-9)
    bent = smooth(x, np.sin(x), span=0.15)
    # Local lines miss a curve by about its second derivative times the squared half width of the window, over 10.
    assert np.max(np.abs(bent.mean - np.sin(bent.x))) < 0.03


def test_the_smoother_at_one_place_is_a_weighted_regression():
    rng = np.random.default_rng(1)
    x, y = np.sort(rng.uniform(size=60)), rng.normal(size=60)
    weight, count = rng.uniform(0.5, 2, 60), rng.integers(1, 4, 60).astype(float)
    found, at = smooth(x, y, weight, count, span=0.5, places=5), 2
    place, w = found.x[at], weight * count
    order = np.argsort(np.abs(x - place))
    width = np.abs(x - place)[order][np.searchsorted(np.cumsum(w[order]), 0.5 * w.sum())]
    kernel = w * np.clip(1 - (np.abs(x - place) / (width * (1 + 1e-6))) ** 3, 0, None) ** 3
    design = np.column_stack([np.ones(60), x - place])
    want = np.linalg.lstsq(design * np.sqrt(kernel)[:, None], y * np.sqrt(kernel), rcond=None)[0][0]
    assert found.mean[at] == pytest.approx(want, rel=1e-9)
    repeated = smooth(
        np.repeat(x, count.astype(int)),
        np.repeat(y, count.astype(int)),
        np.repeat(weight, count.astype(int)),
        span=0.5,
        places=5,
    )
    np.testing.assert_allclose(repeated.mean, found.mean, rtol=1e-9)


def test_the_band_of_the_smoother_covers_and_many_points_change_little():
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(60):
        x = rng.uniform(size=250)
        found = smooth(x, rng.normal(0, 1 + x, 250), places=9)
        inside.append(np.abs(found.mean) < 1.96 * found.se)
    # 540 dependent places; the standard error of the share is about 0.015.
    assert 0.90 < np.mean(inside) < 0.98
    x = rng.uniform(size=5000)
    y = np.cos(3 * x) + rng.normal(size=5000)
    found = smooth(x, y)
    near = np.argmin(np.abs(found.x - 0.5))
    k = np.argsort(np.abs(x - found.x[near]))[:2500]
    kernel = (1 - (np.abs(x[k] - found.x[near]) / np.abs(x[k] - found.x[near]).max()) ** 3) ** 3
    slope = np.polyfit(x[k] - found.x[near], y[k], 1, w=np.sqrt(kernel))
    assert found.mean[near] == pytest.approx(slope[1], abs=2e-3)


@pytest.mark.parametrize("x", [np.zeros(9), np.array([1.0, 2.0]), np.array([]), np.repeat([0.0, 1.0, 2.0, 3.0], 5)])
def test_too_few_distinct_values_have_no_smooth_line(x):
    assert smooth(x, np.ones(len(x))) is None


# -- coefficients --------------------------------------------------------------------------------------------------


def test_a_forest_shows_the_intervals_of_the_table(fits):
    ax = fits.logit.plot.coefficients(exponentiate=True, alpha=0.1)
    table = fits.logit.tidy(conf_int=True, alpha=0.1, exponentiate=True).iloc[1:]
    segments = np.array([s[:, 0] for s in ax.collections[0].get_segments()])
    np.testing.assert_allclose(segments, table[["conf_low", "conf_high"]], rtol=SAME)
    dots = np.concatenate([c.get_offsets() for c in ax.collections[1:3]])
    np.testing.assert_allclose(np.sort(dots[:, 0]), np.sort(table["estimate"]), rtol=SAME)
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "Odds ratio"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["x", "f = low", "f = mid"]
    shown = dict(zip(["x", "f = low", "f = mid"], texts(ax), strict=True))
    assert shown["x"].startswith(f"{table['estimate'].iloc[0]:.2f}")


def test_a_forest_leaves_out_and_sorts_as_asked(fits):
    both = [t.get_text() for t in fits.two.plot.coefficients().get_yticklabels()]
    assert both == ["mean", "x", "dispersion", "f = low", "f = mid"]
    assert len(fits.negative_binomial.plot.coefficients().get_yticks()) == 3
    ax = fits.gamma.plot.coefficients(sort=True, intercept=True)
    drawn = [t.get_text() for t in ax.get_yticklabels()]
    order = fits.gamma.params.sort_values(ascending=False).index
    assert drawn == [names.readable(name) for name in order]
    one = fits.gamma.plot.coefficients(only="x")
    assert [t.get_text() for t in one.get_yticklabels()] == ["x"]
    with pytest.raises(jg.errors.InputError, match="'xx'.*'x'"):
        fits.gamma.plot.coefficients(only=["xx"])
    with pytest.raises(jg.errors.InputError, match="between 0 and 1"):
        fits.gamma.plot.coefficients(alpha=5)
    with pytest.raises(jg.errors.NotAvailableError, match="intercept=True"):
        fits.few.plot.coefficients()


def test_estimates_that_are_not_there_say_so():
    data = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6, 7, 8], "z": [1.0, -1, 1, 2, -2, 0, 1, 1]})
    data["y"], data["x2"], data["n"] = (data["x"] > 4).astype(int), 2 * data["x"], [1, 2, 2, 3, 2, 5, 4, 6]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apart = jg.glm("y ~ x", data, family="binomial")
        alias = jg.glm("n ~ x + x2 + z", data, family="poisson")
    ax = apart.plot.coefficients()
    assert texts(ax) == ["no finite estimate"] and len(ax.collections[-1].get_offsets()) == 1
    assert texts(alias.plot.coefficients())[1] == "aliased, not estimated"


@pytest.mark.parametrize(
    ("name", "text"),
    [("x", "x"), ("C(f)[T.b]", "f = b"), ("f[T.low]", "f = low"), ("C(f, Treatment('a'))[T.b: c]", "f = b: c"),
     ("C(f)[T.b]:x", "f = b × x"), ("np.log(x):f[T.b]", "np.log(x) × f = b"), ("bs(x, df=4)[2]", "bs(x, df=4)[2]"),
     ("factor(g)[T.1.5]", "g = 1.5"), ("a" * 60, "a" * 23 + "…" + "a" * 22)],
)  # fmt: skip
def test_names_are_readable(name, text):
    assert names.readable(name) == text


@pytest.mark.parametrize(
    ("low", "high", "want"),
    [(0.4, 4.2, [0.5, 0.7, 1, 1.5, 2, 3]), (0.08, 12, [0.1, 0.2, 0.5, 1, 2, 5, 10]), (0.003, 900, [0.01, 0.1, 1, 10, 100]),
     (0.82, 1.33, [0.9, 1.0, 1.1, 1.2, 1.3]), (1e-9, 1e9, 10.0 ** np.array([-9, -6, -3, 0, 3, 6, 9]))],
)  # fmt: skip
def test_ticks_of_ratios_are_round(low, high, want):
    np.testing.assert_allclose(ratio_ticks(low, high), want, rtol=1e-12)


def test_ticks_are_written_as_numbers():
    ax = Figure().subplots()
    ax.set_xscale("log")
    ax.set_xlim(0.4, 4.2)
    log_axis(ax.xaxis, 0.4, 4.2)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.5", "0.7", "1", "1.5", "2", "3"]


@pytest.mark.parametrize(
    ("values", "ratio", "text"),
    [((0.26183, 0.0061, 0.5173), False, "0.26  (0.01, 0.52)"), ((-3.83, -7.98, 0.318), False, "−3.8  (−8.0, 0.3)"),
     ((2.7e-4, -0.0031, 0.0034), False, "0.0003  (−0.0031, 0.0034)"), ((1.9, 1.003, 3.52), True, "1.90  (1.00, 3.52)"),
     ((1.0545, 1.0371, 1.0712), True, "1.054  (1.037, 1.071)"), ((0.14, 0.00213, 9.82), True, "0.14  (0.0021, 9.82)"),
     ((12345.6, 12000.0, 12700.0), False, "12,346  (12,000, 12,700)"), ((np.nan, np.nan, np.inf), False, "?  (?, ∞)")],
)  # fmt: skip
def test_numbers_have_the_digits_that_they_are_worth(values, ratio, text):
    assert coefficients.numbers(*values, ratio) == text


# -- residuals -----------------------------------------------------------------------------------------------------


def test_residuals_are_those_of_the_result(fits):
    for res, kind in ((fits.gamma, "quantile"), (fits.quasi, "deviance")):
        ax = res.plot.residuals()
        drawn = np.asarray(ax.collections[0].get_offsets())
        np.testing.assert_allclose(drawn[:, 1], res.resid(kind), rtol=SAME)
        np.testing.assert_allclose(drawn[:, 0], res.fittedvalues, rtol=SAME)
        assert ax.get_ylabel() == f"{kind.capitalize()} residual"
    ax = fits.gamma.plot.residuals(kind="pearson", against="linear", absolute=True)
    drawn = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(
        drawn, np.column_stack([fits.gamma.linear_predictor, np.sqrt(np.abs(fits.gamma.resid("pearson")))]), rtol=SAME
    )


def test_residuals_against_a_column(fits):
    ax = fits.frequency.plot.residuals(against="f", kind="pearson")
    values = fits.frequency.resid("pearson")
    for k, level in enumerate(["high", "low", "mid"]):
        here = DATA["f"] == level
        part, w = values[here], DATA["w"][here]
        spread = stats.sem(np.repeat(part, w))
        mean = np.average(part, weights=w)
        lower, upper = ax.containers[k].lines[2][0].get_segments()[0][:, 1]
        np.testing.assert_allclose([lower, upper], [mean - 1.959964 * spread, mean + 1.959964 * spread], rtol=1e-6)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["high", "low", "mid"]
    drawn = np.asarray(fits.gamma.plot.residuals(against="w").collections[0].get_offsets())
    np.testing.assert_array_equal(drawn[:, 0], DATA["w"])
    with pytest.raises(jg.errors.InputError, match="against= must be .*'fff'"):
        fits.gamma.plot.residuals(against="fff")
    with pytest.raises(jg.errors.InputError, match="unknown kind"):
        fits.gamma.plot.residuals(kind="deviant")


def test_shifts_of_points_do_not_depend_on_random_residuals(fits):
    drawn = np.asarray(fits.logit.plot.residuals(against="f").collections[0].get_offsets())
    shift = drawn[:, 0] - np.round(drawn[:, 0])
    # 4 standard errors of a correlation of 240 independent pairs.
    assert abs(np.corrcoef(shift, drawn[:, 1])[0, 1]) < 4 / np.sqrt(N)


def test_many_rows_are_counted_in_cells_and_a_wide_mean_has_a_log_axis():
    rng = np.random.default_rng(3)
    n = residuals.marks.MOST_POINTS + 500
    ax = Figure().subplots()
    x = np.exp(rng.normal(size=n))
    note = residuals.draw_cloud(ax, x, rng.normal(size=n), np.ones(n), np.ones(n), 0.0, 2.0, None, True)
    assert ax.collections[0].get_array().sum() == n and f"{n:,} rows" in note
    assert ax.get_xscale() == "log" and {"0.1", "1", "10"} <= {t.get_text() for t in ax.get_xticklabels()}


# -- Q-Q -----------------------------------------------------------------------------------------------------------


def test_order_limits_are_those_of_the_beta_distribution():
    k = np.array([1, 3, 10, 20])
    want = np.column_stack([stats.beta.ppf(p, k, 21 - k) for p in (0.05, 0.95)])
    np.testing.assert_allclose(intervals.order_limits(k, 20, 0.1), want, rtol=SPECIAL)


def test_the_band_covers_a_normal_sample_point_by_point():
    rng = np.random.default_rng(4)
    out = [quantiles.positions(np.sort(rng.normal(size=50)), np.ones(50), 0.1)[2].mean() for _ in range(400)]
    # Points of a sample are dependent: the mean share has a standard error of 0.0056 (60 seeds), of which 0.017 is 3.
    assert np.mean(out) == pytest.approx(0.1, abs=0.017)


def test_points_are_sorted_residuals_and_thinned_only_between_the_tails(fits):
    ax = fits.gamma.plot.qq()
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections[1:]])
    drawn = drawn[np.argsort(drawn[:, 0])]
    np.testing.assert_allclose(drawn[:, 1], np.sort(fits.gamma.resid("quantile")), rtol=SAME)
    np.testing.assert_allclose(drawn[:, 0], stats.norm.ppf((np.arange(N) + 0.5) / N), rtol=SPECIAL)
    flat = fits.gamma.plot.qq(detrend=True)
    other = np.concatenate([np.asarray(c.get_offsets()) for c in flat.collections[1:]])
    np.testing.assert_allclose(other[np.argsort(other[:, 0]), 1], drawn[:, 1] - drawn[:, 0], atol=1e-9)
    rows = quantiles.thin(100_000)
    assert len(rows) == 3000 and np.all(np.diff(rows) > 0)
    assert np.array_equal(rows[:500], np.arange(500)) and np.array_equal(rows[-500:], np.arange(99_500, 100_000))
    values = np.sort(np.random.default_rng(5).normal(size=20_000))
    place, band, _ = quantiles.positions(values, np.ones(20_000), 0.05)
    k = np.array([700, 5001, 12_345])
    want = stats.norm.ppf(stats.beta.ppf(0.975, k + 1, 20_000 - k))
    np.testing.assert_allclose(band[k, 1], want, atol=1e-5)


def test_a_replicated_row_is_as_many_points():
    values, freq = np.array([-1.0, 0.2, 0.9]), np.array([1.0, 3.0, 2.0])
    place, band, _ = quantiles.positions(values, freq, 0.05)
    all_places, all_bands, _ = quantiles.positions(np.repeat(values, freq.astype(int)), np.ones(6), 0.05)
    assert place[1] == pytest.approx(all_places[2]) and band[1] == pytest.approx(all_bands[2])


def test_families_without_a_distribution_say_what_to_do(fits):
    with pytest.raises(jg.errors.NotAvailableError, match="distribution function"):
        fits.quasi.plot.qq()
    with pytest.raises(jg.errors.InputError, match="no standard distribution"):
        fits.gamma.plot.qq(kind="response")
    ax = fits.quasi.plot.qq(kind="deviance")
    drawn = np.concatenate([np.asarray(c.get_offsets())[:, 1] for c in ax.collections[1:]])
    want = fits.quasi.resid("deviance") / np.sqrt(fits.quasi.scale)
    np.testing.assert_allclose(np.sort(drawn), np.sort(want), rtol=SAME)


# -- influence -----------------------------------------------------------------------------------------------------


def test_contours_and_points_agree_on_cooks_distance(fits, leverages):
    ax = fits.gamma.plot.influence(label=3)
    found = fits.gamma.influence()
    drawn = np.asarray(ax.collections[0].get_offsets())
    hat = found.hat.to_numpy()
    np.testing.assert_allclose(drawn[:, 0], hat, rtol=SAME)
    want = fits.gamma.resid("pearson") / np.sqrt(fits.gamma.scale * (1 - hat))
    np.testing.assert_allclose(drawn[:, 1], want, rtol=1e-7)
    named = found.cooks_distance.nlargest(3).index
    assert {str(i) for i in named} >= set(texts(ax)) - {"mean", "Cook 0.5", "Cook 1"}
    assert texts(ax)[-1] in {str(i) for i in named}


def test_contours_are_where_cooks_distance_has_its_value():
    ax = Figure().subplots()
    hat, residual = np.linspace(0.05, 0.6, 12), np.linspace(-3, 3, 12)
    cook = residual**2 * hat / (1 - hat) / 3
    influence.draw_rows(ax, hat, residual, cook, 3, list("abcdefghijkl"), 2)
    h, y = ax.lines[-1].get_data()
    value = y**2 * h / (1 - h) / 3
    assert np.ptp(value) < 1e-9 and value[0] == pytest.approx(1.0)
    np.testing.assert_allclose(influence.standardized(hat, cook, residual, 3), residual, rtol=1e-9)
    assert np.isnan(influence.standardized(np.array([1.0]), np.array([np.nan]), np.array([0.0]), 3)[0])


@pytest.mark.parametrize("label", [-1, "x", True, 1.5])
def test_the_number_of_names_is_checked(fits, label):
    with pytest.raises((jg.errors.InputError, jg.errors.InputTypeError), match="number of rows"):
        fits.gamma.plot.influence(label=label)


# -- rootogram -----------------------------------------------------------------------------------------------------


def expected(res, m):
    """Expected frequencies by scipy, (m,), with weight 1."""
    mu, k = res.fittedvalues.to_numpy(), np.arange(m)[:, None]
    if "alpha" in res.params.index:
        size = 1.0 / res.params["alpha"]
        return stats.nbinom.pmf(k, size, size / (size + mu))
    return stats.poisson.pmf(k, mu)


def test_expected_counts_are_sums_of_probabilities(fits):
    for res, y in ((fits.poisson, DATA["visits"]), (fits.negative_binomial, DATA["claims"])):
        table = counts.count_table(res.fit)
        m = int(y.max()) + 1
        np.testing.assert_allclose(table.expected[:-1], expected(res, m).sum(axis=1), rtol=SPECIAL, atol=1e-10)
        np.testing.assert_array_equal(table.observed, np.append(np.bincount(y), 0))
        assert table.expected.sum() == pytest.approx(N, rel=1e-12)
    table, mu = counts.count_table(fits.trials.fit), fits.trials.fittedvalues.to_numpy()
    want = [stats.binom.pmf(k, DATA["trials"], mu).sum() for k in range(int(DATA["wins"].max()) + 1)]
    np.testing.assert_allclose(table.expected[:-1], want, rtol=SPECIAL)


def test_counts_are_weighed(fits):
    w = DATA["w"].to_numpy(float)
    table = counts.count_table(fits.frequency.fit)
    np.testing.assert_allclose(table.observed[:-1], np.bincount(DATA["visits"], w), rtol=SAME)
    np.testing.assert_allclose(table.expected[:-1], expected(fits.frequency, len(table.observed) - 1) @ w, rtol=SPECIAL)
    w = DATA["survey"].to_numpy()
    w = w * w.sum() / np.sum(w**2)
    table = counts.count_table(fits.survey.fit)
    np.testing.assert_allclose(table.observed[:-1], np.bincount(DATA["visits"], w), rtol=SAME)
    np.testing.assert_allclose(table.expected[:-1], expected(fits.survey, len(table.observed) - 1) @ w, rtol=SPECIAL)


def test_few_rows_at_even_steps_of_the_mean_stand_for_many(fits, monkeypatch):
    exact = counts.count_table(fits.negative_binomial.fit)
    monkeypatch.setattr(counts, "_MOST", 60 * len(exact.observed))
    monkeypatch.setattr(counts, "_ROWS", 10)
    part = counts.count_table(fits.negative_binomial.fit)
    assert part.n_used < 70 and part.expected.sum() == pytest.approx(N)
    np.testing.assert_allclose(part.expected, exact.expected, rtol=0.02, atol=0.02)


def test_bars_hang_from_the_expected_line(fits):
    table = counts.count_table(fits.poisson.fit)
    low, seen, meant = rootogram.grouped(table, 1)
    ax = fits.poisson.plot.rootogram()
    bars = sorted((b for c in ax.containers for b in c), key=lambda b: b.get_x())
    ends = np.array([[b.get_y(), b.get_y() + b.get_height()] for b in bars])
    np.testing.assert_allclose(ends[:, 1], np.sqrt(meant), rtol=SAME)
    np.testing.assert_allclose(ends[:, 1] - ends[:, 0], np.sqrt(seen), atol=1e-9)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.sqrt(meant), rtol=SAME)
    assert [t.get_text() for t in ax.get_xticklabels()][-1] == f"{low[-1]}+"
    gaps = sorted(
        (b for c in fits.poisson.plot.rootogram(style="suspended").containers for b in c), key=lambda b: b.get_x()
    )
    np.testing.assert_allclose([b.get_height() for b in gaps], np.sqrt(meant) - np.sqrt(seen), atol=1e-9)
    low, seen, meant = rootogram.grouped(counts.Counts(np.arange(8.0), np.ones(8), 1), 3)
    assert (low.tolist(), seen.tolist(), meant.tolist()) == ([0, 3, 6, 7], [3, 12, 6, 7], [3, 3, 1, 1])
    assert [rootogram.round_width(m) for m in (45, 46, 100, 451)] == [1, 2, 5, 20]


def test_rootograms_are_for_counts(fits):
    with pytest.raises(jg.errors.NotAvailableError, match="gives no probability"):
        fits.gamma.plot.rootogram()
    with pytest.raises(jg.errors.NotAvailableError, match="gives no probability"):
        fits.quasi.plot.rootogram()
    half = jg.fit(DATA[["x"]], DATA["visits"] + 0.5, "poisson")
    with pytest.raises(jg.errors.NotAvailableError, match="no whole numbers"):
        half.plot.rootogram()
    improper = jg.custom_family(lambda y, eta, aux: 0.5 * (y - eta[0]) ** 2 - 1.0, mean=lambda eta, aux: eta[0])
    with pytest.raises(jg.errors.NotAvailableError, match="sum to more than 1"):
        jg.fit(DATA[["x"]], DATA["visits"], improper).plot.rootogram()
    for options in ({"width": 0}, {"width": 1.5}, {"style": "hangin"}):
        with pytest.raises(jg.errors.InputError, match="hanging|whole number"):
            fits.poisson.plot.rootogram(**options)


# -- calibration ---------------------------------------------------------------------------------------------------


def test_bins_of_a_calibration_are_those_of_numpy(fits):
    p, y = fits.logit.fittedvalues.to_numpy(), (DATA["won"] == "yes").to_numpy(float)
    found = calibration.binned(p, y, np.ones(N), np.ones(N), 6, 0.05, 1.0)
    parts = np.array_split(np.argsort(p, kind="stable"), 6)
    np.testing.assert_allclose(found.predicted, [p[i].mean() for i in parts], rtol=SAME)
    np.testing.assert_allclose(found.proportion, [y[i].mean() for i in parts], rtol=SAME)
    want = [proportion_confint(y[i].sum(), len(i), 0.05, "wilson") for i in parts]
    np.testing.assert_allclose(np.column_stack([found.low, found.high]), want, rtol=1e-8)
    ax = fits.logit.plot.calibration(bins=6)
    drawn = np.asarray(ax.collections[-1].get_offsets())
    np.testing.assert_allclose(drawn, np.column_stack([found.predicted, found.proportion]), rtol=SAME)
    heights = np.array([b.get_height() for b in ax.containers[0]])
    assert heights.sum() / heights.max() * np.histogram(p, 40, (0, ax.lines[0].get_xdata()[1]))[
        0
    ].max() == pytest.approx(N)
    assert ax.get_ylabel() == "Observed proportion of won = yes"


def test_calibration_is_weighed(fits):
    p, y, w = (
        fits.survey_logit.fittedvalues.to_numpy(),
        (DATA["won"] == "yes").to_numpy(float),
        DATA["survey"].to_numpy(),
    )
    ax = fits.survey_logit.plot.calibration(bins=1)
    drawn = np.asarray(ax.collections[-1].get_offsets())[0]
    np.testing.assert_allclose(drawn, [np.average(p, weights=w), np.average(y, weights=w)], rtol=SAME)
    low, high = ax.collections[-2].get_segments()[0][:, 1]
    n = w.sum() ** 2 / np.sum(w**2)
    np.testing.assert_allclose([low, high], proportion_confint(drawn[1] * n, n, 0.05, "wilson"), rtol=1e-8)
    trials = calibration.binned(
        np.full(3, 0.5), np.array([0.5, 0.25, 1.0]), np.ones(3), np.array([2.0, 4.0, 1.0]), 3, 0.05, 1.0
    )
    assert trials.size.tolist() == [7.0] and trials.proportion[0] == pytest.approx(3 / 7)


def test_calibration_is_for_probabilities(fits):
    with pytest.raises(jg.errors.NotAvailableError, match="no probability"):
        fits.poisson.plot.calibration()
    for bins in (0, 2.5, True):
        with pytest.raises((jg.errors.InputError, jg.errors.InputTypeError), match="bins"):
            fits.logit.plot.calibration(bins=bins)


# -- effect --------------------------------------------------------------------------------------------------------


def test_an_effect_by_another_column(fits):
    ax = fits.gamma.plot.effect("x", by="f", points=False)
    for k, level in enumerate(["high", "low", "mid"]):
        grid, mean = ax.lines[k].get_data()
        want = fits.gamma.predict(pd.DataFrame({"x": grid, "f": level}))
        np.testing.assert_allclose(mean, want, rtol=1e-10)
    assert {f"f = {level}" for level in ("high", "low", "mid")} == set(texts(ax))
    sides = fits.gamma.plot.effect("f", by="x", points=False)
    values = [DATA["x"].mean() + k * DATA["x"].std(ddof=0) for k in (-1, 0, 1)]
    for k, value in enumerate(values):
        want = fits.gamma.predict(pd.DataFrame({"x": value, "f": ["high", "low", "mid"]}))
        np.testing.assert_allclose(sides.containers[k].lines[0].get_ydata().astype(float), want, rtol=1e-10)
    for bad in ({"by": "x"}, {"by": "g"}, {"by": "f", "at": {"f": "low"}}):
        with pytest.raises(jg.errors.InputError, match="another column"):
            fits.gamma.plot.effect("x", **bad)


def test_numbers_that_are_a_factor_have_levels():
    data = DATA.assign(month=_rng.integers(1, 5, N))
    res = jg.glm("visits ~ x + C(month)", data, family="poisson")
    ax = res.plot.effect("month")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "3", "4"]
    want = res.predict(pd.DataFrame({"x": data["x"].mean(), "month": [1, 2, 3, 4]}))
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata().astype(float), want, rtol=1e-10)
    assert f"month = {data['month'].mode()[0]}" in res.plot.effect("x").get_title(loc="left")
    with pytest.raises(jg.errors.UnseenLevelError, match="9"):
        res.plot.effect("x", at={"month": 9})


def test_far_points_do_not_flatten_an_effect_and_are_counted():
    data = pd.DataFrame({"x": np.arange(100.0), "y": np.ones(100)})
    data.loc[50, "y"] = 1000.0
    ax = jg.glm("y ~ x", data, family="gamma", link="log").plot.effect("x")
    assert ax.get_ylim()[1] < 1000.0 and ax.get_title(loc="left").endswith("1 point above the axis")


# -- all of them ---------------------------------------------------------------------------------------------------

PAGES = {
    "logit": ["Quantile residual", "Quantile residual", "Observed proportion of won = yes", "Standardized Pearson residual"],
    "negative_binomial": ["Quantile residual", "Quantile residual", "√frequency", "Standardized Pearson residual"],
    "gamma": ["Quantile residual", "Quantile residual", "Standardized Pearson residual", "√|quantile residual|"],
    "quasi": ["Deviance residual", "Deviance residual / √dispersion", "Standardized Pearson residual", "√|deviance residual|"],
}  # fmt: skip


def tick_labels(axis):
    """Labels of the ticks that are drawn: those within the limits."""
    low, high = sorted(axis.get_view_interval())
    return [t for t, at in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True) if low <= at <= high]


def overlaps(ax):
    """Pairs of tick labels of an axis, or of names within the axes, that hide each other."""
    found = []
    for group in (tick_labels(ax.xaxis), tick_labels(ax.yaxis), ax.texts):
        boxes = [t.get_window_extent() for t in group if t.get_text() and t.get_visible() and not t.get_rotation()]
        found += [
            (a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.shrunk(0.9, 0.9).overlaps(b.shrunk(0.9, 0.9))
        ]
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_is_drawn_without_clipped_or_colliding_text(fits, leverages, name, tmp_path):
    res = getattr(fits, name)
    page = res.plot.diagnostics()
    assert [ax.get_ylabel() for ax in page.flat] == PAGES[name]
    pictures = [page, res.plot.coefficients(), res.plot.effect("x"), res.plot.effect("f", by="x")]
    for k, axes in enumerate(pictures):
        figure = np.ravel(axes)[0].figure
        figure.savefig(tmp_path / f"{k}.png")
        size = figure.bbox
        for ax in np.ravel(axes):
            assert not overlaps(ax), (name, k)
            for text in (ax.xaxis.label, ax.yaxis.label, ax._left_title, *ax.texts, *tick_labels(ax.yaxis)):
                box = text.get_window_extent()
                assert not text.get_text() or (
                    box.x0 >= -1 and box.x1 <= size.x1 + 1 and box.y0 >= -1 and box.y1 <= size.y1 + 1
                ), (name, k, text)
        assert (tmp_path / f"{k}.png").stat().st_size > 5000


def test_pictures_go_on_given_axes_and_nothing_is_registered(fits, leverages):
    from matplotlib import pyplot

    plot = fits.logit.plot
    for draw in (
        plot.coefficients,
        plot.residuals,
        plot.qq,
        plot.influence,
        plot.calibration,
        fits.poisson.plot.rootogram,
    ):
        ax = Figure().subplots()
        assert draw(ax=ax) is ax and ax.get_xlabel()
    assert not pyplot.get_fignums()


def test_pictures_need_rows_and_streams_have_them(fits):
    bare = jg.glm("visits ~ x", DATA, family="poisson", keep_data=False)
    for draw in (bare.plot.residuals, bare.plot.qq, bare.plot.rootogram, bare.plot.diagnostics):
        with pytest.raises(jg.errors.NotAvailableError, match="keep_data=True"):
            draw()
    assert bare.plot.coefficients().get_xlabel() == "Coefficient (log link)"
    stream = jg.glm("visits ~ x + f", lambda: iter([DATA[:100], DATA[100:]]), family="poisson")
    drawn = np.asarray(stream.plot.residuals(kind="deviance").collections[0].get_offsets())
    np.testing.assert_allclose(drawn[:, 1], fits.poisson.resid("deviance"), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        counts.count_table(stream.fit).expected, counts.count_table(fits.poisson.fit).expected, rtol=1e-7
    )
    with pytest.raises(jg.errors.NotAvailableError, match="a stream"):
        stream.plot.residuals(against="x")


def test_a_family_of_two_predictors_without_a_distribution_has_what_it_can():
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import gammaln

    def inflated(y, eta, aux):
        rate = jnp.exp(eta[0])
        chance = jnp.where(y == 0, jnp.logaddexp(eta[1], -rate), y * eta[0] - rate - gammaln(y + 1.0))
        return jax.nn.softplus(eta[1]) - chance

    family = jg.custom_family(
        inflated, ("mean", "zero"), mean=lambda eta, aux: jnp.exp(eta[0]) * jax.nn.sigmoid(-eta[1])
    )
    y = DATA["visits"] * (np.random.default_rng(6).uniform(size=N) > 0.4)
    res = jg.glm("y ~ x", DATA.assign(y=y), family=family)
    rate, zero = np.exp(res.params.iloc[0] + res.params.iloc[1] * DATA["x"]), 1 / (1 + np.exp(-res.params.iloc[2]))
    table = counts.count_table(res.fit)
    want = [((k == 0) * zero + (1 - zero) * stats.poisson.pmf(k, rate)).sum() for k in range(len(table.observed) - 1)]
    np.testing.assert_allclose(table.expected[:-1], want, rtol=SPECIAL)
    assert residuals.default_kind(res) == "response" and res.plot.coefficients().get_xlabel() == "Coefficient"
    nothing = jg.custom_family(inflated, ("mean", "zero"))
    with pytest.raises(jg.errors.NotAvailableError, match="custom_family"):
        jg.glm("y ~ x", DATA.assign(y=y), family=nothing).plot.residuals()


def test_crowded_levels_are_slanted():
    ax = Figure(figsize=(6, 4)).subplots()
    level_ticks(ax, [f"department {k}" for k in range(12)])
    assert {t.get_rotation() for t in ax.get_xticklabels()} == {40.0}
    level_ticks(ax, list(range(60)))
    assert {t.get_rotation() for t in ax.get_xticklabels()} == {90.0}


def test_a_missing_library_is_named(fits, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(jg.errors.MissingExtraError, match=r'pip install "jaxglm\[plot\]"'):
        fits.gamma.plot.residuals()
