"""The information on the host and on the device is the same, also where it is factored in blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxglm.solvers import information
from jaxglm.solvers.information import Information

#: Rounding of a well-conditioned factor and of what is solved with it.
ROUNDING = 1e-12


@pytest.mark.parametrize("p", [1, 5, 33, 70, 300])
def test_host_and_device_agree(p, x64):
    rng = np.random.default_rng(p)
    rows = rng.normal(size=(4 * p, p)) * 10.0 ** rng.uniform(-3, 3, p)
    matrix, vector = rows.T @ rows, rng.normal(size=p)
    active = np.arange(p) != 2
    assert (p > information._BLOCK) == (p in (33, 70, 300))

    @jax.jit
    def figures(matrix, vector, active):
        found = Information.from_matrix(matrix, active)
        values = found.solve(vector), found.inverse(), found.diag_inverse(), found.logdet(), found.matrix()
        return found.lower, found.smallest_pivot, *values

    host = figures.__wrapped__(matrix, vector, active)
    for ours, theirs in zip(host, figures(*map(jnp.asarray, (matrix, vector, active))), strict=True):
        theirs = np.asarray(theirs)
        assert isinstance(ours, np.ndarray | np.generic)
        np.testing.assert_allclose(ours, theirs, rtol=ROUNDING, atol=ROUNDING * np.max(np.abs(theirs)))
    kept = np.flatnonzero(active)
    exact = np.linalg.inv(matrix[np.ix_(kept, kept)])
    np.testing.assert_allclose(host[3][np.ix_(kept, kept)], exact, rtol=1e-9, atol=1e-9 * np.max(np.abs(exact)))


@pytest.mark.parametrize("p", [3, 70])
@pytest.mark.parametrize("bad", [-1.0, np.nan])
def test_no_factor_is_said(p, bad):
    matrix = np.eye(p)
    matrix[p - 1, p - 1] = bad
    with np.errstate(all="ignore"):
        found = Information.from_matrix(matrix, np.ones(p, bool))
        assert not found.ok
        assert np.isnan(found.solve(np.ones(p))).all()
