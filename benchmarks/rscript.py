"""Fits in R: the data go over in a binary file, R times the fit itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from harness import Answer

#: Reads n, p and column-major doubles; prints seconds, coefficients, standard errors. `FIT` is put in.
PROGRAM = """
args <- commandArgs(trailingOnly = TRUE)
n <- as.integer(args[2]); p <- as.integer(args[3])
connection <- file(args[1], "rb")
data <- as.data.frame(matrix(readBin(connection, "double", n * (p + 1)), n, p + 1))
close(connection)
names(data) <- c("y", paste0("x", seq_len(p)))
suppressPackageStartupMessages(library(MASS))
seconds <- system.time({
  fit <- FIT
  table <- coef(summary(fit))
})[["elapsed"]]
cat(sprintf("%.17g", c(seconds, table[, 1], table[, 2])), "\\n")
"""
FITS = {
    "poisson": "glm(y ~ ., family = poisson(), data = data, control = list(epsilon = 1e-10))",
    "binomial": "glm(y ~ ., family = binomial(), data = data, control = list(epsilon = 1e-10))",
    "negative_binomial": "glm.nb(y ~ ., data = data, control = glm.control(epsilon = 1e-10, maxit = 100))",
}


def write(path: Path, X: np.ndarray, y: np.ndarray) -> tuple[Path, int, int]:
    """Store the rows where R can read them."""
    np.column_stack([y, X]).T.tofile(path)
    return path, *X.shape


def fit(family: str, stored: tuple[Path, int, int]) -> Answer:
    """Fit in a fresh R; only the fit and its summary are timed, reading the file is not."""
    program = PROGRAM.replace("FIT", FITS[family])
    command = ["Rscript", "--vanilla", "-e", program, *map(str, stored)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-200:])
    seconds, *values = map(float, done.stdout.split())
    coefficients, errors = np.split(np.array(values), 2)
    return Answer(coefficients, errors, seconds)
