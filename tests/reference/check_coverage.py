"""How often 95 % intervals hold the truth in small samples: Wald's and those of the profile likelihood.

Run from the root of the repository: python tests/reference/check_coverage.py [samples]
"""

import sys
import warnings

import numpy as np

import jaxglm as jg

TRUTH = {"logit, n = 30": ("binomial", 30, (-0.5, 1.0)), "Poisson, n = 15": ("poisson", 15, (-0.3, 0.7))}


def coverage(family: str, n: int, truth: tuple[float, float], samples: int) -> dict[str, np.ndarray]:
    """Share of samples whose interval lies below, around and above each coefficient, by method, (2, 3)."""
    rng = np.random.default_rng(1)
    x = np.linspace(-1.5, 1.5, n)
    eta = truth[0] + truth[1] * x
    counts = {method: np.zeros((2, 3)) for method in ("wald", "profile")}
    for _ in range(samples):
        y = rng.random(n) < 1 / (1 + np.exp(-eta)) if family == "binomial" else rng.poisson(np.exp(eta))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jg.SeparationWarning)
            res = jg.fit(x[:, None], y * 1.0, family)
        for method, count in counts.items():
            low, high = res.conf_int(method=method).to_numpy().T
            count += np.column_stack([high < truth, (low <= truth) & (truth <= high), low > truth])
    return {method: count / samples for method, count in counts.items()}


if __name__ == "__main__":
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for name, (family, n, truth) in TRUTH.items():
        for method, shares in coverage(family, n, truth, samples).items():
            for term, (below, around, above) in zip(("intercept", "slope"), shares, strict=True):
                print(f"{name:18} {method:8} {term:10} covers {around:.3f}  below {below:.3f}  above {above:.3f}")
