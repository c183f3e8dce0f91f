"""Designs: how a model matrix is stored and multiplied."""

from jaxglm.design.base import Design, Element
from jaxglm.design.categorical import Categorical, Coding, Indicator, Table, product_coding
from jaxglm.design.combined import Combined
from jaxglm.design.dense import Columns, Constant, Dense, Paired, Twofold, numbers
from jaxglm.design.layout import Layout
from jaxglm.design.split import Split
from jaxglm.design.standardized import Standardized

__all__ = [
    "Categorical",
    "Coding",
    "Columns",
    "Combined",
    "Constant",
    "Dense",
    "Design",
    "Element",
    "Indicator",
    "Layout",
    "Paired",
    "Split",
    "Standardized",
    "Table",
    "Twofold",
    "numbers",
    "product_coding",
]
