"""Processes that fit one model together, each with rows of its own.

What they exchange is small: levels of factors, counts, sums over rows. It travels by collectives of JAX, which all
processes must reach in the same order. With it the processes tell each other where they are and whether all is well,
so that an error in one of them ends all.
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

from jaxglm.errors import DataError, HostError
from jaxglm.precision import scope

if TYPE_CHECKING:
    from jaxglm.codec import Table

T, V = TypeVar("T"), TypeVar("V")

AXIS = "hosts"
#: Least length of what is exchanged; longer ones are powers of two, so that few programs are compiled.
_LEAST = 64
#: Bytes that go out at once, which take no longer than fewer; a second exchange has more than these.
_AT_ONCE = 2**13
#: How many of them say how the process is, where it is, and how many bytes it has to tell.
_HEAD = 24
#: How a process is: well, or with an error in data, or with another one.
_WELL, _DATA, _OTHER = range(3)
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
        return work() if self.mesh is None else self._share(what, work, lambda value: b"")[0]

    def share(
        self, what: str, work: Callable[[], T], tell: Callable[[T], V], kinds: Callable[[], Table] | None = None
    ) -> tuple[T, list[V]]:
        """As :meth:`together`, and what each process tells of its value, in the same exchange.

        That is made of what the codec knows and these kinds; without them, of what JSON has. A process that is alone is
        told nothing.
        """
        if self.mesh is None:
            return work(), []
        value, told = self._share(what, work, lambda value: _encoded(tell(value), kinds))
        return value, [_decoded(content, kinds) for content in told]

    def summed(self, what: str, work: Callable[[], tuple[T, np.ndarray]]) -> tuple[T, np.ndarray]:
        """As :meth:`together`, of work that also makes a vector of float64: its sum over all processes.

        Every process gets the same bits.
        """
        if self.mesh is None:
            return work()
        (value, own), told = self._share(what, work, lambda made: made[1].tobytes() if _is_short(made[1]) else b"")
        return value, np.sum([np.frombuffer(part) for part in told], axis=0) if _is_short(own) else self._total(own)

    def _share(self, what: str, work: Callable[[], T], tell: Callable[[T], bytes]) -> tuple[T, list[bytes]]:
        value, content, problem = None, b"", None
        try:
            value = work()
            content = tell(value)
        except BaseException as error:
            problem = error
        if getattr(problem, "agreed", False):
            raise problem
        return value, self._exchange(what, content, problem)

    def _exchange(self, what: str, content: bytes, problem: BaseException | None = None) -> list[bytes]:
        """The bytes that each process has, if all are well and at the same place."""
        how = _WELL if problem is None else _DATA if isinstance(problem, DataError) else _OTHER
        head = np.array([how, zlib.crc32(what.encode()), len(content)], np.int64).tobytes()
        try:
            rows = self._run(_gathered, _padded(head + content[: _AT_ONCE - _HEAD], _AT_ONCE))
        except HostError:
            if problem is not None:
                raise problem from None
            raise
        states, places, lengths = np.ascontiguousarray(rows[:, :_HEAD]).view(np.int64).T
        if states.any() or (places != places[0]).any():
            self._end(what, problem, in_data=bool((states <= _DATA).all()))
        most = int(lengths.max())
        # Each exchange takes milliseconds, whatever its length, and most of what is told is short.
        rows = rows[:, _HEAD:] if most <= _AT_ONCE - _HEAD else self._run(_gathered, _padded(content, _room(most)))
        return [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]

    def _end(self, what: str, problem: BaseException | None, in_data: bool) -> None:
        """Raise the error of this process, or else one that says what happened in the others."""
        said = [json.loads(text) for text in self.gather_bytes(json.dumps([what, _words(problem)]).encode())]
        if problem is None:
            failed = [(k, text) for k, (_, text) in enumerate(said) if text]
            if failed:
                problem = HostError(
                    f"process {failed[0][0]} of {self.size} stopped while {said[failed[0][0]][0]}: {failed[0][1]}"
                )
            else:
                places = "; ".join(f"process {k} is {place}" for k, (place, _) in enumerate(said))
                in_data = False
                problem = HostError(
                    f"the processes of a fit must call the same functions with the same options in the same order, but "
                    f"{places}"
                )
        problem.agreed, problem.in_data = True, in_data
        raise problem

    def same(self, what: str, value: Any) -> None:
        """Raise unless the text of a value is the same in all processes."""
        if self.mesh is not None:
            # Functions of the user lie elsewhere in each process.
            own = re.sub(r" at 0x[0-9a-f]+", "", str(value))
            self.compare(what, [text.decode() for text in self.gather_bytes(own.encode())])

    def compare(self, what: str, told: Sequence[Any]) -> None:
        """Raise unless what each process has told of something is the same."""
        other = next((k for k, one in enumerate(told) if one != told[0]), None)
        if other is not None:
            raise _agreed(
                HostError(
                    f"{what} is not the same in all processes: {told[0]} in process 0, {told[other]} in process {other}"
                )
            )

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
        own = np.asarray(values)
        found = [np.frombuffer(content, own.dtype) for content in self.gather_bytes(own.tobytes())]
        return np.stack(found).reshape(self.size, *own.shape)

    def gather_bytes(self, content: bytes) -> list[bytes]:
        """The bytes that each process has."""
        return [content] if self.mesh is None else self._exchange("telling the others", content)

    def gather_values(self, value: T, kinds: Callable[[], Table]) -> list[T]:
        """A value of each process, made of what the codec knows and these kinds."""
        if self.mesh is None:
            return [value]
        return [_decoded(content, kinds) for content in self.gather_bytes(_encoded(value, kinds))]

    def joined(self, rows: np.ndarray) -> np.ndarray:
        """Rows of numbers of all processes, one process after the other, (n, q); those of this one are `rows`."""
        if self.mesh is None:
            return rows
        found = self.gather_bytes(np.asarray(rows, float).tobytes())
        return np.concatenate([np.frombuffer(content).reshape(-1, *rows.shape[1:]) for content in found])

    def _total(self, values: np.ndarray) -> np.ndarray:
        padded = np.zeros(_room(len(values)))
        padded[: len(values)] = values
        return self._run(_summed, padded)[: len(values)]

    def _run(self, collective: Callable, values: np.ndarray) -> np.ndarray:
        sharding = NamedSharding(self.mesh, PartitionSpec(AXIS))
        with scope():
            try:
                whole = jax.make_array_from_process_local_data(sharding, values[None], (self.size, *values.shape))
                return np.asarray(collective(self.mesh, whole).addressable_data(0))
            except Exception as problem:
                # XLA has no type of its own for a connection that is lost.
                raise _agreed(
                    HostError(
                        f"another process of this fit has ended or cannot be reached, so its rows are lost; see what "
                        f"it printed, and start all processes again ({problem})"
                    )
                ) from problem


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


def _encoded(value: Any, kinds: Callable[[], Table] | None) -> bytes:
    if kinds is None:
        return json.dumps(value).encode()
    from jaxglm import archive, codec

    encode, stream = codec.Encoder(kinds()), BytesIO()
    node = encode(value)
    archive.write(stream, {"format": _FORM, "version": 1, "value": node}, encode.arrays)
    return stream.getvalue()


def _decoded(content: bytes, kinds: Callable[[], Table] | None) -> Any:
    if kinds is None:
        return json.loads(content)
    from jaxglm import archive, codec

    manifest, arrays = archive.read(BytesIO(content), {_FORM: 1})
    return codec.Decoder(kinds(), arrays)(manifest["value"])


def _agreed(error: HostError) -> HostError:
    """An error that all processes raise at this place."""
    error.agreed, error.in_data = True, False
    return error


def _is_short(vector: np.ndarray) -> bool:
    """Whether a vector goes out at once."""
    return vector.nbytes <= _AT_ONCE - _HEAD


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
