"""Fits side by side on an accelerator: every part of a tile lowers for a GPU that need not be here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_device import PLATFORMS, concrete, lower

from jaxglm import families, links, precision
from jaxglm.design import Dense, Layout
from jaxglm.kernels import Model, Rows
from jaxglm.solvers.batch import Task, fit_tile
from jaxglm.solvers.information import Information
from jaxglm.solvers.loops import Patience
from jaxglm.solvers.middles import Clustered, Leveraged, Middle, Plain

LANES, M, P = 4, 12, 3
MIDDLES = {"plain": Plain(), "leveraged": Leveraged(1.0), "clustered": Clustered((("set 0", 1), ("set 1", -1)))}


def tile() -> tuple[Model, Rows]:
    rng = np.random.default_rng(0)
    ones = np.ones((LANES, M))
    codes = {"set 0": np.tile(np.arange(M, dtype=np.int32) % 4, (LANES, 1))}
    codes["set 1"] = codes["set 0"] // 2
    rows = Rows((rng.normal(size=(LANES, M, P)),), ones, ones, ones, np.zeros((LANES, M, 1)), {}, codes)
    return jax.tree.map(jnp.asarray, (Model(families.Binomial(links.CLogLog()), Layout((Dense(P),))), rows))


def test_every_middle_is_here():
    assert {type(middle) for middle in MIDDLES.values()} == concrete(Middle)


@pytest.mark.parametrize("name", MIDDLES)
def test_middles_lower_for_gpus(name):
    with precision.scope():
        model, rows = tile()

        def meats(model, rows, theta):
            bread = Information.from_matrix(jnp.eye(P), jnp.ones(P, bool))
            return jax.vmap(lambda r, t: MIDDLES[name].meat(model, r, t, bread, False))(rows, theta)

        made = lower(meats, model, rows, jnp.zeros((LANES, P)))
    assert made.out_avals[0].shape == (LANES, P, P) and made.out_avals[0].dtype == np.float64


def test_a_tile_lowers_for_gpus():
    """Lanes with weights of their own over one copy of everything else."""
    with precision.scope():
        model, rows = tile()
        task = Task(
            tol=jnp.asarray(1e-8), max_iter=jnp.asarray(50, jnp.int32), patience=Patience(jnp.asarray(12), jnp.asarray(0)), start=None,
            curvature="late", kind="expected", has_intercept=True, has_offset=True,
        )  # fmt: skip
        shared = rows._replace(y=rows.y[0], x=(rows.x[0][0],), offset=rows.offset[0], prior=None, codes={})
        axes = Rows(x=None, y=None, freq=0, prior=None, offset=None, aux=None, codes=None)
        made = jax.export.export(fit_tile.plain, platforms=PLATFORMS)(model, shared, task, axes)
    assert made.platforms == PLATFORMS
