"""Many responses beside one X, and many candidate columns.

Poisson and negative binomial regressions of many responses on one design, against loops of statsmodels and MASS over
ready arrays; genes of an expression study; score tests of many columns; time against the number of responses.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import harness
import numpy as np
from harness import Answer, Record

ROWS, COLUMNS, RESPONSES = 500, 5, 2_000
GENES, SAMPLES = 20_000, 100
CANDIDATES = 100_000
#: Responses for the peers, which take milliseconds for each.
FEW = 100


def study(n: int, p: int, responses: int, dispersed: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """X (n, p) and counts (n, G) with coefficients of its own for each response."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    mu = np.exp(0.5 + X @ rng.normal(0.0, 0.2, (p, responses)))
    counts = rng.negative_binomial(2.0, 2.0 / (2.0 + mu)) if dispersed else rng.poisson(mu)
    return X, counts.astype(float)


def expression(samples: int, genes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (treatment and two covariates), counts of genes, and the log of the size of each sample."""
    rng = np.random.default_rng(1)
    X = np.column_stack([np.arange(samples) % 2, rng.normal(size=(samples, 2))])
    size = rng.normal(0.0, 0.3, samples)
    level = rng.gamma(1.2, 40.0, genes) + 2.0
    effect = np.where(rng.random(genes) < 0.1, rng.normal(0.0, 0.7, genes), 0.0)
    mu = level * np.exp(size[:, None] + X[:, :1] * effect + X[:, 1:] @ rng.normal(0.0, 0.1, (2, genes)))
    alpha = 0.1 + 2.0 / (level + 4.0)
    return X, rng.negative_binomial(1.0 / alpha, 1.0 / (1.0 + alpha * mu)), size


def ours(X, Y, family: str, few: int | None = None, offset=None) -> Answer:
    """Coefficients and standard errors of every response; of those of a mean only."""
    import jaxglm as jg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        many = jg.fit_many(X, Y[:, :few], family, offset=offset)
        params, errors = many.params.to_numpy(), many.bse.to_numpy()
    width = X.shape[1] + 1
    return Answer(params[:few, :width].ravel(), errors[:few, :width].ravel())


def poisson_loop(X, Y) -> Answer:
    import statsmodels.api as sm

    A = np.column_stack([np.ones(len(X)), X])
    found = [sm.GLM(y, A, family=sm.families.Poisson()).fit() for y in Y.T]
    return Answer(np.concatenate([r.params for r in found]), np.concatenate([r.bse for r in found]))


def negative_binomial_loop(X, Y, offset=None) -> Answer:
    """Its errors are those of the joint observed information, which are not ours: the coefficients are compared."""
    import statsmodels.api as sm

    A = np.column_stack([np.ones(len(X)), X])
    found = [sm.NegativeBinomial(y, A, offset=offset).fit(disp=0, maxiter=100, gtol=1e-7) for y in Y.T]
    return Answer(np.concatenate([r.params[:-1] for r in found]))


_SCRIPT = """
suppressMessages(library(MASS))
read <- function(path, ncol) matrix(readBin(path, "double", n = 1e8), ncol = ncol)
X <- read("{folder}/X.bin", {p}); Y <- read("{folder}/Y.bin", {few})
control <- glm.control(epsilon = 1e-10, maxit = 50)
begun <- proc.time()[["elapsed"]]
found <- apply(Y, 2, function(y) {{ s <- summary(glm.nb(y ~ X, control = control)); s$coefficients[, 1:2] }})
seconds <- proc.time()[["elapsed"]] - begun
writeBin(c(seconds, as.vector(found)), "{folder}/out.bin")
"""


def mass_loop(X, Y) -> Answer:
    """R's glm.nb for each response; its own clock counts, reading the arrays does not."""
    few, p = Y.shape[1], X.shape[1]
    with tempfile.TemporaryDirectory() as folder:
        X.ravel("F").tofile(Path(folder) / "X.bin")
        Y.ravel("F").tofile(Path(folder) / "Y.bin")
        script = _SCRIPT.format(folder=folder, p=p, few=few)
        subprocess.run(["Rscript", "-e", script], check=True, capture_output=True)
        seconds, *values = np.fromfile(Path(folder) / "out.bin")
    found = np.reshape(values, (few, 2, p + 1))
    return Answer(found[:, 0].ravel(), found[:, 1].ravel(), seconds=float(seconds))


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """The loops, genes, candidates, and more responses."""
    responses = max(int(RESPONSES * scale), 100)
    few = min(FEW, responses)
    X, Y = study(ROWS, COLUMNS, responses, False)
    case = Record(
        "many.poisson.statsmodels", f"{responses:,} Poisson responses, one X", ROWS * responses, COLUMNS,
        "statsmodels", peer_n=ROWS * few, floor=25.0, aim=60.0, note="GLM(...).fit() in a loop over ready arrays",
    )  # fmt: skip
    yield harness.race(
        case, partial(ours, X, Y, "poisson"), partial(poisson_loop, X, Y[:, :few]), repeats,
        partial(ours, X, Y, "poisson", few),
    )  # fmt: skip
    X, Y = study(ROWS, COLUMNS, responses, True)
    mine, check = partial(ours, X, Y, "negative_binomial"), partial(ours, X, Y, "negative_binomial", few)
    what = f"{responses:,} negative binomial responses, dispersion estimated"
    case = Record(
        "many.negative_binomial.statsmodels", what, ROWS * responses, COLUMNS, "statsmodels", peer_n=ROWS * few,
        floor=8.0, aim=30.0, tolerance=1e-3, note="discrete.NegativeBinomial, which stops at a gradient of 1e-7",
    )  # fmt: skip
    yield harness.race(case, mine, partial(negative_binomial_loop, X, Y[:, :few]), repeats, check)
    case = Record(
        "many.negative_binomial.MASS", what, ROWS * responses, COLUMNS, "MASS", peer_n=ROWS * few, floor=30.0,
        aim=100.0, note="glm.nb in a loop, epsilon 1e-10",
    )  # fmt: skip
    yield harness.race(case, mine, partial(mass_loop, X, Y[:, :few]), repeats, check)
    yield _genes(scale)
    yield _candidates(scale, repeats)
    yield _linear(scale, repeats)


def _genes(scale: float) -> Record:
    genes = max(int(GENES * scale), 200)
    few = min(FEW, genes)
    X, Y, size = expression(SAMPLES, genes)
    case = Record(
        "many.genes.statsmodels", f"{genes:,} genes, negative binomial", SAMPLES * genes, X.shape[1], "statsmodels",
        peer_n=SAMPLES * few, tolerance=1e-2, note="discrete.NegativeBinomial in a loop; no goal",
    )  # fmt: skip
    return harness.race(
        case, partial(ours, X, Y, "negative_binomial", None, size),
        partial(negative_binomial_loop, X, Y[:, :few].astype(float), size), 1,
        partial(ours, X, Y, "negative_binomial", few, size),
    )  # fmt: skip


def _candidates(scale: float, repeats: int) -> Record:
    """Score tests of columns of int8, against one product of them with as many weights."""
    import jaxglm as jg

    many = max(int(CANDIDATES * scale), 1_000)
    X, Y = study(1_000, COLUMNS, 1, False)
    genes = np.random.default_rng(2).integers(0, 3, (1_000, many)).astype(np.int8)
    weights = np.random.default_rng(3).normal(size=(1_000, COLUMNS + 2))

    def product():
        for i in range(0, many, 1_000):
            weights.T @ genes[:, i : i + 1_000].astype(float)

    def tests():
        jg.fit_candidates(Y[:, 0], X, genes, family="poisson")

    mine, plain = _seconds(tests, repeats), _seconds(product, repeats)
    return Record(
        "many.candidates.numpy", f"score tests of {many:,} columns, against their product with {COLUMNS + 2} others",
        1_000 * many, COLUMNS, "numpy", sense="at most", floor=6.0, aim=3.0, ours=mine, theirs=plain,
        ratio=mine / plain,
    )  # fmt: skip


def _linear(scale: float, repeats: int) -> Record:
    """Time a response at many responses against that at few; 1 is linear."""
    few, many = max(int(1_000 * scale), 256), max(int(100_000 * scale), 2_048)
    X, Y = study(50, 3, many, False)
    one = _seconds(lambda: ours(X, Y[:, :few], "poisson"), repeats) / few
    all_ = _seconds(lambda: ours(X, Y, "poisson"), 1) / many
    return Record(
        "many.linear.jaxglm", f"time a response, {many:,} against {few:,} responses of 50 rows", many * 50, 3, "jaxglm",
        sense="at most", floor=1.5, ours=all_, theirs=one, ratio=all_ / one,
    )  # fmt: skip


def _seconds(run, repeats: int) -> float:
    def once() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return min(once() for _ in range(repeats + 1))


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS * RESPONSES))
