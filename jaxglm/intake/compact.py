"""Rows in less than double precision: numeric columns centered and scaled in float64, then rounded."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import jax
import numpy as np

from jaxglm.design import Layout
from jaxglm.hosts import ALONE, Hosts
from jaxglm.kernels import Rows
from jaxglm.precision import Precision

T = TypeVar("T")


def compact(intake: T, rows: Rows, precision: Precision, hosts: Hosts = ALONE) -> T:
    """The intake that keeps columns as the precision asks; rows from all over tell how they are centered.

    With several processes they are the same in all.
    """
    if precision.columns is np.float64:
        return intake
    stored = hosts.agreed(intake.layout.standardized(rows.x))
    return replace(intake, stored=stored, precision=precision)


def encode(stored: Layout | None, rows: Rows, precision: Precision) -> Rows:
    """Host rows as a layout keeps them; everything but numeric columns is only rounded."""
    if stored is None:
        return rows

    def rounded(a):
        if a.strides == (0,):
            return np.broadcast_to(a[0].astype(precision.rows), a.shape)
        return np.asarray(a, precision.rows)

    x = stored.encode(rows.x, precision.columns)
    return jax.tree.map(rounded, rows._replace(x=()))._replace(x=x)
