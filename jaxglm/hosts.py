"""Processes that fit one model together, each with rows of its own.

What they exchange is small: levels of factors, counts, sums over rows. It travels by collectives of JAX, which all
processes must reach in the same order. Before each of them the processes tell each other where they are and whether
all is well, so that an error in one of them ends all.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxglm.errors import HostError
from jaxglm.precision import scope

if TYPE_CHECKING:
    from jaxglm.codec import Table

T = TypeVar("T")

AXIS = "hosts"
#: Least length of what is exchanged; longer ones are powers of two, so that few programs are compiled.
_LEAST = 64
#: Bytes that go out at once, the first 8 of which are how many there are; a second exchange has more than these.
_AT_ONCE, _COUNT = 2048, 8
_FORM = "jaxglm exchange"


@dataclass(frozen=True)
class Hosts:
    """The processes of a fit, in the order of their numbers.

    Attributes
    ----------
    mesh : Mesh or None
        One device of each process; None where there is this process alone, for which every exchange is trivial.
    """

    mesh: Mesh | None = None

    @classmethod
    def of(cls, devices: Sequence[jax.Device]) -> Hosts:
        """The processes that some devices belong to."""
        first = {d.process_index: d for d in reversed(devices)}
        if set(first) <= {jax.process_index()}:
            return cls()
        return cls(Mesh(np.asarray([first[k] for k in sorted(first)]), (AXIS,)))

    @property
    def size(self) -> int:
        """How many processes there are."""
        return 1 if self.mesh is None else self.mesh.size

    @property
    def place(self) -> int:
        """Which of them this process is, from 0."""
        if self.mesh is None:
            return 0
        return [d.process_index for d in self.mesh.devices.flat].index(jax.process_index())

    def together(self, what: str, work: Callable[[], T]) -> T:
        """The value of some work of this process; an error of one process is raised in all of them.

        Raises
        ------
        HostError
            Another process has an error, has ended, or is doing something else.
        """
        if self.mesh is None:
            return work()
        found, problem = None, None
        try:
            found = work()
        except BaseException as error:
            problem = error
        if getattr(problem, "agreed", False):
            raise problem
        self._agree(what, problem)
        return found

    def _agree(self, what: str, problem: BaseException | None) -> None:
        try:
            states = self.gather(np.asarray([problem is not None, zlib.crc32(what.encode())], np.int64))
        except HostError:
            if problem is not None:
                raise problem from None
            raise
        if not states[:, 0].any() and (states[:, 1] == states[0, 1]).all():
            return
        said = [json.loads(text) for text in self.gather_bytes(json.dumps([what, _words(problem)]).encode())]
        if problem is None:
            failed = [(k, text) for k, (_, text) in enumerate(said) if text]
            if failed:
                problem = HostError(
                    f"process {failed[0][0]} of {self.size} stopped while {said[failed[0][0]][0]}: {failed[0][1]}"
                )
            else:
                places = "; ".join(f"process {k} is {place}" for k, (place, _) in enumerate(said))
                problem = HostError(
                    f"the processes of a fit must call the same functions with the same options in the same order, but "
                    f"{places}"
                )
        problem.agreed = True
        raise problem

    def same(self, what: str, value: Any) -> None:
        """Raise unless the text of a value is the same in all processes."""
        if self.mesh is None:
            return
        # Functions of the user lie elsewhere in each process.
        own = re.sub(r" at 0x[0-9a-f]+", "", str(value))
        texts = [text.decode() for text in self.gather_bytes(own.encode())]
        other = next((k for k, text in enumerate(texts) if text != texts[0]), None)
        if other is not None:
            error = HostError(f"{what} is not the same in all processes: {texts[0]} in process 0, {texts[other]} in "
                              f"process {other}")  # fmt: skip
            error.agreed = True
            raise error

    def agreed(self, values: T) -> T:
        """A pytree of numbers that every process has made for itself, with the bits that the first one found."""
        if self.mesh is None:
            return values
        own = jax.tree.map(np.asarray, values)
        return tree_of(self.gather_bytes(bytes_of(own) if self.place == 0 else b"")[0], own)

    def union(self, values: np.ndarray) -> np.ndarray:
        """Distinct whole numbers of all processes in ascending order; `values` are such numbers of this one."""
        if self.mesh is None:
            return values
        found = [np.frombuffer(content, np.int64) for content in self.gather_bytes(values.astype(np.int64).tobytes())]
        return np.unique(np.concatenate(found))

    def gather(self, values: np.ndarray) -> np.ndarray:
        """Arrays of the same shape in all processes, one after the other, (size, ...)."""
        return np.asarray(values)[None] if self.mesh is None else self._exchange(_gathered, np.asarray(values))

    def gather_bytes(self, content: bytes) -> list[bytes]:
        """The bytes that each process has."""
        if self.mesh is None:
            return [content]
        # Each exchange takes milliseconds, whatever its length, and most of what is told is short.
        start = np.int64(len(content)).tobytes() + content[: _AT_ONCE - _COUNT]
        found = self.gather(_padded(start, _AT_ONCE))
        lengths = [int(np.frombuffer(row[:_COUNT].tobytes(), np.int64)[0]) for row in found]
        if max(lengths) > _AT_ONCE - _COUNT:
            found = self.gather(_padded(content, _room(max(lengths))))
        else:
            found = found[:, _COUNT:]
        return [row[:length].tobytes() for row, length in zip(found, lengths, strict=True)]

    def gather_values(self, value: T, table: Table) -> list[T]:
        """A value of each process, made of what the codec knows and the kinds of a table."""
        if self.mesh is None:
            return [value]
        from jaxglm import archive, codec

        encode, stream = codec.Encoder(table), BytesIO()
        node = encode(value)
        archive.write(stream, {"format": _FORM, "version": 1, "value": node}, encode.arrays)
        found = []
        for content in self.gather_bytes(stream.getvalue()):
            manifest, arrays = archive.read(BytesIO(content), {_FORM: 1})
            found.append(codec.Decoder(table, arrays)(manifest["value"]))
        return found

    def joined(self, rows: np.ndarray) -> np.ndarray:
        """Rows of numbers of all processes, one process after the other, (n, q); those of this one are `rows`."""
        if self.mesh is None:
            return rows
        found = self.gather_bytes(np.asarray(rows, float).tobytes())
        return np.concatenate([np.frombuffer(content).reshape(-1, *rows.shape[1:]) for content in found])

    def total(self, values: np.ndarray) -> np.ndarray:
        """The sum of vectors of float64 over all processes; every process gets the same bits."""
        if self.mesh is None:
            return values
        padded = np.zeros(_room(len(values)))
        padded[: len(values)] = values
        return self._exchange(_summed, padded)[: len(values)]

    def _exchange(self, run: Callable, values: np.ndarray) -> np.ndarray:
        sharding = NamedSharding(self.mesh, PartitionSpec(AXIS))
        with scope():
            try:
                whole = jax.make_array_from_process_local_data(sharding, values[None], (self.size, *values.shape))
                return np.asarray(run(self.mesh, whole).addressable_data(0))
            except Exception as problem:
                # XLA has no type of its own for a connection that is lost.
                error = HostError(
                    f"another process of this fit has ended or cannot be reached, so its rows are lost; see what it "
                    f"printed, and start all processes again ({problem})"
                )
                error.agreed = True
                raise error from problem


ALONE = Hosts()


def bytes_of(tree: Any) -> bytes:
    """The arrays of a pytree, end to end."""
    return b"".join(np.asarray(a).tobytes() for a in jax.tree.leaves(tree))


def tree_of(content: bytes, like: Any) -> Any:
    """Arrays of the shapes and types of others, from their bytes end to end."""
    leaves, structure = jax.tree.flatten(like)
    found, start = [], 0
    for a in leaves:
        size = int(np.prod(a.shape)) * a.dtype.itemsize
        found.append(np.frombuffer(content[start : start + size], a.dtype).reshape(a.shape))
        start += size
    return jax.tree.unflatten(structure, found)


def _padded(content: bytes, length: int) -> np.ndarray:
    made = np.zeros(length, np.uint8)
    made[: len(content)] = np.frombuffer(content, np.uint8)
    return made


def _words(problem: BaseException | None) -> str:
    return "" if problem is None else f"{type(problem).__name__}: {problem}"


def _room(length: int) -> int:
    size = _LEAST
    while size < length:
        size *= 2
    return size


def _on_hosts(function: Callable, mesh: Mesh, values: jax.Array) -> jax.Array:
    specs = {"in_specs": PartitionSpec(AXIS), "out_specs": PartitionSpec()}
    return jax.shard_map(lambda v: function(v[0], AXIS), mesh=mesh, check_vma=False, **specs)(values)


_gathered = jax.jit(partial(_on_hosts, jax.lax.all_gather), static_argnums=0)
_summed = jax.jit(partial(_on_hosts, jax.lax.psum), static_argnums=0)
