"""Steps of a series: those of the calendar, offsets from UTC and changes of clocks, and what is uneven for another
reason. Expected time stamps are those of pandas or written out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_json
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.season import calendar_parts
from pipeline.mole.data.series import read_series, write_series
from pipeline.mole.data.source import AcceptedSeries, accept_series
from pipeline.mole.data.step import Step
from pipeline.mole.data.time_features import time_features

OPTIONS = CsvOptions(section="mole.ingest")


def accept(folder: Path, stamps: list[str]) -> AcceptedSeries:
    file = folder / "load.csv"
    rows = [f"{stamp},{row % 7},{row * row % 11}.5" for row, stamp in enumerate(stamps)]
    file.write_text("\n".join(["date,load,wind", *rows]) + "\n")
    return accept_series(file, OPTIONS, None)


def problem(folder: Path, stamps: list[str]) -> str:
    """The one problem that the file has."""
    with pytest.raises(ExpectedError) as caught:
        accept(folder, stamps)
    first, *listed = str(caught.value).split("\n")
    assert "1 problem:" in first, caught.value
    return "\n".join(listed)


def texts(dates: pd.DatetimeIndex) -> list[str]:
    """As pandas writes them, with their offset from UTC if they have one."""
    return [date.isoformat(" ") for date in dates]


CALENDARS = [
    ("MS", "MS", "1 month (first day)"),
    ("ME", "ME", "1 month (last day)"),
    ("BMS", "BMS", "1 month (first business day)"),
    ("BME", "BME", "1 month (last business day)"),
    ("2MS", "2MS", "2 months (first day)"),
    ("QS-JAN", "3MS", "1 quarter (first day)"),
    ("QE-NOV", "3ME", "1 quarter (last day)"),
    ("YS-JAN", "12MS", "1 year (first day)"),
    ("YS-APR", "12MS", "1 year (first day)"),
    ("YE-DEC", "12ME", "1 year (last day)"),
    ("B", "B", "1 business day"),
]


@pytest.mark.parametrize(("frequency", "calendar", "told"), CALENDARS)
@pytest.mark.parametrize("hour", [0, 18])
def test_steps_of_the_calendar_are_recognised_and_continued(
    tmp_path: Path, frequency: str, calendar: str, told: str, hour: int
) -> None:
    dates = pd.date_range(f"2011-01-28 {hour:02}:00", periods=60, freq=frequency)
    accepted = accept(tmp_path, texts(dates[:40]))
    step = accepted.series.step
    assert step == Step(calendar=calendar)
    assert step.told() == told
    assert accepted.notes == []
    following = step.after(int(accepted.series.date_T[-1]), 20).astype("datetime64[s]")
    np.testing.assert_array_equal(following, dates[40:].to_numpy())
    assert Step.restored(step.described()) == step
    assert step.fits(accepted.series.date_T[:5])  # few rows are no less at the step
    assert not step.fits(accepted.series.date_T[[0, 1, 3]])


def test_days_weeks_and_years_without_months(tmp_path: Path) -> None:
    assert accept(tmp_path, texts(pd.date_range("2020-01-01", periods=20, freq="W"))).series.step == Step(604_800)
    assert accept(tmp_path, texts(pd.date_range("2020-01-01", periods=20, freq="D"))).series.step == Step(86_400)
    assert accept(tmp_path, [str(year) for year in range(1990, 2010)]).series.step == Step(calendar="12MS")
    months = texts(pd.date_range("2020-01-01", periods=20, freq="MS"))
    assert accept(tmp_path, [month[:7] for month in months]).series.step == Step(calendar="MS")


def test_a_step_beyond_what_time_stamps_can_be_or_of_another_version() -> None:
    last = int(np.datetime64("2261-12-01", "s").astype(np.int64))
    with pytest.raises(ExpectedError, match="24 rows after 2261-12-01 00:00:00 are beyond 2262"):
        Step(calendar="MS").after(last, 24)
    with pytest.raises(ExpectedError, match="step_calendar = 'WOM-3FRI': not a calendar step of this version"):
        Step.restored({"step_calendar": "WOM-3FRI"})


def test_rows_missing_from_the_calendar_are_gaps_of_its_step(tmp_path: Path) -> None:
    months = texts(pd.date_range("2011-01-01", periods=40, freq="MS"))
    del months[20], months[7]
    told = problem(tmp_path, months)
    assert "2 gaps, the first after 2011-07-01 00:00:00 in line 8: 62 days to the next time stamp" in told
    assert "expected a row every month (first day)" in told
    days = texts(pd.date_range("2020-01-01", periods=40, freq="B"))
    del days[10]
    told = problem(tmp_path, days)
    assert "1 gap, the first after 2020-01-14 00:00:00" in told
    assert "expected a row every business day" in told


def test_jitter_is_uneven_and_no_gap(tmp_path: Path) -> None:
    dates = pd.date_range("2020-01-01", periods=100, freq="10min")
    shift = np.where(np.arange(100) % 3 == 1, 1, 0)
    told = problem(tmp_path, texts(dates + pd.to_timedelta(shift, unit="s")))
    assert "uneven steps, 66 of 99 other than 10 minutes: 599 seconds to 601 seconds" in told
    assert "the first after 2020-01-01 00:00:00 in line 2: 601 seconds to the next time stamp" in told
    assert "round the time stamps where they are a little off, or resample" in told
    assert "gap" not in told
    drawn = np.random.default_rng(0).integers(-20, 20, 100)
    told = problem(tmp_path, texts(dates + pd.to_timedelta(drawn, unit="s")))
    assert "uneven steps" in told
    assert "fill" not in told


SPRING = pd.date_range("2016-03-26 12:00", periods=48, freq="h", tz="Europe/Berlin")  # clocks go forward on the 27th
AUTUMN = pd.date_range("2016-10-29 12:00", periods=48, freq="h", tz="Europe/Berlin")  # and back on the 30th


@pytest.mark.parametrize("dates", [SPRING, AUTUMN])
def test_offsets_that_change_are_even_in_utc_and_kept(tmp_path: Path, dates: pd.DatetimeIndex) -> None:
    accepted = accept(tmp_path, texts(dates))
    series = accepted.series
    assert series.step == Step(3600)
    assert accepted.notes == ["offsets from UTC change: steps are those of UTC, and hours those of the local clock"]
    assert series.offset_T is not None
    np.testing.assert_array_equal(
        (series.date_T - series.offset_T).astype("datetime64[s]"), dates.tz_convert(None).to_numpy()
    )
    hours = (time_features(series.date_T)[:, 0] + 0.5) * 23
    np.testing.assert_allclose(hours, dates.hour, atol=1e-4)  # by the local clock
    folder = tmp_path / "series"
    folder.mkdir()
    write_series(folder / "series.parquet", series)
    splits = {name: list(rows) for name, rows in series.splits.items()}
    write_json(folder / "source.json", {"channels": series.channels, **series.step.described(), "splits": splits})
    read = read_series(folder)
    assert read.offset_T is not None
    np.testing.assert_array_equal(read.offset_T, series.offset_T)
    np.testing.assert_array_equal(read.value_TC, series.value_TC)


@pytest.mark.parametrize("between", ["T", " "])
def test_an_offset_after_the_hour_alone_is_one_too(tmp_path: Path, between: str) -> None:
    stamps = [f"{date:%Y-%m-%d}{between}{date:%H%z}" for date in AUTUMN]
    accepted = accept(tmp_path, [f"{stamp[:-2]}:{stamp[-2:]}" for stamp in stamps]).series
    expected = accept(tmp_path, texts(AUTUMN)).series
    np.testing.assert_array_equal(accepted.date_T, expected.date_T)
    np.testing.assert_array_equal(accepted.offset_T, expected.offset_T)


@pytest.mark.parametrize("frequency", ["D", "W", "MS", "B"])
def test_days_and_longer_may_be_even_by_the_local_clock(tmp_path: Path, frequency: str) -> None:
    dates = pd.date_range("2016-03-01", periods=40, freq=frequency, tz="Europe/Berlin")
    local = pd.date_range("2016-03-01", periods=40, freq=frequency)
    assert accept(tmp_path, texts(dates)).series.step == accept(tmp_path, texts(local)).series.step


def test_an_hour_missing_by_utc_is_a_gap_though_the_local_clock_hides_it(tmp_path: Path) -> None:
    stamps = texts(AUTUMN)
    del stamps[stamps.index("2016-10-30 02:00:00+02:00")]  # the local clock goes on from 01:00 to 02:00
    told = problem(tmp_path, stamps)
    assert "1 gap, the first after 2016-10-30 01:00:00+02:00" in told
    assert "2 hours to the next time stamp" in told


def test_some_offsets_are_one_problem(tmp_path: Path) -> None:
    stamps = texts(AUTUMN)
    stamps[5] = stamps[5][:-6]
    assert (
        "1 time stamp without an offset from UTC beside others with one, the first '2016-10-29 17:00:00' in line 7"
        in (problem(tmp_path, stamps))
    )


@pytest.mark.parametrize("minutes", [15, 60])
@pytest.mark.parametrize(
    ("zone", "start", "before"),
    [
        ("Europe/Berlin", "2016-10-29 12:00", "2016-10-30 02"),
        ("America/New_York", "2016-11-05 12:00", "2016-11-06 01"),
        ("Europe/Berlin", "2016-03-26 12:00", "2016-03-27 01"),
        ("America/New_York", "2016-03-12 12:00", "2016-03-13 01"),
    ],
)
def test_clocks_that_were_changed_cost_no_measured_hour(
    tmp_path: Path, zone: str, start: str, before: str, minutes: int
) -> None:
    """Local time without an offset: advised is the offset, and never to drop or fill in a row."""
    dates = pd.date_range(start, periods=48 * 60 // minutes, freq=f"{minutes}min", tz=zone).tz_localize(None)
    told = problem(tmp_path, texts(dates))
    assert f"1 jump of an hour as where clocks are changed, the first from {before}:{60 - minutes:02}:00 to" in (
        told.replace(":60:", ":00:").replace(f"{before}:00:00", f"{before}:{60 - minutes:02}:00", 1)
    )
    assert "write the offsets" in told
    assert "drop no row" in told
    for harmful in ("keep one row", "their mean", "fill the missing", "longest stretch"):
        assert harmful not in told


def test_other_gaps_and_repeats_are_told_beside_a_change_of_clocks(tmp_path: Path) -> None:
    stamps = texts(AUTUMN.tz_localize(None))
    del stamps[40]
    stamps[5:5] = [stamps[5]]
    with pytest.raises(ExpectedError) as caught:
        accept(tmp_path, stamps)
    for words in (
        "3 problems",
        "1 jump of an hour",
        "1 time stamp there before, the first 2016-10-29 17",
        "1 gap, the",
    ):
        assert words in str(caught.value)


def test_what_of_the_calendar_changes_from_row_to_row() -> None:
    for step, expected in (
        (Step(seconds=900), ("hour", "weekday")),
        (Step(seconds=86_400), ("weekday", "month")),
        (Step(seconds=7 * 86_400), ("month",)),
        (Step(calendar="B"), ("weekday", "month")),
        (Step(calendar="3ME"), ("month",)),
    ):
        assert calendar_parts(step) == expected


def test_a_stamp_of_days_is_a_date_alone_at_midnight_of_no_known_offset() -> None:
    noon = 1_577_880_000  # 2020-01-01 12:00
    for step in (Step(seconds=86_400), Step(calendar="MS"), Step(calendar="B")):
        assert step.stamp(noon - 43_200) == "2020-01-01"
        assert step.stamp(noon) == "2020-01-01 12:00:00"
        assert step.stamp(noon - 43_200, 3600) == "2020-01-01 00:00:00+01:00"
    assert Step(seconds=43_200).stamp(noon - 43_200) == "2020-01-01 00:00:00"
