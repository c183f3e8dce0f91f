"""Write link_truth.json: values and closed-form derivatives of every link in 400-digit arithmetic.

Run from the root of the repository: python tests/laws/make_link_truth.py
"""

import json
from pathlib import Path

from mpmath import atan, erfc, exp, log, mp, mpf, npdf, pi, sqrt

#: Digits: 1 - 1e-350, the upper tail of the normal at 40, must not round to 1.
mp.dps = 400
HERE = Path(__file__).parent
NEGATIVE = ["-40", "-37.3", "-30.5", "-30", "-29.5", "-22", "-10", "-5", "-4.01", "-4", "-3.99", "-2.5", "-1.3", "-1.2",
            "-0.7", "-0.5", "-0.01", "-1e-5", "-1e-9"]  # fmt: skip
POSITIVE = [v.lstrip("-") for v in reversed(NEGATIVE)]
REAL = [*NEGATIVE, "0", *POSITIVE]


def survival(x):
    """Upper tail of the standard normal."""
    return erfc(x / sqrt(mpf(2))) / 2


def mills(x):
    """Normal density over lower tail."""
    return npdf(x) / survival(-x)


def logistic(x):
    p, q = 1 / (1 + exp(-x)), 1 / (1 + exp(x))
    return {
        "inverse": (p, p * q, p * q * (q - p)),
        "complement": (q, -p * q, -p * q * (q - p)),
        "log_inverse": (log(p), q, -p * q),
        "log_complement": (log(q), -p, -p * q),
    }


def normal(x):
    m, r = mills(x), mills(-x)
    return {
        "inverse": (survival(-x), npdf(x), -x * npdf(x)),
        "complement": (survival(x), -npdf(x), x * npdf(x)),
        "log_inverse": (log(survival(-x)), m, -m * (x + m)),
        "log_complement": (log(survival(x)), -r, -r * (r - x)),
    }


def gompertz(x):
    u = exp(x)
    # u / (exp(u) - 1) without a huge exponential.
    g = u * exp(-u) / (1 - exp(-u))
    tail = exp(-u)
    return {
        "inverse": (1 - tail, u * tail, u * tail * (1 - u)),
        "complement": (tail, -u * tail, -u * tail * (1 - u)),
        "log_inverse": (log(1 - tail), g, g * (1 - u - g)),
        "log_complement": (-u, -u, -u),
    }


def gumbel(x):
    """The complementary log-log link of the opposite outcome, its eta with the other sign."""
    other = gompertz(-x)
    names = {"inverse": "complement", "complement": "inverse"}
    names |= {f"log_{a}": f"log_{b}" for a, b in names.items()}
    return {name: (v, -first, second) for name, (v, first, second) in ((n, other[names[n]]) for n in names)}


def cauchy(x):
    def lower(x):
        """P(X <= x) without cancellation in the lower tail."""
        return atan(1 / -x) / pi if x < 0 else mpf(1) / 2 if x == 0 else 1 - atan(1 / x) / pi

    p, q, f = lower(x), lower(-x), 1 / (pi * (1 + x * x))
    slope = -2 * x * f / (1 + x * x)
    return {
        "inverse": (p, f, slope),
        "complement": (q, -f, -slope),
        "log_inverse": (log(p), f / p, slope / p - (f / p) ** 2),
        "log_complement": (log(q), -f / q, -slope / q - (f / q) ** 2),
    }


def exponential(x):
    u = exp(x)
    found = {"inverse": (u, u, u), "log_inverse": (x, mpf(1), mpf(0))}
    if x < 0:
        found |= {
            "complement": (1 - u, -u, -u),
            "log_complement": (log(1 - u), -u / (1 - u), -u / (1 - u) ** 2),
        }
    return found


def power(exponent):
    """mu = eta^exponent for eta > 0."""
    a = mpf(exponent)

    def values(x):
        return {
            "inverse": (x**a, a * x ** (a - 1), a * (a - 1) * x ** (a - 2)),
            "log_inverse": (a * log(x), a / x, -a / x**2),
        }

    return values


#: Link -> (functions at one eta, grid).
LINKS = {
    "identity": (lambda x: {"inverse": (x, mpf(1), mpf(0))}, REAL),
    "log": (exponential, REAL),
    "logit": (logistic, REAL),
    "probit": (normal, REAL),
    "cloglog": (gompertz, REAL),
    "loglog": (gumbel, REAL),
    "cauchit": (cauchy, REAL),
    "inverse": (power("-1"), POSITIVE),
    "inverse_squared": (power("-0.5"), POSITIVE),
    "sqrt": (power("2"), POSITIVE),
}


def main() -> None:
    truth = {}
    for link, (functions, grid) in LINKS.items():
        table = truth[link] = {}
        for eta in grid:
            # The double nearest to the printed number, as the code under test receives it.
            for name, values in functions(mpf(float(eta))).items():
                entry = table.setdefault(name, {"eta": [], "value": [], "first": [], "second": []})
                entry["eta"].append(float(eta))
                for order, value in zip(("value", "first", "second"), values, strict=True):
                    entry[order].append(float(value))
    (HERE / "link_truth.json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    main()
