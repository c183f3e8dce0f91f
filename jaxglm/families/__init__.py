"""Families: what one row of data costs."""

from jaxglm.families.base import Family
from jaxglm.families.binomial import Binomial
from jaxglm.families.gamma import Gamma
from jaxglm.families.gaussian import Gaussian
from jaxglm.families.inverse_gaussian import InverseGaussian
from jaxglm.families.poisson import Poisson

#: Every family that can be named by a string.
NAMED: dict[str, type[Family]] = {cls.name: cls for cls in (Gaussian, Binomial, Poisson, Gamma, InverseGaussian)}

__all__ = ["NAMED", "Binomial", "Family", "Gamma", "Gaussian", "InverseGaussian", "Poisson"]
