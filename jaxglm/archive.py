"""One file of JSON and arrays: a zip archive without compression, read with distrust and replaced whole.

``manifest.json`` says what the file is and holds the JSON, ``0.npy``, ``1.npy``, ... are the arrays. Entries are stored
as they are, so that nothing can unpack to more than the file's own size, and each has a checksum. Nothing is pickled
and nothing is extracted to disk. The same content makes the same bytes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from jaxglm.errors import InputTypeError, StorageError

MANIFEST = "manifest.json"
#: Where a zip archive begins, and the time that all entries carry.
_MAGIC, _TIME = b"PK\x03\x04", (1980, 1, 1, 0, 0, 0)
#: Arrays of more bytes need the long form of a zip entry.
_LONG = 1 << 30


def write(target: Any, manifest: dict[str, Any], arrays: Sequence[np.ndarray]) -> None:
    """Write a file, or into a binary file object; a file that is there is replaced only once the new one is whole.

    Raises
    ------
    OSError
        The folder does not exist, is not writable, or the disk is full; an older file stays as it was.
    InputTypeError
        Not a path.
    """
    if hasattr(target, "write"):
        buffer = BytesIO()
        _write(buffer, manifest, arrays)
        target.write(buffer.getvalue())
        return
    with replacing(path_of(target, "write")) as stream:
        _write(stream, manifest, arrays)


def _write(stream: BinaryIO, manifest: dict[str, Any], arrays: Sequence[np.ndarray]) -> None:
    # Text is escaped to ASCII, so that every str of Python comes back as it was.
    text = json.dumps(manifest, allow_nan=False, separators=(",", ":")).encode("ascii")
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as made:
        made.writestr(zipfile.ZipInfo(MANIFEST, _TIME), text)
        for i, array in enumerate(arrays):
            info = zipfile.ZipInfo(f"{i}.npy", _TIME)
            with made.open(info, "w", force_zip64=array.nbytes > _LONG) as entry:
                np.lib.format.write_array(entry, array, version=(1, 0), allow_pickle=False)


@contextlib.contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """A new file beside `path`, which takes its place at the end, and is gone if there is an error."""
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", folder)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "this is a folder; give the name of a file", path)
    draft = os.path.join(folder, f".jaxglm-{os.urandom(8).hex()}.tmp")
    try:
        with open(draft, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if os.path.exists(path):
            shutil.copymode(path, draft)
        os.replace(draft, path)
    except BaseException:
        # Ctrl-C too leaves nothing behind.
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    _settle(folder)


def _settle(folder: str) -> None:
    """Have the new name of a file outlast a power cut, on systems that can open folders."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def path_of(target: Any, method: str) -> str:
    try:
        return os.fsdecode(target)
    except TypeError:
        raise InputTypeError(
            f"a file is given by its path or as a binary file object with .{method}(), not as {type(target).__name__}"
        ) from None


def read(target: Any, forms: Mapping[str, int]) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Manifest and arrays of a file, or of a binary file object from where it stands.

    Parameters
    ----------
    forms : dict of str to int
        What the file may be, and the newest version of each that is understood.

    Raises
    ------
    StorageError
        Not such a file, damaged, or of a newer version.
    OSError
        The file cannot be opened.
    """
    if hasattr(target, "read"):
        content = target.read()
        if not isinstance(content, bytes):
            raise InputTypeError("the file object gives text; open the file in binary mode, 'rb'")
        return _read(BytesIO(content), forms, "the file object")
    path = path_of(target, "read")
    with open(path, "rb") as stream:
        return _read(stream, forms, path)


def _read(stream: BinaryIO, forms: Mapping[str, int], name: str) -> tuple[dict[str, Any], list[np.ndarray]]:
    head = stream.read(len(_MAGIC))
    if not head:
        raise StorageError(f"{name} is empty (a file object that was just written needs seek(0) first)")
    if head != _MAGIC:
        raise StorageError(f"{name} was not written by Results.save()")
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = _entries(archive, stream.seek(0, os.SEEK_END))
            manifest = json.loads(archive.read(MANIFEST), parse_constant=_refuse)
            _check_version(manifest, forms)
            arrays = [_array(archive.read(entry)) for entry in entries]
    except StorageError as problem:
        raise StorageError(f"{name}: {problem}") from problem
    except Exception as problem:
        # zipfile and json have errors of many kinds for bytes that make no sense.
        raise StorageError(
            f"{name} is damaged or cut short ({type(problem).__name__}: {problem}); save the model again"
        ) from problem
    return manifest, arrays


def _entries(archive: zipfile.ZipFile, size: int) -> list[zipfile.ZipInfo]:
    """The arrays in order, if the archive is made of a manifest and arrays that are stored as they are."""
    found = {info.filename: info for info in archive.infolist()}
    if MANIFEST not in found:
        raise StorageError("this is a zip archive of something else, not a file that Results.save() wrote")
    wanted = [f"{i}.npy" for i in range(len(found) - 1)]
    if len(archive.infolist()) != len(found) or any(name not in found for name in wanted):
        raise StorageError("entries are missing or too many; save the model again")
    for info in found.values():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise StorageError("entries must be neither compressed nor encrypted")
    if sum(info.file_size for info in found.values()) > size:
        raise StorageError("entries claim to be larger than the file; it is damaged")
    return [found[name] for name in wanted]


def _refuse(word: str) -> None:
    raise StorageError(f"{word} is no number of JSON; the manifest is damaged")


def _check_version(manifest: Any, forms: Mapping[str, int]) -> None:
    form = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(form, str) or form not in forms:
        raise StorageError("this is no file that Results.save() wrote")
    version = forms[form]
    found = manifest.get("version")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise StorageError(f"its version is {found!r}; it is damaged")
    if found > version:
        raise StorageError(
            f"it has version {found} of the format and was written by jaxglm {manifest.get('jaxglm')}, but this jaxglm "
            f"reads versions up to {version}; upgrade jaxglm"
        )


def _array(content: bytes) -> np.ndarray:
    """An array from the bytes of an .npy file; its shape must account for every byte before memory is taken."""
    stream = BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise StorageError("an array is in another version of NumPy's format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    start = stream.tell()
    count = 1
    for length in shape:
        count *= length
    if dtype.kind not in "biuf" or min(shape, default=0) < 0 or count * dtype.itemsize != len(content) - start:
        raise StorageError(f"an array of {dtype} and shape {shape} does not match its size")
    flat = np.frombuffer(content, dtype, count, start)
    # A copy is aligned and owns its memory, in the order in which it was.
    return flat.reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="), order="K", copy=True)
