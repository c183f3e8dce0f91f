"""Stable scalar functions; values in both tails are in laws/test_links."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxglm import numerics

#: An exponent of size 700 carries its own rounding into the value.
RELATIVE = 7e2 * 2.3e-16 * 2
mpmath.mp.dps = 400

GRIDS = {
    "real": [-700.0, -40.0, -4.2, -0.3, 0.0, 0.3, 4.2, 30.0],
    "negative": [-700.0, -40.0, -0.7, -0.69, -1e-3, -1e-12],
}
FUNCTIONS = {
    "sigmoid": ("real", lambda x: 1 / (1 + mpmath.exp(-x))),
    "softplus": ("real", lambda x: mpmath.log1p(mpmath.exp(x))),
    "log1mexp": ("negative", lambda x: mpmath.log(1 - mpmath.exp(x))),
    "inverse_mills": ("real", lambda x: mpmath.npdf(x) / mpmath.ncdf(x)),
    "log_ndtr": ("real", lambda x: mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2)),
    "log1mexpexp": ("negative", lambda x: mpmath.log(1 - mpmath.exp(-mpmath.exp(x)))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value(name, x64):
    grid, truth = FUNCTIONS[name]
    ours = np.asarray(jax.jit(getattr(numerics, name))(jnp.asarray(GRIDS[grid])))
    want = np.array([float(truth(mpmath.mpf(v))) for v in GRIDS[grid]])
    # Where the truth is smaller than the smallest double, zero is right.
    np.testing.assert_allclose(ours, want, rtol=RELATIVE, atol=1e-300)


def test_log1mexp_outside_its_domain(x64):
    assert np.isneginf(float(numerics.log1mexp(jnp.asarray(0.0))))
    assert np.isnan(float(numerics.log1mexp(jnp.asarray(0.5))))


@pytest.mark.parametrize(
    ("x", "value", "product"),
    [
        (0.0, np.inf, 0.0),
        (0.0, -np.inf, 0.0),
        (0.0, np.nan, 0.0),
        (2.0, 3.0, 6.0),
        (1.0, np.inf, np.inf),
        (-1.0, 0.0, 0.0),
    ],
)
def test_times(x, value, product, x64):
    assert float(numerics.times(jnp.asarray(x), jnp.asarray(value))) == product


def test_times_has_no_slope_where_it_is_dropped(x64):
    slope = jax.grad(lambda v: numerics.times(jnp.asarray(0.0), jnp.log(jnp.where(v > 0, v, 1.0))))(jnp.asarray(-1.0))
    assert float(slope) == 0.0


@pytest.mark.parametrize(
    "name", ["sigmoid", "softplus", "ndtr", "log_ndtr", "inverse_mills", "expm1exp", "log1mexpexp"]
)
def test_derivatives_of_every_order_are_finite(name, x64):
    function = getattr(numerics, name)
    grid = jnp.asarray([-300.0, -40.0, -4.0, 0.0, 4.0, 5.0])
    for _ in range(3):
        function = jax.grad(function)
        assert np.isfinite(np.asarray(jax.jit(jax.vmap(function))(grid))).all()
