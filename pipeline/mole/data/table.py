"""What every reader of series works on: columns of text, each value of which is somewhere in a file."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import pyarrow as pa

from pipeline.mole.data.step import Step


class Table(Protocol):
    """Columns of text, in a file or in memory."""

    names: list[str]
    rows: int

    def text(self, name: str) -> pa.ChunkedArray:
        """A column, without spaces around its values."""

    def line(self, row: int, name: str | None = None) -> int:
        """The line of the file that this row is in, of a column where its columns come from different lines."""

    def last(self, rows: int) -> Self:
        """The table without the rows before the last ones."""


class Wanted(NamedTuple):
    """The part of a table that is looked at."""

    channels: Sequence[str]  # those of them that are there, in this order
    rows: int  # the last ones
    step: Step  # that they are to have
