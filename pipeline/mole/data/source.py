"""A lab's CSV file as a series: read, held against its layout, split. T: rows, C: channels, K: known columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core.wording import counted, listed, quoted
from pipeline.data.source import Findings
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.csv_series import CsvSeries, read_csv_series
from pipeline.mole.data.layouts import LAYOUTS, check_layout, rows_needed, split_rows
from pipeline.mole.data.ridge_choice import GROUP_RIDGE, groups_of
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import Series

LARGEST = 1e150  # of a value: the squares of larger ones are beyond numbers of 64 bits


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
        _check_changes(found, options.known, splits["train"], findings)
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
    known_TCK = found.known_TCK
    if known_TCK is not None and len(known_TCK) > found.rows:
        after = counted(len(known_TCK) - found.rows, "row")
        findings.notes.append(f"the last {after} hold known columns alone: they are not used")
        known_TCK = known_TCK[: found.rows]
    channels, date_T = tuple(found.channels), found.stamps.date_T
    series = Series(
        date_T, found.value_TC, channels, found.step, splits, offset_T, options.known, known_TCK, found.static
    )
    findings.notes += _effects(series)
    if series.static and not groups_of(series)[GROUP_RIDGE]:
        names = listed(map(quoted, series.static), 5)
        findings.notes.append(f"static columns {names}: one value for all series, or one for each: none share a map")
    return AcceptedSeries(series, findings.notes)


def _effects(series: Series) -> list[str]:
    """What known columns add to the first channels, told for each column."""
    if not series.known:
        return []
    scaler = fit_scaler(series)
    assert scaler.effects is not None, "of known columns"
    value_CK = scaler.effects.coefficient_CK * scaler.deviation_C[:, None]
    notes = []
    for name, value_C in zip(series.known, value_CK.T, strict=True):
        if not value_C.any():
            notes.append(f"known column {quoted(name)}: no effect, once level, season and trend are taken out")
            continue
        told = [f"{value:+.4g} of {quoted(of)}" for of, value in zip(series.channels, value_C, strict=True)]
        notes.append(f"known column {quoted(name)}: one unit more is {listed(told, 5)}, by the train rows")
    return notes


def _check_changes(found: CsvSeries, known: Sequence[str], train: tuple[int, int], findings: Findings) -> None:
    """A channel of one value over the train rows has no scale, nor has one whose squares overflow, and nothing can be
    learned from it, nor of the effect of such a known column."""
    if found.known_TCK is not None:
        size_K = np.ptp(found.known_TCK[slice(*train)], axis=0).max(0)
        still = [quoted(name) for name, size in zip(known, size_K, strict=True) if size == 0]
        if still:
            findings.problem(
                f"{counted(len(still), 'known column')} constant over the train rows",
                listed(still, 5),
                f"values that change within the first {train[1]:,} rows",
                "leave the column out: nothing can be learned of its effect",
            )
        if found.value_TC is not None:
            same_CK = (found.known_TCK[: found.rows] == found.value_TC[:, :, None]).all(axis=0)
            for channel, column in np.argwhere(same_CK)[:1]:
                findings.problem(
                    f"known column {quoted(known[column])}",
                    f"the values of channel {quoted(found.channels[channel])} in every row",
                    "something that is known before the channel is",
                    "leave one of the two out: there is nothing to forecast",
                )
    if found.value_TC is None:
        return
    large_C = np.abs(found.value_TC).max(axis=0)
    if (large_C > LARGEST).any():
        told = [f"{quoted(found.channels[c])} ({large_C[c]:g})" for c in np.flatnonzero(large_C > LARGEST)]
        findings.problem(
            f"{counted(len(told), 'channel')} with a value beyond {LARGEST:g}",
            listed(told, 5),
            "values whose squares are numbers of 64 bits",
            "divide all values of the channel by a power of ten",
        )
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
