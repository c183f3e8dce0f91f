"""Generalized linear models on JAX: exact, autodiff, on CPU or GPU."""

from jaxglm import functional, links
from jaxglm.api import fit, glm
from jaxglm.batch import glm_groups
from jaxglm.cache import enable_compile_cache
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
from jaxglm.frames.parquet import scan_parquet
from jaxglm.frames.scan import Scan
from jaxglm.inference.cluster import Cluster
from jaxglm.inference.hac import HAC
from jaxglm.inference.hypotheses import HypothesisTest
from jaxglm.intake.response import suggest_family
from jaxglm.links import Link
from jaxglm.results import GroupedResults, PredictionResults, Results, compare
from jaxglm.results.storage import load
from jaxglm.results.tests import anova

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
    "StorageError",
    "Tweedie",
    "UnseenLevelError",
    "anova",
    "compare",
    "custom_family",
    "enable_compile_cache",
    "fit",
    "functional",
    "glm",
    "glm_groups",
    "links",
    "load",
    "scan_parquet",
    "suggest_family",
]
