"""A trained forecaster in use: what it forecasts of a frame, whatever the order of columns, and what it refuses."""

import json
import shutil
from contextlib import chdir
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json, sha256
from pipeline.core.paths import StudyPaths
from pipeline.core.sealed import read_sealed, write_sealed
from pipeline.mole.data.new_series import Lookback, recent_of_frame
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import read_series
from pipeline.mole.data.step import Step
from pipeline.mole.data.windows import windows_of
from pipeline.mole.interval_files import read_intervals
from pipeline.mole.model.ridge import RidgePath, moments_of
from pipeline.mole.model.tracking import RATE
from pipeline.mole.points import preferred, read_points
from pipeline.mole.stages import ridge
from pipeline.mole.trained import Forecaster
from pipeline.registry import load_params

CPU = torch.device("cpu")
ORIGIN = "celldag"


@pytest.fixture(scope="module")
def models(series_project):
    return series_project / "models/mole/series"


@pytest.fixture(scope="module")
def series(series_project):
    return read_series(series_project / "data/raw/mole/series")


@pytest.fixture
def frame(series):
    """All but the last 12 rows: what the last test window of horizon 12 sees, and more."""
    return frame_of(series).iloc[:-12]


def frame_of(series):
    dates = pd.Series(series.date_T.astype("datetime64[s]"), name="date")
    return pd.concat([dates, pd.DataFrame(series.value_TC, columns=list(series.channels))], axis=1)


@pytest.mark.parametrize("point", ["dlinear", "rlinear", "mole_dlinear", "mole_rlinear"])
@pytest.mark.parametrize("seed", [0, 3])
def test_a_forecast_is_the_models_own_on_the_last_test_window(models, series, frame, point, seed):
    forecaster = Forecaster.load(models, point=point, seed=seed)
    scaler = fit_scaler(series)
    windows = ResidentWindows(windows_of(series, scaler, "test", 24, 12), 7, CPU)
    batch = windows.take(torch.tensor([windows.windows - 1]))
    with torch.no_grad():
        y_1CH = forecaster.model(batch.x_BCL, batch.mark_BF)
    found = forecaster.forecast(frame)
    assert list(found.columns) == ["date", *series.channels]
    # rtol: a product of one window may be rounded otherwise than the model's own, of the same window laid out otherwise
    np.testing.assert_allclose(found[list(series.channels)], scaler.unscale(y_1CH[0].T.numpy()), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found["date"].to_numpy(), series.date_T[-12:].astype("datetime64[s]"))


def test_the_router_sees_the_first_row_of_the_lookback(models, frame):
    """The same values at another time of the week are weighed otherwise; those of a backbone alone are not."""
    later = frame.assign(date=frame["date"] + pd.Timedelta(hours=60))
    for point, same in (("mole_dlinear", False), ("dlinear", True)):
        forecaster = Forecaster.load(models, point=point)
        first, second = (forecaster.forecast(given).drop(columns="date") for given in (frame, later))
        assert np.array_equal(first, second) == same
    forecaster = Forecaster.load(models, point="mole_dlinear")
    shown = forecaster.forecast(frame, experts=True)
    hour, weekday = frame["date"].iloc[-24].hour, frame["date"].iloc[-24].weekday()
    day, yearday = frame["date"].iloc[-24].day, frame["date"].iloc[-24].dayofyear
    mark = torch.tensor([[hour / 23, weekday / 6, (day - 1) / 30, (yearday - 1) / 365]]) - 0.5
    with torch.no_grad():
        weight_CE = forecaster.model.router_weights(mark)[0].numpy()
    for c, name in enumerate(forecaster.lookback.channels):
        mixed = sum(weight_CE[c, e] * shown[f"{name} (expert {e + 1})"] for e in range(3))
        np.testing.assert_allclose(shown[name], mixed, rtol=1e-4)
    assert len(shown.columns) == 1 + 5 * 4


def test_order_of_columns_earlier_rows_and_other_columns_do_not_matter(models, frame):
    forecaster = Forecaster.load(models)
    expected = forecaster.forecast(frame)
    turned = frame[frame.columns[::-1]].assign(remark="text")
    turned["shops"] = turned["shops"].where(turned.index >= len(turned) - 24)  # no value in earlier rows
    turned = turned.drop(index=[3, 4]).rename(columns={"date": "time"})
    turned["time"] = turned["time"].dt.strftime("%Y/%m/%d %H:%M")
    found = forecaster.forecast(turned, date="time")
    pd.testing.assert_frame_equal(found.rename(columns={"time": "date"}), expected, check_exact=True)
    assert found.attrs[ORIGIN]["notes"][-1] == "1 column not used: 'remark'"
    pd.testing.assert_frame_equal(forecaster.forecast(frame.iloc[-24:]), expected, check_exact=True)
    changed = frame.copy()
    changed.loc[len(frame) - 24, "town"] += 1.0  # the first row that counts
    assert not np.allclose(forecaster.forecast(changed)["town"], expected["town"])


def test_a_forecast_is_in_the_units_of_the_series(models, frame, series):
    """A channel higher by a constant is forecast higher by it: so does the offset of dlinear, as does the norm."""
    for point in ("mole_dlinear", "mole_rlinear"):
        forecaster = Forecaster.load(models, point=point)
        expected, higher = forecaster.forecast(frame), forecaster.forecast(frame.assign(town=frame["town"] + 100))
        np.testing.assert_allclose(higher["town"], expected["town"] + 100, rtol=1e-5)
        np.testing.assert_array_equal(higher["shops"], expected["shops"])
        truth = series.value_TC[-12:]
        assert np.abs(expected[list(series.channels)] - truth).to_numpy().mean() < series.value_TC.std(0).mean()


def test_what_validation_chose_is_taken_unless_told_otherwise(models, frame):
    points = {point.name: point for point in read_points(models)}
    assert sorted(points) == ["dlinear", "mole_dlinear", "mole_rlinear", "rlinear"]
    for horizon in (6, 12):
        logs = {
            name: np.mean([np.log(one.loss / one.least_squares) for one in points[name].origins[horizon]])
            for name in points
            if "mole" in name
        }
        best = min(logs, key=logs.get)
        losses = points[best].validation[horizon]
        forecaster = Forecaster.load(models, horizon)
        assert (forecaster.point.name, forecaster.seed) == (best, min(losses, key=losses.get))
        config = read_json(models / best / f"h{horizon}_seed{forecaster.seed}/config.json")
        assert config["validation_loss"] == min(losses.values())
        assert len(forecaster.forecast(frame)) == horizon
    assert Forecaster.load(models).horizon == 12
    told = Forecaster.load(models, 6, "rlinear", 3)
    assert (told.horizon, told.point.name, told.seed) == (6, "rlinear", 3)


@pytest.fixture
def with_ridge(series_project, tmp_path):
    """The models with the ridge beside them."""
    for folder in ("data", "models"):
        shutil.copytree(series_project / folder, tmp_path / folder)
    study = load_params(series_project / "params.yaml").mole.studies["series"]
    with chdir(tmp_path):
        ridge.run(study.ridge, study.sweep, StudyPaths("mole", "series"))
    return tmp_path / "models/mole/series"


def test_the_ridge_forecasts_where_validation_prefers_it(with_ridge, frame, series):
    points = {point.name: point for point in read_points(with_ridge)}
    for horizon in (6, 12):
        forecaster = Forecaster.load(with_ridge, horizon)
        assert forecaster.point.name == preferred(list(points.values()), horizon).name
        forecaster = Forecaster.load(with_ridge, horizon, "ridge")
        chosen = points["ridge"].maps[horizon][0]
        assert forecaster.lookback.rows == chosen.lookback
        train = windows_of(series, fit_scaler(series), "train", chosen.lookback, horizon)
        weight_HL = RidgePath(moments_of(train), chosen.offset).weights(chosen.penalty).numpy()
        x_LC = fit_scaler(series).scale(frame[list(series.channels)].to_numpy()[-chosen.lookback :])
        found = forecaster.forecast(frame)
        np.testing.assert_allclose(
            found[list(series.channels)], fit_scaler(series).unscale(weight_HL @ x_LC), rtol=1e-4, atol=1e-4
        )
        assert found.attrs[ORIGIN]["notes"][0].startswith(f"forecast by ridge (lookback {chosen.lookback}, offset ")
    with pytest.raises(ExpectedError, match="ridge is the linear baseline: it has no experts to show"):
        forecaster.forecast(frame, experts=True)


def test_it_says_where_it_comes_from(models, frame, series_project):
    origin = Forecaster.load(models, 6, "mole_rlinear", 3).forecast(frame).attrs[ORIGIN]
    assert json.loads(json.dumps(origin)) == origin
    assert origin["command"] == "forecast"
    assert origin["dataset_sha256"] == sha256(series_project / "data/raw/mole/series/series.parquet")
    assert origin["model_sha256"] == sha256(models / "mole_rlinear/h6_seed3/weights.safetensors")
    assert origin["parameters"]["recipe"]["lookback"] == 24
    assert origin["parameters"]["recipe"]["seed"] == 3
    assert origin["arguments"]["point"] == "mole_rlinear"
    assert origin["notes"][0].startswith("forecast by mole_rlinear (3 experts of rlinear), horizon 6, seed 3; ")
    assert origin["notes"][1] == "from the last 24 rows, 2021-03-24 12:00:00 to 2021-03-25 11:00:00"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: f.drop(columns="date"), "column 'date': found no such column"),
        (lambda f: f.drop(columns="pump"), "1 channel missing: found no 'pump'; there are 'date', 'town'"),
        (lambda f: f.rename(columns={"pump": "pumps"}), "found no 'pump', perhaps 'pumps'; there are"),
        (lambda f: f.iloc[-23:], "rows: found 23 rows; expected 24 or more"),
        (lambda f: f.iloc[:0], "the frame has no rows: expected 24 or more"),
        (lambda f: f.iloc[::2], "step of time: found 2 hours; expected 1 hour"),
        (lambda f: f.iloc[::-1], "23 time stamps earlier than the one before"),
        (lambda f: f.drop(index=len(f) - 3), "1 gap, the first after 2021-03-25 08:00:00 in line 586"),
        (lambda f: pd.concat([f, f.iloc[-1:]]), "1 time stamp there before"),
        (lambda f: f.assign(town=f["town"].where(f.index != len(f) - 1)), "'town' (1 row, first in line 589)"),
        (lambda f: f.assign(town="much"), "'town' (24 rows, first 'much' in line 566)"),
        (lambda f: f.assign(town=np.inf), "1 channel with an infinite value"),
        (lambda f: f.assign(date="yesterday"), "24 dates that cannot be read"),
        (lambda f: f.assign(town=1e300 * f["town"]), "the forecast of 'town' is no finite number"),
        (lambda f: pd.concat([f, f[["town"]]], axis=1), "1 name of several columns: 'town'"),
    ],
)
def test_a_frame_that_does_not_fit_ends_in_one_message(models, frame, spoil, words):
    for point in ("mole_dlinear", "mole_rlinear"):
        with pytest.raises(ExpectedError) as caught:
            Forecaster.load(models, point=point).forecast(spoil(frame))
        assert words in str(caught.value)


def test_all_problems_are_told_at_once(models, frame):
    bad = frame.iloc[-20:].drop(columns=["pump", "plant"]).assign(town="much")
    with pytest.raises(ExpectedError, match="the frame cannot be used, 3 problems") as caught:
        Forecaster.load(models).forecast(bad)
    for words in ("2 channels missing: found no 'pump', 'plant'", "found 20 rows", "1 channel with text"):
        assert words in str(caught.value)


def test_a_channel_is_no_column_of_dates(models, frame):
    with pytest.raises(ExpectedError, match="'town' is a channel of the forecaster"):
        Forecaster.load(models).forecast(frame, date="town")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"horizon": 7}, "no point in {models} has horizon 7: there are 6, 12; add it to mole.sweep.recipe.horizons"),
        ({"point": "mole"}, "no point 'mole' in {models}: there are dlinear, mole_dlinear, mole_rlinear, rlinear"),
        ({"point": "rlinear", "horizon": 7}, "rlinear in {models} has horizon 7: there are 6, 12"),
        ({"seed": 1}, "was trained with seeds 0, 3, not with 1"),
    ],
)
def test_a_network_that_was_not_trained_is_refused_with_those_that_were(models, asked, words):
    with pytest.raises(ExpectedError) as caught:
        Forecaster.load(models, **asked)
    assert words.format(models=models) in str(caught.value)


def test_a_backbone_alone_has_no_experts(models, frame):
    with pytest.raises(ExpectedError, match="rlinear is a backbone alone"):
        Forecaster.load(models, point="rlinear").forecast(frame, experts=True)


def test_damaged_or_missing_networks_name_the_stage_that_makes_them(models, tmp_path):
    with pytest.raises(ExpectedError, match=r"no forecaster in .*nowhere: `dvc repro mole_train`"):
        Forecaster.load(tmp_path / "nowhere")
    folder = tmp_path / "mole/series"
    for name in ("dlinear", "mole_dlinear"):
        shutil.copytree(models / name, folder / name)
    config = folder / "dlinear/h6_seed0/config.json"
    content = {key: value for key, value in read_sealed(config).items() if key != "provenance"}
    write_sealed(config, content, "weights.safetensors")
    with pytest.raises(ExpectedError, match=r"does not say its provenance.*repro --force mole_train@series-dlinear"):
        Forecaster.load(folder, 6, "dlinear", 0)
    (folder / "dlinear/h6_seed3/weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(ExpectedError, match=r"weights.safetensors is damaged.*repro --force mole_train@series-dlinear"):
        Forecaster.load(folder, 6, "dlinear", 3)
    shutil.rmtree(folder / "mole_dlinear")
    with pytest.raises(ExpectedError, match=r"no mixture of experts in .* name a point of dlinear"):
        Forecaster.load(folder)
    for damage in ("{", "[]", "{}", '{"point": {}}'):
        (folder / "dlinear/about.json").write_text(damage)
        with pytest.raises(
            ExpectedError,
            match=r"about.json is damaged, or of an older version: `dvc repro --force mole_train@series-dlinear`",
        ):
            Forecaster.load(folder)


def with_step(forecaster, calendar):
    """As if it had been trained at this step of the calendar."""
    forecaster.lookback = replace(forecaster.lookback, step=Step(calendar=calendar))
    return forecaster


@pytest.mark.parametrize("calendar", ["MS", "ME", "3MS", "12ME", "B", "BME"])
def test_a_step_of_the_calendar_is_continued(models, frame, calendar):
    dates = pd.date_range("1990-01-10 06:00", periods=24 + 12, freq=calendar)
    forecaster = with_step(Forecaster.load(models), calendar)
    found = forecaster.forecast(frame.iloc[-24:].assign(date=dates[:24]))
    assert found["date"].tolist() == dates[24:].tolist()
    with pytest.raises(ExpectedError, match=r"1 gap, the first after .* in line 11"):
        forecaster.forecast(frame.iloc[-25:].assign(date=dates[:25]).drop(index=len(frame) - 15))
    with pytest.raises(ExpectedError, match="step of time: found 1 hour; expected 1 "):
        forecaster.forecast(frame)
    told = forecaster.lookback.step.told()
    with pytest.raises(ExpectedError) as caught:
        Forecaster.load(models).forecast(frame.iloc[-24:].assign(date=dates[:24]))
    assert f"step of time: found {told}; expected 1 hour" in str(caught.value)


def test_few_rows_at_the_step_of_training_leave_no_doubt(models):
    """Five business days, Monday to Friday, are also five days."""
    days = pd.DataFrame({"date": pd.date_range("2024-03-04", periods=5), "load": np.arange(5.0)})
    for step, first in ((Step(calendar="B"), "2024-03-11"), (Step(86_400), "2024-03-09")):
        recent = recent_of_frame(days, "date", Lookback(("load",), 5, step))
        (following,) = step.after(int(recent.stamps.date_T[-1]), 1).astype("datetime64[s]")
        assert following == np.datetime64(first)
    late = days.assign(date=pd.date_range("2024-03-05", periods=5))  # to a Saturday
    with pytest.raises(ExpectedError, match="step of time: found 1 day; expected 1 business day"):
        recent_of_frame(late, "date", Lookback(("load",), 5, Step(calendar="B")))


@pytest.mark.parametrize("end", ["2024-03-31 12:00", "2024-10-27 12:00"])  # on which clocks change
def test_an_offset_from_utc_is_kept_and_features_are_of_the_local_clock(models, frame, end):
    forecaster = Forecaster.load(models, point="mole_dlinear")
    dates = pd.date_range(end=end, periods=24, freq="h", tz="Europe/Berlin")
    found = forecaster.forecast(frame.iloc[-24:].assign(date=dates))
    assert found["date"].dt.tz_convert("UTC").tolist() == pd.date_range(dates[-1], periods=13, freq="h")[1:].tolist()
    assert found["date"].iloc[0].utcoffset() == dates[-1].utcoffset()
    local = pd.date_range(dates[0].tz_localize(None), periods=24, freq="h")
    expected = forecaster.forecast(frame.iloc[-24:].assign(date=local))
    pd.testing.assert_frame_equal(found.drop(columns="date"), expected.drop(columns="date"), check_exact=True)
    notes = found.attrs[ORIGIN]["notes"]
    assert notes[1] == f"from the last 24 rows, {dates[0].isoformat(' ')} to {dates[-1].isoformat(' ')}"
    offset = dates[-1].isoformat()[-6:]
    assert notes[2] == f"time stamps keep the offset of the last row, {offset}: no change of clocks is foreseen"


def assert_long(found, wide, long):
    """The same forecasts, a row for each channel and time stamp."""
    name = found.columns[-1]
    assert list(found) == ["unique_id", "date", name]
    assert found["unique_id"].unique().tolist() == long["unique_id"].unique().tolist()
    again = found.pivot(index="date", columns="unique_id", values=name)[list(wide.columns[1:])]
    np.testing.assert_array_equal(again, wide.iloc[:, 1:])
    np.testing.assert_array_equal(again.index, wide["date"])


def test_long_format_is_widened_before_its_last_rows_are_taken(models, frame, series):
    expected = Forecaster.load(models).forecast(frame)
    long = frame.melt(id_vars="date", var_name="unique_id", value_name="y")
    assert_long(Forecaster.load(models).forecast(long), expected, long)
    others = pd.DataFrame({"date": long["date"], "unique_id": "another", "y": 1.0})[3:9]
    found = Forecaster.load(models).forecast(pd.concat([others, long]))
    assert_long(found, expected, long)
    last = series.channels[-1]
    of_last = np.flatnonzero(long["unique_id"] == last)
    found = Forecaster.load(models).forecast(long.drop(index=of_last[-3:]))
    assert_long(found, Forecaster.load(models).forecast(frame[:-3]), long)
    end = frame["date"].iloc[-4]
    note = f"{last!r} ends at {end}, before the others, of which later rows are not used"
    assert note in found.attrs["celldag"]["notes"]
    with pytest.raises(ExpectedError, match=r"1 problem:.*\n.*'town' has no row at"):
        Forecaster.load(models).forecast(long.drop(index=np.flatnonzero(long["unique_id"] == "town")[-3]))
    with pytest.raises(ExpectedError, match="1 channel missing: found no 'town'"):
        Forecaster.load(models).forecast(long[long["unique_id"] != "town"])


def test_the_ends_of_intervals_are_the_forecast_and_quantiles_of_its_own_errors_before(models, series, frame):
    """Against a loop over the windows that lie whole seasons before."""
    forecaster = Forecaster.load(models, point="mole_dlinear", seed=3)
    found = forecaster.forecast(frame, level=[90, 50])
    names = [f"{name}{end}" for end in ("", "-lo-90", "-hi-90", "-lo-50", "-hi-50") for name in series.channels]
    assert list(found.columns) == ["date", *names]
    plain = forecaster.forecast(frame)
    pd.testing.assert_frame_equal(found[plain.columns], plain)
    intervals = read_intervals(models / "mole_dlinear/h12_seed3", "mole_train")
    value_TC, rows = frame[list(series.channels)].to_numpy(), len(frame)
    firsts = range(rows - 24, 23, -24)[::-1]  # the rows that earlier windows forecast first
    error_DHC = np.array([
        (value_TC[first : first + 12] - forecaster.forecast(frame.iloc[:first])[list(series.channels)].to_numpy())
        / forecaster.scaler.deviation_C
        for first in firsts
    ])  # fmt: skip
    prior_HC = intervals.scale_SCH[int(frame["date"].iloc[-24].hour)].numpy().T
    low_HC, high_HC = (intervals.quantile(level).numpy().T for level in (0.05, 0.95))

    def scale(known: int) -> np.ndarray:
        latest = np.abs(error_DHC[max(0, known - intervals.seasons) : known])
        return (latest.sum(0) + intervals.prior * prior_HC) / (len(latest) + intervals.prior)

    log_HC = np.zeros_like(prior_HC)
    for known, error_HC in enumerate(error_DHC):
        width = np.exp(log_HC) * scale(known)
        outside = (error_HC < width * low_HC) | (error_HC > width * high_HC)
        log_HC += RATE * (outside - 0.1)
    for end, level in (("lo-90", 0.05), ("hi-90", 0.95), ("lo-50", 0.25), ("hi-50", 0.75)):
        width = np.exp(log_HC) * scale(len(error_DHC)) * intervals.quantile(level).numpy().T
        ends = found[[f"{name}-{end}" for name in series.channels]]
        expected = plain.iloc[:, 1:].to_numpy(float) + width * forecaster.scaler.deviation_C
        np.testing.assert_allclose(ends, expected, rtol=1e-4, atol=1e-4)
    assert 7 < len(firsts) <= 67
    assert found.attrs[ORIGIN]["arguments"]["level"] == [90, 50]
    assert any(
        "intervals: conformal" in note and f"{len(firsts)} forecasts" in note for note in found.attrs[ORIGIN]["notes"]
    )


def test_without_rows_before_the_lookback_intervals_are_those_of_the_validation_rows(models, series, frame):
    forecaster = Forecaster.load(models, point="dlinear", seed=0)
    rows = forecaster.lookback.rows
    found = forecaster.forecast(frame.tail(rows), level=[90])
    intervals = read_intervals(models / "dlinear/h12_seed0", "mole_train")
    scale_CH = intervals.scale_SCH[int(frame["date"].iloc[-rows].hour)]
    width_CH = (scale_CH * (intervals.quantile(0.95) - intervals.quantile(0.05))).numpy()
    for place, name in enumerate(series.channels):
        width = found[f"{name}-hi-90"] - found[f"{name}-lo-90"]
        np.testing.assert_allclose(width, width_CH[place] * forecaster.scaler.deviation_C[place], rtol=1e-4)
    assert any("holds no rows before the lookback" in note for note in found.attrs[ORIGIN]["notes"])


def test_intervals_that_are_not_calibrated_are_refused(models, frame, tmp_path):
    forecaster = Forecaster.load(models, point="dlinear", seed=0)
    with pytest.raises(ExpectedError, match=r"level 93 are not calibrated: expected one of .*95, 90, 80"):
        forecaster.forecast(frame, level=[93])
    shutil.copytree(models, tmp_path / "series")
    (tmp_path / "series/dlinear/h12_seed0/intervals.json").unlink()
    without = Forecaster.load(tmp_path / "series", point="dlinear", seed=0)
    assert len(without.forecast(frame)) == 12
    with pytest.raises(ExpectedError, match=r"intervals.json not found, so the intervals .* are not calibrated: `dvc"):
        without.forecast(frame, level=[90])
    path = tmp_path / "series/mole_dlinear/h12_seed3/intervals.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(ExpectedError, match=r"the intervals in .* are damaged"):
        Forecaster.load(tmp_path / "series", point="mole_dlinear", seed=3).forecast(frame, level=[90])
