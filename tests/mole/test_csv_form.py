"""CSV files as programs of the office and loggers write them: what is read, with what note, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import ExpectedError
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.source import AcceptedSeries, accept_series
from pipeline.mole.params.ingest import Ingest

ROWS = 24
Lines = list[str]
EXPECTED = np.column_stack([np.arange(ROWS) + 0.25, 7.0 * np.arange(ROWS) % 11])
FIRST = np.datetime64("2016-07-13T00", "s")


def lines(separator: str = ",", decimal: str = ".", date: str = "2016-07-13 {row:02}:00") -> Lines:
    rows = [separator.join([date.format(row=row), f"{row}{decimal}25", str(7 * row % 11)]) for row in range(ROWS)]
    return [separator.join(["date", "load", "wind"]), *rows]


def accept(folder: Path, content: Lines | bytes, name: str = "load.csv", **options: str) -> AcceptedSeries:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else ("\n".join(content) + "\n").encode())
    return accept_series(file, CsvOptions(section="mole.ingest", **options), None)


def problem(folder: Path, content: Lines | bytes, **options: str) -> str:
    """The one problem that the file has."""
    with pytest.raises(ExpectedError) as caught:
        accept(folder, content, **options)
    message = str(caught.value)
    assert "1 problem:" in message or "cannot be used" not in message, message
    return message


def assert_read(accepted: AcceptedSeries) -> None:
    np.testing.assert_array_equal(accepted.series.value_TC, EXPECTED)
    np.testing.assert_array_equal(accepted.series.date_T.astype("datetime64[s]"), FIRST + 3600 * np.arange(ROWS))


COMMA = "numbers read with a decimal comma (first '0,25'): mole.ingest.decimal sets the mark"
SEMICOLON = "columns separated by ';': mole.ingest.separator sets another separator"


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (lines(), []),
        (lines(";", ","), [SEMICOLON, COMMA]),
        (lines(";"), [SEMICOLON]),
        (lines("\t"), [SEMICOLON.replace(";", "\\t")]),
        (["sep=;", *lines(";", ",")], [COMMA]),
        (["sep=,", *lines()], []),
        (["# made by a logger", "", "#, 3, 4", *lines()], []),
        ([*lines()[:5], "# restarted", *lines()[5:]], []),
        ([*lines()[:5], "", *lines()[5:]], []),
        (['"date";"load";"wind"', *lines(";")[1:]], [SEMICOLON]),
        (['date,load,"wind"', *(f'"{line}"'.replace(",", '","') for line in lines()[1:])], []),
        (lines(date="13.07.2016 {row:02}:00"), ["dates read as %d.%m.%Y %H:%M (first '13.07.2016 00:00'): "
                                                "mole.ingest.date_format sets another form"]),
        (lines(date="7/13/2016 {row}:00"), ["dates read as %m/%d/%Y %H:%M (first '7/13/2016 0:00'): "
                                            "mole.ingest.date_format sets another form"]),
    ],
)  # fmt: skip
def test_the_form_of_a_file_is_found_out_and_noted(tmp_path: Path, content: Lines, notes: Lines) -> None:
    accepted = accept(tmp_path, content)
    assert_read(accepted)
    assert accepted.notes == notes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings(tmp_path: Path, encoding: str, end: str) -> None:
    accepted = accept(tmp_path, end.join(lines()).replace("wind", "Böen").encode(encoding))
    assert_read(accepted)
    assert accepted.series.channels == ("load", "Böen")
    assert accepted.notes == []


def test_what_windows_writes_is_read_with_a_note(tmp_path: Path) -> None:
    accepted = accept(tmp_path, "\r\n".join(lines()).replace("wind", "Böen [°C]").encode("cp1252"))
    assert_read(accepted)
    assert accepted.series.channels == ("load", "Böen [°C]")
    assert accepted.notes == ["the text is not UTF-8 and was read as Windows-1252: check letters such as ä in names"]


def test_what_is_set_goes_before_what_is_found(tmp_path: Path) -> None:
    assert_read(accept(tmp_path, lines(";", ","), separator=";", decimal=","))
    assert_read(accept(tmp_path, lines("x"), separator="x"))
    assert_read(accept(tmp_path, lines(date="16-13-07 {row}h"), date_format="%y-%d-%m %Hh"))
    told = problem(tmp_path, lines(), date_format="%d.%m.%Y %H:%M")
    assert (
        "24 dates that cannot be read, the first '2016-07-13 00:00' in line 2; expected dates of the form %d.%m."
        in told
    )
    assert "2 channels with text" not in told
    told = problem(tmp_path, lines(";", ","), decimal=".")
    assert "1 channel with text: found 'load' (24 rows, first '0,25' in line 2)" in told
    assert Ingest(path="x.csv", separator=";", decimal=",", date_format="%d.%m.%Y").separator == ";"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("separator", ";;", "mole.ingest.separator = ';;': expected one character"),
        ("separator", '"', "expected one character"),
        ("separator", "", "expected one character"),
        ("separator", "ä", "expected one character"),
        ("date_format", "%d.%Q", "mole.ingest.date_format = '%d.%Q': 'Q' is a bad directive"),
        ("date_format", "day", "24 dates that cannot be read"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, option: str, value: str, message: str) -> None:
    assert message in problem(tmp_path, lines(), **{option: value})


def test_days_and_months_that_could_be_either_are_refused(tmp_path: Path) -> None:
    either = lines(date="02/03/2016 {row:02}:00")
    told = problem(tmp_path, either)
    assert "dates that can be read in two ways, the first '02/03/2016 00:00' in line 2" in told
    assert "%d/%m/%Y %H:%M or %m/%d/%Y %H:%M" in told
    assert "set mole.ingest.date_format to one of them" in told
    series = accept(tmp_path, either, date_format="%d/%m/%Y %H:%M").series
    assert series.date_T[0].astype("datetime64[s]") == np.datetime64("2016-03-02", "s")
    days = ["date,load", *(f"{day}/03/2016,{day * day % 7}" for day in range(1, 20))]  # 13/03 is no day of a 13th month
    assert accept(tmp_path, days).series.date_T[-1].astype("datetime64[s]") == np.datetime64("2016-03-19", "s")


def test_a_comma_between_thousands_is_not_taken_for_a_decimal_one(tmp_path: Path) -> None:
    rows = [f"2016-07-13 {row:02}:00;{row + 1},{100 + row}" for row in range(ROWS)]
    told = problem(tmp_path, ["date;load", *rows])
    assert "channel 'load': found numbers such as '1,100', with a comma before three digits in all of them" in told
    assert "set mole.ingest.decimal to ','" in told
    assert accept(tmp_path, ["date;load", *rows], decimal=",").series.value_TC[0, 0] == 1.1
    thousands = [line.replace("13,25", "1.013") for line in lines(";", ",")]
    told = problem(tmp_path, thousands)
    assert "with text" in told  # 1013 or 1.013: the other numbers have a comma, so neither is taken
    thousands = [line.replace("13,25", "1.013") for line in lines(";", ",")]
    assert "first '1.013' in line 15" in problem(tmp_path, thousands, decimal=",")


def test_date_and_time_in_two_columns(tmp_path: Path) -> None:
    rows = [f"{row}.25,13.07.2016,{7 * row % 11},{row:02}:00" for row in range(ROWS)]
    content = ["load,date,wind,time", *rows]
    accepted = accept(tmp_path, content)
    assert_read(accepted)
    assert accepted.series.channels == ("load", "wind")
    assert accepted.notes[0] == "time of the day taken from column 'time'"
    content[7] = content[7].replace("06:00", "noon")
    assert "1 date that cannot be read, the first '13.07.2016 noon' in line 8" in problem(tmp_path, content)


@pytest.mark.parametrize("names", [("load", "wind"), ("1", "2")])
@pytest.mark.parametrize("by_series", [True, False])
def test_long_format_becomes_channels(tmp_path: Path, names: tuple[str, str], by_series: bool) -> None:
    rows = [
        (column if by_series else row, f"{names[column]},2016-07-13 {row:02}:00,{EXPECTED[row, column]}")
        for column in (0, 1)
        for row in range(ROWS)
    ]
    content = ["unique_id,ds,y", *(line for _, line in sorted(rows, key=lambda row: row[0]))]
    accepted = accept(tmp_path, content, date="ds")
    assert_read(accepted)
    assert accepted.series.channels == names
    told = "long format: 2 series of column 'unique_id' became channels, with the values of column 'y'"
    assert accepted.notes == [told]
    told = problem(tmp_path, content)
    assert "column 'date': found no such column; there are 'unique_id', 'ds', 'y'" in told
    assert "set mole.ingest.date to the column of time stamps, perhaps 'ds'" in told
    content[-1] = content[-1].rpartition(",")[0] + ",much"
    assert f"{names[1]!r} (1 row, first 'much' in line {len(content)})" in problem(tmp_path, content, date="ds")


def long_lines(**days: range) -> Lines:
    """Of each series, rows at these days of a year."""
    first = np.datetime64("2016-01-01")
    return ["unique_id,ds,y", *(f"{name},{first + day},{day * day % 7}" for name in days for day in days[name])]


def test_of_series_of_unequal_length_the_rows_are_used_that_all_have(tmp_path: Path) -> None:
    accepted = accept(tmp_path, long_lines(a=range(40), b=range(5, 38), c=range(2, 40)), date="ds")
    np.testing.assert_array_equal(accepted.series.value_TC, [[day * day % 7] * 3 for day in range(5, 38)])
    assert str(accepted.series.date_T[0].astype("datetime64[s]")) == "2016-01-06T00:00:00"
    assert accepted.notes[-1] == (
        "series of unequal length: the 33 time stamps that all have are used, which begin with 'b' and end with 'b'; "
        "12 of 111 rows are not used"
    )
    notes = accept(tmp_path, long_lines(a=range(40), b=range(5, 40)), date="ds").notes
    assert "which begin with 'b'; 5 of 75" in notes[-1]
    assert len(accept(tmp_path, long_lines(a=range(40), b=range(40)), date="ds").notes) == 1


def test_long_format_that_is_no_table_is_one_problem(tmp_path: Path) -> None:
    told = problem(tmp_path, long_lines(a=range(40), b=range(30, 40)), date="ds")
    assert "several series one below another, named in column 'unique_id', which have 10 time stamps in common" in told
    assert "'b' has 10 rows, 'a' 40; expected at least half of all rows" in told
    content = long_lines(a=range(28), b=range(28))
    told = problem(tmp_path, [*content[:40], *content[41:]], date="ds")
    assert "'b' has no row at 2016-01-12, as 'a' has in line 13; expected rows of every series" in told
    told = problem(tmp_path, [*content[:40], content[41], content[40], *content[42:]], date="ds")
    assert "in different orders: 'a' and 'b'" in told
    unequal = long_lines(a=range(28), b=range(3, 28))
    told = problem(tmp_path, [unequal[0], *np.random.default_rng(0).permutation(unequal[1:])], date="ds")
    assert "in different orders" in told
    told = problem(tmp_path, [*content, content[9]], date="ds")
    assert "'a' has '2016-01-09' in lines 10 and 58; expected every time stamp of a series once" in told
    told = problem(tmp_path, [content[0] + ",price", *(line + ",3" for line in content[1:])], date="ds")
    assert "with several values each; expected a column for each series" in told


def test_texts_that_mean_a_missing_value(tmp_path: Path) -> None:
    for text in ("#N/A", "--", "N.A.", "#DIV/0!", "n/a", "NULL", "."):
        told = problem(tmp_path, [line.replace("13.25", text) for line in lines()])
        assert f"1 channel with no value: found 'load' (1 row, first {text!r} in line 15)" in told
        assert "fill the values in" in told
        told = problem(tmp_path, [line.replace("13,25", text) for line in lines(";", ",")])
        assert "1 channel with no value" in told


def test_a_title_above_the_names_is_told(tmp_path: Path) -> None:
    told = problem(tmp_path, ["Station Berlin", *lines()])
    assert "load.csv has 3 columns, but its first line is 'Station Berlin': expected their names there" in told


@pytest.mark.parametrize("name", ["LOAD.CSV", "load.Csv", "load.tsv", "load.txt"])
def test_suffixes_in_any_case(tmp_path: Path, name: str) -> None:
    assert_read(accept(tmp_path, lines(), name))


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    cases = {
        "load.xlsx": (b"PK\x03\x04", "is a workbook: save its sheet as CSV"),
        "load.csv.gz": (b"\x1f\x8b\x08", r"is packed \(gzip\): unpack it \(gunzip --keep"),
        "load.parquet": (b"PAR1", r"is no CSV file: expected one \(.csv, .tsv, .txt\)"),
        "page.csv": (b"<!DOCTYPE html><html>", "is a page of the web"),
        "pointer.csv": (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        "binary.csv": (bytes(range(256)) * 8, "is no CSV file: it holds '.x00', which no text has, in line 1"),
        "nul.csv": (
            "\n".join(lines()).encode() + b"\n2016-07-14 00:00,1\x002,3\n",
            "in line 26; is it",
        ),
    }
    for name, (content, message) in cases.items():
        with pytest.raises(ExpectedError, match=message):
            accept(tmp_path, content, name)


def test_pipes_and_loops_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    for name, message in (("pipe.csv", "is a named pipe"), ("loop.csv", "is a loop of symbolic links")):
        with pytest.raises(ExpectedError, match=message):
            accept_series(tmp_path / name, CsvOptions(), None)


def test_lines_and_headers_without_end(tmp_path: Path) -> None:
    """No more than the beginning is read."""
    endless = b"date,load\n" + b"1" * (3 << 20)
    message = "has a line of more than 1,048,576 bytes"
    for content in (b"1" * (3 << 20), endless, b"\n".join([*map(str.encode, lines()), endless])):
        assert message in problem(tmp_path, content)
    wide = ",".join(["date", *(f"{column:x}" for column in range(200_000))]).encode() + b"\n1"
    assert "has 200,001 columns: expected at most 50,000" in problem(tmp_path, wide) or len(wide) > 1 << 20


def test_names_that_would_wreck_tables(tmp_path: Path) -> None:
    content = lines()
    content[0] = 'date,"Load\n[MW]",wind'
    assert accept(tmp_path, content).series.channels == ("Load [MW]", "wind")  # a cell of two lines in a spreadsheet
    long = "x" * 100_000
    told = problem(tmp_path, [f"date,{long},wind", *lines()[1:]])
    assert "1 label that no table can show (xxxx" in told
    assert "at most 200 characters" in told
    assert len(told) < 1000
    told = problem(tmp_path, ["date,lo\x7fad,wind", *lines()[1:]])
    assert "(lo\\x7fad)" in told
    with pytest.raises(ExpectedError) as caught:
        accept(tmp_path, [f"time,{long},wind", *lines()[1:]], date="nothing")
    assert len(str(caught.value)) < 1500
