"""Whether the time stamps of a series are in order and one step apart, and what is wrong where they are not. T: rows.

What is uneven for different reasons has different remedies: rows missing (gaps), time stamps there twice, clocks that
were changed between summer and winter, or no common step at all.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.wording import counted
from pipeline.data.source import Findings
from pipeline.mole.data.stamps import Lines, Stamps
from pipeline.mole.data.step import DAY, Seconds, Step, calendar_step, most_frequent, told

HOUR = 3600
MONTHS_OF_CHANGE = (3, 4, 9, 10, 11)  # in which clocks are changed, on a Sunday night


def check_stamps(
    stamps: Stamps, where: str, line: Lines, even: bool, findings: Findings, expected: Step | None = None
) -> Step | None:
    """The step of time, the most frequent; None where there is none.

    Rows may be one step apart in UTC or, where that is a day or longer, by the local clock. Time stamps out of order
    are a problem; those there twice and uneven steps are problems where they are to be even, else notes.
    expected: the step if the rows are at it, of which few rows may leave several (five business days are five days).
    """
    check = _Check(stamps, where, line, even, findings)
    if expected is not None and len(stamps.date_T) > 1 and check.at(expected):
        return expected
    time_T = check.without_changes_of_clocks()
    check.order(time_T)
    check.repeats(time_T)
    unique_T, row_T = np.unique(time_T, return_index=True)
    if len(unique_T) < 2:
        if not even:  # else told already
            found = f"{check.told(0)} in every row"
            findings.problem(where, found, "time stamps that go on", "write the time of each row")
        return None
    return check.step(unique_T, row_T)


class _Check:
    """The time stamps, and where problems with them go."""

    def __init__(self, stamps: Stamps, where: str, line: Lines, even: bool, findings: Findings) -> None:
        self.stamps, self.where, self.line, self.even, self.findings = stamps, where, line, even, findings

    def told(self, row: int) -> str:
        return told(self.stamps.date_T[row], self.stamps.offset(row))

    def at(self, step: Step) -> bool:
        """Whether the rows are at this step."""
        times = [self.stamps.date_T] if step.calendar else [self.stamps.instant_T]
        if step.seconds is not None and step.seconds % DAY == 0:
            times.append(self.stamps.date_T)
        return any(step.fits(time_T) for time_T in times)

    def uneven(self, found: str, expected: str, mend: str) -> None:
        """A problem, or a note where the layout says so."""
        if self.even:
            self.findings.problem(self.where, found, expected, mend)
        else:
            self.findings.notes.append(f"{found}; taken as it is, as the protocol of this layout does")

    def without_changes_of_clocks(self) -> Seconds:
        """Seconds that go on where clocks of no known offset were changed, which is a problem of its own.

        An hour that is left out or there twice, on a Sunday night in the months that have such changes, is no gap and
        no repeat: to fill in or drop its rows would falsify the series.
        """
        time_T = self.stamps.instant_T
        changes = np.diff(time_T)
        if self.stamps.offset_T is not None or not (changes > 0).any():
            return time_T
        step = most_frequent(changes[changes > 0])
        after = pd.to_datetime(time_T[1:], unit="s")
        night = (after.dayofweek == 6) & after.month.isin(MONTHS_OF_CHANGE) & (after.hour < 5)
        changed = night & (np.abs(changes - step) == HOUR) & (step <= HOUR)
        if not changed.any():
            return time_T
        row = int(np.argmax(changed))
        self.uneven(
            f"{counted(int(changed.sum()), 'jump')} of an hour as where clocks are changed, the first from "
            f"{self.told(row)} to {self.told(row + 1)} in line {self.line(row + 1):,}",
            "time stamps in UTC, or with their offset from it, such as 2016-10-30 02:00+01:00",
            "write the offsets (pandas: dates.dt.tz_localize('Europe/Berlin', ambiguous='infer')) and drop no row: an "
            "hour that is there twice was measured twice, and one that is not there never was",
        )
        added: Seconds = np.concatenate([[0], np.cumsum(np.where(changed, changes - step, 0))])
        return time_T - added

    def order(self, time_T: Seconds) -> None:
        """Rows in order of time."""
        back = np.diff(time_T) < 0
        if back.any():
            row = int(np.argmax(back))
            self.findings.problem(
                self.where,
                f"{counted(int(back.sum()), 'time stamp')} earlier than the one before, the first "
                f"{self.told(row + 1)} in line {self.line(row + 1):,} after {self.told(row)}",
                "rows in order of time",
                "sort the rows by their date",
            )

    def repeats(self, time_T: Seconds) -> None:
        """Every time stamp once."""
        order = np.argsort(time_T, kind="stable")
        repeated = np.diff(time_T[order]) == 0
        if repeated.any():
            first, second = (int(row) for row in order[int(np.argmax(repeated)) :][:2])
            self.uneven(
                f"{counted(int(repeated.sum()), 'time stamp')} there before, the first {self.told(second)} in "
                f"line {self.line(second):,} and already in line {self.line(first):,}",
                "every time stamp once",
                "first look why: of several series in one file, give each its own column; of a date and an hour in two "
                "columns, write one time stamp; only of a row written twice, keep one",
            )

    def step(self, time_T: Seconds, row_T: npt.NDArray[np.int64]) -> Step | None:
        """The step of rows that are in order, each in this row of the file."""
        local_T = self.stamps.date_T[row_T]
        steps = np.diff(time_T)
        for clock_T in (time_T, local_T):
            constant = int(clock_T[1] - clock_T[0])
            if (np.diff(clock_T) == constant).all() and (clock_T is time_T or constant % DAY == 0 < constant):
                return Step(constant)
        step = calendar_step(local_T) if (np.diff(local_T) > 0).all() else None
        position_T = None if step is None else step.positions(local_T)
        if step is None or position_T is None:
            step = Step(most_frequent(steps))
            position_T = step.positions(time_T)
        if position_T is None:
            return self._no_common_step(steps, row_T)
        gaps = np.diff(position_T) > 1
        if gaps.any():
            passed = steps if step.calendar is None else np.diff(local_T)
            self.uneven(
                f"{counted(int(gaps.sum()), 'gap')}, {self._first(gaps, row_T, passed)}",
                step.each(),
                "fill the missing rows in, or keep the longest stretch without a gap",
            )
        return step

    def _no_common_step(self, steps: Seconds, row_T: npt.NDArray[np.int64]) -> Step | None:
        often = Step(most_frequent(steps))
        if (steps == often.seconds).mean() < 0.5:  # where all differ a little, the most frequent says nothing
            often = Step(int(np.median(steps)))
        others = steps != often.seconds
        shortest, longest = (Step(int(seconds)).told() for seconds in (steps[others].min(), steps[others].max()))
        between = shortest if shortest == longest else f"{shortest} to {longest}"
        self.uneven(
            f"uneven steps, {int(others.sum()):,} of {len(steps):,} other than {often.told()}: {between}, "
            f"{self._first(others, row_T, steps)}",
            f"{often.each()}, or one every month, quarter, year (first or last day) or business day",
            "round the time stamps where they are a little off, or resample the rows to even steps (pandas: resample)",
        )
        return None if self.even else often

    def _first(self, uneven: npt.NDArray[np.bool_], row_T: npt.NDArray[np.int64], steps: Seconds) -> str:
        before = int(np.argmax(uneven))
        row = int(row_T[before])
        return (
            f"the first after {self.told(row)} in line {self.line(row):,}: {Step(int(steps[before])).told()} to the "
            "next time stamp"
        )
