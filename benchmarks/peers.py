"""The same dense fit in each library, from the user's NumPy arrays to coefficients.

Each function takes ``(family, X, y)`` with X without a constant column, and gives an `Answer`. Tolerances are set so
that all of them reach the same answer; who makes standard errors on the way is said in each docstring.
"""

from __future__ import annotations

import numpy as np
from harness import Answer


def jaxglm(family: str, X: np.ndarray, y: np.ndarray) -> Answer:
    """jaxglm, with standard errors."""
    import jaxglm as jg

    res = jg.fit(X, y, family=family)
    return Answer(res.params.to_numpy(), res.bse.to_numpy())


def glum(family: str, X: np.ndarray, y: np.ndarray) -> Answer:
    """glum without penalty; no standard errors."""
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(family=family, alpha=0.0, gradient_tol=1e-8).fit(X, y)
    return Answer(np.concatenate([[model.intercept_], model.coef_]))


def glum_errors(family: str, X: np.ndarray, y: np.ndarray) -> Answer:
    """glum without penalty, with standard errors from the expected information, its fastest way to them.

    It scales them by a dispersion in every family, Poisson and binomial too.
    """
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(
        family=family, alpha=0.0, gradient_tol=1e-8, robust=False, expected_information=True
    ).fit(X, y, store_covariance_matrix=True)
    return with_errors(model)


def with_errors(model) -> Answer:
    """Coefficients and standard errors of a fit of glum that stored its covariance matrix."""
    errors = np.sqrt(np.diag(model.covariance_matrix()))
    return Answer(np.concatenate([[model.intercept_], model.coef_]), errors, own_scale=True)


def statsmodels(family: str, X: np.ndarray, y: np.ndarray) -> Answer:
    """statsmodels GLM, with standard errors."""
    import statsmodels.api as sm

    kinds = {"poisson": sm.families.Poisson, "binomial": sm.families.Binomial}
    res = sm.GLM(y, sm.add_constant(X, has_constant="add"), family=kinds[family]()).fit(tol=1e-8)
    return Answer(res.params, res.bse)


def sklearn(family: str, X: np.ndarray, y: np.ndarray) -> Answer:
    """scikit-learn without penalty, by its fastest solver for tall data; no standard errors."""
    from sklearn.linear_model import LogisticRegression, PoissonRegressor

    options = {"solver": "newton-cholesky", "tol": 1e-8, "max_iter": 100}
    if family == "poisson":
        model = PoissonRegressor(alpha=0.0, **options).fit(X, y)
    else:
        model = LogisticRegression(C=np.inf, **options).fit(X, y)
    return Answer(np.concatenate([np.ravel(model.intercept_), np.ravel(model.coef_)]))


def polars_frame(X: np.ndarray, y: np.ndarray):
    """Columns x0, x1, ... and y, for `rustystats`."""
    import polars as pl

    return pl.DataFrame({**{f"x{j}": X[:, j].copy() for j in range(X.shape[1])}, "y": y})


def rustystats(family: str, frame) -> Answer:
    """rustystats with standard errors, from a polars frame: it takes no arrays, and making one is not counted."""
    import rustystats as rs

    terms = {name: {"type": "linear"} for name in frame.columns if name != "y"}
    res = rs.glm_dict(response="y", terms=terms, data=frame, family=family).fit(tol=1e-10)
    return Answer(np.asarray(res.params), np.asarray(res.bse()))


def glmax(family: str, X: np.ndarray, y: np.ndarray) -> Answer:
    """glmax with standard errors. Its import switches all of JAX to 64 bits, so it runs last."""
    import glmax

    kinds = {"poisson": glmax.Poisson, "binomial": glmax.Binomial}
    design = np.column_stack([np.ones(len(y)), X])
    fitted = glmax.fit(kinds[family](), design, y, fitter=glmax.IRLSFitter(tol=1e-6))
    return Answer(np.asarray(fitted.params.beta), np.asarray(glmax.infer(fitted).se))
