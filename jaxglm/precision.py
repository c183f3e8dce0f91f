"""Floating-point width of a computation, held in a scope of our own.

JAX decides between float32 and float64 by a thread-local switch. Nothing here
touches the user's configuration: a computation opens :func:`scope`, and every
thread that we start has to open it for itself.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import jax
import numpy as np

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


def host(tree):
    """The same tree with every array as a NumPy array on the host."""
    return jax.tree.map(np.asarray, jax.device_get(tree))


def aligned_empty(shape: tuple[int, ...]) -> np.ndarray:
    """An uninitialized float64 array on a 64-byte boundary, which JAX on a CPU takes without a copy."""
    size = int(np.prod(shape))
    raw = np.empty(size + 8)
    start = (-raw.ctypes.data % 64) // 8
    return raw[start : start + size].reshape(shape)
