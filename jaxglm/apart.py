"""Sources of rows that lie in several processes, made of what each of them has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from jaxglm import resolve
from jaxglm.hosts import ALONE, Hosts
from jaxglm.intake.base import Taken
from jaxglm.intake.compact import compact
from jaxglm.intake.pieces import Pieces
from jaxglm.intake.shared import Tally, sent_kinds
from jaxglm.precision import FLOAT64, Precision
from jaxglm.sources import HostsSource, Source, first_row, spread_rows, without_rows
from jaxglm.sources.base import cut
from jaxglm.sources.stream import thinned

#: Rows of each process that centers and scales are taken from.
_LOOKED_AT = 4096


def source(
    intake: Any, taken: Taken | Pieces, placed: resolve.Devices, wanted: Precision, make: Callable
) -> tuple[Any, HostsSource]:
    """The rows of all processes, of which `taken` are those of this one; `make` makes a source of them."""
    return (_in_memory if isinstance(taken, Taken) else _streamed)(intake, taken, placed, wanted, make)


def _in_memory(
    intake: Any, taken: Taken, placed: resolve.Devices, wanted: Precision, make: Callable
) -> tuple[Any, HostsSource]:
    hosts = placed.hosts
    example = first_row(taken.rows, hosts)
    intake = _compact(intake, taken.rows, wanted, hosts)

    def own() -> Source:
        if not len(taken.rows.y):
            return without_rows(intake.keep(replace(taken, rows=example)).rows)
        return make(intake, taken, replace(placed, hosts=ALONE), FLOAT64)[1]

    return intake, HostsSource.of(own, hosts, "placing its rows")


def _compact(intake: Any, rows: Any, wanted: Precision, hosts: Hosts) -> Any:
    """The intake that keeps columns as asked, centered and scaled by rows of all processes."""
    if wanted.columns is np.float64:
        return intake
    return compact(intake, spread_rows(rows, hosts, _LOOKED_AT), wanted, hosts)


def _streamed(
    intake: Any, pieces: Pieces, placed: resolve.Devices, wanted: Precision, make: Callable
) -> tuple[Any, HostsSource]:
    """A pass counts the rows, since every process must know how many all have."""
    hosts = placed.hosts

    def count() -> Any:
        if wanted.columns is np.float64:
            pieces.counted()
            return None
        (found,) = thinned([pieces.blocks], pieces.n_rows)
        return found.spread() if pieces.n_rows else cut(pieces.example, 0, 0)

    some, tallies = hosts.share("counting its rows", count, lambda _: pieces.tally, sent_kinds)
    pieces.told = sum(tallies, Tally())
    intake = pieces.intake = _compact(intake, some, wanted, hosts)

    def own() -> Source:
        if not pieces.n_rows:
            return without_rows(intake.keep(Taken(pieces.example)).rows)
        return make(intake, pieces, replace(placed, hosts=ALONE), FLOAT64)[1]

    return intake, HostsSource.of(own, hosts, "placing its rows")
