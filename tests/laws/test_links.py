"""Every link against its definition and against 400-digit truth in both tails."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
