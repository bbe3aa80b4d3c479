"""A lab's CSV file as a series: read, held against its layout, split. T: rows, C: channels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.source import Findings, counted, listed, quoted
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.csv_series import CsvSeries, read_csv_series
from pipeline.mole.data.layouts import LAYOUTS, check_layout, rows_needed, split_rows
from pipeline.mole.data.series import Series


@dataclass(frozen=True)
class AcceptedSeries:
    """A file that can be used."""

    series: Series
    notes: list[str]


def accept_series(path: Path, options: CsvOptions, layout: str | None) -> AcceptedSeries:
    """The series of a CSV file, and notes on what is odd but no hindrance.

    layout: one of LAYOUTS, or None for a split by shares. ExpectedError with all problems of the file.
    """
    findings = Findings()
    even = LAYOUTS[layout].even if layout else True
    found = read_csv_series(path, options, findings, even)
    if not found.columns:
        findings.raise_problems(path)
    splits = split_rows(layout, found.rows)
    if layout:
        check_layout(layout, options.key("layout"), found.channels, found.rows, found.step, findings)
    elif splits is None:
        needed = f"{rows_needed(layout)} or more, of which 70 / 10 / 20 % are train, validation and test"
        findings.problem("rows", counted(found.rows, "row"), needed, "bring a longer series")
    if splits is not None:
        _check_changes(found, splits["train"], findings)
        unused = found.rows - splits["test"][1]
        if unused:
            findings.notes.append(f"the last {counted(unused, 'row')} are not used: the splits of {layout} end before")
    findings.raise_problems(path)
    assert splits is not None
    assert found.stamps is not None
    assert found.value_TC is not None
    assert found.step is not None
    offset_T = found.stamps.offset_T
    if offset_T is not None and (offset_T != offset_T[0]).any():
        findings.notes.append("offsets from UTC change: steps are those of UTC, and hours those of the local clock")
    series = Series(found.stamps.date_T, found.value_TC, tuple(found.channels), found.step, splits, offset_T)
    return AcceptedSeries(series, findings.notes)


def _check_changes(found: CsvSeries, train: tuple[int, int], findings: Findings) -> None:
    """A channel of one value over the train rows has no scale, and nothing can be learned from it."""
    if found.value_TC is None:
        return
    train_TC = found.value_TC[slice(*train)]
    constant = np.flatnonzero(np.ptp(train_TC, axis=0) == 0)
    if len(constant):
        told = [f"{quoted(found.channels[c])} (always {train_TC[0, c]:g})" for c in constant]
        findings.problem(
            f"{counted(len(constant), 'channel')} constant over the train rows",
            listed(told, 5),
            f"values that change within the first {train[1]:,} rows",
            "leave these channels out of the file",
        )
