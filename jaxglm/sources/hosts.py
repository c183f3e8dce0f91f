"""Rows that lie in several processes."""

from __future__ import annotations

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
from jaxglm.sources.storage import is_leaf, on_host
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
    """

    def __init__(self, own: Source, hosts: Hosts, n_rows: int, n_before: int = 0, read_anew: bool = False):
        self._own, self.hosts, self.n_rows = own, hosts, n_rows
        self.n_before, self.read_anew = n_before, read_anew

    @classmethod
    def of(cls, own: Source, hosts: Hosts) -> HostsSource:
        """From the rows of each process."""
        counts, anew = hosts.gather(np.asarray([own.n_rows, own.read_anew], np.int64)).T
        return cls(own, hosts, int(counts.sum()), int(counts[: hosts.place].sum()), bool(anew.any()))

    @property
    def own(self) -> Source:
        return self._own

    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        value = self.hosts.together(
            f"summing {kernel} over its rows",
            lambda: host(self.own.reduce(_Unfinished(kernel), model, point)),
        )
        return _finish(kernel, model, self._across(kernel, value))

    def _across(self, kernel: Kernel, value: Any) -> Any:
        leaves, structure = jax.tree.flatten(value)
        if kernel.additive:
            sums = self.hosts.total(np.concatenate([np.asarray(a, float).ravel() for a in leaves]))
            parts = np.split(sums, np.cumsum([a.size for a in leaves])[:-1])
            made = [part.reshape(a.shape).astype(a.dtype) for part, a in zip(parts, leaves, strict=True)]
            return jax.tree.unflatten(structure, made)
        values = [tree_of(content, value) for content in self.hosts.gather_bytes(bytes_of(value))]
        return host(reduce(lambda a, b: _combine(kernel, a, b), values))

    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        raise NotAvailableError(
            f"this looks at all rows one by one, but they lie in {self.hosts.size} processes; fit the model in one "
            "process for it. fittedvalues, resid() and influence() give values of the rows of this process"
        )

    def walk(self, walk: Walk, model: Model, frame: Any, state: Any, size: int, seed: int) -> tuple[Any, np.ndarray]:
        """Every process goes through its own rows; then their states are averaged, by their shares of the rows."""
        state, kept = self.hosts.together(
            "going through its rows", lambda: host(self.own.walk(walk, model, frame, state, size, seed))
        )
        leaves, structure = jax.tree.flatten(state)
        share = self.own.n_rows / self.n_rows
        sums = self.hosts.total(np.concatenate([share * np.asarray(a, float).ravel() for a in leaves]))
        parts = np.split(sums, np.cumsum([np.size(a) for a in leaves])[:-1])
        made = [_as(part.reshape(np.shape(a)), np.asarray(a).dtype) for part, a in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(structure, made), self.hosts.joined(np.asarray(kept, float))

    def replace(self, change: Callable[[Rows], Rows]) -> HostsSource:
        return self._of(self.own.replace(change))

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> HostsSource:
        return self._of(self.own.beside(values, change))

    def _of(self, own: Source) -> HostsSource:
        return HostsSource(own, self.hosts, self.n_rows, self.n_before, self.read_anew)

    def sample(self, n: int) -> ArraySource | None:
        """Some rows of every process, in all of them."""

        def own():
            share = -(-n * self.own.n_rows // self.n_rows)
            return self.own.sample(share) if share else None

        some = self.hosts.together("taking a sample of its rows", own)
        if self.hosts.gather(np.asarray(some is None and self.own.n_rows > 0)).any():
            return None
        pieces = [(self.own.resident, 0)] if some is None else zip(some._chunks, some._counts, strict=True)
        pieces = [_first_rows(*piece) for piece in pieces]
        rows = jax.tree.map(lambda *found: np.concatenate(found), *pieces)
        parts = [_rows_of(content, rows) for content in self.hosts.gather_bytes(bytes_of(rows))]
        return ArraySource.of_sample(jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts))


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
    """The first row that any process has, in all of them; `rows` have the same form everywhere."""
    found = hosts.gather_bytes(bytes_of(jax.tree.map(lambda a: a[:1], rows)))
    content = next((c for c in found if c), None)
    if content is None:
        raise DataError("no rows are left to fit in any process; the data is empty, or a value is missing in every row")
    return _rows_of(content, rows)


def spread_rows(rows: Rows, hosts: Hosts, n: int) -> Rows:
    """About n rows from all over those of each process, in all of them; `rows` have the same form everywhere."""
    few = jax.tree.map(lambda a: a[:: max(1, len(rows.y) // n)], rows)
    parts = [_rows_of(content, few) for content in hosts.gather_bytes(bytes_of(few))]
    return jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)


def _as(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers in another type, counts rounded."""
    return (np.rint(values) if dtype.kind in "iub" else values).astype(dtype)


def _first_rows(rows: Rows, count: int) -> Rows:
    return jax.tree.map(lambda a: on_host(a)[:count], rows, is_leaf=is_leaf)


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
