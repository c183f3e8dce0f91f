"""What holds for every family, by the table."""

from functools import cache, partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_table import FAMILIES, Entry
from scipy import special, stats

import jaxglm as jg
from jaxglm import families, precision
from jaxglm.families import Family
from jaxglm.kernels import row_terms

#: SciPy and we round differently; log densities here are of the size of 1 to 100.
DENSITY = 1e-11
#: Central differences of step 1e-4 with Richardson extrapolation: h^4 and rounding eps / h, eps / h^2.
STEP, FIRST, SECOND = 1e-3, 1e-8, 1e-5
#: Standard errors that a mean over samples may be off: 5 has probability 6e-7.
SIGMA = 5.0
SAMPLES = 100_000
DISTRIBUTED = [name for name, entry in FAMILIES.items() if entry.twin is not None]
#: Rounding of a deviance against the difference of log densities that it is.
DEVIANCE = 1e-10


def quick(function, **options):
    """The function jitted, and compiled quickly: called as it is, each of its operations would be compiled alone."""
    return precision.Tiered(function, **options).quick


@cache
def values(name: str) -> dict[str, np.ndarray]:
    """Everything of a family at the grid of valid y and eta, in one compile; axes are rows."""
    entry = FAMILIES[name]
    y, eta = map(np.array, zip(*product(entry.valid, entry.eta), strict=True))
    with precision.scope():
        made = _all(entry.family, jnp.asarray(y), jnp.asarray(eta)[:, None], aux_of(entry, len(y)), entry.phi)
        return {"y": y, "eta": eta} | {key: np.asarray(value) for key, value in made.items()}


@partial(quick, static_argnums=4)
def _all(family: Family, y, eta, aux, phi: float) -> dict:
    def logpdf(p):
        return jax.vmap(lambda y, e, a: family.logpdf(y, e, p, a))(y, eta, aux)

    mu = jax.vmap(family.mean)(eta, aux)
    at_mean = jax.vmap(family.unit_deviance)(mu, eta, aux)
    seen, expected = row_terms(family, y, eta, aux, True), row_terms(family, y, eta, aux, False)
    return {
        "mu": mu,
        "variance": jax.vmap(family.variance)(mu, eta, aux),
        "nll": seen.nll,
        "score": seen.score[:, 0],
        "observed": seen.curvature[:, 0, 0],
        "expected": expected.curvature[:, 0, 0],
        "deviance": jax.vmap(family.unit_deviance)(y, eta, aux),
        "deviance at the mean": at_mean,
        "logpdf": logpdf(phi),
        "logpdf at 1": logpdf(1.0),
        "start": jax.vmap(family.start, in_axes=(0, 0, None))(y, aux, jnp.mean(y))[:, 0],
        "valid": jax.vmap(family.valid)(eta),
    }


inverse = quick(lambda link, eta: link.inverse(eta))
terms_of = quick(row_terms, static_argnums=(4, 5))


@quick
def declared(family: Family, eta, aux) -> tuple:
    """Mean, variance and expected curvature at each eta."""

    def one(e):
        mu = family.mean(e, aux)
        return mu, family.variance(mu, e, aux), family.expected(mu, e, aux)[0, 0]

    return jax.vmap(one)(eta)


def aux_of(entry: Entry, n: int) -> dict:
    return {key: jnp.full(n, value) for key, value in entry.aux.items()}


def differences(function, eta, h=STEP):
    """First and second derivative by central differences of two steps, extrapolated."""

    def first(h):
        return (function(eta + h) - function(eta - h)) / (2 * h)

    def second(h):
        return (function(eta + h) - 2 * function(eta) + function(eta - h)) / h**2

    return (4 * first(h / 2) - first(h)) / 3, (4 * second(h / 2) - second(h)) / 3


def test_every_family_is_in_the_table():
    named = set(families.NAMED.values()) | {families.Tweedie, families.Quasi}
    assert {cls.name for cls in named} == set(families.NAMED) | set(families.PARAMETRIC)
    assert {type(entry.family) for entry in FAMILIES.values()} == named
    for cls in named - {c for c in named if c.canonical is None}:
        assert any(e.family.is_canonical for e in FAMILIES.values() if type(e.family) is cls)


@pytest.mark.parametrize("name", [name for name, e in FAMILIES.items() if e.family.pools and len(e.valid) > 2])
def test_where_responses_are_pooled_nll_is_linear_in_them(name):
    found = values(name)
    for eta in np.unique(found["eta"]):
        y, nll = (found[key][found["eta"] == eta] for key in ("y", "nll"))
        line = nll[0] + (y - y[0]) * (nll[-1] - nll[0]) / (y[-1] - y[0])
        np.testing.assert_allclose(nll, line, rtol=DENSITY, atol=DENSITY * np.abs(nll).max())


@pytest.mark.parametrize("name", DISTRIBUTED)
def test_density_is_scipys(name):
    entry, v = FAMILIES[name], values(name)
    np.testing.assert_allclose(v["logpdf"], entry.twin(v["y"], v["mu"], entry.phi), rtol=DENSITY, atol=DENSITY)
    np.testing.assert_allclose(v["logpdf at 1"], entry.twin(v["y"], v["mu"], 1.0), rtol=DENSITY, atol=DENSITY)


@pytest.mark.parametrize("name", DISTRIBUTED)
def test_nll_is_the_density_up_to_a_constant(name):
    """What nll leaves out is the same at every eta for each y."""
    v = values(name)
    gap = (v["nll"] + v["logpdf at 1"]).reshape(len(FAMILIES[name].valid), -1)
    np.testing.assert_allclose(gap, gap[:, :1] * np.ones_like(gap), atol=DEVIANCE)


@pytest.mark.parametrize("name", DISTRIBUTED)
def test_score_and_curvature_are_the_slopes_of_the_density(name):
    entry, v = FAMILIES[name], values(name)

    def nll(eta):
        with precision.scope():
            return -entry.twin(v["y"], np.asarray(inverse(entry.family.link, eta)), 1.0)

    first, second = differences(nll, v["eta"])
    scale = 1.0 + np.abs(nll(v["eta"]))
    assert np.max(np.abs(v["score"] - first) / scale) < FIRST
    assert np.max(np.abs(v["observed"] - second) / scale) < SECOND
    if entry.family.is_canonical:
        np.testing.assert_array_equal(v["observed"], v["expected"])


@pytest.mark.parametrize("name", DISTRIBUTED)
def test_deviance_is_what_the_density_loses(name):
    entry, v = FAMILIES[name], values(name)
    assert np.all(v["deviance"] >= 0)
    assert np.max(np.abs(v["deviance at the mean"])) < DEVIANCE
    loss = 2 * (entry.twin(v["y"], v["y"], 1.0) - entry.twin(v["y"], v["mu"], 1.0))
    np.testing.assert_allclose(v["deviance"], loss, rtol=DEVIANCE, atol=DEVIANCE)


@pytest.mark.parametrize("name", FAMILIES)
def test_samples_have_the_declared_moments(name):
    """Mean, variance, E score = 0, E observed = expected, each within SIGMA standard errors."""
    entry = FAMILIES[name]
    family, rng = entry.family, np.random.default_rng(11)
    moments = {"mean": [], "score": [], "observed": [], "variance": []}
    # The value of a quasi-likelihood is an integral for each sample.
    count = SAMPLES if entry.twin is not None else SAMPLES // 10
    with precision.scope():
        each = np.transpose(declared(family, np.array(entry.eta)[:, None], dict(entry.aux)))
    for eta, (mu, variance, expected) in zip(entry.eta, each, strict=True):
        y = entry.sample(rng, mu, 1.0, count)
        with precision.scope():
            seen = terms_of(family, y, np.full((count, 1), eta), aux_of(entry, count), True)
        score, observed = np.asarray(seen.score[:, 0]), np.asarray(seen.curvature[:, 0, 0])
        for key, draws, want in (
            ("mean", y, mu),
            ("score", score, 0.0),
            ("observed", observed, expected),
            ("variance", (y - mu) ** 2, variance),
        ):
            error = np.std(draws) / np.sqrt(count) + 1e-12
            moments[key].append(abs(np.mean(draws) - want) / error)
        assert expected > 0
        if family.variance_power is not None:
            np.testing.assert_allclose(variance, mu**family.variance_power, rtol=DEVIANCE)
    assert {key: max(z) for key, z in moments.items() if max(z) > SIGMA} == {}


@pytest.mark.parametrize("name", FAMILIES)
def test_support_boundary_and_start(name, x64):
    entry, v = FAMILIES[name], values(name)
    family = entry.family

    def over(y, function):
        return np.asarray(jax.vmap(function)(jnp.asarray(y), aux_of(entry, len(y))))

    assert over(entry.valid, family.support).all()
    assert not over(entry.invalid, family.support).any()
    ends = over(list(entry.ends), family.boundary)
    assert dict(zip(entry.ends, ends.tolist(), strict=True)) == entry.ends
    assert v["valid"].all()
    assert np.isfinite(v["start"]).all()
    started = jax.vmap(family.valid)(jnp.asarray(v["start"])[:, None])
    assert np.asarray(started).all()


@pytest.mark.parametrize("name", [n for n, e in FAMILIES.items() if any(e.ends.values())])
def test_nll_falls_toward_the_boundary_and_stays_finite(name, x64):
    entry = FAMILIES[name]
    for y, sign in entry.ends.items():
        if sign == 0:
            continue
        eta = sign * jnp.asarray([1.0, 3.0, 10.0, 40.0])[:, None]
        terms = terms_of(entry.family, jnp.full(4, y), eta, aux_of(entry, 4), True)
        assert np.all(np.diff(np.asarray(terms.nll)) < 0) or float(terms.nll[-1]) == 0
        assert np.isfinite(np.asarray(terms.nll)).all() and np.isfinite(np.asarray(terms.curvature)).all()
        assert np.all(np.asarray(terms.score)[:, 0] * sign <= 0)


@pytest.mark.parametrize(
    ("name", "eta"),
    [("poisson identity", -1.0), ("poisson sqrt", 0.0), ("gamma inverse", -0.5), ("gamma inverse", 0.0),
     ("inverse gaussian inverse_squared", -1.0), ("binomial log", 0.1), ("gaussian inverse", 0.0)],
)  # fmt: skip
def test_a_mean_outside_its_range_costs_infinity(name, eta, x64):
    entry = FAMILIES[name]
    terms = terms_of(entry.family, jnp.asarray([entry.valid[-1]]), jnp.asarray([[eta]]), aux_of(entry, 1), False)
    assert np.isposinf(float(terms.nll[0]))


@pytest.mark.parametrize("name", DISTRIBUTED)
def test_distribution_function_of_samples_is_uniform(name, x64):
    """A point at random between P(Y < y) and P(Y <= y) has the moments of a uniform number; both tails add to 1."""
    entry, rng = FAMILIES[name], np.random.default_rng(12)
    family, n, eta = entry.family, 1_500, entry.eta[1]
    one = dict(entry.aux)
    mu = float(declared(family, np.array(entry.eta)[:, None], one)[0][1])
    y = entry.sample(rng, mu, entry.phi, n)

    # The sums of a Tweedie distribution are more work than their program.
    @(precision.Tiered if name in ("tweedie 1.2", "tweedie 1.8") else quick)
    def tails(v):
        arguments = (jnp.asarray([eta]), entry.phi, one)
        both = jnp.concatenate([v, jax.vmap(lambda v: family.below(v, one))(v)])
        return jax.vmap(lambda v: (family.cdf(v, *arguments), family.sf(v, *arguments)))(both)

    (low, low_before), (high, high_before) = (np.split(np.asarray(tail), 2) for tail in tails(y))
    np.testing.assert_allclose(low + high, 1.0, rtol=1e-9)
    np.testing.assert_allclose(low_before + high_before, 1.0, rtol=1e-9)
    assert np.all(low >= low_before)
    if name.startswith(("gaussian", "gamma", "inverse gaussian")):
        np.testing.assert_array_equal(low, low_before)
    u = low_before + rng.uniform(size=n) * (low - low_before)
    for moment in (1, 2, 3):
        error = np.std(u**moment) / np.sqrt(n)
        assert abs(np.mean(u**moment) - 1 / (moment + 1)) < SIGMA * error


@pytest.mark.parametrize("name", DISTRIBUTED)
def test_draws_have_the_declared_moments(name, x64):
    entry = FAMILIES[name]
    family, n, eta = entry.family, 20_000, jnp.asarray([entry.eta[1]])
    one = dict(entry.aux)

    def draw(key):
        y = family.sample(key, eta, jnp.asarray(entry.phi), one)
        return y, family.support(y, one)

    keys = jax.random.split(jax.random.key(3), n)
    y, valid = map(np.asarray, quick(jax.vmap(draw))(keys))
    mu, variance = (float(of[1]) for of in declared(family, np.array(entry.eta)[:, None], one)[:2])
    variance *= entry.phi
    assert valid.all()
    assert abs(y.mean() - mu) < SIGMA * np.sqrt(variance / n)
    assert abs(np.mean((y - mu) ** 2) - variance) < SIGMA * np.std((y - mu) ** 2) / np.sqrt(n)


@pytest.mark.parametrize("name", [n for n in FAMILIES if n not in DISTRIBUTED])
def test_without_a_distribution_there_is_none(name, x64):
    family = FAMILIES[name].family
    assert not any(family.has(method) for method in ("logpdf", "cdf", "sample"))
    with pytest.raises(jg.NotAvailableError, match=family.name):
        family.cdf(jnp.asarray(1.0), jnp.asarray([0.2]), 1.0, {})
    with pytest.raises(jg.NotAvailableError, match=family.name):
        family.sample(jax.random.key(0), jnp.asarray([0.2]), 1.0, {})
    assert np.isnan(float(family.logpdf(jnp.asarray(1.0), jnp.asarray([0.2]), 1.0, {})))


@pytest.mark.parametrize(
    ("variance", "loss"),
    [
        (lambda mu: mu, lambda y, mu: special.xlogy(y, y / mu) - (y - mu)),
        (lambda mu: mu**2, lambda y, mu: (y - mu) / mu - np.log(y / mu)),
        (lambda mu: mu**3, lambda y, mu: (y - mu) ** 2 / (2 * y * mu**2)),
        (lambda mu: jnp.ones_like(mu), lambda y, mu: 0.5 * (y - mu) ** 2),
        (
            lambda mu: mu * (1 - mu),
            lambda y, mu: special.xlogy(y, y / mu) + special.xlog1py(1 - y, (mu - y) / (1 - mu)),
        ),
    ],
    ids=["mu", "mu^2", "mu^3", "1", "mu (1 - mu)"],
)
def test_quasi_likelihood_is_the_integral(variance, loss, x64):
    """Against closed forms, far from the mean and at the ends of the range where it is finite there."""
    family = families.Quasi(variance)
    unit = float(variance(jnp.asarray(0.75))) == 0.1875
    y, mu = np.meshgrid([0.0, 1e-6, 0.3, 1.0] if unit else [1e-6, 0.3, 4.0, 900.0], [1e-3, 0.4, 0.99])
    deviance = jax.jit(jax.vmap(lambda y, mu: family.unit_deviance(y, mu[None], {})))
    np.testing.assert_allclose(deviance(y.ravel(), mu.ravel()), 2 * loss(y, mu).ravel(), rtol=1e-9, atol=1e-12)
    terms = terms_of(family, jnp.asarray(y.ravel()), jnp.asarray(mu.ravel())[:, None], {}, True)
    score = (mu - y).ravel() / np.asarray(jax.vmap(variance)(mu.ravel()))
    np.testing.assert_allclose(terms.score[:, 0], score, rtol=1e-12)
    assert np.isfinite(np.asarray(terms.nll)).all()


def joint_nll(y, eta, alpha):
    mu = np.exp(eta)
    return -stats.nbinom.logpmf(y, 1 / alpha, 1 / (1 + alpha * mu))


@pytest.mark.parametrize("alpha", [1e-3, 0.3, 4.0])
def test_negative_binomial_with_alpha_estimated(alpha, x64):
    """Joint score and curvature against differences of SciPy's density; expected is observed in alpha alone."""
    family = families.NegativeBinomial()
    y, e = (a.ravel() for a in np.meshgrid([0.0, 1.0, 3.0, 20.0], [-1.0, 0.3, 2.0]))
    eta = np.column_stack([e, np.full(len(y), np.log(alpha))])
    seen = terms_of(family, jnp.asarray(y), jnp.asarray(eta), {}, True)
    np.testing.assert_allclose(seen.nll + special.gammaln(y + 1), joint_nll(y, e, alpha), rtol=1e-11)
    gradient = jax.jit(jax.vmap(jax.grad(family.nll, argnums=1), in_axes=(0, 0, None)))
    for k, step in enumerate(np.eye(2)):
        values = [joint_nll(y, *(eta + s * STEP * step).T[:1], np.exp(eta[0, 1] + s * STEP * step[1])) for s in (1, -1)]
        np.testing.assert_allclose(seen.score[:, k], (values[0] - values[1]) / (2 * STEP), rtol=1e-4, atol=1e-5)
        ends = [np.asarray(gradient(y, jnp.asarray(eta + s * STEP * step), {})) for s in (1, -1)]
        np.testing.assert_allclose(seen.curvature[:, k], (ends[0] - ends[1]) / (2 * STEP), rtol=1e-4, atol=1e-6)
    expected = terms_of(family, jnp.asarray(y), jnp.asarray(eta), {}, False).curvature
    np.testing.assert_array_equal(expected[:, 0, 1], 0.0)
    np.testing.assert_allclose(expected[:, 1, 1], seen.curvature[:, 1, 1], rtol=1e-10)
    np.testing.assert_allclose(expected[:, 0, 0], np.exp(e) / (1 + alpha * np.exp(e)), rtol=1e-12)
    steps = np.asarray(terms_of(family, jnp.asarray(y), jnp.asarray(eta), {}, False, True).curvature)
    assert np.all(np.linalg.eigvalsh(steps) > 0)


@pytest.mark.parametrize("family", [families.NegativeBinomial(0.0), families.NegativeBinomial(1e-13)])
def test_negative_binomial_becomes_poisson(family, x64):
    poisson = families.Poisson()
    y, e = (jnp.asarray(a.ravel()) for a in np.meshgrid([0.0, 1.0, 7.0], [-1.0, 0.3, 2.0]))
    phi = jnp.ones(len(y))
    for method, arguments in (
        ("unit_deviance", (y, e[:, None], {})),
        ("logpdf", (y, e[:, None], phi, {})),
        ("cdf", (y, e[:, None], phi, {})),
        ("sf", (y, e[:, None], phi, {})),
    ):
        axes = tuple(None if isinstance(a, dict) else 0 for a in arguments)
        ours, theirs = (quick(jax.vmap(getattr(f, method), in_axes=axes))(*arguments) for f in (family, poisson))
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11, err_msg=method)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: families.NegativeBinomial(-0.1), "alpha must be a finite number >= 0"),
        (lambda: families.NegativeBinomial("0.1"), "alpha must be a number"),
        (lambda: families.NegativeBinomial(True), "alpha must be a number"),
        (lambda: families.Tweedie(0.5), "at least 1"),
        (lambda: families.Tweedie("1.5"), "power must be a number"),
        (lambda: families.Quasi(2.0), "variance must be a function"),
        (lambda: families.Quasi(lambda mu: -mu), "positive number"),
        (lambda: families.Quasi(lambda mu: undefined(mu)), "variance fails at a mean of 0.5"),  # noqa: F821
    ],
)
def test_families_with_impossible_numbers_are_refused(make, words):
    with pytest.raises(jg.JaxglmError, match=words):
        make()


@pytest.mark.parametrize("power", [2.2, 2.5, 4.0])
def test_tweedie_above_two_is_a_density(power, x64):
    """The log density integrates to 1, with the declared mean and variance."""
    family, phi = families.Tweedie(power), 0.2
    u = np.linspace(-9.0, 7.0, 4001)
    y = np.exp(u)
    log_density = jax.jit(jax.vmap(lambda y: family.logpdf(y, jnp.asarray([0.3]), phi, {})))(y)
    weight = np.exp(np.asarray(log_density) + u) * (u[1] - u[0])
    mean = np.sum(weight * y)
    assert np.sum(weight) == pytest.approx(1.0, rel=1e-6)
    assert mean == pytest.approx(np.exp(0.3), rel=1e-6)
    assert np.sum(weight * (y - mean) ** 2) == pytest.approx(phi * mean**power, rel=1e-3)
