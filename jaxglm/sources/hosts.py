"""Rows that lie in several processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import jax
import numpy as np

from jaxglm.errors import DataError, NotAvailableError
from jaxglm.hosts import Hosts, bytes_of, tree_of
from jaxglm.kernels import Kernel, Model, RowMap, Rows, Walk
from jaxglm.precision import host
from jaxglm.sources.arrays import ArraySource
from jaxglm.sources.base import Source, pad, to_device
from jaxglm.sources.sums import _finish

#: Rows of padding where there are no others.
_ROOM = 64


class HostsSource(Source):
    """The rows of all processes; each sums over its own, and the sums come together in one collective a pass.

    Every process must make the same calls in the same order. Row values are of the own rows alone: ask `own` for them.

    Parameters
    ----------
    own : Source
        The rows of this process.
    hosts : Hosts
    n_rows : int
        Rows in all processes.
    n_before : int
        Rows in the processes before this one.
    read_anew : bool
        Whether any process reads its rows anew at every pass.
    repeats : bool
        Whether rows of any process stand for several.
    """

    def __init__(
        self, own: Source, hosts: Hosts, n_rows: int, n_before: int = 0, read_anew: bool = False, repeats: bool = False
    ):
        self._own, self.hosts, self.n_rows = own, hosts, n_rows
        self.n_before, self.read_anew, self.repeats = n_before, read_anew, repeats

    @classmethod
    def of(cls, make: Callable[[], Source | None], hosts: Hosts, what: str) -> HostsSource | None:
        """From what makes the rows of each process, `what` says how; None where one of them has none of this kind."""

        def tell(own: Source | None) -> list[int]:
            return [-1, False, False] if own is None else [int(own.n_rows), own.read_anew, own.repeats]

        own, told = hosts.share(what, make, tell)
        counts, anew, repeats = np.asarray(told).T
        if (counts < 0).any():
            return None
        before = int(counts[: hosts.place].sum())
        return cls(own, hosts, int(counts.sum()), before, bool(anew.any()), bool(repeats.any()))

    @property
    def own(self) -> Source:
        return self._own

    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        what = f"summing {kernel} over its rows"

        def own() -> Any:
            return host(self.own.reduce(_Unfinished(kernel), model, point))

        if kernel.additive:
            return _finish(kernel, model, _summed(self.hosts, what, own))
        value = self.hosts.together(what, own)
        values = [tree_of(content, value) for content in self.hosts.gather_bytes(bytes_of(value))]
        return _finish(kernel, model, host(reduce(lambda a, b: _combine(kernel, a, b), values)))

    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        raise NotAvailableError(
            f"this looks at all rows one by one, but they lie in {self.hosts.size} processes; fit the model in one "
            "process for it. fittedvalues, resid() and influence() give values of the rows of this process"
        )

    def walk(self, walk: Walk, model: Model, frame: Any, state: Any, size: int, seed: int) -> tuple[Any, np.ndarray]:
        """Every process goes through its own rows; then their states are averaged, by their shares of the rows."""
        kept = []

        def own() -> Any:
            reached, found = self.own.walk(walk, model, frame, state, size, seed)
            kept.append(np.asarray(found, float))
            return host(reached)

        reached = _summed(self.hosts, "going through its rows", own, self.own.n_rows / self.n_rows)
        return reached, self.hosts.joined(kept[0])

    def replace(self, change: Callable[[Rows], Rows]) -> HostsSource:
        return self._of(self.own.replace(change))

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> HostsSource:
        return self._of(self.own.beside(values, change))

    def _of(self, own: Source) -> HostsSource:
        return HostsSource(own, self.hosts, self.n_rows, self.n_before, self.read_anew, self.repeats)

    def sample(self, n: int) -> HostsSource | None:
        """Some rows of every process, which stay there."""

        def own() -> Source | None:
            share = -(-n * self.own.n_rows // self.n_rows)
            return self.own.sample(share) if share else self.own

        return HostsSource.of(own, self.hosts, "taking a sample of its rows")


def without_rows(example: Rows) -> ArraySource:
    """The source of a process that has none; an example of a valid row fills its shape."""
    one = jax.tree.map(lambda a: np.asarray(a)[:1], example)
    return _NoRows([to_device(pad(one._replace(freq=np.zeros(1)), _ROOM))], [0])


class _NoRows(ArraySource):
    """Padding alone."""

    def replace(self, change: Callable[[Rows], Rows]) -> ArraySource:
        return _NoRows([change(self.resident)], [0])

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> ArraySource:
        empty = jax.tree.map(lambda a: np.zeros((_ROOM, *a.shape[1:]), a.dtype), values)
        return _NoRows([change(self.resident, to_device(empty))], [0])


def first_row(rows: Rows, hosts: Hosts) -> Rows:
    """The first row that any process has, in all of them.

    Raises
    ------
    HostError
        The columns are not of the same types in all processes.
    """
    leaves = jax.tree.leaves(rows)
    types, content = json.dumps([(a.dtype.str, a.shape[1:]) for a in leaves]), bytes_of([a[:1] for a in leaves])
    told = [part.split(b"\n", 1) for part in hosts.gather_bytes(types.encode() + b"\n" + content)]
    hosts.compare("the types of the columns", [part[0].decode() for part in told])
    found = next((part[1] for part in told if part[1]), None)
    if found is None:
        raise DataError("no rows are left to fit in any process; the data is empty, or a value is missing in every row")
    return _rows_of(found, rows)


def spread_rows(rows: Rows, hosts: Hosts, n: int) -> Rows:
    """About n rows from all over those of each process, in all of them; `rows` have the same form everywhere."""
    few = jax.tree.map(lambda a: a[:: max(1, len(rows.y) // n)], rows)
    parts = [_rows_of(content, few) for content in hosts.gather_bytes(bytes_of(few))]
    return jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)


def _summed(hosts: Hosts, what: str, make: Callable[[], Any], share: float = 1.0) -> Any:
    """The sum over all processes of a share of the numbers that each makes, in their shapes and types."""

    def own() -> tuple[Any, np.ndarray]:
        made = jax.tree.map(np.asarray, make())
        return made, share * np.concatenate([np.asarray(a, float).ravel() for a in jax.tree.leaves(made)])

    value, sums = hosts.summed(what, own)
    leaves, structure = jax.tree.flatten(value)
    parts = np.split(sums, np.cumsum([a.size for a in leaves])[:-1])
    made = [_as(part.reshape(a.shape), a.dtype) for part, a in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, made)


def _as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers in another type, counts rounded."""
    return (np.rint(values) if dtype.kind in "iub" else values).astype(dtype)


def _rows_of(content: bytes, like: Rows) -> Rows:
    """As many rows as the bytes hold, of the form of others."""
    leaves = jax.tree.leaves(like)
    m = len(content) // sum(a.dtype.itemsize * int(np.prod(a.shape[1:])) for a in leaves)
    return tree_of(content, jax.tree.map(lambda a: jax.ShapeDtypeStruct((m, *a.shape[1:]), a.dtype), like))


@dataclass(frozen=True)
class _Unfinished(Kernel):
    """A kernel whose value is left in the form in which values combine."""

    kernel: Kernel

    @property
    def additive(self) -> bool:
        return self.kernel.additive

    @property
    def scatters(self) -> bool:
        return self.kernel.scatters

    def map(self, model: Model, point: Any, rows: Rows) -> Any:
        return self.kernel.map(model, point, rows)

    def combine(self, a: Any, b: Any) -> Any:
        return self.kernel.combine(a, b)

    def accumulate(self, total: Any, model: Model, point: Any, rows: Rows) -> Any:
        return self.kernel.accumulate(total, model, point, rows)

    def zero(self, like: Any) -> Any:
        return self.kernel.zero(like)


_combine = jax.jit(lambda kernel, a, b: kernel.combine(a, b), static_argnums=0)
