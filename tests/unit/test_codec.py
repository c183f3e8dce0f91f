"""Objects as JSON and arrays, and the one file they go to."""

import enum
import errno
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import hypothesis.extra.numpy as numpy_values
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as values

import jaxglm as jg
from jaxglm import archive, codec
from jaxglm.errors import InputTypeError, StorageError


class Color(enum.IntEnum):
    RED = 1


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any = 7
    kept: Any = None


@dataclass(frozen=True)
class Typed:
    count: int = 1
    share: float = 0.5
    name: str | None = None
    flags: tuple[bool, ...] = ()
    both: tuple[str, int] = ("a", 1)
    table: dict[str, float] = field(default_factory=dict)
    numbers: np.ndarray | None = None
    pair: Pair | None = None
    calls: Callable | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.count < 0:
            raise jg.InputError("count must not be negative")


TABLE = codec.Table([codec.Kind(Pair, without=("kept",)), codec.Kind(Typed), codec.Kind.of_enum(Color)])


def there_and_back(value, trust=False):
    encode = codec.Encoder(TABLE)
    node = encode(value)
    file = io.BytesIO()
    archive.write(file, {"format": "test", "version": 1, "node": node}, encode.arrays)
    manifest, arrays = archive.read(io.BytesIO(file.getvalue()), {"test": 1})
    assert manifest["node"] == json.loads(json.dumps(node))
    return codec.Decoder(TABLE, arrays, trust)(manifest["node"])


def same(a, b):
    """Equal in type and value, bit for bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes("A") == b.tobytes("A")
    if isinstance(a, float):
        return a.hex() == b.hex()
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, Pair):
        return same((a.left, a.right), (b.left, b.right))
    return a == b


ARRAYS = numpy_values.arrays(
    values.sampled_from(["f8", "f4", "i4", "i8", "u1", "?"]),
    numpy_values.array_shapes(min_dims=0, max_dims=3, min_side=0),
)
KEYS = values.none() | values.booleans() | values.integers() | values.text()
PLAIN = KEYS | values.floats() | values.just(Color.RED) | values.text(values.characters(codec=None))
TREES = values.recursive(
    PLAIN | ARRAYS,
    lambda inner: (
        values.lists(inner, max_size=3)
        | values.lists(inner, max_size=3).map(tuple)
        | values.dictionaries(KEYS, inner, max_size=3)
        | values.builds(Pair, inner, inner)
    ),
    max_leaves=12,
)


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
@hypothesis.given(TREES)
def test_every_value_comes_back_bit_for_bit(value):
    assert same(there_and_back(value), value)


def test_numbers_of_numpy_become_those_of_python():
    made = there_and_back((np.float64(0.1), np.float32(0.1), np.int64(3), np.bool_(True), np.str_("x"), math.nan, -0.0))
    assert [type(v) for v in made] == [float, float, int, bool, str, float, float]
    assert made[:2] == (0.1, float(np.float32(0.1))) and math.isnan(made[5]) and math.copysign(1, made[6]) == -1


def test_arrays_keep_their_order_and_are_written_once():
    matrix = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    one, two, three = there_and_back((matrix, matrix, matrix[:, ::2]))
    assert one is two and one.flags.f_contiguous and not one.flags.c_contiguous and one.flags.writeable
    np.testing.assert_array_equal(three, matrix[:, ::2])
    assert there_and_back(np.array([1.0, 2.0], ">f8")).dtype == np.float64
    assert isinstance(there_and_back(jnp.ones(2)), np.ndarray)


def test_fields_that_are_not_written_are_given_again():
    back = there_and_back(Pair(1, 2, kept=[1]))
    assert back == Pair(1, 2)
    encode = codec.Encoder(TABLE)
    node = encode(Pair(1, 2, kept=3))
    assert codec.Decoder(TABLE, []).object(node, {"kept": 5, "left": 0}) == Pair(0, 2, 5)


def node_of(**fields):
    return {"object": ["Typed", fields]}


@pytest.mark.parametrize(
    "node",
    [
        node_of(count=0.5), node_of(count=10**20), node_of(share=10**20), node_of(count=True), node_of(count="1"), node_of(share="0.5"), node_of(share=None),
        node_of(name=1), node_of(flags=[True]), node_of(flags={"tuple": [1]}), node_of(both={"tuple": ["a"]}),
        node_of(both={"tuple": [1, "a"]}), node_of(table={"dict": [["a", "b"]]}), node_of(table={"dict": [[1, 2.0]]}),
        node_of(numbers=1.0), node_of(pair={"object": ["Typed", {}]}), node_of(calls=3), node_of(more=[]),
        node_of(other=1), {"object": ["Pair", {}]}, {"object": ["Pair", {"left": 1, "kept": 1}]}, {"object": ["Pair"]},
        {"object": ["Color", {}]}, {"object": [["Pair"], {}]}, {"object": 1}, {"member": ["Pair", "left"]}, {"member": ["Color"]},
        {"member": ["Color", "BLUE"]}, {"member": ["Color", "__class__"]}, {"float": "0x1"}, {"float": [1]}, {"tuple": {}},
        {"dict": [1]}, {"dict": {"a": 1}}, {"array": 0.0}, {"array": True}, {"array": 1}, {"array": -1}, {"foreign": "X"},
        {"function": ["os", "getcwd"]}, {"function": None}, {}, {"a": 1, "b": 2}, {"__reduce__": 1},
    ],
)  # fmt: skip
def test_what_is_not_of_the_form_is_refused(node):
    with pytest.raises(StorageError):
        codec.Decoder(TABLE, [np.ones(1)])(node)


def test_classes_check_their_own_fields():
    with pytest.raises(jg.InputError, match="negative"):
        codec.Decoder(TABLE, [])(node_of(count=-1))
    assert codec.Decoder(TABLE, [])(node_of()) == Typed()


def test_functions_are_imported_only_in_trust():
    assert there_and_back(Typed(calls=os.path.join), trust=True).calls is os.path.join
    encode = codec.Encoder(TABLE)
    node = encode((os.path.join, lambda: 1, len, object()))
    assert node["tuple"] == [
        {"function": ["posixpath", "join"]}, {"function": None}, {"function": ["builtins", "len"]}, {"foreign": "object"}
    ]  # fmt: skip
    decode = codec.Decoder(TABLE, [], trust=True)
    assert [decode.lacks(part) for part in node["tuple"]] == [False, True, False, True]
    for body in (["no.such.module", "f"], ["os", "no_such_name"]):
        with pytest.raises(jg.InputError, match="cannot be imported"):
            decode({"function": body})
    for body in (None, [], ["os"], ["os", 1], "os"):
        with pytest.raises(StorageError):
            decode({"function": body})


# -- the file ----------------------------------------------------------------------------------------------------

MANIFEST = {"format": "test", "version": 1}


def packed(arrays):
    file = io.BytesIO()
    archive.write(file, MANIFEST, arrays)
    return file.getvalue()


def entries(compression=zipfile.ZIP_STORED, **bodies):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, body in bodies.items():
            made.writestr(name.replace("_", "."), body)
    return file.getvalue()


def npy(array=None, header=None, body=b""):
    out = io.BytesIO()
    if array is not None:
        np.save(out, array, allow_pickle=True)
        return out.getvalue()
    np.lib.format.write_array_header_1_0(out, header)
    return out.getvalue() + body


GOOD = json.dumps(MANIFEST)
HUGE = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
FOREIGN = {
    "nothing": b"",
    "text": b"a,b\n1,2\n",
    "pickle": b"\x80\x04\x95",
    "another zip": entries(a_txt="hello"),
    "not JSON": entries(manifest_json="{"),
    "not UTF-8": entries(manifest_json=b"\xff\xfe\xff"),
    "JSON of something else": entries(manifest_json="[1]"),
    "deep JSON": entries(manifest_json="[" * 200_000),
    "long number": entries(manifest_json=GOOD[:-1] + ', "a": ' + "9" * 10_000 + "}"),
    "not finite": entries(manifest_json=GOOD[:-1] + ', "a": NaN}'),
    "a hole": entries(manifest_json=GOOD, **{"1.npy": npy(np.ones(1))}),
    "too many": entries(manifest_json=GOOD, **{"../x": b""}),
    "compressed": entries(zipfile.ZIP_DEFLATED, manifest_json=GOOD + " " * 10_000),
    "no array": entries(manifest_json=GOOD, **{"0.npy": b"x" * 100}),
    "objects": entries(manifest_json=GOOD, **{"0.npy": npy(np.array([{}], object))}),
    "text array": entries(manifest_json=GOOD, **{"0.npy": npy(np.array(["a"]))}),
    "records": entries(manifest_json=GOOD, **{"0.npy": npy(np.zeros(2, [("a", "f8")]))}),
    "claims too much": entries(manifest_json=GOOD, **{"0.npy": npy(header=HUGE, body=b"x" * 8)}),
    "too long": entries(manifest_json=GOOD, **{"0.npy": npy(np.ones(2)) + b"more"}),
    "negative": entries(manifest_json=GOOD, **{"0.npy": npy(header={**HUGE, "shape": (-1, -1)}, body=b"x" * 8)}),
    "header with code": entries(manifest_json=GOOD, **{"0.npy": b"\x93NUMPY\x01\x00\x10\x00__import__('os')"}),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_file_is_an_error_that_names_it(what, tmp_path):
    path = tmp_path / "odd.jaxglm"
    path.write_bytes(FOREIGN[what])
    with pytest.raises(StorageError, match="odd.jaxglm") as problem:
        archive.read(path, {"test": 1})
    assert isinstance(problem.value, (jg.JaxglmError, ValueError))
    with pytest.raises(StorageError):
        archive.read(io.BytesIO(FOREIGN[what]), {"test": 1})


def test_entries_of_the_same_name_are_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("manifest.json", GOOD)
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("manifest.json", GOOD)
    with pytest.raises(StorageError, match="too many"):
        archive.read(io.BytesIO(file.getvalue()), {"test": 1})


def test_the_same_content_makes_the_same_bytes():
    assert packed([np.arange(3.0)]) == packed([np.arange(3.0)])


def test_no_entry_is_a_pickle():
    with zipfile.ZipFile(io.BytesIO(packed([np.ones(2), np.zeros((2, 2), bool)]))) as made:
        for name in made.namelist()[1:]:
            np.load(io.BytesIO(made.read(name)), allow_pickle=False)


@pytest.mark.parametrize("target", [3, None, ["a"]])
def test_a_target_that_is_no_path(target):
    with pytest.raises(InputTypeError, match="path"):
        archive.write(target, MANIFEST, [])
    with pytest.raises(InputTypeError, match="path"):
        archive.read(target, {"test": 1})


def test_a_file_object_of_text_is_refused():
    with pytest.raises(InputTypeError, match="binary"):
        archive.read(io.StringIO("x"), {"test": 1})


def test_paths_of_every_kind(tmp_path):
    for path in (tmp_path / "a", str(tmp_path / "b"), os.fsencode(tmp_path / "c")):
        archive.write(path, MANIFEST, [])
        assert archive.read(path, {"test": 1}) == (MANIFEST, [])
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]
    with open(tmp_path / "d", "wb") as file:
        archive.write(file, MANIFEST, [])
    assert (tmp_path / "d").read_bytes() == (tmp_path / "a").read_bytes()


def test_folders_and_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        archive.write(tmp_path / "none" / "a", MANIFEST, [])
    with pytest.raises(IsADirectoryError, match="folder"):
        archive.write(tmp_path, MANIFEST, [])
    with pytest.raises(FileNotFoundError):
        archive.read(tmp_path / "a", {"test": 1})
    assert os.listdir(tmp_path) == []


def test_modes_and_links_stay(tmp_path):
    path, link = tmp_path / "real", tmp_path / "link"
    archive.write(path, MANIFEST, [])
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o640)
    link.symlink_to(path)
    archive.write(link, MANIFEST, [np.ones(3)])
    assert link.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len(archive.read(path, {"test": 1})[1]) == 1


def broken(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt(), MemoryError()], ids=repr)
@pytest.mark.parametrize(
    "place", ["os.replace", "os.fsync", "json.dumps", "numpy.lib.format.write_array", "zipfile.ZipFile.close"]
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(place, error, tmp_path, monkeypatch):
    path = tmp_path / "model"
    archive.write(path, MANIFEST, [np.ones(2)])
    before = path.read_bytes()
    monkeypatch.setattr(place, broken(error))
    with pytest.raises(type(error)):
        archive.write(path, MANIFEST, [np.zeros(5)])
    with pytest.raises(type(error)):
        archive.write(tmp_path / "new", MANIFEST, [np.zeros(5)])
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["model"] and path.read_bytes() == before


def test_a_file_object_gets_all_or_nothing(monkeypatch):
    file = io.BytesIO()
    monkeypatch.setattr("numpy.lib.format.write_array", broken(MemoryError()))
    with pytest.raises(MemoryError):
        archive.write(file, MANIFEST, [np.zeros(5)])
    assert file.getvalue() == b""


def test_a_full_disk(tmp_path):
    """The device that is always full, where there is one."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "wb", buffering=0) as file, pytest.raises(OSError):
        archive.write(file, MANIFEST, [np.ones(3)])
