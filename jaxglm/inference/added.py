"""Score test of columns that a fit does not have, without fitting them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxglm import precision
from jaxglm.design import Dense, Layout, Split
from jaxglm.errors import InputError
from jaxglm.fitted import Fit
from jaxglm.inference.hypotheses import HypothesisTest, outcome
from jaxglm.inference.submodels import score_statistic
from jaxglm.kernels import Model, Rows
from jaxglm.solvers import drive
from jaxglm.sources import Source


def add_columns(fit: Fit, source: Source, values: Sequence[np.ndarray], names: tuple[str, ...]) -> HypothesisTest:
    """Score test of the hypothesis that added columns have coefficients of 0.

    Parameters
    ----------
    source : Source
        The rows of the fit.
    values : one (n, q_k) a predictor
    names : what each of them is called, in that order; those of one term may share its name

    Returns
    -------
    HypothesisTest
        Chi-squared on the number of added columns that do not depend on those of the fit and on each other. Where the
        dispersion is estimated it is that of the fit, which the added columns do not lower.

    Raises
    ------
    InputError
        None of the columns adds anything.

    Notes
    -----
    U' I^-1 U / phi of the longer model at the estimate of the fit (Rao 1948), in the information that the fit reports.
    Two passes of O(n (P + q)^2); the added columns are held in memory.
    """
    model = fit.model
    widths = [v.shape[1] for v in values]
    designs = tuple(
        Split(
            tuple(part for part, _ in d.parts) + (Dense(q),),
            tuple(tuple(places) for _, places in d.parts) + (tuple(range(d.n_columns, d.n_columns + q)),),
        )
        if q
        else d
        for d, q in zip(model.layout.designs, widths, strict=True)
    )
    edges = np.cumsum([0, *widths])

    def change(rows: Rows, more) -> Rows:
        x = tuple(
            d.rows_of_parts(xi) + (more[:, a:b],) if b > a else xi
            for d, xi, a, b in zip(model.layout.designs, rows.x, edges[:-1], edges[1:], strict=True)
        )
        return rows._replace(x=x)

    longer = Model(model.family, Layout(designs))
    old = np.concatenate([np.arange(d.n_columns + q) < d.n_columns
                          for d, q in zip(model.layout.designs, widths, strict=True)])  # fmt: skip
    with precision.scope():
        wide = source.beside(np.concatenate(values, axis=1), change)
        found, _ = drive.decide_rank(wide, longer, drive.survey(wide, longer))
        theta = np.zeros(len(old))
        theta[old] = fit.coefficients
        active = found.active.copy()
        active[old] = fit.active
        new = active & ~old
        if not new.any():
            named = ", ".join(dict.fromkeys(names))
            raise InputError(f"the model gains nothing from {named}: its own columns give them already")
        # An exact fit leaves nothing to divide by.
        statistic = score_statistic(wide, fit, theta, active, longer) / (fit.scale or np.nan)
    there = {name for name, counts in zip(names, new[~old], strict=True) if counts}
    gone = [name for name in dict.fromkeys(names) if name not in there]
    notes = (f"  (left out, as the others give them: {', '.join(gone)})",) if gone else ()
    lines = tuple(f"{name} = 0" for name in dict.fromkeys(names) if name in there)
    return outcome("Score test of added columns", statistic, float(new.sum()), np.inf, hypothesis=lines, notes=notes)
