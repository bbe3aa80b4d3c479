"""A study with known and static columns from its file to its forecasts: what is known is used, and what is not, not."""

import json
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.cli import main
from pipeline.core.errors import ExpectedError
from pipeline.core.paths import StudyPaths
from pipeline.metrics.results import read_results
from pipeline.mole.data.new_series import recent_of_frame
from pipeline.mole.data.rolling_origin import origin_windows
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import Series, read_series
from pipeline.mole.data.windows import windows_of
from pipeline.mole.glossary import PLAIN
from pipeline.mole.model.ridge_search import of_group, try_ridges
from pipeline.mole.points import preferred, read_points
from pipeline.mole.served import ServedForecaster, forecasters, pack
from pipeline.mole.stages import evaluate, ingest, mole_train, ridge
from pipeline.mole.trained import Forecaster
from pipeline.registry import load_params
from tests.stages.stage_process import ROOT

pytestmark = pytest.mark.slow

AT = StudyPaths("mole", "shops")
LOOKBACK, HORIZON, ROWS = 24, 8, 900
MODELS = AT.models
POINTS = {
    "dlinear": {"backbone": "dlinear"},
    "mole_dlinear": {"backbone": "dlinear", "experts": 2},
    "cycle": {"backbone": "cycle"},
    "mole_cycle": {"backbone": "cycle", "experts": 2},
}


def truth(long: bool, different: bool = True, shops: int = 4) -> pd.DataFrame:
    """ROWS hours, and a horizon after them, of some shops: season + 3 promo, 1.5 promo in every other shop, and noise
    that lasts long in the south and hardly in the north."""
    rng, rows = np.random.default_rng(7), ROWS + HORIZON
    date = pd.Series(pd.date_range("2024-01-01", periods=rows, freq="h").astype(str))
    shared, hour, parts = (rng.random(rows) < 0.2).astype(float), np.arange(rows), []
    for shop in range(shops):
        promo = (rng.random(rows) < 0.2).astype(float) if long else shared
        lasting, noise = 0.97 if shop < shops // 2 or not different else -0.4, np.zeros(rows)
        for row in range(1, rows):
            noise[row] = lasting * noise[row - 1] + 0.5 * rng.normal()
        y = 50 + 2 * np.sin(2 * np.pi * hour / 24) + (3 - 1.5 * (shop % 2)) * promo + noise
        region = "south" if shop < shops // 2 else "north"
        parts.append(pd.DataFrame({"id": f"shop {shop}", "date": date, "y": y, "promo": promo, "region": region}))
    found = pd.concat(parts, ignore_index=True)
    if long:
        return found
    wide = found.pivot(index="date", columns="id", values="y").reset_index()
    return wide.rename_axis(columns=None).assign(promo=shared)


def with_a_future(frame: pd.DataFrame) -> pd.DataFrame:
    """As it is known before the last horizon."""
    channels = ["y"] if "y" in frame else [f"shop {shop}" for shop in range(4)]
    later = np.sort(frame["date"].unique())[ROWS:]
    found = frame.copy()
    found.loc[frame["date"].isin(later), channels] = np.nan
    return found


def study(folder: Path, frame: pd.DataFrame, known: bool = True, whole: bool = True) -> None:
    """All stages of it, or ingest and ridge alone."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    recipe = {"lookback": LOOKBACK, "horizons": [HORIZON], "kernel": 5, "epochs": 2, "earlier_origins": 2}
    columns = {"known": ["promo"]} if known else {}
    columns |= {"static": ["region"]} if "region" in frame else {}
    own = {
        "ingest": {"path": "shops.csv", **columns},
        "seeds": [0],
        "sweep": {"recipe": recipe, "points": POINTS},
        "ridge": {"lookbacks": [12]},
    }
    params["mole"]["studies"] = {"shops": own}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    frame.to_csv(folder / "shops.csv", index=False)
    with chdir(folder):
        settings = load_params(Path("params.yaml")).mole.studies["shops"]
        ingest.run(settings.ingest, AT)
        ridge.run(settings.ridge, settings.sweep, AT)
        for name in POINTS if whole else ():
            mole_train.run(settings.sweep, replace(AT, point=name))
        if whole:
            evaluate.run(settings.sweep, settings.evaluate, AT)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {name: tmp_path_factory.mktemp(name) for name in ("wide", "long", "plain")}
    study(found["wide"], with_a_future(truth(long=False)))
    study(found["long"], with_a_future(truth(long=True)))
    study(found["plain"], truth(long=False)[:ROWS].drop(columns="promo"), known=False)
    return found


@pytest.fixture(params=["wide", "long"])
def frame(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Iterator[pd.DataFrame]:
    """The file of a study with known columns, in whose folder the test runs."""
    with chdir(folders[request.param]):
        yield pd.read_csv("shops.csv")


def mse(folder: Path) -> dict[str, float]:
    rows = read_results(folder / AT.results, "evaluate", "again")
    return {row.method: row.value for row in rows if row.metric == "mse" and row.role != "difference" and row.value}


def smape(folder: Path) -> dict[str, float]:
    rows = read_results(folder / AT.results, "evaluate", "again")
    return {row.method: row.value for row in rows if row.metric == "smape" and row.value}


def test_every_forecaster_uses_what_is_known(folders: dict[str, Path]) -> None:
    """What the promotion adds is known, so errors are those of the rest; least squares stands beside itself without."""
    wide, plain = mse(folders["wide"]), mse(folders["plain"])
    assert set(wide) - set(plain) == {PLAIN}
    assert wide[PLAIN] == pytest.approx(plain["least_squares"], rel=1e-5)  # in the same scale
    for name in plain:
        assert wide[name] < 0.75 * plain[name], name
    assert smape(folders["wide"])["least_squares"] < 0.9 * smape(folders["plain"])["least_squares"]


def test_the_coefficients_are_those_of_the_truth(frame: pd.DataFrame) -> None:
    series = read_series(AT.raw)
    scaler = fit_scaler(series)
    assert scaler.effects is not None
    value_C = scaler.effects.coefficient_CK[:, 0] * scaler.deviation_C
    np.testing.assert_allclose(value_C, [3, 1.5, 3, 1.5], atol=0.15)
    assert len(series.date_T) == ROWS
    assert series.known_TCK is not None
    assert series.known_TCK.shape[1] == (4 if "y" in frame else 1)


def test_a_column_of_noise_neither_helps_nor_hurts(folders: dict[str, Path], tmp_path: Path) -> None:
    """To 2 %: its coefficient varies by the 462 differences that it is fitted to, and by so much the 180 test rows may
    like it or not."""
    rng = np.random.default_rng(3)
    frame = truth(long=False)[:ROWS].drop(columns="promo").assign(promo=rng.normal(size=ROWS))
    study(tmp_path, frame)
    noise, plain = mse(tmp_path), mse(folders["plain"])
    for name in plain:
        assert noise[name] == pytest.approx(plain[name], rel=0.02), name


@pytest.mark.parametrize("different", [True, False])
def test_maps_of_static_values_are_preferred_where_they_differ(tmp_path: Path, different: bool) -> None:
    """Of eight shops, four of each region, with few rows: too few for a map of each."""
    frame = truth(long=True, different=different, shops=8)
    study(tmp_path, frame[frame["date"] < "2024-01-22"], whole=False)
    ridges = {point.name: point for point in read_points(tmp_path / MODELS)}
    loss = {name: point.relative_loss(HORIZON) for name, point in ridges.items()}
    chosen = preferred(list(ridges.values()), HORIZON)
    assert chosen is not None
    assert chosen.name == ("group_ridge" if different else "ridge"), loss
    if different:
        assert min(loss, key=loss.__getitem__) == "group_ridge"
        assert loss["group_ridge"] < 0.95 * loss["ridge"]
    else:
        assert loss["group_ridge"] == pytest.approx(loss["ridge"], rel=0.03)


def test_the_map_of_a_static_value_is_that_of_its_channels_alone(folders: dict[str, Path]) -> None:
    series = read_series(folders["long"] / AT.raw)
    forecaster = Forecaster.load(folders["long"] / MODELS, point="group_ridge")
    (point,) = (one for one in read_points(folders["long"] / MODELS) if one.name == "group_ridge")
    for place, group in enumerate(([0, 1], [2, 3])):
        known = {name: getattr(series, name) for name in ("date_T", "step", "splits", "known", "offset_T")}
        assert series.known_TCK is not None
        names = tuple(series.channels[c] for c in group)
        alone = Series(
            value_TC=series.value_TC[:, group], channels=names, known_TCK=series.known_TCK[:, group], **known
        )
        tried = []
        for lookback in (12, LOOKBACK):
            windows = origin_windows(alone, 2, lookback, HORIZON)
            tried += try_ridges(lambda _, windows=windows: windows, [lookback], ["none", "last", "mean"])  # type: ignore[misc]
            whole = of_group(origin_windows(series, 2, lookback, HORIZON), group)
            for (train, validation), (of_train, of_validation) in zip(windows, whole, strict=True):
                np.testing.assert_array_equal(train.value_CT, of_train.value_CT)
                np.testing.assert_array_equal(validation.value_CT, of_validation.value_CT)
        best, choice = min(tried, key=lambda one: one.loss), point.maps[HORIZON][place]
        assert (best.lookback, best.offset, best.penalty) == (choice.lookback, choice.offset, choice.penalty)
    weight_CHL = dict(forecaster.model.named_parameters())["weight_CHL"]
    assert (weight_CHL[0] == weight_CHL[1]).all()
    assert (weight_CHL[2] == weight_CHL[3]).all()
    assert not (weight_CHL[0] == weight_CHL[2]).all()


@pytest.mark.parametrize("point", ["ridge", "group_ridge", "channel_ridge", "mole_dlinear", "mole_cycle"])
def test_a_forecast_is_that_of_the_rest_with_the_effect_of_its_rows(frame: pd.DataFrame, point: str) -> None:
    """Held against a forecast of a series of which the effects were taken by hand."""
    long = "y" in frame
    if point == "group_ridge" and not long:
        with pytest.raises(ExpectedError, match="no point 'group_ridge'"):
            Forecaster.load(MODELS, point=point)
        return
    forecaster, whole = Forecaster.load(MODELS, point=point), truth(long)
    names, effects = list(forecaster.lookback.channels), forecaster.scaler.effects
    assert effects is not None
    found = forecaster.forecast(frame)
    wide = whole.pivot(index="date", columns="id", values="y") if long else whole.set_index("date")[names]
    promo = whole.pivot(index="date", columns="id", values="promo").to_numpy() if long else whole[["promo"]].to_numpy()
    effect = (promo - effects.mean_CK[:, 0]) * effects.coefficient_CK[:, 0] * forecaster.scaler.deviation_C
    rest = (wide - effect).iloc[:ROWS].reset_index()
    forecaster.scaler, lookback = replace(forecaster.scaler, effects=None), replace(forecaster.lookback, known=())
    by_hand = forecaster.forecast_recent(recent_of_frame(rest, "date", lookback))[names] + effect[ROWS:]
    if long:
        assert list(found.columns) == ["id", "date", point]
        np.testing.assert_allclose(found[point], by_hand.to_numpy().T.ravel(), rtol=1e-6)
    else:
        np.testing.assert_allclose(found[names], by_hand, rtol=1e-6)
    error = by_hand.to_numpy() - wide.to_numpy()[ROWS:]
    assert np.abs(error).mean() < np.abs(error - effect[ROWS:]).mean()
    assert any("known columns taken as they are given: 'promo'" in note for note in found.attrs["celldag"]["notes"])


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--overwrite"])
    return int(ended.value.code or 0)


def test_the_command_needs_the_future_of_every_row(
    frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, long = tmp_path / "out.csv", "y" in frame
    few = ["forecast", "--data", "shops.csv", "--out", str(out), "--point", "ridge"]
    assert call(*few, "--rows", "3", "--level", "90", "--json", "--plot", str(tmp_path / "out.svg")) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["forecast"]["date"]) == (12 if long else 3)
    assert call(*few) == 0
    whole = pd.read_csv(out)
    assert call(*few, "--rows", "9") == 2
    message = capsys.readouterr().err
    assert "error: known columns ('promo') go on for 8 rows after the last values, of 2024-02-07 11:00:00" in message
    later = truth(long)
    channels = ["y"] if long else [f"shop {shop}" for shop in range(4)]
    later.loc[later["date"].isin(np.sort(later["date"].unique())[ROWS - 5 :]), channels] = np.nan
    later.to_csv(tmp_path / "later.csv", index=False)  # 13 rows to forecast: more than the horizon
    assert (
        call("forecast", "--data", str(tmp_path / "later.csv"), "--out", str(out), "--point", "ridge", "--rows", "13")
        == 0
    )
    found = pd.read_csv(out)
    assert len(found) == 13 * (4 if long else 1)
    assert len(whole) == HORIZON * (4 if long else 1)
    assert np.isfinite(found.iloc[:, -1]).all()


def test_earlier_cutoffs_know_what_follows_them(frame: pd.DataFrame, tmp_path: Path) -> None:
    long = "y" in frame
    truth(long).to_csv(tmp_path / "all.csv", index=False)
    out = tmp_path / "cutoffs.csv"
    options = ("--data", str(tmp_path / "all.csv"), "--out", str(out), "--point", "ridge", "--windows", "3")
    assert call("cross-validate", *options) == 0
    found, direct = pd.read_csv(out), Forecaster.load(MODELS, point="ridge").forecast(frame)
    last = found[found["cutoff"] == found["cutoff"].max()]
    expected = direct["ridge"] if long else direct[[f"shop {shop}" for shop in range(4)]].to_numpy().T.ravel()
    np.testing.assert_allclose(last["ridge"], expected, rtol=1e-6)


def test_the_served_model_answers_its_own_example(frame: pd.DataFrame, tmp_path: Path) -> None:
    served = ServedForecaster()
    served.forecasters = forecasters(MODELS)
    example = pack(AT, Path(), tmp_path).example
    assert ("unique_id" in example) == ("y" in frame)
    sent = json.loads(example.to_json(orient="split"))  # as a request does: null for what has no value
    answer = served.predict(None, pd.DataFrame(sent["data"], columns=sent["columns"]))
    assert len(answer) == HORIZON * (4 if "y" in frame else 1)
    with pytest.raises(Exception, match="go on for 0 rows"):
        served.predict(None, example[example.notna().all(axis=1)])


def test_programs_for_ttnn_see_the_rest(frame: pd.DataFrame) -> None:
    """As networks do: nothing of a program knows of known columns."""
    from pipeline.mole.params.ttnn import Ttnn
    from pipeline.mole.ttnn.benchmark import cases_of, compared_windows, reference_of

    settings = Ttnn(points=["mole_dlinear"], horizon=HORIZON, windows=16, experts=[1, 2])
    cases = {"mole_dlinear": cases_of(settings, MODELS / "mole_dlinear")}
    windows, series = compared_windows(settings, cases, AT.raw), read_series(AT.raw)
    test = windows_of(series, fit_scaler(series), "test", windows.x_NCL.shape[2], HORIZON)
    assert (windows.x_NCL[0].numpy() == test.x(slice(1))[0]).all()
    assert reference_of(cases["mole_dlinear"][0], windows).mse < 1


def _twice(ingest: dict[str, object]) -> None:
    ingest["static"] = ["promo"]


def _of_dates(ingest: dict[str, object]) -> None:
    ingest["known"] = ["date"]


@pytest.mark.parametrize("change", [_twice, _of_dates])
def test_a_column_is_one_thing(folders: dict[str, Path], change: Callable[[dict[str, object]], None]) -> None:
    params = yaml.safe_load((folders["wide"] / "params.yaml").read_text())
    change(params["mole"]["studies"]["shops"]["ingest"])
    path = folders["wide"] / "other.yaml"
    path.write_text(yaml.safe_dump(params))
    with pytest.raises(ExpectedError, match="is named twice among date, known and static"):
        load_params(path)


@pytest.mark.parametrize("name", ["known", "static"])
def test_a_recipe_has_channels_alone(folders: dict[str, Path], name: str) -> None:
    settings = load_params(folders["wide"] / "params.yaml").mole.studies["shops"].ingest
    recipe = settings.model_copy(update={"path": str(ROOT / "data/embedded/series.yaml"), "known": [], name: ["x"]})
    with pytest.raises(ExpectedError, match=f"mole.studies.shops.ingest.{name} can be given for a CSV file only"):
        ingest.run(recipe, AT)
