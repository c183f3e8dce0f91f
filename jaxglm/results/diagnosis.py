"""Checks of a fitted model in words."""

from __future__ import annotations

import html
import json
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxglm.errors import NO_ROWS
from jaxglm.inference.checks import CHECKS, Finding, Subject
from jaxglm.inference.gather import gather
from jaxglm.results.labels import aliased, as_text, separated

if TYPE_CHECKING:
    from jaxglm.results.results import Results

#: Columns of text.
_WIDTH = 100


@dataclass(frozen=True)
class Diagnosis:
    """What the checks of a model found; ``print`` it, or let a notebook show it.

    Attributes
    ----------
    title : str
    findings : tuple of Finding
        One a check, with its figure, verdict ("ok", "look", "problem" or "not judged"), and what to do, or why it was
        not judged.
    named : tuple of tuple
        Labels of the rows that each finding names.

    Examples
    --------
    >>> import jaxglm as jg
    >>> found = jg.fit([[0.0], [1.0], [2.0], [3.0], [4.0]], [0, 1, 1, 2, 40], "poisson").diagnose()
    >>> found["link"].verdict, "bend along x1" in found["curvature"].remedy
    ('look', True)
    """

    title: str
    findings: tuple[Finding, ...]
    named: tuple[tuple, ...]

    def __getitem__(self, check: str) -> Finding:
        """The finding of a check by its name."""
        return {finding.check: finding for finding in self.findings}[check]

    @property
    def verdict(self) -> str:
        """The worst of all verdicts."""
        found = {finding.verdict for finding in self.findings}
        return next((word for word in ("problem", "look") if word in found), "ok")

    def frame(self) -> pd.DataFrame:
        """One row a check: `figure verdict remedy statistic p_value rows`, by name of the check."""
        return pd.DataFrame(
            {
                "figure": [finding.figure for finding in self.findings],
                "verdict": [finding.verdict for finding in self.findings],
                "remedy": [finding.remedy for finding in self.findings],
                "statistic": [finding.statistic for finding in self.findings],
                "p_value": [finding.p_value for finding in self.findings],
                "rows": list(self.named),
            },
            index=pd.Index([finding.check for finding in self.findings], name="check"),
        )

    def _lines(self) -> list[tuple[str, str, str]]:
        """Check, verdict, and all that is said of it."""
        found, last = [], ""
        for finding, rows in zip(self.findings, self.named, strict=True):
            figure = finding.figure
            if rows:
                figure += f"; row{'s' if len(rows) > 1 else ''} " + ", ".join(map(str, rows))
            parts = [part for part in (figure, finding.remedy) if part]
            words = ". ".join(parts)
            found.append((finding.check, finding.verdict, "As above." if words and words == last else words))
            last = words
        return found

    def as_text(self) -> str:
        """Plain text."""
        lines = self._lines()
        first = max(len(line[0]) for line in lines) + 2
        second = max(len(line[1]) for line in lines) + 2
        body = [f"{'check':<{first}}{'verdict':<{second}}finding", "-" * _WIDTH]
        for check, verdict, words in lines:
            wrapped = textwrap.wrap(words, _WIDTH - first - second) or [""]
            body.append(f"{check:<{first}}{verdict:<{second}}{wrapped[0]}".rstrip())
            body += [" " * (first + second) + more for more in wrapped[1:]]
        rule = "=" * _WIDTH
        return "\n".join([self.title.center(_WIDTH).rstrip(), rule, *body, rule])

    def as_html(self) -> str:
        """An HTML fragment with one table."""
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("check", "verdict", "finding"))
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in line) + "</tr>"
            for line in self._lines()
        )
        title = html.escape(self.title)
        return f"<div><h4>{title}</h4><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"

    __str__ = as_text
    __repr__ = as_text
    _repr_html_ = as_html


def diagnose(res: Results) -> Diagnosis:
    """See :meth:`jaxglm.results.results.Results.diagnose`."""
    fit, labels = res.fit, res.labels
    gathered = f"It needs {NO_ROWS}."
    if not fit.status.converged:
        gathered = "The estimates are no maximum of the likelihood; see above, and ask again once they are."
    elif fit.source is not None:
        numeric = {name: j for name, j in res.intake.numeric_places.items() if fit.active[j]}
        gathered = gather(fit, numeric, "var_weights" in labels.weights)
    subject = Subject(
        fit=fit, names=labels.texts, gathered=gathered,
        terms=tuple((as_text(term.label), term.columns) for term in res.intake.terms),
        infinite=tuple(f"{name} ({sign})" for name, sign in separated(fit, labels)),
        dependent=tuple(f"{name} = {words}" for name, words in aliased(fit, labels)),
    )  # fmt: skip
    with np.errstate(all="ignore"):
        findings = tuple(check(subject) for check in CHECKS)
    named = tuple(_names(res, finding.rows) for finding in findings)
    family = fit.model.family
    return Diagnosis(f"Checks of the model (family {family.title}, link {family.link_title})", findings, named)


def _names(res: Results, rows: tuple[int, ...]) -> tuple:
    """Labels of rows by position; with the process where they lie in several."""
    source, labels = res.fit.source, res.labels
    if source is None or source.hosts.size == 1:
        return tuple(labels.row_index(res.fit.n_rows)[list(rows)])
    hosts, first = source.hosts, source.n_before
    own = labels.row_index(source.own.n_rows)
    mine = [(i, f"{own[i - first]} of process {hosts.place}") for i in rows if first <= i < first + len(own)]
    found = dict(pair for text in hosts.gather_bytes(json.dumps(mine).encode()) for pair in json.loads(text))
    return tuple(found[i] for i in rows)
