"""Items made ahead in a thread of their own, so that reading and decoding overlap with computing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Generic, TypeVar

from jaxglm.precision import carried, in_threads

T = TypeVar("T")
V = TypeVar("V")
#: Items that wait for each reader.
AHEAD = 2


class Prefetch(Generic[T]):
    """A bounded queue that a thread fills from an iterator; items are dealt out to readers in turn.

    Use it as a context: at its end the thread has ended too and the iterator is closed, whatever happened. An error of
    the iterator is raised in the reader that comes to it, with its traceback.

    Parameters
    ----------
    make : callable () -> iterator
        Called, and all of the iterator run, in the thread.
    lanes : int
        Readers. Item i goes to reader i modulo their number, so that what each gets does not depend on its speed.
    ahead : int
        Items that wait for each.

    Examples
    --------
    >>> from jaxglm.sources.prefetch import Prefetch
    >>> with Prefetch(lambda: iter("abc")) as made:
    ...     print(list(made.lane()))
    ['a', 'b', 'c']
    """

    def __init__(self, make: Callable[[], Iterator[T]], lanes: int = 1, ahead: int = AHEAD):
        self._waiting: list[deque[T]] = [deque() for _ in range(lanes)]
        self._ahead = ahead
        self._changed = threading.Condition()
        self._stopped = self._ended = False
        self._error: BaseException | None = None
        # A daemon, so that reading that hangs does not keep an interrupted process from ending.
        self._thread = threading.Thread(target=carried(self._run), args=(make,), name="jaxglm-prefetch", daemon=True)

    def __enter__(self) -> Prefetch[T]:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Want no more: the readers and the thread end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def lane(self, k: int = 0) -> Iterator[T]:
        """The items of one reader, until the iterator ends or somebody stops."""
        waiting = self._waiting[k]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: waiting or self._ended or self._stopped)
                if self._stopped:
                    return
                if not waiting:
                    if self._error is not None:
                        raise self._error
                    return
                item = waiting.popleft()
                self._changed.notify_all()
            yield item
            # Not kept while the next one is waited for.
            del item

    def _run(self, make: Callable[[], Iterator[T]]) -> None:
        error = None
        try:
            self._fill(make())
        except BaseException as caught:
            error = caught
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def _fill(self, items: Iterator[T]) -> None:
        try:
            for i, item in enumerate(items):
                waiting = self._waiting[i % len(self._waiting)]
                with self._changed:
                    self._changed.wait_for(lambda waiting=waiting: len(waiting) < self._ahead or self._stopped)
                    if self._stopped:
                        return
                    waiting.append(item)
                    self._changed.notify_all()
                del item
        finally:
            if hasattr(items, "close"):
                items.close()


def dealt(
    make: Callable[[], Iterator[T]], consume: Callable[[Iterator[T]], V], lanes: int, ahead: int = AHEAD
) -> list[V]:
    """What `consume` gives for the items of each reader, all of them at work at the same time.

    The first error, of the iterator or of a reader, is raised after all threads have ended.
    """
    with Prefetch(make, lanes, ahead) as made:

        def read(k: int) -> V:
            try:
                return consume(made.lane(k))
            except BaseException:
                # Without this reader the others would wait for ever.
                made.stop()
                raise

        return in_threads([partial(read, k) for k in range(lanes)])


def side_by_side(makes: Sequence[Callable[[], Iterator[T]]], consume: Sequence[Callable[[Iterator[T]], V]]) -> list[V]:
    """What each of `consume` gives for the items of its iterator, both of them run in one thread for each.

    Nothing waits for another thread, and memory is used again by the one that had it. The first error is raised after
    all threads have ended; the others see no further items.
    """
    stopped = threading.Event()

    def items(make: Callable[[], Iterator[T]]) -> Iterator[T]:
        made = make()
        try:
            for item in made:
                if stopped.is_set():
                    return
                yield item
                del item
        finally:
            if hasattr(made, "close"):
                made.close()

    def value(make: Callable[[], Iterator[T]], consume: Callable[[Iterator[T]], V]) -> Iterator[V]:
        try:
            with closing(items(make)) as its:
                made = consume(its)
        except BaseException:
            stopped.set()
            raise
        yield made

    with ExitStack() as stack:
        pairs = zip(makes, consume, strict=True)
        found = [stack.enter_context(Prefetch(partial(value, *pair))) for pair in pairs]
        # Run before any thread is waited for. What one gave that was stopped is never used: another has an error.
        stack.callback(stopped.set)
        return [next(each.lane()) for each in found]
