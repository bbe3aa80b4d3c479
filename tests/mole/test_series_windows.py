"""Series, their scale, their calendar and their windows, each against a slow reference."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core.errors import ExpectedError
from pipeline.core.files import write_json
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.scaler import Scaler, fit_scaler
from pipeline.mole.data.series import SPLITS, Series, read_series, write_series
from pipeline.mole.data.step import Step
from pipeline.mole.data.time_features import FEATURES, time_features
from pipeline.mole.data.windows import Windows, windows_of

CPU = torch.device("cpu")
START = datetime(2016, 2, 27, 21)  # a Saturday, two days before a leap day


def series(rows: int = 90, channels: int = 3) -> Series:
    random = np.random.default_rng(0)
    start = int((START - datetime(1970, 1, 1)).total_seconds())
    return Series(
        start + 3600 * np.arange(rows),
        random.normal(5.0, 3.0, (rows, channels)) + np.arange(rows)[:, None] / 10,
        tuple(f"channel {c}" for c in range(channels)),
        Step(3600),
        {"train": (0, rows * 6 // 10), "validation": (rows * 6 // 10, rows * 8 // 10), "test": (rows * 8 // 10, rows)},
    )


def slow_windows(whole: Series, split: str, lookback: int, horizon: int) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """(x_CL, y_CH, first row) of every window, by the definition: all H rows to forecast are of the split."""
    first, after = whole.splits[split]
    train_TC = whole.value_TC[slice(*whole.splits["train"])]
    mean_C = train_TC.sum(axis=0) / len(train_TC)
    deviation_C = np.sqrt(((train_TC - mean_C) ** 2).sum(axis=0) / len(train_TC))
    found = []
    for row in range(len(whole.date_T)):
        forecast = range(row + lookback, row + lookback + horizon)
        looks_into = row >= first if split == "train" else forecast[0] >= first
        if looks_into and forecast[-1] < after:
            scaled_TC = (whole.value_TC[row : forecast[-1] + 1] - mean_C) / deviation_C
            found.append((scaled_TC[:lookback].T, scaled_TC[lookback:].T, row))
    return found


def test_a_series_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    written = series()
    write_series(folder / "series.parquet", written)
    splits = {name: list(rows) for name, rows in written.splits.items()}
    write_json(folder / "source.json", {"channels": list(written.channels), "step_seconds": 3600, "splits": splits})
    read = read_series(folder)
    np.testing.assert_array_equal(read.date_T, written.date_T)
    np.testing.assert_array_equal(read.value_TC, written.value_TC)
    assert (read.channels, read.step, read.splits) == (written.channels, Step(3600), written.splits)


def test_a_series_that_is_not_there_or_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    with pytest.raises(ExpectedError, match="`dvc repro ingest@mole-series` makes it"):
        read_series(folder)
    folder.mkdir()
    for damaged in ("{", "{}"):
        write_series(folder / "series.parquet", series())
        (folder / "source.json").write_text(damaged)
        with pytest.raises(ExpectedError, match="`dvc repro --force ingest@mole-series` makes it anew"):
            read_series(folder)
    write_json(folder / "source.json", {"channels": [], "step_seconds": 1, "splits": {}})
    (folder / "series.parquet").write_bytes(b"PAR1 of another kind")
    with pytest.raises(ExpectedError, match="damaged"):
        read_series(folder)


def test_the_scale_is_that_of_the_train_rows_alone() -> None:
    whole = series()
    scaler = fit_scaler(whole)
    train_TC = scaler.scale(whole.value_TC)[slice(*whole.splits["train"])]
    np.testing.assert_allclose(train_TC.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose((train_TC**2).mean(axis=0), 1, rtol=1e-12)  # divided by the rows, not by one less
    np.testing.assert_allclose(scaler.unscale(scaler.scale(whole.value_TC)), whole.value_TC, rtol=1e-12)
    later = whole.value_TC.copy()
    later[whole.splits["train"][1] :] += 100
    moved = fit_scaler(Series(whole.date_T, later, whole.channels, Step(3600), whole.splits))
    np.testing.assert_array_equal(moved.mean_C, scaler.mean_C)
    np.testing.assert_array_equal(moved.deviation_C, scaler.deviation_C)
    restored = Scaler.restored(scaler.described())
    np.testing.assert_array_equal(restored.scale(whole.value_TC), scaler.scale(whole.value_TC))


def test_a_channel_that_first_changes_after_the_train_rows_is_refused() -> None:
    whole = series()
    whole.value_TC[: whole.splits["train"][1], 1] = 0.1  # whose computed deviation need not be zero
    with pytest.raises(ExpectedError, match=r"'channel 1' of the series is constant over the train rows \(1 to 54\)"):
        fit_scaler(whole)


def test_the_calendar_agrees_with_the_standard_library() -> None:
    hours = [START + timedelta(hours=37 * n) for n in range(700)]  # over three years
    hours += [datetime(1969, 12, 31, 23), datetime(1970, 1, 1), datetime(2000, 12, 31, 23, 45), datetime(2100, 3, 1)]
    date_T = np.array([(hour - datetime(1970, 1, 1)) // timedelta(seconds=1) for hour in hours])
    expected = [[at.hour / 23, at.weekday() / 6, (at.day - 1) / 30, (at.timetuple().tm_yday - 1) / 365] for at in hours]
    found_TF = time_features(date_T)
    assert found_TF.dtype == np.float32
    assert found_TF.shape == (len(hours), len(FEATURES))
    np.testing.assert_allclose(found_TF, np.array(expected) - 0.5, atol=1e-6)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("lookback", "horizon"), [(7, 4), (1, 1), (12, 18), (3, 9)])
def test_windows_are_those_of_the_definition(split: str, lookback: int, horizon: int) -> None:
    whole = series()
    windows = windows_of(whole, fit_scaler(whole), split, lookback, horizon)
    expected = slow_windows(whole, split, lookback, horizon)
    assert len(windows) == len(expected)
    every = np.arange(len(windows))
    np.testing.assert_allclose(windows.x(every), [x_CL for x_CL, _, _ in expected], atol=1e-6)
    np.testing.assert_allclose(windows.y(every), [y_CH for _, y_CH, _ in expected], atol=1e-6)
    firsts = np.array([row for _, _, row in expected])
    np.testing.assert_array_equal(windows.stamp(every), whole.date_T[firsts])
    np.testing.assert_array_equal(windows.mark(every), time_features(whole.date_T)[firsts])
    np.testing.assert_array_equal(windows.x(slice(None)), windows.x(every))


def test_ett_has_the_windows_of_its_protocol() -> None:
    whole = series(17_420, 1)
    splits = {"train": (0, 8640), "validation": (8640, 11_520), "test": (11_520, 14_400)}
    whole = Series(whole.date_T, whole.value_TC, whole.channels, Step(3600), splits)
    counts = [len(windows_of(whole, fit_scaler(whole), split, 336, 96)) for split in SPLITS]
    assert counts == [8640 - 336 - 96 + 1, 2880 - 96 + 1, 2880 - 96 + 1]


def test_a_split_shorter_than_a_window_is_refused() -> None:
    whole = series()  # 54, 18 and 18 rows
    scaler = fit_scaler(whole)
    assert len(windows_of(whole, scaler, "train", 36, 18)) == 1
    assert len(windows_of(whole, scaler, "validation", 36, 18)) == 1
    message = "the train rows of the series are 54 rows, but one window needs 55: 36 of lookback and 19 of horizon"
    with pytest.raises(ExpectedError, match=message):
        windows_of(whole, scaler, "train", 36, 19)
    message = "the test rows of the series and the lookback before them are 48 rows, but one window needs 49"
    with pytest.raises(ExpectedError, match=message):
        windows_of(whole, scaler, "test", 30, 19)
    with pytest.raises(ExpectedError, match="the validation rows"):  # which have no 60 rows before them
        windows_of(whole, scaler, "validation", 60, 2)


def test_a_value_beyond_32_bits_is_refused() -> None:
    whole = series()
    whole.value_TC[80, 1] = 1e300
    assert len(windows_of(whole, fit_scaler(whole), "validation", 12, 4))
    with pytest.raises(ExpectedError, match="'channel 1' of the series holds test values too far from its train rows"):
        windows_of(whole, fit_scaler(whole), "test", 12, 4)


def windows(lookback: int = 7, horizon: int = 4, split: str = "train") -> Windows:
    whole = series()
    return windows_of(whole, fit_scaler(whole), split, lookback, horizon)


def test_a_minibatch_is_the_chosen_windows() -> None:
    chosen = windows()
    rows = torch.tensor([7, 0, 7, 43])
    batch = ResidentWindows(chosen, 4, CPU).take(rows)
    assert len(batch) == 4
    np.testing.assert_array_equal(batch.x_BCL, chosen.x(rows.numpy()))
    np.testing.assert_array_equal(batch.y_BCH, chosen.y(rows.numpy()))
    np.testing.assert_array_equal(batch.mark_BF, chosen.mark(rows.numpy()))
    np.testing.assert_array_equal(batch.stamp_B, chosen.stamp(rows.numpy()))
    assert batch.x_BCL.dtype == batch.y_BCH.dtype == batch.mark_BF.dtype == torch.float32
    assert batch.x_BCL.is_contiguous()
    assert batch.y_BCH.is_contiguous()


@pytest.mark.parametrize("batch_size", [1, 5, 11, 44, 45, 1000])  # of 44 windows
@pytest.mark.parametrize("seed", [None, 3])
def test_every_window_counts_once_at_every_batch_size(batch_size: int, seed: int | None) -> None:
    chosen = windows()
    source = ResidentWindows(chosen, batch_size, CPU, seed)
    batches = list(source.epoch(1))
    assert len(batches) == len(source)
    assert max(map(len, batches)) == min(batch_size, 44)
    rows = torch.cat([batch.rows for batch in batches])
    assert torch.equal(rows.sort().values, torch.arange(44))
    squares = sum(float((batch.y_BCH.double() ** 2).sum()) for batch in batches)
    assert squares == pytest.approx(float((chosen.y(slice(None)).astype(float) ** 2).sum()), rel=1e-12)


def test_an_epoch_has_an_order_of_its_own_and_can_be_entered_in_the_middle() -> None:
    source = ResidentWindows(windows(), 8, CPU, seed=3)
    orders = [torch.cat([batch.rows for batch in source.epoch(number)]) for number in (0, 0, 1)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    whole, rest = list(source.epoch(2)), list(source.epoch(2, start=3))
    assert [b.rows.tolist() for b in whole[3:]] == [b.rows.tolist() for b in rest]
    assert list(source.epoch(2, start=len(source))) == []


def test_without_a_seed_windows_come_in_time_and_are_called_by_it() -> None:
    source = ResidentWindows(windows(), 16, CPU)
    names = [name for batch in source.epoch(5) for name in source.names(batch)]
    assert names[0] == "window starting 2016-02-27 21:00"
    assert names == sorted(names)
    assert names[-1] == "window starting 2016-02-29 16:00"
