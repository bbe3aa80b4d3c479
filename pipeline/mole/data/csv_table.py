"""The text of a CSV file by columns, and which of its lines each row is."""

import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted
from pipeline.data.source import Findings
from pipeline.mole.data.csv_form import COMMENT, HEAD, CsvOptions, csv_form, too_long


class CsvTable:
    """The table of text in a file."""

    def __init__(self, path: Path, options: CsvOptions, findings: Findings) -> None:
        """Read it all. Rows of another length than the header are a problem; ExpectedError where it is no table."""
        self._path = path
        self._form = csv_form(path, options, findings)
        self._first = 0  # row of the file that is row 0 here
        self.names = self._form.names
        self._place = {name: place for place, name in enumerate(self.names)}
        try:
            self._table = self._parse()
        except pa.ArrowInvalid as error:
            if "straddl" in str(error):
                raise too_long(path) from error
            if "UTF8" not in str(error):
                mend = "look for a quotation mark that is not closed, or write it again"
                raise ExpectedError(f"{path} is no CSV file: {str(error)[:200]}; {mend}") from error
            self._form = replace(self._form, encoding="cp1252")  # its first part was plain
            self._table = self._parse()
            findings.notes.append("the text is not UTF-8 and was read as Windows-1252")
        self.rows = self._table.num_rows
        if self._ragged:
            first = self._ragged[0]
            if not self.rows:
                raise ExpectedError(
                    f"{path}: no row has as many columns as the header, {first.expected_columns}; the first has "
                    f"{first.actual_columns}, separated by {self._form.separator!r}. Where a comma is the decimal sign "
                    "as well, put the numbers in quotation marks or semicolons between columns"
                )
            where = f"line {self._lines[first.number - 1 - self._form.skipped]:,}"
            found = (
                f"{counted(len(self._ragged), 'row')} of another length than the header, the first of "
                f"{counted(first.actual_columns, 'column')}"
            )
            mend = f"complete or drop these rows; a text with a {self._form.separator!r} in it takes quotation marks"
            findings.problem(where, found, counted(first.expected_columns, "column"), mend)
        if not self.rows and not self._ragged:
            raise ExpectedError(f"{path} has a header but no rows: expected a date and numbers in each")

    def text(self, name: str) -> pa.ChunkedArray:
        """A column as text, without spaces around it."""
        return pc.utf8_trim_whitespace(self._table.column(self._place[name]))

    def line(self, row: int, name: str | None = None) -> int:  # noqa: ARG002 - a row is one line
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
        self._ragged: list[pacsv.InvalidRow] = []
        self._comments: set[int] = set()

        def keep(row: pacsv.InvalidRow) -> str:
            if row.text.startswith(COMMENT):
                self._comments.add(row.number)
            else:
                self._ragged.append(row)
            return "skip"

        places = [str(place) for place in range(len(self.names))]  # names may repeat
        try:
            return pacsv.read_csv(
                self._path,
                read_options=pacsv.ReadOptions(
                    use_threads=False,
                    column_names=places,
                    skip_rows=self._form.skipped,
                    encoding=self._form.encoding.removesuffix("-sig"),
                    block_size=HEAD,
                ),
                parse_options=pacsv.ParseOptions(delimiter=self._form.separator, invalid_row_handler=keep),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(places, pa.string()), strings_can_be_null=False
                ),
            )
        except UnicodeDecodeError as error:
            raise ExpectedError(f"{self._path} is no CSV file in {self._form.encoding}: {error}") from error

    @cached_property
    def _lines(self) -> list[int]:
        """The lines after the header that are not empty: only messages ask."""
        with self._path.open(encoding=self._form.encoding, newline="", errors="replace") as stream:
            return [
                number for number, line in enumerate(stream, 1) if number > self._form.skipped and line.strip("\r\n")
            ]

    @cached_property
    def _row_lines(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        skipped = {row.number for row in self._ragged} | self._comments
        first = self._form.skipped + 1
        return np.array([line for number, line in enumerate(self._lines, first) if number not in skipped])
