"""Check the coefficients and standard errors of the R cases in 40-digit arithmetic.

Run from the root of the repository, with a folder for the designs:
    REFERENCE_DESIGN=designs Rscript tests/reference/make_cases.R
    python tests/reference/check_precision.py designs
"""

import csv
import json
import sys
from pathlib import Path

from mpmath import digamma, exp, log, lu_solve, matrix, mp, mpf, ncdf, npdf, pi, psi, sqrt

CASES = Path(__file__).parent / "r" / "cases"
mp.dps = 40


def links(case: dict) -> tuple:
    """Inverse link and its derivative, as functions of eta."""
    power = mpf(1) / mpf((case["family_params"] or {}).get("link_power", 1))
    table = {
        "identity": (lambda e: e, lambda e: mpf(1)),
        "log": (exp, exp),
        "logit": (lambda e: 1 / (1 + exp(-e)), lambda e: exp(-e) / (1 + exp(-e)) ** 2),
        "probit": (ncdf, npdf),
        "cloglog": (lambda e: 1 - exp(-exp(e)), lambda e: exp(e - exp(e))),
        "loglog": (lambda e: exp(-exp(-e)), lambda e: exp(-e - exp(-e))),
        "cauchit": (lambda e: mp.atan(e) / pi + mpf(1) / 2, lambda e: 1 / (pi * (1 + e * e))),
        "inverse": (lambda e: 1 / e, lambda e: -1 / e**2),
        "1/mu^2": (lambda e: 1 / sqrt(e), lambda e: -1 / (2 * e * sqrt(e))),
        "sqrt": (lambda e: e * e, lambda e: 2 * e),
        "power": (lambda e: e**power, lambda e: power * e ** (power - 1)),
    }
    return table[case["link"]]


def variance(case: dict):
    params = case["family_params"] or {}
    table = {
        "binomial": lambda m: m * (1 - m),
        "poisson": lambda m: m,
        "gaussian": lambda m: mpf(1),
        "Gamma": lambda m: m * m,
        "inverse.gaussian": lambda m: m**3,
        "negative.binomial": lambda m: m + m * m / theta(case),
        "tweedie": lambda m: m ** mpf(repr(params["power"])),
        "quasi": lambda m: {"mu^2": m**2, "mu^3": m**3}[params["variance"]],
        "quasipoisson": lambda m: m,
        "quasibinomial": lambda m: m * (1 - m),
    }
    return table[case["family"]]


def theta(case: dict):
    params = case["family_params"] or {}
    return mpf(params["theta"]) if "theta" in params else mpf(case["expect"]["theta"])


def solve(case: dict, rows: list, beta: list) -> tuple[list, list]:
    """Fisher scoring from the reported coefficients until nothing moves; also the standard errors at dispersion 1."""
    inverse, slope = links(case)
    spread = variance(case)
    k = len(beta)
    for _ in range(60):
        info, score = matrix(k, k), matrix(k, 1)
        for y, w, offset, x in rows:
            eta = offset + sum(a * b for a, b in zip(x, beta, strict=True))
            mu, d = inverse(eta), slope(eta)
            v = spread(mu)
            for i in range(k):
                if x[i]:
                    score[i] += x[i] * w * (y - mu) * d / v
                    for j in range(i + 1):
                        info[i, j] += x[i] * x[j] * w * d * d / v
        for i in range(k):
            for j in range(i):
                info[j, i] = info[i, j]
        move = lu_solve(info, score)
        beta = [b + m for b, m in zip(beta, move, strict=True)]
        if max(abs(m) / max(abs(b), mpf(10) ** -12) for b, m in zip(beta, move, strict=True)) < mpf(10) ** -20:
            break
    cov = info**-1
    return beta, [sqrt(cov[i, i]) for i in range(k)]


def theta_gap(case: dict, rows: list, beta: list) -> float:
    """Relative distance of the reported theta from the one that maximizes the likelihood at these coefficients."""
    given = t = theta(case)
    means = [exp(offset + sum(a * b for a, b in zip(x, beta, strict=True))) for _, _, offset, x in rows]
    pairs = [(row[0], mu) for row, mu in zip(rows, means, strict=True)]
    for _ in range(3):
        slope = sum(digamma(t + y) - log(t + mu) - (y + t) / (mu + t) for y, mu in pairs)
        slope += len(pairs) * (log(t) + 1 - digamma(t))
        curve = sum(-psi(1, t + y) + 2 / (mu + t) - (y + t) / (mu + t) ** 2 for y, mu in pairs)
        curve += len(pairs) * (psi(1, t) - 1 / t)
        t += slope / curve
    return float(abs(given / t - 1))


def check(case: dict, path: Path) -> tuple[float, float]:
    with path.open() as file:
        table = list(csv.reader(file))
    names = table[0][3:]
    rows = [(mpf(r[0]), mpf(r[1]), mpf(r[2]), [mpf(v) for v in r[3:]]) for r in table[1:]]
    expect = case["expect"]
    if case["kind"] == "separated":
        names = [name.removeprefix("x") if name not in expect["coef_names"] else name for name in names]
    place = {name: i for i, name in enumerate(expect["coef_names"])}
    known = [expect["coef"][place[name]] for name in names]
    start = [mpf(value or 0) for value in known]
    beta, se = solve(case, rows, start)
    scale = sqrt(mpf(expect.get("dispersion", 1)))
    gap_se = 0.0
    gap_coef = theta_gap(case, rows, beta) if "theta" in expect else 0.0
    for name, b, s in zip(names, beta, se, strict=True):
        if expect["coef"][place[name]] is None:
            continue
        gap_coef = max(gap_coef, float(abs(expect["coef"][place[name]] / b - 1)))
        gap_se = max(gap_se, float(abs(expect["se"][place[name]] / (s * scale) - 1)))
    return gap_coef, gap_se


def main() -> None:
    designs = Path(sys.argv[1])
    worst = 0.0
    for path in sorted(CASES.glob("*.json")):
        case = json.loads(path.read_text())
        design = designs / f"{path.stem}.csv"
        if not design.exists():
            print(f"{path.stem:40s} no design")
            continue
        gaps = check(case, design)
        worst = max(worst, *gaps)
        print(f"{path.stem:40s} coef {gaps[0]:.1e}  se {gaps[1]:.1e}")
    print(f"largest relative difference {worst:.1e}")


if __name__ == "__main__":
    main()
