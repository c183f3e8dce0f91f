"""Time jaxglm beside other libraries; `make bench`, or python benchmarks/run.py --rows 100000."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import dense
import jax

LIBRARIES = ("jaxglm", "jax", "numpy", "glum", "statsmodels")


def versions() -> str:
    """Versions of everything that takes part."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} -")
    return ", ".join(found)


def table(lines: list[dense.Line]) -> str:
    """One row a library; the ratio is its seconds a row over jaxglm's."""
    head = f"{'family':<10}{'library':<13}{'n':>10}{'p':>5}{'first s':>10}{'best s':>10}{'ratio':>8}{'difference':>13}"
    rows = [head, "-" * len(head)]
    for line in lines:
        ours = next(other for other in lines if other.family == line.family and other.library == "jaxglm")
        ratio = (line.seconds / line.n) / (ours.seconds / ours.n)
        best = "" if line.best is None else f"{line.best:.3f}"
        rows.append(
            f"{line.family:<10}{line.library:<13}{line.n:>10,}{line.p:>5}{line.first:>10.3f}{best:>10}{ratio:>8.1f}"
            f"{line.difference:>13.1e}"
        )
    return "\n".join(rows)


def main() -> int:
    """Run, print, and fail if the answers disagree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3, help="runs after the first; the fastest counts")
    asked = parser.parse_args()
    print(versions())
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, {jax.devices()[0]}")
    print("jaxglm and statsmodels with standard errors; glum without (gradient_tol=1e-8). From the user's NumPy array.")
    print(
        "ratio: seconds a row over jaxglm's. difference: largest of a coefficient, against jaxglm on the same rows.\n"
    )
    lines = []
    for family in dense.FAMILIES:
        lines += dense.run(family, asked.rows, asked.repeats)
    print(table(lines))
    for family in dense.FAMILIES:
        extra, size = dense.peak_memory(family, asked.rows)
        print(
            f"\n{family}: peak memory of jaxglm.fit beyond X and y {extra / 1e6:,.0f} MB, {extra / size:.2f} x X",
            end="",
        )
    print()
    wrong = [line for line in lines if not line.difference <= dense.AGREE]
    for line in wrong:
        print(f"DISAGREES: {line.library} {line.family}: {line.difference:.1e} > {dense.AGREE:g}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
