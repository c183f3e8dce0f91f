"""The rows of data that comes in pieces, under what was learned of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from jaxglm.errors import DataError, row_count
from jaxglm.frames import Table
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
        yield from self._taken(self.intake.tables(), self._counted)

    def _taken(self, tables: Iterator[Table], counted: Callable[[Tally, int, int], None]) -> Iterator[Taken]:
        """The pieces of some tables; at their end `counted` is told what was left out, and rows read and used."""
        tally, read, used = Tally(), 0, 0
        whole = self._whole
        for table in tables:
            with naming(table.index):
                taken = self.intake.take(table, whole)
            tally, read, used = tally + taken.tally, read + table.n_rows, used + len(taken.rows.y)
            yield taken
            # Nothing of a piece is kept while the next one is read, which then comes into the same memory.
            del table, taken
        counted(self._tally if whole else tally, read, used)

    @property
    def _whole(self) -> bool:
        """Whether a pass has left nothing out, and rows that have changed since would be an error."""
        return self.intake.frames.settled and self._tally is not None and not self._tally.left_out

    def _counted(self, tally: Tally, read: int, used: int) -> None:
        """Keep what a pass has counted, if it is what the first one did."""
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
        return _rows(self.taken())

    def apart(self, most: int) -> list[Callable[[], Iterator[Rows]]]:
        """The rows of one pass as at most so many calls such as :meth:`blocks`, to be used at the same time."""
        streams = self.intake.tables_apart(most)
        if len(streams) == 1:
            return [self.blocks]
        parts: dict[int, tuple[Tally, int, int]] = {}

        def blocks(k: int) -> Iterator[Rows]:
            def counted(*counts: Any) -> None:
                parts[k] = counts
                if len(parts) == len(streams):
                    tallies, read, used = zip(*(parts[i] for i in range(len(streams))), strict=True)
                    self._counted(sum(tallies, Tally()), sum(read), sum(used))

            return _rows(self._taken(streams[k](), counted))

        return [partial(blocks, k) for k in range(len(streams))]

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


def _rows(taken: Iterator[Taken]) -> Iterator[Rows]:
    for piece in taken:
        if len(piece.rows.y):
            yield piece.rows
        del piece
