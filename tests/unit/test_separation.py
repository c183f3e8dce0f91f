"""Separation is reported where it is, and only there."""

import re

import numpy as np
import pytest

import jaxglm as jg

N = 40
x = np.linspace(-2.0, 2.0, N)
noise = np.random.default_rng(5).normal(size=N)
above = (x > 0) * 1.0


def tie(y=above):
    """Both outcomes at one value of x, one on each side."""
    half = np.round(x)
    return half, np.where(half == 0, np.arange(N) % 2, half > 0) * 1.0


def overlap(gap):
    """Two rows around zero changed places, `gap` apart: estimates are large and finite."""
    values = x.copy()
    i = N // 2
    values[i - 1], values[i] = gap / 2, -gap / 2
    return values, above


def one_level(y_there, y_else):
    """A dummy whose rows all have one outcome."""
    dummy = (np.arange(N) % 4 == 0) * 1.0
    return dummy, np.where(dummy == 1, y_there, y_else)


COIN = np.random.default_rng(8).integers(0, 2, N) * 1.0
COUNT = np.random.default_rng(9).poisson(2.0, N) * 1.0
#: name: (first column, y, family, sign of its infinity or 0 where estimates are finite)
CASES = {
    "complete": (x, above, "binomial", +1),
    "complete, falling": (x, 1 - above, "binomial", -1),
    "quasi-complete": (*tie(), "binomial", +1),
    "dummy of ones": (*one_level(1.0, COIN), "binomial", +1),
    "dummy of zeros": (*one_level(0.0, COIN), "binomial", -1),
    "dummy of zero counts": (*one_level(0.0, COUNT), "poisson", -1),
    "overlap": (*overlap(0.5), "binomial", 0),
    "small overlap": (*overlap(0.02), "binomial", 0),
    "one event in a dummy": (*one_level(np.arange(N) == 4, COIN), "binomial", 0),
    "one count in a dummy": (*one_level((np.arange(N) == 4) * 1.0, COUNT), "poisson", 0),
    "large means": (x, np.round(np.exp(6 + 3 * x)), "poisson", 0),
    "rare events": (noise, (np.arange(N) == 7) * 1.0 + (np.arange(N) == 20), "binomial", 0),
}
LINKS = {"binomial": ("logit", "probit", "cloglog"), "poisson": ("log",)}
GRID = [(name, link) for name, case in CASES.items() for link in LINKS[case[2]]]


@pytest.mark.parametrize(("name", "link"), GRID)
def test_separation(name, link):
    column, y, family, sign = CASES[name]
    second = noise + 0.1 * x
    # Rows that overlap in the first column must not be told apart by the second.
    second[N // 2] = second[N // 2 - 1]
    matrix = np.column_stack([column, second])
    options = {"link": link, "names": ["first", "second"]}
    if sign == 0:
        res = jg.fit(matrix, y, family, **options)
        assert res.status is jg.Status.CONVERGED and res.fit.recession is None
        gradient_free = jg.fit(matrix, y, family, start=res.params + 0.3 * res.bse, **options)
        np.testing.assert_allclose(gradient_free.params, res.params, rtol=1e-6, atol=1e-8)
        return
    end = "+inf" if sign > 0 else "-inf"
    with pytest.warns(jg.SeparationWarning, match=re.escape(f"first ({end})")):
        res = jg.fit(matrix, y, family, **options)
    assert res.status is jg.Status.SEPARATED and not res.converged
    assert np.sign(res.fit.recession[1]) == sign
    # The proved direction moves each row toward its outcome, and rows with neither not at all.
    moved = np.column_stack([np.ones(N), matrix]) @ res.fit.recession
    assert np.max(np.abs(moved)) == pytest.approx(1.0)
    toward = np.where(y == 0, -1.0, 1.0 if family == "binomial" else 0.0)
    assert np.all((moved * toward > 0) | (np.abs(moved) < 1e-6))


def test_a_log_link_of_a_proportion_has_no_upper_infinity():
    """mu = 1 is reached at eta = 0, so ones alone separate nothing there."""
    dummy, y = one_level(0.0, COIN)
    with pytest.warns(jg.SeparationWarning, match=r"first \(-inf\)"):
        res = jg.fit(dummy[:, None], y, "binomial", link="log", names=["first"])
    assert res.status is jg.Status.SEPARATED
