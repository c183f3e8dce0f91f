"""Floating-point width of a computation, held in a scope of our own.

JAX decides between float32 and float64 by a thread-local switch. Nothing here
touches the user's configuration: a computation opens :func:`scope`, and every
thread that we start has to open it for itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Precision:
    """Floating-point widths of a fit; sums over rows, and all that is done with P numbers, are float64 in any.

    Attributes
    ----------
    name : str
    columns : dtype of numeric columns; float32 ones are kept centered and scaled
    rows : dtype of the response, weights and offsets, and of what is computed for each row
    single : bool
        Whether products of columns in X'WX are made in single precision.
    """

    name: str
    columns: type
    rows: type
    single: bool

    @property
    def eps(self) -> float:
        """Relative rounding of what is computed for a row."""
        return float(np.finfo(self.rows).eps)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a summary says of it."""
        return (f"Computed in precision={self.name!r}.",) if self.single else ()


FLOAT64 = Precision("float64", np.float64, np.float64, False)
MIXED = Precision("mixed", np.float32, np.float64, True)
FLOAT32 = Precision("float32", np.float32, np.float32, True)

#: Matrix products never drop to TF32 or bfloat16 unasked.
MATMUL = jax.lax.Precision.HIGHEST


def scope() -> AbstractContextManager[None]:
    """Context in which JAX computes in float64, in this thread only.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from jaxglm import precision
    >>> with precision.scope():
    ...     print(jnp.ones(2).dtype)
    float64
    """
    return jax.enable_x64(True)


def threads() -> int:
    """How many threads may compute side by side on the default platform: one a core on a CPU, else one."""
    return cores() if jax.default_backend() == "cpu" else 1


def cores() -> int:
    """Cores of the host that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resident(a: Any) -> bool:
    """Whether an array lies in the memory of the accelerator that computes by default."""
    if not isinstance(a, jax.Array) or jax.default_backend() == "cpu":
        return False
    return len(a.devices()) == 1 and a.device.platform == jax.default_backend()


def carried(job: Callable[..., T]) -> Callable[..., T]:
    """The job, to be run in another thread under the precision and the default device of this one."""
    wide = jax.dtypes.canonicalize_dtype(np.float64) == np.float64
    device = jax.config.jax_default_device

    def run(*args):
        with jax.enable_x64(wide), jax.default_device(device):
            return job(*args)

    return run


def in_threads(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """The values of all jobs, the first of them run in this thread, each other in one of its own.

    Every thread opens the precision of this one. The first error is raised, after all threads have ended.
    """
    if len(jobs) == 1:
        return [jobs[0]()]
    with ThreadPoolExecutor(max(len(jobs) - 1, 1)) as pool:
        others = [pool.submit(carried(job)) for job in jobs[1:]]
        first = jobs[0]()
    return [first, *(other.result() for other in others)]


#: Options under which XLA compiles for a CPU in a quarter of the time, into code that is several times slower.
_QUICKLY = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_backend_optimization_level": 0,
    "xla_cpu_parallel_codegen_split_count": 1,
}

#: An option under which XLA compiles large programs for a CPU in half the time, into code that takes up to a third
#: longer where loops over rows are long.
_LEAN = {"xla_cpu_use_fusion_emitters": False}

#: The same for programs that repeat steps as often as the slowest row needs, as those of random draws do: code as fast
#: in a third of the time to a half.
_BRANCHING = {**_LEAN, "xla_backend_optimization_level": 1}

#: An option under which XLA shares out no loop of a program to threads of its own. Where as many programs run side by
#: side as there are cores, those threads would only be in their way: logistic passes then take 15 to 60 % longer.
_ALONE = {"xla_disable_hlo_passes": "cpu-parallel-task-assigner"}

#: Options under which XLA compiles for a GPU without timing many programs of its own for each product of matrices:
#: 8 s for a fit of 200 columns in place of 33 s, into code that is as fast.
_SETTLED = {"xla_gpu_enable_triton_gemm": False}

#: What XLA says of an option that its version does not know.
_NO_OPTION = re.compile(r"No such compile option: '(\w+)'")


class Tiered:
    """A jitted function in versions: for much work, for some, for so little that compiling it is most of the cost.

    ``f(...)`` compiles in full, ``f.lean(...)`` in half the time, ``f.quick(...)`` in a quarter (on a CPU; elsewhere
    they are the same), ``f.plain`` is the jitted function without options of ours. Under `lean` the full version is
    the lean one. What is to be called in several of our threads at the same time is made so with `side_by_side`, what
    draws random numbers with `branching`. Options that this version of XLA does not know are left out.
    """

    def __init__(
        self,
        function: Callable,
        lean: bool = False,
        side_by_side: bool = False,
        branching: bool = False,
        **options: Any,
    ):
        self.plain = jax.jit(function, **options)
        self._leanly = [_BRANCHING if branching else _LEAN]
        self._always = [_ALONE] if side_by_side else []
        self._lean, self._jit, self._versions = lean, partial(jax.jit, function, **options), {}

    def __call__(self, *args: Any) -> Any:
        return self._run(self._leanly if self._lean else [], args)

    def lean(self, *args: Any) -> Any:
        """The value, by code that was compiled in about half the time."""
        return self._run(self._leanly, args)

    def quick(self, *args: Any) -> Any:
        """The value, by code that was compiled quickly."""
        return self._run([_QUICKLY], args)

    def _run(self, wanted: list[dict[str, Any]], args: tuple) -> Any:
        platform = jax.default_backend()
        chosen = [*wanted, *self._always] if platform == "cpu" else [_SETTLED] if platform == "gpu" else []
        tried = {name: value for some in chosen for name, value in some.items()}
        if not tried:
            return self.plain(*args)
        try:
            return self._version(tried)(*args)
        except Exception as error:  # it has no type of its own
            unknown = _NO_OPTION.search(str(error))
            if unknown is None or unknown[1] not in tried:
                raise
            # Gone for every function; another thread may have been first.
            for some in chosen:
                some.pop(unknown[1], None)
        return self._run(wanted, args)

    def _version(self, options: dict[str, Any]) -> Callable:
        """The function jitted under some options."""
        key = tuple(options)
        if key not in self._versions:
            self._versions[key] = self._jit(compiler_options=options)
        return self._versions[key]

    def _cache_size(self) -> int:
        """Programs that have been made, as a jitted function counts its own."""
        return sum(version._cache_size() for version in (self.plain, *self._versions.values()))


def quickly(function: Callable, **options: Any) -> Callable:
    """The function jitted for so little work that compiling it is most of the cost; see :class:`Tiered`."""
    return Tiered(function, **options).quick


def host(tree):
    """The same tree with every array as a NumPy array on the host."""
    leaves, structure = jax.tree.flatten(tree)
    if jax.default_backend() != "cpu":
        # All transfers are started before the first is waited for.
        leaves = jax.device_get(leaves)
    return jax.tree.unflatten(structure, [np.asarray(leaf) for leaf in leaves])


def aligned_empty(shape: tuple[int, ...], dtype: np.typing.DTypeLike = np.float64) -> np.ndarray:
    """An uninitialized array on a 64-byte boundary, which JAX on a CPU takes without a copy."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.empty(int(np.prod(shape)) * itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + int(np.prod(shape)) * itemsize].view(dtype).reshape(shape)
