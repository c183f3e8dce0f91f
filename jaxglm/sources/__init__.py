"""Sources: where rows come from, and how kernels are summed over them."""

from jaxglm.sources.arrays import ArraySource
from jaxglm.sources.base import Source, block_rows, bucket, chunk_rows, reduce_rows
from jaxglm.sources.hosts import HostsSource, first_row, spread_rows, without_rows
from jaxglm.sources.mesh import MeshSource, MeshStream
from jaxglm.sources.recorded import Journal, Recorded
from jaxglm.sources.storage import Window, plain
from jaxglm.sources.stream import StreamSource
from jaxglm.sources.sums import FEW_ROWS, suited

__all__ = [
    "FEW_ROWS",
    "ArraySource",
    "HostsSource",
    "Journal",
    "MeshSource",
    "MeshStream",
    "Recorded",
    "Source",
    "StreamSource",
    "Window",
    "block_rows",
    "bucket",
    "chunk_rows",
    "first_row",
    "spread_rows",
    "plain",
    "reduce_rows",
    "suited",
    "without_rows",
]
