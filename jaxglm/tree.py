"""Frozen dataclasses that are JAX pytrees."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import jax

T = TypeVar("T")


def static(**kwargs: Any) -> Any:
    """A dataclass field that belongs to the tree structure (hashable, never traced)."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


def pytree(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and register it as a pytree.

    Fields are leaves unless declared with :func:`static`. The class is part of the structure: compiled
    code is found by structure, and `jax.tree_util.register_dataclass` (jaxlib 0.10.2) makes structures of
    different classes that compare equal, so that a fit could now and then run the code of another family.
    """
    made = dataclasses.dataclass(frozen=True)(cls)
    names = [f.name for f in dataclasses.fields(made)]
    fixed = [f.name for f in dataclasses.fields(made) if f.metadata.get("static")]
    leaves = [name for name in names if name not in fixed]
    keys = [jax.tree_util.GetAttrKey(name) for name in leaves]

    def flatten(tree):
        return tuple(getattr(tree, name) for name in leaves), (made, *(getattr(tree, name) for name in fixed))

    def flatten_with_keys(tree):
        children, structure = flatten(tree)
        return tuple(zip(keys, children, strict=True)), structure

    def unflatten(structure, children):
        # Not through __init__: leaves may be tracers or placeholders.
        tree = object.__new__(made)
        for name, value in zip(fixed, structure[1:], strict=True):
            object.__setattr__(tree, name, value)
        for name, value in zip(leaves, children, strict=True):
            object.__setattr__(tree, name, value)
        return tree

    jax.tree_util.register_pytree_with_keys(made, flatten_with_keys, unflatten, flatten)
    return made
