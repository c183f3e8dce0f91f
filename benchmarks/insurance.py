"""Motor insurance: frequency, severity and pure premium.

600,000 simulated policies (`benchmarks/insurance_data.py` says how) with eight factors that make 291 columns. All
libraries get the same frame with categorical columns. Exposure is an offset of the claim counts and a weight of the
premium; the number of claims is a weight of the severity, whose rows are the policies that have any. As many rows as
there are policies have the claims of a file with one claim a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import harness
import numpy as np
import pandas as pd
import peers
from harness import Answer, Record
from insurance_data import FACTORS, SMALLEST, policies

ROWS = 600_000
NAMES = list(FACTORS)
COLUMNS = sum(levels - 1 for levels, _ in FACTORS.values())
#: rustystats makes a dense design and gets fewer policies.
FEW = 100_000


def jaxglm_fit(response: str, frame: pd.DataFrame, **options) -> Answer:
    """From the frame and a formula, with standard errors."""
    import jaxglm as jg

    res = jg.glm(f"{response} ~ {' + '.join(NAMES)}", frame, **options)
    return Answer(res.params.to_numpy(), res.bse.to_numpy())


def glum_fit(response: str, frame: pd.DataFrame, family, **beside: str) -> Answer:
    """From the frame's categorical columns, without standard errors."""
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(family=family, link="log", alpha=0.0, gradient_tol=1e-8, drop_first=True)
    model.fit(frame[NAMES], frame[response], **taken(frame, **beside))
    return Answer(np.concatenate([[model.intercept_], model.coef_]))


def glum_whole_fit(response: str, frame: pd.DataFrame, family, **beside: str) -> Answer:
    """From the formula, with standard errors from the expected information, glum's fastest way to them."""
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(
        family=family, link="log", alpha=0.0, gradient_tol=1e-8, drop_first=True, robust=False,
        expected_information=True, formula=f"{response} ~ {' + '.join(NAMES)}",
    )  # fmt: skip
    model.fit(frame, **taken(frame, **beside), store_covariance_matrix=True)
    return peers.with_errors(model)


def taken(frame: pd.DataFrame, var_weights: str | None = None, exposure: str | None = None) -> dict:
    """Weights and exposure as glum takes them."""
    return {
        "sample_weight": None if var_weights is None else frame[var_weights],
        "offset": None if exposure is None else np.log(frame[exposure]),
    }


def rustystats_fit(frame) -> Answer:
    """Claim counts from a polars frame, with standard errors."""
    import rustystats as rs

    terms = {name: {"type": "categorical"} for name in NAMES}
    model = rs.glm_dict(response="claims", terms=terms, data=frame, family="poisson", exposure="exposure")
    res = model.fit(tol=1e-10)
    return Answer(np.asarray(res.params), np.asarray(res.bse()))


def tweedie_families():
    """Ours and glum's Tweedie family of power 1.5."""
    from glum import TweedieDistribution

    import jaxglm as jg

    return jg.Tweedie(power=1.5), TweedieDistribution(1.5)


def models(frame: pd.DataFrame) -> Iterator[tuple[str, str, int, Callable, Callable, Callable]]:
    """Name, words, rows; our fit, a fit of glum that does the same work, one of it alone."""

    def fits(name: str, what: str, response: str, rows: pd.DataFrame, family, other, **beside: str) -> tuple:
        ours = partial(jaxglm_fit, response, rows, family=family, link="log", **beside)
        theirs = (partial(fit, response, rows, other, **beside) for fit in (glum_whole_fit, glum_fit))
        return name, what, len(rows), ours, *theirs

    yield fits("frequency", "claim frequency, Poisson", "claims", frame, "poisson", "poisson", exposure="exposure")
    hurt = frame[frame["claims"] > 0].reset_index(drop=True)
    yield fits("severity", "claim severity, Gamma", "severity", hurt, "gamma", "gamma", var_weights="claims")
    yield fits("claims", "single claims, Gamma", "claim", frame, "gamma", "gamma")
    if harness.version_of("glum") is None:
        return
    mine, other = tweedie_families()
    yield fits("premium", "pure premium, Tweedie", "premium", frame, mine, other, var_weights="exposure")


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """Four models beside glum, and the first beside rustystats."""
    frame = policies(max(int(ROWS * scale), SMALLEST))
    for name, what, n, ours, same_work, bare in models(frame):
        case = partial(Record, n=n, p=COLUMNS, peer="glum")
        same = case(
            name=f"insurance.{name}.glum_errors",
            what=f"{what}, the same work",
            note="from the same formula and categorical columns, with standard errors "
            "(store_covariance_matrix=True, robust=False, expected_information=True), gradient_tol=1e-8",
        )
        yield harness.race(same, ours, same_work, repeats)
        less = case(
            name=f"insurance.{name}.glum",
            what=what,
            floor=4.0,
            note="from categorical columns (tabmat), drop_first, gradient_tol=1e-8; no formula, no standard errors",
        )
        yield harness.race(less, ours, bare, repeats)
    few = frame.iloc[:FEW]
    case = Record(
        name="insurance.frequency.rustystats",
        what="claim frequency, Poisson",
        n=len(frame),
        p=COLUMNS,
        peer="rustystats",
        peer_n=len(few) if len(few) < len(frame) else None,
        note="with standard errors; from a polars frame made beforehand",
    )
    options = {"family": "poisson", "exposure": "exposure"}
    yield harness.race(
        case,
        partial(jaxglm_fit, "claims", frame, **options),
        partial(rustystats_fit, polars_frame(few)),
        repeats,
        check=partial(jaxglm_fit, "claims", few, **options),
    )


def polars_frame(frame: pd.DataFrame):
    """The policies for rustystats; None where it cannot run anyway."""
    if harness.version_of("rustystats") is None:
        return None
    import polars as pl

    return pl.DataFrame({name: frame[name].astype(str).to_list() for name in NAMES}).with_columns(
        pl.Series("claims", frame["claims"].to_numpy()), pl.Series("exposure", frame["exposure"].to_numpy())
    )


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
