"""Designs: how a model matrix is stored and multiplied."""

from jaxglm.design.base import Design
from jaxglm.design.categorical import Categorical, Coding, Indicator, Table, product_coding
from jaxglm.design.dense import Constant, Dense
from jaxglm.design.layout import Layout
from jaxglm.design.split import Split

__all__ = [
    "Categorical",
    "Coding",
    "Constant",
    "Dense",
    "Design",
    "Indicator",
    "Layout",
    "Split",
    "Table",
    "product_coding",
]
