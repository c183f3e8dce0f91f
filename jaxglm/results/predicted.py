"""Predictions for new rows, labelled."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm import precision
from jaxglm.errors import DataWarning, InputError, InputTypeError, NotAvailableError
from jaxglm.frames import Table, read
from jaxglm.inference import predict as prediction
from jaxglm.inference.forecast import forecast
from jaxglm.inference.residuals import fitted, linear_predictor, own_rows
from jaxglm.intake import Beside
from jaxglm.results.prediction import PredictionResults
from jaxglm.sources import ArraySource, Source

if TYPE_CHECKING:
    from jaxglm.results.results import Results


def rows_of(
    res: Results, newdata: Any, which: str, offset: Any, exposure: Any, unseen: str, trials: Any = None
) -> tuple[Source | None, pd.Index, np.ndarray]:
    """Source of the rows to predict (None if there are none), their labels, and which cannot be predicted."""
    predictor_of(res, which)
    if isinstance(newdata, (str, os.PathLike)) or callable(newdata) or hasattr(newdata, "get_fragments"):
        raise InputTypeError(
            f"predictions are made for a frame in memory, not for {newdata!r}; res.predict_to(path, source) writes "
            "those of data in pieces to a Parquet file"
        )
    if unseen not in ("raise", "nan"):
        raise InputError(f"unseen must be 'raise' or 'nan', not {unseen!r}")
    if newdata is None:
        if any(value is not None for value in (offset, exposure, trials)):
            raise InputError("offset=, exposure= and trials= go with newdata; the fitted rows keep their own")
        source = own_rows(res.fit, "a prediction without new data")
        return source, res.labels.row_index(source.n_rows), np.zeros(source.n_rows, bool)
    taken = res.intake.new(newdata, offset, exposure, unseen)
    n = len(taken.rows.y)
    index = taken.index if isinstance(taken.index, pd.Index) else pd.RangeIndex(n)
    if trials is not None:
        if res.fit.model.family.mean_range != "unit":
            raise InputError(f"trials= belongs to the binomial family, not to {res.fit.model.family.name}")
        table = read(newdata) if isinstance(trials, str) else Table.of({}, n, taken.index)
        more = Beside(trials=trials).vectors(table)
        taken = replace(taken, rows=taken.rows._replace(aux={**taken.rows.aux, **more}))
    bad = np.zeros(n, bool) if taken.bad is None else taken.bad
    if n == 0:
        return None, index, bad
    with precision.scope():
        source = ArraySource.from_rows(taken.rows)
        if res.fit.rank.dependence:
            loose = ~prediction.estimable_rows(res.fit, source) & ~bad
            if loose.any():
                warnings.warn(
                    f"{int(loose.sum())} of {n} predictions are NaN: these rows combine columns in a way that the "
                    "aliased fit does not determine; drop the aliased terms from the formula",
                    DataWarning,
                    stacklevel=4,
                )
            bad = bad | loose
    return source, index, bad


def predictor_of(res: Results, which: str) -> int:
    """Which linear predictor is asked for (that of the mean for "mean"), or an error that lists what there is."""
    family = res.fit.model.family
    if which == "mean" and not family.has("mean"):
        raise NotAvailableError(
            "this family was made without mean=, so there are no predictions on the response scale; use which='linear'"
        )
    others = family.predictors[1:]
    if which not in ("mean", "linear", *others):
        raise InputError(f"which must be {' or '.join(map(repr, ('mean', 'linear', *others)))}, not {which!r}")
    return 0 if which in ("mean", "linear") else family.predictors.index(which)


def get_prediction(
    res: Results, newdata: Any, which: str, offset: Any, exposure: Any, unseen: str, trials: Any
) -> PredictionResults:
    """See :meth:`jaxglm.results.results.Results.get_prediction`."""
    source, index, bad = rows_of(res, newdata, which, offset, exposure, unseen, trials)
    if source is None:
        empty = np.zeros(0)
        inverse = res.fit.model.family.inverse
        return PredictionResults(prediction.Prediction(*[empty] * 4, res.covariance.df, inverse), index, which)
    made = prediction.predict(res.fit, res.covariance, source, predictor_of(res, which))
    maker = partial(forecast, res.fit, res.covariance, source) if res.fit.model.family.has("cdf") else None
    if bad.any():
        names = ("eta", "eta_se", "mean", "mean_se")
        made = replace(made, **{name: np.where(bad, np.nan, getattr(made, name)) for name in names})
    return PredictionResults(made, index, which, maker, res.intake.encoder.levels or (), bad)


def predict(res: Results, newdata: Any, which: str, offset: Any, exposure: Any, unseen: str) -> pd.Series:
    """See :meth:`jaxglm.results.results.Results.predict`."""
    source, index, bad = rows_of(res, newdata, which, offset, exposure, unseen)
    key, predictor = "mean" if which == "mean" else "eta", predictor_of(res, which)
    if newdata is None:
        values = fitted(res.fit) if which == "mean" else linear_predictor(res.fit)[:, predictor]
    else:
        values = np.zeros(0) if source is None else prediction.values(res.fit, source, predictor)[key]
    return pd.Series(
        np.where(bad, np.nan, values),
        index=index,
        name={"mean": "mean", "linear": "linear_predictor"}.get(which, which),
    )
