"""The rows of data that comes in pieces, under what was learned of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jaxglm.errors import DataError, row_count
from jaxglm.frames.scan import naming
from jaxglm.intake.base import Taken
from jaxglm.intake.shared import Tally
from jaxglm.kernels import Rows

if TYPE_CHECKING:
    from jaxglm.intake.formula import FormulaIntake


class Pieces:
    """Rows that are made anew at every pass, and counted in the first; what :class:`Taken` is for rows in memory.

    Attributes
    ----------
    n_rows : int
        Rows that are fitted; not less than that before a pass has counted them. `n_read` are all rows of the data.
    index : None
        They have no labels.
    example : Rows or None
        Rows of the same form, where other processes have further pieces, and this one perhaps none.
    told : Tally or None
        What was left out in all processes, once they have agreed on it.
    """

    index = None
    example: Rows | None = None
    told: Tally | None = None

    def __init__(self, intake: FormulaIntake, n_rows: int, n_read: int):
        self.intake = intake
        self.n_rows = n_rows
        self._n_read = n_read
        self._tally: Tally | None = None

    def taken(self) -> Iterator[Taken]:
        """The pieces one after the other.

        Raises
        ------
        DataError
            A piece cannot be read, or the data is not what it was in the first pass.
        """
        tally, read, used = Tally(), 0, 0
        for table in self.intake.tables():
            with naming(table.index):
                taken = self.intake.take(table)
            tally, read, used = tally + taken.tally, read + table.n_rows, used + len(taken.rows.y)
            yield taken
        if read != self._n_read or (self._tally is not None and used != self.n_rows):
            raise DataError(
                f"the data has changed between two readings: first it had {row_count(self._n_read)}, now {read:,}, of "
                f"which {used:,} can be used. A fit reads it several times and needs the same rows in the same order "
                "each time; a callable must make its frames anew and return a new iterator at every call"
            )
        if not used and self.example is None:
            raise DataError(f"no row is left of the {row_count(read)} of the data. {' '.join(tally.notes)}")
        self._tally, self.n_rows = tally, used

    def counted(self) -> int:
        """Rows that are fitted, counted now if no pass has been made."""
        if self._tally is None:
            for _ in self.taken():
                pass
        return self.n_rows

    def blocks(self) -> Iterator[Rows]:
        """The rows of a pass."""
        return (taken.rows for taken in self.taken() if len(taken.rows.y))

    @property
    def tally(self) -> Tally:
        """What was left out here, after a pass."""
        return self._tally or Tally()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the summary has to say, after a pass."""
        return self.intake.encoder.notes + (self.told or self.tally).notes

    def name_row(self, i: int) -> str:
        """How an error names a fitted row; reads the data up to it."""
        for taken in self.taken():
            if i < len(taken.rows.y):
                return taken.name_row(i)
            i -= len(taken.rows.y)
        return f"row {i}"
