"""Link functions: pure, elementwise, differentiable in both tails."""

from jaxglm.links.base import Link
from jaxglm.links.positive import InverseSquared, Log, Sqrt
from jaxglm.links.real import Identity, Inverse
from jaxglm.links.unit import CLogLog, Logit, Probit

#: Every link that can be named by a string.
NAMED: dict[str, type[Link]] = {
    cls.name: cls for cls in (Identity, Log, Logit, Probit, CLogLog, Inverse, InverseSquared, Sqrt)
}

__all__ = ["NAMED", "CLogLog", "Identity", "Inverse", "InverseSquared", "Link", "Log", "Logit", "Probit", "Sqrt"]
