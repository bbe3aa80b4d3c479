"""CSV files of a series: what is accepted, and that every problem is told with its place in the file."""

import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import ExpectedError
from pipeline.data.source import Findings
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.csv_series import read_csv_series
from pipeline.mole.data.source import AcceptedSeries, accept_series
from pipeline.mole.data.step import Step

ROWS = 20
OPTIONS = CsvOptions(section="mole.ingest")
Lines = list[str]


def lines() -> Lines:
    """A sound file: an hour between rows, two channels. Line 1 is the header, and item 0."""
    return ["date,load,wind"] + [f"2016-07-01 {row:02}:00:00,{row}.5,{(7 * row) % 11}" for row in range(ROWS)]


def accept(path: Path, content: Lines | str, date: str = "date", layout: str | None = None) -> AcceptedSeries:
    file = path / "load.csv"
    file.write_text(content if isinstance(content, str) else "\n".join(content) + "\n", encoding="utf-8")
    return accept_series(file, CsvOptions(date, section="mole.ingest"), layout)


def problems(path: Path, content: Lines | str, date: str = "date", layout: str | None = None) -> list[str]:
    """The problems that one message lists."""
    with pytest.raises(ExpectedError) as caught:
        accept(path, content, date, layout)
    first, *listed = str(caught.value).split("\n")
    number = re.search(r"cannot be used, (\d+) problem", first)
    assert number is not None, first
    assert int(number[1]) == len(listed)
    return listed


def test_a_sound_file_is_read_to_the_last_digit(tmp_path: Path) -> None:
    accepted = accept(tmp_path, lines())
    series = accepted.series
    assert accepted.notes == []
    assert series.channels == ("load", "wind")
    assert series.step == Step(3600)
    assert series.splits == {"train": (0, 14), "validation": (14, 16), "test": (16, 20)}
    np.testing.assert_array_equal(series.date_T.astype("datetime64[s]"), np.arange(
        np.datetime64("2016-07-01T00", "s"), np.datetime64("2016-07-01T20", "s"), np.timedelta64(3600, "s")
    ))  # fmt: skip
    np.testing.assert_array_equal(series.value_TC[:, 0], np.arange(ROWS) + 0.5)
    np.testing.assert_array_equal(series.value_TC[:, 1], 7 * np.arange(ROWS) % 11)
    assert accept(tmp_path, "\ufeff" + "\r\n".join(lines())).series.value_TC.tolist() == series.value_TC.tolist()


@pytest.mark.parametrize(
    "form",
    [
        "{d}T{h:02}:00",
        "{d} {h:02}:00:00Z",
        "{d} {h:02}:00+02:00",
        "2016/7/1 {h}:00",
        "2016/07/01 {h:02}:00:00",
        '"{d} {h:02}"',
    ],
)
def test_dates_have_several_forms(tmp_path: Path, form: str) -> None:
    content = ["load,when"] + [f"{row % 3},{form.format(d='2016-07-01', h=row)}" for row in range(ROWS)]
    series = accept(tmp_path, content, "when").series
    assert series.channels == ("load",)
    assert series.date_T.tolist() == accept(tmp_path, lines()).series.date_T.tolist()


def test_numbers_have_several_forms(tmp_path: Path) -> None:
    content = lines()
    for row, number in enumerate((" 1.25 ", "+3", "-4e-2", ".5", '"7"', "1E3"), 1):
        content[row] = f"{content[row].split(',')[0]},{number},{row}"
    assert accept(tmp_path, content).series.value_TC[:6, 0].tolist() == [1.25, 3.0, -0.04, 0.5, 7.0, 1000.0]


def test_no_date_column(tmp_path: Path) -> None:
    content = lines()
    content[0] = "Date,load,wind"
    (problem,) = problems(tmp_path, content)
    assert "column 'date': found no such column; there are 'Date', 'load', 'wind'" in problem
    assert "set mole.ingest.date to the column of time stamps, perhaps 'Date'" in problem


def test_unreadable_dates(tmp_path: Path) -> None:
    content = lines()
    content[4], content[9] = "yesterday,1,2", ",1,2"
    (problem,) = problems(tmp_path, content)
    assert "2 dates that cannot be read, the first 'yesterday' in line 5" in problem


def test_fractions_of_a_second(tmp_path: Path) -> None:
    content = lines()
    content[3] = "2016-07-01 02:00:00.250,1,2"
    (problem,) = problems(tmp_path, content)
    assert "fractions of a second, the first '2016-07-01 02:00:00.250' in line 4" in problem


def test_time_stamps_out_of_order(tmp_path: Path) -> None:
    content = lines()
    content[6], content[7] = content[7], content[6]
    (problem,) = problems(tmp_path, content)
    assert (
        "1 time stamp earlier than the one before, the first 2016-07-01 05:00:00 in line 8 after 2016-07-01 06:00:00"
        in problem
    )


def test_a_time_stamp_there_twice(tmp_path: Path) -> None:
    content = lines()
    content[8:8] = [content[7]]
    (problem,) = problems(tmp_path, content)
    assert "1 time stamp there before, the first 2016-07-01 06:00:00 in line 9 and already in line 8" in problem
    content = lines()
    content[15] = content[2]  # out of order as well, and what was there is missing
    listed = problems(tmp_path, content)
    assert len(listed) == 3
    assert "2016-07-01 01:00:00 in line 16 and already in line 3" in listed[1]


def test_gaps(tmp_path: Path) -> None:
    content = lines()
    del content[17], content[5:8]
    (problem,) = problems(tmp_path, content)
    assert "2 gaps, the first after 2016-07-01 03:00:00 in line 5: 4 hours to the next time stamp" in problem
    assert "expected a row every hour" in problem


def test_text_in_a_channel(tmp_path: Path) -> None:
    content = lines()
    content[3] = "2016-07-01 02:00:00,2.5,strong"
    content[5] = "2016-07-01 04:00:00,4.5,weak"
    content[6] = '2016-07-01 05:00:00,"5,5",1_0'
    (problem,) = problems(tmp_path, content)
    assert "2 channels with text: found 'load' (1 row, first '5,5' in line 7)" in problem
    assert "'wind' (3 rows, first 'strong' in line 4)" in problem


def test_values_that_are_missing_or_infinite(tmp_path: Path) -> None:
    content = lines()
    for row, (load, wind) in {2: ("nan", "-inf"), 3: ("", "inf"), 7: ("NA", "1")}.items():
        content[row] = f"{content[row].split(',')[0]},{load},{wind}"
    listed = problems(tmp_path, content)
    assert len(listed) == 2
    assert "1 channel with no value: found 'load' (3 rows, first in line 3)" in listed[0]
    assert "1 channel with an infinite value: found 'wind' (2 rows, first in line 3)" in listed[1]


def test_values_whose_squares_overflow(tmp_path: Path) -> None:
    content = lines()
    content[8] = f"{content[8].split(',')[0]},1,-2e302"
    (problem,) = problems(tmp_path, content)
    assert "1 channel with a value beyond 1e+150: found 'wind' (2e+302); expected values whose squares" in problem


def test_a_constant_channel(tmp_path: Path) -> None:
    content = [line.rpartition(",")[0] + ",0.1" for line in lines()]
    content[0] = "date,load,wind"
    content[-1] = content[-1].replace("0.1", "5")  # it changes, but after the train rows
    (problem,) = problems(tmp_path, content)
    assert "1 channel constant over the train rows: found 'wind' (always 0.1)" in problem
    assert "within the first 14 rows" in problem


def test_no_channel(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, [line.partition(",")[0] for line in lines()])
    assert "channels: found no column beside 'date'" in problem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("date,load\n", "has a header but no rows"),
        (b"date,load\n2016-07-01,\x81\n", "no CSV file: it holds '.ufffd', which no text has, in line 2"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = tmp_path / "load.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ExpectedError, match=message):
        accept_series(file, OPTIONS, None)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ExpectedError, match="not found"):
        accept_series(tmp_path / "load.csv", OPTIONS, None)
    with pytest.raises(ExpectedError, match="is a folder"):
        accept_series(tmp_path, OPTIONS, None)


def test_a_series_too_short_to_split(tmp_path: Path) -> None:
    assert accept(tmp_path, lines()[:11]).series.splits == {"train": (0, 7), "validation": (7, 8), "test": (8, 10)}
    (problem,) = problems(tmp_path, lines()[:10])
    assert "rows: found 9 rows; expected 10 or more" in problem


def test_where_no_row_has_the_columns_of_the_header_the_cause_is_told_once(tmp_path: Path) -> None:
    content = [lines()[0], *(f"{line},5" for line in lines()[1:])]
    message = "no row has as many columns as the header, 3; the first has 4, separated by ','. Where a comma is"
    with pytest.raises(ExpectedError, match=message):
        accept(tmp_path, content)


def test_rows_of_another_length_and_blank_lines_keep_the_numbers_of_lines(tmp_path: Path) -> None:
    content = lines()
    content[12] += ",9,9"
    content[15] = "2016-07-01 14:00:00,many,3"
    content[3:3] = ["", ""]
    listed = problems(tmp_path, content)
    assert "line 15: found 1 row of another length than the header, the first of 5 columns; expected 3" in listed[0]
    assert "1 gap, the first after 2016-07-01 10:00:00 in line 14" in listed[1]
    assert "first 'many' in line 18" in listed[2]


def test_names_of_columns(tmp_path: Path) -> None:
    content = lines()
    content[0] = "date,load,load"
    (problem,) = problems(tmp_path, content)
    assert "1 name of several columns: 'load'" in problem
    content[0] = "date,,wind"
    (problem,) = problems(tmp_path, content)
    assert "no name for column 2" in problem
    content = ["when,date"] + [line.rpartition(",")[0] for line in lines()[1:]]
    (problem,) = problems(tmp_path, content, "when")
    assert "a channel called 'date' beside the time stamps in 'when'" in problem


def test_all_problems_come_in_one_message(tmp_path: Path) -> None:
    content = lines()
    content[4] = "2016-07-01 03:00:00,x,1"
    content[6] = "2016-07-01 05:00:00,1,nan"
    content[9], content[12] = content[12], content[9]
    content[15:15] = [content[14]]
    del content[18]
    told = "\n".join(problems(tmp_path, content))
    for words in ("with text", "with no value", "earlier than", "there before", "1 gap"):
        assert words in told


def test_repeats_and_gaps_can_be_notes(tmp_path: Path) -> None:
    content = lines()
    content[8:8] = [content[7]]
    del content[15]
    file = tmp_path / "load.csv"
    file.write_text("\n".join(content))
    findings = Findings()
    found = read_csv_series(file, CsvOptions(), findings, even=False)
    assert findings.problems == []
    assert len(findings.notes) == 2
    assert found.step == Step(3600)
    assert found.rows == ROWS
    file.write_text("\n".join([content[0]] + [content[1]] * 12))
    read_csv_series(file, CsvOptions(), findings, even=False)
    (problem,) = findings.problems
    assert "2016-07-01 00:00:00 in every row" in str(problem)
