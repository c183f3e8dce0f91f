"""Predictions written to a file, however many rows there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxglm.errors import InputError, InputTypeError
from jaxglm.frames import read
from jaxglm.frames.scan import Scan, as_scan, naming
from jaxglm.frames.write import native, write_parquet
from jaxglm.inference import predict as prediction
from jaxglm.results.predicted import predictor_of, rows_of
from jaxglm.results.tidy import check_alpha

if TYPE_CHECKING:
    from jaxglm.results.results import Results


def predict_to(
    res: Results,
    path: Any,
    source: Any,
    which: str,
    columns: Sequence[str],
    se: bool,
    intervals: bool,
    alpha: float,
    offset: Any,
    exposure: Any,
    unseen: str,
) -> int:
    """Write predictions to a Parquet file (``res.predict_to(...)``); the number of rows.

    Parameters
    ----------
    path : path
        An older file is replaced once the new one is whole. After an error or Ctrl-C nothing is left behind.
    source : path, scan, query, callable, or data frame
        The rows to predict, as ``data=`` of :func:`jaxglm.glm` takes them. They are written in their order, all of
        them; those that miss a value that is needed have NaN.
    which : {"mean", "linear"} or name of a predictor
        As in ``predict``; the column of the file has the same name: "mean", "linear_predictor", or the predictor's.
    columns : sequence of str
        Columns of the source to be written before them, such as a key.
    se, intervals : bool
        Also write standard errors (``mean_se``), limits of level 1 - `alpha` (``mean_ci_lower``, ``mean_ci_upper``).
    offset, exposure : column name or number, optional
        As in ``predict``.
    unseen : {"raise", "nan"}

    Returns
    -------
    int

    Raises
    ------
    StorageError
        The file cannot be written, as on a full disk.
    DataError
        A piece cannot be read or predicted; it is named, with the row.

    Notes
    -----
    Memory is a few pieces of the source. Only the columns that are needed are read.

    Examples
    --------
    >>> import tempfile, pandas as pd, jaxglm as jg
    >>> df = pd.DataFrame({"id": [7, 8, 9], "y": [1, 3, 2], "x": [0.0, 1.0, 2.0]})
    >>> res = jg.glm("y ~ x", df, family="poisson")
    >>> path = tempfile.mkdtemp() + "/predicted.parquet"
    >>> res.predict_to(path, df, columns=["id"])
    3
    >>> pd.read_parquet(path).columns.tolist()
    ['id', 'mean']
    """
    predictor, level = predictor_of(res, which), check_alpha(alpha)
    keys = _keys(columns)
    name = {"mean": "mean", "linear": "linear_predictor"}.get(which, which)
    made = {name, f"{name}_se", f"{name}_ci_lower", f"{name}_ci_upper"}
    if taken := [key for key in keys if key in made]:
        raise InputError(f"the column {taken[0]!r} would have the name of a prediction; rename it in the source")
    for what, value in (("offset", offset), ("exposure", exposure)):
        if value is not None and not isinstance(value, str) and np.ndim(value):
            raise InputError(f"{what}= must be a column name or a number here, since the rows come in pieces")
    given = [value for value in (offset, exposure) if isinstance(value, str)]

    def pieces() -> Iterator[dict[str, Any]]:
        for frame, origin in _frames(res, source, [*keys, *given]):
            with naming(origin):
                table = replace(read(frame), index=origin)
                found = {key: native(frame, table, key) for key in keys}
                rows, _, bad = rows_of(res, table, which, offset, exposure, unseen)
                if rows is not None:
                    values = _values(res, rows, which, predictor, name, se, intervals, level)
                    yield found | {key: np.where(bad, np.nan, v) for key, v in values.items()}

    return write_parquet(path, pieces())


def _keys(columns: Any) -> list[str]:
    keys = [columns] if isinstance(columns, str) else list(columns)
    for key in keys:
        if not isinstance(key, str):
            raise InputTypeError(f"columns holds names of columns of the source, not {key!r}")
    return list(dict.fromkeys(keys))


def _frames(res: Results, source: Any, more: list[str]) -> Iterator[tuple[Any, Any]]:
    """Frames with the columns that are needed."""
    scan = as_scan(source)
    if scan is None:
        return iter([(source, read(source).index)])
    return _pruned(res, scan, more).read()


def _pruned(res: Results, scan: Scan, more: list[str]) -> Scan:
    if scan.names is None:
        return scan
    beside, family = res.intake.beside, res.fit.model.family
    # What a family reads besides is used as far as it is there.
    perhaps = {*family.aux_names, *(v for v in (*beside.aux.values(), beside.trials) if isinstance(v, str))}
    return scan.only([*res.intake.needs, *more, *(name for name in scan.names if name in perhaps)])


def _values(res, rows, which, predictor, name, se, intervals, level) -> dict[str, np.ndarray]:
    """The predictions of a piece by name of their column."""
    mean = which == "mean"
    if not (se or intervals):
        return {name: prediction.values(res.fit, rows, predictor)["mean" if mean else "eta"]}
    made = prediction.predict(res.fit, res.covariance, rows, predictor)
    found = {name: made.mean if mean else made.eta}
    if se:
        found[f"{name}_se"] = made.mean_se if mean else made.eta_se
    if intervals:
        limits = made.interval(level, which)
        found |= {f"{name}_ci_lower": limits[:, 0], f"{name}_ci_upper": limits[:, 1]}
    return found
