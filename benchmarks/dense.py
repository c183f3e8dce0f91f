"""Poisson and logistic regression on dense float64 columns, beside glum and statsmodels."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

COLUMNS = 30
FAMILIES = ("poisson", "binomial")
#: Rows of the data made at a time, so that making them costs little memory beyond X.
BLOCK = 50_000
#: Largest allowed difference of a coefficient, relative to the larger of its size and 1.
AGREE = 1e-6
#: A run of statsmodels takes time and several copies of X; it gets fewer rows and the time is scaled up.
STATSMODELS_ROWS = 200_000


@dataclass(frozen=True)
class Line:
    """One timing.

    Attributes
    ----------
    family, library : str
    n, p : rows fitted and columns without the intercept
    first : seconds of the first call, compiling included
    best : seconds of the fastest later call (None if there is none)
    difference : largest difference of a coefficient from jaxglm's fit to the same rows
    """

    family: str
    library: str
    n: int
    p: int
    first: float
    best: float | None
    difference: float

    @property
    def seconds(self) -> float:
        """The time that ratios use."""
        return self.first if self.best is None else self.best


def data(family: str, n: int, p: int = COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal columns and a response that follows the model."""
    rng = np.random.default_rng(2024)
    beta = rng.normal(0.0, 0.6 / np.sqrt(p), p)
    X, y = np.empty((n, p)), np.empty(n)
    for start in range(0, n, BLOCK):
        rows = slice(start, min(start + BLOCK, n))
        X[rows] = rng.normal(size=X[rows].shape)
        eta = X[rows] @ beta - 0.5
        y[rows] = rng.poisson(np.exp(eta)) if family == "poisson" else rng.random(len(eta)) < 1 / (1 + np.exp(-eta))
    return X, y


def jaxglm_fit(family: str, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients; standard errors are made too."""
    import jaxglm as jg

    res = jg.fit(X, y, family=family)
    assert np.isfinite(res.bse).all()
    return res.params.to_numpy()


def glum_fit(family: str, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients, without standard errors."""
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(family=family, alpha=0.0, gradient_tol=1e-8, fit_intercept=True)
    model.fit(X, y)
    return np.concatenate([[model.intercept_], model.coef_])


def statsmodels_fit(family: str, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficients and standard errors."""
    import statsmodels.api as sm

    kinds = {"poisson": sm.families.Poisson, "binomial": sm.families.Binomial}
    res = sm.GLM(y, sm.add_constant(X, has_constant="add"), family=kinds[family]()).fit(tol=1e-10)
    assert np.isfinite(res.bse).all()
    return res.params


def timed(
    fit: Callable, family: str, X: np.ndarray, y: np.ndarray, repeats: int
) -> tuple[float, float | None, np.ndarray]:
    """Seconds of the first call and of the fastest of `repeats` more, and the coefficients."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        coefficients = fit(family, X, y)
        times.append(time.perf_counter() - start)
    return times[0], min(times[1:], default=None), coefficients


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference, relative to the larger of 1 and the size of `b`."""
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1.0)))


def run(family: str, n: int, repeats: int = 3) -> list[Line]:
    """Time every library that is installed on one set of rows."""
    X, y = data(family, n)
    first, best, ours = timed(jaxglm_fit, family, X, y, repeats)
    lines = [Line(family, "jaxglm", n, COLUMNS, first, best, 0.0)]
    if installed("glum"):
        first, best, theirs = timed(glum_fit, family, X, y, repeats)
        lines.append(Line(family, "glum", n, COLUMNS, first, best, difference(theirs, ours)))
    if installed("statsmodels"):
        few = min(n, STATSMODELS_ROWS)
        X, y = np.ascontiguousarray(X[:few]), y[:few]
        ours = ours if few == n else jaxglm_fit(family, X, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first, best, theirs = timed(statsmodels_fit, family, X, y, 1)
        lines.append(Line(family, "statsmodels", few, COLUMNS, first, best, difference(theirs, ours)))
    return lines


def installed(name: str) -> bool:
    """Whether a library can be imported."""
    from importlib.util import find_spec

    return find_spec(name) is not None


def peak_memory(family: str, n: int) -> tuple[float, float]:
    """Bytes that a fit holds at most beyond its inputs, in a process of its own, and the bytes of X."""
    done = subprocess.run([sys.executable, __file__, family, str(n)], capture_output=True, text=True, check=True)
    extra, size = done.stdout.split()[-2:]
    return float(extra), float(size)


def _measure(family: str, n: int) -> None:
    """Print the extra peak of one fit; a small fit first, so that libraries and compiled code do not count."""
    jaxglm_fit(family, *data(family, 2000))
    X, y = data(family, n)
    before = _reset_peak()
    jaxglm_fit(family, X, y)
    print(_peak() - before, X.nbytes)


def _reset_peak() -> float:
    """Forget the peak where the system allows it (Linux); the memory in use, or else the peak so far."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass
    return _peak()


def _peak() -> float:
    """Peak resident memory in bytes."""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024.0 * next(float(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource  # not on Windows

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak) if sys.platform == "darwin" else 1024.0 * peak


if __name__ == "__main__":
    _measure(sys.argv[1], int(sys.argv[2]))
