"""Many responses beside one X by one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxglm import resolve
from jaxglm.api import options_of
from jaxglm.batch import Codes, report
from jaxglm.batched import Work
from jaxglm.errors import InputTypeError
from jaxglm.groups import fit_groups
from jaxglm.intake import Beside
from jaxglm.intake.together import learn
from jaxglm.kernels import Model
from jaxglm.progress import Bar
from jaxglm.results.grouped import GroupedResults
from jaxglm.results.labels import Labels, as_text
from jaxglm.together import Together


def fit_many(
    X: Any,
    Y: Any,
    family: Any = "gaussian",
    *,
    intercept: bool = True,
    names: Any = None,
    link: Any = None,
    offset: Any = None,
    exposure: Any = None,
    trials: Any = None,
    freq_weights: Any = None,
    var_weights: Any = None,
    prob_weights: Any = None,
    aux: Mapping[str, Any] | None = None,
    solver: str = "auto",
    information: str = "expected",
    cov: Any = None,
    start: Any = None,
    tol: float = 1e-8,
    max_iter: int = 100,
    use_t: bool | None = None,
    missing: str = "drop",
    progress: bool | None = None,
    **unknown: Any,
) -> GroupedResults:
    """Fit one model a response: many columns of Y beside one X, each with all that a fit of its own would give.

    Responses that cannot be fitted have NaN and a sentence in ``failed()``; they stop and change no other. An
    interrupt (Ctrl-C) leaves those that are done.

    Parameters
    ----------
    X : array or data frame (n, p)
        As in :func:`jaxglm.fit`.
    Y : array or data frame (n, G)
        A response a column; the columns of a frame are the keys of the results, else 0, 1, ... Numbers of any kind,
        read where they lie. Where a value is missing, that row is left out of that response alone.
    offset, exposure, trials, freq_weights, var_weights, prob_weights : array (n,) or (n, G), optional
        As in :func:`jaxglm.fit`, the same for all responses or a column for each.
    cov : str, Cluster or HAC, optional
        As in :func:`jaxglm.fit`; clusters and times are given for all rows. With HAC responses are fitted one by one.
    progress : bool, optional
        Show a bar, which needs tqdm; by default only where the work takes more than a second and tqdm is installed.
    family, intercept, names, link, aux, solver, information, start, tol, max_iter, use_t, missing
        As in :func:`jaxglm.fit`; they hold for every response.

    Returns
    -------
    GroupedResults
        A row a response; ``predict(newX)`` has a column for each, ``res[key]`` is the whole result of one.

    Raises
    ------
    DataError, InputError
        What concerns all responses; with the row, the column and the remedy.

    Warns
    -----
    ConvergenceWarning
        Some responses have no estimates.

    Notes
    -----
    Responses are fitted side by side, a tile of them at a time on each core. They share one copy of X and of the
    products of its columns, so that X b, X'r and X'WX of all are one matrix product each: O(n P^2 / 2) a step and
    response. What depends on a count alone is summed over the values of counts, not over rows: the dispersion of
    negative binomial responses costs no gamma functions. Memory beyond X, Y and the results is a few megabytes a core.
    Beyond 16,384 rows responses are fitted one after the other.

    Examples
    --------
    >>> import numpy as np
    >>> import jaxglm as jg
    >>> X = np.arange(6.0)[:, None]
    >>> Y = np.array([[1, 9], [2, 6], [2, 7], [5, 3], [6, 2], [9, 2]])
    >>> many = jg.fit_many(X, Y, family="poisson")
    >>> print(many.params.round(3).to_dict("index"))
    {0: {'Intercept': 0.148, 'x1': 0.416}, 1: {'Intercept': 2.231, 'x1': -0.32}}
    """
    resolve.refuse_unknown(unknown, options_of(fit_many))
    family = resolve.family(family, link)
    beside = Beside(
        offset, exposure, trials, freq_weights, var_weights, prob_weights, resolve.aux(aux, family, named=False)
    )
    resolve.choice("missing", missing, ("drop", "raise"))
    estimator = resolve.covariance(cov, beside.weights)
    for name, value in beside.given.items():
        if isinstance(value, str):
            raise InputTypeError(f"{name}={value!r} is a name, but fit_many() takes arrays; pass the values")
    intake, taken, own, keys = learn(
        X, Y, family, beside, names=names, intercept=bool(intercept), missing=missing
    )  # fmt: skip
    options = resolve.options(
        solver=solver, information=information, start=start, tol=tol, max_iter=max_iter, use_t=use_t,
        n_coefficients=len(intake.names), probability_weights=prob_weights is not None, family=family,
        precision="float64",
    )  # fmt: skip
    together = Together.of(own)
    read = Codes(intake.codes) if estimator.reads_beside else None
    sets = {} if read is None else {f"set {k}": together.within(c) for k, c in enumerate(estimator.sets(read))}
    work = Work(
        rows=taken.rows._replace(codes=sets), segments=together, model=Model(family, intake.layout), options=options,
        estimator=estimator, has_intercept=intake.has_intercept, has_offset=intake.has_offset, natural=intake.natural,
        name_row=taken.name_row, name_column=lambda j: f"column {as_text(intake.names[j])!r}", codes=read,
    )  # fmt: skip
    with Bar(len(keys), progress, f" {together.noun}") as bar:
        batch, complete = fit_groups(work, bar.add)
    labels = Labels(names=intake.names, response="Y", index=taken.index, notes=taken.notes, weights=beside.weights)
    many = GroupedResults(batch, work, keys, labels, intake)
    report(many, complete)
    return many
