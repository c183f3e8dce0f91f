"""Which factors of a term keep all their columns, so that no column repeats another.

The rule is structural, it looks at the terms and not at the data, and is that
of formulaic and patsy: a term stands for all products of subsets of those of its
factors that span a constant; what earlier terms gave already is taken away;
what remains is written with as few blocks as possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

#: A factor in a block: its number, and whether its coding is reduced.
Scoped = tuple[int, bool]
Block = tuple[Scoped, ...]


def blocks_of_terms(terms: Iterable[Sequence[int]], spans: Sequence[bool]) -> list[list[Block]]:
    """The blocks of each term.

    Parameters
    ----------
    terms : iterable of sequences of int
        The factors of each term, by number; an empty sequence is the intercept.
    spans : sequence of bool
        Whether the columns of each factor add up to a constant.

    Returns
    -------
    list of list of tuple of (int, bool)
        For each term its blocks; a block is a product of factors, each full or reduced (True).

    Examples
    --------
    A numeric factor 0 and a category 1, ``~ 1 + x + f:x``:

    >>> blocks_of_terms([[], [0], [1, 0]], [False, True])
    [[()], [((0, False),)], [((1, True), (0, False))]]
    """
    spanned: set[frozenset[Scoped]] = set()
    out = []
    for term in terms:
        if not any(spans[f] for f in term):
            block = tuple((f, False) for f in term)
            key = frozenset(block)
            out.append([] if key in spanned else [block])
            spanned.add(key)
            continue
        choices = [(((f, True),), ()) if spans[f] else (((f, False),),) for f in term]
        pieces = [tuple(s for part in choice for s in part) for choice in product(*choices)]
        new = [p for p in dict.fromkeys(pieces) if frozenset(p) not in spanned]
        spanned.update(map(frozenset, new))
        out.append(_merge(new))
    return out


def _merge(pieces: Iterable[Block]) -> list[Block]:
    """Apply ``A:b(reduced) + A -> A:b(full)`` until nothing changes, smallest pieces first."""
    kept: list[Block] = []
    for piece in sorted(pieces, key=len):
        members = set(piece)
        for other in kept:
            extra = members - set(other)
            if len(other) != len(piece) - 1 or len(extra) != 1:
                continue
            (added,) = extra
            if added[1]:
                merged = tuple((s[0], False) if s == added else s for s in piece)
                rest = [k for k in kept if k is not other]
                kept = _merge([*rest, *([] if merged in rest else [merged])])
                break
        else:
            kept.append(piece)
    return kept
