"""Data frames of any library, read as plain columns."""

from jaxglm.frames.column import Column, Datetime, Factor, Numeric, concat_columns
from jaxglm.frames.read import read
from jaxglm.frames.table import Origin, Table, as_column, as_vector, row_name

__all__ = [
    "Column",
    "Datetime",
    "Factor",
    "Numeric",
    "Origin",
    "Table",
    "as_column",
    "as_vector",
    "concat_columns",
    "read",
    "row_name",
]
