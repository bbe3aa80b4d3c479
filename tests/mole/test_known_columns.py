"""Known and static columns in files: read in wide and in long format, rows after the last values, what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_json
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.new_series import Lookback, Recent, recent_of_frame
from pipeline.mole.data.ridge_choice import groups_of
from pipeline.mole.data.series import Series, read_series, write_series
from pipeline.mole.data.source import AcceptedSeries, accept_series
from pipeline.mole.data.step import DAY, Step
from pipeline.mole.recursion import check_future
from pipeline.params.draft import Draft

ROWS, AFTER = 60, 4
OPTIONS = CsvOptions(known=("price", "open"), section="mole.ingest")
LONG = CsvOptions("ds", known=("price",), static=("region", "size"), section="mole.ingest")
Edit = Callable[[pd.DataFrame], object]


def wide() -> pd.DataFrame:
    """Two channels and two known columns, which go on for four rows."""
    rng, rows = np.random.default_rng(0), ROWS + AFTER
    price, is_open = np.round(rng.normal(size=rows), 3), np.arange(rows) % 7 < 5
    frame = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=rows).astype(str), "open": is_open.astype(int)})
    frame["a"], frame["price"], frame["b"] = 3 * price + np.sin(np.arange(rows)), price, rng.normal(size=rows)
    frame.loc[ROWS:, ["a", "b"]] = np.nan
    return frame


def long() -> pd.DataFrame:
    """Three series with prices of their own; two are of one region and size."""
    parts = []
    for place, name in enumerate("xyz"):
        rng, of = np.random.default_rng(place), wide()[["date"]].rename(columns={"date": "ds"})
        of["unique_id"], of["price"] = name, rng.normal(size=len(of))
        of["y"] = (of["price"] + rng.normal(size=len(of))).where(of.index < ROWS)
        of["region"], of["size"] = ("south", 2) if name == "y" else ("north", 1)
        parts.append(of)
    return pd.concat(parts, ignore_index=True)


def accept(folder: Path, frame: pd.DataFrame, options: CsvOptions) -> AcceptedSeries:
    frame.to_csv(folder / "shops.csv", index=False)
    return accept_series(folder / "shops.csv", options, None)


def test_known_columns_are_no_channels_and_rows_after_the_last_values_are_told(tmp_path: Path) -> None:
    found, frame = accept(tmp_path, wide(), OPTIONS), wide()[:ROWS]
    series = found.series
    assert series.channels == ("a", "b")
    assert series.known_TCK is not None
    np.testing.assert_array_equal(series.value_TC, frame[["a", "b"]])
    np.testing.assert_array_equal(series.known_TCK, frame[["price", "open"]].to_numpy()[:, None])
    assert found.notes[0] == "the last 4 rows hold known columns alone: they are not used"
    assert found.notes[1].startswith("known column 'price': one unit more is +2.985 of 'a', ")
    without = accept(tmp_path, wide()[:ROWS], OPTIONS)
    assert without.notes == found.notes[1:]
    _same(without.series, series)


def test_in_long_format_each_series_has_its_own(tmp_path: Path) -> None:
    found = accept(tmp_path, long(), LONG)
    series = found.series
    assert series.channels == ("x", "y", "z")
    assert series.known_TCK is not None
    frame = long()
    for c, name in enumerate("xyz"):
        of = frame[frame["unique_id"] == name][:ROWS]
        np.testing.assert_array_equal(series.value_TC[:, c], of["y"])
        np.testing.assert_array_equal(series.known_TCK[:, c, 0], of["price"])
    assert series.static == {"region": ("north", "south", "north"), "size": ("1", "2", "1")}
    shuffled = frame.sample(frac=1, random_state=0).sort_values("ds", kind="stable")
    _same(accept(tmp_path, shuffled.sort_values("unique_id", kind="stable"), LONG).series, series)


def _same(ours: Series, theirs: Series) -> None:
    for name in ("value_TC", "known_TCK", "date_T", "offset_T"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    names = ("channels", "known", "splits", "static")
    assert [getattr(ours, name) for name in names] == [getattr(theirs, name) for name in names]


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("kind", ["wide", "long", "none"])
def test_a_series_is_read_as_it_was_written(tmp_path: Path, kind: str, offset: bool) -> None:
    series = (accept(tmp_path, long(), LONG) if kind == "long" else accept(tmp_path, wide(), OPTIONS)).series
    if kind == "none":
        series = replace(series, known=(), known_TCK=None)
    if offset:
        series = replace(series, offset_T=np.full(ROWS, 3600))
    write_series(tmp_path / "series.parquet", series)
    kept = {"channels": series.channels, "known": series.known, "static": series.static, "splits": series.splits}
    source = kept | series.step.described()
    write_json(tmp_path / "source.json", source if kind != "none" else {k: v for k, v in source.items() if v})
    _same(read_series(tmp_path), series)


def test_channels_of_equal_static_values_are_a_group(tmp_path: Path) -> None:
    series = accept(tmp_path, long(), LONG).series
    groups = {name: [list(group) for group in of] for name, of in groups_of(series).items()}
    assert groups == {"ridge": [[0, 1, 2]], "group_ridge": [[0, 2], [1]], "channel_ridge": [[0], [1], [2]]}
    for values in (("1", "1", "1"), ("1", "2", "3")):  # those of all, or of each
        assert not groups_of(replace(series, static={"size": values}))["group_ridge"]
    assert not groups_of(replace(series, static={}))["group_ridge"]


def _set(rows: object, column: str, value: object) -> Edit:
    def edit(frame: pd.DataFrame) -> None:
        frame[column] = frame[column].astype(object)
        frame.loc[rows, column] = value

    return edit


@pytest.mark.parametrize(
    ("options", "edit", "words"),
    [
        (replace(OPTIONS, known=("prize",)), None, "known columns: found no 'prize', perhaps 'price'; there are"),
        (replace(LONG, static=("country",)), None, "static columns: found no 'country'"),
        (OPTIONS, _set(3, "price", None), "1 known column with no value: found 'price' (1 row, first in line 5)"),
        (OPTIONS, _set(ROWS + 1, "open", None), "1 known column with no value: found 'open' (1 row, first in line 63)"),
        (OPTIONS, _set(3, "open", "yes"), "1 known column with text: found 'open' (1 row, first 'yes' in line 5)"),
        (OPTIONS, _set(slice(None), "open", 1), "1 known column constant over the train rows: found 'open'"),
        (OPTIONS, _set(ROWS - 1, "a", None), "the last value of 'a' in line 60, of 'b' in line 61;"),
        (OPTIONS, _set(ROWS + 1, "b", 1.0), "the last value of 'a' in line 61, of 'b' in line 63;"),
        (LONG, _set(ROWS, "y", 1.0), "the last value of 'y' in line 125, of 'x' in line 62;"),
        (OPTIONS, lambda frame: frame.update(frame[["a"]].set_axis(["price"], axis=1)), "found the values of chann"),
        (OPTIONS, _set(slice(None), "a", None), "1 channel with no value: found 'a' (60 rows, first in line 2)"),
        (LONG, _set(70, "price", None), "1 series of known column 'price' with no value: found 'y' (1 row, first in"),
        (LONG, _set(70, "region", "west"), "'y' has 'south' in line 66, 'west' in line 72; expected one value"),
        (LONG, _set(range(64, 128), "size", None), "static column 'size': found 'y' has '' in line 66"),
        (replace(OPTIONS, static=("open",), known=("price",)), None, "'open': found no column that names series"),
        (replace(LONG, static=("region",)), None, "name columns whose future is known in mole.ingest.known, and those"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path: Path, options: CsvOptions, edit: Edit | None, words: str) -> None:
    frame = wide() if options.date == "date" else long()
    if edit:
        edit(frame)
    with pytest.raises(ExpectedError) as caught:
        accept(tmp_path, frame, options)
    assert words in str(caught.value)


def test_columns_that_bring_nothing_are_told(tmp_path: Path) -> None:
    frame = wide()
    frame["price"] = np.arange(len(frame))
    notes = accept(tmp_path, frame, OPTIONS).notes
    assert "known column 'price': no effect, once level, season and trend are taken out" in notes
    told = "static columns 'region': one value for all series, or one for each: none share a map"
    only = replace(LONG, static=("region",))
    alone = long().drop(columns="size")
    assert told not in accept(tmp_path, alone, only).notes
    assert told in accept(tmp_path, alone.assign(region="north"), only).notes


def recent(frame: pd.DataFrame, rows: int = 10, before: int = 0) -> Recent:
    date, channels = ("date", ("b", "a")) if "date" in frame else ("ds", ("z", "x"))
    known = ("price", "open") if "date" in frame else ("price",)
    return recent_of_frame(frame, date, Lookback(channels, rows, Step(DAY), before, known, ("region", "size")))


@pytest.mark.parametrize("before", [0, 20, 1000])
def test_new_rows_and_those_after_them(before: int) -> None:
    rows = min(10 + before, ROWS)
    found, frame = recent(wide(), before=before), wide()
    assert found.known_TCK is not None
    np.testing.assert_array_equal(found.value_TC, frame[["b", "a"]][ROWS - rows : ROWS])
    np.testing.assert_array_equal(found.known_TCK[:, 0], frame[["price", "open"]][ROWS - rows :])
    assert found.told(-1) == "2024-02-29"
    assert not found.unused
    long_frame = long().drop(columns=["region", "size"])  # which a forecast does not look at
    of = recent(long_frame, before=before)
    assert of.known_TCK is not None
    for c, name in enumerate("zx"):
        expected = long_frame[long_frame["unique_id"] == name]
        np.testing.assert_array_equal(of.value_TC[:, c], expected["y"][ROWS - rows : ROWS])
        np.testing.assert_array_equal(of.known_TCK[:, c, 0], expected["price"][ROWS - rows :])
    np.testing.assert_array_equal(recent(long(), before=before).known_TCK, of.known_TCK)


def test_what_is_known_after_a_cutoff_or_a_forecast() -> None:
    found = recent(wide(), 30)
    assert found.known_TCK is not None
    cut = found.last(20).until(15)
    assert cut.known_until_now is not None
    np.testing.assert_array_equal(cut.known_until_now, found.known_TCK[10:25])
    np.testing.assert_array_equal(cut.known_after, found.known_TCK[25:])
    on = cut.followed_by(np.zeros((3, 2)))
    np.testing.assert_array_equal(on.known_until_now, found.known_TCK[10:28])
    np.testing.assert_array_equal(on.last(5).known_after, found.known_TCK[28:])


@pytest.mark.parametrize("rows", [1, 4, 5])
def test_a_future_that_is_too_short_is_refused(rows: int) -> None:
    found = recent(wide())
    if rows <= AFTER:
        check_future(found, rows, ("price", "open"))
        return
    with pytest.raises(ExpectedError) as caught:
        check_future(found, rows, ("price", "open"))
    assert str(caught.value).startswith(
        "known columns ('price', 'open') go on for 4 rows after the last values, of 2024-02-29: expected 5 rows, one "
    )
    with pytest.raises(ExpectedError, match="go on for 0 rows"):
        check_future(recent(wide()[:ROWS]), 1, ("price",))
    check_future(replace(found, known_TCK=None), 100, ())
    early = long().drop(index=range(2 * len(wide()) + ROWS, 3 * len(wide())))
    with pytest.raises(ExpectedError, match=r"go on for 0 rows .* \('z' ends at 2024-02-29, before the others"):
        check_future(recent(early), 1, ("price",))


def test_rows_after_the_last_values_keep_the_step() -> None:
    frame = wide()
    frame.loc[ROWS + 2, "date"] = "2024-03-09"
    with pytest.raises(ExpectedError, match="found 2 gaps, the first after 2024-03-02 00:00:00 in line 63"):
        recent(frame)


def drafted(folder: Path, frame: pd.DataFrame, **given: object) -> Draft:
    from pipeline.mole.data.proposal import propose
    from pipeline.mole.params.system import Mole

    frame.to_csv(folder / "shops.csv", index=False)
    draft = Draft({f"ingest.{key}": value for key, value in given.items()})
    propose((folder / "shops.csv",), draft, Mole())
    return draft


def test_a_study_is_drafted_with_static_columns_and_known_ones_are_asked_for(tmp_path: Path) -> None:
    draft = drafted(tmp_path, long())
    (question,) = draft.questions
    assert (question.key, list(question.candidates)) == ("ingest.known", ["[price]"])
    assert "'price'" in question.problem
    draft = drafted(tmp_path, long(), known=["price"])
    assert not draft.questions
    draft.settle()
    settings = draft.settings()["ingest"]
    assert (settings["known"], settings["static"]) == (["price"], ["region", "size"])
    assert drafted(tmp_path, long(), known=["price"], static=["size", "region"]).questions == []


def test_a_static_value_need_not_be_in_the_rows_to_forecast(tmp_path: Path) -> None:
    frame = long()
    frame.loc[frame["y"].isna(), "region"] = ""
    assert drafted(tmp_path, frame, known=["price"]).questions == []
    frame.loc[3, "region"] = ""
    with pytest.raises(ExpectedError, match="'region': found 'x' has 'north' in line 2, '' in line 5"):
        drafted(tmp_path, frame, known=["price"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"known": ["price", "price"]}, "'price' is named twice among date, known and static"),
        ({"known": ["price"], "static": ["price"]}, "'price' is named twice"),
        ({"known": ["ds"]}, "'ds' is named twice"),
        ({"known": [2024]}, "ingest.known [2024]: expected a list"),
        ({"known": "price"}, "ingest.known 'price': expected a list"),
        ({"known": ["price", "unique_id"]}, "column 'unique_id' names the series: it is neither known nor static"),
    ],
)
def test_what_is_given_has_to_be_names_of_columns(tmp_path: Path, given: dict[str, object], words: str) -> None:
    with pytest.raises(ExpectedError) as caught:
        drafted(tmp_path, long(), **given)
    assert str(caught.value).startswith(words)


def test_numbers_with_a_decimal_comma_are_asked_for(tmp_path: Path) -> None:
    frame = long().assign(load=["1,5", "2,5"] * (len(long()) // 2))
    (question,) = drafted(tmp_path, frame, known=["price"]).questions
    assert list(question.candidates) == ["[price, load]"]


def test_text_that_changes_is_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ExpectedError, match="text in column 'weather' that changes within a series: leave the column"):
        drafted(tmp_path, long().assign(weather=["sun", "rain"] * (len(long()) // 2)), known=["price"])


def test_of_a_wide_file_what_goes_on_is_asked_for_and_what_holds_two_values_told(tmp_path: Path) -> None:
    (question,) = drafted(tmp_path, wide()).questions
    assert list(question.candidates) == ["[open, price]"]
    assert not drafted(tmp_path, wide(), known=["open", "price"]).questions
    draft = drafted(tmp_path, wide()[:ROWS])
    assert not draft.questions
    assert any("'open' with two values alone" in note for note in draft.notes)
    assert not any("two values" in note for note in drafted(tmp_path, wide()[:ROWS].drop(columns="open")).notes)
    ends_early = wide()[:ROWS]
    ends_early.loc[ROWS - 3 :, "a"] = np.nan
    ends_early.loc[ROWS - 2 :, "b"] = np.nan
    with pytest.raises(ExpectedError, match="2 channels with no value"):  # at different rows: nothing to ask
        drafted(tmp_path, ends_early)


def test_the_call_that_is_proposed_has_each_setting_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.cli import main

    frame = long()
    frame["open"] = frame.index % 2
    frame.to_csv(tmp_path / "shops.csv", index=False)
    with pytest.raises(SystemExit) as caught:
        main(["new", str(tmp_path / "shops.csv"), "--dry-run", "--set", "ingest.known=[price]"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith("--system mole --set 'ingest.known=[price, open]'")
