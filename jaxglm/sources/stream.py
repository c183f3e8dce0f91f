"""Rows that come again at every pass: data larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxglm.kernels import Kernel, Model, RowMap, Rows, Walk
from jaxglm.precision import host, in_threads, threads
from jaxglm.progress import begin_pass
from jaxglm.sources.arrays import ArraySource
from jaxglm.sources.base import Source, bucket, chunk_rows, cut, filled, to_device
from jaxglm.sources.packing import Chunk, Packer
from jaxglm.sources.prefetch import Prefetch, dealt, side_by_side
from jaxglm.sources.sums import IN_FLIGHT, add_chunks, finish, map_chunk, reduce_chunks
from jaxglm.sources.thinning import Thinning
from jaxglm.sources.walk import walk_chunks

Blocks = Callable[[], Iterator[Rows]]

#: Rows up to which a pass is a single call.
_FEW_ROWS = 2**13


class StreamSource(Source):
    """A callable that yields host rows anew at every pass.

    A thread reads, lays the rows into chunks of one shape and places them on the device, a few chunks ahead of the
    threads that compute: one a core on a CPU, to which chunks are dealt out in turn, so that sums do not depend on
    which of them is faster. Rows that can be read in several places at once are: each thread then reads what it
    computes with. Memory is a few chunks for each thread whatever n is.

    Parameters
    ----------
    blocks : callable () -> iterator of Rows
        Blocks of any length, the same rows in the same order at every call; called and run in a thread of its own.
        Arrays that NumPy cannot write to and does not own (those of Arrow, polars, a file mapped for reading) are read
        where they lie, all others are copied before the next block is asked for.
    n_rows : int
        Not less than there are.
    chunk : int, optional
        Most rows of a chunk, by default as many as suit the device.
    apart : callable (int) -> list of callables such as `blocks`, optional
        Called once a pass, for at most so many of which each yields a part of the rows, at the same time as the others;
        always the same ones. None or a single one where the rows come only one after the other.
    sampled : Rows, optional
        A sample of the rows, where one is known already.
    """

    read_anew = True

    def __init__(
        self,
        blocks: Blocks,
        n_rows: int,
        chunk: int | None = None,
        apart: Callable[[int], list[Blocks]] | None = None,
        sampled: Rows | None = None,
    ):
        self._blocks, self._apart, self._sampled = blocks, apart, sampled
        self._changes: tuple[Callable[[Rows, int, int], Rows], ...] = ()
        #: Whether a change needs to know which rows of all a chunk has.
        self._beside = False
        self._fixed = chunk is not None
        self.n_rows = n_rows
        self.chunk = min(chunk or chunk_rows(), bucket(n_rows))

    def _chunks(self, packer: Packer, blocks: Blocks | None = None) -> Iterator[Chunk]:
        """The chunks of a pass, or of some of its blocks, in the order of the rows."""
        start = 0
        for chunk in packer.chunks((blocks or self._blocks)()):
            stop = start + chunk.count
            for change in self._changes:
                chunk = chunk._replace(rows=change(chunk.rows, start, stop))
            yield chunk
            del chunk
            start = stop

    def reduce(self, kernel: Kernel, model: Model, point: Any) -> Any:
        # Changes are made of arrays on the device.
        packing = partial(Packer, self.chunk, self._fixed, placed=bool(self._changes))
        packer = packing()
        if self.n_rows <= min(self.chunk, _FEW_ROWS):
            return reduce_chunks(kernel, model, point, [(c.rows, c.count) for c in self._chunks(packer)])

        done = begin_pass(self.n_rows)
        lanes = min(threads(), -(-self.n_rows // self.chunk))

        def add(packer: Packer, in_flight: int, chunks: Iterator[Chunk]) -> Any:
            return add_chunks(kernel, model, point, packer.given_back(chunks, in_flight), done, in_flight)

        parts = self._parts(lanes)
        if len(parts) > 1:
            packers = [packing() for _ in parts]
            makes = [partial(self._chunks, *pair) for pair in zip(packers, parts, strict=True)]
            # What computes reads as well, while the device is at work: a thread that waits may leave a core idle.
            adds = [partial(add, packer, IN_FLIGHT) for packer in packers]
            return finish(kernel, model, side_by_side(makes, adds))
        return finish(kernel, model, dealt(partial(self._chunks, packer), partial(add, packer, 0), lanes))

    def _parts(self, most: int) -> list[Blocks]:
        """The blocks of a pass, in several parts where they can be read at the same time."""
        if self._apart is None or self._beside or most < 2:
            return [self._blocks]
        return self._apart(most)

    def iterate(self, kernel: RowMap, model: Model, point: Any) -> Iterator[Any]:
        def one(chunk: Chunk) -> Any:
            return cut(host(map_chunk(kernel, model, point, chunk.rows)), 0, chunk.count)

        done = begin_pass(self.n_rows)
        # Values may be views of the memory of a chunk, which is therefore not used again.
        with Prefetch(partial(self._chunks, Packer(self.chunk, self._fixed))) as made:
            lane = made.lane()
            while group := [chunk for _, chunk in zip(range(threads()), lane, strict=False)]:
                yield from in_threads([partial(one, chunk) for chunk in group])
                done(sum(chunk.count for chunk in group))

    def walk(self, walk: Walk, model: Model, frame: Any, state: Any, size: int, seed: int) -> tuple[Any, np.ndarray]:
        done = begin_pass(self.n_rows)

        def pairs(chunks: Iterator[Chunk]) -> Iterator[tuple[Rows, int]]:
            for chunk in chunks:
                yield chunk.rows, chunk.count
                done(chunk.count)

        # Several chunks are held at a time, so that their memory is not used again.
        with Prefetch(partial(self._chunks, Packer(self.chunk, self._fixed))) as made:
            return walk_chunks(walk, model, frame, state, pairs(made.lane()), size, seed)

    def replace(self, change: Callable[[Rows], Rows]) -> StreamSource:
        return self._changed(lambda rows, start, stop: change(rows), self._beside)

    def beside(self, values: Any, change: Callable[[Rows, Any], Rows]) -> StreamSource:
        def changed(rows: Rows, start: int, stop: int) -> Rows:
            return change(rows, to_device(filled(cut(values, start, stop), rows.y.shape[0])))

        return self._changed(changed, True)

    def _changed(self, change: Callable[[Rows, int, int], Rows], beside: bool) -> StreamSource:
        made = StreamSource(self._blocks, self.n_rows, self.chunk, self._apart)
        made._fixed, made._changes, made._beside = self._fixed, (*self._changes, change), beside
        return made

    def sample(self, n: int) -> ArraySource | None:
        """About n rows or more, by a pass that computes nothing; what a fit saves by them is several passes."""
        if self._changes:
            return None
        rows = self._sampled
        if rows is None:
            made = thinned(self._parts(min(threads(), -(-self.n_rows // self.chunk))), self.n_rows)
            found = [thinning.rows() for thinning in made if thinning.seen]
            if not found or any(rows is None for rows in found):
                return None
            rows = jax.tree.map(lambda *pieces: np.concatenate(pieces), *found)
        return None if len(rows.y) < n else ArraySource.of_sample(rows)


def thinned(parts: list[Blocks], n_rows: int) -> list[Thinning]:
    """A sample of each of the parts of rows that come anew at every pass, by one that computes nothing."""
    done = begin_pass(n_rows, "sample")

    def thin(blocks: Iterator[Rows]) -> Thinning:
        thinning = Thinning(parts=len(parts), expected=n_rows)
        for block in blocks:
            thinning.add(block)
            done(len(block.y))
        return thinning

    return side_by_side(parts, [thin] * len(parts)) if len(parts) > 1 else dealt(parts[0], thin, 1)
