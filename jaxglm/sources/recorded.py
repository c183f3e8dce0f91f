"""Passes over rows that are kept in a file, so that an interrupted fit goes on from the last of them.

A solver is a function of what its passes give. So nothing of its state has to be saved: it runs again from its start,
and each pass that was done before gives its value from the file, to the bit, without a look at the rows.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxglm import archive, kernels
from jaxglm.errors import InputError, StorageError
from jaxglm.kernels import Kernel, Model, RowMap, Rows, Walk
from jaxglm.precision import host
from jaxglm.sources.base import Source

FORM, VERSION = "jaxglm checkpoint", 1
#: How far the point of a pass may be from that in the file: rounding, on devices that add in no fixed order.
_SAME = 1e-6
#: Tuples with names that kernels give.
_NAMED = {
    name: cls for name, cls in vars(kernels).items() if isinstance(cls, type) and hasattr(cls, "_fields")
}  # fmt: skip


class Entry(NamedTuple):
    """One pass: what it was for, the numbers it was made at, and what it gave."""

    what: str
    point: list[np.ndarray]
    value: Any


class Journal:
    """The passes of one fit in a file.

    Parameters
    ----------
    path : path
    facts : dict of str by name
        What the fit is; a file of another fit is refused.
    version : str
        Of the package, for messages.
    """

    def __init__(self, path: Any, facts: dict[str, str], version: str):
        self.path, self.facts, self.version = os.fsdecode(path), facts, version
        self.entries: list[Entry] = []
        self.n_replayed = 0
        folder = os.path.dirname(os.path.realpath(self.path))
        if not os.path.isdir(folder):
            # Better now than after the first pass.
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", folder)
        if os.path.exists(self.path):
            self._read()

    def once(self, what: str, point: Any, run: Callable[[], Any], write: bool) -> Any:
        """What a pass gives: from the file if it was done before, else by running it.

        `write` keeps the file up to date; small passes wait for the next one that is worth it.
        """
        numbers = [np.array(leaf) for leaf in jax.tree.leaves(point)]
        if self.n_replayed < len(self.entries):
            entry = self.entries[self.n_replayed]
            if entry.what == what and _near(entry.point, numbers):
                self.n_replayed += 1
                return entry.value
            # Another way is taken than before; from here on the file tells nothing.
            del self.entries[self.n_replayed :]
        # Copies, so that what is kept lies in memory as what is read does.
        value = jax.tree.map(lambda a: np.array(a, order="K"), host(run()))
        self.entries.append(Entry(what, numbers, value))
        self.n_replayed = len(self.entries)
        if write:
            self._write()
        return value

    def keep(self, n: int) -> None:
        """Forget all passes after the first n."""
        del self.entries[n:]

    def remove(self) -> None:
        """Delete the file; the fit is done."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _write(self) -> None:
        arrays: list[np.ndarray] = []
        passes = [
            {"what": e.what, "point": [_pack(a, arrays) for a in e.point], "value": _pack(e.value, arrays)}
            for e in self.entries
        ]
        manifest = {"format": FORM, "version": VERSION, "jaxglm": self.version, "facts": self.facts, "passes": passes}
        archive.write(self.path, manifest, arrays)

    def _read(self) -> None:
        try:
            manifest, arrays = archive.read(self.path, {FORM: VERSION})
            facts = {str(name): str(text) for name, text in manifest["facts"].items()}
            self.entries = [
                Entry(e["what"], [arrays[int(node["array"])] for node in e["point"]], _unpack(e["value"], arrays))
                for e in manifest["passes"]
            ]
        except OSError:
            raise
        except Exception as problem:
            raise StorageError(
                f"the checkpoint {self.path} cannot be read: it is damaged, cut short, or no checkpoint of this "
                "version. Delete the file to begin the fit anew, or give another path"
            ) from problem
        for name in [*self.facts, *facts]:
            mine, theirs = self.facts.get(name, "nothing"), facts.get(name, "nothing")
            if mine != theirs:
                raise InputError(
                    f"the checkpoint {self.path} belongs to another fit: {name} is {_short(theirs)} there, but "
                    f"{_short(mine)} here. Delete the file to begin anew, or give another path"
                )


class Recorded(Source):
    """A source whose sums are written down in a journal, or come from it.

    Values of rows are neither; they are too many, and are made again.
    """

    def __init__(self, source: Source, journal: Journal, write: bool = True):
        self._source, self._journal, self._write = source, journal, write
        self.n_rows, self.aliased = source.n_rows, source.aliased
        self.read_anew, self.resident = source.read_anew, source.resident
        self.hosts, self.repeats = source.hosts, source.repeats

    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        what = f"{kernel!r} of {type(model).__name__}"
        return self._journal.once(what, point, lambda: self._source.reduce(kernel, model, point), self._write)

    def walk(self, walk: Walk, model: Model, frame: Any, state: Any, size: int, seed: int) -> tuple[Any, np.ndarray]:
        structure = jax.tree.structure(state)

        def run():
            reached, kept = self._source.walk(walk, model, frame, state, size, seed)
            return tuple(jax.tree.leaves(reached)), kept

        what = f"{type(walk).__name__} in batches of {size}, seed {seed}"
        leaves, kept = self._journal.once(what, frame.origin, run, self._write)
        # On the device as copies: the memory of a state is used again, and that of the journal is not to be.
        return jax.tree.unflatten(structure, [jax.device_put(np.array(leaf)) for leaf in leaves]), kept

    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        return self._source.iterate(kernel, model, point)

    def replace(self, change: Callable[[Rows], Rows]) -> Recorded:
        return Recorded(self._source.replace(change), self._journal, self._write)

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> Recorded:
        return Recorded(self._source.beside(values, change), self._journal, self._write)

    def sample(self, n: int) -> Recorded | None:
        few = self._source.sample(n)
        return None if few is None else Recorded(few, self._journal, write=False)


def _near(then: list[np.ndarray], now: list[np.ndarray]) -> bool:
    """Whether two points are the same but for rounding."""

    def same(a, b):
        largest = np.max(np.abs(b[np.isfinite(b)]), initial=0.0)
        return a.shape == b.shape and np.allclose(a, b, rtol=_SAME, atol=_SAME * largest, equal_nan=True)

    return len(then) == len(now) and all(map(same, then, now))


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."


def _pack(value: Any, arrays: list[np.ndarray]) -> Any:
    """JSON of a value of a kernel, whose arrays gather apart."""
    if value is None:
        return None
    if isinstance(value, dict):
        return {"dict": {name: _pack(part, arrays) for name, part in value.items()}}
    if isinstance(value, (tuple, list)):
        return {type(value).__name__: [_pack(part, arrays) for part in value]}
    arrays.append(np.asarray(value))
    return {"array": len(arrays) - 1}


def _unpack(node: Any, arrays: list[np.ndarray]) -> Any:
    if node is None:
        return None
    ((kind, body),) = node.items()
    if kind == "array":
        return arrays[body]
    if kind == "dict":
        return {name: _unpack(part, arrays) for name, part in body.items()}
    parts = [_unpack(part, arrays) for part in body]
    if kind in ("tuple", "list"):
        return tuple(parts) if kind == "tuple" else parts
    return _NAMED[kind](*parts)
