"""A small model, cold and warm.

A logit of 500 rows and three columns from a formula, and its summary: in a fresh Python with nothing compiled, and
again in a running one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import harness
import numpy as np
import pandas as pd
from harness import Answer, Record

ROWS = 500
#: The factor first, where both libraries put it, so that coefficients come in the same order.
FORMULA = "left ~ team + overtime"
#: What a user would type; the last line printed holds the numbers to compare.
PROGRAMS = {
    "jaxglm": f"""
import sys
import pandas as pd
import jaxglm as jg
if len(sys.argv) > 2:
    jg.enable_compile_cache(sys.argv[2])
res = jg.glm("{FORMULA}", pd.read_csv(sys.argv[1]), family="binomial")
print(res.summary())
print(*res.params, *res.bse)
""",
    "statsmodels": f"""
import sys
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
res = smf.glm("{FORMULA}", pd.read_csv(sys.argv[1]), family=sm.families.Binomial()).fit()
print(res.summary())
print(*res.params, *res.bse)
""",
}


def staff(n: int) -> pd.DataFrame:
    """Employees who left or stayed."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"overtime": rng.poisson(8, n), "team": rng.choice(["lab", "ops", "sales"], n)})
    frame["left"] = (rng.random(n) < 1 / (1 + np.exp(3.5 - 0.25 * frame["overtime"]))).astype(int)
    return frame


def fresh(library: str, bytecode: Path, *arguments: Path) -> Answer:
    """Start Python, import, read the file, fit, summarize, end.

    The byte code of every library is kept in a folder that the uncounted first run fills: installed libraries come with
    theirs, but not a checkout where Python is told to write none.
    """
    # A compile cache that the user has switched on for all of JAX would make this no cold start.
    left_out = ("JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE")
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    command = [sys.executable, "-c", PROGRAMS[library], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    values = np.array(done.stdout.splitlines()[-1].split(), dtype=float)
    return Answer(*np.split(values, 2))


def jaxglm_fit(frame: pd.DataFrame) -> Answer:
    """Formula, fit and summary in this process."""
    import jaxglm as jg

    res = jg.glm(FORMULA, frame, family="binomial")
    str(res.summary())
    return Answer(res.params.to_numpy(), res.bse.to_numpy())


def statsmodels_fit(frame: pd.DataFrame) -> Answer:
    """Formula, fit and summary in this process."""
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    res = smf.glm(FORMULA, frame, family=sm.families.Binomial()).fit()
    str(res.summary())
    return Answer(res.params.to_numpy(), res.bse.to_numpy())


def records(scale: float = 1.0, repeats: int = 3) -> Iterator[Record]:
    """Cold, cold with a warm compile cache, and warm. `scale` changes nothing: the model is small already."""
    import jaxglm as jg

    frame = staff(ROWS)
    case = partial(Record, n=ROWS, p=3, peer="statsmodels", floor=1.0)
    with tempfile.TemporaryDirectory() as folder:
        file, cache, bytecode = (Path(folder) / name for name in ("staff.csv", "compiled", "bytecode"))
        frame.to_csv(file, index=False)
        theirs = partial(fresh, "statsmodels", bytecode, file)
        yield harness.race(
            case(
                name="cold.start.statsmodels",
                what="cold start",
                aim=round(1 / 0.9, 2),
                note="whole life of a new process: import, read 500 rows, fit, summary",
            ),
            partial(fresh, "jaxglm", bytecode, file),
            theirs,
            repeats,
        )
        cached = case(
            name="cold.cached.statsmodels",
            what="cold start, compile cache",
            aim=round(1 / 0.7, 2),
            note="the same with enable_compile_cache(); the uncounted first run fills the cache",
        )
        if hasattr(jg, "enable_compile_cache"):
            yield harness.race(cached, partial(fresh, "jaxglm", bytecode, file, cache), theirs, repeats)
        else:
            yield replace(cached, skipped="jaxglm has no enable_compile_cache() yet: not available")
    yield harness.race(
        case(
            name="cold.warm.statsmodels",
            what="warm repeat",
            aim=2.0,
            note="formula, fit and summary; median of many, each takes milliseconds",
        ),
        partial(jaxglm_fit, frame),
        partial(statsmodels_fit, frame),
        10 * repeats,
    )


if __name__ == "__main__":
    raise SystemExit(harness.main(records, __doc__, ROWS))
