"""What all tests share: several host devices, warnings as errors, no display."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

#: Devices for the tests of sharded rows; must be set before jax is imported.
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=4"]
).strip()
os.environ["MPLBACKEND"] = "Agg"
# Workers, and what was forgotten by one of them, share what is compiled in this run; the folder ends with it.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxglm-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
# Each worker of pytest-xdist keeps to one core, so that XLA's threads of one do not wait for those of another.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER and hasattr(os, "sched_setaffinity"):
    CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {CORES[int(WORKER.removeprefix("gw")) % len(CORES)]})
# Tables and loaders that tests import lie beside them.
sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ("reference", "laws", "errors", "unit", "contract")]

import pytest  # noqa: E402

#: Compiled programs hold memory maps, of which Linux gives a process 65,530; then the compiler crashes.
MOST_MAPS = 20_000
TESTS_BETWEEN_LOOKS = 20
_tests_run = 0


def pytest_runtest_teardown():
    """Forget compiled programs before they take all of the process's memory maps."""
    global _tests_run
    _tests_run += 1
    maps = Path("/proc/self/maps")
    if _tests_run % TESTS_BETWEEN_LOOKS or not maps.exists():
        return
    if maps.read_bytes().count(b"\n") > MOST_MAPS:
        import jax

        jax.clear_caches()


@pytest.fixture
def x64():
    """Float64 for tests that call below the public interface."""
    from jaxglm import precision

    with precision.scope():
        yield
