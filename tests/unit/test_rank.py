"""Rank decisions, and the information behind its contract."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxglm.solvers import drive, rank
from jaxglm.solvers.information import Information

#: Sums and factors of small well-conditioned matrices.
ROUNDING = 1e-11

rng = np.random.default_rng(6)
A = rng.normal(size=(30, 4))
#: name: (columns, which are kept, {aliased: coefficients})
DESIGNS = {
    "full rank": (A, [1, 1, 1, 1], {}),
    "copy": (np.column_stack([A, A[:, 1]]), [1, 1, 1, 1, 0], {4: [0, 1, 0, 0, 0]}),
    "sum in the middle": (
        np.column_stack([A[:, 0], A[:, 1], A[:, 0] - 2 * A[:, 1], A[:, 2]]), [1, 1, 0, 1], {2: [1, -2, 0, 0]}),
    "zero column": (np.column_stack([A[:, 0], 0 * A[:, 0], A[:, 1]]), [1, 0, 1], {1: [0, 0, 0]}),
    "two of a kind": (
        np.column_stack([A[:, 0], 3 * A[:, 0], A[:, 1], A[:, 1] + A[:, 0]]), [1, 0, 1, 0],
        {1: [3, 0, 0, 0], 3: [1, 0, 1, 0]}),
    "of very different size": (
        np.column_stack([1e10 * A[:, 0], 1e-10 * A[:, 1], A[:, 0]]), [1, 1, 0], {2: [1e-10, 0, 0]}),
    "nearly the same": (np.column_stack([A[:, 0], A[:, 0] + 1e-7 * A[:, 1]]), [1, 1], {}),
    "the same but for rounding": (np.column_stack([A[:, 0], A[:, 0] + 1e-13 * A[:, 1]]), [1, 0], {1: [1, 0]}),
    "more columns than rows": (A[:2], [1, 1, 0, 0], None),
}  # fmt: skip


@pytest.mark.parametrize("name", DESIGNS)
def test_later_dependent_columns_are_dropped(name):
    columns, kept, dependence = DESIGNS[name]
    found = rank.from_triangle(np.linalg.qr(columns, mode="r"))
    assert found.active.tolist() == [bool(v) for v in kept] and not found.doubtful
    if dependence is None:
        combined = columns @ np.column_stack([found.dependence[j] for j in (2, 3)])
        np.testing.assert_allclose(combined, columns[:, 2:], rtol=ROUNDING)
        return
    assert set(found.dependence) == set(dependence)
    for j, want in dependence.items():
        # The last case differs from its copy by 1e-13, which is what tells rank from rounding.
        np.testing.assert_allclose(found.dependence[j], want, rtol=1e-9, atol=1e-12 * np.max(np.abs(want)))


@pytest.mark.parametrize("name", DESIGNS)
def test_a_gram_decides_or_doubts(name):
    """What a Gram matrix decides agrees with QR; what it cannot see it calls doubtful."""
    columns, kept, _ = DESIGNS[name]
    found = rank.from_gram(columns.T @ columns)
    clear = name in ("full rank", "zero column")
    assert found.doubtful is not clear
    if clear:
        assert found.active.tolist() == [bool(v) for v in kept]
        assert list(found.dependence) == [j for j, v in enumerate(kept) if not v]


def matrix(kind):
    """An information of five coefficients with columns of very different size, and its active part."""
    scale = np.array([1.0, 1e4, 1e-3, 2.0, 1.0])
    base = rng.normal(size=(40, 5)) * scale
    active = np.array([True, True, kind == "all", True, kind == "all"])
    return base, base.T @ base, active


@pytest.mark.parametrize("way", ["matrix", "triangle", "refined_step"])
@pytest.mark.parametrize("kind", ["all", "some"])
def test_information_is_its_matrix(kind, way, x64):
    base, full, active = matrix(kind)
    triangle = np.linalg.qr(base, mode="r")
    information = {
        "matrix": lambda: Information.from_matrix(jnp.asarray(full), jnp.asarray(active)),
        "triangle": lambda: Information.from_triangle(jnp.asarray(triangle), jnp.asarray(active)),
        "refined_step": lambda: jax.jit(drive.refined_step)(jnp.asarray(triangle), jnp.zeros(5), jnp.asarray(active))[
            0
        ],
    }[way]()
    keep = np.ix_(active, active)
    inverse = np.zeros((5, 5))
    inverse[keep] = np.linalg.inv(full[keep])
    close = dict(rtol=1e-9, atol=0)
    assert bool(information.ok) and 0 < float(information.smallest_pivot) <= 1
    np.testing.assert_allclose(information.inverse(), inverse, **close)
    np.testing.assert_allclose(information.diag_inverse(), np.diag(inverse), **close)
    np.testing.assert_allclose(information.matrix()[keep], full[keep], rtol=1e-9, atol=1e-9)
    assert np.all(np.asarray(information.matrix())[~active] == 0)
    v = rng.normal(size=(5, 2)) * np.sqrt(np.diag(full))[:, None]
    np.testing.assert_allclose(information.solve(jnp.asarray(v)), inverse @ v, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(information.solve(jnp.asarray(v[:, 0])), inverse @ v[:, 0], rtol=1e-8, atol=1e-12)
    assert float(information.logdet()) == pytest.approx(np.linalg.slogdet(full[keep])[1], rel=1e-10)
    rows = base[:6]
    np.testing.assert_allclose(information.quad_rows(jnp.asarray(rows)), np.einsum("ij,jk,ik->i", rows, inverse, rows),
                               rtol=1e-9)  # fmt: skip
    added = information.add(jnp.asarray(np.diag(np.diag(full))))
    np.testing.assert_allclose(added.matrix()[keep], (full + np.diag(np.diag(full)))[keep], rtol=1e-9, atol=1e-9)


def test_a_gradient_gives_the_least_squares_step(x64):
    base, _, active = matrix("some")
    residual = rng.normal(size=40)
    arrays = (jnp.asarray(a) for a in (np.linalg.qr(base, mode="r"), -base.T @ residual, active))
    step = np.asarray(jax.jit(drive.refined_step)(*arrays)[1])
    want = np.zeros(5)
    want[active] = np.linalg.lstsq(base[:, active], residual, rcond=None)[0]
    np.testing.assert_allclose(step, want, rtol=1e-9, atol=0)


def test_a_matrix_that_is_not_positive_definite_is_not_ok(x64):
    indefinite = jnp.asarray([[1.0, 2.0], [2.0, 1.0]])
    both = jnp.asarray([True, True])
    assert not bool(Information.from_matrix(indefinite, both).ok)
    assert bool(Information.from_matrix(indefinite, both, 2.0).ok)
    assert bool(Information.from_matrix(indefinite, jnp.asarray([True, False])).ok)
