"""How the levels of a factor become columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxglm.design import Coding, Indicator, Table
from jaxglm.errors import DataError, FormulaError, near
from jaxglm.formula.values import Contrast, is_number

#: Combinations of levels in an interaction, beyond which it is refused rather than run out of memory.
MAX_LEVELS = 2**26


@dataclass(frozen=True)
class LevelCoding:
    """The columns of one factor, in full and reduced form.

    Attributes
    ----------
    base : int or None
        Treatment coding: the level without a column in the reduced form.
    table : tuple of tuple of float, or None
        Any other coding: the reduced form, one row a level.
    fields : tuple of str
        Names of the columns of `table`.
    form : str
        How a column of the reduced form is named, with ``{name}`` and ``{field}``.
    custom : bool
        Whether `table` stands for the full form too.
    """

    base: int | None = None
    table: tuple[tuple[float, ...], ...] | None = None
    fields: tuple[str, ...] = ()
    form: str = "{name}[T.{field}]"
    custom: bool = False

    def names(self, name: str, levels: Sequence[Any], reduced: bool) -> list[str]:
        """Names of the columns."""
        if not reduced and not self.custom:
            return [f"{name}[{level}]" for level in levels]
        if self.base is None:
            return [self.form.format(name=name, field=field) for field in self.fields]
        return [self.form.format(name=name, field=level) for i, level in enumerate(levels) if i != self.base]

    def width(self, n_levels: int, reduced: bool) -> int:
        """Number of columns."""
        if not reduced and not self.custom:
            return n_levels
        return len(self.fields) if self.base is None else n_levels - 1

    def columns(self, n_levels: int, reduced: bool) -> np.ndarray:
        """``column_of_level`` as an int vector (-1 for none), or a table (n_levels, k)."""
        if not reduced and not self.custom:
            return np.arange(n_levels)
        if self.base is None:
            return np.array(self.table, dtype=np.float64).reshape(n_levels, len(self.fields))
        place = np.arange(n_levels)
        place[self.base :] -= 1
        place[self.base] = -1
        return place


def learn_coding(contrast: Contrast | None, levels: Sequence[Any], name: str) -> LevelCoding:
    """The coding that a factor with these levels asks for; treatment coding with the first level as base by default.

    Raises
    ------
    FormulaError
        The reference is no level, or the contrast does not fit the number of levels.
    """
    if contrast is None or contrast.kind in ("treatment", "sas"):
        return LevelCoding(base=_base(contrast, levels, name))
    if len(levels) < 2:
        raise too_few_levels(name, levels)
    from jaxglm.formula import grammar

    options = dict(contrast.options)
    _check_options(contrast.kind, options, levels, name)
    try:
        table, fields, form = grammar.contrast_table(contrast.kind, options, levels)
    except (ValueError, TypeError, IndexError) as error:
        raise FormulaError(f"{name}: the contrast does not suit the {len(levels)} levels: {error}") from None
    if table.shape[0] != len(levels) or not np.isfinite(table).all():
        raise FormulaError(
            f"{name}: the contrast has {table.shape[0]} rows but the factor has {len(levels)} levels "
            f"({list(levels[:8])!r}); give one row of finite numbers for each level."
        )
    rows = tuple(tuple(map(float, row)) for row in table)
    return LevelCoding(None, rows, tuple(fields), form, custom=contrast.kind == "custom")


def too_few_levels(name: str, levels: Sequence[Any]) -> DataError:
    """The error for a factor that does not vary."""
    only = f"only the level {levels[0]!r}" if levels else "no level"
    return DataError(
        f"the factor {name!r} has {only} in the rows that are used; contrasts need two or more levels. "
        "Drop the factor, or check which rows were dropped for missing values."
    )


def _base(contrast: Contrast | None, levels: Sequence[Any], name: str) -> int:
    options = contrast.options if contrast else {}
    last = contrast is not None and contrast.kind == "sas"
    wanted = next(iter(options.values()), None)
    if wanted is None:
        return len(levels) - 1 if last else 0
    if wanted not in levels:
        raise FormulaError(
            f"{name}: the reference {wanted!r} is not a level of the factor.{near(wanted, levels)} "
            f"The levels are {list(levels[:20])!r}."
        )
    return list(levels).index(wanted)


def _check_options(kind: str, options: dict[str, Any], levels: Sequence[Any], name: str) -> None:
    """Only plain numbers and lists reach formulaic's classes."""
    for key, value in options.items():
        if isinstance(value, (bool, str)):
            continue
        items = list(value.values()) if isinstance(value, dict) else value
        if not isinstance(items, (list, tuple)):
            raise FormulaError(f"{name}: the argument {key} of the contrast must be a list, but is {value!r}.")
        for item in items:
            row = item if isinstance(item, (list, tuple)) else [item]
            if not all(is_number(v) or (key == "names" and isinstance(v, str)) for v in row):
                raise FormulaError(f"{name}: the argument {key} of the contrast must hold numbers, but has {item!r}.")
    if kind == "custom":
        rows = options.get("contrasts")
        if rows is None:
            raise FormulaError(f"{name}: contr.custom needs a table with one row for each of {len(levels)} levels.")
        items = list(rows.values()) if isinstance(rows, dict) else rows
        if len({len(r) if isinstance(r, (list, tuple)) else 0 for r in items}) != 1:
            raise FormulaError(f"{name}: the rows of the contrast table have different lengths.")


def product_columns(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Columns of an interaction from those of its factors; levels and columns run fastest in the first."""
    out = parts[0]
    for part in parts[1:]:
        if out.shape[0] * part.shape[0] > MAX_LEVELS:
            raise DataError(
                f"an interaction of factors has {out.shape[0]} x {part.shape[0]} combinations of levels, more than "
                f"{MAX_LEVELS}; merge levels, or drop the interaction."
            )
        if out.ndim == 1 and part.ndim == 1:
            width = int(out.max(initial=-1)) + 1
            both = (out[None, :] >= 0) & (part[:, None] >= 0)
            out = np.where(both, out[None, :] + width * part[:, None], -1).ravel()
        else:
            out = np.kron(_table(part), _table(out))
    return out


def _table(columns: np.ndarray) -> np.ndarray:
    if columns.ndim == 2:
        return columns
    width = int(columns.max(initial=-1)) + 1
    return np.eye(width + 1)[:, :width][np.where(columns < 0, width, columns)]


def n_columns(columns: np.ndarray) -> int:
    """How many columns an int vector or a table stands for."""
    return columns.shape[1] if columns.ndim == 2 else int(columns.max(initial=-1)) + 1


def design_coding(columns: np.ndarray) -> Coding:
    """The same as a coding of :mod:`jaxglm.design`, with NumPy leaves."""
    if columns.ndim == 2:
        return Table(np.ascontiguousarray(columns))
    return Indicator(columns.astype(np.int32), width=n_columns(columns))
