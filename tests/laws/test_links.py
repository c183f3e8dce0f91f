"""Every link against its definition and against 400-digit truth in both tails."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglm as jg
from jaxglm import links, precision

#: Relative error allowed of a value or derivative, at most some hundred roundings.
RELATIVE = 1e-11
#: Where the second derivative crosses zero its digits are those of the first.
CROSSING = 1e-4
#: Numbers below this may be flushed to zero.
TINY = 1e-300
#: inverse(link(mu)) loses digits where the link is flat; the grid stays inside.
ROUND_TRIP = 1e-12

TRUTH = json.loads((Path(__file__).parent / "link_truth.json").read_text())
MEANS = {
    "real": np.array([-30.0, -1.0, -1e-3, 1e-3, 0.4, 7.0, 500.0]),
    "positive": np.array([1e-6, 1e-3, 0.4, 1.0, 7.0, 500.0]),
    "unit": np.array([1e-12, 1e-6, 1e-3, 0.2, 0.5, 0.9, 0.999]),
}
FUNCTIONS = [(link, function) for link, table in TRUTH.items() for function in table]


def derivatives(function, eta):
    """Value, first and second derivative at each eta."""
    first = jax.grad(function)
    with precision.scope():
        made = jax.jit(jax.vmap(lambda e: (function(e), first(e), jax.grad(first)(e))))(jnp.asarray(eta))
        return [np.asarray(a) for a in made]


def test_every_link_has_a_truth():
    assert set(TRUTH) == set(links.NAMED)
    for name, cls in links.NAMED.items():
        assert cls.name == name and str(cls()) == name
        if cls.range == "unit":
            assert set(TRUTH[name]) == {"inverse", "complement", "log_inverse", "log_complement"}


@pytest.mark.parametrize(("link", "function"), FUNCTIONS)
def test_values_and_derivatives_in_both_tails(link, function):
    truth = TRUTH[link][function]
    assert max(map(abs, truth["eta"])) == 40.0
    made = derivatives(getattr(links.NAMED[link](), function), truth["eta"])
    worst = {}
    # Nothing differentiates 1 - mu; it stands beside mu in the expected information.
    orders = ("value",) if function == "complement" else ("value", "first", "second")
    for order, ours in zip(orders, made, strict=False):
        want = np.array(truth[order])
        size = np.abs(want) + (CROSSING * np.abs(np.array(truth["first"])) if order == "second" else 0.0)
        error = np.abs(ours - want) / (size + TINY / RELATIVE)
        if not np.all(error < RELATIVE):
            worst[order] = (truth["eta"][int(np.argmax(np.nan_to_num(error, nan=np.inf)))], float(np.max(error)))
    assert worst == {}


@pytest.mark.parametrize("name", links.NAMED)
def test_inverse_undoes_link(name, x64):
    link = links.NAMED[name]()
    mu = MEANS[link.range]
    again = np.asarray(jax.jit(lambda m: link.inverse(link.link(m)))(jnp.asarray(mu)))
    np.testing.assert_allclose(again, mu, rtol=ROUND_TRIP)


def test_links_of_host_arrays_need_no_compiled_code(x64):
    """A single mean is asked for before a fit: what is elementary is computed by NumPy, with the same value."""
    assert {name for name, cls in links.NAMED.items() if not cls.on_host} == {"probit"}
    for link in (cls() for cls in (*links.NAMED.values(), lambda: links.Power(0.3)) if cls is not links.Probit):
        mu = MEANS[link.range]
        made = link.link(mu)
        assert link.on_host and isinstance(made, np.ndarray)
        np.testing.assert_allclose(
            made, link.link(jnp.asarray(mu)), rtol=ROUND_TRIP, atol=ROUND_TRIP, err_msg=link.name
        )


@pytest.mark.parametrize("name", links.NAMED)
def test_declared_ends(name, x64):
    """`recedes` says which ends of the range only an infinite eta reaches."""
    link = links.NAMED[name]()
    lowest, highest = {"real": (-np.inf, np.inf), "positive": (0, np.inf), "unit": (0, 1)}[link.range]
    if link.valid_eta == "real" and link.range != "real":
        low, high = float(link.inverse(jnp.asarray(-700.0))), float(link.inverse(jnp.asarray(700.0)))
        assert link.recedes[0] == (low == pytest.approx(lowest, abs=1e-3))
        assert link.recedes[1] == (high > 1e3 if np.isinf(highest) else high == pytest.approx(highest, abs=1e-3))
    else:
        assert link.recedes == (False, False)


@pytest.mark.parametrize("p", [0.5, 2.0, -1.0, -2.0, 1 / 3])
def test_power_links(p, x64):
    """The link is its definition; at the exponents of other links it is theirs."""
    link, eta = links.Power(p), jnp.asarray([1e-3, 0.4, 1.0, 7.0, 40.0])
    np.testing.assert_allclose(link.inverse(eta), np.asarray(eta) ** (1 / p), rtol=ROUND_TRIP)
    np.testing.assert_allclose(link.log_inverse(eta), np.log(np.asarray(eta)) / p, rtol=ROUND_TRIP, atol=ROUND_TRIP)
    np.testing.assert_allclose(link.link(link.inverse(eta)), eta, rtol=ROUND_TRIP)
    twin = {0.5: links.Sqrt(), -1.0: links.Inverse(), -2.0: links.InverseSquared()}.get(p)
    if twin is not None:
        for ours, theirs in zip(derivatives(link.inverse, eta), derivatives(twin.inverse, eta), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=RELATIVE)


@pytest.mark.parametrize("p", [0, float("nan"), "half", None, True])
def test_power_links_without_an_exponent_are_refused(p):
    with pytest.raises(jg.JaxglmError, match="power link"):
        links.Power(p)


def test_a_link_from_its_inverse_is_the_link(x64):
    made = jg.Link.from_inverse(lambda e: -jnp.expm1(-jnp.exp(e)), complement=lambda e: jnp.exp(-jnp.exp(e)))
    twin, mu = links.CLogLog(), jnp.asarray(MEANS["unit"])
    assert (made.range, made.recedes) == (twin.range, twin.recedes)
    np.testing.assert_allclose(made.link(mu), twin.link(mu), rtol=1e-9)
    eta = jnp.linspace(-6.0, 3.0, 13)
    for name in ("inverse", "complement", "log_inverse", "log_complement"):
        np.testing.assert_allclose(getattr(made, name)(eta), getattr(twin, name)(eta), rtol=1e-9)


def test_a_link_of_ones_own_in_a_fit():
    """A psychometric curve with a floor of 1/4 for guesses, against the likelihood maximized by SciPy."""
    from scipy import optimize, special

    rng = np.random.default_rng(5)
    x = rng.normal(size=300)
    y = (rng.random(300) < 0.25 + 0.75 * special.expit(0.3 + 2 * x)) * 1.0
    guess = jg.Link.from_inverse(lambda eta: 0.25 + 0.75 * jax.nn.sigmoid(eta))
    assert guess.range == "unit" and guess.recedes == (False, True)
    res = jg.fit(x, y, jg.Binomial(guess))

    def nll(b):
        mu = 0.25 + 0.75 * special.expit(b[0] + b[1] * x)
        return -np.sum(y * np.log(mu) + (1 - y) * np.log1p(-mu))

    best = optimize.minimize(nll, [0.0, 1.0], method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(res.params, best.x, atol=1e-6)
    assert res.llf == pytest.approx(-best.fun, rel=1e-10)


@pytest.mark.parametrize(
    ("fn", "complement", "words"),
    [
        (lambda e: e**2, None, "monotone"),
        (lambda e: jnp.log(e), None, "finite for every real eta"),
        (lambda e: jnp.stack([e, e]), None, "InputError|one number"),
        (lambda e: float(e), None, "without Python branches"),
        (lambda e: 3 * e + jnp.abs(e), None, "by autodiff but"),
        (jax.nn.sigmoid, lambda e: jax.nn.sigmoid(e), "complement must be 1 - fn"),
        (3.0, None, "must be a function"),
        (jax.nn.sigmoid, 3.0, "must be a function"),
    ],
)
def test_an_inverse_that_is_none_is_refused(fn, complement, words):
    with pytest.raises(jg.JaxglmError, match=words):
        jg.Link.from_inverse(fn, complement)
