"""Integrals of one row against closed forms."""

import jax
import numpy as np
import pytest

from jaxglm.quadrature import FINE, integrate

CASES = {
    "smooth": (lambda t: t**2, 1.0, 3.0, 26 / 3),
    "backward": (lambda t: t**2, 3.0, 1.0, -26 / 3),
    "empty": (lambda t: t**2, 3.0, 3.0, 0.0),
    "from below zero": (lambda t: t**3, -2.0, 1.0, -3.75),
    "root at the lower end": (lambda t: t**-0.5, 0.0, 4.0, 4.0),
    "root at the upper end": (lambda t: (1.0 - t) ** -0.5, 0.0, 1.0, 2.0),
    "far apart": (lambda t: 1.0 / t, 1e-30, 1e30, 60 * np.log(10)),
}


@pytest.mark.parametrize("name", CASES)
def test_integrals(name, x64):
    function, a, b, want = CASES[name]
    # The root at 1 is reached by rounding of 1 - t.
    rtol = 1e-7 if name == "root at the upper end" else 1e-12
    assert float(jax.jit(lambda a, b: integrate(function, a, b))(a, b)) == pytest.approx(want, rel=rtol)


def test_the_fine_rule(x64):
    t, weight = FINE.nodes(np.asarray(0.0), np.asarray(np.pi))
    assert float(np.sum(np.asarray(weight) * np.sin(np.asarray(t)))) == pytest.approx(2.0, rel=1e-13)
