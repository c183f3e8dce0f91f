"""The summary of a fit, as text and as HTML."""

from __future__ import annotations

import html
import textwrap
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxglm.errors import DataError, Status
from jaxglm.inference import likelihood
from jaxglm.results.labels import aliased, as_text, infinite_words
from jaxglm.results.tidy import coefficient_table, require_ratio

if TYPE_CHECKING:
    from jaxglm.results.results import Results

#: Rows up to which the quantiles of the residuals are worth a pass.
_QUANTILE_ROWS = 1_000_000


@dataclass(frozen=True)
class Summary:
    """A summary in parts; `str()` gives text, notebooks show HTML.

    Attributes
    ----------
    title : str
    facts : tuple of (left label, left value, right label, right value)
    table : pandas.DataFrame
        The coefficients, numeric.
    columns : tuple of str
        Headings of the coefficient table.
    residuals : pandas.Series or None
        Five quantiles of the deviance residuals, if wanted.
    notes : tuple of str
    """

    title: str
    facts: tuple[tuple[str, str, str, str], ...]
    table: pd.DataFrame
    columns: tuple[str, ...]
    residuals: pd.Series | None
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return self.as_text()

    __repr__ = __str__

    def _cells(self) -> list[list[str]]:
        lines = [["", *self.columns, ""]]
        for name, row in zip(self.table.index, self.table.to_numpy(), strict=True):
            estimate, se, statistic, p, low, high = row
            if np.isnan(estimate):
                lines.append([as_text(name), "aliased", *[""] * 6])
                continue
            lines.append([as_text(name), number(estimate), number(se), fixed(statistic, 3), p_text(p),
                          number(low), number(high), stars(p)])  # fmt: skip
        return lines

    def as_text(self) -> str:
        """Plain text."""
        cells = self._cells()
        widths = [max(len(line[j]) for line in cells) for j in range(len(cells[0]))]
        body = []
        for line in cells:
            middle = [c.rjust(w) for c, w in zip(line[1:-1], widths[1:-1], strict=True)]
            body.append("  ".join([line[0].ljust(widths[0]), *middle, line[-1]]).rstrip())
        left = max(len(f[0]) for f in self.facts) + 1
        value = max(len(f[1]) for f in self.facts)
        right = max(len(f[2]) for f in self.facts) + 1
        end = max(len(f[3]) for f in self.facts)
        head = [f"{a + ':' if a else '':<{left}} {b:<{value}}    {c + ':' if c else '':<{right}} {d:>{end}}".rstrip()
                for a, b, c, d in self.facts]  # fmt: skip
        width = max([72, *map(len, body), *map(len, head)])
        double, single = "=" * width, "-" * width
        lines = [self.title.center(width).rstrip(), double, *head, double]
        if self.residuals is not None:
            lines += ["Deviance residuals: " + "  ".join(f"{k} {number(v)}" for k, v in self.residuals.items()), single]
        lines += [body[0], single, *body[1:], double]
        for note in self.notes:
            lines += textwrap.wrap(note, width, subsequent_indent="  ")
        return "\n".join(lines)

    def as_html(self) -> str:
        """An HTML fragment with two tables and the notes."""
        esc = html.escape
        facts = "".join(
            f"<tr><th style='text-align:left'>{esc(a)}</th><td>{esc(b)}</td>"
            f"<th style='text-align:left'>{esc(c)}</th><td style='text-align:right'>{esc(d)}</td></tr>"
            for a, b, c, d in self.facts
        )
        cells = self._cells()
        head = "".join(f"<th style='text-align:right'>{esc(c)}</th>" for c in cells[0])
        body = "".join(
            f"<tr><th style='text-align:left'>{esc(line[0])}</th>"
            + "".join(f"<td style='text-align:right'>{esc(c)}</td>" for c in line[1:])
            + "</tr>"
            for line in cells[1:]
        )
        quantiles = ""
        if self.residuals is not None:
            text = ", ".join(f"{k} {number(v)}" for k, v in self.residuals.items())
            quantiles = f"<p>Deviance residuals: {esc(text)}</p>"
        notes = "".join(f"<li>{esc(n)}</li>" for n in self.notes)
        return (
            f"<div><h4>{esc(self.title)}</h4><table>{facts}</table>{quantiles}"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{notes}</ul></div>"
        )

    _repr_html_ = as_html


def summarize(res: Results, alpha: float = 0.05, exponentiate: bool = False, residuals: bool = False) -> Summary:
    """Everything that R's and statsmodels' summaries show; quantiles of the residuals if they are wanted."""
    fit, family = res.fit, res.fit.model.family
    table = coefficient_table(res, alpha, exponentiate)
    symbol = "z" if np.isinf(res.covariance.df) else "t"
    estimate = require_ratio(res) if exponentiate else "Estimate"
    columns = (
        estimate,
        "Std. error",
        symbol,
        f"P>|{symbol}|",
        *limit_names(alpha),
    )
    values = residual_quantiles(res) if residuals else None
    quantiles = None if values is None else pd.Series(values, index=["min", "1Q", "median", "3Q", "max"])
    facts = tuple((*left, *right) for left, right in zip(_left(res, fit, family), _right(fit, family), strict=True))
    return Summary("Generalized linear model", facts, table, columns, quantiles, tuple(_notes(res, exponentiate)))


def residual_quantiles(res: Results) -> np.ndarray | None:
    """Least, quartiles and greatest of the deviance residuals (5,); None for many rows, for
    those in several processes, or where there are none."""
    fit = res.fit
    if (
        fit.source is None
        or fit.source.own is not fit.source
        or fit.n_rows > _QUANTILE_ROWS
        or not fit.model.family.has("unit_deviance")
    ):
        return fit.quantiles
    # Rows that were changed since the fit have no residuals of it; the rest of the summary stands.
    with suppress(DataError):
        return np.quantile(res.resid("deviance"), [0, 0.25, 0.5, 0.75, 1])
    return None


def _left(res: Results, fit, family) -> list[tuple[str, str]]:
    formula = res.labels.formula
    return [
        ("Formula", textwrap.shorten(formula, 60)) if formula else ("Response", res.labels.response),
        ("Family", family.title),
        ("Link", family.link_title),
        ("Covariance", f"{res.covariance.kind}, {fit.information} information"),
        ("Solver", f"Newton, {fit.n_iter} iteration{'' if fit.n_iter == 1 else 's'}"),
        ("Status", fit.status.name.lower().replace("_", " ")),
        ("Observations", f"{fit.nobs:,.10g}"),
        ("Df residual", f"{fit.df_resid:,.10g}"),
        ("Df model", f"{res.df_model:,.10g}"),
    ]


def _right(fit, family) -> list[tuple[str, str]]:
    scale = "fixed" if family.dispersion_known else "Pearson"

    def shown(method: str, value: float) -> str:
        """A figure that rests on a method of the family."""
        return number(value) if family.has(method) else "none"

    return [
        ("Log-likelihood", shown("logpdf", fit.llf)),
        ("AIC", shown("logpdf", likelihood.aic(fit))),
        ("BIC", shown("logpdf", likelihood.bic(fit))),
        ("Deviance", shown("unit_deviance", fit.deviance)),
        ("Null deviance", shown("unit_deviance", fit.null_deviance)),
        ("Df null", f"{fit.df_null:,.10g}"),
        ("Pearson chi2", shown("variance", fit.pearson_chi2)),
        (f"Scale ({scale})", number(fit.scale)),
        ("Deviance R2", shown("unit_deviance", likelihood.pseudo_rsquared(fit))),
    ]


def _notes(res: Results, exponentiate: bool) -> list[str]:
    fit, labels, family = res.fit, res.labels, res.fit.model.family
    notes = ["Significance: *** p < 0.001, ** p < 0.01, * p < 0.05, . p < 0.1"]
    if family.quadratic:
        notes.append(_squares(res))
    notes += labels.notes
    if labels.weights:
        notes.append("Weights: " + ", ".join(labels.weights) + ".")
    if fit.status not in (Status.CONVERGED,):
        reached = f" Reached tolerance {fit.tolerance:.1e}." if fit.status is Status.CONVERGED_TO_PRECISION else ""
        notes.append(f"{fit.status.name}: {fit.status.sentence}{reached}")
    if infinite := infinite_words(fit, labels):
        notes.append(f"{infinite[0].upper()}{infinite[1:]}.")
    for name, words in aliased(fit, labels):
        notes.append(f"Aliased: {name} = {words}; dropped.")
    if exponentiate:
        notes.append("Estimates and limits are exponentiated; z or t and p test a ratio of 1.")
    natural = fit.natural & fit.active
    if natural.any():
        names = ", ".join(np.array(labels.texts)[natural])
        notes.append(
            f"{names}: estimated with the coefficients; standard error by the delta method, interval made on the log "
            "scale, no test because 0 is the end of its range."
        )
    if not family.dispersion_known and not family.has("logpdf"):
        notes.append("Scale is Pearson chi2 / df residual. A quasi family has no likelihood, hence no AIC and BIC.")
    elif not family.dispersion_known:
        notes.append(
            "Scale is Pearson chi2 / df residual. Log-likelihood, AIC and BIC use deviance / n as the dispersion and "
            "count it as a parameter, as in R."
        )
    if res.covariance.note:
        notes.append(res.covariance.note)
    if not np.isinf(res.covariance.df):
        notes.append(f"Tests and intervals use Student t with {res.covariance.df:,.10g} degrees of freedom.")
    return notes


def _squares(res: Results) -> str:
    """The line under R's table of a linear model."""
    fit = res.fit
    words = (
        f"Residual standard error {number(np.sqrt(fit.scale))} on {fit.df_resid:,.10g} df; "
        f"R2 {number(res.rsquared)}, adjusted {number(res.rsquared_adj)}"
    )
    if not res.covariance.robust and not np.isnan(res.fvalue):
        tail = p_text(res.f_pvalue)
        words += f"; F {number(res.fvalue)} on {res.df_model:,.10g} and {fit.df_resid:,.10g} df, "
        words += f"p {tail if tail.startswith('<') else '= ' + tail}"
    return words + "."


def limit_names(alpha: float) -> tuple[str, str]:
    """Headings of the limits of intervals of level 1 - alpha: the shares of the distribution that lie below them."""
    return f"[{alpha / 2:.4g}", f"{1 - alpha / 2:.4g}]"


def fixed(value: float, digits: int) -> str:
    """A number with fixed digits, blank where missing."""
    return "" if np.isnan(value) else f"{value:.{digits}f}"


def number(value: float) -> str:
    """About five significant digits, without needless exponents."""
    if np.isnan(value):
        return "nan"
    if np.isinf(value):
        return "inf" if value > 0 else "-inf"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-4 or size >= 1e8:
        return f"{value:.4e}"
    digits = max(0, 4 - int(np.floor(np.log10(size))))
    return f"{value:.{min(digits, 8)}f}"


def p_text(p: float) -> str:
    """A p-value; never 0.000."""
    if np.isnan(p):
        return ""
    return "<1e-16" if p < 1e-16 else (f"{p:.2e}" if p < 1e-4 else f"{p:.4f}")


def stars(p: float) -> str:
    """R's significance codes."""
    if np.isnan(p):
        return ""
    return next((mark for limit, mark in ((1e-3, "***"), (1e-2, "**"), (0.05, "*"), (0.1, ".")) if p < limit), "")
