"""Generalized linear models on JAX: exact, autodiff, on CPU or GPU."""

import typing

from jaxglm import lazy, links
from jaxglm.api import fit, glm
from jaxglm.errors import (
    AliasWarning,
    ConvergenceWarning,
    DataError,
    DataWarning,
    FitError,
    FormulaError,
    HostError,
    InputError,
    InputTypeError,
    JaxglmError,
    JaxglmWarning,
    MissingExtraError,
    NotAvailableError,
    SeparationError,
    SeparationWarning,
    Status,
    StorageError,
    UnseenLevelError,
)
from jaxglm.families import (
    Binomial,
    Family,
    Gamma,
    Gaussian,
    InverseGaussian,
    NegativeBinomial,
    Poisson,
    Quasi,
    QuasiBinomial,
    QuasiPoisson,
    Tweedie,
    custom_family,
)
from jaxglm.intake.response import suggest_family
from jaxglm.links import Link
from jaxglm.results.results import Results

if typing.TYPE_CHECKING:
    from jaxglm import functional
    from jaxglm.batch import glm_groups
    from jaxglm.cache import enable_compile_cache
    from jaxglm.candidates import fit_candidates
    from jaxglm.frames.parquet import scan_parquet
    from jaxglm.frames.scan import Scan
    from jaxglm.inference.cluster import Cluster
    from jaxglm.inference.hac import HAC
    from jaxglm.inference.hypotheses import HypothesisTest
    from jaxglm.many import fit_many
    from jaxglm.results.compare import compare
    from jaxglm.results.grouped import GroupedResults
    from jaxglm.results.prediction import PredictionResults
    from jaxglm.results.storage import load
    from jaxglm.results.tests import anova
    from jaxglm.solvers.stochastic import Stochastic

__version__ = "0.1.0"

__all__ = [
    "AliasWarning",
    "Binomial",
    "Cluster",
    "ConvergenceWarning",
    "DataError",
    "DataWarning",
    "Family",
    "FitError",
    "FormulaError",
    "Gamma",
    "Gaussian",
    "GroupedResults",
    "HAC",
    "HostError",
    "HypothesisTest",
    "InputError",
    "InputTypeError",
    "InverseGaussian",
    "JaxglmError",
    "JaxglmWarning",
    "Link",
    "MissingExtraError",
    "NegativeBinomial",
    "NotAvailableError",
    "Poisson",
    "PredictionResults",
    "Quasi",
    "QuasiBinomial",
    "QuasiPoisson",
    "Results",
    "Scan",
    "SeparationError",
    "SeparationWarning",
    "Status",
    "Stochastic",
    "StorageError",
    "Tweedie",
    "UnseenLevelError",
    "anova",
    "compare",
    "custom_family",
    "enable_compile_cache",
    "fit",
    "fit_candidates",
    "fit_many",
    "functional",
    "glm",
    "glm_groups",
    "links",
    "load",
    "scan_parquet",
    "suggest_family",
]

#: Names that few programs use, and the modules that have them: these are imported when they are first asked for.
_LATER = {
    "Cluster": "jaxglm.inference.cluster",
    "GroupedResults": "jaxglm.results.grouped",
    "HAC": "jaxglm.inference.hac",
    "HypothesisTest": "jaxglm.inference.hypotheses",
    "PredictionResults": "jaxglm.results.prediction",
    "Scan": "jaxglm.frames.scan",
    "Stochastic": "jaxglm.solvers.stochastic",
    "anova": "jaxglm.results.tests",
    "compare": "jaxglm.results.compare",
    "enable_compile_cache": "jaxglm.cache",
    "fit_candidates": "jaxglm.candidates",
    "fit_many": "jaxglm.many",
    "functional": "jaxglm.functional",
    "glm_groups": "jaxglm.batch",
    "load": "jaxglm.results.storage",
    "scan_parquet": "jaxglm.frames.parquet",
}
__getattr__ = lazy.attach(__name__, _LATER)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
