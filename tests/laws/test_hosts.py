"""Two processes that fit together give what one process with all rows gives."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jaxglm as jg
from jaxglm.sources import HostsSource

pytestmark = pytest.mark.slow

#: Two fits stop within tol standard errors of the optimum, and one more step squares that.
SAME_FIT = 1e-8
#: Seconds in which a process notices that the other is gone.
NOTICED = 10.0
#: Both processes compile the same programs, which are not what is looked at.
QUICKLY = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
#: How many of the rows belong to the first process.
FIRST = 70


def frame(n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    x, z = rng.normal(size=n), rng.uniform(1.0, 2.0, n)
    f = rng.choice(list("abc"), n)
    # Each process has a level that the other lacks.
    f[:FIRST][f[:FIRST] == "b"] = "a"
    f[FIRST:][f[FIRST:] == "c"] = "b"
    y = x + rng.normal(size=n)
    data = pd.DataFrame({
        "k": rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(0.3 + 0.4 * x) * z)).astype(float), "x": x, "z": z, "f": f, "y": y,
        "firm": rng.integers(0, 12, n), "won": np.where(y > 0, "yes", "no"), "w": rng.uniform(0.5, 2.0, n),
    })  # fmt: skip
    # The first process has but one label of the response.
    data.loc[: FIRST - 1, "won"] = "yes"
    data.loc[[3, 100], "x"] = np.nan
    data.loc[5, "w"] = 0.0
    return data


def many(n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 3))
    return X, (rng.random(n) < 1 / (1 + np.exp(0.5 - X[:, 0]))).astype(float)


DATA = frame()
#: Rows that the fit to the frame uses.
USED = (DATA["x"].notna() & (DATA["w"] > 0)).to_numpy()
#: By name of a fit along gradients the exact one to the same rows, and how near it ends, in standard errors.
EXACT, NEAR = {"stochastic": "from a sample", "lbfgs": "from a sample"}, 1e-6


def part_of(values, process: int | None, first: int):
    """The rows of a process, of which the first one has some; all for None."""
    return values[slice(None) if process is None else slice(first) if process == 0 else slice(first, None)]


def cases(process: int | None, devices, folder: str) -> dict:
    """name: maker of a fit, of the rows of a process; all name the same folder."""
    data = part_of(DATA, process, FIRST)
    late = part_of(DATA, process, 0)
    X, y = (part_of(a, process, 15_000) for a in many())

    def pieces():
        # The second process has fewer of them, one without rows that can be used.
        return iter([data.iloc[:0], data] if process == 1 else [data.iloc[:20], data.iloc[20:25], data.iloc[25:]])

    return {
        "frame": lambda: jg.glm("k ~ x * f", data, family="poisson", exposure="z", var_weights="w", devices=devices),
        "labels": lambda: jg.fit(data[["z"]], data["won"], family="binomial", devices=devices),
        "stream": lambda: jg.glm("k ~ scale(x) + f", pieces, family="negative_binomial", devices=devices),
        "rows in one process": lambda: jg.glm("y ~ x + f", late, precision="mixed", devices=devices),
        "files": lambda: jg.glm("y ~ z + f", f"{folder}/*.parquet", devices=devices, cov=jg.Cluster("firm")),
        "from a sample": lambda: jg.fit(X, y, family="binomial", devices=devices),
        "stochastic": lambda: jg.fit(X, y, "binomial", solver=jg.Stochastic(epochs=2, seed=1), devices=devices),
        "lbfgs": lambda: jg.fit(X, y, "binomial", solver="lbfgs", devices=devices),
    }


def figures(res) -> dict:
    return {
        "names": list(map(str, res.params.index)), "params": list(res.params), "bse": list(res.bse),
        "sums": [res.llf, res.deviance, res.null_deviance, res.pearson_chi2, res.nobs, res.df_resid],
        "passes": res.n_passes,
    }  # fmt: skip


def asked(name: str, res, process: int | None) -> dict:
    """What takes further passes over the rows."""

    def numbers(frame: pd.DataFrame) -> list:
        return frame.select_dtypes("number").to_numpy().tolist()

    def of_frame():
        added = part_of(DATA["firm"].to_numpy(float) ** 2, process, FIRST)[part_of(USED, process, FIRST)]
        return {
            "drop1": numbers(res.drop1()),
            "profile": numbers(res.conf_int(method="profile")),
            "HC3": list(res.with_cov("HC3").bse),
            "clusters": list(res.with_cov(jg.Cluster("f", "firm", fix=True)).bse),
            "averages": numbers(res.margins(["x", "f"], by="f").frame()),
            # Each process lacks one of these levels.
            "at levels": numbers(res.margins("x", at={"f": ["b", "c"]}, kind="eyex").frame()),
            "predictions": numbers(res.predictions(by=["f", "firm"]).frame()),
            "terms": [res.score_test("C(won) + scale(y)").statistic, res.score_test("C(won) + scale(y)").df],
            "columns": [res.score_test(added).statistic],
            "checks": numbers(res.diagnose().frame()),
        }

    def of_stream():
        return {"contrasts": numbers(res.margins().frame()), "predictions": numbers(res.predictions().frame())}

    def of_labels():
        return {"averages": numbers(res.margins().frame()), "checks": numbers(res.diagnose().frame())}

    return {"frame": of_frame, "stream": of_stream, "labels": of_labels}.get(name, dict)()


def of_rows(res) -> list:
    """Values of the rows of this process."""
    drawn = res.simulate(2, seed=5).to_numpy().T.tolist()
    return [list(res.fittedvalues), list(res.resid("pearson")), list(res.influence().frame()["hat"]), *drawn]


def points(res) -> int:
    """How many a picture of rows shows."""
    return max(len(drawn.get_offsets()) for drawn in res.plot.residuals().collections)


def goes_on(process: int, folder: str) -> dict:
    """A fit that was interrupted, in one process a pass earlier than in the other, and goes on."""
    X, y = (part_of(a, process, 15_000) for a in many())
    reduce, done, stop = HostsSource.reduce, [], None

    def counted(source, *arguments):
        if source.n_rows < len(many()[1]):
            # Those over a sample do not count.
            return reduce(source, *arguments)
        if process == 0 and len(done) == stop:
            raise KeyboardInterrupt
        value = reduce(source, *arguments)
        done.append(1)
        if process == 1 and len(done) == stop:
            raise KeyboardInterrupt
        return value

    def fit():
        done.clear()
        return jg.fit(X, y, family="binomial", devices="all", checkpoint=f"{folder}/fit")

    HostsSource.reduce = counted
    try:
        want, passes, stop = fit(), len(done), 4
        with pytest.raises(KeyboardInterrupt):
            fit()
        stop, left = None, sorted(Path(folder).glob(f"fit.{process}"))
        res = fit()
    finally:
        HostsSource.reduce = reduce
    same = bool((res.params == want.params).all() and (res.bse == want.bse).all())
    return {"same": same, "spared": passes - len(done), "left": len(left), "gone": not left[0].exists()}


def unread(process: int) -> dict:
    """name: what is found of large matrices that are not looked through beforehand."""
    from jaxglm.intake import whole

    X, y = (part_of(a, process, 15_000) for a in many())
    holes, negative, below = X.copy(), y.copy(), y.copy()
    found, looked = {}, whole._looks_whole
    if process:
        holes[[7, 9], 1], negative[3], below[[7, 9]] = np.nan, -1.0, -1.0

    def fit(*data, **options):
        return figures(jg.fit(*data, family="poisson", devices="all", **options))

    calls = {
        "whole": lambda: fit(X, y),
        "missing": lambda: fit(holes, y),
        # Rows that cannot be used, but are left out anyway.
        "both": lambda: fit(holes, below),
        "raise": lambda: fit(holes, y, missing="raise"),
        "bad": lambda: fit(X, negative),
    }
    for few in (2**62, 0):
        whole._UNREAD, looks = few, []
        whole._looks_whole = lambda matrix, to=looks: to.append(looked(matrix)) or to[-1]
        for name, call in calls.items():
            try:
                found[f"{name} {bool(few)}"] = call()
            except jg.errors.JaxglmError as error:
                found[f"{name} {bool(few)}"] = [type(error).__name__, str(error)]
        assert looks == [not few] * len(calls)
    return found


def errors(process: int) -> dict:
    """name: what is raised where one process fails, or the two differ."""
    data = part_of(DATA.dropna(), process, FIRST)
    bad = data.assign(k=np.where(np.arange(len(data)) == 4, -1.0, data["k"])) if process else data
    res = jg.glm("k ~ x", data, family="poisson", devices="all")
    calls = {
        "bad row": lambda: jg.glm("k ~ x", bad, family="poisson", devices="all"),
        "missing column": lambda: jg.glm(
            "k ~ x", data if process else data.drop(columns="x"), family="poisson", devices="all"
        ),
        "other columns": lambda: jg.fit(data[["x", "z"]].iloc[:, : 2 - process], data["k"], devices="all"),
        "other calls": lambda: res.with_cov("HC0") if process else res.drop1(),
        "order": lambda: res.with_cov(jg.HAC(2)),
        "one bad value": lambda: res.predictions(at={"x": "a" if process else 1.0}),
        "end": lambda: os._exit(0) if process else res.with_cov("HC0"),
    }
    found = {}
    for name, call in calls.items():
        start = time.perf_counter()
        with pytest.raises(jg.errors.JaxglmError) as caught:
            if name == "end" and process:
                print(json.dumps(found), flush=True)
            call()
        found[name] = [type(caught.value).__name__, str(caught.value), time.perf_counter() - start]
    return found


def main(process: int, port: str, folder: str) -> None:
    """What one of the two processes does."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, process)
    found = {}
    for name, fit in cases(process, "all", folder).items():
        res = fit()
        found[name] = figures(res) | asked(name, res, process)
        if name == "frame":
            found[name] |= {"own": of_rows(res), "summary": str(res.summary()), "words": str(res.diagnose())}
            found[name]["points"] = points(res)
    found["goes on"] = goes_on(process, folder)
    found["unread"] = unread(process)
    print(json.dumps(found), flush=True)
    print(json.dumps(errors(process)), flush=True)
    # Whoever is left would wait for the other at the end.
    os._exit(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """Files with several row groups."""
    made = tmp_path_factory.mktemp("files")
    for k, part in enumerate((DATA.iloc[:90], DATA.iloc[90:])):
        part.to_parquet(made / f"{k}.parquet", row_group_size=40)
    return str(made)


@pytest.fixture(scope="module")
def processes(folder) -> list[tuple[dict, dict]]:
    """What two processes found, and their errors."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {**os.environ, "PYTHONPATH": str(Path(jg.__file__).parents[1]), "XLA_FLAGS": QUICKLY, "MPLBACKEND": "Agg"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([sys.executable, __file__, str(k), port, folder], env=env, **pipes) for k in range(2)]
    try:
        ended = [p.communicate(timeout=200) for p in started]
    finally:
        for p in started:
            p.kill()
    for p, (_, said) in zip(started, ended, strict=True):
        assert p.returncode == 0, said[-4000:]
    return [tuple(json.loads(line) for line in out.splitlines() if line.startswith("{")) for out, _ in ended]


@pytest.mark.parametrize("name", cases(None, None, ""))
def test_two_processes_equal_one(name, processes, folder):
    one, other = (found[name] for found, _ in processes)
    own, shown = ([found.pop(what, None) for found in (one, other)] for what in ("own", "points"))
    # Whatever is not of single rows is the same to the last bit.
    assert one == other
    res = cases(None, None, folder)[EXACT.get(name, name)]()
    want = figures(res)
    assert one["names"] == want["names"]
    if name in EXACT:
        assert np.max(np.abs(np.subtract(one["params"], want["params"])) / want["bse"]) < NEAR
        assert "gradient" in str(one["passes"]) or "stochastic" in one["passes"], one["passes"]
    for figure in ("params", "bse", "sums"):
        # Products in single precision are rounded as their sums are cut.
        close = 1e-6 if "one process" in name else SAME_FIT
        np.testing.assert_allclose(one[figure], want[figure], rtol=close, atol=1e-9, err_msg=figure)
    if name == "from a sample":
        assert "closing" in one["passes"]
    for figure, values in asked(name, res, None).items():
        np.testing.assert_allclose(one[figure], values, rtol=1e-6, atol=1e-8, err_msg=figure)
    if name == "frame":
        for k, values in enumerate(of_rows(res)):
            assert [len(part[k]) for part in own] == shown
            joined = own[0][k] + own[1][k]
            np.testing.assert_allclose(joined, values, rtol=1e-6, atol=1e-8)
        assert "of process 0" in one["words"] or "of process 1" in one["words"]
        assert "weight 0 left out" in one["summary"] and "2 rows with missing values dropped" in one["summary"]


def test_an_interrupted_fit_goes_on(processes):
    for found, _ in processes:
        # One of the three passes that were made and kept is not known to both.
        assert found["goes on"] == {"same": True, "spared": 2, "left": 1, "gone": True}


def test_values_missing_in_one_process_are_found_by_the_sums_of_both(processes):
    """Of large matrices only some rows are looked at beforehand; what is found is the same."""
    for process, (found, _) in enumerate(processes):
        for name in ("whole", "missing", "both", "raise", "bad"):
            one, other = (found["unread"][f"{name} {few}"] for few in (True, False))
            assert one == other, name
        words = [" ".join(found["unread"][f"{name} False"]) for name in ("raise", "bad")]
        assert all(("DataError", "HostError")[1 - process] in text.split()[0] for text in words), words
        assert "x2 is missing in row 7" in words[0] and "-1 in row 3" in words[1], words
        whole, missing = (found["unread"][f"{name} False"]["sums"][-2] for name in ("whole", "missing"))
        assert whole - missing == 2


@pytest.mark.parametrize(
    ("name", "process", "error", "words"),
    [
        ("bad row", 1, "DataError", ("poisson", "-1", "row 4")),
        ("bad row", 0, "HostError", ("process 1", "DataError", "-1")),
        ("missing column", 0, "FormulaError", ("'x'",)),
        ("missing column", 1, "HostError", ("process 0", "FormulaError", "'x'")),
        ("other columns", 0, "HostError", ("names of the columns", "process 1")),
        ("other calls", 1, "HostError", ("same functions", "process 0")),
        ("order", 0, "NotAvailableError", ("HAC", "HC0")),
        ("one bad value", 1, "InputTypeError", ("'a'",)),
        ("one bad value", 0, "HostError", ("process 1", "'a'")),
        ("end", 0, "HostError", ("ended",)),
    ],
)  # fmt: skip
def test_errors_end_both_processes(name, process, error, words, processes):
    found, text, seconds = processes[process][1][name]
    assert found == error, text
    assert all(word in text for word in words), text
    assert seconds < NOTICED


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
