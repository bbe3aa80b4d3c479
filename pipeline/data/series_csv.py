"""A CSV file of a series: a column of time stamps, and a number in every other column. All problems are told at once.

T: rows, C: channels. Lines are counted from 1, the header, as an editor shows them.
"""

import copy
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from pipeline.data.series import DATE
from pipeline.data.series_stamps import Seconds, check_stamps, read_stamps
from pipeline.data.source import Findings, close_to, counted, listed
from pipeline.errors import ExpectedError

MISSING = frozenset(
    ("", "-", "na", "n/a", "nan", "null", "none", "?")
)  # in small letters: no number, and no text either


@dataclass(frozen=True)
class CsvSeries:
    """What the file holds, as far as it could be read: with problems found, for further checks only."""

    date_T: Seconds | None  # seconds since 1970-01-01 00:00
    value_TC: npt.NDArray[np.float64] | None
    channels: list[str]
    rows: int
    step_seconds: int | None


class Wanted(NamedTuple):
    """The part of a table that is looked at."""

    channels: Sequence[str]  # those of them that are there, in this order
    rows: int  # the last ones


class Table(Protocol):
    """Columns of text, in a file or in memory."""

    names: list[str]
    rows: int

    def text(self, name: str) -> pa.ChunkedArray:
        """A column, without spaces around its values."""

    def line(self, row: int) -> int:
        """The line of the file that this row is in."""

    def last(self, rows: int) -> "Table":
        """The table without the rows before the last ones."""


def read_csv_series(path: Path, date: str, date_key: str, findings: Findings, even: bool = True) -> CsvSeries:
    """Read and check the file; `date_key` is what names the column of time stamps, for advice.

    even: whether repeated time stamps and gaps are problems, or else notes. Every problem of the rows joins `findings`;
    ExpectedError at once only where the file is no table at all: not there, empty, no text, or without rows.
    """
    return check_table(CsvTable(path, findings), date, date_key, findings, even)


def check_table(
    file: Table, date: str, date_key: str, findings: Findings, even: bool = True, wanted: Wanted | None = None
) -> CsvSeries:
    """The series in a table; see `read_csv_series`. `rows` are those of the whole table, whatever is wanted of it."""
    rows = file.rows
    channels = [name for name in file.names if name != date]
    if wanted is not None:
        file = file.last(wanted.rows)
        channels = [name for name in wanted.channels if name in channels]
    date_T, step, values = None, None, None
    if date not in file.names:
        mend = f"set {date_key} to the column of time stamps{close_to(date, file.names)}"
        if len(file.names) == 1 and any(mark in file.names[0] for mark in ";\t"):
            mend = "write the file with a comma between columns, and a point in numbers"
        found = f"no such column; there are {listed(map(repr, file.names), 20)}"
        findings.problem(f"column {date!r}", found, "the time stamp of every row", mend)
    elif not channels and wanted is None:
        found = f"no column beside {date!r}"
        findings.problem("channels", found, "one or more columns of numbers", "add the columns to forecast")
    _check_names(file.names, date, findings)
    if date in file.names and len(set(file.names)) == len(file.names):
        date_T = read_stamps(file.text(date).to_pylist(), f"column {date!r}", file.line, findings)
        if date_T is not None:
            step = check_stamps(date_T, f"column {date!r}", file.line, even, findings)
        values = _read_values(file, channels, findings)
    return CsvSeries(date_T, values, channels, rows, step)


class CsvTable:
    """The table of text in a file, and which of its lines each row is."""

    def __init__(self, path: Path, findings: Findings) -> None:
        self._path = path
        self._first = 0  # row of the file that is row 0 here
        self._ragged: list[pacsv.InvalidRow] = []
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                self.names = [name.strip() for name in next((row for row in csv.reader(stream) if row), [])]
            if not self.names:
                raise ExpectedError(f"{path} is empty: expected a header and rows, a date and numbers in each")
            self._table = self._parse()
        except FileNotFoundError as error:
            raise ExpectedError(f"{path} not found: expected a CSV file with a column of dates") from error
        except IsADirectoryError as error:
            raise ExpectedError(f"{path} is a folder: expected one CSV file with a column of dates") from error
        except (UnicodeDecodeError, csv.Error, pa.ArrowInvalid) as error:
            raise ExpectedError(f"{path} is no CSV file in UTF-8: {error}; write it again as one") from error
        self.rows = self._table.num_rows
        if self._ragged:
            first = self._ragged[0]
            where = f"line {self._lines[first.number - 1]:,}"
            found = (
                f"{counted(len(self._ragged), 'row')} of another length than the header, the first of "
                f"{counted(first.actual_columns, 'column')}"
            )
            mend = "complete or drop these rows; a text with a comma in it takes quotation marks"
            findings.problem(where, found, counted(first.expected_columns, "column"), mend)
        if not self.rows and not self._ragged:
            raise ExpectedError(f"{path} has a header but no rows: expected a date and numbers in each")

    def text(self, name: str) -> pa.ChunkedArray:
        """A column as text, without spaces around it."""
        return pc.utf8_trim_whitespace(self._table.column(self.names.index(name)))

    def line(self, row: int) -> int:
        """The line of the file that this row is in."""
        return int(self._row_lines[self._first + row])

    def last(self, rows: int) -> "CsvTable":
        """The table without the rows before the last ones."""
        last = copy.copy(self)
        last._first = max(self.rows - rows, 0)
        last._table = self._table.slice(last._first)
        last.rows = last._table.num_rows
        return last

    def _parse(self) -> pa.Table:
        def keep(row: pacsv.InvalidRow) -> str:
            self._ragged.append(row)
            return "skip"

        places = [str(place) for place in range(len(self.names))]  # names may repeat
        return pacsv.read_csv(
            self._path,
            read_options=pacsv.ReadOptions(use_threads=False, column_names=places),
            parse_options=pacsv.ParseOptions(invalid_row_handler=keep),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()), strings_can_be_null=False
            ),
        ).slice(1)

    @cached_property
    def _lines(self) -> list[int]:
        """The lines that are not empty: only messages ask."""
        with self._path.open("rb") as stream:
            return [number for number, line in enumerate(stream, 1) if line.strip(b"\r\n")]

    @cached_property
    def _row_lines(self) -> list[int]:
        ragged = {row.number for row in self._ragged}
        return [line for number, line in enumerate(self._lines, 1) if number not in ragged][1:]


def _check_names(names: list[str], date: str, findings: Findings) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        found = f"{counted(len(repeated), 'name')} of several columns: {listed(map(repr, repeated))}"
        findings.problem("header", found, "a name of its own for every column", "rename or drop all but one of each")
    if "" in names:
        found = f"no name for column {names.index('') + 1}"
        mend = "name it; where it only numbers the rows (pandas writes such a column), leave it out: index=False"
        findings.problem("header", found, "a name for every column", mend)
    if DATE in names and date != DATE and date in names:
        found = f"a channel called {DATE!r} beside the time stamps in {date!r}"
        findings.problem("header", found, "one column of dates", f"rename or drop the column {DATE!r}")


def _read_values(file: Table, channels: list[str], findings: Findings) -> npt.NDArray[np.float64] | None:
    """The numbers of all channels, (T, C); None, and problems, where there is text, or a value is missing."""
    columns: list[npt.NDArray[np.float64]] = []
    told: dict[str, list[str]] = {"text": [], "no value": [], "an infinite value": []}
    for name in channels:
        column = file.text(name)
        text_T = np.zeros(file.rows, bool)
        try:
            value_T = pc.cast(column, pa.float64()).to_numpy()
        except pa.ArrowInvalid:
            value_T, text_T = _one_by_one(column.to_pylist())
        columns.append(value_T)
        for kind, where_T in zip(told, (text_T, np.isnan(value_T) & ~text_T, np.isinf(value_T)), strict=True):
            if where_T.any():
                row = int(np.argmax(where_T))
                first = f"first {column[row].as_py()!r} in line" if kind == "text" else "first in line"
                told[kind].append(f"{name!r} ({counted(int(where_T.sum()), 'row')}, {first} {file.line(row):,})")
    mends = {
        "text": "write numbers with a decimal point and nothing else, or leave the column out",
        "no value": "fill the values in, drop the rows at either end, or leave the column out",
        "an infinite value": "put the value that was measured, or leave the column out",
    }
    for kind, found in told.items():
        if found:
            where = f"{counted(len(found), 'channel')} with {kind}"
            findings.problem(where, listed(found, 5), "a finite number in every row", mends[kind])
    return np.column_stack(columns) if columns and not any(told.values()) else None


def _one_by_one(texts: list[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Numbers, NaN where there is none, and where there is text instead."""
    value_T, text_T = np.full(len(texts), np.nan), np.zeros(len(texts), bool)
    for row, text in enumerate(texts):
        if text.lower() in MISSING:
            continue
        try:
            value_T[row] = float(text)
            text_T[row] = "_" in text  # 1_000 is a number in Python only
        except ValueError:
            text_T[row] = True
    return value_T, text_T
