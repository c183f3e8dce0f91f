"""Several fits side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from jaxglm.errors import InputError, InputTypeError, near
from jaxglm.inference import likelihood
from jaxglm.results.labels import as_text, infinite_words
from jaxglm.results.render import Grid
from jaxglm.results.results import Results
from jaxglm.results.summary import fixed, number, p_text, stars
from jaxglm.results.tidy import check_alpha, coefficient_table, require_ratio

#: What may stand under an estimate: how it is written, and what the note calls it.
STATISTICS: dict[str, tuple[Callable[[pd.Series], str], str]] = {
    "se": (lambda row: f"({number(row['std_error'])})", "In parentheses: standard errors."),
    "ci": (
        lambda row: f"[{number(row['conf_low'])}, {number(row['conf_high'])}]",
        "In brackets: {level:.4g} % intervals ({method}).",
    ),
    "p": (lambda row: f"({p_text(row['p_value'])})", "In parentheses: p-values."),
    "t": (lambda row: f"({fixed(row['statistic'], 3)})", "In parentheses: estimate over standard error."),
}
#: Rows of figures: what they are called, and the figure of a result.
FIGURES: dict[str, Callable[[Results], float]] = {
    "Observations": lambda res: res.nobs,
    "Df residual": lambda res: res.df_resid,
    "Log-likelihood": lambda res: res.llf,
    "AIC": lambda res: res.aic,
    "BIC": lambda res: res.bic,
    "Deviance": lambda res: res.deviance,
    "Scale": lambda res: res.scale,
    "Deviance R2": lambda res: likelihood.pseudo_rsquared(res.fit),
}
_COUNTS = ("Observations", "Df residual")


@dataclass(frozen=True)
class Comparison:
    """Coefficients and figures of several fits, one column a fit; `print` it, or let a notebook show it.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row a coefficient, columns (model, "estimate" | "std_error" | "statistic" | "p_value" | "conf_low" |
        "conf_high"); NaN where a model lacks the coefficient or has dropped it.
    figures : pandas.DataFrame
        Fit statistics, one row each, one column a model.
    facts : pandas.DataFrame
        Response, family, link and covariance of each model.
    notes : tuple of str
    """

    frame: pd.DataFrame
    figures: pd.DataFrame
    facts: pd.DataFrame
    notes: tuple[str, ...]
    stat: str
    stars: bool
    present: dict[str, frozenset[str]]

    @cached_property
    def _grid(self) -> Grid:
        names = list(self.figures.columns)
        coefficients = []
        for term in self.frame.index:
            pairs = [self._cells(name, term) for name in names]
            coefficients.append((term, *(top for top, _ in pairs)))
            if any(under for _, under in pairs):
                coefficients.append(("", *(under for _, under in pairs)))
        figures = [
            (label, *(f"{v:,.10g}" if label in _COUNTS else _blank(v) for v in row))
            for label, row in zip(self.figures.index, self.figures.to_numpy(), strict=True)
        ]
        facts = [(label, *row) for label, row in zip(self.facts.index, self.facts.to_numpy(), strict=True)]
        return Grid(("", *names), (tuple(coefficients), tuple(figures), tuple(facts)), self.notes)

    def _cells(self, name: str, term: str) -> tuple[str, str]:
        """The two cells of a coefficient in a model."""
        row = self.frame.loc[term, name]
        if np.isnan(row["estimate"]):
            return ("aliased" if term in self.present[name] else ""), ""
        under = STATISTICS[self.stat][0](row)
        mark = stars(row["p_value"]).replace(".", "") if self.stars else ""
        return number(row["estimate"]) + mark, "" if under in ("()", "(nan)", "[nan, nan]") else under

    def __str__(self) -> str:
        return self._grid.as_text()

    __repr__ = __str__

    def to_html(self) -> str:
        """An HTML table."""
        return self._grid.as_html()

    _repr_html_ = to_html

    def to_markdown(self) -> str:
        """A Markdown table."""
        return self._grid.as_markdown()

    def to_latex(self) -> str:
        """A LaTeX tabular that needs no package."""
        return self._grid.as_latex()


def compare(
    *results: Results,
    names: list[str] | None = None,
    exponentiate: bool = False,
    stat: str = "se",
    stars: bool = False,
    alpha: float = 0.05,
    method: str = "wald",
) -> Comparison:
    """Fits side by side: coefficients in the order in which they first appear, figures below, one column a fit.

    Parameters
    ----------
    *results : Results
    names : list of str, optional
        Headings, all different; by default (1), (2), ...
    exponentiate : bool
        Odds or rate ratios instead of coefficients; every link must give such.
    stat : {"se", "ci", "p", "t"}
        What stands under each estimate: standard error, interval, p-value, or estimate over standard error.
    stars : bool
        Mark p-values below 0.05, 0.01 and 0.001.
    alpha, method
        Level and kind of intervals, as in ``res.conf_int``.

    Returns
    -------
    Comparison
        It prints; ``.to_html() .to_markdown() .to_latex()`` render it, ``.frame`` and ``.figures`` hold the numbers.
        Notes say where models cannot be compared by their likelihoods.

    Raises
    ------
    InputError, InputTypeError
        No results, something else than results, headings that do not fit, or an unknown `stat`.

    Examples
    --------
    >>> import jaxglm as jg
    >>> data = {"y": [0, 2, 1, 4, 6, 5], "x": [0, 1, 2, 3, 4, 5], "z": [1, 0, 1, 1, 0, 1]}
    >>> one, two = jg.glm("y ~ x", data, family="poisson"), jg.glm("y ~ x + z", data, family="poisson")
    >>> jg.compare(one, two, names=["plain", "with z"]).figures.loc["Observations"].tolist()
    [6.0, 6.0]
    """
    heads = _headings(results, names)
    if stat not in STATISTICS:
        raise InputError(f"unknown stat {stat!r}.{near(stat, STATISTICS)}")
    check_alpha(alpha)
    limits = method if stat == "ci" else "wald"
    tables = {
        name: coefficient_table(res, alpha, exponentiate, limits) for name, res in zip(heads, results, strict=True)
    }
    for table in tables.values():
        table.index = [as_text(term) for term in table.index]
    terms = list(dict.fromkeys(term for table in tables.values() for term in table.index))
    frame = pd.concat({name: table.reindex(terms) for name, table in tables.items()}, axis=1)
    facts = pd.DataFrame({name: _facts(res) for name, res in zip(heads, results, strict=True)})
    figures = pd.DataFrame(
        {name: [figure(res) for figure in FIGURES.values()] for name, res in zip(heads, results, strict=True)},
        index=list(FIGURES), dtype=float,
    )  # fmt: skip
    words = [STATISTICS[stat][1].format(level=100 * (1 - alpha), method=method)]
    if stars:
        words.append("Significance: *** p < 0.001, ** p < 0.01, * p < 0.05.")
    if exponentiate:
        kinds = dict.fromkeys(require_ratio(res) for res in results)
        words.append(f"Estimates are exponentiated ({', '.join(kinds).lower()}); tests are of a ratio of 1.")
    words += _warnings(heads, results, facts)
    present = {name: frozenset(table.index) for name, table in tables.items()}
    return Comparison(frame, figures, facts, tuple(words), stat, stars, present)


def _blank(value: float) -> str:
    return "" if np.isnan(value) else number(value)


def _headings(results: tuple[Any, ...], names: list[str] | None) -> list[str]:
    if not results:
        raise InputError("compare needs results, such as jg.compare(first, second)")
    for res in results:
        if not isinstance(res, Results):
            hint = "; give a list as jg.compare(*results)" if isinstance(res, (list, tuple)) else ""
            raise InputTypeError(f"compare takes results of glm() or fit(), not {type(res).__name__}{hint}")
    if names is None:
        return [f"({k + 1})" for k in range(len(results))]
    if isinstance(names, str) or len(names) != len(results):
        raise InputError(f"names must be a list of {len(results)} headings, one a result, not {names!r}")
    heads = [str(name) for name in names]
    if len(set(heads)) < len(heads):
        raise InputError(f"names must differ, and {names!r} has one twice")
    return heads


def _facts(res: Results) -> pd.Series:
    family = res.fit.model.family
    return pd.Series(
        {
            "Response": res.labels.response,
            "Family": family.title,
            "Link": family.link_title,
            "Covariance": res.covariance.kind,
        }
    )


def _warnings(heads: list[str], results: tuple[Results, ...], facts: pd.DataFrame) -> list[str]:
    """What a reader of the table must know."""
    found = []
    for label, values in (
        ("responses", list(facts.loc["Response"])),
        ("numbers of observations", [f"{res.nobs:,.10g}" for res in results]),
        ("kinds of weights", [", ".join(res.labels.weights) or "none" for res in results]),
    ):
        if len(set(values)) > 1:
            different = ", ".join(dict.fromkeys(values))
            found.append(
                f"Different {label} ({different}): log-likelihoods, AIC, BIC and deviances are not comparable."
            )
    for head, res in zip(heads, results, strict=True):
        if infinite := infinite_words(res.fit, res.labels):
            found.append(f"{head}: {infinite}.")
        if not res.converged:
            found.append(f"{head}: {res.status.sentence}")
    return found
