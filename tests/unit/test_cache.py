"""Compiled programs kept on disk: found by the next process, with the same numbers, in the folder that was meant."""

import os
import subprocess
import sys

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

import jaxglm as jg

#: Prints what became of requests for programs, and the numbers of a fit.
FIT = """
import collections, sys
import jax
import jaxglm as jg

events = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **more: events.update([event.rpartition("/")[2]]))
if len(sys.argv) > 1:
    jg.enable_compile_cache(sys.argv[1])
res = jg.fit([[0.0], [1.0], [2.0], [3.0]], [1, 2, 4, 9], family="poisson")
numbers = [float(v).hex() for v in (*res.params, *res.bse, *res.resid(), res.llf, res.deviance)]
print(events["cache_misses"], events["cache_hits"])
print(numbers)
"""
SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_enable_compilation_cache",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


def fresh(*arguments) -> tuple[int, int, str]:
    """Programs compiled for the cache, programs found there, and the numbers, of a process that knows no other cache."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FIT, *map(str, arguments)],
        capture_output=True, text=True, env=plain, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if "cpu_aot_loader" in done.stderr:
        pytest.skip("jaxlib refuses its own programs on this processor (jax issue 38445)")
    counts, numbers = done.stdout.splitlines()
    misses, hits = map(int, counts.split())
    return misses, hits, numbers


@pytest.fixture
def settings():
    """JAX's configuration, put back afterwards."""
    before = {name: jax.config.values[name] for name in SETTINGS}
    yield before
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_the_second_process_compiles_nothing(tmp_path):
    folder = tmp_path / "made" / "here"
    misses, hits, numbers = fresh(folder)
    assert misses > 0 and hits == 0
    assert len(list(folder.iterdir())) == misses
    assert fresh(folder) == (0, misses, numbers)
    # To the last digit those of a process without a cache.
    assert fresh() == (0, 0, numbers)


def test_a_folder_of_your_own(tmp_path, settings):
    before = set(jax.config.values.items())
    assert jg.enable_compile_cache(str(tmp_path / "programs")) == tmp_path / "programs"
    assert (tmp_path / "programs").is_dir()
    changed = {name for name, _ in set(jax.config.values.items()) - before}
    assert changed <= set(SETTINGS) and jax.config.jax_compilation_cache_dir == str(tmp_path / "programs")
    # What is compiled from now on goes there, although this process has compiled before.
    jax.jit(lambda x: x * 3.25 + 0.125)(1.0)
    assert list((tmp_path / "programs").iterdir())
    # Without a folder, the one that JAX uses already.
    assert jg.enable_compile_cache() == tmp_path / "programs"


@pytest.mark.parametrize(
    "platform, variable, expected",
    [
        ("linux", ("XDG_CACHE_HOME", "{tmp}/xdg"), "xdg/jaxglm"),
        ("linux", ("XDG_CACHE_HOME", "relative"), "home/.cache/jaxglm"),
        ("linux", ("XDG_CACHE_HOME", ""), "home/.cache/jaxglm"),
        ("darwin", ("XDG_CACHE_HOME", "{tmp}/xdg"), "home/Library/Caches/jaxglm"),
        ("win32", ("LOCALAPPDATA", "{tmp}/local"), "local/jaxglm"),
    ],
)
def test_the_users_cache_folder(platform, variable, expected, tmp_path, settings, monkeypatch):
    name, value = variable
    monkeypatch.setenv(name, value.format(tmp=tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", platform)
    jax.config.update("jax_compilation_cache_dir", None)
    assert jg.enable_compile_cache() == tmp_path / expected


def test_a_folder_that_cannot_be_written(tmp_path, settings):
    (tmp_path / "file").write_text("taken")
    before = dict(jax.config.values)
    for bad in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(jg.InputError, match="compile cache.*give enable_compile_cache"):
            jg.enable_compile_cache(bad)
    with pytest.raises(jg.InputTypeError, match="path must be a folder"):
        jg.enable_compile_cache(3)
    assert dict(jax.config.values) == before
