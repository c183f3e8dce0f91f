"""Stable scalar functions; values in both tails are in laws/test_links."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.special

import jaxglm as jg
from jaxglm import numerics, precision
from jaxglm.links.logistic import logistic_loss

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


@pytest.mark.parametrize("y", [0.0, 0.3, 1.0])
def test_logistic_loss_and_its_derivatives(y, x64):
    """In both tails; the slope of a proportion crosses zero."""
    grid = [-700.0, -40.0, -4.2, -1e-9, 0.0, 0.3, 4.2, 30.0]
    loss = jax.vmap(lambda x: jnp.stack([f(y, x) for f in orders]))
    orders = [logistic_loss, *(jax.grad(logistic_loss, 1), jax.grad(jax.grad(logistic_loss, 1), 1))]
    orders.append(jax.grad(orders[2], 1))
    ours = np.asarray(jax.jit(loss)(jnp.asarray(grid)))
    want = []
    for v in grid:
        p, q = (1 / (1 + mpmath.exp(sign * mpmath.mpf(v))) for sign in (-1, 1))
        want.append([-(y * mpmath.log(p) + (1 - y) * mpmath.log(q)), (1 - y) * p - y * q, p * q, p * q * (q - p)])
    want = np.array(want, float)
    np.testing.assert_allclose(ours[:, :3], want[:, :3], rtol=RELATIVE, atol=1e-16 if y == 0.3 else 1e-290)
    # The third one crosses zero.
    np.testing.assert_allclose(ours[:, 3], want[:, 3], rtol=RELATIVE, atol=1e-16)
    assert float(jax.grad(logistic_loss, 0)(y, 2.0)) == -2.0


@pytest.mark.parametrize(("y", "x", "value"), [(0.0, -np.inf, 0.0), (1.0, np.inf, 0.0), (1.0, -np.inf, np.inf)])
def test_logistic_loss_at_the_ends(y, x, value, x64):
    assert float(logistic_loss(jnp.asarray(y), jnp.asarray(x))) == value


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


def rising(y, log_alpha):
    """The definition, by log gammas of 60 digits."""
    r = mpmath.exp(-log_alpha)
    return mpmath.loggamma(y + r) - mpmath.loggamma(r) - y * mpmath.log(r)


@pytest.mark.parametrize("y", [0.0, 1.0, 3.5, 10.0, 1e4])
def test_log_rising_and_its_derivatives(y, x64):
    """At alpha from 2e-9 to 3e3; values near 0 carry the rounding of y."""
    log_alpha = np.array([-20.0, -8.0, -3.0, -1.0, 0.0, 1.0, 8.0])

    def value(t):
        return numerics.log_rising(y, t)

    ours = jax.jit(jax.vmap(lambda t: jnp.stack([value(t), jax.grad(value)(t), jax.grad(jax.grad(value))(t)])))(
        log_alpha
    )
    with mpmath.workdps(60):
        want = np.array([[float(mpmath.diff(lambda t: rising(mpmath.mpf(y), t), mpmath.mpf(v), k)) for k in range(3)]
                         for v in log_alpha])  # fmt: skip
    want = np.where(np.abs(want) < 1e-40, 0.0, want)
    np.testing.assert_allclose(ours[:, 0], want[:, 0], rtol=1e-13, atol=1e-15 * (1 + y))
    # At y = 1, where the truth is 0, rounding is that of alpha.
    assert np.all(
        np.abs(ours[:, 1] - want[:, 1]) < 1e-12 * np.abs(want[:, 1]) + 5e-15 * np.minimum(np.exp(log_alpha), 1)
    )
    np.testing.assert_allclose(ours[:, 2], want[:, 2], rtol=1e-8, atol=1e-14)


def test_log1p_over(x64):
    mu = np.array([0.0, 1e-300, 1e-6, 0.3, 4.0, 1e4, 1e10])
    for t in (-35.0, -12.0, -0.5, 0.0, 3.0):

        def parts(m, t=t):
            value = numerics.log1p_over
            return value(m, t), *jax.grad(value, (0, 1))(m, t), jax.grad(jax.grad(value, 1), 1)(m, t)

        ours = np.array(jax.jit(jax.vmap(parts))(mu))
        with mpmath.workdps(60):
            alpha = mpmath.exp(t)
            for m, found in zip(mu.tolist(), ours.T, strict=True):
                m = mpmath.mpf(m)
                x = alpha * m
                log, excess = mpmath.log1p(x) / alpha, mpmath.log1p(x) / alpha - m / (1 + x)
                exact = (log, 1 / (1 + x), -excess, excess - m * x / (1 + x) ** 2)
                np.testing.assert_allclose(found, [float(v) for v in exact], rtol=1e-12, atol=1e-307)


@pytest.mark.parametrize("name", ["log_factorial", "log_count"])
def test_functions_of_counts(name, x64):
    """All at once, one by one, and small counts, which are looked up."""
    ours, log = getattr(numerics, name), name == "log_count"
    y = np.concatenate([np.arange(60.0), [0.01, 0.5, 8.99, 9.01, 100.0, 1e5, 1e12]])[log:]
    value, slope = (
        (mpmath.log, lambda v: 1 / v) if log else (lambda v: mpmath.loggamma(v + 1), lambda v: mpmath.digamma(v + 1))
    )
    exact, slopes = (np.array([float(f(mpmath.mpf(float(v)))) for v in y]) for f in (value, slope))
    rows, counts = jax.vmap(ours), slice(0, 60 - log)
    for function, some in ((ours, slice(None)), (rows, slice(None)), (rows, counts)):
        found = np.asarray(jax.jit(function)(y[some]))
        # Absolute below 1, where the function passes zero, else relative.
        np.testing.assert_array_less(np.abs(found - exact[some]), 1e-14 * (1.0 + np.abs(exact[some])))
        found = precision.quickly(jax.grad(lambda y, function=function: jnp.sum(function(y))))(y[some])
        np.testing.assert_allclose(found, slopes[some], rtol=1e-13)
    assert float(rows(np.zeros(3))[0]) == 0.0
    assert not log or float(ours(np.float64(0.0))) == 0.0


def test_outcomes_are_looked_up_only_where_all_are(x64):
    """The deviance of 0 and 1 is that of the model alone; one proportion among them has its own."""
    family, eta = jg.Binomial(), np.array([[0.3], [-1.0], [0.5]])
    for y in (np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.25])):
        mu = 1 / (1 + np.exp(-eta[:, 0]))
        exact = 2 * (scipy.special.xlogy(y, y / mu) + scipy.special.xlogy(1 - y, (1 - y) / (1 - mu)))
        found = jax.vmap(family.unit_deviance, in_axes=(0, 0, None))(y, eta, {})
        np.testing.assert_allclose(found, exact, rtol=1e-13)
