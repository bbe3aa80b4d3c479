"""The step of a series: the time from one row to the next, in seconds or, where these differ, of the calendar.

T: rows.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries.frequencies import to_offset

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted

Seconds = npt.NDArray[np.int64]  # since 1970-01-01 00:00

DAY = 86_400
MONTHLY = {"MS": "first day", "ME": "last day", "BMS": "first business day", "BME": "last business day"}
BUSINESS_DAY = "B"
_CALENDAR = re.compile(rf"(\d*)({'|'.join(MONTHLY)})|{BUSINESS_DAY}")
_NOUNS = {1: "month", 3: "quarter", 12: "year"}  # by months


@dataclass(frozen=True)
class Step:
    """One of the two is given."""

    seconds: int | None = None
    calendar: str | None = None  # a frequency of pandas by the local clock, such as "3MS", the starts of quarters

    @classmethod
    def restored(cls, described: Mapping[str, Any]) -> Self:
        """The step that `described` gave. KeyError where there is none, ExpectedError where it cannot be one."""
        if "step_calendar" not in described:
            return cls(seconds=int(described["step_seconds"]))
        calendar = str(described["step_calendar"])
        if not _CALENDAR.fullmatch(calendar):
            raise ExpectedError(f"step_calendar = {calendar[:80]!r}: not a calendar step of this version")
        return cls(calendar=calendar)

    def described(self) -> dict[str, int | str | None]:
        """For a JSON file."""
        return {"step_seconds": self.seconds} if self.calendar is None else {"step_calendar": self.calendar}

    def told(self) -> str:
        """For a message: "15 minutes", "1 month (last day)"."""
        if self.seconds is not None:
            return told_step(self.seconds)
        if self.calendar == BUSINESS_DAY:
            return "1 business day"
        months, day = _months_and_day(self.calendar or "")
        size = next(size for size in sorted(_NOUNS, reverse=True) if months % size == 0)
        return f"{counted(months // size, _NOUNS[size])} ({MONTHLY[day]})"

    @property
    def months(self) -> int | None:
        """How many months a step of the calendar is; None for a business day, and where it has seconds."""
        if self.calendar is None or self.calendar == BUSINESS_DAY:
            return None
        return _months_and_day(self.calendar)[0]

    def each(self) -> str:
        """For a message: "a row every 15 minutes"."""
        return f"a row every {self.told().removeprefix('1 ')}"

    def stamp(self, stamp: int | np.int64, offset: int | np.int64 | None = None) -> str:
        """A time stamp of a row, for a message or a file: of days and longer steps at midnight, the date alone."""
        text = told(stamp, offset)
        days = self.seconds is None or self.seconds % DAY == 0
        return text[:10] if days and offset is None and stamp % DAY == 0 else text

    def after(self, last: int, rows: int) -> Seconds:
        """The time stamps of the rows that follow one at `last`, by the same clock. ExpectedError beyond year 2262."""
        if self.seconds is not None:
            return last + self.seconds * np.arange(1, rows + 1)
        try:
            dates = pd.date_range(pd.Timestamp(last, unit="s"), periods=rows + 1, freq=self.calendar)
        except pd.errors.OutOfBoundsDatetime as error:
            raise ExpectedError(f"time stamps {counted(rows, 'row')} after {told(last)} are beyond 2262") from error
        return dates[1:].to_numpy().astype("datetime64[s]").astype(np.int64)

    def positions(self, date_T: Seconds) -> Seconds | None:
        """How many steps each row is after the first one; None where one is between two steps.

        date_T: increasing, and of more than one row.
        """
        if self.seconds is not None:
            passed_T = date_T - date_T[0]
            return None if (passed_T % self.seconds).any() else passed_T // self.seconds
        first, last = pd.to_datetime(date_T[[0, -1]], unit="s")
        dates = pd.date_range(first, last, freq=self.calendar)
        position_T = dates.get_indexer(pd.to_datetime(date_T, unit="s"))
        return None if (position_T < 0).any() else position_T.astype(np.int64)

    def fits(self, date_T: Seconds) -> bool:
        """Whether each row is one step after the one before."""
        if len(date_T) < 2:
            return True
        if (np.diff(date_T) <= 0).any():
            return False
        position_T = self.positions(date_T)
        return position_T is not None and np.array_equal(position_T, np.arange(len(date_T)))


def calendar_step(date_T: Seconds) -> Step | None:
    """The step where all rows are first or last (business) days of months, or none is at a weekend; else None.

    date_T: by the local clock, increasing. Rows may be missing: the step is the most frequent. Days alone are business
    days only where they skip a weekend.
    """
    if len(date_T) < 3 or (date_T % DAY != date_T[0] % DAY).any():
        return None
    dates = pd.to_datetime(date_T, unit="s")
    months = np.diff(dates.year.to_numpy() * 12 + dates.month.to_numpy())
    if (months > 0).all():
        count = most_frequent(months)
        for day in MONTHLY:
            offset = to_offset(day)
            if all(offset.is_on_offset(date) for date in dates):
                return Step(calendar=day if count == 1 else f"{count}{day}")
        return None
    if (dates.dayofweek < 5).all() and most_frequent(np.diff(date_T)) == DAY:
        return Step(calendar=BUSINESS_DAY) if dates.isocalendar()["week"].nunique() > 1 else None
    return None


def most_frequent(steps: npt.NDArray[np.integer[Any]]) -> int:
    """The smallest of those that are there most often."""
    different, times = np.unique(steps, return_counts=True)
    return int(different[np.argmax(times)])


def told(stamp: int | np.int64, offset: int | np.int64 | None = None) -> str:
    """A time stamp for a message or a file, with its offset from UTC (seconds) if there is one."""
    text = str(np.datetime64(int(stamp), "s")).replace("T", " ")
    if offset is None:
        return text
    hours, minutes = divmod(abs(int(offset)) // 60, 60)
    return f"{text}{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"


def told_step(seconds: int) -> str:
    """A step of time for a message, as in "15 minutes"."""
    for unit, noun in ((DAY, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit and seconds % unit == 0:
            return counted(seconds // unit, noun)
    return counted(seconds, "second")


def _months_and_day(calendar: str) -> tuple[int, str]:
    found = _CALENDAR.fullmatch(calendar)
    assert found is not None
    return int(found[1] or 1), found[2]
