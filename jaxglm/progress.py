"""A bar of tqdm for work that takes long: what is done of it, and of a fit its pass and how far it is from the end.

A fit is shown by what runs inside of :func:`shown`: sources report the rows of a pass, solvers the length of a step.
Where nobody asked for it, or is not shown, a report costs next to nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jaxglm.errors import MissingExtraError

#: Seconds of work after which a bar is shown where nobody asked for one.
PATIENCE = 1.0
#: The same of a fit, whose first seconds may be compiling.
PATIENCE_OF_A_FIT = 3.0


class Bar:
    """A bar where it is wanted, or, if `wanted` is None, where the work takes long and tqdm is there.

    Parameters
    ----------
    total : int or None
        Of whatever is counted; None where nobody knows, or where it is counted several times.
    wanted : bool or None
    unit : str
        What is counted, with a blank before it.
    patience : float
        Seconds after which work is long, a second by default.

    Raises
    ------
    MissingExtraError
        A bar is wanted, and tqdm is not installed.
    """

    def __init__(
        self, total: int | None, wanted: bool | None, unit: str, patience: float | None = None, **options: Any
    ):
        self.total, self.wanted, self.done = total, wanted, 0
        self._begun, self._bar, self._goes_on = time.monotonic(), None, total is None
        self._patience = PATIENCE if patience is None else patience
        self._options = {"unit": unit, **options}
        if wanted:
            self._open()

    def _open(self) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            if self.wanted:
                raise MissingExtraError('progress=True needs tqdm: pip install "jaxglm[progress]"') from None
            self.wanted = False
            return
        self._bar = tqdm(total=self.total, initial=self.done, **self._options)

    def add(self, count: int) -> None:
        """So much more is done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self.wanted is None and time.monotonic() - self._begun > self._patience:
            if self._goes_on or self.done < self.total:
                self._open()

    def restart(self, total: int | None, **words: str) -> None:
        """From zero again; `words` are tqdm's options ``desc`` and ``postfix``."""
        self.total, self.done = total, 0
        self._options |= words
        if self._bar is not None:
            # Else the rate counts from where the bar first appeared.
            self._bar.initial = 0
            self._bar.reset(total)
            self._bar.set_description_str(self._options.get("desc"), refresh=False)
            self._bar.set_postfix_str(self._options.get("postfix", ""))

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.close()


class _Passes:
    """The passes of a fit."""

    def __init__(self, bar: Bar):
        self.bar, self.count, self.length = bar, 0, None
        self.lock = threading.Lock()

    def begin(self, total: int | None, name: str) -> None:
        self.count += 1
        far = "" if self.length is None else f"step of {self.length:.1g} standard errors"
        self.bar.restart(total, desc=f"pass {self.count}{name and f' ({name})'}", postfix=far)

    def add(self, count: int) -> None:
        # Rows are reported by all threads that compute.
        with self.lock:
            self.bar.add(count)


_CURRENT: ContextVar[_Passes | None] = ContextVar("jaxglm_progress", default=None)


@contextmanager
def shown(wanted: bool | None) -> Iterator[None]:
    """Show the passes over the rows that are made inside; None for those that take long, if tqdm is there.

    Raises
    ------
    MissingExtraError
        They are wanted, and tqdm is not installed.
    """
    if wanted is False:
        yield
        return
    with Bar(None, wanted, " rows", PATIENCE_OF_A_FIT, unit_scale=True, leave=False) as bar:
        token = _CURRENT.set(_Passes(bar))
        try:
            yield
        finally:
            _CURRENT.reset(token)


@contextmanager
def unseen() -> Iterator[None]:
    """Leave out the passes that are made inside, over a few of the rows."""
    token = _CURRENT.set(None)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def begin_pass(total: int | None, name: str = "") -> Callable[[int], None]:
    """A pass over so many rows begins; to be called with the number of rows that are done since."""
    passes = _CURRENT.get()
    if passes is None:
        return _ignore
    passes.begin(total, name)
    return passes.add


def report_step(length: float) -> None:
    """The length of the next step of a fit, in standard errors."""
    passes = _CURRENT.get()
    if passes is not None:
        passes.length = float(length)


def _ignore(count: int) -> None:
    """Nobody looks."""
