"""The data and the fits that the tables of errors share."""

from functools import cache

import numpy as np
import pandas as pd

import jaxglm as jg

rng = np.random.default_rng(3)
X = rng.normal(size=(40, 2))
count = rng.poisson(2.0, 40).astype(float)
y01 = np.arange(40) % 2 * 1.0
BASE = {
    "x": X[:, 0],
    "count": count,
    "expo": rng.uniform(0.5, 2.0, 40),
    "f": np.array(["a", "b"] * 20, dtype=object),
    "label": np.array(["no", "yes"] * 20, dtype=object),
    "three": np.array(["a", "b", "c", "a"] * 10, dtype=object),
    "same": np.array(["s"] * 40, dtype=object),
    "size": np.full(40, 4.0),
    "win": np.arange(40) % 4 * 1.0,
    "share": np.arange(40) % 4 / 4.0,
    "day": pd.date_range("2024-01-01", periods=40),
}


def series(values, first: int) -> pd.Series:
    """A Series whose index starts at `first`."""
    return pd.Series(values, index=np.arange(first, first + len(values)))


@cache
def fitted(kind: str) -> jg.Results:
    """Small fits on which methods are called."""
    data = pd.DataFrame(BASE)
    offset = np.log(BASE["expo"])
    makers = {
        "factor": lambda: jg.glm("count ~ x + f", data, family="poisson"),
        "identity": lambda: jg.glm("count ~ x", data),
        "bare": lambda: jg.glm("count ~ x", data, family="poisson", keep_data=False),
        "bare probit": lambda: jg.glm("label ~ x", data, family="binomial", link="probit", keep_data=False),
        "offset": lambda: jg.glm("count ~ x", data, family="poisson", offset=offset),
        "exposure": lambda: jg.fit(X, count, family="poisson", exposure=BASE["expo"]),
        "survey": lambda: jg.fit(X, count, family="poisson", prob_weights=BASE["expo"]),
    }
    return makers[kind]()
