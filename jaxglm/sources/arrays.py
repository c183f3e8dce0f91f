"""Rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxglm.kernels import Kernel, Model, RowMap, Rows, Walk
from jaxglm.precision import aligned_empty, host, in_threads, scope, threads
from jaxglm.sources.aliasing import edges_of, in_place, shape_of
from jaxglm.sources.base import (
    Source,
    bucket,
    chunk_rows,
    cut,
    even_rows,
    filled,
    pad,
    stored,
    to_device,
    workers,
)
from jaxglm.sources.distinct import distinct, pooled
from jaxglm.sources.placing import place, take, taken
from jaxglm.sources.storage import is_leaf, row_bytes
from jaxglm.sources.sums import map_chunk, reduce_chunks
from jaxglm.sources.walk import walk_chunks

#: Bytes of a design from which it is read where it lies; less is copied, so that later writes of the user do no harm.
ALIASED_BYTES = 2**25
#: Rows from which sums are most of a fit, so that it pays to combine the codes of factors.
_LEAST_COMBINED = 2**13
#: Rows of each level of a factor that a sample has where there are so many: enough that also a rare outcome occurs.
ROWS_OF_A_LEVEL = 160
#: Rows of the chunks of a sample on a CPU, whatever its size, so that samples of any size meet compiled code.
_SAMPLE_CHUNK = 2**13
#: Rows for each whose response is not 0 from which such rows are rare, and a sample has them all.
_RARE = 8
#: Rows of each level that such a sample then has besides, where there are so many.
_OTHERS_OF_A_LEVEL = 16


class ArraySource(Source):
    """Chunks of fixed shape on the device, summed from the host.

    Small data is one chunk whose length is rounded up to a bucket, so that a loop can
    run on the device and new lengths meet compiled code; large data is chunks of one
    shape, so that one compile serves every n. On a CPU large matrices and columns are
    read where they lie in the user's memory.

    Attributes
    ----------
    aliased : bool
        Whether some of the memory that is read belongs to the user.
    """

    def __init__(
        self, chunks: list[Rows], counts: list[int], aliased: bool = False, repeats: bool = False,
        host: Rows | None = None, size: int = 0,
    ):  # fmt: skip
        self._made, self._counts, self.repeats, self._size = chunks, counts, repeats, size
        #: Host rows from which chunks of so many rows are made when they are first needed.
        self._host = host
        self.n_rows = sum(counts)
        self.aliased = aliased

    @classmethod
    def from_rows(cls, rows: Rows, owned: bool = False) -> ArraySource:
        """From one block of host arrays, which may be our own; see the class for what is copied."""
        n, size = len(rows.y), chunk_rows(row_bytes(rows), len(rows.y))
        if jax.default_backend() != "cpu":
            # Of a sample of them the host has them at hand before they are sent.
            return cls._kept(rows, min(size, bucket(n)))
        if n <= size:
            return cls([to_device(pad(rows, min(size, bucket(n))))], [n])
        lanes, coded = workers(n, rows), all(a.dtype.kind == "i" and a.ndim == 1 for a in jax.tree.leaves(rows.x))
        if n * row_bytes(rows) >= ALIASED_BYTES and not coded:
            size = shape_of(size, n, lanes)
            edges = edges_of(n, size, lanes)
            return cls(in_place(rows, size, edges[:-1]), np.diff(edges).tolist(), not owned)
        size = even_rows(size, n, lanes)
        if coded:
            # Codes are made by us, the rest may be the user's.
            return cls._kept(jax.tree.map(_owned, rows._replace(x=()))._replace(x=rows.x), size)
        return cls(_cut_up(rows, size), _counts(n, size))

    @classmethod
    def of_sample(cls, rows: Rows) -> ArraySource:
        """From one block of host arrays that are a sample of others."""
        return cls._kept(rows, _sample_sizes(len(rows.y))[0])

    @classmethod
    def _kept(cls, rows: Rows, size: int, repeats: bool = False) -> ArraySource:
        """Of host rows that nobody else changes before they become chunks of so many rows, when first needed."""
        return cls([], _counts(len(rows.y), size), repeats=repeats, host=rows, size=size)

    @classmethod
    def _of_few(cls, few: Rows, most: int) -> ArraySource:
        """Of rows that stand for several each, in chunks of at most so many."""
        # A chunk a thread, as far as there is work for a thread.
        size = bucket(-(-len(few.y) // workers(len(few.y), few)))
        return cls._kept(few, min(most, size), repeats=True)

    @property
    def _chunks(self) -> list[Rows]:
        if self._host is not None:
            # Later on the scope may be another.
            with scope():
                self._made, self._host = _cut_up(self._host, self._size), None
        return self._made

    @property
    def resident(self) -> Rows | None:
        """The only chunk, if there is but one."""
        return self._chunks[0] if len(self._counts) == 1 else None

    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        return reduce_chunks(kernel, model, point, list(zip(self._chunks, self._counts, strict=True)), self.repeats)

    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        def one(rows, count):
            return cut(host(map_chunk(kernel, model, point, rows)), 0, count)

        # As many at a time as there are threads, each on a chunk of its own.
        at_once = threads()
        for start in range(0, len(self._chunks), at_once):
            stop = start + at_once
            pairs = zip(self._chunks[start:stop], self._counts[start:stop], strict=True)
            yield from in_threads([partial(one, *pair) for pair in pairs])

    def walk(self, walk: Walk, model: Model, frame: Any, state: Any, size: int, seed: int) -> tuple[Any, np.ndarray]:
        return walk_chunks(walk, model, frame, state, list(zip(self._chunks, self._counts, strict=True)), size, seed)

    def replace(self, change: Callable[[Rows], Rows]) -> ArraySource:
        return ArraySource([change(rows) for rows in self._chunks], self._counts, self.aliased, self.repeats)

    def condensed(self, model: Model) -> tuple[Source, Model]:
        """Equal rows taken together where there are many; factors under fewer codes than there are of them.

        On an accelerator, where the rows are far from the host and sums are cheap, all stays as it is.
        """
        if jax.default_backend() != "cpu":
            return self, model
        few = None if self._host is None else distinct(self._host)
        source = self
        if few is not None:
            source = ArraySource._of_few(few, self._size)
        made = model.layout.combined() if source.n_rows >= _LEAST_COMBINED else None
        if made is None:
            return source, model
        layout, change = made
        return _Combined(source, change), Model(model.family, layout)

    def pooled(self, model: Model) -> ArraySource:
        few = pooled(self._host) if self.repeats and self._host is not None and model.family.pools else None
        return self if few is None else ArraySource._of_few(few, self._size)

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> ArraySource:
        starts = np.cumsum([0, *self._counts])
        chunks = [
            change(rows, to_device(filled(cut(values, start, start + count), rows.y.shape[0])))
            for rows, start, count in zip(self._chunks, starts, self._counts, strict=False)
        ]
        return ArraySource(chunks, self._counts, self.aliased, self.repeats)

    def sample(self, n: int) -> ArraySource:
        """One row out of each of n stretches of equal length, at places that are the same every time.

        Of levels that then have few rows, more are added: what the rows are chosen by is a column of the design, so
        estimates from them stay unbiased. Where few responses are not 0, those rows tell most: all of them are there,
        beside as many of the others or more, each of which counts for those that were left out.
        """
        freq = None
        chosen = self._by_response(n)
        if chosen is None:
            places = _spread(self.n_rows, n)
            added = self._of_rare_levels(places, ROWS_OF_A_LEVEL)
            places = np.union1d(places, added) if len(added) else places
        else:
            places, freq = chosen
        step, size = _sample_sizes(len(places))
        whole = self._gathered(places, size) if self._host is None else stored(pad(taken(self._host, places), size))
        if freq is not None:
            whole.freq[: len(places)] *= freq
        chunks = jax.device_put([cut(whole, start, start + step) for start in range(0, size, step)])
        return ArraySource(chunks, _counts(len(places), step), repeats=self.repeats or freq is not None)

    def _gathered(self, places: np.ndarray, size: int) -> Rows:
        """Rows of the chunks at some places, which ascend, as host arrays of our own that are filled up to `size`."""
        starts = np.cumsum([0, *self._counts])
        edges = np.searchsorted(places, starts)
        first, structure = jax.tree.flatten(taken(self._chunks[0], np.zeros(1, int)))
        found = [aligned_empty((size, *a.shape[1:]), a.dtype) for a in first]

        def fill(chunks: range) -> None:
            for i in chunks:
                at, here = places[edges[i] : edges[i + 1]] - starts[i], slice(edges[i], edges[i + 1])
                for a, whole in zip(jax.tree.leaves(self._chunks[i], is_leaf=is_leaf), found, strict=True):
                    take(a, at, whole[here])

        # They are far apart in memory, which one thread alone would wait for.
        n_chunks = len(self._counts)
        cuts = np.linspace(0, n_chunks, min(threads(), n_chunks) + 1).astype(int)
        in_threads([partial(fill, range(a, b)) for a, b in zip(cuts[:-1], cuts[1:], strict=True)])
        for whole in found:
            whole[len(places) :] = whole[0]
        rows = jax.tree.unflatten(structure, found)
        rows.freq[len(places) :] = 0.0
        return rows

    def _by_response(self, n: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Places of rows chosen by their response, and for how many rows of the sample each counts; None if not rare.

        The latter are 1 on average (Horvitz and Thompson 1952).
        """
        found = [np.asarray(rows.y)[:count] != 0 for rows, count in self._parts()]
        rest, told = sum(map(len, found)), sum(map(np.count_nonzero, found))
        if not 0 < told <= min(rest // _RARE, 4 * n):
            return None
        alone = np.concatenate(found)
        others = np.flatnonzero(~alone)
        kept = others[_spread(len(others), min(max(n, told), len(others)))]
        # No level may seem to have one outcome only; these rows stand for themselves, as the told ones do.
        alone[self._of_rare_levels(kept, _OTHERS_OF_A_LEVEL)] = True
        kept = kept[~alone[kept]]
        share = len(kept) / (len(alone) - np.count_nonzero(alone)) if len(kept) else 1.0
        places = np.union1d(np.flatnonzero(alone), kept)
        freq = np.where(alone[places], share, 1.0)
        return places, freq / freq.mean()

    def _of_rare_levels(self, places: np.ndarray, least: int) -> np.ndarray:
        """Places of the first rows of each level that has fewer than `least` among the rows at some places."""
        found = [np.empty(0, np.int64)]
        for codes in self._coded():
            rare = np.bincount(codes[places], minlength=int(codes.max()) + 1) < least
            found.append(_first_rows(codes, np.where(rare, least, 0)))
        return np.concatenate(found)

    def _parts(self) -> list[tuple[Rows, int]]:
        """The rows, wherever they lie, and how many of each part count."""
        parts = (self._chunks, self._counts) if self._host is None else ([self._host], [self.n_rows])
        return list(zip(*parts, strict=True))

    def _coded(self) -> Iterator[np.ndarray]:
        """The codes of each factor, (n,), on the host."""
        if self._host is not None:
            yield from (a for a in jax.tree.leaves(self._host.x) if a.dtype.kind == "i")
            return
        leaves = [jax.tree.leaves(rows.x, is_leaf=is_leaf) for rows in self._chunks]
        for pieces in zip(*leaves, strict=True):
            if not is_leaf(pieces[0]) and pieces[0].dtype.kind == "i":
                yield np.concatenate([np.asarray(a)[:m] for a, m in zip(pieces, self._counts, strict=True)])


def _first_rows(codes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Places of the first rows of each level, as many as are wanted of it (levels,); fewer where there are fewer.

    Stretch by stretch, since most levels are complete before long.
    """
    found, left = [np.empty(0, np.int64)], wanted.copy()
    start, size = 0, 2**14
    while start < len(codes) and left.any():
        part = codes[start : start + size]
        at = np.flatnonzero((left > 0)[part])
        few = part[at].astype(np.int16) if len(left) < 2**15 else part[at]
        # Of numbers so short a stable sort is one by digits.
        by_level = at[np.argsort(few, kind="stable")]
        level = part[by_level]
        first = np.flatnonzero(np.diff(level, prepend=-1))
        rank = np.arange(len(level)) - np.repeat(first, np.diff(first, append=len(level)))
        found.append(start + by_level[rank < left[level]])
        left = np.maximum(left - np.bincount(level, minlength=len(left)), 0)
        start, size = start + size, 2 * size
    return np.concatenate(found)


def _spread(size: int, n: int) -> np.ndarray:
    """One place out of each of n stretches of equal length, in their order, the same every time.

    There are fewer than n where neighbors share a place.
    """
    edges = np.linspace(0, size, n + 1)
    places = (edges[:-1] + np.random.default_rng(0).random(n) * np.diff(edges)).astype(np.int64)
    return places[np.diff(places, prepend=-1) > 0]


class _Combined(ArraySource):
    """Rows whose factors stand under fewer codes; a sample of them is one of the rows as they were."""

    def __init__(self, source: ArraySource, change: Callable[[Any], Any]):
        def changed(rows):
            return rows._replace(x=change(rows.x))

        self._whole, self._changed = source, changed
        host = None if source._host is None else changed(source._host)
        chunks = [changed(rows) for rows in source._chunks] if host is None else []
        super().__init__(chunks, source._counts, source.aliased, source.repeats, host, source._size)

    def sample(self, n: int) -> ArraySource:
        return self._whole.sample(n).replace(self._changed)


def _sample_sizes(n: int) -> tuple[int, int]:
    """Rows of a chunk of a sample of n rows, and of all of its chunks together."""
    step = bucket(n)
    if jax.default_backend() == "cpu":
        step = min(step, _SAMPLE_CHUNK)
    return step, -(-n // step) * step


def _counts(n: int, size: int) -> list[int]:
    """Rows of each chunk."""
    return [min(size, n - start) for start in range(0, n, size)]


def _owned(a: np.ndarray) -> np.ndarray:
    """A copy, where the array is more than one number said again and again."""
    return a if a.strides == (0,) else np.array(a)


def _cut_up(rows: Rows, size: int) -> list[Rows]:
    """Chunks of `size` rows, the last of them filled up."""
    chunks, ones, on_cpu = [], None, jax.default_backend() == "cpu"
    for start in range(0, len(rows.y), size):
        stop = min(start + size, len(rows.y))
        whole, part = stop - start == size, cut(rows, start, stop)
        shares = ones is not None and whole and rows.freq.strides == (0,)
        if shares and on_cpu:
            part = part._replace(freq=())
        made = stored(pad(part, size)) if on_cpu else place(rows, start, stop, size)
        if shares:
            made = made._replace(freq=ones)
        elif whole:
            ones = made.freq
        chunks.append(made)
    # All at once: a hundred transfers one by one take as long as a pass.
    return jax.device_put(chunks)
