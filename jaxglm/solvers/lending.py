"""The fit to a sample, and for what its X'WX serves all rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxglm.design import Columns, Constant, Dense
from jaxglm.kernels import Facts, Model
from jaxglm.solvers.information import Information
from jaxglm.sources import Source

#: Numeric columns from which their products are most of the work.
_WIDE = 8
#: Rows of a sample for each coefficient from which its Hessian is near enough that of all rows for a first step; and
#: where a pass for a gradient is cheap.
_ROWS_OF_A_HESSIAN, _ROWS_OF_A_HESSIAN_HERE = 1000, 100


class Sampled(NamedTuple):
    """The fit to a sample: where a solve of all rows begins.

    ``whole`` says that no column depends on others, ``pivot`` how far they are from it; ``facts`` and ``information``
    are of the sample's rows, the latter at its estimate. ``observed`` says that steps were by the observed information.
    """

    theta: np.ndarray
    whole: bool
    pivot: float
    facts: Facts
    information: Information
    observed: bool = False


def by_gradients(source: Source, model: Model) -> bool:
    """Whether gradients are much cheaper than X'WX, and an X'WX of some rows may serve all of them."""
    return source.sums_on_host and is_wide(model) and _may_lend(model)


def _may_lend(model: Model) -> bool:
    """Whether the X'WX of a sample is near that of all rows: of numbers, and the very Hessian, which is not steady.

    Of rare levels a sample has more rows than its share; a Hessian that is the same everywhere is made once.
    """
    family, parts = model.family, [part for design in model.layout.designs for part, _ in design.parts]
    numeric = all(isinstance(part, (Dense, Columns, Constant)) for part in parts)
    return numeric and family.is_canonical and not (family.steady or family.quadratic)


def is_wide(model: Model) -> bool:
    """Whether products of numeric columns are most of the work."""
    parts = [part for design in model.layout.designs for part, _ in design.parts]
    return any(isinstance(part, (Dense, Columns)) and part.n_columns >= _WIDE for part in parts)


def lends(source: Source, model: Model, sample: Sampled) -> bool:
    """Whether the first step is by the sample's X'WX, so that the first pass makes none.

    It leaves about 2 sqrt(P / m) of the distance; a step by the very Hessian of all rows from there ends as near as
    the second such step would.
    """
    least = (_ROWS_OF_A_HESSIAN if source.read_anew else _ROWS_OF_A_HESSIAN_HERE) * len(sample.theta)
    pays = _may_lend(model) if source.read_anew else by_gradients(source, model)
    return pays and sample.whole and float(sample.facts.n_rows) >= least
