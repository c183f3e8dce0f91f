"""Which parts the model matrix is stored in, and where their columns stand.

The intercept is a constant, all plain numbers stand together in one dense part,
each factor or interaction of factors is codes with a coding. The plan depends on
the spec alone, so the pieces of a stream agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from jaxglm.design import Categorical, Constant, Split, numbers
from jaxglm.formula.contrasts import design_coding, n_columns, product_columns
from jaxglm.formula.rank import Block

if TYPE_CHECKING:
    from jaxglm.formula.spec import FactorSpec, TermSpec


@dataclass(frozen=True)
class Product:
    """A column of numbers: a constant times columns of factors, each (factor, column of it or None)."""

    scale: float
    columns: tuple[tuple[int, int | None], ...]

    @property
    def is_one(self) -> bool:
        """Whether it is the constant 1."""
        return self.scale == 1.0 and not self.columns


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the design.

    ``kind`` is "constant", "dense" (its columns in `products`) or "categorical" (the `factors` whose codes are
    combined, their `coding`, and the one product in `products` that they are multiplied by). ``places`` are the
    positions of the columns in the whole.
    """

    kind: str
    places: tuple[int, ...]
    products: tuple[Product, ...] = ()
    factors: tuple[int, ...] = ()
    coding: np.ndarray | None = None

    @property
    def scaled(self) -> bool:
        """Whether a categorical part is multiplied by numbers."""
        return self.kind == "categorical" and not self.products[0].is_one


def make_plan(factors: Sequence[FactorSpec], structure: Sequence[TermSpec]) -> tuple[Part, ...]:
    """Parts for the blocks of all terms."""
    parts: list[Part] = []
    numbers: list[tuple[Product, int]] = []
    dense_at, start = None, 0
    for term in structure:
        for block in term.blocks:
            if not block and term.scale == 1.0:
                parts.append(Part("constant", (start,)))
                start += 1
                continue
            if all(factors[f].levels is None for f, _ in block):
                found = _products(factors, block, term.scale)
                if dense_at is None:
                    dense_at = len(parts)
                    parts.append(Part("dense", ()))
                numbers += [(p, start + i) for i, p in enumerate(found)]
                start += len(found)
                continue
            made = _categorical(factors, block, term.scale, start)
            parts += made
            start += sum(len(p.places) for p in made)
    if dense_at is not None:
        parts[dense_at] = Part("dense", tuple(at for _, at in numbers), tuple(p for p, _ in numbers))
    if not parts:
        parts.append(Part("dense", ()))
    return tuple(parts)


def _choices(spec: FactorSpec, number: int, reduced: bool) -> list[tuple[int, int | None]]:
    """The columns of a numerical factor."""
    if spec.fields is None:
        return [(number, None)]
    return [(number, i) for i in range(int(reduced), len(spec.fields))]


def _products(factors: Sequence[FactorSpec], block: Block, scale: float) -> list[Product]:
    """Columns of a block of numerical factors, the first factor running fastest."""
    choices = [_choices(factors[f], f, reduced) for f, reduced in block]
    return [Product(scale, combination[::-1]) for combination in product(*reversed(choices))]


def _categorical(factors: Sequence[FactorSpec], block: Block, scale: float, start: int) -> list[Part]:
    """One part for each column of the numerical factors that the block has."""
    tables, widths, choices, members = [], [], [], []
    for number, reduced in block:
        spec = factors[number]
        if spec.levels is None:
            choices.append(_choices(spec, number, reduced))
            widths.append(len(choices[-1]))
        else:
            tables.append(spec.coding.columns(len(spec.levels), reduced))
            widths.append(n_columns(tables[-1]))
            members.append(number)
    coding = product_columns(tables)
    # Positions in the block as an array with one axis a factor, the first one running fastest.
    grid = start + np.arange(int(np.prod(widths))).reshape(widths, order="F")
    parts = []
    for combination in product(*[range(len(c)) for c in reversed(choices)]):
        picked, turn = [], iter(combination[::-1])
        for number, _ in block:
            picked.append(next(turn) if factors[number].levels is None else slice(None))
        columns = tuple(c[i] for c, i in zip(choices, combination[::-1], strict=True))
        places = tuple(grid[tuple(picked)].ravel(order="F").tolist())
        if places:
            parts.append(Part("categorical", places, (Product(scale, columns),), tuple(members), coding))
    return parts


def make_design(plan: Sequence[Part]) -> Split:
    """The design of all parts; leaves are NumPy arrays."""
    kinds = []
    for part in plan:
        if part.kind == "constant":
            kinds.append(Constant())
        elif part.kind == "dense":
            kinds.append(numbers(len(part.places)))
        else:
            kinds.append(Categorical(design_coding(part.coding), scaled=part.scaled))
    return Split(tuple(kinds), tuple(p.places for p in plan))
