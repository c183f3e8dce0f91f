"""Checks of a fitted model: each a small function of what a few passes over the rows gave.

A check returns a :class:`Finding`. To add one, write such a function and put it into :data:`CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from jaxglm.errors import Status
from jaxglm.fitted import Fit
from jaxglm.inference import collinearity
from jaxglm.inference.gather import Gathered
from jaxglm.inference.intervals import p_values

#: p-values below which something deserves a look, and is a problem.
LOOK, PROBLEM = 0.05, 0.001
#: Ratios of Pearson chi-squared to its degrees of freedom outside of which a significant departure is a problem.
MUCH = 1.5
#: Squares of the adjusted generalized variance inflation from which standard errors suffer.
INFLATED, DOMINATED = 5.0, 10.0
#: Share of rows far out in leverage and residual that is usual.
SOME = 1e-4


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    check : name of the check
    figure : the finding in words and numbers
    verdict : "ok", "look", "problem" or "not judged"
    remedy : what to do, or why it was not judged
    statistic, p_value : floats, NaN where there is none
    rows : positions of the rows that it names
    numbers : further figures by name
    """

    check: str
    figure: str
    verdict: str
    remedy: str = ""
    statistic: float = np.nan
    p_value: float = np.nan
    rows: tuple[int, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """What checks look at.

    Attributes
    ----------
    fit : Fit
    names : tuple of str, one a coefficient
    terms : tuple of (label, positions of its coefficients), of all predictors, without intercepts
    gathered : sums over the rows, or why there are none
    infinite, dependent : coefficients without a finite estimate, and aliased ones with what they equal, in words
    """

    fit: Fit
    names: tuple[str, ...]
    terms: tuple[tuple[str, tuple[int, ...]], ...]
    gathered: Gathered | str
    infinite: tuple[str, ...]
    dependent: tuple[str, ...]


def _skip(check: str, why: str) -> Finding:
    return Finding(check, "", "not judged", why)


def _by_p(p: float) -> str:
    return "problem" if p < PROBLEM else "look" if p < LOOK else "ok"


def p_words(p: float) -> str:
    """A p-value in a sentence."""
    return "p < 1e-16" if p < 1e-16 else f"p = {p:.2g}"


def convergence(s: Subject) -> Finding:
    """Whether the estimates are a maximum of the likelihood."""
    status = s.fit.status
    figure = f"{status.name.lower().replace('_', ' ')} after {s.fit.n_iter} iterations"
    if status in (Status.SEPARATED, Status.BOUNDARY):
        return Finding("convergence", figure, "not judged", "There is no maximum to converge to, see below.")
    if status.converged:
        verdict = "look" if status is Status.CONVERGED_TO_PRECISION else "ok"
        return Finding("convergence", figure, verdict, status.sentence if verdict == "look" else "")
    return Finding("convergence", figure, "problem", status.sentence)


def separation(s: Subject) -> Finding:
    """Whether some coefficients are infinite."""
    if s.fit.status is not Status.SEPARATED:
        return Finding("separation", "every estimate is finite", "ok")
    return Finding("separation", f"infinite: {_list(s.infinite)}", "problem", Status.SEPARATED.sentence)


def boundary(s: Subject) -> Finding:
    """Whether an estimate lies at the end of its range."""
    held = tuple(np.array(s.names, object)[s.fit.held])
    if s.fit.status is Status.BOUNDARY:
        return Finding("boundary", "means at the end of their range", "problem", Status.BOUNDARY.sentence)
    if held:
        return Finding("boundary", f"at the end of its range: {_list(held)}", "look", s.fit.status.sentence)
    return Finding("boundary", "no estimate at the end of its range", "ok")


def aliasing(s: Subject) -> Finding:
    """Whether columns were dropped because earlier ones give them."""
    if not s.dependent:
        return Finding("aliasing", "every column adds information", "ok")
    return Finding(
        "aliasing", f"dropped: {_list(s.dependent)}", "look",
        "The other estimates stand; leave these columns out, so that it is clear what the coefficients mean.",
    )  # fmt: skip


def inflation(s: Subject) -> Finding:
    """Generalized variance inflation of every term (Fox and Monette 1992)."""
    found = collinearity.inflation(s.fit, s.terms)
    if len(found) < 2:
        return _skip("collinearity", "It takes at least two terms besides the intercept.")
    square = {label: value.adjusted**2 for label, value in found.items()}
    worst = max(square, key=lambda label: square[label])
    verdict = "problem" if square[worst] > DOMINATED else "look" if square[worst] > INFLATED else "ok"
    remedy = (
        "" if verdict == "ok" else
        f"What {worst} does can hardly be told from what others do: its standard error is "
        f"{found[worst].adjusted:.1f} times that of unrelated columns. Predictions stand; for its effect drop, combine "
        "or center columns, or collect data in which they vary apart."
    )  # fmt: skip
    return Finding(
        "collinearity", f"largest GVIF^(1/(2 df)) {found[worst].adjusted:.3g} ({worst})", verdict, remedy,
        statistic=found[worst].adjusted, numbers={label: value.adjusted for label, value in found.items()},
    )  # fmt: skip


def dispersion(s: Subject) -> Finding:
    """Pearson chi-squared over its degrees of freedom, against what the family says."""
    name, fit, rows = "dispersion", s.fit, s.gathered
    if not fit.model.family.dispersion_known:
        return _skip(name, f"This family estimates it (scale = {fit.scale:.4g}), and standard errors allow for it.")
    if isinstance(rows, str):
        return _skip(name, rows)
    if rows.spread is None:
        return _skip(name, rows.no_spread)
    if not (fit.df_resid > 0 and rows.spread > 0):
        return _skip(name, "There are no residual degrees of freedom.")
    ratio = fit.pearson_chi2 / fit.df_resid
    over, under = scaled_tails(fit.pearson_chi2, fit.df_resid, rows.spread * fit.df_resid / fit.nobs)
    p = min(1.0, 2.0 * min(over, under))
    extreme = ratio > MUCH or ratio < 1.0 / MUCH
    verdict = "ok" if p >= LOOK else "problem" if extreme and p < PROBLEM else "look"
    remedy = ""
    if verdict != "ok" and ratio > 1:
        remedy = (
            f"The response varies {ratio:.3g} times as much as the family says, so standard errors are too small by "
            f"{np.sqrt(ratio):.3g}: look for a missing column or clustered rows, else use a family with more variance "
            "(quasipoisson or negative_binomial, quasibinomial)."
        )
    elif verdict != "ok":
        remedy = "The response varies less than the family says, so standard errors are too large: use a quasi family."
    return Finding(
        name, f"Pearson chi2 / df {ratio:.3g}, {p_words(p)}", verdict, remedy, statistic=ratio, p_value=p,
        numbers={"p_over": over, "p_under": under},
    )  # fmt: skip


def scaled_tails(chi2: float, mean: float, variance: float) -> tuple[float, float]:
    """Upper and lower tail of a scaled chi-squared with this mean and variance (Satterthwaite 1946)."""
    from scipy import special

    if not variance > 0:
        return np.nan, np.nan
    factor, df = variance / (2.0 * mean), 2.0 * mean**2 / variance
    return float(special.chdtrc(df, chi2 / factor)), float(special.chdtr(df, chi2 / factor))


def zeros(s: Subject) -> Finding:
    """Number of zeros against what the fitted distribution expects."""
    name, rows = "zero inflation", s.gathered
    if isinstance(rows, str):
        return _skip(name, rows)
    if rows.zeros is None:
        return _skip(name, rows.no_zeros)
    observed, expected, variance = rows.zeros
    figure = f"{observed:,.0f} zeros, {expected:,.1f} expected"
    if not variance > 1e-8 * expected:
        return Finding(name, figure, "not judged", "The number of zeros does not vary under this model.")
    z = (observed - expected) / np.sqrt(variance)
    p = float(p_values(np.asarray(z), np.inf))
    verdict = _by_p(p)
    remedy = ""
    if verdict != "ok" and z > 0:
        remedy = (
            "More rows are 0 than the fitted counts explain: try negative_binomial, or two models: whether a row is 0, "
            "and how large the others are."
        )
    elif verdict != "ok":
        remedy = "Fewer rows are 0 than the fitted counts explain: were zeros left out when the data was collected?"
    return Finding(name, f"{figure}, {p_words(p)}", verdict, remedy, z, p,
                   numbers={"observed": observed, "expected": expected})  # fmt: skip


def link(s: Subject) -> Finding:
    """Score test of eta^2 beside the model's own columns (Pregibon 1980)."""
    name, rows = "link", s.gathered
    if isinstance(rows, str):
        return _skip(name, rows)
    if rows.link is None:
        return _skip(name, rows.no_scores)
    chi2, p = rows.link
    if np.isnan(chi2):
        return _skip(name, "The square of the linear predictor is a combination of the columns.")
    verdict = _by_p(p)
    remedy = (
        "" if verdict == "ok" else
        "The mean is not a straight line on the scale of the link: try another link, a curve (ns(x, 4)) or an "
        "interaction." + _many(s)
    )  # fmt: skip
    return Finding(name, f"eta^2 added: chi2 {chi2:.3g}, {p_words(p)}", verdict, remedy, chi2, p)


def curvature(s: Subject) -> Finding:
    """Score tests of the square of each numeric column, p-values by Holm (1979)."""
    name, rows = "curvature", s.gathered
    if isinstance(rows, str):
        return _skip(name, rows)
    if rows.link is None:
        return _skip(name, rows.no_scores)
    tested = {label: found for label, found in rows.curvature.items() if not np.isnan(found[0])}
    if not tested:
        return _skip(name, "There is no numeric column whose square could be added.")
    adjusted = dict(zip(tested, holm(np.array([p for _, p in tested.values()])), strict=True))
    worst = min(tested, key=lambda label: (adjusted[label], -tested[label][0]))
    verdict = _by_p(adjusted[worst])
    bent = [label for label in tested if adjusted[label] < LOOK]
    remedy = (
        "" if verdict == "ok" else
        f"Residuals bend along {_list(tuple(bent))}: give it a curve, such as ns({bent[0]}, 4) or poly({bent[0]}, 2), "
        "or another scale (log)." + _many(s)
    )  # fmt: skip
    figure = f"{len(tested)} column{'' if len(tested) == 1 else 's'}; most in {worst}: "
    return Finding(
        name, figure + f"chi2 {tested[worst][0]:.3g}, adjusted {p_words(adjusted[worst])}", verdict, remedy,
        tested[worst][0], adjusted[worst], numbers=adjusted,
    )  # fmt: skip


def _many(s: Subject) -> str:
    """A word on tests among very many rows."""
    return "" if s.fit.nobs < 1e5 else " Among so many rows even a bend that does not matter shows; plot it."


def holm(p: np.ndarray) -> np.ndarray:
    """p-values adjusted for their number (Holm 1979)."""
    order = np.argsort(p)
    steps = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    found = np.empty(len(p))
    found[order] = steps
    return found


def calibration(s: Subject) -> Finding:
    """Events against their expectation in ten groups of fitted risk (Hosmer and Lemeshow 1980)."""
    name, rows = "calibration", s.gathered
    if isinstance(rows, str):
        return _skip(name, rows)
    if rows.hosmer is None:
        return _skip(name, rows.no_hosmer)
    chi2, df, p = rows.hosmer
    if np.isnan(p):
        return _skip(name, "Fewer than three groups of different risk can be made.")
    verdict = _by_p(p)
    remedy = (
        "" if verdict == "ok" else
        "Fitted probabilities are off in some range of risk: look at link and curvature above, or at interactions."
        + _many(s)
    )  # fmt: skip
    return Finding(
        name, f"Hosmer-Lemeshow chi2 {chi2:.3g} on {df:.0f} df, {p_words(p)}", verdict, remedy, chi2, p,
        numbers={"df": float(df)},
    )  # fmt: skip


def influential(s: Subject) -> Finding:
    """Rows that move the estimates, or could."""
    name, rows = "influential rows", s.gathered
    if isinstance(rows, str):
        return _skip(name, rows)
    if rows.influence is None:
        return _skip(name, "The information of this fit has no inverse.")
    found = rows.influence
    striking = found.striking > SOME * s.fit.nobs
    verdict = "problem" if found.most > 1 or found.alone else "look" if found.most > 0.5 or striking else "ok"
    remedy = ""
    if found.alone:
        remedy = (
            f"{found.alone:,} rows alone determine a coefficient and are fitted exactly; its estimate rests on them. "
        )
    if verdict != "ok":
        remedy += "Check the values of the rows named, and see how the estimates change without them: res.influence()."
    figure = f"largest Cook's distance {found.most:.3g}, {found.far:,} rows above 4/n; {found.striking:,} rows with "
    figure += "leverage above 3p/n and a residual above 3"
    return Finding(name, figure, verdict, remedy, found.most, rows=found.rows if verdict != "ok" else (),
                   numbers={"above_4_over_n": float(found.far), "leverage_above_2p_over_n": float(found.high),
                            "striking": float(found.striking), "alone": float(found.alone)})  # fmt: skip


def _list(words: tuple[str, ...], most: int = 5) -> str:
    return ", ".join(map(str, words[:most])) + (f" and {len(words) - most} more" if len(words) > most else "")


#: Every check, in the order of the table.
CHECKS: tuple[Callable[[Subject], Finding], ...] = (
    convergence,
    separation,
    boundary,
    aliasing,
    inflation,
    dispersion,
    zeros,
    calibration,
    link,
    curvature,
    influential,
)
