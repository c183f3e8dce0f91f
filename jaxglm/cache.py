"""Compiled programs kept on disk between runs of Python."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import jax

from jaxglm.errors import InputError, InputTypeError


def enable_compile_cache(path: str | os.PathLike | None = None) -> Path:
    """Keep compiled programs on disk, so that later runs of Python need not compile them again.

    The first fit of a process is mostly the compilation of its programs; with the cache only the first process that
    needs a program pays for it. Call it once, before the first fit. This is the one function of jaxglm that changes
    JAX's global configuration: JAX then keeps every program that this process compiles, yours as well, however small.

    Parameters
    ----------
    path : str or path, optional
        Folder of the cache; it is made if it is not there. By default the folder that JAX uses already
        (``jax_compilation_cache_dir``), else ``jaxglm`` in the user's cache folder: ``$XDG_CACHE_HOME`` or
        ``~/.cache``, on macOS ``~/Library/Caches``, on Windows ``%LOCALAPPDATA%``.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    InputError
        The folder cannot be made or written to.
    InputTypeError
        `path` is not a path.

    Notes
    -----
    Programs are found by their content, the version of jaxlib, and the device, and give the same digits as freshly
    compiled ones. A fit needs about ten, of up to 0.1 MB each; nothing is ever removed, so delete the folder when it
    has grown. It holds machine code that later runs execute: use no folder that others can write to.

    Examples
    --------
    >>> import jaxglm as jg
    >>> jg.enable_compile_cache("~/.cache/jaxglm")  # doctest: +SKIP
    PosixPath('/home/ann/.cache/jaxglm')
    """
    if path is None:
        path = jax.config.jax_compilation_cache_dir or _user_folder() / "jaxglm"
    if not isinstance(path, (str, os.PathLike)):
        raise InputTypeError(f"path must be a folder, as a str or pathlib.Path, not {path!r}")
    folder = Path(os.path.abspath(os.path.expanduser(path)))
    try:
        # Code is run from here, so others have no business in it.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise InputError(
            f"the compile cache cannot be kept in {str(folder)!r} ({problem.strerror or problem}); "
            "give enable_compile_cache() a folder that you can write to"
        ) from None
    from jax.experimental.compilation_cache import compilation_cache

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_enable_compilation_cache", True)
    # JAX's defaults keep only what took a second to compile; the programs of a fit are many and take less.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # JAX looks at the folder once, at its first compilation, which may lie behind us.
    compilation_cache.reset_cache()
    return folder


def _user_folder() -> Path:
    """Where programs keep what they can make again, by the convention of the platform."""
    if sys.platform == "win32":
        named, usual = os.environ.get("LOCALAPPDATA"), "~/AppData/Local"
    elif sys.platform == "darwin":
        named, usual = None, "~/Library/Caches"
    else:
        named, usual = os.environ.get("XDG_CACHE_HOME"), "~/.cache"
    # The XDG specification has relative folders ignored.
    return Path(named) if named and os.path.isabs(named) else Path(os.path.expanduser(usual))
