"""Pictures of a result; matplotlib is imported only when one is drawn."""

from jaxglm.plot.plot import Plot

__all__ = ["Plot"]
