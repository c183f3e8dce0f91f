"""Simulated employees: the data, and statsmodels' fits of the two main models.

Run from the root of the repository: python tests/reference/make_employees.py
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels
import statsmodels.api as sm
import statsmodels.formula.api as smf

HERE = Path(__file__).parent
N = 500


def employees() -> pd.DataFrame:
    """500 people, drawn with numpy's legacy generator in a fixed order."""
    np.random.seed(42)
    salary = np.random.normal(55000, 12000, N).astype(int)
    experience = np.random.poisson(5, N)
    overtime = np.random.poisson(8, N)
    chance = 1 / (1 + np.exp(-(-2 - 3e-5 * salary - 0.05 * experience + 0.12 * overtime)))
    left = np.random.binomial(1, chance)
    sick_days = np.random.poisson(np.exp(1.2 + 1e-5 * salary + 0.02 * overtime))
    columns = {
        "salary": salary,
        "experience_years": experience,
        "overtime_hours": overtime,
        "left": left,
        "sick_days": sick_days,
    }
    return pd.DataFrame(columns)


def figures(formula: str, data: pd.DataFrame, family: sm.families.Family) -> dict:
    """Estimates of one model at a tolerance far below the precision asked of them."""
    fit = smf.glm(formula, data, family=family).fit(tol=1e-14, maxiter=200)
    return {
        "names": list(fit.params.index),
        "params": fit.params.tolist(),
        "bse": fit.bse.tolist(),
        "llf": float(fit.llf),
        "deviance": float(fit.deviance),
    }


def main() -> None:
    data = employees()
    data.to_csv(HERE / "r" / "data" / "employees.csv", index=False)
    out = {
        "version": f"statsmodels {statsmodels.__version__}",
        "left": figures("left ~ salary + experience_years + overtime_hours", data, sm.families.Binomial()),
        "sick_days": figures("sick_days ~ salary + overtime_hours", data, sm.families.Poisson()),
    }
    (HERE / "statsmodels" / "employees.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
