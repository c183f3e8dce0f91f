"""Link functions: pure, elementwise, differentiable in both tails."""

from jaxglm.links.base import Link
from jaxglm.links.custom import CustomLink
from jaxglm.links.positive import InverseSquared, Log, Power, Sqrt
from jaxglm.links.real import Identity, Inverse
from jaxglm.links.unit import Cauchit, CLogLog, Logit, LogLog, Probit

#: Every link that can be named by a string.
NAMED: dict[str, type[Link]] = {
    cls.name: cls for cls in (Identity, Log, Logit, Probit, CLogLog, LogLog, Cauchit, Inverse, InverseSquared, Sqrt)
}
#: Links that need a number, with how to write them.
PARAMETRIC: dict[str, str] = {"power": "jg.links.Power(1 / 3)"}

__all__ = [
    "NAMED",
    "PARAMETRIC",
    "CLogLog",
    "Cauchit",
    "CustomLink",
    "Identity",
    "Inverse",
    "InverseSquared",
    "Link",
    "Log",
    "LogLog",
    "Logit",
    "Power",
    "Probit",
    "Sqrt",
]
