"""Sources: where rows come from, and how kernels are summed over them."""

from jaxglm.sources.arrays import ArraySource
from jaxglm.sources.base import Source, block_rows, bucket, chunk_rows, reduce_rows
from jaxglm.sources.mesh import MeshSource
from jaxglm.sources.stream import StreamSource

__all__ = [
    "ArraySource",
    "MeshSource",
    "Source",
    "StreamSource",
    "block_rows",
    "bucket",
    "chunk_rows",
    "reduce_rows",
]
