"""Larger than memory.

A Poisson fit to Parquet files that are read anew at every pass: time of a pass over that of only reading the files, the
peak memory of the whole process, and time per row beside a fit of statsmodels to as many rows as it can hold.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import harness
import numpy as np
import peers
from data import response
from harness import Answer, Record

ROWS = 20_000_000
COLUMNS = 20
#: Rows of a file, and of the peer that holds them.
FILE = 1_000_000
#: Megabytes that the process may take, with all it imports.
MOST = 1000.0
FOLDER = Path(__file__).resolve().parent.parent / "build" / "stream"
NAMES = [f"x{j + 1}" for j in range(COLUMNS)]
FORMULA = "y ~ " + " + ".join(NAMES)
#: Largest distance from the truth that is believed, in standard errors.
FAR = 5.0


def truth() -> np.ndarray:
    """The intercept and the coefficients that the rows are drawn with."""
    return np.concatenate([[-0.5], np.random.default_rng(2024).normal(0.0, 0.6 / np.sqrt(COLUMNS), COLUMNS)])


def make(n: int) -> Path:
    """The folder with files of n rows, made where it is not there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = FOLDER / str(n)
    if (folder / "done").exists():
        return folder / "rows"
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    beta = truth()
    for k, start in enumerate(range(0, n, FILE)):
        rng = np.random.default_rng([2024, k])
        X = rng.normal(size=(COLUMNS, min(FILE, n - start)))
        y = response("poisson", beta[1:] @ X + beta[0], rng).astype(float)
        table = pa.table({"y": y, **dict(zip(NAMES, X, strict=True))})
        pq.write_table(table, folder / "rows" / f"{k:04d}.parquet")
    (folder / "done").touch()
    return folder / "rows"


def only_read(folder: Path) -> dict:
    """What pyarrow takes for the columns alone, with its own settings, after a reading that is not counted."""
    import pyarrow.dataset as ds

    for _ in range(2):
        start, n = time.perf_counter(), 0
        for batch in ds.dataset(folder).to_batches(columns=["y", *NAMES]):
            n += batch.num_rows
    return {"seconds": time.perf_counter() - start, "rows": n}


def fitted(folder: Path) -> dict:
    """A fit with standard errors; one to the first file comes before it and is not counted, since it compiles."""
    import jaxglm as jg

    jg.glm(FORMULA, sorted(folder.iterdir())[0], "poisson")
    start = time.perf_counter()
    res = jg.glm(FORMULA, folder, "poisson")
    return {
        "seconds": time.perf_counter() - start, "passes": res.n_passes, "peak": _peak(),
        "coefficients": res.params.tolist(), "errors": res.bse.tolist(),
    }  # fmt: skip


def first_rows(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The first file in memory."""
    import pyarrow.parquet as pq

    table = pq.read_table(sorted(folder.iterdir())[0])
    return np.column_stack([table[name].to_numpy() for name in NAMES]), table["y"].to_numpy()


def _peak() -> float:
    """Peak resident memory of this process in megabytes."""
    try:
        status = Path("/proc/self/status").read_text()
        return next(float(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        import resource  # not on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def alone(what: str, folder: Path) -> dict:
    """The figures of a process of its own."""
    command = [sys.executable, __file__, f"--{what}", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def fit(folder: Path, kept: list[dict], share: Callable[[dict], float]) -> Answer:
    """A fit in a process of its own; `share` makes the seconds that count of its figures, which are kept."""
    made = alone("fit", folder)
    kept.append(made)
    found, errors = np.array(made["coefficients"]), np.array(made["errors"])
    far = np.max(np.abs(found - truth()) / errors)
    if not far < FAR:
        raise RuntimeError(f"an estimate is {far:.1f} standard errors from the truth")
    return Answer(found, errors, seconds=share(made))


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """A pass, memory, and a peer; each fit is a process of its own."""
    n = max(int(ROWS * scale), 100_000)
    case = partial(Record, n=n, p=COLUMNS)
    reading = case(
        name="stream.pass", what="Poisson, one pass over Parquet files", peer="pyarrow", sense="at most", floor=2.0,
        aim=1.3, note="the whole fit over the number of its passes, against reading the same columns and nothing else",
    )  # fmt: skip
    memory = case(
        name="stream.memory", what="peak memory of the whole process", peer="1 GB", sense="at most", floor=1.0,
        unit="MB", note="with Python, JAX, pyarrow and all that is compiled",
    )  # fmt: skip
    peer = case(
        name="stream.statsmodels", what="Poisson, Parquet files against a matrix in memory", peer="statsmodels",
        peer_n=min(FILE, n), note="statsmodels holds one file; times are compared per row",
    )  # fmt: skip
    needed, free = 8.5 * n * (COLUMNS + 1), shutil.disk_usage(FOLDER.parent.parent).free
    if harness.version_of("pyarrow") is None or free < needed + 1e9:
        reason = "pyarrow is not installed" if free >= needed + 1e9 else f"{needed / 1e9:.1f} GB of disk are needed"
        yield from (replace(record, skipped=reason) for record in (reading, memory, peer))
        return
    folder, kept = make(n), []
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e9
    done = harness.race(
        reading,
        lambda: replace(fit(folder, kept, lambda made: made["seconds"] / sum(made["passes"].values())), errors=None),
        lambda: Answer(np.empty(0), seconds=alone("read", folder)["seconds"]),
        repeats,
    )
    passes = float(sum(kept[-1]["passes"].values())) if kept else None
    yield replace(done, figures={"GB of files": size, "passes": passes})
    if kept:
        peak = max(made["peak"] for made in kept)
        yield replace(memory, ours=peak, theirs=MOST, ratio=peak / MOST)
    X, y = first_rows(folder)
    yield harness.race(
        peer,
        partial(fit, folder, kept, lambda made: made["seconds"]),
        partial(peers.statsmodels, "poisson", X, y),
        repeats,
        check=lambda: peers.jaxglm("poisson", X, y),
    )


if __name__ == "__main__":
    if sys.argv[1:2] in (["--fit"], ["--read"]):
        print(json.dumps({"--fit": fitted, "--read": only_read}[sys.argv[1]](Path(sys.argv[2]))))
        raise SystemExit(0)
    raise SystemExit(harness.main(records, __doc__, ROWS))
