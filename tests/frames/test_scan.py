"""Data in pieces: files, queries and callables give what the frame in memory gives, and fail with a name."""

import sys
import weakref
from functools import cache
from pathlib import Path

import duckdb
import jax
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import jaxglm as jg
from jaxglm.formula import evaluate
from jaxglm.frames.parquet import ParquetScan
from jaxglm.frames.scan import as_scan
from jaxglm.intake import Beside, FormulaIntake
from jaxglm.sources import base, stream
from jaxglm.sources.packing import Packer

#: Sums over the same rows in another order.
SAME = 1e-10
FIGURES = ("params", "bse", "deviance", "null_deviance", "llf", "nobs", "pearson_chi2")
OPTIONS = {"family": "poisson", "var_weights": "w", "exposure": "t"}
FORMULA = "y ~ scale(x) * f + offset(log(t))"


@cache
def frame() -> pd.DataFrame:
    """Counts, numbers and text with holes; one level comes late."""
    rng = np.random.default_rng(12)
    x, f = rng.normal(size=120), rng.choice(["low", "mid", "top"], 120)
    f[:50] = np.where(f[:50] == "top", "low", f[:50])
    y = rng.poisson(np.exp(0.4 + 0.3 * x + 0.5 * (f == "top"))).astype(float)
    data = pd.DataFrame(
        {"y": y, "x": x, "f": f.astype(object), "w": rng.uniform(0.5, 2, 120), "t": rng.uniform(1, 2, 120)}
    )
    data["year"], data["id"] = np.repeat([2019, 2020, 2021], 40), np.arange(120)
    data.loc[[3, 77], "x"], data.loc[11, "f"], data.loc[5, "w"] = np.nan, None, 0.0
    return data


def write(folder, data=None, cuts=(30, 31), rows=25, **changes) -> Path:
    """Files 0.parquet, 1.parquet, ... of a frame; `changes` are functions of the frame of a file, as in _1=..."""
    data = frame() if data is None else data
    edges = [0, *cuts, len(data)]
    for i, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        part = changes.get(f"_{i}", lambda part: part)(data.iloc[a:b].copy())
        part.to_parquet(folder / f"{i}.parquet", row_group_size=rows, index=False)
    return folder


@cache
def whole(formula=FORMULA):
    return jg.glm(formula, frame(), **OPTIONS)


def agree(found, want, rtol=SAME):
    assert list(found.params.index) == list(want.params.index)
    for figure in FIGURES:
        np.testing.assert_allclose(getattr(found, figure), getattr(want, figure), rtol=rtol, atol=1e-12, err_msg=figure)


def table() -> pa.Table:
    return pa.Table.from_pandas(frame(), preserve_index=False)


KINDS = {
    "folder": lambda d: str(write(d)),
    "path": lambda d: write(d, cuts=()) / "0.parquet",
    "glob": lambda d: f"{write(d)}/*.parquet",
    "list": lambda d: [write(d) / f"{i}.parquet" for i in range(3)],
    "URL": lambda d: jg.scan_parquet(f"file://{write(d)}"),
    "scan": lambda d: jg.scan_parquet(write(d)),
    "dataset": lambda d: ds.dataset(write(d)),
    "dataset in memory": lambda d: ds.dataset(table()),
    "LazyFrame": lambda d: pl.from_pandas(frame()).lazy(),
    "LazyFrame of files": lambda d: pl.scan_parquet(f"{write(d)}/*.parquet"),
    "relation": lambda d: duckdb.from_arrow(table()),
    "callable": lambda d: lambda: (frame()[a:b] for a, b in ((0, 3), (3, 3), (3, 60), (60, 120))),
    "factory of readers": lambda d: lambda: table().to_reader(max_chunksize=33),
    "factory of tables": lambda d: table,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_gives_the_fit_of_the_frame(kind, tmp_path):
    source = KINDS[kind](tmp_path)
    source = jg.scan_parquet(source) if kind == "list" else source
    found = jg.glm(FORMULA, source, **OPTIONS)
    agree(found, whole())
    assert found.labels.notes == whole().labels.notes
    np.testing.assert_allclose(found.resid(), whole().resid(), rtol=1e-8, atol=1e-10)


def count_reads(monkeypatch) -> list[tuple[str, ...]]:
    """The columns of every reading of Parquet files."""
    reads, plain = [], ParquetScan.read

    def read(self):
        reads.append(self.names)
        return plain(self)

    monkeypatch.setattr(ParquetScan, "read", read)
    return reads


@pytest.mark.parametrize(("formula", "learning"), [("y ~ x + log(t)", 0), (FORMULA, 1), ("y ~ poly(x, 2)", 1)])
def test_learning_takes_one_reading_or_none_and_only_what_is_needed(formula, learning, tmp_path, monkeypatch):
    reads = count_reads(monkeypatch)
    found = jg.glm(formula, jg.scan_parquet(write(tmp_path)), **OPTIONS)
    assert len(reads) == learning + sum(found.n_passes.values())
    assert set(reads) == {tuple(n for n in "yxfwt" if n != "f" or formula == FORMULA)}
    agree(found, whole(formula))
    assert found.labels.notes == whole(formula).labels.notes


def test_formulas_by_predictor_are_learned_in_one_reading():
    """A row that one formula drops teaches the other nothing."""
    data, calls = frame().copy(), []
    data.loc[data["f"] == "top", "x"] = np.nan
    formulas, family = {"mean": "y ~ f", "dispersion": "~ scale(x)"}, jg.NegativeBinomial()

    def frames():
        calls.append(1)
        return iter([data[:60], data[60:]])

    found, _ = FormulaIntake.learn_stream(formulas, as_scan(frames), family, Beside(), "drop", None)
    want, _ = FormulaIntake.learn(formulas, data, family, Beside(), "drop", None)
    assert len(calls) == 1 and found.specs == want.specs and found.specs[0].factors[0].levels == ("low", "mid")


def test_remarks_on_rows_are_those_of_the_frame():
    data = pd.DataFrame({"win": [1, 0, 2, 3, 0, 1.5] * 4, "lost": [1, 0, 1, 0, 2, 1.5] * 4, "x": np.arange(24.0)})
    want = jg.glm("cbind(win, lost) ~ x", data, "binomial")
    found = jg.glm("cbind(win, lost) ~ x", lambda: iter([data[:7], data[7:]]), "binomial")
    assert found.labels.notes == want.labels.notes and "4 rows without trials left out." in found.labels.notes
    assert found.fit.source.n_rows == want.fit.source.n_rows == 20


def test_partitions_and_filters(tmp_path):
    data = frame().assign(year=frame()["year"].astype(float))
    for year, part in frame().groupby("year"):
        for side in ("a", "b"):
            folder = tmp_path / f"year={year}" / f"side={side}"
            folder.mkdir(parents=True)
            half = part[part["id"] % 2 == (side == "b")]
            half.drop(columns="year").to_parquet(folder / "0.parquet", row_group_size=5, index=False)
    data["side"] = np.where(data["id"] % 2, "b", "a")
    scan = jg.scan_parquet(tmp_path)
    assert scan.n_rows == 120 and scan.names[-2:] == ("year", "side")
    assert "6 Parquet files (24 row groups), 120 rows, 8 columns: y, x, f" in repr(scan)
    kept = jg.scan_parquet(tmp_path, filter=[("year", ">", 2019), ("id", "<", 105)])
    assert "4 Parquet files" in repr(kept) and "with a filter" in repr(kept) and kept.n_rows is None
    rows = pd.concat([batch.to_pandas() for batch in kept()])
    assert sorted(rows["id"]) == list(range(40, 105))
    # The filter reads columns that the model does not.
    some = pa.concat_tables(kept.only(["x", "side"])())
    want = data[(data["year"] > 2019) & (data["id"] < 105)].sort_values(["year", "side"], kind="stable")
    assert some.column_names == ["x", "side"] and some["side"].to_pylist() == want["side"].tolist()
    np.testing.assert_array_equal(some["x"].to_pandas(), want["x"])
    formula = "y ~ scale(x) + C(year) + side"
    want = jg.glm(formula, data.assign(year=data["year"].astype(int)), **OPTIONS)
    agree(jg.glm(formula, scan, **OPTIONS), want)
    agree(jg.glm(formula, ds.dataset(tmp_path, partitioning="hive"), **OPTIONS), want)
    expression = jg.scan_parquet(tmp_path, ["id", "side"], filter=ds.field("side") == "b")
    assert "3 Parquet files" in repr(expression)
    assert [name for batch in expression() for name in batch.schema.names][:2] == ["id", "side"]
    with pytest.raises(jg.InputError, match="filter.*'oops'"):
        jg.scan_parquet(tmp_path, filter="oops")


def test_parts_are_all_rows_once(tmp_path):
    scan = jg.scan_parquet(write(tmp_path, rows=7), ["id"])
    for n in (1, 2, 3, 5):
        parts = [[i for b in scan.part(k, n)() for i in b.column("id").to_pylist()] for k in range(n)]
        assert sum(parts, []) == list(range(120))
        assert all(abs(len(part) - 120 / n) <= 14 for part in parts)
        assert [scan.part(k, n).n_rows for k in range(n)] == [len(part) for part in parts]
    with pytest.raises(jg.InputError, match="cannot be dealt out to 50: there are 19 row groups"):
        scan.part(0, 50)
    frames = as_scan(lambda: (frame()[i : i + 10] for i in range(0, 120, 10)))
    dealt = [[i for f in frames.part(k, 3)() for i in f["id"]] for k in range(3)]
    assert sorted(sum(dealt, [])) == list(range(120)) and [len(d) for d in dealt] == [40] * 3
    with pytest.raises(jg.InputError, match=r"0 <= k < n, not part\(3, 3\)"):
        frames.part(3, 3)


@pytest.fixture
def lanes(monkeypatch):
    """As on a machine with eight cores, and with chunks so short that each of them has some."""
    monkeypatch.setitem(base.CHUNK, "cpu", 16)
    monkeypatch.setattr(stream, "_FEW_ROWS", 0)
    monkeypatch.setattr(stream, "threads", lambda: 8)


def test_files_are_read_in_several_places_at_once(tmp_path, monkeypatch, lanes):
    """Every part has a reader; sums, counts of what was left out, and errors are those of all rows."""
    scan = jg.scan_parquet(write(tmp_path, cuts=(30, 60), rows=10))
    parts = scan.apart(3)
    assert [[i for b in part() for i in b.column("id").to_pylist()] for part in parts] == [
        list(range(40)), list(range(40, 80)), list(range(80, 120))]  # fmt: skip
    assert scan.apart(1) == [scan] and [part.n_rows for part in scan.apart(8)] == [20, 20, 20, 10, 20, 20, 10]
    assert len(jg.scan_parquet(tmp_path / "0.parquet").apart(2)) == 1
    readers = []
    reading = ParquetScan.read
    monkeypatch.setattr(ParquetScan, "read", lambda s: readers.append(s.n_rows) or reading(s))
    found = jg.glm(FORMULA, scan, **OPTIONS)
    agree(found, whole())
    assert readers.count(20) >= 10 and found.labels.notes == whole().labels.notes


def test_arrow_columns_are_not_copied(tmp_path):
    (first, *_) = jg.scan_parquet(write(tmp_path)).tables()
    column = first["t"].values
    assert not column.flags.owndata and not column.flags.writeable


@pytest.mark.parametrize(
    ("kind", "gaps", "every"), [("folder", False, False), ("folder", True, True), ("callable", False, True)]
)
def test_values_are_looked_at_again_only_where_it_may_matter(kind, gaps, every, tmp_path, monkeypatch):
    """Files in which nothing was missing cannot change unseen; of others every pass looks at all values."""
    looked, plain = [], evaluate._surely_finite
    monkeypatch.setattr(evaluate, "_surely_finite", lambda values: looked.append(len(values)) or plain(values))
    data = frame().assign(y=lambda d: d["y"] + 0.5)
    data = data if gaps else data.dropna().reset_index(drop=True)
    found = jg.glm("y ~ x + log(t)", write(tmp_path, data) if kind == "folder" else lambda: iter([data]), "poisson")
    # What a callable gives is read once more, to learn from it.
    n_passes = sum(found.n_passes.values()) + (kind == "callable")
    assert n_passes > 2 and sum(looked) == 3 * len(data) * (n_passes if every else 1)
    want = jg.glm("y ~ x + log(t)", data, "poisson")
    agree(found, want)
    assert found.labels.notes == want.labels.notes and any("fractions" in note for note in found.labels.notes)


def test_a_piece_is_let_go_before_the_next_one_is_read(tmp_path, monkeypatch):
    """Memory is then that of one piece, and the same for each."""
    kept, plain = [], FormulaIntake.take

    def take(self, table, *whole):
        assert not [what for what in kept if what() is not None]
        taken = plain(self, table, *whole)
        kept.extend(weakref.ref(what) for what in (table, table["x"], taken, *jax.tree.leaves(taken.rows.x)))
        return taken

    scan = jg.scan_parquet(write(tmp_path))
    intake, pieces = FormulaIntake.learn_stream("y ~ x + t", scan, jg.Poisson(), Beside(), "drop", None)
    monkeypatch.setattr(FormulaIntake, "take", take)
    packer, n_rows = Packer(16, placed=False), 0
    for _, count in packer.given_back(packer.chunks(pieces.blocks()), 0):
        n_rows += count
    assert n_rows == pieces.n_rows and len(kept) >= 3 * 5


# -- what can go wrong -------------------------------------------------------------------------------------------


def truncated(folder):
    write(folder)
    content = (folder / "2.parquet").read_bytes()
    (folder / "2.parquet").write_bytes(content[: len(content) // 2])


def broken_page(folder):
    """The last bytes of the pages overwritten, so that the footer is whole and the last row group is not."""
    write(folder)
    path = folder / "2.parquet"
    group = pq.ParquetFile(path).metadata.row_group(3)
    start = min(group.column(j).dictionary_page_offset or group.column(j).data_page_offset for j in range(2))
    content = bytearray(path.read_bytes())
    content[start : start + 60] = b"\xff" * 60
    path.write_bytes(content)


def changed(column, row, value):
    """A value in the last file."""

    def change(part):
        part[column] = part[column].astype(object if isinstance(value, str) else float)
        part.iloc[row, part.columns.get_loc(column)] = value
        return part

    return lambda folder: write(folder, _2=change)


FAULTS = {
    "cut short": (truncated, "2.parquet' cannot be read as Parquet", "cut short"),
    "a damaged row group": (broken_page, "2.parquet' cannot be read in row group 3, which begins at row 75", "damaged"),
    "a missing column": (lambda d: write(d, _2=lambda p: p.drop(columns="x")), "2.parquet' has no column 'x'"),
    "another type": (
        lambda d: write(d, _1=lambda p: p.assign(x="a")), "'x' holds text in file .*1.parquet' but numbers in .*0.parq"),
    "infinite": (changed("x", 80, np.inf), r"row 80 of file '.*2.parquet' \(row group 3\)", "x"),
    "a bad response": (changed("y", 70, -2.0), "poisson", r"-2 in row 70 of file '.*2.parquet' \(row group 2\)"),
    "a bad weight": (changed("w", 88, -1.0), "var_weights", r"-1 in row 88 of file '.*2.parquet' \(row group 3\)"),
    "no rows": (lambda d: write(d, frame()[:0], cuts=()), "no rows"),
    "nothing left": (lambda d: write(d, frame().assign(x=np.nan)), "no row"),
    "no files": (lambda d: (d / "a.csv").write_text("y,x"), "no Parquet file is in", r"\.parquet"),
}  # fmt: skip


@pytest.mark.parametrize("formula", ["y ~ x + t", "y ~ x + f"])
@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_files_are_named(name, formula, tmp_path):
    make, *words = FAULTS[name]
    make(tmp_path)
    for word in words:
        with pytest.raises(jg.DataError, match=word):
            jg.glm(formula, tmp_path, family="poisson", var_weights="w")


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_files_read_in_several_places_are_named(name, tmp_path, lanes):
    test_faults_of_files_are_named(name, "y ~ x + t", tmp_path)


def test_faults_in_columns_that_are_not_read_do_no_harm(tmp_path):
    write(tmp_path, _1=lambda p: p.assign(id="a"), _2=lambda p: p.drop(columns="year"))
    agree(jg.glm(FORMULA, tmp_path, **OPTIONS), whole())


def test_a_file_that_changes_between_passes_is_an_error(tmp_path):
    scan = jg.scan_parquet(write(tmp_path))
    agree(jg.glm(FORMULA, scan, **OPTIONS), whole())
    write(tmp_path, cuts=(40, 41))
    with pytest.raises(jg.DataError, match="0.parquet' has changed since it was found"):
        jg.glm(FORMULA, scan, **OPTIONS)
    (tmp_path / "0.parquet").unlink()
    with pytest.raises(jg.DataError, match="0.parquet' is gone since it was found"):
        list(scan.part(0, 2).read())


def shrinking():
    """A callable whose frames are fewer from the third call on."""
    calls = []

    def frames():
        calls.append(1)
        return iter([frame()[:60], frame()[60 : 120 if len(calls) < 3 else 100]])

    return frames


def one_iterator():
    made = iter([frame()])
    return lambda: made


PIECES = {
    "fewer rows later": (shrinking, "changed between two readings: first it had 120 rows, now 100", "a new iterator"),
    "one iterator again": (one_iterator, "changed between two readings.*now 0"),
    "text where numbers were": (
        lambda: lambda: iter([frame(), frame().assign(x="a")]), "in piece 1: 'x' is a factor.*numbers in earlier"),
    "numbers where text was": (lambda: lambda: iter([frame(), frame().assign(f=1.0)]), "in piece 1: 'f' is numbers"),
    "a missing column": (lambda: lambda: iter([frame(), frame().drop(columns="x")]), "in piece 1: .*no column 'x'"),
    "infinite": (lambda: lambda: iter([frame(), frame().assign(x=np.inf)]), "row 0 of piece 1"),
    "a bad response": (lambda: lambda: iter([frame(), frame().assign(y=-1)]), "-1 in row 0 of piece 1"),
    "no frame": (lambda: lambda: iter([frame(), 3]), "in piece 1: the data must be .*int"),
    "no frames": (lambda: lambda: iter([]), "the data has no rows"),
    "empty frames": (lambda: lambda: iter([frame()[:0]]), "the data has no rows"),
    "a number": (lambda: lambda: 3, "must return an iterator of frames, but returned int"),
    "a generator": (lambda: (frame() for _ in range(3)), "an iterator .generator., which can be read only once", "lambda:"),
    "no such file": (lambda: "no/such/file.parquet", "no file 'no/such/file.parquet'", "no folder 'no/such'"),
    "another file": (lambda: __file__, "test_scan.py' cannot be read as Parquet"),
    "a failing query": (
        lambda: pl.from_pandas(frame()).lazy().map_batches(lambda b: 1 / 0, schema=None), "LazyFrame failed.*division"),
}  # fmt: skip


@pytest.mark.parametrize("name", PIECES)
def test_faults_of_pieces_are_named(name):
    make, *words = PIECES[name]
    for word in words:
        with pytest.raises((jg.DataError, jg.InputError, jg.InputTypeError), match=word):
            jg.glm("y ~ x + f", make(), "poisson")


def test_without_pyarrow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(jg.MissingExtraError, match=r"jaxglm\[parquet\]"):
        jg.scan_parquet("trips.parquet")


def test_columns_are_checked_at_once(tmp_path):
    write(tmp_path)
    with pytest.raises(jg.DataError, match="no column 'yaer' in 3 Parquet files .7 row groups.. Did you mean 'year'"):
        jg.scan_parquet(tmp_path, columns=["yaer"])
    with pytest.raises(jg.FormulaError, match="'tt'"):
        jg.glm("y ~ tt", tmp_path)
    with pytest.raises(jg.InputTypeError, match="not as int"):
        jg.scan_parquet(3)
    with pytest.raises(jg.InputError, match="column name"):
        jg.glm("y ~ x", tmp_path, exposure=np.ones(120), family="poisson")


# -- predictions to a file ---------------------------------------------------------------------------------------


def test_predictions_go_to_a_file(tmp_path):
    folder, path = write(tmp_path), tmp_path / "out" / "predicted.parquet"
    path.parent.mkdir()
    options = {"columns": ["id", "f"], "se": True, "intervals": True, "alpha": 0.1}
    assert whole().predict_to(path, str(folder / "*.parquet"), **options) == 120
    found = pd.read_parquet(path)
    want = whole().get_prediction(frame()).summary_frame(0.1, obs=False)
    assert list(found.columns) == ["id", "f", *want.columns] and found["id"].tolist() == list(range(120))
    np.testing.assert_allclose(found[want.columns], want, rtol=1e-12)
    assert found["mean"].isna().sum() == 3 and found["f"].isna().sum() == 1
    sources = {"LazyFrame": pl.from_pandas(frame()).lazy(), "frame": frame(), "dict": frame().to_dict("series"),
               "polars": pl.from_pandas(frame()), "callable": lambda: iter([frame()[:70], frame()[70:]])}  # fmt: skip
    for source in sources.values():
        assert whole().predict_to(path, source, "linear", columns="id") == 120
        found = pd.read_parquet(path)
        assert list(found.columns) == ["id", "linear_predictor"] and found["id"].dtype == np.int64
        np.testing.assert_allclose(found["linear_predictor"], whole().predict(frame(), "linear"), rtol=1e-12)
    arrays = jg.fit(frame()[["x", "t"]].fillna(0.0), frame()["y"], "poisson")
    assert arrays.predict_to(path, str(folder / "*.parquet")) == 120
    np.testing.assert_allclose(pd.read_parquet(path)["mean"], arrays.predict(frame()[["x", "t"]]), rtol=1e-12)
    assert [p.name for p in path.parent.iterdir()] == ["predicted.parquet"]


@pytest.mark.parametrize("room", [0, 500])
def test_a_full_disk_leaves_nothing_behind(room, tmp_path):
    """A limit on the size of files stands for the disk."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "predicted.parquet"
    res, before = whole(), resource.getrlimit(resource.RLIMIT_FSIZE)
    # Compiled before the limit, since the cache of compiled programs is files as well.
    res.predict_to(path, frame(), columns=["id"])
    path.write_bytes(b"older")
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(jg.StorageError, match="no room is left.*as it was; free some space"):
            res.predict_to(path, frame(), columns=["id"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in tmp_path.iterdir()] == ["predicted.parquet"] and path.read_bytes() == b"older"


def test_a_source_that_fails_leaves_nothing_behind(tmp_path):
    path = tmp_path / "predicted.parquet"

    def interrupted():
        yield frame()
        raise KeyboardInterrupt("by the user")

    def lost():
        yield frame()
        raise FileNotFoundError("the user's own")

    for source, error, words in (
        (interrupted, KeyboardInterrupt, "by the user"),
        (lost, FileNotFoundError, "the user's own"),
        (lambda: iter([frame(), frame().assign(f="new")]), jg.UnseenLevelError, "row 0 of piece 1"),
        (lambda: iter([]), jg.DataError, "no rows"),
        (lambda: iter([frame(), frame().assign(id="a")]), jg.DataError, "change their type"),
    ):
        with pytest.raises(error, match=words):
            whole().predict_to(path, source, columns=["id"])
    for options, words in (
        ({"columns": ["mean"]}, "'mean' would have the name"),
        ({"columns": [3]}, "names of columns"),
        ({"offset": np.ones(3)}, "offset= must be a column name or a number"),
        ({"which": "median"}, "which must be"),
        ({"alpha": 2}, "alpha"),
    ):
        with pytest.raises((jg.InputError, jg.InputTypeError), match=words):
            whole().predict_to(path, frame(), **options)
    with pytest.raises(jg.StorageError, match="no such folder"):
        whole().predict_to(tmp_path / "none" / "a.parquet", frame())
    with pytest.raises(jg.InputTypeError, match="predict_to"):
        whole().predict(tmp_path)
    assert not list(tmp_path.iterdir())
