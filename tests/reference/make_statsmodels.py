"""Negative binomial (NB2) fits of statsmodels: standard errors from the joint observed information.

Run from the root of the repository, after make_cases.R: python tests/reference/make_statsmodels.py
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels
from formulaic import model_matrix
from statsmodels.discrete.discrete_model import NegativeBinomial

HERE = Path(__file__).parent
MODELS = {
    "nb_quine": ("r/data/quine.csv", "Days ~ Eth + Sex + Age + Lrn"),
    "nb_medpar": ("shared/data/medpar.csv", "los ~ hmo + white + C(type)"),
}


def figures(file: str, formula: str) -> dict:
    """Fit, then Newton steps until the estimates no longer move; the last parameter is alpha."""
    response, design = model_matrix(formula, pd.read_csv(HERE / file))
    model = NegativeBinomial(response, design, loglike_method="nb2")
    params = np.asarray(model.fit(method="bfgs", maxiter=500, gtol=1e-8, disp=0).params)
    for _ in range(30):
        params = params - np.linalg.solve(model.hessian(params), model.score(params))
    step = np.linalg.solve(model.hessian(params), model.score(params))
    se = np.sqrt(np.diag(np.linalg.inv(-model.hessian(params))))
    if np.max(np.abs(step / se)) > 1e-10:
        raise RuntimeError(f"{formula}: not at the maximum")
    return {
        "data": file,
        "formula": formula,
        "coef_names": list(design.columns),
        "coef": params[:-1].tolist(),
        "se": se[:-1].tolist(),
        "alpha": params[-1],
        "alpha_se": se[-1],
        "loglik": float(model.loglike(params)),
        "information": "joint observed",
    }


def main() -> None:
    out: dict = {"version": f"statsmodels {statsmodels.__version__}"}
    for name, (file, formula) in MODELS.items():
        out[name] = figures(file, formula)
    (HERE / "statsmodels" / "negative_binomial.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
