"""Objects as plain JSON and arrays, and back, without running anything that a file names.

Frozen dataclasses are written field by field under a name of a closed table, and read only from that table; every
value is checked against the declared type of its field. JSON keeps None, truth values, text, whole numbers, finite
numbers (by their shortest exact decimal) and lists as they are. All else is an object with a single key:

======================================  ===================================================
``{"float": "nan"}``                    a number that is not finite
``{"tuple": [...]}``                    a tuple
``{"dict": [[key, value], ...]}``       a dict, with keys of any kind
``{"array": 3}``                        an array, which travels beside the JSON
``{"member": ["Status", "MAX_ITER"]}``  a member of an enumeration of the table
``{"object": ["Rank", {...}]}``         an object of the table, by field
``{"function": ["module", "name"]}``    a function, null where it cannot be found by a name
``{"foreign": "Name"}``                 an object of a class that is not in the table
======================================  ===================================================

A field that a file lacks gets its default, so that fields with defaults can be added and older files still be read.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import importlib
import math
import numbers
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jaxglm.errors import InputError, StorageError

#: Most bytes of a number that is kept in an array.
_WIDEST = 8


@dataclass(frozen=True)
class Kind:
    """A class that files may hold.

    Attributes
    ----------
    cls : type
        A dataclass, or an enumeration.
    without : tuple of str
        Fields that are not written; whoever reads gives them again, or they get their defaults.
    members : mapping of str to object
        The only objects there are of the class, by name: they are written by it.
    """

    cls: type
    without: tuple[str, ...] = ()
    members: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_enum(cls, enumeration: type[enum.Enum]) -> Kind:
        """The kind of an enumeration."""
        return cls(enumeration, members=enumeration.__members__)

    @property
    def name(self) -> str:
        return self.cls.__name__

    @cached_property
    def fields(self) -> dict[str, dataclasses.Field]:
        """The fields of the class."""
        return {f.name: f for f in dataclasses.fields(self.cls)}

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The declared type of each field."""
        return typing.get_type_hints(self.cls)

    def make(self, values: dict[str, Any]) -> Any:
        """An object with these fields and the defaults of others."""
        made = object.__new__(self.cls)
        for name, field in self.fields.items():
            if name in values:
                value = values[name]
            elif field.default is not MISSING:
                value = field.default
            elif field.default_factory is not MISSING:
                value = field.default_factory()
            else:
                raise StorageError(f"{self.name} lacks its {name!r}")
            object.__setattr__(made, name, value)
        # Checks of the class itself, such as the range of a number.
        if hasattr(made, "__post_init__"):
            made.__post_init__()
        return made


class Table:
    """The kinds that files may hold, by class and by name."""

    def __init__(self, kinds: Iterable[Kind]):
        self.by_class = {kind.cls: kind for kind in kinds}
        self.by_name = {kind.name: kind for kind in self.by_class.values()}


class Encoder:
    """Makes JSON of objects; the arrays that it meets gather in :attr:`arrays`."""

    def __init__(self, table: Table):
        self.table = table
        self.arrays: list[np.ndarray] = []
        self._known: dict[int, tuple[Any, int]] = {}

    def __call__(self, value: Any) -> Any:
        """The JSON of a value."""
        if isinstance(value, (np.bool_, np.str_)):
            value = value.item()
        if value is None or isinstance(value, (bool, str)):
            return value
        if type(value) in self.table.by_class:
            return self._object(value)
        if isinstance(value, numbers.Integral):
            return int(value)
        if isinstance(value, numbers.Real):
            return float(value) if math.isfinite(value) else {"float": repr(float(value))}
        if isinstance(value, (np.ndarray, jax.Array)):
            return self._array(value)
        if type(value) is list:
            return [self(v) for v in value]
        if type(value) is tuple:
            return {"tuple": [self(v) for v in value]}
        if type(value) is dict:
            return {"dict": [[self(k), self(v)] for k, v in value.items()]}
        if callable(value) and not isinstance(value, type):
            return {"function": reference(value)}
        return {"foreign": type(value).__name__}

    def _object(self, value: Any) -> Any:
        kind = self.table.by_class[type(value)]
        if kind.members:
            return {"member": [kind.name, next(name for name, member in kind.members.items() if member == value)]}
        written = [name for name in kind.fields if name not in kind.without]
        return {"object": [kind.name, {name: self(getattr(value, name)) for name in written}]}

    def _array(self, value: Any) -> Any:
        if id(value) in self._known:
            return {"array": self._known[id(value)][1]}
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > _WIDEST:
            return {"foreign": f"array of {array.dtype}"}
        # Held with its number, so that no other array gets its id.
        self._known[id(value)] = value, len(self.arrays)
        self.arrays.append(array)
        return {"array": len(self.arrays) - 1}


class Decoder:
    """Makes objects of JSON and arrays.

    Parameters
    ----------
    trust : bool
        Whether functions may be imported by the names that are in the file.
    """

    def __init__(self, table: Table, arrays: Sequence[np.ndarray], trust: bool = False):
        self.table, self.arrays, self.trust = table, arrays, trust

    def __call__(self, node: Any) -> Any:
        """The value of a piece of JSON.

        Raises
        ------
        StorageError
            It is none that :class:`Encoder` makes, or a value does not have the type of its field.
        """
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        if isinstance(node, list):
            return [self(v) for v in node]
        tag, body = self._tagged(node)
        readers: dict[str, Callable[[Any], Any]] = {
            "float": self._float, "tuple": self._tuple, "dict": self._dict, "array": self._array,
            "member": self._member, "object": lambda _: self.object(node, {}), "function": self._function,
        }  # fmt: skip
        if tag not in readers:
            raise StorageError(f"{tag!r} is no kind of value that can be read")
        return readers[tag](body)

    def object(self, node: Any, given: Mapping[str, Any]) -> Any:
        """An object of the table; `given` has fields that the file does not hold, or that are to be used instead."""
        tag, body = self._tagged(node)
        if tag != "object" or not (isinstance(body, list) and len(body) == 2 and isinstance(body[1], dict)):
            raise StorageError(f"an object with its fields was expected, not this {tag}")
        kind = self._kind(body[0])
        if kind.members:
            raise StorageError(f"{kind.name} is read by the name of a member")
        named = {name: value for name, value in given.items() if name in kind.fields}
        unknown = [name for name in body[1] if name not in kind.fields or name in kind.without]
        if unknown:
            raise StorageError(f"{kind.name} has no field {unknown[0]!r}")
        read = {name: self(value) for name, value in body[1].items() if name not in named}
        for name, value in read.items():
            if not fits(value, kind.hints[name]):
                raise StorageError(f"{name!r} of {kind.name} is of the wrong kind ({type(value).__name__})")
        return kind.make(read | named)

    def lacks(self, node: Any) -> bool:
        """Whether a function or a foreign object in it cannot be had from the file."""
        if isinstance(node, list):
            return any(self.lacks(v) for v in node)
        if not isinstance(node, dict):
            return False
        if "foreign" in node:
            return True
        if "function" in node:
            return node["function"] is None or not self.trust
        return any(self.lacks(v) for v in node.values())

    def _tagged(self, node: Any) -> tuple[str, Any]:
        if not isinstance(node, dict) or len(node) != 1:
            raise StorageError("a value is not of the form that this format has")
        return next(iter(node.items()))

    def _kind(self, name: Any) -> Kind:
        kind = self.table.by_name.get(name) if isinstance(name, str) else None
        if kind is None:
            raise StorageError(f"{name!r} is none of the kinds of object that files may hold")
        return kind

    def _float(self, body: Any) -> float:
        if body not in ("nan", "inf", "-inf"):
            raise StorageError(f"{body!r} is no number")
        return float(body)

    def _tuple(self, body: Any) -> tuple:
        if not isinstance(body, list):
            raise StorageError("a tuple is not a list of values")
        return tuple(self(v) for v in body)

    def _dict(self, body: Any) -> dict:
        if not isinstance(body, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in body):
            raise StorageError("a dict is not a list of pairs")
        return {self(key): self(value) for key, value in body}

    def _array(self, body: Any) -> np.ndarray:
        if not fits(body, int) or not 0 <= body < len(self.arrays):
            raise StorageError(f"there is no array {body!r}")
        return self.arrays[body]

    def _member(self, body: Any) -> Any:
        if not (isinstance(body, list) and len(body) == 2 and isinstance(body[1], str)):
            raise StorageError("a member of an enumeration is not a pair of names")
        kind = self._kind(body[0])
        if body[1] not in kind.members:
            raise StorageError(f"{kind.name} has no member {body[1]!r}")
        return kind.members[body[1]]

    def _function(self, body: Any) -> Callable:
        if not self.trust or not fits(body, list) or len(body) != 2 or not all(isinstance(v, str) for v in body):
            raise StorageError("it calls a function that it does not hold")
        try:
            return _found(importlib.import_module(body[0]), body[1])
        except (ImportError, AttributeError) as problem:
            raise InputError(
                f"the function {'.'.join(body)} cannot be imported ({problem}); pass it again instead of trust=True"
            ) from problem


def reference(function: Callable) -> list[str] | None:
    """Module and name under which another process can import a function, or None."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__" or module not in sys.modules:
        return None
    try:
        return [module, name] if _found(sys.modules[module], name) is function else None
    except AttributeError:
        return None


def _found(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part)
    return module


def fits(value: Any, hint: Any) -> bool:
    """Whether a value has a declared type; arrays are those of NumPy, whole numbers are numbers."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in inner)
    if hint is None or hint is types.NoneType:
        return value is None
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if inner[-1] is ...:
            return all(fits(v, inner[0]) for v in value)
        return len(value) == len(inner) and all(map(fits, value, inner))
    if origin in (dict, collections.abc.Mapping):
        return isinstance(value, dict) and all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
    if hint is collections.abc.Callable or origin is collections.abc.Callable:
        return callable(value)
    if hint in (int, float) and isinstance(value, int):
        # Whole numbers beyond 64 bits are none of NumPy's.
        return not isinstance(value, bool) and abs(value) < 1 << 63
    return isinstance(value, np.ndarray if hint is jax.Array else origin or hint)
