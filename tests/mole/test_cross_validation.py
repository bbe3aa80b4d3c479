"""Forecasts from earlier cutoffs: each is the forecast of the series as it was then, beside what followed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import cli
from pipeline.core.files import read_json
from pipeline.mole.cross_validation import errors
from pipeline.mole.data.series import read_series
from pipeline.mole.trained import Forecaster

HORIZON, LOOKBACK = 12, 24
ASKED = ["--data", "new.csv", "--out", "found.csv", "--point", "mole_dlinear", "--seed", "0"]


@pytest.fixture
def frame(series_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The last 100 rows of a series; small forecasters of it are in the current folder, the rows in new.csv."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(series_project / "models", "models")
    series = read_series(series_project / "data/raw/mole/series")
    dates = pd.Index(series.date_T[-100:].astype("datetime64[s]"), name="date")
    frame = pd.DataFrame(series.value_TC[-100:], dates, list(series.channels)).reset_index()
    frame.to_csv("new.csv", index=False)
    return read("new.csv")


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["cross-validate", *arguments])
    return int(ended.value.code or 0)


def read(path: str = "found.csv") -> pd.DataFrame:
    return pd.read_csv(path, float_precision="round_trip")


def test_each_forecast_is_that_of_the_series_as_it_was_at_the_cutoff(frame: pd.DataFrame) -> None:
    assert call(*ASKED, "--windows", "3", "--step", "5", "--level", "80", "90") == 0
    found, forecaster = read(), Forecaster.load(point="mole_dlinear", seed=0)
    ends = [f"-{side}-{level}" for level in (80, 90) for side in ("lo", "hi")]
    names = [f"mole_dlinear{end}" for end in ("", *ends)]
    assert list(found) == ["unique_id", "ds", "cutoff", "y", *names]
    known = [100 - HORIZON - 5 * back for back in (2, 1, 0)]
    assert list(dict.fromkeys(found["cutoff"])) == [frame["date"][rows - 1] for rows in known]
    for rows, (_, of_cutoff) in zip(known, found.groupby("cutoff", sort=False), strict=True):
        expected = forecaster.forecast(frame[:rows], level=[80, 90])
        for channel, of_channel in of_cutoff.groupby("unique_id", sort=False):
            then = frame[rows : rows + HORIZON]
            assert of_channel["ds"].tolist() == then["date"].tolist()
            np.testing.assert_array_equal(of_channel["y"], then[channel])
            columns = [f"{channel}{end}" for end in ("", *ends)]
            np.testing.assert_allclose(of_channel[names], expected[columns], rtol=1e-6)


@pytest.mark.usefixtures("frame")
def test_the_step_is_the_horizon_and_what_is_written_says_where_it_comes_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(*ASKED, "--windows", "2") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "120 rows: 2 forecasts of 5 channels"
    assert "2 cutoffs 12 rows apart" in said[2]
    assert [line.split()[0] for line in said[-6:-1]] == ["town", "offices", "shops", "pump", "plant"]
    origin = read_json(Path("found.csv.json"))
    assert origin["command"] == "cross-validate"
    assert (origin["arguments"]["windows"], origin["arguments"]["step"]) == (2, HORIZON)
    assert call(*ASKED, "--windows", "2", "--json", "--overwrite") == 0
    told = json.loads(capsys.readouterr().out)
    error = read().assign(error=lambda table: (table["mole_dlinear"] - table["y"]).abs())
    mean = error.groupby("unique_id")["error"].mean()
    assert told["errors"]["pump"]["MAE"] == pytest.approx(mean["pump"])


def test_errors_and_coverage_are_those_of_each_channel() -> None:
    table = pd.DataFrame({"unique_id": ["a", "a", "b", "b"], "y": [1.0, 2.0, 3.0, 4.0], "m": [1.0, 4.0, 3.0, 4.0]})
    table["m-lo-90"], table["m-hi-90"] = [0.0, 3.0, 3.0, 4.0], [2.0, 5.0, 3.0, 4.0]
    found = errors(table, "m", [90])
    assert found.loc["a"].tolist() == pytest.approx([1.0, np.sqrt(2), 0.5])
    assert found.loc["b"].tolist() == [0.0, 0.0, 1.0]  # on an end is inside


def test_forecasts_within_the_time_of_training_are_told(series_project: Path, frame: pd.DataFrame) -> None:
    assert call(*ASKED, "--windows", "2") == 0
    assert not {"trained on", "chosen"} & set(str(read_json(Path("found.csv.json"))["notes"]).split())
    assert "in the time" not in str(read_json(Path("found.csv.json"))["notes"])
    series = read_series(series_project / "data/raw/mole/series")
    first = series.splits["validation"][0]
    dates = pd.Index(series.date_T[: first + HORIZON].astype("datetime64[s]"), name="date")
    pd.DataFrame(series.value_TC[: first + HORIZON], dates, list(series.channels)).to_csv("new.csv")
    assert call(*ASKED, "--windows", "3", "--step", "1", "--overwrite") == 0
    (note,) = [note for note in read_json(Path("found.csv.json"))["notes"] if "trained on" in note]
    assert note.startswith(f"2 forecasts of these begin before {dates[first]}")
    (note,) = [note for note in read_json(Path("found.csv.json"))["notes"] if "chosen" in note]
    last = series.date_T[series.splits["validation"][1] - 1].astype("datetime64[s]").item()
    assert note.startswith(f"1 forecast of these begins from {dates[first]} to {last}, in the time by which")
    assert len(frame) == 100


@pytest.mark.usefixtures("frame")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--windows", "6"], "the series has 96 rows, but 6 cutoffs 13 rows apart, a lookback of 24"),
        (["--windows", "0"], "--windows"),
        (["--step", "0"], "--step"),
        (["--level", "33.3"], "intervals of level 33.3 are not calibrated"),
        (["--windos", "3"], "did you mean --windows?"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = Path("new.csv").read_text().splitlines()
    Path("new.csv").write_text("\n".join([lines[0], *lines[5:]]) + "\n")
    assert call(*ASKED, "--step", "13", *options) == 2
    assert message in capsys.readouterr().err
    assert not Path("found.csv").exists()
    assert not Path("found.csv.json").exists()


def test_the_offset_from_utc_is_kept(frame: pd.DataFrame) -> None:
    zoned = frame.assign(
        date=[f"{date}+01:00" for date in frame["date"][:50]] + [f"{d}+02:00" for d in frame["date"][50:]]
    )
    zoned["date"] = [
        *zoned["date"][:50],
        *(f"{pd.Timestamp(d) + pd.Timedelta(hours=1)}+02:00" for d in frame["date"][50:]),
    ]
    zoned.to_csv("new.csv", index=False)
    assert call(*ASKED, "--windows", "2", "--step", "45") == 0
    found = read()
    assert found["cutoff"].str.endswith(("+01:00", "+02:00")).all()
    assert set(found["cutoff"].str[-6:]) == {"+01:00", "+02:00"}
    assert found["ds"].tolist()[:HORIZON] == zoned["date"].tolist()[43 : 43 + HORIZON]
