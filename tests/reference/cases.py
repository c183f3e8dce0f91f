"""Load the reference cases and fit them; used by the tests beside it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import jaxglm as jg

HERE = Path(__file__).parent
FAMILIES = {
    "gaussian": "gaussian", "binomial": "binomial", "poisson": "poisson", "Gamma": "gamma",
    "inverse.gaussian": "inverse_gaussian", "quasipoisson": "quasipoisson", "quasibinomial": "quasibinomial",
}  # fmt: skip
VARIANCES = {"mu^2": lambda mu: mu**2, "mu^3": lambda mu: mu**3}
#: Families that take a number or a function, from the parameters in the file.
PARAMETRIC = {
    "negative.binomial": lambda p: jg.NegativeBinomial(p.get("alpha")),
    "tweedie": lambda p: jg.Tweedie(p["power"]),
    "quasi": lambda p: jg.Quasi(VARIANCES[p["variance"]]),
}
LINKS = {"1/mu^2": "inverse_squared", "cauchit": "cauchit", "loglog": "loglog"}


def load() -> dict[str, dict]:
    """All cases by id; `root` is added: the folder that data.file is relative to."""
    found = {}
    for folder in ("shared", "r"):
        for path in sorted((HERE / folder / "cases").glob("*.json")):
            case = json.loads(path.read_text())
            case["root"] = HERE / folder
            found[case["id"]] = case
    return found


CASES = load()


def frame(case: dict) -> pd.DataFrame:
    """The data of a case, factors with R's order of levels."""
    columns = case["data"]["columns"]
    types = {name: str for name, column in columns.items() if column["type"] == "factor"}
    data = pd.read_csv(case["root"] / case["data"]["file"], dtype=types)
    for name in types:
        levels = [str(v) for v in columns[name]["levels"]]
        data[name] = pd.Categorical(data[name], categories=levels, ordered=bool(columns[name].get("ordered")))
    return data


def arguments(case: dict) -> tuple[str, dict]:
    """Formula and keyword options of a case."""
    response, options = case["response"], {}
    if response["type"] == "binomial_counts":
        left = f"cbind({response['success']}, {response['failure']})"
        if response["failure"] is None:
            left = f"cbind({response['success']}, {response['trials']} - {response['success']})"
    else:
        left = response["column"]
        if response["type"] == "proportion":
            options["trials"] = response["trials"]
    if case.get("weights"):
        meaning = case["weights"]["meaning"]
        options["freq_weights" if "freq" in meaning else "var_weights"] = case["weights"]["column"]
    if case.get("offset"):
        options["offset"] = case["offset"]["column"]
    params = case.get("family_params") or {}
    name = case["family"]
    options["family"] = FAMILIES[name] if name in FAMILIES else PARAMETRIC[name](params)
    power = params.get("link_power")
    options["link"] = jg.links.Power(power) if power else LINKS.get(case["link"], case["link"])
    return f"{left} ~ {case['formula_py']}", options


def fit(case: dict, **more) -> jg.Results:
    """The case fitted by jaxglm."""
    formula, options = arguments(case)
    with warnings.catch_warnings():
        if case["kind"] == "separated" or None in case["expect"].get("coef", []):
            warnings.simplefilter("ignore", jg.JaxglmWarning)
        return jg.glm(formula, frame(case), **(options | more))


def close(ours, theirs, rtol: float, atol: float = 0.0) -> float:
    """Largest error over tolerance; below 1 is agreement. null in the reference is skipped."""
    theirs = np.array([np.nan if v is None else v for v in np.atleast_1d(theirs)], float)
    ours = np.atleast_1d(np.asarray(ours, float))
    known = ~np.isnan(theirs)
    if not known.any():
        return 0.0
    return float(np.max(np.abs(ours - theirs)[known] / (rtol * np.abs(theirs[known]) + atol + 1e-300)))
