"""A logit model of data that never lies in memory, under a limit that you choose.

Made data: parcels that come late or not, written to a folder of Parquet files of the size you choose. The fit reads
them piece by piece, several times, and its memory does not grow with them.

python examples/bigger_than_memory.py [folder] [--megabytes 40] [--limit 1000]
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

import jaxglm as jg

FILES = 10
#: Bytes of a row: late, four numbers of 8 bytes, and a short text.
ROW = 42
DEPOTS = [f"depot {i:02d}" for i in range(1, 13)]
TRUTH = {"Intercept": -2.0, "distance": 0.8, "weight": 0.25, "rain": 0.5, "stops": 0.3}
FORMULA = "late ~ distance + weight + rain + stops + depot"


def parcels(n: int, seed: int) -> pd.DataFrame:
    """Parcels of one day; some depots are better than others."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({name: rng.normal(size=n) for name in ("distance", "weight", "rain", "stops")})
    depot = rng.integers(0, len(DEPOTS), n)
    eta = TRUTH["Intercept"] + sum(TRUTH[name] * data[name] for name in data) + 0.05 * depot
    data["depot"] = pd.Categorical.from_codes(depot, DEPOTS)
    data["late"] = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(np.int8)
    return data


def peak() -> float:
    """Most memory that this process has had, in megabytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def timed(data: str) -> tuple[jg.Results, float]:
    """A fit, and how many seconds it took."""
    start = time.perf_counter()
    return jg.glm(FORMULA, data, "binomial"), time.perf_counter() - start


def main() -> int:
    """Write, fit, and look at the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="build/parcels", type=Path, help="where the files go")
    parser.add_argument("--megabytes", default=40.0, type=float, help="size of the data (default 40)")
    parser.add_argument("--limit", default=1000.0, type=float, help="megabytes that the process may take")
    given = parser.parse_args()
    each = max(int(given.megabytes * 2**20 / ROW / FILES), 10_000)
    given.folder.mkdir(parents=True, exist_ok=True)
    for i in range(FILES):
        parcels(each, seed=i).to_parquet(given.folder / f"day_{i}.parquet")
    size = sum(file.stat().st_size for file in given.folder.glob("day_*.parquet")) / 2**20
    print(f"{FILES} files with {FILES * each:,} parcels, {size:,.0f} MB on disk.")

    # One file first: what is compiled, and all that is imported, is in memory then.
    _, seconds = timed(str(given.folder / "day_0.parquet"))
    before = peak()
    print(f"One file: {seconds:.1f} s, and the process has taken {before:,.0f} MB at most.")
    res, seconds = timed(str(given.folder / "day_*.parquet"))
    passes = ", ".join(f"{count} {kind}" for kind, count in res.n_passes.items())
    print(f"All files: {seconds:.1f} s for {sum(res.n_passes.values())} passes ({passes}).")
    print(f"Ten times the rows took {peak() - before:,.0f} MB more: {peak():,.0f} of {given.limit:,.0f} MB allowed.\n")
    print(res.summary())

    found = pd.DataFrame(
        {"truth": pd.Series(TRUTH), "estimate": res.params[list(TRUTH)], "error": res.bse[list(TRUTH)]}
    )
    found["off by"] = (found["estimate"] - found["truth"]) / found["error"]
    print(f"\n{found.round(4).to_string()}")
    print(f"\nThe largest error is {found['off by'].abs().max():.1f} standard errors.")
    if peak() > given.limit:
        print(f"The process took more than {given.limit:,.0f} MB.")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
