"""Coefficient names as people read them."""

from __future__ import annotations

import re
from typing import Any

#: ``C(f)[T.b]``, ``f[T.b]``, ``C(f, Treatment("a"))[T.b]``: a factor with treatment contrasts, and its level.
_LEVEL = re.compile(r"^(?:C\(\s*([^,()]+?)\s*(?:,.*)?\)|factor\(\s*([^,()]+?)\s*\)|([^\[\]]+))\[T\.(.*)\]$")
_COUNTS = re.compile(r"^cbind\(\s*([^,()]+?)\s*,")
_MOST = 46


def mean_words(results: Any, mean: str, probability: str) -> str:
    """ "Mean of y", or "Probability of y = yes" where the mean is one."""
    success = results.intake.encoder.levels
    name = counted_words(results)
    if results.fit.model.family.mean_range != "unit":
        return f"{mean} of {name}"
    return f"{probability} of {name} = {shorten(str(success[1]))}" if success else f"{probability} of {name}"


def link_words(family: Any, form: str) -> str:
    """The name of the link put in words; nothing where the likelihood maps the predictors itself."""
    return form.format(family.link_title) if family.link_title == str(family.link) else ""


def counted_words(results: Any) -> str:
    """The response, or what is counted in ``cbind(counted, others)``."""
    name = results.labels.response
    counts = _COUNTS.match(name)
    return shorten(counts.group(1) if counts else name)


def readable(name: str) -> str:
    """A coefficient's name with factor levels written "factor = level" and products with a multiplication sign."""
    parts = [_part(part) for part in _split(name)]
    return shorten(" × ".join(parts))


def _part(text: str) -> str:
    found = _LEVEL.match(text)
    if not found:
        return text
    factor = next(group for group in found.groups()[:3] if group is not None)
    return f"{factor} = {found.group(4)}"


def _split(name: str) -> list[str]:
    """Parts of an interaction: cut at colons outside of brackets."""
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(name):
        depth += (letter in "([") - (letter in ")]")
        if letter == ":" and depth == 0:
            parts.append(name[start:i])
            start = i + 1
    return [*parts, name[start:]]


def shorten(text: str, most: int = _MOST) -> str:
    """Long text without its middle."""
    if len(text) <= most:
        return text
    tail = most // 2 - 1
    return text[: most - tail - 1].rstrip() + "…" + text[-tail:].lstrip()
