"""Results: a thin facade over a Fit, and the tables it shows."""

from jaxglm.results.compare import Comparison, compare
from jaxglm.results.grouped import GroupedResults
from jaxglm.results.prediction import PredictionResults
from jaxglm.results.results import Results
from jaxglm.results.summary import Summary

__all__ = ["Comparison", "GroupedResults", "PredictionResults", "Results", "Summary", "compare"]
