"""Series one below another ("long format": unique_id, ds, y), as a table with a column for each."""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.wording import counted, listed, quoted
from pipeline.data.source import Findings
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.numbers import MISSING, missing
from pipeline.mole.data.table import Table, Wanted

Rows = npt.NDArray[np.integer[Any]]

NAMES_OF_SERIES = frozenset(("unique_id", "item_id", "series_id", "id", "series"))  # in small letters
_LETTER, _NUMBER = re.compile(r"[^\W\d_]"), re.compile(r"[+-]?([\d.,]+[eE][+-]?\d+|inf|infinity)", re.IGNORECASE)
PROBED = 100  # rows by which a column of text is known
MOST_TWICE = 10  # of so many rows, one at a time stamp that its series has twice; of more it is no long format


def widened(
    table: Table, date: str, options: CsvOptions, findings: Findings, wanted: Wanted | None = None
) -> Table | None:
    """The table itself, or in long format a column for each series; None, and one problem, where that cannot be.

    Long is a table of three columns, time stamps, values and names of series, in which time stamps repeat, beside known
    and static ones. The names are text, or numbers in a column that is called as one of `NAMES_OF_SERIES`. Of series of
    unequal length, the rows are those at time stamps that all of them have, which have to be half of all rows; of what
    is `wanted`, from which a forecast is made, the last ones that all wanted channels have.
    """
    others = [name for name in table.names if name not in (date, *options.known, *options.static)]
    identifier = names_series(table, others)
    if identifier is None or len(others) < 2:
        return table
    coded = table.text(identifier).combine_chunks().dictionary_encode()
    date_R, code_R, series = table.text(date).combine_chunks(), coded.indices.to_numpy(), coded.dictionary.to_pylist()
    stamp_R = date_R.dictionary_encode().indices.to_numpy().astype(np.int64)
    stamps = int(stamp_R.max(initial=0)) + 1
    place_R = stamp_R * len(series) + code_R
    order_R = np.argsort(place_R, kind="stable")
    twice = np.flatnonzero(np.diff(place_R[order_R]) == 0)
    if len(twice) and identifier.lower() in NAMES_OF_SERIES and MOST_TWICE * len(twice) <= table.rows:
        rows = order_R[twice[0] : twice[0] + 2].tolist()
        found = f"{quoted(series[code_R[rows[0]]])} has {quoted(date_R[rows[0]].as_py())} in lines "
        found += " and ".join(f"{table.line(row, date):,}" for row in rows)
        number = counted(len(twice), "row")
        mend = f"leave out {number} of a time stamp that the series has already"
        findings.problem("rows", found, "every time stamp of a series once", mend)
        return None
    if stamps == table.rows or len(twice):
        return table
    what = f"several series one below another, named in column {quoted(identifier)}"
    if len(others) > 2:
        mend = "keep one column of values, or give each series its own columns (pandas: frame.pivot)"
        if options.section is not None:
            mend += f"; name columns whose future is known in {options.key('known')}, and those of one value for each "
            mend += f"series in {options.key('static')}"
        findings.problem("rows", f"{what}, with several values each", "a column for each series", mend)
        return None
    by_series = np.split(np.argsort(code_R, kind="stable"), np.bincount(code_R).cumsum()[:-1])
    rows_of = dict(zip(series, by_series, strict=True))
    chosen = series if wanted is None else [name for name in series if name in wanted.channels]
    values = next(name for name in others if name != identifier)
    long = LongTable(table, date, values, rows_of, identifier)
    findings.notes.append(
        f"long format: {len(series):,} series of column {quoted(identifier)} became channels, with the values of "
        f"column {quoted(values)}"
    )
    last = None if wanted is None else wanted.rows
    if last and options.known:  # and the rows after the last value
        last += max((trailing(missing(long.text(name))) for name in chosen), default=0)
    shared = _shared(long, chosen, stamp_R, stamps, findings, last)
    return None if shared is None else long.of(shared)


def _shared(
    long: "LongTable", chosen: Sequence[str], stamp_R: Rows, stamps: int, findings: Findings, last: int | None
) -> dict[str, Rows] | None:
    """Of each of these series, the rows at the time stamps that all of them have; None, and one problem, where these
    are too few, in another order, or have others between them.

    stamp_R: numbers of the time stamps, by row; last: how many of the last ones are looked at, None: all.
    """
    rows_of = {name: long.rows_of[name] for name in chosen}
    if not rows_of:
        return {}
    stamps_of = {name: stamp_R[rows_R] for name, rows_R in rows_of.items()}
    times_S = np.bincount(np.concatenate(list(stamps_of.values())), minlength=stamps)
    in_all_S, most = times_S == len(chosen), -(last or 0)
    kept_of = {name: np.flatnonzero(in_all_S[stamp_R])[most:] for name, stamp_R in stamps_of.items()}
    first = chosen[0]
    what = f"several series one below another, named in column {quoted(long.identifier)}"
    expected = "rows of every series at the same times"
    shared, rows = len(kept_of[first]), sum(map(len, rows_of.values()))
    if not shared or (last is None and 2 * shared * len(chosen) < rows):
        counts = {name: len(rows_R) for name, rows_R in rows_of.items()}
        shortest, longest = (choose(counts, key=counts.__getitem__) for choose in (min, max))
        findings.problem(
            "rows",
            f"{what}, which have {shared:,} time stamps in common: {quoted(shortest)} has {counts[shortest]:,} rows, "
            f"{quoted(longest)} {counts[longest]:,}",
            "at least half of all rows at time stamps that all series have" if last is None else expected,
            "leave out the series that begin late or end early, or make a file of those that go together",
        )
        return None
    for name, kept in kept_of.items():
        if not np.array_equal(stamps_of[name][kept], stamps_of[first][kept_of[first]]):
            found = f"{what}, in different orders: {quoted(first)} and {quoted(name)}"
            findings.problem("rows", found, "rows of every series in order of time", "sort the rows by their date")
            return None
    for name, kept in kept_of.items():
        if kept[-1] - kept[0] >= shared:  # a time stamp between these that another series has not
            inside = np.setdiff1d(np.arange(kept[0], kept[-1]), kept)[0]
            row = int(rows_of[name][inside])
            other = next(each for each in chosen if stamps_of[name][inside] not in stamps_of[each])
            found = f"{what}: {quoted(other)} has no row at {long.stamp(row)}, as {quoted(name)} has in line "
            mend = "fill the missing rows in, or leave the series out"
            findings.problem("rows", f"{found}{long.line_of(row):,}", expected, mend)
            return None
    late = [name for name in chosen if kept_of[name][0] == 0]  # no row of theirs is before what all have
    early = [name for name in chosen if kept_of[name][-1] == len(rows_of[name]) - 1]
    unused = rows - shared * len(chosen)
    if last is None and unused:
        limits = [("begin", late), ("end", early)]
        told = [f"{verb} with {listed(map(quoted, of), 3)}" for verb, of in limits if len(of) < len(chosen)]
        findings.notes.append(
            f"series of unequal length: the {counted(shared, 'time stamp')} that all have are used, which "
            f"{' and '.join(told)}; {unused:,} of {counted(rows, 'row')} are not used"
        )
    elif len(early) < len(chosen):
        end = long.stamp(int(rows_of[first][kept_of[first][-1]]))
        others = "the others, of which later rows are not used"
        findings.notes.append(f"{listed(map(quoted, early), 3)} ends at {end}, before {others}")
    return {name: rows_R[kept_of[name]] for name, rows_R in rows_of.items()}


class LongTable:
    """A table in long format as if each series had a column."""

    def __init__(self, table: Table, date: str, values: str, rows_of: Mapping[str, Rows], identifier: str) -> None:
        """identifier: the column that names the series."""
        self._table, self._date, self.rows_of = table, date, dict(rows_of)
        self.identifier = identifier
        self._date_R, self._value_R = (table.text(name).combine_chunks() for name in (date, values))
        self.names = [date, *rows_of]
        self._first = next(iter(rows_of))  # by which time stamps are told
        self.rows = len(rows_of[self._first])

    def text(self, name: str) -> pa.ChunkedArray:
        """A column, without spaces around its values."""
        column_R = self._date_R if name == self._date else self._value_R
        return pa.chunked_array([column_R.take(self._of(name))])

    def of_column(self, name: str) -> Self:
        """With the values of another column."""
        found = copy.copy(self)
        found._value_R = self._table.text(name).combine_chunks()
        return found

    def line(self, row: int, name: str | None = None) -> int:
        """The line of the file that a series has this row in."""
        return self.line_of(int(self._of(name)[row]))

    def line_of(self, row: int) -> int:
        """The line of the file that has this row of the table."""
        return self._table.line(row)

    def stamp(self, row: int) -> str:
        """The time stamp in this row of the table."""
        return str(self._date_R[row].as_py())

    def of(self, rows_of: dict[str, Rows]) -> Self:
        """With these rows of some series, which have the same time stamps."""
        found = copy.copy(self)
        found.rows_of, found._first = self.rows_of | rows_of, next(iter(rows_of), self._first)
        found.rows = len(found.rows_of[found._first])
        return found

    def last(self, rows: int) -> Self:
        """The table without the rows before the last ones."""
        found = copy.copy(self)
        found.rows_of = {name: rows_R[-rows:] for name, rows_R in self.rows_of.items()}
        found.rows = min(rows, self.rows)
        return found

    def _of(self, name: str | None) -> Rows:
        return self.rows_of.get(name or "", self.rows_of[self._first])


def names_series(table: Table, columns: Sequence[str]) -> str | None:
    """The column that names series: the only one of text, or else the only one that is called so."""
    found = [name for name in columns if _may_name_series(table, name)]
    if len(found) > 1:
        found = [name for name in found if name.lower() in NAMES_OF_SERIES]
    return found[0] if len(found) == 1 else None


def static_values(table: Table, column: str, channels: Sequence[str], rows: int, findings: Findings) -> tuple[str, ...]:
    """The one value of each channel in the first `rows`; problems where a table is not long, or a series has several
    or none."""
    if not isinstance(table, LongTable):
        findings.problem(
            f"static column {quoted(column)}",
            "no column that names series",
            "long format, such as unique_id, ds, y, with one value for each series",
            "leave it out: in a table with a column for each series there is no place for it",
        )
        return ()
    values, found = table.of_column(column), []
    for name in channels:
        text_T = values.text(name)[:rows].combine_chunks()
        found.append(text_T[0].as_py())
        other_T = pc.not_equal(text_T, text_T[0]).to_numpy(zero_copy_only=False)
        if other_T.any() or found[-1].lower() in MISSING:
            row = int(other_T.argmax())
            told = f"{quoted(found[-1])} in line {values.line(0, name):,}"
            told += f", {quoted(text_T[row].as_py())} in line {values.line(row, name):,}" if other_T.any() else ""
            mend = "write the value in all rows of the series; what changes with time is no static column"
            findings.problem(f"static column {quoted(column)}", f"{quoted(name)} has {told}", "one value", mend)
            break
    return tuple(found)


def trailing(where_T: npt.NDArray[np.bool_]) -> int:
    """How many of the last rows are so; 0 where all are."""
    others = np.flatnonzero(~where_T)
    return len(where_T) - 1 - int(others[-1]) if len(others) else 0


def _may_name_series(table: Table, name: str) -> bool:
    if name.lower() in NAMES_OF_SERIES:  # which may be numbers
        return True
    probe = table.text(name).slice(0, PROBED).to_pylist()
    return all(_LETTER.search(text) and text.lower() not in MISSING and not _NUMBER.fullmatch(text) for text in probe)
