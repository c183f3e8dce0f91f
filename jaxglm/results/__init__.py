"""Results: a thin facade over a Fit, and the tables it shows."""

from jaxglm.results.results import Results

__all__ = ["Results"]
