"""Sums in twice the working precision, against exact fractions."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxglm import families, links
from jaxglm.design import Dense, Layout
from jaxglm.kernels import Careful, Compensated, Model, Newton, Pair, Point, Rows
from jaxglm.kernels import compensated as dd
from jaxglm.sources import base
from jaxglm.tree import pytree

#: Error of a product of two numbers, relative to it.
PRODUCT = 2e-23
#: Error of a sum of products, relative to the sum of their sizes: that of its products.
SUM = 2e-23
N = 201
rng = np.random.default_rng(17)


def wild(*shape):
    """Numbers of 1e-8 to 1e8, of both signs."""
    return rng.normal(size=shape) * 10.0 ** rng.integers(-8, 8, shape)


def exact(pair, i=()):
    return Fraction(float(pair.high[i])) + Fraction(float(pair.low[i]))


def test_pairs_of_numbers(x64):
    a, b = wild(200), wild(200)
    for function, operation, bound in (
        (dd.two_sum, Fraction.__add__, 0.0),
        (dd.two_product, Fraction.__mul__, PRODUCT),
    ):
        made = jax.jit(function)(a, b)
        np.testing.assert_array_equal(made.high, a + b if function is dd.two_sum else a * b)
        for i in range(200):
            want = operation(Fraction(a[i]), Fraction(b[i]))
            assert abs(exact(made, i) - want) <= bound * abs(want)


def test_the_error_survives_where_it_alone_is_wanted(x64):
    """A compiler that sees only the rounding of a product could fuse the product away."""
    a, b = wild(200), wild(200)
    alone = jax.jit(lambda a, b: dd.two_product(a, b).low)(a, b)
    np.testing.assert_array_equal(alone, jax.jit(dd.two_product)(a, b).low)
    assert np.count_nonzero(alone) > 150


@pytest.mark.parametrize("n", [1, 2, 3, 64, 1001])
def test_sums_that_cancel(n, x64):
    a, b = wild(n, 2), wild(n, 2)
    made = jax.jit(lambda a, b: dd.total(dd.two_product(a, b), 0))(a, b)
    for j in range(2):
        terms = [Fraction(x) * Fraction(y) for x, y in zip(a[:, j], b[:, j], strict=True)]
        assert abs(exact(made, j) - sum(terms)) <= SUM * sum(map(abs, terms))


def problem():
    """Powers of years, whose terms are 1e10 times their sum, with weights, an offset, and rows without weight."""
    year = 1990.0 + 30.0 * np.arange(N) / N
    x = np.column_stack([year**k for k in range(4)])
    theta = np.array([-8.0e9, 1.2e7, -6.0e3, 1.0])
    theta[0] -= float(sum(Fraction(a) * Fraction(b) for a, b in zip(x[N // 2], theta, strict=True)))
    freq = rng.integers(0, 3, N).astype(float)
    rows = Rows((x,), rng.normal(size=N), freq, rng.uniform(0.5, 2.0, N), rng.normal(size=(N, 1)))
    return rows, theta


def predictor(rows, theta, i):
    return sum(Fraction(a) * Fraction(b) for a, b in zip(rows.x[0][i], theta, strict=True)) + Fraction(
        rows.offset[i, 0]
    )


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("block", [67, N])
def test_the_gradient_of_least_squares(block, start, x64):
    rows, theta = problem()
    model = Model(families.Gaussian(), Layout((Dense(4),)))
    point = Point(jnp.asarray(theta), jnp.asarray(False), jnp.asarray(start), jnp.asarray(0.0))
    made = jax.jit(lambda r: base.reduce_rows(Compensated(), model, point, r, block))(rows)
    plain = Newton().finish(model, Newton().map(model, point, rows)).gradient
    for j in range(4):
        want, size = Fraction(0), Fraction(0)
        for i in range(N):
            w = Fraction(rows.freq[i]) * Fraction(rows.prior[i]) * Fraction(rows.x[0][i, j])
            want += w * (predictor(rows, theta, i) - Fraction(rows.y[i]))
            # What rounding is relative to: the terms of eta, far larger than eta.
            size += w * max(abs(Fraction(a) * Fraction(b)) for a, b in zip(rows.x[0][i], theta, strict=True))
        # The weight is rounded once, as the kernel takes it.
        assert abs(exact(made, j) - want) <= 1e-15 * abs(want) + 10 * SUM * size
        assert abs(Fraction(float(plain[j])) - want) > 1e-12 * abs(want)


def test_predictors_are_rounded_once(x64):
    rows, theta = problem()
    model = Careful(families.Poisson(links.Log()), Layout((Dense(4),)))
    eta = jax.jit(lambda r, t: model.eta(r, t))(rows, theta)
    for i in range(N):
        assert float(eta[i, 0]) == float(predictor(rows, theta, i))


def test_a_score_between_two_numbers(x64):
    """For other families the score is taken at the rounded eta and moved by its curvature."""
    rows, theta = problem()
    rows = rows._replace(y=rng.poisson(2.0, N).astype(float))
    model = Model(families.Poisson(links.Log()), Layout((Dense(4),)))
    theta = theta * 1e-3
    point = Point(jnp.asarray(theta), jnp.asarray(False), jnp.asarray(False), jnp.asarray(0.0))
    eta = dd.predictors(model, rows, jnp.asarray(theta))
    mu = np.array([np.exp(float(eta.high[i, 0])) * (1 + float(eta.low[i, 0])) for i in range(N)])
    want = rows.x[0].T @ (rows.weight * (mu - rows.y))
    np.testing.assert_allclose(Compensated().map(model, point, rows).high, want, rtol=1e-12)


def test_two_blocks_add(x64):
    a, b = Pair(jnp.asarray([1.0]), jnp.asarray([1e-20])), Pair(jnp.asarray([-1.0]), jnp.asarray([3e-20]))
    assert float(exact(Compensated().combine(a, b), 0)) == pytest.approx(4e-20, rel=1e-12)


@pytree
class Spread(families.Gaussian):
    """A mean and the log of a standard deviation."""

    predictors = ("mean", "log_sd")
    quadratic = False

    def nll(self, y, eta, aux):
        return eta[1] + 0.5 * ((y - eta[0]) * jnp.exp(-eta[1])) ** 2

    def expected(self, y, eta, aux):
        return jnp.array([[1.0, 0.3], [0.3, 2.0]])

    is_canonical = False

    def start(self, y, aux, center):
        return jnp.stack([y, 0.2 * y])


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("observed", [False, True])
def test_two_predictors(start, observed, x64):
    """Where nothing cancels, the gradient is the plain one."""
    x, z = rng.normal(size=(N, 2)), rng.normal(size=(N, 3))
    rows = Rows((x, z), rng.normal(size=N), rng.integers(0, 3, N) * 1.0, None, rng.normal(size=(N, 2)))
    model = Model(Spread(), Layout((Dense(2), Dense(3))))
    point = Point(0.1 * jnp.arange(5.0), jnp.asarray(observed), jnp.asarray(start), jnp.asarray(0.0))
    plain = Newton().finish(model, Newton().map(model, point, rows)).gradient
    np.testing.assert_allclose(Compensated().map(model, point, rows).high, plain, rtol=1e-12)
    np.testing.assert_allclose(
        Careful(model.family, model.layout).eta(rows, point.theta), model.eta(rows, point.theta), rtol=1e-12, atol=1e-14
    )
