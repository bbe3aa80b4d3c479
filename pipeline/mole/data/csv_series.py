"""A CSV file of a series: a column of time stamps, and a number in every other column. All problems are told at once.

T: rows, C: channels, F: rows after the last values, K: known columns. Lines are counted from 1, as an editor shows
them.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.core.wording import close_to, counted, listed, quoted
from pipeline.data.source import Findings, refuse_unshowable
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.csv_table import CsvTable
from pipeline.mole.data.evenness import check_stamps
from pipeline.mole.data.long_format import LongTable, static_values, trailing, widened
from pipeline.mole.data.numbers import missing, read_values
from pipeline.mole.data.series import DATE, OFFSET
from pipeline.mole.data.stamps import Stamps, read_stamps
from pipeline.mole.data.step import Step
from pipeline.mole.data.table import Table, Wanted

Known = npt.NDArray[np.float64] | None

_DATE_NAME = re.compile(r"date|time|stamp|day|month|year|period", re.IGNORECASE)
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([ T].*)?")  # what looks like one
_NUMBER = re.compile(r"\d+\.\d+")
_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?( ?(Z|[+-]\d{2}:?\d{2}))?")


@dataclass(frozen=True)
class CsvSeries:
    """What the file holds, as far as it could be read: with problems found, for further checks only."""

    stamps: Stamps | None  # (T,)
    value_TC: npt.NDArray[np.float64] | None
    channels: list[str]  # those wanted
    columns: list[str]  # all that may be channels
    rows: int  # with values
    step: Step | None
    identifier: str | None = None  # the column that names series, in long format
    known_TCK: Known = None  # (T + F, C, K), C being 1 where no series has its own
    static: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by column, of each channel


def read_csv_series(path: Path, options: CsvOptions, findings: Findings, even: bool = True) -> CsvSeries:
    """Read and check the file.

    even: whether repeated time stamps and gaps are problems, or else notes. Every problem of the rows joins `findings`;
    ExpectedError at once only where the file is no table at all: not there, empty, no text, or without rows.
    """
    return check_table(CsvTable(path, options, findings), options, findings, even)


def check_table(
    table: Table, options: CsvOptions, findings: Findings, even: bool = True, wanted: Wanted | None = None
) -> CsvSeries:
    """The series in a table; see `read_csv_series`. `rows` are those of the whole table, whatever is wanted of it.

    Where columns are known, the last rows may have them alone, and no value of any channel.
    """
    date, ragged = options.date, bool(findings.problems)
    assert date is not None  # found out before
    where = f"column {quoted(date)}"
    if date not in table.names:
        found = f"no such column; there are {listed(map(quoted, table.names), 20)}"
        mend = f"set {options.key('date')} to the column of time stamps{_like_dates(date, table)}"
        findings.problem(where, found, "the time stamp of every row", mend)
    _check_names(table.names, date, findings)
    absent = _check_columns(table, options, findings, wanted)
    readable = date in table.names and len(set(table.names)) == len(table.names) and table.rows > 0 and not absent
    wide = widened(table, date, options, findings, wanted) if readable and not ragged else table
    if wide is None:
        return CsvSeries(None, None, [], [], table.rows, None)
    if not readable:
        columns = [name for name in table.names if name != date]
        return CsvSeries(None, None, _chosen(columns, wanted), columns, table.rows, None)
    if wide is not table:
        _check_names(wide.names, date, findings)
    apart = () if isinstance(wide, LongTable) else (*options.known, *options.static)
    others = [name for name in wide.names if name not in (date, *apart)]
    wanted_there = _chosen(others, wanted)
    future = _future(wide, wanted_there, findings) if options.known and wanted_there else 0
    file = wide if wanted is None else wide.last(wanted.rows + future)
    text, time = _stamp_texts(file, date)
    if time:
        findings.notes.append(f"time of the day taken from column {quoted(time)}")
    columns = [name for name in others if name != time]
    if not columns and wanted is None:
        findings.problem(
            "channels",
            f"no column beside {quoted(date)}",
            "one or more columns of numbers",
            "add the columns to forecast",
        )
    channels = _chosen(columns, wanted)
    stamps = read_stamps(text, where, file.line, findings, options.date_format, options.key("date_format"))
    expected = wanted.step if wanted else None
    step = None if stamps is None else check_stamps(stamps, where, file.line, even, findings, expected)
    identifier = wide.identifier if isinstance(wide, LongTable) else None
    observed = file.rows - future
    return CsvSeries(
        None if stamps is None else stamps.of(slice(observed)),
        read_values(file, channels, options, findings, observed),
        channels,
        columns,
        wide.rows - future,
        step,
        identifier,
        _known(file, channels, options, findings),
        {} if wanted else {name: static_values(file, name, channels, observed, findings) for name in options.static},
    )


def _future(table: Table, channels: list[str], findings: Findings) -> int:
    """How many of the last rows hold known columns alone. A problem where some channels end before others; then it is
    those after the first end."""
    absent = {name: missing(table.text(name)) for name in channels}
    ends = {name: trailing(absent_T) for name, absent_T in absent.items() if not absent_T.all()}
    if not ends:
        return 0
    longest, shortest = (choose(ends, key=ends.__getitem__) for choose in (min, max))
    if ends[longest] < ends[shortest]:
        last = {name: table.line(table.rows - 1 - ends[name], name) for name in (longest, shortest)}
        findings.problem(
            "channels that end at different rows",
            f"the last value of {quoted(shortest)} in line {last[shortest]:,}, of {quoted(longest)} in line "
            f"{last[longest]:,}",
            "one last row with values of all channels; those after it, to be forecast, have known columns alone",
            f"fill the values of {quoted(shortest)} in, or empty those of {quoted(longest)} after its end",
        )
    return ends[shortest]


def _check_columns(table: Table, options: CsvOptions, findings: Findings, wanted: Wanted | None) -> bool:
    """Whether a known or static column is absent; a forecast needs no static ones."""
    absent = False
    for kind, names in {"known": options.known, "static": () if wanted else options.static}.items():
        gone = [name for name in names if name not in table.names]
        if gone:
            absent = True
            there = f"no {listed(map(quoted, gone))}{close_to(gone[0], table.names)}"
            found = f"{there}; there are {listed(map(quoted, table.names), 20)}"
            mend = "add them, or rename those that have another name" if wanted else f"correct {options.key(kind)}"
            findings.problem(f"{kind} columns", found, f"all of {listed(map(quoted, names), 20)}", mend)
    return absent


def _known(file: Table, channels: list[str], options: CsvOptions, findings: Findings) -> Known:
    """Of every row, those after the last values as well; None, and problems, as of channels."""
    if not options.known:
        return None
    if not isinstance(file, LongTable):
        value_TK = read_values(file, options.known, options, findings, what="known column")
        return None if value_TK is None else value_TK[:, None]
    parts = []
    for name in options.known:
        what = f"series of known column {quoted(name)}"
        parts.append(read_values(file.of_column(name), channels, options, findings, what=what))
    return None if any(part is None for part in parts) else np.stack(parts, 2)  # type: ignore[arg-type]


def _chosen(columns: list[str], wanted: Wanted | None) -> list[str]:
    return columns if wanted is None else [name for name in wanted.channels if name in columns]


def _stamp_texts(file: Table, date: str) -> tuple[list[str], str | None]:
    """The time stamps, and the column that has the time of the day where another one has the date alone."""
    dates: list[str] = file.text(date).to_pylist()
    if dates and ":" not in dates[0]:
        for name in file.names:
            if name != date and _TIME.fullmatch(file.text(name)[0].as_py()):
                times: list[str] = file.text(name).to_pylist()
                return [f"{day} {time}" for day, time in zip(dates, times, strict=True)], name
    return dates, None


def likely_dates(table: Table) -> list[str]:
    """The columns that may be the one of time stamps: one, where it is clear."""
    dated = dated_columns(table)
    named = [name for name in dated if _DATE_NAME.search(name)]
    return named if len(named) == 1 else dated


def dated_columns(table: Table) -> list[str]:
    """Those of the first columns whose first value looks like a date; 7.12 may be one, where nothing else is."""
    first = {name: table.text(name)[0].as_py() for name in table.names[:20]}
    dated = [name for name, value in first.items() if _DATE.fullmatch(value)]
    return [name for name in dated if not _NUMBER.fullmatch(first[name])] or dated


def _like_dates(date: str, table: Table) -> str:
    """The end of an advice: which column may be the one of time stamps, by its name or its first value."""
    close = close_to(date, table.names)
    if close or not table.rows:
        return close
    dated = dated_columns(table)
    return f", perhaps {quoted(dated[0])}" if dated else ""


def _check_names(names: list[str], date: str, findings: Findings) -> None:
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        found = f"{counted(len(repeated), 'name')} of several columns: {listed(map(quoted, repeated))}"
        findings.problem("header", found, "a name of its own for every column", "rename or drop all but one of each")
    if "" in names:
        found = f"no name for column {names.index('') + 1}"
        mend = "name it; where it only numbers the rows (pandas writes such a column), leave it out: index=False"
        findings.problem("header", found, "a name for every column", mend)
    refuse_unshowable(names, "header", findings)
    for name in (DATE, OFFSET):
        if name in names and date != name and date in names:
            found = f"a channel called {name!r} beside the time stamps in {quoted(date)}"
            findings.problem("header", found, "one column of dates", f"rename or drop the column {name!r}")
