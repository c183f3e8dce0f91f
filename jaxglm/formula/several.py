"""Several formulas over the same rows: one for each predictor of a family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jaxglm.errors import FormulaError
from jaxglm.formula.build import Built
from jaxglm.formula.learn import learn_and_build, read_formula
from jaxglm.formula.spec import FormulaSpec
from jaxglm.frames import Table

Make = Callable[[int, "np.ndarray | None"], tuple[FormulaSpec, Built]]


def learn_several(
    texts: Sequence[str], table: Table, *, functions: Any, missing: str, extra: Any
) -> list[tuple[FormulaSpec, Built]]:
    """Learn formulas of which only the first has a left side, and make their rows, the same ones for all.

    A row is used when nothing that any of the formulas needs is missing in it.
    """
    for text in texts[1:]:
        one_sided(text, table, functions)

    def make(i: int, rows: np.ndarray | None) -> tuple[FormulaSpec, Built]:
        return learn_and_build(
            texts[i], table, functions=functions, response=i == 0, missing=missing, extra=extra if i == 0 else None,
            rows=rows,
        )  # fmt: skip

    return _same_rows(len(texts), make, extra)


def build_several(specs: Sequence[FormulaSpec], table: Table, **options: Any) -> list[Built]:
    """The rows of a table under each spec, the same ones for all; options as in :func:`jaxglm.formula.build.build`."""
    extra, response = options.pop("extra", None), options.pop("response", True)

    def make(i: int, rows: np.ndarray | None) -> tuple[FormulaSpec, Built]:
        first = i == 0
        built = specs[i].build(table, response=response and first, extra=extra if first else None, rows=rows, **options)
        return specs[i], built

    return [built for _, built in _same_rows(len(specs), make, extra)]


def one_sided(text: str, table: Table, functions: Any) -> None:
    """Refuse a left side in the formula of another predictor than the first."""
    if read_formula(text, table, dict(functions or {}), False).response:
        raise FormulaError(
            f"only the formula of the first predictor has a response, but another one is {text!r}; write it as '~ z'"
        )


def _same_rows(count: int, make: Make, extra: Any) -> list[tuple[FormulaSpec, Built]]:
    """What `make` gives for each formula; made again over the common rows where the formulas drop different ones."""
    made = [make(i, None) for i in range(count)]
    keeps = [built.keep for _, built in made if built.keep is not None]
    if not keeps or (len(keeps) == count and all(np.array_equal(keep, keeps[0]) for keep in keeps)):
        return made
    common = np.logical_and.reduce(keeps)
    by: dict[str, int] = {}
    for _, built in made:
        by |= {name: n for name, n in built.dropped_by.items() if name not in by}
    again = [make(i, common) for i in range(count)]
    spec, first = again[0]
    again[0] = spec, replace(first, n_dropped=int((~common).sum()), dropped_by=by)
    return again
