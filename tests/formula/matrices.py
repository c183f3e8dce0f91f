"""The matrix that a design stands for."""

import numpy as np

from jaxglm import precision

_columns = precision.quickly(lambda design, x, n_rows: design.columns(x, n_rows), static_argnums=2)


def columns_of(design, x, n_rows):
    """Columns in float64, (n_rows, p), by one program: run one by one, each of its operations would be compiled."""
    with precision.scope():
        return np.asarray(_columns(design, x, n_rows))


def matrix(built):
    """The columns of what a formula gave."""
    return columns_of(built.design, built.x, built.n_rows)
