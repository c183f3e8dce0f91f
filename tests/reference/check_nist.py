"""Solve the NIST linear regressions exactly, in rational arithmetic, and compare with the certified values in nist/*.json.

Run from the root of the repository: python tests/reference/check_nist.py
"""

import json
from fractions import Fraction
from pathlib import Path

from mpmath import mp, mpf, sqrt

mp.dps = 60
CASES = Path(__file__).parent / "nist"
DIGITS = 5e-15  # NIST prints 15 digits


def exact(numbers: list) -> list[Fraction]:
    """The decimal numbers as printed, not their nearest doubles."""
    return [Fraction(repr(value)) for value in numbers]


def inverse(a: list[list[Fraction]]) -> list[list[Fraction]]:
    """Gauss-Jordan elimination of a nonsingular symmetric matrix."""
    k = len(a)
    rows = [list(row) + [Fraction(int(i == j)) for j in range(k)] for i, row in enumerate(a)]
    for i in range(k):
        pivot = rows[i][i]
        rows[i] = [value / pivot for value in rows[i]]
        for j in range(k):
            if j != i and rows[j][i]:
                factor = rows[j][i]
                rows[j] = [v - factor * u for v, u in zip(rows[j], rows[i], strict=True)]
    return [row[k:] for row in rows]


def solve(case: dict) -> dict:
    data = dict(case["data"])
    y = exact(data.pop("y"))
    columns = [exact(values) for values in data.values()]
    if case["degree"]:
        columns = [[x**d for x in columns[0]] for d in range(1, case["degree"] + 1)]
    design = [[Fraction(1), *row] for row in zip(*columns, strict=True)]
    k, n = len(design[0]), len(y)
    gram = [[sum(row[i] * row[j] for row in design) for j in range(k)] for i in range(k)]
    moments = [sum(row[i] * value for row, value in zip(design, y, strict=True)) for i in range(k)]
    unscaled = inverse(gram)
    coef = [sum(a * b for a, b in zip(row, moments, strict=True)) for row in unscaled]
    fitted = [sum(a * b for a, b in zip(row, coef, strict=True)) for row in design]
    residual_ss = sum((a - b) ** 2 for a, b in zip(y, fitted, strict=True))
    mean = sum(y) / n
    variance = residual_ss / (n - k)
    return {
        "coef": [big(value) for value in coef],
        "se": [sqrt(big(variance * unscaled[i][i])) for i in range(k)],
        "residual_sd": sqrt(big(variance)),
        "r_squared": big(1 - residual_ss / sum((value - mean) ** 2 for value in y)),
        "residual_ss": big(residual_ss),
    }


def big(value: Fraction) -> mpf:
    return mpf(value.numerator) / mpf(value.denominator)


def gap(certified: float, value: mpf) -> float:
    given = mpf(repr(certified))
    return float(abs(given - value) / abs(value)) if value else float(abs(given))


def main() -> None:
    wrong = []
    for path in sorted(CASES.glob("*.json")):
        case = json.loads(path.read_text())
        solution = solve(case)
        worst = 0.0
        for key, value in solution.items():
            given = case["certified"][key]
            pairs = zip(given, value, strict=True) if isinstance(given, list) else [(given, value)]
            worst = max([worst, *(gap(a, b) for a, b in pairs)])
        print(f"{path.stem:10s} n={case['n']:3d} largest relative difference {worst:.1e}")
        if worst > DIGITS:
            wrong.append(path.stem)
    if wrong:
        raise SystemExit(f"not the certified values: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
