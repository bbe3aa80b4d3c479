"""The simulated series: what the recipe promises is there, and the calendar helps exactly where it decides."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.core.errors import ExpectedError
from pipeline.mole.data.layouts import split_rows
from pipeline.mole.data.recipe import SeriesRecipe, read_recipe
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import Series
from pipeline.mole.data.simulation import SimulatedSeries, simulate
from pipeline.mole.data.step import Step
from pipeline.mole.data.windows import Windows, windows_of

RECIPE = Path(__file__).parents[2] / "data/embedded/series.yaml"


def recipe(**changes: Any) -> SeriesRecipe:
    return SeriesRecipe.model_validate(read_recipe(RECIPE).model_dump() | changes)


def test_the_default_is_as_long_as_its_recipe_says_and_the_same_at_every_call() -> None:
    series = simulate(recipe())
    assert series.value_TC.shape == (2904, 5)
    assert series.channels == ["town", "offices", "shops", "pump", "plant"]
    assert np.isfinite(series.value_TC).all()
    assert str(np.datetime64(int(series.date_T[0]), "s")) == "2021-03-01T00:00:00"
    assert set(np.diff(series.date_T)) == {3600}
    np.testing.assert_array_equal(simulate(recipe()).value_TC, series.value_TC)
    assert (simulate(recipe(seed=1)).value_TC != series.value_TC).all()


def slow_channel(series: SimulatedSeries, name: str) -> np.ndarray:
    """All of a channel but trend and chance, by the formula of the module's docstring."""
    channel = series.recipe.channels[name]
    values = []
    for date, other in zip(series.date_T, series.other_TC[:, series.channels.index(name)], strict=True):
        at = datetime(1970, 1, 1) + timedelta(seconds=int(date))
        dynamics = channel.other if other else channel.usual
        assert dynamics is not None
        angle = 2 * np.pi * (at.hour + at.minute / 60 - dynamics.shift - 3) / 24
        week = (at.weekday() * 24 + at.hour + at.minute / 60) / 168
        value = channel.level + dynamics.level
        value -= dynamics.daily * (np.cos(angle) + series.recipe.swing * np.cos(2 * angle))
        value += channel.weekly * np.sin(2 * np.pi * week)
        value += channel.yearly * np.sin(2 * np.pi * date / 31_556_952)
        values.append(value)
    return np.array(values)


def test_without_chance_a_series_is_the_formula() -> None:
    quiet = {name: channel | {"noise": 0.0} for name, channel in recipe().model_dump()["channels"].items()}
    series = simulate(recipe(channels=quiet, rows=600, step_minutes=45, start="2021-02-26 21:15"))
    for c, name in enumerate(series.channels):
        np.testing.assert_allclose(series.value_TC[:, c], slow_channel(series, name), atol=1e-9)


def test_regimes_are_those_of_the_calendar_or_drawn() -> None:
    series = simulate(recipe())
    at = [datetime(1970, 1, 1) + timedelta(seconds=int(date)) for date in series.date_T]
    offices, pump, plant = (series.other_TC[:, series.channels.index(name)] for name in ("offices", "pump", "plant"))
    assert offices.tolist() == [time.weekday() >= 5 for time in at]
    assert pump.tolist() == [time.hour >= 21 or time.hour < 6 for time in at]
    assert not series.other_TC[:, 0].any()
    truth: Any = series.truth()
    changes = truth["regimes"]["plant"]["changes"]
    assert (np.flatnonzero(plant[1:] != plant[:-1]) + 1).tolist() == changes
    assert truth["regimes"]["plant"]["other_at_first"] is bool(plant[0])
    assert 5 < len(changes) < 30  # about every 220 of 2,904 rows
    assert set(truth["regimes"]) == {"offices", "shops", "pump", "plant"}


def test_chance_is_as_large_and_as_lasting_as_the_recipe_says() -> None:
    flat: dict[str, Any] = {"level": 0.0, "weekly": 0.0, "yearly": 0.0, "noise": 2.0}
    usual, other = {"daily": 0.0, "persistence": 0.9}, {"daily": 0.0, "persistence": 0.2}
    channels = {
        "first": flat | {"usual": usual, "other": other, "regime": "weekend"},
        "second": flat | {"usual": other, "coupling": {"channel": "first", "strength": 1.5, "lag": 3}},
    }
    series = simulate(recipe(channels=channels, rows=40_000, trend=0.0))
    first, second = series.value_TC.T
    weekend = series.other_TC[:, 0]
    for held, persistence in ((weekend, 0.2), (~weekend, 0.9)):
        assert first[held].std() == pytest.approx(2.0, rel=0.05)
        both = held[1:] & held[:-1]
        assert np.corrcoef(first[:-1][both], first[1:][both])[0, 1] == pytest.approx(persistence, abs=0.03)
    slope = np.cov(first[:-3], second[3:])[0, 1] / first.var()
    assert slope == pytest.approx(1.5, rel=0.05)


def test_the_trend_bends_where_the_truth_says() -> None:
    still: dict[str, Any] = {"level": 1.0, "weekly": 0.0, "yearly": 0.0, "usual": {"daily": 0.0, "persistence": 0.0}}
    one = simulate(recipe(channels={"only": still | {"noise": 1.0}}, trend=1.0))
    none = simulate(recipe(channels={"only": still | {"noise": 1.0}}, trend=0.0))
    trend_T = (one.value_TC - none.value_TC)[:, 0]
    bends = np.flatnonzero(np.abs(np.diff(trend_T, 2)) > 1e-9) + 1
    assert bends.tolist() == one.bends["only"]
    assert len(bends) > 0


def least_squares(train: Windows, test: Windows, by_weekday: bool) -> np.ndarray:
    """Test MSE of each channel by ridge regression with last-value offset, one for all windows or for each weekday of
    their start, which is what a router on the calendar can tell."""
    found = []
    groups = [(w.stamp(slice(None)) // 86_400 + 3) % 7 * by_weekday for w in (train, test)]
    for c in range(train.value_CT.shape[0]):
        squares = 0.0
        for group in np.unique(groups[1]):
            data = []
            for windows, own in zip((train, test), groups, strict=True):
                x_BL, y_BH = (part(np.flatnonzero(own == group))[:, c].astype(float) for part in (windows.x, windows.y))
                last_B1 = x_BL[:, -1:]
                data.append((np.c_[x_BL - last_B1, np.ones(len(x_BL))], y_BH - last_B1))
            (a, b), (a_test, b_test) = data
            weight = np.linalg.solve(a.T @ a + 300 * np.eye(a.shape[1]), a.T @ b)
            squares += float(((a_test @ weight - b_test) ** 2).sum())
        found.append(squares / len(test) / test.horizon)
    return np.array(found)


def gain_by_weekday(series: SimulatedSeries) -> dict[str, float]:
    """By channel, the error of regression blind to the calendar over that of regression by weekday."""
    splits = split_rows(None, len(series.date_T))
    assert splits is not None
    whole = Series(series.date_T, series.value_TC, tuple(series.channels), Step(3600), splits)
    train, test = (windows_of(whole, fit_scaler(whole), split, 96, 24) for split in ("train", "test"))
    gain_C = least_squares(train, test, by_weekday=False) / least_squares(train, test, by_weekday=True)
    return dict(zip(series.channels, gain_C.tolist(), strict=True))


def test_the_calendar_helps_where_it_decides_and_only_there() -> None:
    gain = gain_by_weekday(simulate(recipe()))
    assert gain["offices"] > 2
    assert gain["shops"] > 1.5
    assert gain["plant"] < 1.05  # nothing announces its changes
    same = {
        name: channel | {"other": None, "regime": None} for name, channel in recipe().model_dump()["channels"].items()
    }
    without = gain_by_weekday(simulate(recipe(channels=same)))
    assert without["offices"] < 1.05  # negative control: the same channels in one regime
    assert without["shops"] < 1.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "March 2021"}, "must be a date and a time"),
        ({"rows": 5}, "greater than or equal to 10"),
        ({"night": [21]}, "night"),
        ({"channels": {}}, "channels"),
    ],
)
def test_a_recipe_out_of_range_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = tmp_path / "series.yaml"
    file.write_text(yaml.safe_dump(recipe().model_dump() | changes, sort_keys=False))
    with pytest.raises(ExpectedError, match=message):
        read_recipe(file)


def test_a_recipe_whose_channels_do_not_fit_together_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "series.yaml"
    content = recipe().model_dump()
    content["channels"]["offices"]["regime"] = None
    content["channels"]["shops"]["coupling"]["channel"] = "plant"  # which comes later
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(ExpectedError, match="regime and other must be given together"):
        read_recipe(file)
    content["channels"]["offices"]["regime"] = "weekend"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(ExpectedError, match="shops is coupled to 'plant', which is no channel before it"):
        read_recipe(file)
