"""Kernels: what is summed, combined or computed over rows."""

from typing import TYPE_CHECKING

from jaxglm import lazy
from jaxglm.kernels.base import Joint, Kernel, Model, RowMap, Rows, Walk
from jaxglm.kernels.compensated import Careful, Compensated, Pair
from jaxglm.kernels.meat import ClusterMeat, LeverageMeat, LeveragePoint, Meat, Scores
from jaxglm.kernels.movement import Boundaries, Movement, Moves
from jaxglm.kernels.rows import row_terms
from jaxglm.kernels.statistics import Closing, ClosingPoint, FitPoint, FitSums, NullSums, Statistics
from jaxglm.kernels.survey import Facts, Margins, Survey
from jaxglm.kernels.totals import Newton, Point, Totals
from jaxglm.kernels.triangle import Triangle
from jaxglm.kernels.values import (
    Columns,
    Dependence,
    Itself,
    Matrix,
    Observed,
    Predictions,
    Predictors,
    Residuals,
    Unsound,
)

if TYPE_CHECKING:
    from jaxglm.kernels.averages import (
        Alongside,
        Level,
        LinkOutcome,
        LogOutcome,
        Loose,
        Outcome,
        Setting,
        Slopes,
        Sums,
        Tangent,
    )
    from jaxglm.kernels.checks import Added, AddedPoint, AddedSums, Moments, MomentSums, Outcomes
    from jaxglm.kernels.distribution import Anscombe, Given, Spread, Tails
    from jaxglm.kernels.influence import Changes, Deletion, DeletionPoint
    from jaxglm.kernels.lanes import LanePoints, Lanes, Routed

__all__ = [
    "Alongside",
    "Level",
    "LinkOutcome",
    "LogOutcome",
    "Loose",
    "Outcome",
    "Setting",
    "Slopes",
    "Spread",
    "Sums",
    "Tangent",
    "Anscombe",
    "Given",
    "Tails",
    "Added",
    "AddedPoint",
    "AddedSums",
    "Boundaries",
    "Careful",
    "Changes",
    "Closing",
    "ClosingPoint",
    "ClusterMeat",
    "Columns",
    "Compensated",
    "Deletion",
    "DeletionPoint",
    "Dependence",
    "Facts",
    "FitPoint",
    "FitSums",
    "Itself",
    "Joint",
    "Kernel",
    "LanePoints",
    "Lanes",
    "LeverageMeat",
    "LeveragePoint",
    "Margins",
    "Matrix",
    "Meat",
    "Model",
    "Moments",
    "MomentSums",
    "Movement",
    "Moves",
    "Newton",
    "NullSums",
    "Observed",
    "Outcomes",
    "Pair",
    "Point",
    "Predictions",
    "Predictors",
    "Residuals",
    "Routed",
    "RowMap",
    "Rows",
    "Scores",
    "Statistics",
    "Survey",
    "Totals",
    "Triangle",
    "Unsound",
    "Walk",
    "row_terms",
]

#: What no fit needs, by the modules that have it.
_RARE = {
    "averages": "Alongside Level LinkOutcome LogOutcome Loose Outcome Setting Slopes Sums Tangent",
    "checks": "Added AddedPoint AddedSums MomentSums Moments Outcomes",
    "distribution": "Anscombe Given Spread Tails",
    "influence": "Changes Deletion DeletionPoint",
    "lanes": "LanePoints Lanes Routed",
}
__getattr__ = lazy.attach(
    __name__, {name: f"{__name__}.{module}" for module, names in _RARE.items() for name in names.split()}
)
