"""What holds for every family, by the table."""

from functools import cache, partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_table import FAMILIES, Entry

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


@cache
def values(name: str) -> dict[str, np.ndarray]:
    """Everything of a family at the grid of valid y and eta, in one compile; axes are rows."""
    entry = FAMILIES[name]
    y, eta = map(np.array, zip(*product(entry.valid, entry.eta), strict=True))
    with precision.scope():
        made = _all(entry.family, jnp.asarray(y), jnp.asarray(eta)[:, None], aux_of(entry, len(y)), entry.phi)
        return {"y": y, "eta": eta} | {key: np.asarray(value) for key, value in made.items()}


@partial(jax.jit, static_argnames=("phi",))
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
            return -entry.twin(v["y"], np.asarray(entry.family.link.inverse(jnp.asarray(eta))), 1.0)

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
    for eta in entry.eta:
        with precision.scope():
            mu = float(family.mean(jnp.asarray([eta]), aux_of(entry, 1)))
            y = entry.sample(rng, mu, 1.0, SAMPLES)
            aux = aux_of(entry, SAMPLES)
            seen = row_terms(family, jnp.asarray(y), jnp.full((SAMPLES, 1), eta), aux, True)
            one = {key: value[0] for key, value in aux.items()}
            variance = float(family.variance(jnp.asarray(mu), jnp.asarray([eta]), one))
            expected = float(family.expected(jnp.asarray(mu), jnp.asarray([eta]), one)[0, 0])
        score, observed = np.asarray(seen.score[:, 0]), np.asarray(seen.curvature[:, 0, 0])
        for key, draws, want in (
            ("mean", y, mu),
            ("score", score, 0.0),
            ("observed", observed, expected),
            ("variance", (y - mu) ** 2, variance),
        ):
            error = np.std(draws) / np.sqrt(SAMPLES) + 1e-12
            moments[key].append(abs(np.mean(draws) - want) / error)
        assert expected > 0
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
        terms = row_terms(entry.family, jnp.full(4, y), eta, aux_of(entry, 4), True)
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
    terms = row_terms(entry.family, jnp.asarray([entry.valid[-1]]), jnp.asarray([[eta]]), aux_of(entry, 1), False)
    assert np.isposinf(float(terms.nll[0]))
