"""Families: what one row of data costs."""

from jaxglm.families.base import Family
from jaxglm.families.binomial import Binomial
from jaxglm.families.custom import CustomFamily, custom_family
from jaxglm.families.gamma import Gamma
from jaxglm.families.gaussian import Gaussian
from jaxglm.families.inverse_gaussian import InverseGaussian
from jaxglm.families.negative_binomial import NegativeBinomial
from jaxglm.families.poisson import Poisson
from jaxglm.families.quasi import Quasi, QuasiBinomial, QuasiPoisson
from jaxglm.families.suggest import Suggestion, suggest, suggest_for_labels
from jaxglm.families.tweedie import Tweedie

#: Every family that can be named by a string.
NAMED: dict[str, type[Family]] = {
    cls.name: cls
    for cls in (
        Gaussian, Binomial, Poisson, Gamma, InverseGaussian, NegativeBinomial, QuasiPoisson, QuasiBinomial
    )
}  # fmt: skip
#: Families that need a number or a function, with how to write them.
PARAMETRIC: dict[str, str] = {
    Tweedie.name: "jg.Tweedie(power=1.5)",
    Quasi.name: "jg.Quasi(variance=lambda mu: mu**2, link='log')",
}

__all__ = [
    "NAMED",
    "PARAMETRIC",
    "Binomial",
    "CustomFamily",
    "Family",
    "Gamma",
    "Gaussian",
    "InverseGaussian",
    "NegativeBinomial",
    "Poisson",
    "Quasi",
    "QuasiBinomial",
    "QuasiPoisson",
    "Suggestion",
    "Tweedie",
    "custom_family",
    "suggest",
    "suggest_for_labels",
]
