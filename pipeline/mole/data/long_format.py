"""Series one below another ("long format": unique_id, ds, y), as a table with a column for each."""

import copy
import re
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.data.source import Findings, counted, quoted
from pipeline.mole.data.numbers import MISSING
from pipeline.mole.data.table import Table

NAMES_OF_SERIES = frozenset(("unique_id", "item_id", "series_id", "id", "series"))  # in small letters
_LETTER, _NUMBER = re.compile(r"[^\W\d_]"), re.compile(r"[+-]?([\d.,]+[eE][+-]?\d+|inf|infinity)", re.IGNORECASE)
PROBED = 100  # rows by which a column of text is known


def widened(table: Table, date: str, findings: Findings) -> Table | None:
    """The table itself, or in long format a column for each series; None, and one problem, where that cannot be.

    Long is a table of three columns, time stamps, values and names of series, in which time stamps repeat. The names
    are text, or numbers in a column that is called as one of `NAMES_OF_SERIES`.
    """
    others = [name for name in table.names if name != date]
    names = [name for name in others if _names_series(table, name)]
    if len(names) != 1 or len(others) < 2:
        return table
    coded = table.text(names[0]).combine_chunks().dictionary_encode()
    date_R, code_R, series = table.text(date).combine_chunks(), coded.indices.to_numpy(), coded.dictionary.to_pylist()
    stamp_R = date_R.dictionary_encode().indices.to_numpy().astype(np.int64)
    if stamp_R.max(initial=0) + 1 == table.rows or len(np.unique(stamp_R * len(series) + code_R)) < table.rows:
        return table
    what = f"several series one below another, named in column {quoted(names[0])}"
    if len(others) > 2:
        mend = "keep one column of values, or give each series its own columns (pandas: frame.pivot)"
        findings.problem("rows", f"{what}, with several values each", "a column for each series", mend)
        return None
    rows_of = {name: np.flatnonzero(code_R == code) for code, name in enumerate(series)}
    first = series[0]
    for name in series[1:]:
        if not np.array_equal(stamp_R[rows_of[name]], stamp_R[rows_of[first]]):
            sizes = " and ".join(f"{quoted(each)} {counted(len(rows_of[each]), 'row')}" for each in (first, name))
            mend = "keep the time stamps that all series share, or make a file of each"
            found = f"{what}, with different time stamps: {sizes}"
            findings.problem("rows", found, "the same time stamps, in order, for every series", mend)
            return None
    values = next(name for name in others if name != names[0])
    findings.notes.append(
        f"long format: {len(series):,} series of column {quoted(names[0])} became channels, with the values of column "
        f"{quoted(values)}"
    )
    return LongTable(table, date, values, rows_of)


class LongTable:
    """A table in long format as if each series had a column."""

    def __init__(self, table: Table, date: str, values: str, rows_of: dict[str, npt.NDArray[np.int64]]) -> None:
        self._table, self._date, self._rows_of = table, date, rows_of
        self._date_R, self._value_R = (table.text(name).combine_chunks() for name in (date, values))
        self.names = [date, *rows_of]
        self.rows = len(next(iter(rows_of.values())))

    def text(self, name: str) -> pa.ChunkedArray:
        """A column, without spaces around its values."""
        column_R = self._date_R if name == self._date else self._value_R
        return pa.chunked_array([column_R.take(self._of(name))])

    def line(self, row: int, name: str | None = None) -> int:
        """The line of the file that a series has this row in."""
        return self._table.line(int(self._of(name)[row]))

    def last(self, rows: int) -> Self:
        """The table without the rows before the last ones."""
        last = copy.copy(self)
        last._rows_of = {name: rows_[-rows:] for name, rows_ in self._rows_of.items()}
        last.rows = min(rows, self.rows)
        return last

    def _of(self, name: str | None) -> npt.NDArray[np.int64]:
        return self._rows_of.get(name or "", next(iter(self._rows_of.values())))


def _names_series(table: Table, name: str) -> bool:
    if name.lower() in NAMES_OF_SERIES:  # which may be numbers
        return True
    probe = table.text(name).slice(0, PROBED).to_pylist()
    return all(_LETTER.search(text) and text.lower() not in MISSING and not _NUMBER.fullmatch(text) for text in probe)
