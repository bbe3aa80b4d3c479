"""The last rows of a series that is brought to a trained forecaster, from a CSV file or in memory.

L: rows of the lookback, C: channels of the forecaster.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.data.series_csv import CsvTable, Table, Wanted, check_table
from pipeline.data.series_layouts import told_step
from pipeline.data.series_stamps import Seconds
from pipeline.data.source import Findings, close_to, counted, listed
from pipeline.errors import ExpectedError
from pipeline.files import sha256

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Lookback:
    """What a forecaster has to be given."""

    channels: tuple[str, ...]  # in its order
    rows: int
    step_seconds: int


@dataclass(frozen=True)
class Recent:
    """The last L rows of a series, without a gap, in a forecaster's channels and their order."""

    date_L: Seconds  # seconds since 1970-01-01 00:00 in the clock of the series
    value_LC: npt.NDArray[np.float64]  # finite, in the units of the series
    date: str  # name of the column of time stamps
    origin: dict[str, str]  # what to say of it in results: its name, and its hash if it is a file
    unused: list[str]  # channels the forecaster does not know


def recent_of_file(path: Path, date: str, lookback: Lookback) -> Recent:
    """The last rows of a CSV file; `date` is its column of time stamps. ExpectedError with all problems they have."""
    findings = Findings()
    table = CsvTable(path, findings)
    return _recent(table, path, date, lookback, findings, {"input": str(path), "input_sha256": sha256(path)})


def recent_of_frame(frame: "pd.DataFrame", date: str, lookback: Lookback) -> Recent:
    """The last rows of a frame; `date` is its column of time stamps, text or timestamps.

    ExpectedError with all problems they have; lines are those of the CSV file that the frame would be written to.
    """
    return _recent(_FrameTable(frame), Path("the frame"), date, lookback, Findings(), {"input": "a frame in memory"})


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

    def line(self, row: int) -> int:
        """As if the frame were a file."""
        return self._first + row + 2

    def last(self, rows: int) -> "_FrameTable":
        """The table without the rows before the last ones."""
        first = max(self.rows - rows, 0)
        return _FrameTable(self._frame.iloc[first:], self._first + first)


def _recent(
    table: Table, where: Path, date: str, lookback: Lookback, findings: Findings, origin: dict[str, str]
) -> Recent:
    if date in lookback.channels:
        raise ExpectedError(f"{date!r} is a channel of the forecaster, so it cannot be the column of time stamps")
    if not table.rows and not findings.problems:
        raise ExpectedError(f"{where} has no rows: expected {lookback.rows:,} or more, a date and numbers in each")
    found = check_table(table, date, "--date", findings, wanted=Wanted(lookback.channels, lookback.rows))
    missing = [name for name in lookback.channels if name not in found.channels]
    unused = [name for name in table.names if name not in (date, *lookback.channels)]
    if missing:
        close = close_to(missing[0], unused)
        findings.problem(
            f"{counted(len(missing), 'channel')} missing",
            f"no {listed(map(repr, missing), 5)}{close}; there are {listed(map(repr, table.names), 20)}",
            f"all channels that the forecaster was trained on: {listed(map(repr, lookback.channels), 20)}",
            "add the columns, or rename those that have another name",
        )
    if found.rows < lookback.rows:
        rows = f"{lookback.rows:,} or more: a forecast is made from the last {lookback.rows:,}"
        mend = "bring more rows, or train with a shorter mole.recipe.lookback"
        findings.problem("rows", counted(found.rows, "row"), rows, mend)
    if found.step_seconds not in (None, lookback.step_seconds):
        findings.problem(
            "step of time",
            told_step(found.step_seconds or 0),
            f"{told_step(lookback.step_seconds)}, that of the series the forecaster was trained on",
            "bring rows at this step, or train on a series of yours",
        )
    findings.raise_problems(where)
    assert found.date_T is not None
    assert found.value_TC is not None
    return Recent(found.date_T, found.value_TC, date, origin, unused)
