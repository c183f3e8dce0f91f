"""Matrices that lie in a file and are read a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxglm.frames.scan import piece_rows
from jaxglm.intake.base import Taken
from jaxglm.kernels import Rows

if TYPE_CHECKING:
    from jaxglm.intake.arrays import ArrayIntake


class MappedRows:
    """Rows of a memory-mapped matrix that cannot be used where they lie; what :class:`Taken` is for rows in memory.

    Some are left out, or their type, order or device is another than the file's: then a copy is made of some rows at a
    time, at every pass. Everything with one value a row (response, weights, offset) is in memory.

    Attributes
    ----------
    intake : ArrayIntake
    n_rows : int
    taken : Taken
        Labels, positions and notes; its rows are empty.
    apart : None
        They come one after the other.
    """

    apart = None

    def __init__(self, intake: ArrayIntake, matrix: np.ndarray, y: np.ndarray, extra: dict[str, Any], taken: Taken):
        self.intake, self.taken = intake, taken
        self._matrix, self._y, self._extra = matrix, y, extra
        self.n_rows = len(y)

    @property
    def index(self) -> Any:
        """Labels of the rows."""
        return self.taken.index

    @property
    def notes(self) -> tuple[str, ...]:
        """What the summary has to say."""
        return self.taken.notes

    def name_row(self, i: int) -> str:
        """How an error names a row."""
        return self.taken.name_row(i)

    def counted(self) -> int:
        """Rows that are fitted."""
        return self.n_rows

    def blocks(self) -> Iterator[Rows]:
        """The rows of a pass."""
        size = piece_rows(8 * max(self._matrix.shape[1], 1))
        for start in range(0, self.n_rows, size):
            some = slice(start, min(start + size, self.n_rows))
            at = some if self.taken.positions is None else self.taken.positions[some]
            part = np.array(self._matrix[at], float, order="C")
            extra = {name: values[some] for name, values in self._extra.items()}
            rows = self.intake._rows(part, self._y[some], extra)
            yield self.intake.keep(Taken(rows)).rows


def in_place(matrix: np.ndarray, kept: Any, apart: bool) -> bool:
    """Whether a mapped matrix can be read where it lies: every row of it, on a CPU, as numbers in the order of C.

    Few columns that each lie in one piece (`apart`) can too.
    """
    as_they_are = matrix.dtype.type in (np.float64, np.float32) and (matrix.flags.c_contiguous or apart)
    return kept is None and as_they_are and matrix.dtype.isnative and jax.default_backend() == "cpu"
