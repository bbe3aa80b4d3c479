"""Time stamps of a series as text: reading them, and whether they are in order and evenly spaced. T: rows."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.data.series_layouts import told_step
from pipeline.data.source import Findings, counted

Seconds = npt.NDArray[np.int64]
Lines = Callable[[int], int]  # the line of the file that a row is in

# Day and month first are not among them: 02/03/2020 is a day of February or of March, and no file says which.
FORMATS = ("ISO8601", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")
OFFSET = r"(:\d{2}(?:\.\d+)?) ?(?:Z|[+-]\d{2}(?::?\d{2})?)$"  # from UTC, after a time of the day
NANOSECONDS = 1_000_000_000


def read_stamps(text: list[str], where: str, line: Lines, findings: Findings) -> Seconds | None:
    """Seconds since 1970-01-01 00:00 in the clock of the file, (T,); None, and a problem, where some cannot be read.

    A column is in one format. An offset from UTC is left out: features of the calendar are of the local clock.
    """
    column = pd.Series(text, dtype=object).str.replace(OFFSET, r"\1", regex=True)
    stamps, fewest = None, np.ones(len(text), bool)
    for form in FORMATS:
        tried = pd.to_datetime(column, format=form, errors="coerce")
        unreadable = tried.isna().to_numpy()
        if stamps is None or unreadable.sum() < fewest.sum():
            stamps, fewest = tried, unreadable
        if not unreadable.any():
            break
    form = "year, month, day and time, such as 2016-07-01 13:00:00 or 2016/7/1 13:00"
    if fewest.any():
        row = int(np.argmax(fewest))
        found = (
            f"{counted(int(fewest.sum()), 'date')} that cannot be read, the first {text[row]!r} in line {line(row):,}"
        )
        findings.problem(where, found, form, "write all dates in this form, or drop the rows that have none")
        return None
    assert stamps is not None
    nanoseconds = stamps.to_numpy().astype("datetime64[ns]").astype(np.int64)
    broken = nanoseconds % NANOSECONDS != 0
    if broken.any():
        row = int(np.argmax(broken))
        found = f"fractions of a second, the first {text[row]!r} in line {line(row):,}"
        findings.problem(where, found, "whole seconds", "round the time stamps, or average the rows of each second")
        return None
    return nanoseconds // NANOSECONDS


def check_stamps(date_T: Seconds, where: str, line: Lines, even: bool, findings: Findings) -> int | None:
    """The step of time (seconds), the most frequent; None where there is none.

    Time stamps out of order are a problem; those there twice and gaps are problems where they are to be even, else
    notes.
    """
    later = np.diff(date_T)
    if (later < 0).any():
        row = int(np.argmax(later < 0))
        findings.problem(
            where,
            f"{counted(int((later < 0).sum()), 'time stamp')} earlier than the one before, the first "
            f"{told(date_T[row + 1])} in line {line(row + 1):,} after {told(date_T[row])}",
            "rows in order of time",
            "sort the rows by their date",
        )
    order = np.argsort(date_T, kind="stable")
    steps = np.diff(date_T[order])
    if (steps == 0).any():
        first, second = order[int(np.argmax(steps == 0)) :][:2]
        found = (
            f"{counted(int((steps == 0).sum()), 'time stamp')} there before, the first {told(date_T[second])} in "
            f"line {line(int(second)):,} and already in line {line(int(first)):,}"
        )
        _uneven(where, found, "every time stamp once", "keep one row of each, or their mean", even, findings)
    steps = steps[steps > 0]
    if not len(steps):
        if not even:  # else told already
            found = f"{told(date_T[0])} in every row"
            findings.problem(where, found, "time stamps that go on", "write the time of each row")
        return None
    different, times = np.unique(steps, return_counts=True)
    step = int(different[np.argmax(times)])
    if (steps != step).any():
        unique_T = np.unique(date_T)
        before = int(np.argmax(np.diff(unique_T) != step))
        row = int(np.flatnonzero(date_T == unique_T[before])[-1])
        found = (
            f"{counted(int((steps != step).sum()), 'gap')}, the first after {told(unique_T[before])} in line "
            f"{line(row):,}: {told_step(int(unique_T[before + 1] - unique_T[before]))} to the next time stamp"
        )
        mend = "fill the missing rows in, keep the longest stretch without a gap, or, where clocks changed, write UTC"
        _uneven(where, found, f"a row every {told_step(step).removeprefix('1 ')}", mend, even, findings)
    return step


def told(stamp: np.int64) -> str:
    """A time stamp for a message."""
    return str(np.datetime64(int(stamp), "s")).replace("T", " ")


def _uneven(where: str, found: str, expected: str, mend: str, even: bool, findings: Findings) -> None:
    if even:
        findings.problem(where, found, expected, mend)
    else:
        findings.notes.append(f"{found}; taken as it is, as the protocol of this layout does")
