"""Remake tests/reference/inference/covariances/statsmodels.json: clusters and HAC by statsmodels (0.15).

Run from the root of the repository, where statsmodels is installed: ``python tests/reference/make_covariances.py``.
Clusters and time are made from the number of the row, as in make_covariances.R. GLM's HC1 to HC3 are its HC0 there, so
only HC0 is taken.
"""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf

HERE = Path(__file__).parent
MODELS = {
    "logit": ("r/data/employees.csv", "left ~ salary + experience_years + overtime_hours", sm.families.Binomial()),
    "gamma log": (
        "shared/data/wage1.csv", "wage ~ educ + exper + C(region)", sm.families.Gamma(sm.families.links.Log()),
    ),
    "poisson": ("shared/data/medpar.csv", "los ~ hmo + white + C(type)", sm.families.Poisson()),
}  # fmt: skip


def covariances(model) -> dict:
    """Each covariance matrix by its name."""
    i = np.arange(model.endog.shape[0])
    one, two = (7 * i) % 11, np.floor(9 * i / len(i)).astype(int)
    kinds = {
        "HC0": ("HC0", {}),
        "cluster": ("cluster", {"groups": one}),
        "two_way": ("cluster", {"groups": np.column_stack([one, two])}),
        "hac": ("HAC", {"maxlags": 4, "use_correction": False}),
    }
    return {
        name: np.asarray(model.fit(tol=1e-14, maxiter=200, cov_type=kind, cov_kwds=words or None).cov_params()).tolist()
        for name, (kind, words) in kinds.items()
    }


cases = []
for name, (file, formula, family) in MODELS.items():
    model = smf.glm(formula, pd.read_csv(HERE / file).head(900), family=family)
    cases.append({"id": name, "file": file, "formula": formula, "family": type(family).__name__.lower(),
                  "link": type(family.link).__name__.lower(), "names": model.exog_names, **covariances(model)})  # fmt: skip
text = json.dumps({"version": importlib.metadata.version("statsmodels"), "cases": cases})
(HERE / "inference/covariances/statsmodels.json").write_text(text)
