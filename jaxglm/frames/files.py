"""Where Parquet files are, and what their footers say."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import numpy as np

from jaxglm.errors import DataError, InputTypeError, MissingExtraError, near

_SUFFIXES = (".parquet", ".parq", ".pq")
#: What Hive writes for a missing key.
_NO_KEY = "__HIVE_DEFAULT_PARTITION__"
#: Bytes of a column chunk that are asked for at a time: of a file of this machine as many as stay in cache, of others
#: enough that it takes longer than the answer is on its way.
_BUFFER, _BUFFER_ELSEWHERE = 1 << 16, 1 << 20


@dataclass(frozen=True)
class File:
    """A file as it was when it was found: its size and time of change, the keys of its folders, rows of row groups."""

    path: str
    stamp: tuple[int, Any]
    keys: dict[str, Any]
    groups: tuple[int, ...]
    starts: tuple[int, ...] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "starts", tuple(np.cumsum((0, *self.groups)).tolist()))

    @property
    def place(self) -> str:
        """How errors name it."""
        return f"file {self.path!r}"

    def group(self, row: int) -> str:
        """The row group of a row, for messages."""
        return f" (row group {int(np.searchsorted(self.starts, row, side='right')) - 1})"


def arrow_errors() -> tuple[type[Exception], ...]:
    """What pyarrow raises."""
    import pyarrow as pa

    return OSError, pa.ArrowException


def opened_file(filesystem: Any, path: str) -> Any:
    """A Parquet file, to be read in order."""
    import pyarrow.parquet as pq

    # Nothing is fetched ahead: that would hold row groups whole.
    size = _BUFFER if filesystem.type_name == "local" else _BUFFER_ELSEWHERE
    return pq.ParquetFile(filesystem.open_input_file(path), pre_buffer=False, buffer_size=size)


def stamp_of(filesystem: Any, path: str) -> tuple[int | None, Any]:
    """Size and time of change of a file; a size of None where it is not there."""
    info = filesystem.get_file_info(path)
    return info.size, info.mtime_ns


def footer_of(filesystem: Any, path: str, keys: dict[str, Any]) -> tuple[File, Any]:
    """What a file says of itself, and its schema."""
    stamp = stamp_of(filesystem, path)
    try:
        with opened_file(filesystem, path) as opened:
            footer = opened.metadata
            groups = tuple(footer.row_group(i).num_rows for i in range(footer.num_row_groups))
            return File(path, stamp, keys, groups), opened.schema_arrow
    except arrow_errors() as error:
        raise DataError(
            f"file {path!r} cannot be read as Parquet: {error}; it is missing, cut short, or of another format "
            "(frames of other formats are given as they are, or by a callable that yields them)"
        ) from error


def find_files(source: Any) -> tuple[Any, list[tuple[str, dict[str, str | None]]]]:
    """A filesystem, and files in it with the keys of their folders."""
    try:
        from pyarrow import fs
    except ImportError:
        raise MissingExtraError("Parquet files need pyarrow: pip install 'jaxglm[parquet]'") from None
    if isinstance(source, (list, tuple)):
        if not source:
            raise DataError("the list of Parquet files is empty")
        made = [find_files(item) for item in source]
        return made[0][0], [pair for _, pairs in made for pair in pairs]
    if not isinstance(source, (str, os.PathLike)):
        raise InputTypeError(f"Parquet files are given by path, glob, folder or a list, not as {type(source).__name__}")
    path = os.path.expanduser(os.fspath(source))
    if "://" in path:
        filesystem, base = fs.FileSystem.from_uri(path)
        if filesystem.get_file_info(base).type == fs.FileType.File:
            return filesystem, [(base, {})]
        inside = filesystem.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
        names = [f.path for f in inside if f.type == fs.FileType.File]
    else:
        filesystem, base = fs.LocalFileSystem(), path
        if os.path.isfile(path):
            return filesystem, [(path, {})]
        if os.path.isdir(path):
            names = [os.path.join(at, name) for at, _, inside in os.walk(path) for name in inside]
        else:
            # Folders are keys from the first one on that is not written out.
            base = os.path.dirname(re.split(r"[*?\[]", path)[0])
            names = [name for name in glob.glob(path, recursive=True) if os.path.isfile(name)]
            if not names:
                raise DataError(f"there is no file {path!r}" + _instead(path))
    below = {name: os.path.relpath(name, base or ".").split(os.sep) for name in sorted(names)}
    chosen = {name: parts for name, parts in below.items() if _is_data(parts)}
    if not chosen:
        raise DataError(f"no Parquet file is in {path!r}: names must end in {', '.join(_SUFFIXES)}")
    return filesystem, [(name, _keys(parts[:-1])) for name, parts in chosen.items()]


def _instead(path: str) -> str:
    """What there is in the place where nothing was found."""
    folder = os.path.dirname(path) or "."
    if any(c in folder for c in "*?["):
        return ""
    if not os.path.isdir(folder):
        return f"; there is no folder {folder!r} either"
    return "." + near(os.path.basename(path), sorted(os.listdir(folder))[:1000])


def _is_data(parts: list[str]) -> bool:
    """Whether a path is one of data; names that begin with a dot or underscore are notes of other programs."""
    return parts[-1].endswith(_SUFFIXES) and not any(part.startswith((".", "_")) for part in parts)


def _keys(folders: list[str]) -> dict[str, str | None]:
    """Keys and values in the names of folders."""
    pairs = (folder.split("=", 1) for folder in folders if "=" in folder)
    return {unquote(k): None if v == _NO_KEY else unquote(v) for k, v in pairs}


def key_types(found: list[tuple[File, Any]]) -> dict[str, Any]:
    """Arrow types of the keys: whole numbers where all values are; the values are changed to them."""
    import pyarrow as pa

    names = list(dict.fromkeys(name for file, _ in found for name in file.keys))
    types = {}
    for name in names:
        values = [file.keys.get(name) for file, _ in found]
        whole = all(value is None or re.fullmatch(r"-?\d+", value) for value in values)
        types[name] = pa.int64() if whole else pa.string()
        if whole:
            for (file, _), value in zip(found, values, strict=True):
                file.keys[name] = None if value is None else int(value)
    return types
