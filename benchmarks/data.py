"""Rows with known coefficients, the same for every run."""

from __future__ import annotations

import numpy as np

#: Rows made at a time, so that making them costs little memory beyond X.
BLOCK = 50_000


def columns(family: str, n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal columns and a response that follows the model.

    Parameters
    ----------
    family : {"poisson", "binomial", "negative_binomial"}
        With log, logit and log link; the negative binomial has alpha = 0.5.
    n, p : int
        Rows and columns.

    Returns
    -------
    X : array (n, p)
        C-ordered float64.
    y : array (n,)
        float64. The linear predictor has mean -0.5 and standard deviation 0.6.
    """
    rng = np.random.default_rng(2024)
    beta = rng.normal(0.0, 0.6 / np.sqrt(p), p)
    X, y = np.empty((n, p)), np.empty(n)
    for start in range(0, n, BLOCK):
        rows = slice(start, min(start + BLOCK, n))
        X[rows] = rng.normal(size=X[rows].shape)
        y[rows] = response(family, X[rows] @ beta - 0.5, rng)
    return X, y


def response(family: str, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A draw for each linear predictor."""
    if family == "binomial":
        return rng.random(len(eta)) < 1 / (1 + np.exp(-eta))
    if family == "poisson":
        return rng.poisson(np.exp(eta))
    # A gamma mean with variance 0.5 makes the counts negative binomial.
    return rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, len(eta)))


def first_rows(X: np.ndarray, y: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """At most n rows, as arrays that own their memory."""
    return (X, y) if len(y) <= n else (X[:n].copy(), y[:n].copy())
