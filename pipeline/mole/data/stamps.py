"""Time stamps of a series as text: which form they have, and what they say. T: rows."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted, quoted
from pipeline.data.source import Findings
from pipeline.mole.data.step import Seconds

Lines = Callable[[int], int]  # the line of the file that a row is in

_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
FORMATS = ("ISO8601", *map("".join, product(_DATES, _TIMES)))
PROBED = 200  # rows, half of them the first and half the last, that rule formats out before all rows are read
OFFSET = r"((?::|(?<=\d-\d\d)[T ])\d{2}(?:\.\d+)?) ?(Z|[+-]\d{2}(?::?\d{2})?)$"  # from UTC, after a time of the day
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Stamps:
    """When each row is."""

    date_T: Seconds  # since 1970-01-01 00:00 in the clock of the file: the calendar's features are of the local clock
    offset_T: Seconds | None = None  # of that clock from UTC (seconds), where the file says it

    def of(self, rows: slice) -> "Stamps":
        """Those of some rows."""
        return Stamps(self.date_T[rows], None if self.offset_T is None else self.offset_T[rows])

    @property
    def instant_T(self) -> Seconds:
        """Seconds since 1970-01-01 00:00 UTC, or in the clock of the file where its offset is not known."""
        return self.date_T if self.offset_T is None else self.date_T - self.offset_T

    def offset(self, row: int) -> int | None:
        """The offset of a row, if it is known."""
        return None if self.offset_T is None else int(self.offset_T[row])


def read_stamps(
    text: list[str], where: str, line: Lines, findings: Findings, date_format: str | None, key: str
) -> Stamps | None:
    """The time stamps of a column; None, and one problem, where some cannot be read.

    A column is in one format: `date_format`, or where that is None the one of `FORMATS` that reads most rows. `key` is
    what sets it, for advice.
    """
    column = pd.Series(text, dtype=object)
    offsets = column.str.extract(OFFSET)[1]
    if offsets.notna().any():
        column = column.str.replace(OFFSET, r"\1", regex=True)
    formats = FORMATS if date_format is None else (date_format.replace("%z", "").rstrip(),)
    try:
        (form, stamps), *others = _read_by_best(column, formats)
    except ValueError as error:
        if date_format is None:
            raise
        raise ExpectedError(
            f"{key} = {quoted(date_format)}: {error}; expected a form such as %d.%m.%Y %H:%M"
        ) from error
    unreadable_T = stamps.isna().to_numpy()
    if unreadable_T.any():
        row = int(np.argmax(unreadable_T))
        number = counted(int(unreadable_T.sum()), "date")
        found = f"{number} that cannot be read, the first {quoted(text[row])} in line {line(row):,}"
        expected = f"dates of the form {date_format}"
        if date_format is None:
            expected = "year, month, day and time, such as 2016-07-01 13:00:00, 2016/7/1 13:00 or 01.07.2016 13:00"
        mend = f"write all dates in one form, set {key} to the form they have, or drop the rows that have none"
        findings.problem(where, found, expected, mend)
        return None
    if others:
        forms = f"{form} or {others[0][0]}"
        different = (stamps != others[0][1]).to_numpy()
        row = int(np.argmax(different))
        found = f"dates that can be read in two ways, the first {quoted(text[row])} in line {line(row):,}"
        findings.problem(where, found, f"dates of one form: {forms}", f"set {key} to one of them")
        return None
    if date_format is None and form.startswith(("%d", "%m")):
        findings.notes.append(f"dates read as {form} (first {quoted(text[0])}): {key} sets another form")
    nanoseconds = stamps.to_numpy().astype("datetime64[ns]").astype(np.int64)
    broken = nanoseconds % NANOSECONDS != 0
    if broken.any():
        row = int(np.argmax(broken))
        found = f"fractions of a second, the first {quoted(text[row])} in line {line(row):,}"
        findings.problem(where, found, "whole seconds", "round the time stamps, or average the rows of each second")
        return None
    date_T = nanoseconds // NANOSECONDS
    if offsets.isna().all():
        return Stamps(date_T)
    if offsets.isna().any():
        row = int(np.argmax(offsets.isna()))
        number = counted(int(offsets.isna().sum()), "time stamp")
        found = f"{number} without an offset from UTC beside others with one, the first {quoted(text[row])} in line "
        found += f"{line(row):,}"
        findings.problem(where, found, "an offset in every row or in none", "write all time stamps with their offset")
        return None
    seconds = {offset: _seconds(offset) for offset in offsets.unique()}
    return Stamps(date_T, offsets.map(seconds).to_numpy().astype(np.int64))


def _read_by_best(column: "pd.Series[str]", formats: tuple[str, ...]) -> list[tuple[str, "pd.Series[pd.Timestamp]"]]:
    """What the formats that fail in fewest rows read; more than one only where these read different dates."""
    half = PROBED // 2
    probe = column if len(column) <= PROBED else pd.concat([column.iloc[:half], column.iloc[-half:]])
    failures = {form: int(_read(probe, form).isna().sum()) for form in formats}
    fewest = min(failures.values())
    kept: list[tuple[str, pd.Series[pd.Timestamp]]] = []
    for form in (form for form in formats if failures[form] == fewest):
        stamps = _read(column, form)
        missing = stamps.isna().sum()
        if not kept or missing < kept[0][1].isna().sum():
            kept = [(form, stamps)]
        elif missing == kept[0][1].isna().sum() and not missing and not any(stamps.equals(other) for _, other in kept):
            kept.append((form, stamps))
        if form == "ISO8601" and not missing:
            break
    return kept


def _read(column: "pd.Series[str]", form: str) -> "pd.Series[pd.Timestamp]":
    return pd.to_datetime(column, format=form, errors="coerce")


def _seconds(offset: str) -> int:
    if offset == "Z":
        return 0
    digits = offset[1:].replace(":", "").ljust(4, "0")
    return (-1 if offset[0] == "-" else 1) * (3600 * int(digits[:2]) + 60 * int(digits[2:]))
