"""ingest@mole as the engines run it: a process in a project folder, which writes all of its out or nothing."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.core.errors import ExpectedError
from pipeline.core.files import sha256
from pipeline.core.paths import StudyPaths
from pipeline.mole.data.series import read_series
from pipeline.mole.data.step import Step
from pipeline.mole.params.ingest import Ingest
from pipeline.mole.stages import ingest as stage
from tests.settled import settled
from tests.stages import stage_process
from tests.stages.stage_process import ROOT

ETTH1 = ROOT.parent / "shared/data/ETTh1.csv"
RECIPE = ROOT / "data/embedded/series.yaml"
AT = StudyPaths("mole", "series")
OUT = Path("data/raw/mole/series")

ingest = partial(stage_process.ingest, system="mole")
assert_refused = partial(stage_process.assert_ingest_refused, system="mole")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml that points at load.csv, a sound file, and a previous result."""
    (tmp_path / OUT).mkdir(parents=True)
    (tmp_path / OUT / "source.json").write_text("previous")
    monkeypatch.chdir(tmp_path)
    configure(tmp_path)
    (tmp_path / "load.csv").write_text("\n".join(lines()) + "\n")
    return tmp_path


def lines() -> list[str]:
    return ["date,load,wind"] + [f"2016-07-01 {row:02}:00:00,{row}.5,{7 * row % 11}" for row in range(20)]


def configure(project: Path, **changes: Any) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    ingest = {"path": "load.csv", "date": "date", "layout": None} | changes
    params["mole"]["studies"] = {"series": {"ingest": ingest}}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    settled(project)


def run(**changes: Any) -> None:
    stage.run(Ingest.model_validate({"path": "load.csv"} | changes), AT)


def source() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((OUT / "source.json").read_text())
    return found


def test_a_lab_file_becomes_a_series(project: Path) -> None:
    done = ingest(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("load.csv: 20 rows x 2 channels, one row every hour\n")
    assert "validation        2 rows  2016-07-01 14:00:00 to 2016-07-01 15:00:00\n" in done.stdout
    assert "channels: 2 (load, wind)" in done.stdout
    table = pq.read_table(OUT / "series.parquet")
    assert [str(field.type) for field in table.schema] == ["timestamp[ms]", "double", "double"]
    assert table.column_names == ["date", "load", "wind"]
    series = read_series(OUT)
    np.testing.assert_array_equal(series.value_TC[:, 0], np.arange(20) + 0.5)
    assert source() == {
        "schema_version": 1,
        "kind": "series",
        "simulated": False,
        "description": "load.csv: 20 rows x 2 channels, one row every hour",
        "input": "load.csv",
        "input_sha256": sha256(Path("load.csv")),
        "notes": [],
        "layout": None,
        "channels": ["load", "wind"],
        "step_seconds": 3600,
        "rows": 20,
        "splits": {"train": [0, 14], "validation": [14, 16], "test": [16, 20]},
    }
    assert sorted(path.name for path in OUT.iterdir()) == ["series.parquet", "source.json"]


@pytest.mark.usefixtures("project")
def test_a_recipe_becomes_a_series_of_the_same_bytes() -> None:
    run(path=str(RECIPE))
    series = read_series(OUT)
    assert series.value_TC.shape == (2904, 5)
    assert series.splits == {"train": (0, 2032), "validation": (2032, 2324), "test": (2324, 2904)}
    told = source()
    assert told["simulated"] is True
    assert told["description"].startswith("Simulated: 2,904 rows x 5 channels, one row every hour")
    assert told["truth"]["regimes"]["offices"]["regime"] == "weekend"
    assert told["truth"]["regimes"]["plant"]["changes"]
    first = [sha256(OUT / name) for name in ("series.parquet", "source.json")]
    run(path=str(RECIPE))
    assert [sha256(OUT / name) for name in ("series.parquet", "source.json")] == first


@pytest.mark.usefixtures("project")
def test_a_layout_is_for_files() -> None:
    with pytest.raises(
        ExpectedError, match=r"mole\.studies\.series\.ingest\.layout = 'etth' can be given for a CSV file only"
    ):
        run(path=str(RECIPE), layout="etth")


@pytest.mark.usefixtures("project")
def test_another_kind_of_file_is_refused() -> None:
    Path("load.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(ExpectedError, match=r"load.xlsx is a workbook: save its sheet as CSV"):
        run(path="load.xlsx")


def _without_dates(content: list[str]) -> None:
    content[0] = "time,load,wind"


def _unordered(content: list[str]) -> None:
    content[5], content[9] = content[9], content[5]


def _with_a_gap(content: list[str]) -> None:
    del content[10]


def _with_text(content: list[str]) -> None:
    content[10] = content[10].replace("9.5", "much")


def _without_a_value(content: list[str]) -> None:
    content[10] = content[10].replace("9.5", "nan")


def _constant(content: list[str]) -> None:
    content[1:] = [line.rpartition(",")[0] + ",3" for line in content[1:]]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_dates, "column 'date': found no such column; there are 'time', 'load', 'wind'"),
        (_unordered, "2 time stamps earlier than the one before"),
        (_with_a_gap, "1 gap, the first after 2016-07-01 08:00:00 in line 10: 2 hours"),
        (_with_text, "'load' (1 row, first 'much' in line 11)"),
        (_without_a_value, "'load' (1 row, first in line 11)"),
        (_constant, "'wind' (always 3)"),
    ],
)
def test_a_bad_file_is_refused_and_nothing_is_written(
    project: Path, spoil: Callable[[list[str]], None], words: str
) -> None:
    content = lines()
    spoil(content)
    (project / "load.csv").write_text("\n".join(content))
    with pytest.raises(ExpectedError, match=r"^load\.csv cannot be used") as caught:
        run()
    assert words in str(caught.value)
    assert [path.name for path in (project / "data/raw").rglob("*")] == ["mole", "series", "source.json"]
    assert (project / OUT / "source.json").read_text() == "previous"


def test_a_file_of_another_layout_ends_in_one_message(project: Path) -> None:
    configure(project, layout="ettm")
    assert_refused(
        project, "3 problems", "found 1 hour; expected 15 minutes", "57,600 or more", "channel 'OT': found none"
    )


def test_how_a_file_is_written_may_be_set(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.replace(".", "_").replace(",", "|") for line in lines()]
    content = [row.replace("2016-07-01 ", "1/7/16 ").replace(":00:00", "h").replace("_", ",") for row in rows]
    (project / "LOAD.CSV").write_text("\n".join(content))
    run(path="LOAD.CSV", separator="|", decimal=",", date_format="%d/%m/%y %Hh")
    series = read_series(OUT)
    np.testing.assert_array_equal(series.value_TC[:, 0], np.arange(20) + 0.5)
    assert series.date_T[0].astype("datetime64[s]") == np.datetime64("2016-07-01", "s")
    assert "LOAD.CSV: 20 rows x 2 channels, one row every hour\n" in capsys.readouterr().out


@pytest.mark.usefixtures("project")
def test_months_and_offsets_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        f"{year}-{month:02}-01T00:00:00+0{1 + (3 < month < 11)}:00" for year in (2020, 2021) for month in range(1, 13)
    ]
    Path("load.csv").write_text("\n".join(["date,load", *(f"{stamp},{row % 5}" for row, stamp in enumerate(rows))]))
    run()
    assert "load.csv: 24 rows x 1 channel, one row every month (first day)\n" in capsys.readouterr().out
    assert source()["step_calendar"] == "MS"
    assert "step_seconds" not in source()
    series = read_series(OUT)
    assert series.step == Step(calendar="MS")
    assert series.offset_T is not None
    assert series.offset_T[:5].tolist() == [3600, 3600, 3600, 7200, 7200]
    assert series.channels == ("load",)
    np.testing.assert_array_equal(series.value_TC[:, 0], np.arange(24) % 5)


@pytest.mark.usefixtures("project")
@pytest.mark.skipif(not ETTH1.exists(), reason="ETTh1 may not be redistributed: it is not in this checkout")
def test_etth1_is_split_as_published(capsys: pytest.CaptureFixture[str]) -> None:
    run(path=str(ETTH1), layout="etth")
    series = read_series(OUT)
    assert series.channels == ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
    assert series.splits == {"train": (0, 8640), "validation": (8640, 11_520), "test": (11_520, 14_400)}
    assert source()["notes"] == ["the last 3,020 rows are not used: the splits of etth end before"]
    assert "17,420 rows x 7 channels" in capsys.readouterr().out
