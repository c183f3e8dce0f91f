"""Tests of a fitted model and of several, with names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxglm import precision
from jaxglm.errors import ConvergenceWarning, DataError, InputError, InputTypeError, NotAvailableError
from jaxglm.fitted import Fit
from jaxglm.inference import hypotheses, nested, submodels
from jaxglm.inference.added import add_columns
from jaxglm.inference.hypotheses import HypothesisTest
from jaxglm.inference.submodels import Row, Submodels, check_test
from jaxglm.results.restrictions import restrictions
from jaxglm.sources import Source

if TYPE_CHECKING:
    from jaxglm.results.results import Results

_COLUMNS = ("df", "deviance", "df_resid", "resid_deviance", "statistic", "p_value")


def wald_test(res: Results, hypothesis: Any, test: str | None) -> HypothesisTest:
    """See :meth:`jaxglm.results.results.Results.wald_test`."""
    made = restrictions(res.fit, res.labels, res.intake.terms, hypothesis)
    return hypotheses.wald(res.fit, res.covariance, made.matrix, made.values, made.texts, test)


def lr_test(res: Results, other: Results) -> HypothesisTest:
    """See :meth:`jaxglm.results.results.Results.lr_test`."""
    _check_results([res, other])
    _require_likelihood([res, other], "a likelihood ratio test")
    small, large = sorted((res, other), key=lambda r: submodels.counted(r.fit))
    with precision.scope():
        nested.check_comparable(small.fit, large.fit)
        _check_nested(small, large)
        found = nested.likelihood_ratio(small.fit, large.fit)
    formula = small.labels.formula
    return found if formula is None else replace(found, hypothesis=(formula,))


def score_test(res: Results, added: Any) -> HypothesisTest:
    """See :meth:`jaxglm.results.results.Results.score_test`."""
    _require_likelihood([res], "a score test")
    family, source = res.fit.model.family, res.fit.rows
    wanted = added if isinstance(added, Mapping) else {family.predictors[0]: added}
    values, names = [np.zeros((source.own.n_rows, 0))] * len(family.predictors), []
    for predictor, what in wanted.items():
        if predictor not in family.predictors:
            known = ", ".join(map(repr, family.predictors))
            raise InputError(f"the {family.name} family has the predictors {known}, not {predictor!r}")
        with precision.scope():
            columns, found = _added(res, what, source)
        values[family.predictors.index(predictor)] = columns
        names += list(found) if predictor == family.predictors[0] else [f"{predictor}: {n}" for n in found]
    source.hosts.same("the names of the added columns", names)
    return add_columns(res.fit, source, values, tuple(names))


def _added(res: Results, what: Any, source: Source) -> tuple[np.ndarray, Sequence[str]]:
    """Added columns (n, q) of the fitted rows in this process, and their names."""
    if isinstance(what, (list, tuple)) and what and all(isinstance(v, str) for v in what):
        what = " + ".join(f"`{name}`" for name in what)
    if isinstance(what, str):
        return res.intake.added(what, source.hosts)
    return source.hosts.together("reading the added columns", lambda: _columns(res, what, source.own.n_rows))


def _columns(res: Results, what: Any, n: int) -> tuple[np.ndarray, Sequence[str]]:
    """Columns that are given, (n, q), and their names."""
    labels = res.labels.row_index(n)
    names = None
    if isinstance(what, (pd.Series, pd.DataFrame)):
        frame = what.to_frame() if isinstance(what, pd.Series) else what
        names = [str(c) for c in frame.columns] if isinstance(what, pd.DataFrame) or what.name is not None else None
        if not frame.index.equals(labels):
            if not (frame.index.is_unique and labels.is_unique and labels.isin(frame.index).all()):
                raise DataError("the index of the added columns does not hold the labels of the fitted rows")
            frame = frame.loc[labels]
        what = frame.to_numpy()
    try:
        columns = np.array(what, dtype=float)
    except (TypeError, ValueError):
        raise InputTypeError(
            "score_test takes terms ('z + C(g)'), a list of column names, or numbers as an array (n, q), not "
            f"{type(what).__name__}"
        ) from None
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or len(columns) != n or columns.shape[1] == 0:
        raise InputError(f"added columns need one row for each of the {n:,} fitted rows, not shape {np.shape(what)}")
    bad = np.flatnonzero(~np.isfinite(columns).all(axis=1))
    if len(bad):
        raise DataError(f"the added columns are not finite in the fitted row {bad[0]} (index {labels[bad[0]]!r})")
    return columns, names or [f"added {j + 1}" for j in range(columns.shape[1])]


def anova_of(res: Results, type: int | str, test: str | None) -> pd.DataFrame:
    """See :meth:`jaxglm.results.results.Results.anova`."""
    kind = {1: 1, 2: 2, "1": 1, "2": 2, "I": 1, "II": 2}.get(type)
    if kind is None:
        raise InputError(f"type must be 1 (terms in order) or 2 (each after all that do not contain it), not {type!r}")
    fit, terms = res.fit, res.intake.terms
    columns = [_mask(fit, term.columns) for term in terms]
    above = [_mask(fit, sum((t.columns for t in terms if t.members > term.members), ())) for term in terms]
    labels = [term.label for term in terms]
    order = f"type {kind}"
    if _robust(res):
        later = [np.logical_or.reduce([np.zeros_like(c), *columns[i + 1 :]]) for i, c in enumerate(columns)]
        return _wald_table(res, labels, list(zip(columns, later if kind == 1 else above, strict=True)), test, order)
    test = check_test(fit, test)
    with precision.scope():
        models = Submodels(fit)
        if kind == 1:
            rows = submodels.sequential(models, columns, test)
            labels = [_unnamed(labels, "NULL"), *labels]
        else:
            rows = submodels.marginal(models, columns, above, test)
    _warn(models)
    return _table(rows, labels, f"{order}, {test}")


def drop1(res: Results, test: str | None) -> pd.DataFrame:
    """See :meth:`jaxglm.results.results.Results.drop1`."""
    fit, terms = res.fit, res.intake.terms
    droppable = [t for t in terms if not any(other.members > t.members for other in terms)]
    columns = [_mask(fit, term.columns) for term in droppable]
    labels = [term.label for term in droppable]
    if _robust(res):
        return _wald_table(res, labels, [(c, np.zeros_like(c)) for c in columns], test, "drop1")
    test = check_test(fit, test)
    with precision.scope():
        models = Submodels(fit)
        rows = submodels.dropped(models, columns, test)
        table = _table(rows, [_unnamed(labels, "<none>"), *labels], f"drop1, {test}")
        table.insert(4, "aic", [submodels.akaike(fit, row.fit) for row in rows])
    _warn(models)
    return table


def anova(*models: Results, test: str | None = None) -> pd.DataFrame:
    """Table of tests that compare fits with each other, one after the other, as R's ``anova(a, b, ...)``.

    Parameters
    ----------
    models : Results
        Fits of the same rows and family, each of which holds the one before it or is held by it.
    test : {"Chisq", "F", "Rao"}, optional
        Deviance against chi-squared; against F; or the score test. By default Chisq where the dispersion is known,
        else F. The dispersion is that of the model with the fewest residual degrees of freedom.

    Returns
    -------
    DataFrame
        One row a model, with columns `df deviance df_resid resid_deviance statistic p_value`. Where other parameters
        than the mean's are estimated (``alpha``), `resid_deviance` is minus twice the log-likelihood, so that
        `deviance` is the likelihood ratio with all parameters estimated anew.

    Raises
    ------
    InputError
        Other rows, another family, or models of which neither holds the other.
    NotAvailableError
        A robust covariance or ``prob_weights``, under which these tests do not hold.

    Examples
    --------
    >>> import jaxglm as jg
    >>> data = {"y": [1, 3, 2, 6, 8, 12], "x": [0, 1, 2, 3, 4, 5], "z": [1, 0, 1, 1, 0, 1]}
    >>> a, b = (jg.glm(f, data, family="poisson") for f in ("y ~ x", "y ~ x + z"))
    >>> print(jg.anova(a, b).round(3).iloc[1][["df", "statistic", "p_value"]].to_list())
    [1.0, 0.144, 0.704]
    """
    _check_results(models)
    if len(models) == 1:
        return anova_of(models[0], 1, test)
    _require_likelihood(models, "a comparison of deviances")
    fits = [res.fit for res in models]
    test = check_test(fits[0], test)
    largest = min(fits, key=lambda fit: fit.df_resid)
    rows = [Row(fit=fits[0])]
    with precision.scope():
        for a, b in zip(models[:-1], models[1:], strict=True):
            nested.check_comparable(a.fit, b.fit)
            small, large = sorted((a, b), key=lambda r: submodels.counted(r.fit))
            _check_nested(small, large)
            sign = 1.0 if small is a else -1.0
            fall = submodels.misfit(small.fit) - submodels.misfit(large.fit)
            row = Row(sign * (submodels.counted(large.fit) - submodels.counted(small.fit)), sign * fall, b.fit)
            amount = sign * (nested.score_between(small.fit, large.fit) if test == "Rao" else fall)
            rows.append(submodels.tested(row, test, amount, largest.scale, largest.df_resid))
        texts = [res.labels.formula for res in models]
        if None in texts or len(set(texts)) < len(texts):
            texts = [f"model {i + 1}" for i in range(len(models))]
        return _table(rows, texts, test)


def _mask(fit: Fit, columns: Sequence[int]) -> np.ndarray:
    found = np.zeros(len(fit.theta), bool)
    found[list(columns)] = True
    return found


def _unnamed(labels: Sequence[Any], text: str) -> Any:
    """The label of a line that is no term."""
    return (text, "") if labels and isinstance(labels[0], tuple) else text


def _index(labels: Sequence[Any]) -> pd.Index:
    if labels and isinstance(labels[0], tuple):
        return pd.MultiIndex.from_tuples(labels, names=["predictor", "term"])
    return pd.Index(labels, dtype=object)


def _table(rows: Sequence[Row], labels: Sequence[Any], heading: str) -> pd.DataFrame:
    """The frame of a table of tests; what it tests stands over its index."""
    values = [
        (row.df, row.deviance, row.fit.df_resid, submodels.misfit(row.fit), row.statistic, row.p_value) for row in rows
    ]
    frame = pd.DataFrame(values, index=_index(labels), columns=list(_COLUMNS), dtype=float)
    return frame.rename_axis(columns=heading)


def _wald_table(
    res: Results, labels: Sequence[Any], pairs: Sequence[Any], test: str | None, order: str
) -> pd.DataFrame:
    if test not in (None, "Chisq", "F"):
        raise InputError(
            f"under the {res.covariance.kind} covariance tests are Wald tests, 'Chisq' or 'F', not {test!r}"
        )
    test = test or ("Chisq" if np.isinf(res.covariance.df) else "F")
    rows = submodels.wald_rows(res.fit, res.covariance, pairs, test)
    values = [(row.df, row.statistic, row.p_value) for row in rows]
    frame = pd.DataFrame(values, index=_index(labels), columns=["df", "statistic", "p_value"], dtype=float)
    return frame.rename_axis(columns=f"{order}, Wald {test}, {res.covariance.kind}")


def _robust(res: Results) -> bool:
    return res.covariance.robust


def _check_results(models: Sequence[Any]) -> None:
    if not models:
        raise InputError("anova needs at least one fitted model")
    for model in models:
        if not all(hasattr(model, name) for name in ("fit", "labels", "intake", "covariance")):
            raise InputTypeError(f"a fitted model is wanted, not {type(model).__name__}")


def _require_likelihood(models: Sequence[Results], what: str) -> None:
    for res in models:
        if _robust(res):
            why = "prob_weights=" if res.fit.options.probability_weights else f"the {res.covariance.kind} covariance"
            raise NotAvailableError(
                f"{what} does not hold under {why}, since it takes the likelihood at its word; use wald_test() on the "
                "larger model"
            )


def _check_nested(small: Results, large: Results) -> None:
    named = {id(res.fit): {t for t, kept in zip(res.labels.texts, res.fit.rank.active, strict=True) if kept}
             for res in (small, large)}  # fmt: skip
    offsets = small.intake.has_offset or large.intake.has_offset
    nested.check_nested(small.fit, large.fit, lambda fit: named[id(fit)], offsets)


def _warn(models: Submodels) -> None:
    for status in models.stopped:
        warnings.warn(f"a submodel stopped early: {status.name}: {status.sentence}", ConvergenceWarning, stacklevel=4)
