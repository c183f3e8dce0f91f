"""Structures of different classes must never compare equal: compiled code is found by them."""

import itertools

import jax
import numpy as np
import pytest

from jaxglm import families, links
from jaxglm.design import Categorical, Constant, Dense, Indicator, Split, Table
from jaxglm.solvers.newton import Settings

OBJECTS = {
    **{f"link {name}": cls() for name, cls in links.NAMED.items()},
    **{f"family {name}": cls() for name, cls in families.NAMED.items()},
    **{f"poisson {name}": families.Poisson(cls()) for name, cls in links.NAMED.items() if name != "log"},
    "constant": Constant(),
    "dense 1": Dense(1),
    "dense 2": Dense(2),
    "split 1": Split((Constant(), Dense(1)), ((0,), (1,))),
    "split 2": Split((Dense(1), Constant()), ((0,), (1,))),
    "indicator": Categorical(Indicator(np.zeros(2, np.int32), 1)),
    "scaled": Categorical(Indicator(np.zeros(2, np.int32), 1), scaled=True),
    "table": Categorical(Table(np.zeros(2))),
    "settings": Settings(1.0, 1, 1.0, True, "late"),
    "other settings": Settings(1.0, 1, 1.0, True, "never"),
}


@pytest.mark.parametrize("pair", list(itertools.combinations(OBJECTS, 2)), ids=" - ".join)
def test_structures_differ(pair):
    first, second = (jax.tree.structure(OBJECTS[name]) for name in pair)
    assert first != second


@pytest.mark.parametrize("name", OBJECTS)
def test_a_tree_comes_back_whole(name):
    leaves, structure = jax.tree.flatten(OBJECTS[name])
    back = jax.tree.unflatten(structure, leaves)
    assert type(back) is type(OBJECTS[name]) and jax.tree.structure(back) == structure
    for ours, theirs in zip(jax.tree.leaves(back), leaves, strict=True):
        assert ours is theirs
