"""`python -m pipeline forecast` from file to file: the same as the Python API; what cannot be done is refused in one
message, and nothing is written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline import cli
from pipeline.core.files import read_json, sha256
from pipeline.mole.data.series import read_series
from pipeline.mole.trained import Forecaster

ASKED = ["--data", "new.csv", "--out", "forecast.csv"]
Edit = Callable[[list[str]], None]


@pytest.fixture
def work(series_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small trained forecasters and the last 30 rows of their series."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(series_project / "models", "models")
    shutil.copy(series_project / "plan.yaml", "plan.yaml")
    series = read_series(series_project / "data/raw/mole/series")
    frame = pd.DataFrame(series.value_TC[-30:], columns=list(series.channels))
    frame.insert(2, "date", series.date_T[-30:].astype("datetime64[s]"))
    frame.to_csv("new.csv", index=False)
    return tmp_path


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["forecast", *arguments])
    return int(ended.value.code or 0)


def edit(change: Edit, file: str = "new.csv") -> None:
    lines = Path(file).read_text().splitlines()
    change(lines)
    Path(file).write_text("\n".join(lines) + "\n")


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], {}),
        (["--horizon", "6"], {"horizon": 6}),
        (["--point", "rlinear", "--seed", "3"], {"point": "rlinear", "seed": 3}),
        (["--model", "models/mole/series", "--point", "mole_rlinear"], {"point": "mole_rlinear"}),
    ],
)
def test_the_file_holds_what_the_python_api_returns(options: list[str], asked: dict[str, Any]) -> None:
    assert call(*ASKED, *options) == 0
    expected = Forecaster.load(**asked).forecast(pd.read_csv("new.csv"))
    written = pd.read_csv("forecast.csv", parse_dates=["date"], float_precision="round_trip")
    assert list(written.columns) == ["date", "town", "offices", "shops", "pump", "plant"]
    np.testing.assert_array_equal(written["date"], expected["date"])
    np.testing.assert_array_equal(written.iloc[:, 1:], expected.iloc[:, 1:])
    origin = read_json(Path("forecast.csv.json"))
    assert origin | {"input": "", "input_sha256": ""} == expected.attrs["celldag"] | {"input": "", "input_sha256": ""}
    assert origin["input_sha256"] == sha256(Path("new.csv"))
    assert origin["input"] == "new.csv"


@pytest.mark.usefixtures("work")
def test_the_same_call_writes_the_same_bytes_and_says_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--data", "new.csv", "--point", "mole_dlinear", "--seed", "0", "--out", "one.csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 rows of 5 channels forecast"
    assert lines[1].startswith(
        "forecast by mole_dlinear (3 experts of dlinear), horizon 12, seed 0; validation loss 0."
    )
    assert lines[2] == "from the last 24 rows, 2021-03-25 00:00:00 to 2021-03-25 23:00:00"
    assert lines[3] == "wrote one.csv and one.csv.json"
    assert call("--data", "new.csv", "--point", "mole_dlinear", "--seed", "0", "--out", "two.csv") == 0
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()
    assert Path("one.csv.json").read_bytes() == Path("two.csv.json").read_bytes()
    assert Path("one.csv").read_text().splitlines()[1].startswith("2021-03-26 00:00:00,")


@pytest.mark.usefixtures("work")
def test_a_forecast_can_follow_on_a_forecast() -> None:
    """What was written is a series as it is read."""
    assert call(*ASKED) == 0
    both = [pd.read_csv(name, parse_dates=["date"]) for name in ("new.csv", "forecast.csv")]
    pd.concat(both).to_csv("longer.csv", index=False)
    assert call("--data", "longer.csv", "--out", "later.csv") == 0
    assert pd.read_csv("later.csv")["date"].iloc[0] == "2021-03-26 12:00:00"


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("rows", [5, 12, 30])
def test_more_rows_than_the_horizon_are_forecast_from_forecasts(rows: int, capsys: pytest.CaptureFixture[str]) -> None:
    point = ["--point", "rlinear", "--seed", "3"]
    assert call(*ASKED, *point, "--rows", str(rows)) == 0
    assert ("are forecast from forecasts" in capsys.readouterr().out) == (rows > 12)
    found = pd.read_csv("forecast.csv", float_precision="round_trip")
    forecaster, series = Forecaster.load(point="rlinear", seed=3), pd.read_csv("new.csv", parse_dates=["date"])
    series = series[["date", *forecaster.lookback.channels]]
    while len(series) < 30 + rows:
        series = pd.concat([series, forecaster.forecast(series)], ignore_index=True)
    expected = series[30 : 30 + rows]
    assert found["date"].tolist() == [str(date) for date in expected["date"]]
    np.testing.assert_allclose(found.iloc[:, 1:], expected.iloc[:, 1:], rtol=1e-6)


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("option", [["--level", "90"], ["--experts"]])
def test_forecasts_from_forecasts_have_no_intervals(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*ASKED, "--point", "mole_dlinear", *option]
    assert call(*asked, "--rows", "30") == 2
    assert "rows after it are forecast from forecasts: ask for 12 rows or fewer" in capsys.readouterr().err
    assert not Path("forecast.csv").exists()
    assert call(*asked, "--rows", "5") == 0
    few = Path("forecast.csv").read_text().splitlines()
    assert call(*asked, "--overwrite") == 0
    assert few == Path("forecast.csv").read_text().splitlines()[:6]


@pytest.mark.usefixtures("work")
def test_a_file_in_long_format_is_forecast_in_long_format() -> None:
    point = ["--point", "mole_dlinear", "--seed", "0"]
    assert call(*ASKED, *point, "--level", "90") == 0
    wide = pd.read_csv("forecast.csv", float_precision="round_trip").rename(columns={"date": "ds"})
    long = pd.read_csv("new.csv").melt("date", var_name="unique_id", value_name="y").rename(columns={"date": "ds"})
    long[["unique_id", "ds", "y"]].to_csv("long.csv", index=False)
    assert call("--data", "long.csv", "--out", "long_forecast.csv", *point, "--level", "90") == 0
    found = pd.read_csv("long_forecast.csv", float_precision="round_trip")
    assert list(found) == ["unique_id", "ds", "mole_dlinear", "mole_dlinear-lo-90", "mole_dlinear-hi-90"]
    for channel, of in found.groupby("unique_id", sort=False):
        names = {f"mole_dlinear{end}": f"{channel}{end}" for end in ("", "-lo-90", "-hi-90")}
        expected = wide[["ds", *names.values()]]
        pd.testing.assert_frame_equal(
            of.drop(columns="unique_id").rename(columns=names).reset_index(drop=True), expected
        )
    forecaster = Forecaster.load(point="mole_dlinear", seed=0)
    api = forecaster.forecast(long, "ds", level=[90])
    np.testing.assert_array_equal(api["mole_dlinear-lo-90"], found["mole_dlinear-lo-90"])


@pytest.mark.usefixtures("work")
def test_a_study_that_was_not_run_leaves_no_doubt() -> None:
    plan = yaml.safe_load(Path("plan.yaml").read_text())
    plan["plan"]["mole"]["points"]["other-dlinear"] = {"study": "other", "point": "dlinear"}
    Path("plan.yaml").write_text(yaml.safe_dump(plan))
    assert call(*ASKED) == 0


@pytest.mark.usefixtures("work")
def test_several_columns_of_dates_are_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    edit(lambda lines: lines.__setitem__(slice(None), [f"{line},2020-01-01" for line in lines]))
    edit(lambda lines: lines.__setitem__(0, lines[0].replace("date", "date of it").replace("2020-01-01", "month")))
    assert call(*ASKED) == 2
    assert "several columns hold dates ('date of it', 'month'); name the column of time stamps with --date" in (
        capsys.readouterr().err
    )


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("said", [["--date", "when"], []])
def test_experts_and_another_name_of_the_dates(said: list[str]) -> None:
    edit(lambda lines: lines.__setitem__(0, lines[0].replace("date", "when")))
    assert call(*ASKED, *said, "--point", "mole_dlinear", "--experts") == 0
    written = pd.read_csv("forecast.csv")
    assert written.columns[0] == "when"
    assert len(written.columns) == 1 + 5 * 4
    experts = written[[f"town (expert {e})" for e in (1, 2, 3)]]
    assert (written["town"] <= experts.max(axis=1) + 1e-4).all()
    assert (written["town"] >= experts.min(axis=1) - 1e-4).all()


@pytest.mark.usefixtures("work")
def test_rows_before_the_lookback_and_columns_of_no_use_may_hold_anything(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*ASKED) == 0
    before = Path("forecast.csv").read_bytes()

    def spoil(lines: list[str]) -> None:
        lines[:] = [f"{line},text" for line in lines]
        lines[0] = lines[0].replace(",text", ",remark")
        lines[4] = ",,,,,,"
        lines[5] = lines[5].replace("2021", "1999")

    edit(spoil)
    assert call(*ASKED, "--overwrite") == 0
    assert Path("forecast.csv").read_bytes() == before
    assert "1 column not used: 'remark'" in capsys.readouterr().out


@pytest.mark.usefixtures("work")
def test_how_the_file_is_written_does_not_matter() -> None:
    assert call(*ASKED) == 0
    expected = Path("forecast.csv").read_bytes()
    frame = pd.read_csv("new.csv", parse_dates=["date"])
    form = "%d.%m.%Y %H:%M"
    frame.to_csv("NEW.CSV", index=False, sep=";", decimal=",", encoding="utf-16", date_format=form)
    assert call("--data", "NEW.CSV", "--out", "other.csv") == 0
    assert Path("other.csv").read_bytes() == expected
    notes = read_json(Path("other.csv.json"))["notes"]
    assert sum("separated by ';'" in note or "decimal comma" in note or "%d.%m.%Y" in note for note in notes) == 3
    frame.to_csv("set.csv", index=False, sep="x", decimal=",", date_format="%d/%m/%y %Hh")
    options = ["--separator", "x", "--decimal", ",", "--date-format", "%d/%m/%y %Hh"]
    assert call("--data", "set.csv", *options, "--out", "set_forecast.csv") == 0
    assert Path("set_forecast.csv").read_bytes() == expected


@pytest.mark.usefixtures("work")
def test_an_offset_from_utc_is_written_and_read_again() -> None:
    edit(
        lambda lines: lines.__setitem__(slice(1, None), [line.replace(":00:00", ":00:00+02:00") for line in lines[1:]])
    )
    assert call(*ASKED) == 0
    assert pd.read_csv("forecast.csv")["date"].iloc[0] == "2021-03-26 00:00:00+02:00"
    pd.concat([pd.read_csv("new.csv"), pd.read_csv("forecast.csv")]).to_csv("longer.csv", index=False)
    assert call("--data", "longer.csv", "--out", "later.csv") == 0
    assert pd.read_csv("later.csv")["date"].iloc[0] == "2021-03-26 12:00:00+02:00"


def _cut(lines: list[str]) -> None:
    del lines[1:8]


def _gap(lines: list[str]) -> None:
    del lines[20]


def _text(lines: list[str]) -> None:
    lines[30] = "much" + lines[30][lines[30].index(",") :]


def _swapped(lines: list[str]) -> None:
    lines[20], lines[21] = lines[21], lines[20]


def _short_row(lines: list[str]) -> None:
    lines[30] = lines[30].rpartition(",")[0]


def _half_hours(lines: list[str]) -> None:
    lines[1:] = [line.replace(":00:00", ":30:00") for line in lines[1:]]
    lines[1:] = [row for line in lines[1:] for row in (line.replace(":30:00", ":00:00"), line)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_cut, "rows: found 23 rows; expected 24 or more: a forecast is made from the last 24"),
        (_gap, "1 gap, the first after 2021-03-25 12:00:00 in line 20: 2 hours to the next time stamp"),
        (_text, "'town' (1 row, first 'much' in line 31)"),
        (_swapped, "1 time stamp earlier than the one before"),
        (_short_row, "line 31: found 1 row of another length than the header"),
        (_half_hours, "step of time: found 30 minutes; expected 1 hour, that of the series"),
        (lambda lines: lines.__setitem__(0, lines[0].replace("pump", "pumps")), "found no 'pump', perhaps 'pumps'"),
        (lambda lines: lines.__delitem__(slice(1, None)), "new.csv has a header but no rows"),
        (lambda lines: lines.clear(), "new.csv is empty"),
    ],
)
def test_a_bad_file_is_one_message_and_nothing_is_written(
    work: Path, capsys: pytest.CaptureFixture[str], change: Edit, words: str
) -> None:
    edit(change)
    before = sorted(work.iterdir())
    assert call(*ASKED) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("error: ") == 1
    assert words in told.err
    assert sorted(work.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "absent.csv"], "absent.csv not found"),
        (["--data", "models"], "models is a folder: expected one CSV file"),
        (["--out", "new.csv"], "new.csv is the input: name another file to write"),
        (["--out", "models/../new.csv", "--overwrite"], "new.csv is the input"),
        (["--out", "there.csv"], "there.csv exists: name another file, or add --overwrite"),
        (["--out", "half.csv"], "half.csv.json exists: name another file, or add --overwrite"),
        (["--out", "models"], "models is a folder: name the file to write"),
        (["--horizon", "7"], "no point in models/mole/series has horizon 7: there are 6, 12"),
        (["--point", "mole"], "no point 'mole' in models/mole/series"),
        (["--seed", "1"], "was trained with seeds 0, 3, not with 1"),
        (["--horizon", "many"], "invalid int value: 'many'"),
        (["--model", "nowhere"], "no forecaster in nowhere: `dvc repro mole_train`"),
        (["--point", "rlinear", "--experts"], "rlinear is a backbone alone: it has no experts to show"),
        (["--threads", "0"], "--threads 0: expected a whole number from 1 to 1,024"),
        (["--threads", "1000000"], "--threads 1000000: expected a whole number from 1 to 1,024"),
        (["--horizon", "-3"], "--horizon -3: expected a whole number from 1 to 65,536"),
        (["--seed", "-1"], "--seed -1: expected a whole number from 0 to 4,294,967,295"),
        (["--date", "when"], "found no such column; there are"),
        (["--horizn", "6"], "did you mean --horizon?"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_nothing_is_written(
    work: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    Path("there.csv").write_text("there")
    Path("half.csv.json").write_text("there")
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    assert call(*ASKED, *arguments) == 2
    assert words in capsys.readouterr().err
    assert {path: path.read_bytes() for path in work.rglob("*") if path.is_file()} == before
    assert not list(work.glob(".*partial"))


@pytest.mark.usefixtures("work")
def test_intervals_a_picture_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--level", "80", "90", "--json", "--plot"]
    assert call(*ASKED, *asked, "forecast.svg") == 0
    told = json.loads(capsys.readouterr().out)
    written = pd.read_csv("forecast.csv", float_precision="round_trip")
    assert list(written.columns[:2]) == ["date", "town"]
    low, high = written["town-lo-90"], written["town-hi-90"]
    assert (low < written["town-lo-80"]).all()
    assert (written["town-hi-80"] < high).all()
    assert told["forecast"] == written.to_dict("list")
    assert told["written"] == ["forecast.csv", "forecast.csv.json", "forecast.svg"]
    assert told["arguments"] == read_json(Path("forecast.csv.json"))["arguments"]
    picture = Path("forecast.svg").read_bytes()
    assert b">town<" in picture
    assert b">90 %<" in picture
    assert call(*ASKED, *asked, "forecast.svg", "--overwrite") == 0
    assert Path("forecast.svg").read_bytes() == picture
    assert call(*ASKED, "--plot", "forecast.PNG", "--overwrite") == 0
    assert Path("forecast.PNG").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.endswith("wrote forecast.csv, forecast.csv.json and forecast.PNG\n")


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--level", "91"], "intervals of level 91 are not calibrated: expected one of"),
        (["--plot", "forecast.pdf"], "--plot forecast.pdf: expected a name that ends in .svg or .png"),
        (["--plot", "taken.png"], "taken.png exists"),
    ],
)
def test_what_cannot_be_drawn_or_covered_is_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("taken.png").touch()
    assert call(*ASKED, *options) == 2
    assert message in capsys.readouterr().err
    assert not Path("forecast.csv").exists()
