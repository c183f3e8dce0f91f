"""The functions that fit many models by one call."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxglm import resolve
from jaxglm.api import options_of
from jaxglm.batched import Segments, Work
from jaxglm.errors import ConvergenceWarning, DataError, DataWarning, InputTypeError, row_count
from jaxglm.frames.read import read
from jaxglm.frames.table import Table
from jaxglm.groups import fit_groups
from jaxglm.hosts import ALONE, Hosts
from jaxglm.intake import Beside, FormulaIntake
from jaxglm.intake.base import Taken
from jaxglm.kernels import Model
from jaxglm.progress import Bar
from jaxglm.results.grouped import GroupedResults
from jaxglm.results.grouped_storage import keys_of
from jaxglm.results.labels import Labels, as_text


def glm_groups(
    formula: str | Mapping[str, str],
    data: Any,
    by: str | Sequence[str],
    family: Any = "gaussian",
    *,
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
    functions: Mapping[str, Callable] | None = None,
    progress: bool | None = None,
    **unknown: Any,
) -> GroupedResults:
    """Fit one model a group: the same formula and family, coefficients of its own for each.

    What a formula learns (levels, knots, means) it learns once, from all rows; a level or column that a group lacks is
    aliased there. Groups that cannot be fitted have NaN and a sentence in ``failed()``; they stop and change no other.
    An interrupt (Ctrl-C) leaves the groups that are done.

    Parameters
    ----------
    formula, data, family
        As in :func:`jaxglm.glm`; the data is one frame in memory.
    by : str or sequence of str
        Columns whose values, or combinations of values, are the groups. Rows where one is missing are left out; a
        group none of whose rows is complete stays, with NaN.
    link, offset, exposure, trials, freq_weights, var_weights, prob_weights, aux, solver, information, start, tol,
    max_iter, use_t, missing, functions
        As in :func:`jaxglm.glm`; they hold for every group.
    cov : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "survey"}, Cluster or HAC, optional
        As in :func:`jaxglm.glm`, for each group by itself: clusters are those within it, times order its rows. With
        HAC, and with ``Cluster(..., fix=True)`` of several ways, groups are fitted one by one. A group that cannot
        have the covariance (all its rows in one cluster) has NaN standard errors, and a warning says why.
    progress : bool, optional
        Show a bar, which needs tqdm; by default only where the work takes more than a second and tqdm is installed.

    Returns
    -------
    GroupedResults

    Raises
    ------
    FormulaError, DataError, InputError
        What concerns all groups; with the row, the column and the remedy.

    Warns
    -----
    ConvergenceWarning
        Some groups have no estimates.

    Notes
    -----
    Groups of similar length are filled up to a common one and fitted side by side, a tile of them at a time on each
    core, so that memory beyond the rows is small; those that need a slow path end as a fit of their own. Cost O(n P^2)
    a step; 10,000 groups of 200 rows and 5 columns take a few tenths of a second.

    Examples
    --------
    >>> import pandas as pd
    >>> import jaxglm as jg
    >>> df = pd.DataFrame({"store": ["a"] * 4 + ["b"] * 4, "price": [1, 2, 3, 4] * 2, "sold": [9, 7, 4, 2, 5, 5, 3, 1]})
    >>> grp = jg.glm_groups("sold ~ price", df, by="store", family="poisson")
    >>> print(grp.params.round(3).to_dict("index"))
    {'a': {'Intercept': 2.731, 'price': -0.462}, 'b': {'Intercept': 2.194, 'price': -0.42}}
    """
    resolve.refuse_unknown(unknown, options_of(glm_groups))
    family = resolve.family(family, link)
    beside = Beside(
        offset, exposure, trials, freq_weights, var_weights, prob_weights, resolve.aux(aux, family, named=True)
    )
    resolve.choice("missing", missing, ("drop", "raise"))
    estimator = resolve.covariance(cov, beside.weights)
    names = _names(by, data)
    table = read(data)
    intake, taken = FormulaIntake.learn(formula, table, family, beside, missing, functions)
    options = resolve.options(
        solver=solver, information=information, start=start, tol=tol, max_iter=max_iter, use_t=use_t,
        n_coefficients=len(intake.names), probability_weights=prob_weights is not None, family=family,
        precision="float64", roads=False,
    )  # fmt: skip
    codes, keys, intake, taken = _group(table, intake, taken, names)
    segments = Segments.of(codes, len(keys))
    kept = Codes(intake.codes) if estimator.reads_beside else None
    sets = {} if kept is None else {f"set {k}": segments.within(c) for k, c in enumerate(estimator.sets(kept))}
    work = Work(
        rows=taken.rows._replace(codes=sets), segments=segments, model=Model(family, intake.layout), options=options,
        estimator=estimator, has_intercept=intake.has_intercept, has_offset=intake.has_offset, natural=intake.natural,
        name_row=taken.name_row, name_column=lambda j: f"column {as_text(intake.names[j])!r}", codes=kept,
    )  # fmt: skip
    with Bar(len(keys), progress, " groups") as bar:
        batch, complete = fit_groups(work, bar.add)
    labels = Labels(
        names=intake.names, response=intake.spec.response_name, formula=intake.text, index=taken.index,
        notes=taken.notes, weights=beside.weights,
    )  # fmt: skip
    grp = GroupedResults(batch, work, keys, labels, intake)
    report(grp, complete)
    return grp


def _names(by: Any, data: Any) -> list[str]:
    """The columns of the groups, checked."""
    if callable(data) or isinstance(data, (str, os.PathLike)):
        raise InputTypeError("glm_groups takes a frame in memory, not files or a callable that gives pieces of one")
    names = [by] if isinstance(by, str) else list(by) if isinstance(by, (list, tuple)) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise InputTypeError(f"by must be the name of a column or a list of names, not {by!r}")
    return names


def _group(
    table: Table, intake: FormulaIntake, taken: Taken, names: list[str]
) -> tuple[np.ndarray, pd.Index, FormulaIntake, Taken]:
    """The group of each row, the keys in order, and what is left where keys are missing.

    A group keeps its place though none of its rows is complete.
    """
    factors = [table[name].factor for name in names]
    codes = factors[0].codes.astype(np.int64 if len(factors) > 1 else np.int32, copy=False)
    for factor in factors[1:]:
        codes = np.where((codes < 0) | (factor.codes < 0), -1, codes * len(factor.levels) + factor.codes)
    if codes.max(initial=-1) < 0:
        raise DataError(f"no row has a group: every value of {_listed(names)} is missing")
    size = int(np.prod([len(factor.levels) for factor in factors]))
    if size <= max(4 * len(codes), 1024):
        there = np.flatnonzero(np.bincount(codes[codes >= 0] if codes.min() < 0 else codes, minlength=size))
        if len(there) < size:
            # One place more, for the code -1.
            place = np.full(size + 1, -1, np.int64)
            place[there] = np.arange(len(there))
            codes = place[codes]
    else:
        there, codes = np.unique(codes, return_inverse=True)
        if there[0] < 0:
            there, codes = there[1:], codes - 1
    if taken.positions is not None:
        codes = codes[taken.positions]
    if codes.min() < 0:
        kept = np.flatnonzero(codes >= 0)
        if not len(kept):
            raise DataError(f"no row is complete: each lacks a value of {_listed(names)} or of a column of the model")
        note = f"{row_count(len(codes) - len(kept))} without a group left out."
        intake, taken, codes = intake.of_rows(kept), taken.only(kept, note), codes[kept]
    levels = []
    rest = there
    for factor in reversed(factors):
        rest, code = np.divmod(rest, len(factor.levels))
        levels.insert(0, [factor.levels[c] for c in code])
    return codes, keys_of(levels, names), intake, taken


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))


class Codes:
    """Codes of all rows, kept for as long as groups ask for their own."""

    def __init__(self, codes: Callable[[Any, str], np.ndarray]):
        self._codes, self._known = codes, {}

    def __call__(self, value: Any, what: str, hosts: Hosts = ALONE) -> np.ndarray:
        # An estimator keeps the values that it has, so none gets the id of another.
        if id(value) not in self._known:
            self._known[id(value)] = self._codes(value, what, hosts)
        return self._known[id(value)]


def report(grp: GroupedResults, complete: bool) -> None:
    """Warn where fits have no estimates or no standard errors; called by what users call."""
    noun = grp.work.segments.noun
    gaps = grp.batch.gaps
    if gaps:
        first = min(gaps)
        warnings.warn(
            f"{len(gaps):,} of {len(grp):,} {noun} have estimates but no standard errors, the first of them "
            f"{grp.keys[first]!r}: {gaps[first]}",
            DataWarning, stacklevel=3,
        )  # fmt: skip
    failed = grp.failed()
    if not len(failed):
        return
    kinds = ", ".join(f"{count:,} {status}" for status, count in failed["status"].value_counts().items())
    words = "" if complete else " The run was interrupted."
    warnings.warn(
        f"{len(failed):,} of {len(grp):,} {noun} have no estimates ({kinds}); failed() says why of each.{words}",
        ConvergenceWarning, stacklevel=3,
    )  # fmt: skip
