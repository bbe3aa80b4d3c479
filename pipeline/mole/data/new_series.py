"""The last rows of a series that is brought to a trained forecaster, from a CSV file or in memory.

L: rows of the lookback, T: rows that are looked at, F: rows after them, C: channels of the forecaster, K: known
columns.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.core.wording import close_to, counted, listed, quoted
from pipeline.data.source import Findings
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.csv_series import check_table, likely_dates
from pipeline.mole.data.csv_table import CsvTable
from pipeline.mole.data.stamps import Stamps
from pipeline.mole.data.step import Step
from pipeline.mole.data.table import Table, Wanted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Lookback:
    """What a forecaster has to be given."""

    channels: tuple[str, ...]  # in its order
    rows: int
    step: Step
    before: int = 0  # rows before these that are looked at, too, as far as they are there
    known: tuple[str, ...] = ()  # columns that it needs, of the rows that are forecast as well
    static: tuple[str, ...] = ()  # columns that it does not look at


@dataclass(frozen=True)
class Recent:
    """The last rows of a series, without a gap, in a forecaster's channels and their order: L and, where they are asked
    for, some before them."""

    stamps: Stamps
    value_TC: npt.NDArray[np.float64]  # finite, in the units of the series
    date: str  # name of the column of time stamps
    origin: dict[str, str]  # what to say of it in results: its name, and its hash if it is a file
    unused: list[str]  # channels the forecaster does not know
    step: Step
    identifier: str | None  # name of the column that names series, in long format
    notes: list[str]  # on how the file was read
    known_TCK: npt.NDArray[np.float64] | None = None  # (T + F, C or 1, K)

    @property
    def known_until_now(self) -> npt.NDArray[np.float64] | None:
        """Of the T rows."""
        return None if self.known_TCK is None else self.known_TCK[: len(self.value_TC)]

    @property
    def known_after(self) -> npt.NDArray[np.float64] | None:
        """Of the F rows."""
        return None if self.known_TCK is None else self.known_TCK[len(self.value_TC) :]

    def last(self, rows: int) -> "Recent":
        """Without the rows before these."""
        first = max(len(self.value_TC) - rows, 0)
        known_TCK = None if self.known_TCK is None else self.known_TCK[first:]
        return replace(
            self, stamps=self.stamps.of(slice(first, None)), value_TC=self.value_TC[first:], known_TCK=known_TCK
        )

    def until(self, rows: int) -> "Recent":
        """The first so many rows alone; what is known after them stays known."""
        return replace(self, stamps=self.stamps.of(slice(rows)), value_TC=self.value_TC[:rows])

    def followed_by(self, value_HC: npt.NDArray[np.float64]) -> "Recent":
        """With these rows after the last one, at the offset from UTC that it has."""
        date_H, offset_T = self.step.after(int(self.stamps.date_T[-1]), len(value_HC)), self.stamps.offset_T
        if offset_T is not None:
            offset_T = np.append(offset_T, np.full(len(value_HC), offset_T[-1]))
        stamps = Stamps(np.append(self.stamps.date_T, date_H), offset_T)
        return replace(self, stamps=stamps, value_TC=np.concatenate([self.value_TC, value_HC]))

    def told(self, row: int) -> str:
        """The time stamp of a row, for a message or a file."""
        return self.step.stamp(self.stamps.date_T[row], self.stamps.offset(row))


def recent_of_file(path: Path, options: CsvOptions, lookback: Lookback) -> Recent:
    """The last rows of a CSV file. ExpectedError with all problems they have."""
    findings = Findings()
    table = CsvTable(path, options, findings)
    if options.date is None:
        options = replace(options, date=_found_date(table, path, options, lookback.channels))
    return _recent(table, path, options, lookback, findings, {"input": str(path), "input_sha256": sha256(path)})


def recent_of_frame(frame: "pd.DataFrame", date: str, lookback: Lookback) -> Recent:
    """The last rows of a frame; `date` is its column of time stamps, text or timestamps.

    ExpectedError with all problems they have; lines are those of the CSV file that the frame would be written to.
    """
    options, origin = CsvOptions(date), {"input": "a frame in memory"}
    return _recent(_FrameTable(frame), Path("the frame"), options, lookback, Findings(), origin)


def _found_date(table: Table, path: Path, options: CsvOptions, channels: tuple[str, ...]) -> str:
    if "date" in table.names:
        return "date"
    found = [name for name in likely_dates(table) if name not in channels]
    if len(found) == 1:
        return found[0]
    what = f"several columns hold dates ({listed(map(quoted, found))})" if found else "no column holds dates"
    names = listed(map(quoted, table.names), 20)
    raise ExpectedError(f"{path}: {what}; name the column of time stamps with {options.key('date')}: there are {names}")


class _FrameTable:
    """A frame as the text that its CSV file would hold."""

    def __init__(self, frame: "pd.DataFrame", first: int = 0) -> None:
        self._frame, self._first = frame, first
        self.names = [str(name).strip() for name in frame.columns]
        self.rows = len(frame)

    def text(self, name: str) -> pa.ChunkedArray:
        """A column; numbers in full precision."""
        values = self._frame.iloc[:, self.names.index(name)].tolist()
        return pa.chunked_array([pa.array([str(value).strip() for value in values], pa.string())])

    def line(self, row: int, name: str | None = None) -> int:  # noqa: ARG002 - a row is one line
        """As if the frame were a file."""
        return self._first + row + 2

    def last(self, rows: int) -> "_FrameTable":
        """The table without the rows before the last ones."""
        first = max(self.rows - rows, 0)
        return _FrameTable(self._frame.iloc[first:], self._first + first)


def _recent(
    table: Table, where: Path, options: CsvOptions, lookback: Lookback, findings: Findings, origin: dict[str, str]
) -> Recent:
    date = options.date
    assert date is not None
    if date in lookback.channels:
        raise ExpectedError(f"{quoted(date)} is a channel of the forecaster, so it cannot be the column of time stamps")
    if not table.rows and not findings.problems:
        raise ExpectedError(f"{where} has no rows: expected {lookback.rows:,} or more, a date and numbers in each")
    options = replace(options, known=lookback.known, static=lookback.static)
    wanted = Wanted(lookback.channels, lookback.rows + lookback.before, lookback.step)
    found = check_table(table, options, findings, wanted=wanted)
    if not found.columns:
        findings.raise_problems(where)
    missing = [name for name in lookback.channels if name not in found.channels]
    unused = [name for name in found.columns if name not in lookback.channels]
    if missing:
        close = close_to(missing[0], unused)
        findings.problem(
            f"{counted(len(missing), 'channel')} missing",
            f"no {listed(map(quoted, missing), 5)}{close}; there are {listed(map(quoted, (date, *found.columns)), 20)}",
            f"all channels that the forecaster was trained on: {listed(map(quoted, lookback.channels), 20)}",
            "add the columns, or rename those that have another name",
        )
    if found.rows < lookback.rows:
        rows = f"{lookback.rows:,} or more: a forecast is made from the last {lookback.rows:,}"
        mend = "bring more rows, or train with shorter lookbacks: those of mole.ridge and mole.sweep.recipe"
        findings.problem("rows", counted(found.rows, "row"), rows, mend)
    if found.step not in (None, lookback.step):
        findings.problem(
            "step of time",
            found.step.told(),
            f"{lookback.step.told()}, that of the series the forecaster was trained on",
            "bring rows at this step, or train on a series of yours",
        )
    findings.raise_problems(where)
    assert found.stamps is not None
    assert found.value_TC is not None
    step, notes = lookback.step, findings.notes
    return Recent(found.stamps, found.value_TC, date, origin, unused, step, found.identifier, notes, found.known_TCK)
