"""ingest, mole_train and evaluate of a study of mole on a small simulated series: as processes where they are
killed or refused, and in this one where numbers are held against numpy."""

import shutil
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from pipeline.core.errors import ExpectedError
from pipeline.core.files import read_json, write_json
from pipeline.core.paths import StudyPaths
from pipeline.core.sealed import write_sealed
from pipeline.metrics.results import read_results
from pipeline.mole.data.series import Series, read_series, write_series
from pipeline.mole.points import read_point, read_points
from pipeline.mole.stages import evaluate as forecasting
from pipeline.mole.stages import ingest, mole_train, ridge
from pipeline.mole.trained import Forecaster
from pipeline.registry import load_params
from tests.settled import settled
from tests.stages.stage_process import ROOT, kill_after, run, written

pytestmark = pytest.mark.slow

AT = StudyPaths("mole", "series")
LOOKBACK, HORIZONS, SEEDS = 24, [4, 8], [0, 3]
SMALL = {
    "start": "random",  # so that little training makes a difference
    "lookback": LOOKBACK,
    "learning_rate": 1e-2,
    "horizons": HORIZONS,
    "kernel": 5,
    "hidden": 8,
    "epochs": 3,
    "earlier_origins": 2,
}
POINTS: dict[str, dict[str, Any]] = {
    "dlinear": {"backbone": "dlinear"},
    "rlinear": {"backbone": "rlinear"},
    "mole_dlinear": {"backbone": "dlinear", "experts": 3},
    "two_of_four": {"backbone": "rlinear", "experts": 4, "top_k": 2, "head_dropout": 0.2},
}
BANDED = ["coverage_90", "width_90", "interval_score_90", "crps", "split_coverage_90", "split_crps"]
BASELINES = ["ridge", "channel_ridge", "least_squares", "seasonal_naive", "last_value"]
COLUMNS = {
    "points": "point backbone experts top_k twin parameters horizon flops",
    "channels": "horizon method channel mse mae",
    "steps": "horizon method step mse",
    "expert_weights": "point horizon seed by value channel expert weight",
    "usage": "point horizon seed expert weight top",
    "reduced": "point horizon way experts seed mse mae validation_mse",
    "coverage": "horizon method by value coverage",
    "example": "point horizon window channel series step value",
}


def configure(
    folder: Path,
    points: Any = POINTS,
    rows: int = 400,
    channels: Any = None,
    seeds: Sequence[int] = SEEDS,
    lookbacks: Sequence[int] = (96, 192),  # of the ridge, beside the recipe's
    per_channel: bool = True,
    **recipe: object,
) -> None:
    series = yaml.safe_load((ROOT / "data/embedded/series.yaml").read_text())
    series |= {"rows": rows} | ({"channels": channels, "trend": 0.0} if channels else {})
    (folder / "series.yaml").write_text(yaml.safe_dump(series, sort_keys=False))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    study = {"ingest": {"path": "series.yaml", "date": "date", "layout": None}, "seeds": list(seeds)}
    study["sweep"] = {"recipe": SMALL | recipe, "points": points}
    study["ridge"] = {"lookbacks": list(lookbacks), "per_channel": per_channel}
    params["mole"]["studies"] = {"series": study}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def train(folder: Path, point: str, code: int = 0) -> str:
    settled(folder)
    return run(folder, "pipeline.mole.stages.mole_train", f"series-{point}", code=code)


def evaluate(folder: Path, code: int = 0) -> str:
    settled(folder)
    return run(folder, "pipeline.mole.stages.evaluate", "mole-series", code=code)


def here(folder: Path, *points: str, first: bool = False, last: bool = False) -> None:
    """In this process, which is quicker: ingest and ridge, if asked for, the training of points, the evaluation."""
    with chdir(folder):
        study = load_params(Path("params.yaml")).mole.studies["series"]
        if first:
            ingest.run(study.ingest, AT)
            ridge.run(study.ridge, study.sweep, AT)
        for name in points:
            mole_train.run(study.sweep, replace(AT, point=name))
        if last:
            forecasting.run(study.sweep, study.evaluate, AT)


def refusal(folder: Path, *points: str, last: bool = False) -> str:
    """The message in which it ends, with what was written before as it was."""
    before = written(folder)
    with pytest.raises(ExpectedError) as caught:
        here(folder, *points, last=last)
    assert written(folder) == before
    return str(caught.value)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder in which all stages have run."""
    folder = tmp_path_factory.mktemp("forecasting")
    configure(folder)
    here(folder, *POINTS, first=True, last=True)
    return folder


@pytest.fixture
def project(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    shutil.copytree(whole, tmp_path / "project")
    return tmp_path / "project"


def series_of(folder: Path) -> Series:
    return read_series(folder / "data/raw/mole/series")


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"reports/mole/series/details/{name}.parquet")


def scores(folder: Path) -> pd.DataFrame:
    rows = read_results(folder / "reports/mole/series/results.csv", "dvc repro evaluate@mole-series")
    columns = ["horizon", "method", "role", "seed", "metric", "value"]
    found = [
        (int(row.unit.removeprefix("horizon ")), row.method, row.role, row.seed, row.metric, row.value) for row in rows
    ]
    return pd.DataFrame([fields for fields in found if fields[2] != "difference"], columns=columns)


def score_of(folder: Path, horizon: int, method: str, metric: str) -> float:
    found = scores(folder).query("horizon == @horizon and method == @method and metric == @metric")
    return float(found["value"].mean())


def test_every_method_has_every_score_and_the_figures_their_tables(whole: Path) -> None:
    found = scores(whole)
    keys = {
        (horizon, method, metric)
        for horizon in HORIZONS
        for method in (*POINTS, *BASELINES)
        for metric in ("mse", "mae", "mase", "smape", "validation_mse")
    }
    coverage = table(whole, "coverage")
    for horizon, of in coverage.groupby("horizon"):  # intervals: of the chosen mixture and two baselines
        keys |= {(horizon, method, metric) for method in of["method"].unique() for metric in BANDED}
        (chosen,) = set(of["method"]) - {"ridge", "channel_ridge", "seasonal_naive"}
        assert chosen in POINTS
    assert coverage["coverage"].between(0, 1).all()
    assert coverage.groupby(["horizon", "method", "by"]).size().to_dict() == {
        (horizon, method, by): size
        for horizon, of in coverage.groupby("horizon")
        for method in of["method"].unique()
        for by, size in (("step", horizon), ("hour", 24), ("channel", 5), ("block", min(10, (81 - horizon) // horizon)))
    }
    mean = coverage.groupby(["horizon", "method", "by"])["coverage"].mean().unstack()
    np.testing.assert_allclose(mean["channel"], mean["step"], atol=1e-6)
    np.testing.assert_allclose(mean["block"], mean["step"], atol=0.02)  # blocks differ by a window
    assert set(found[["horizon", "method", "metric"]].itertuples(index=False, name=None)) == keys
    assert set(found["role"]) == {"model", "baseline"}
    assert (found.groupby(["horizon", "method", "metric"])["seed"].nunique() == found.groupby(
        ["horizon", "method", "metric"]
    )["role"].agg(lambda role: 2 if role.iloc[0] == "model" else 0)).all()  # fmt: skip
    for name, columns in COLUMNS.items():
        assert set(table(whole, name).columns) == set(columns.split()), name
    points = table(whole, "points").set_index(["horizon", "point"])
    assert points["twin"].loc[4].to_dict() == {
        "dlinear": "dlinear", "rlinear": "rlinear", "mole_dlinear": "dlinear", "two_of_four": "rlinear"
    }  # fmt: skip
    curve = pd.read_csv(whole / "reports/mole/series/curves/mole_dlinear.csv")
    assert curve.groupby(["horizon", "origin", "seed"]).size().to_dict() == {
        (horizon, origin, seed): 3 for horizon in HORIZONS for origin, seed in [(0, 0), (0, 3), (1, 0), (2, 0)]
    }
    curve = pd.read_csv(whole / "reports/mole/series/curves/dlinear.csv")
    assert set(curve["origin"]) == {0}  # what is alone is not chosen
    assert not list((whole / ".checkpoints").glob("*/*/*"))


def test_the_choice_is_by_validation(whole: Path) -> None:
    numbers = read_json(whole / "reports/mole/series/details/choices.json")
    assert numbers["windows"] == {"4": 80 - 3, "8": 80 - 7}
    twins = {"mole_dlinear": "dlinear", "two_of_four": "rlinear"}
    for horizon in HORIZONS:
        found = numbers["horizons"][str(horizon)]
        validation = {name: score_of(whole, horizon, name, "validation_mse") for name in twins}
        relative = {}
        for name in twins:
            about = read_json(whole / f"models/mole/series/{name}/about.json")
            origins = about["origins"][str(horizon)]
            assert len(origins) == 3
            assert origins[-1]["loss"] == pytest.approx(validation[name], rel=1e-4)
            expected = score_of(whole, horizon, "least_squares", "validation_mse")
            assert origins[-1]["least_squares"] == pytest.approx(expected, rel=1e-4)
            relative[name] = np.prod([one["held_out"] / one["least_squares"] for one in origins]) ** (1 / 3)
            ratios = {one["start"]: one["held_out"] / one["least_squares"] for one in origins}
            assert found["origins"][name] == pytest.approx(ratios, rel=1e-5)
        about = read_json(whole / "models/mole/series/ridge/about.json")
        origins = about["origins"][str(horizon)]
        assert origins[-1]["loss"] == pytest.approx(score_of(whole, horizon, "ridge", "validation_mse"), rel=1e-4)
        assert found["ridges"]["ridge"] == about["maps"][str(horizon)]
        assert found["origins"]["ridge"] == pytest.approx(
            {one["start"]: one["held_out"] / one["least_squares"] for one in origins}, rel=1e-5
        )
        assert set(found["origins"]) == {*twins, "ridge", "channel_ridge"}
        # what starts from the ridge pays for the choice of its settings, beside that of the epoch
        of_ridge = [of["held_out"] / of["loss"] for of in origins]
        for name in twins:
            of_name = read_json(whole / f"models/mole/series/{name}/about.json")["origins"][str(horizon)]
            own = [of["held_out"] / of["loss"] / start for of, start in zip(of_name, of_ridge, strict=True)]
            assert max(own) >= 1 - 1e-6
        assert found["chosen"] == min(relative, key=lambda name: relative[name])
        assert found["twin"] == twins[found["chosen"]]
        losses = read_json(whole / f"models/mole/series/{found['chosen']}/about.json")["validation_loss"][str(horizon)]
        assert np.mean(list(losses.values())) == pytest.approx(validation[found["chosen"]], rel=1e-4)


def test_an_earlier_origin_is_a_training_on_a_series_that_ends_there(whole: Path, project: Path) -> None:
    """The first of two: train ends at half of the train rows, and a quarter of them is validated."""
    series = series_of(whole)
    rows = series.splits["train"][1]
    first, second = rows // 2, rows // 2 + (rows - rows // 2) // 2
    ended = replace(series, splits={"train": (0, first), "validation": (first, second), "test": (second, rows)})
    write_series(project / "data/raw/mole/series/series.parquet", ended)
    source = read_json(project / "data/raw/mole/series/source.json")
    write_json(project / "data/raw/mole/series/source.json", source | {"splits": ended.splits})
    about = read_json(project / "models/mole/series/ridge/about.json")
    about["origins"] = {horizon: of[:1] for horizon, of in about["origins"].items()}
    write_sealed(project / "models/mole/series/ridge/about.json", about)
    configure(project, earlier_origins=0, seeds=[0])
    here(project, "mole_dlinear")
    for horizon in map(str, HORIZONS):
        (alone,) = read_json(project / "models/mole/series/mole_dlinear/about.json")["origins"][horizon]
        assert alone == read_json(whole / "models/mole/series/mole_dlinear/about.json")["origins"][horizon][0]
        assert alone["start"] == str(series.date_T[first].astype("datetime64[s]"))
        assert alone["loss"] != alone["least_squares"]


@pytest.mark.parametrize("horizon", HORIZONS)
def test_least_squares_is_that_of_numpy_over_every_window(whole: Path, horizon: int) -> None:
    """The map from changes since the last value to changes, by the pseudo-inverse of all train windows at once."""
    series = series_of(whole)
    (first, end), (_, middle), (_, last) = (series.splits[name] for name in ("train", "validation", "test"))
    scaled_TC = (series.value_TC - series.value_TC[first:end].mean(0)) / series.value_TC[first:end].std(0)

    def windows(start: int, after: int) -> tuple[Any, Any]:
        starts = range(start, after - LOOKBACK - horizon + 1)
        x = np.concatenate([scaled_TC[s : s + LOOKBACK].T for s in starts])
        y = np.concatenate([scaled_TC[s + LOOKBACK : s + LOOKBACK + horizon].T for s in starts])
        return x, y

    x, y = windows(first, end)
    change = np.linalg.pinv(x - x[:, -1:]) @ (y - x[:, -1:])
    for metric, begin, after in (("validation_mse", end - LOOKBACK, middle), ("mse", middle - LOOKBACK, last)):
        x, y = windows(begin, after)
        error = (x - x[:, -1:]) @ change + x[:, -1:] - y
        assert score_of(whole, horizon, "least_squares", metric) == pytest.approx((error**2).mean(), rel=1e-4)
        naive = np.tile(x[:, -24:], 2)[:, :horizon] - y
        assert score_of(whole, horizon, "seasonal_naive", metric) == pytest.approx((naive**2).mean(), rel=1e-4)
    assert score_of(whole, horizon, "least_squares", "mae") == pytest.approx(np.abs(error).mean(), rel=1e-4)
    steps = table(whole, "steps").query("horizon == @horizon and method == 'least_squares'")
    np.testing.assert_allclose(steps["mse"], (error**2).mean(0), rtol=1e-4)
    channels = table(whole, "channels").query("horizon == @horizon and method == 'least_squares'").set_index("channel")
    of_channel = (error**2).mean(1).reshape(-1, len(series.channels)).mean(0)
    np.testing.assert_allclose(channels["mse"][list(series.channels)], of_channel, rtol=1e-4)


def test_scores_do_not_depend_on_how_many_windows_are_forecast_at_once(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """77 and 73 windows: none of these numbers divides both, and the last minibatch of 9 has few."""
    monkeypatch.chdir(project)
    settings = load_params(Path("params.yaml")).mole.studies["series"]
    names = ("channels", "steps", "usage", "reduced", "expert_weights")
    expected = [scores(project)["value"], *(table(project, name).select_dtypes(float) for name in names)]
    for at_once in (1, 9, 76):
        for module in ("horizon", "intervals"):
            monkeypatch.setattr(f"pipeline.mole.evaluation.{module}.BATCH_SIZE", at_once)
        forecasting.run(settings.sweep, settings.evaluate, AT)
        found = [scores(project)["value"], *(table(project, name).select_dtypes(float) for name in names)]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4)


def test_a_second_run_from_clean_writes_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    """One point and the evaluation as processes, the others in this one."""
    configure(tmp_path)
    here(tmp_path, *list(POINTS)[:-1], first=True)
    train(tmp_path, list(POINTS)[-1])
    assert "horizon 8 (73 test windows; validation chose " in evaluate(tmp_path)
    assert written(tmp_path) == written(whole)
    groups = 1  # about.json of the ridge of static values, which there are none of
    assert len(written(whole)) == 4 * (1 + 4 * 4 + 2) + 2 * (1 + 2 * 4) + groups + 3 + len(COLUMNS) + 1


def test_another_seed_gives_other_weights(whole: Path) -> None:
    weights = [whole / f"models/mole/series/two_of_four/h4_seed{seed}/weights.safetensors" for seed in SEEDS]
    assert weights[0].read_bytes() != weights[1].read_bytes()


def test_a_point_that_was_killed_goes_on_and_ends_in_the_same_bytes(project: Path) -> None:
    configure(project, epochs=30, patience=30)
    here(project, "two_of_four")
    wanted = written(project)
    shutil.rmtree(project / "models/mole/series/two_of_four")
    settled(project)
    for title in ("horizon 4, origin 0, seed 0: epoch 2/", "horizon 4, origin 0, seed 3: epoch 3/"):
        kill_after(project, "pipeline.mole.stages.mole_train", "series-two_of_four", said=title)
        assert not (project / "models/mole/series/two_of_four").exists()
    assert "horizon 4, origin 0, seed 3: continues at epoch" in train(project, "two_of_four")
    assert written(project) == wanted
    assert not list((project / ".checkpoints").glob("*/*/*"))
    assert not list(project.rglob("*.partial"))


def test_all_experts_are_the_mixture_and_one_of_them_is_pruned_at_a_time(whole: Path) -> None:
    reduced = table(whole, "reduced")
    found = scores(whole)
    for (point, horizon, seed), rows in reduced.groupby(["point", "horizon", "seed"]):
        experts = POINTS[str(point)]["experts"]
        assert rows.groupby("way")["experts"].apply(sorted).to_dict() == {
            way: list(range(1, experts + 1)) for way in ("prune", "top_k")
        }
        this = (found["method"] == point) & (found["horizon"] == horizon) & (found["seed"] == seed)
        own = found[this].set_index("metric")["value"]
        for _, row in rows[rows["experts"] == experts].iterrows():
            for metric in ("mse", "mae", "validation_mse"):
                assert row[metric] == pytest.approx(own[metric], rel=1e-5)
    of_two = reduced[(reduced["point"] == "two_of_four") & (reduced["way"] == "top_k")].set_index("experts")
    # it serves a window with two anyway
    np.testing.assert_allclose(of_two["mse"].loc[2], of_two["mse"].loc[4], rtol=1e-9)
    assert not np.allclose(of_two["mse"].loc[1], of_two["mse"].loc[4], rtol=1e-9)


def test_the_experts_weights_sum_to_one(whole: Path) -> None:
    usage = table(whole, "usage").groupby(["point", "horizon", "seed"])
    np.testing.assert_allclose(usage[["weight", "top"]].sum(), 1, rtol=1e-5)
    weights = table(whole, "expert_weights")
    place = ["point", "horizon", "seed", "by", "value", "channel"]
    np.testing.assert_allclose(weights.groupby(place)["weight"].sum(), 1, rtol=1e-5)
    assert set(weights["channel"]) == {*series_of(whole).channels, "all"}
    assert sorted(weights[weights["by"] == "hour"]["value"].unique()) == list(range(24))
    assert set(weights[weights["by"] == "weekday"]["value"]) <= set(range(7))
    series = series_of(whole)
    first = series.date_T[series.splits["test"][0] - LOOKBACK :][:77]  # of the test windows of horizon 4
    hours, counts = np.unique(first // 3600 % 24, return_counts=True)
    one = weights.query("point == 'mole_dlinear' and horizon == 4 and seed == 0 and by == 'hour' and channel == 'all'")
    by_hour = one.pivot(index="value", columns="expert", values="weight").loc[hours].to_numpy()
    expected = table(whole, "usage").query("point == 'mole_dlinear' and horizon == 4 and seed == 0")["weight"]
    np.testing.assert_allclose(counts @ by_hour / counts.sum(), expected, rtol=1e-5)


def test_the_example_is_in_the_units_of_the_file_and_as_the_forecaster_has_it(whole: Path) -> None:
    series = series_of(whole)
    for horizon, windows in ((4, 77), (8, 73)):
        rows = table(whole, "example").query("horizon == @horizon")
        channel = series.channels[-1]
        assert set(rows["channel"]) == {channel}
        shown = {name: part.set_index("step")["value"] for name, part in rows.groupby("series")}
        start = series.splits["test"][0] - LOOKBACK + windows // 2
        truth = series.value_TC[start : start + LOOKBACK + horizon, -1]
        assert shown["truth"].index.tolist() == list(range(1 - LOOKBACK, horizon + 1))
        np.testing.assert_allclose(shown["truth"], truth, rtol=1e-5)
        frame = pd.DataFrame(series.value_TC, columns=list(series.channels))
        frame["date"] = series.date_T.astype("datetime64[s]")
        chosen = read_json(whole / "reports/mole/series/details/choices.json")["horizons"][str(horizon)]["chosen"]
        forecaster = Forecaster.load(whole / "models/mole/series", horizon, chosen)
        assert set(rows["point"]) == {chosen}
        forecast = forecaster.forecast(frame.iloc[: start + LOOKBACK], experts=True)
        np.testing.assert_allclose(shown["mixture"], forecast[channel], rtol=1e-5)
        for expert in range(1, forecaster.point.experts + 1):
            np.testing.assert_allclose(shown[f"expert_{expert}"], forecast[f"{channel} (expert {expert})"], rtol=1e-5)
        assert set(shown) == {
            "truth", "mixture", "low", "high", "least_squares",
            *(f"expert_{e + 1}" for e in range(forecaster.point.experts)),
        }  # fmt: skip


@pytest.mark.parametrize("horizon", HORIZONS)
def test_the_ridge_is_never_behind_least_squares_where_it_was_chosen(whole: Path, horizon: int) -> None:
    """Least squares of the recipe's lookback is one of the maps that it is chosen from."""
    about = read_json(whole / "models/mole/series/ridge/about.json")
    origins = about["origins"][str(horizon)]
    mixture = read_json(whole / "models/mole/series/mole_dlinear/about.json")["origins"][str(horizon)]
    assert [one["start"] for one in origins] == [one["start"] for one in mixture]
    for one, other in zip(origins, mixture, strict=True):
        assert one["least_squares"] == pytest.approx(other["least_squares"], rel=1e-5)
    assert np.prod([one["loss"] / one["least_squares"] for one in origins]) <= 1
    assert about["maps"][str(horizon)][0]["lookback"] in (24, 96)  # the train rows of the first origin are 140


@pytest.mark.parametrize("horizon", HORIZONS)
def test_each_channel_has_a_map_of_its_own_that_sees_no_row_before_its_lookback(whole: Path, horizon: int) -> None:
    """And what the stage says of them is what their network does on the validation windows."""
    folder = whole / "models/mole/series/channel_ridge"
    about, shared = (read_json(one / "about.json") for one in (folder, folder.with_name("ridge")))
    loss = about["validation_loss"][str(horizon)]["0"]
    assert score_of(whole, horizon, "channel_ridge", "validation_mse") == pytest.approx(loss, rel=1e-4)
    losses, of_shared = ([one["loss"] for one in found["origins"][str(horizon)]] for found in (about, shared))
    assert np.prod(losses) < 1.05 * np.prod(of_shared)
    maps = about["maps"][str(horizon)]
    longest = max(one["lookback"] for one in maps)
    weight_CHL = load_file(folder / f"h{horizon}_seed0/weights.safetensors")["weight_CHL"]
    assert weight_CHL.shape == (len(series_of(whole).channels), horizon, longest)
    for weight_HL, one in zip(weight_CHL, maps, strict=True):
        assert not weight_HL[:, : longest - one["lookback"]].any()
        assert weight_HL[:, longest - one["lookback"] :].any()


def test_without_maps_of_each_channel_there_is_one_ridge(project: Path) -> None:
    configure(project, per_channel=False)
    with chdir(project):
        study = load_params(Path("params.yaml")).mole.studies["series"]
        ridge.run(study.ridge, study.sweep, AT)
        assert read_point(AT.models / "channel_ridge").validation == {}
        assert "channel_ridge" not in {point.name for point in read_points(AT.models)}
        forecasting.run(study.sweep, study.evaluate, AT)
        assert "channel_ridge" not in set(scores(Path())["method"])


def test_the_ridge_sees_no_test_row(whole: Path, project: Path) -> None:
    series = series_of(project)
    series.value_TC[series.splits["test"][0] :] = 1e6
    write_series(project / "data/raw/mole/series/series.parquet", series)
    with chdir(project):
        study = load_params(Path("params.yaml")).mole.studies["series"]
        ridge.run(study.ridge, study.sweep, AT)
    for horizon in HORIZONS:
        weights = f"models/mole/series/ridge/h{horizon}_seed0/weights.safetensors"
        assert (project / weights).read_bytes() == (whole / weights).read_bytes()


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"lookbacks": [96, 96]}, "mole.studies.series.ridge: lookbacks holds a value twice"),
        ({"lookbacks": [0]}, "mole.studies.series.ridge.lookbacks.0 = 0: "),
        ({"offsets": []}, "mole.studies.series.ridge.offsets"),
        ({"offsets": ["median"]}, "'none', 'last' or 'mean'"),
        ({"penalties": [1.0]}, "mole.studies.series.ridge.penalties"),
    ],
)
def test_a_grid_that_makes_no_sense_is_one_message(project: Path, grid: dict[str, Any], words: str) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["mole"]["studies"]["series"]["ridge"] = grid
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    assert words in refusal(project)


def test_a_ridge_in_a_process_writes_the_same_and_refuses_with_exit_code_2(whole: Path, project: Path) -> None:
    settled(project)
    output = run(project, "pipeline.mole.stages.ridge", "series", code=0)
    assert "horizon 8: lookback " in output
    assert written(project) == written(whole)
    configure(project, horizons=[4, 300])
    settled(project)
    output = run(project, "pipeline.mole.stages.ridge", "series", code=2)
    assert output.count("error: ") == 1


ALIKE = {"level": 20.0, "weekly": 0.0, "yearly": 0.0, "noise": 1.0, "usual": {"daily": 3.0, "persistence": 0.9}}
WEEKENDS = {"regime": "weekend", "other": {"daily": 0.5, "level": -3.0, "persistence": 0.5}}


@pytest.mark.parametrize(("regime", "low", "high"), [(WEEKENDS, 0.5, 0.95), ({}, 0.98, 1.02)])
def test_a_mixture_is_better_where_the_calendar_tells_the_regime_and_only_there(
    tmp_path: Path, regime: dict[str, Any], low: float, high: float
) -> None:
    """Channels of one kind, so that one linear map is as good as one for each, with and without other weekends."""
    points = {name: dict(POINTS["rlinear"]) for name in ("rlinear", "mole_rlinear")}
    points["mole_rlinear"]["experts"] = 4
    channels = dict.fromkeys("abc", ALIKE | regime)
    once: dict[str, Any] = {"horizons": [12], "seeds": [0], "epochs": 10, "learning_rate": 3e-4, "batch_size": 64}
    configure(tmp_path, points, 2500, channels, lookbacks=[], start="ridge", **once)  # a week is not seen
    here(tmp_path, *points, first=True, last=True)
    for metric in ("validation_mse", "mse"):
        of_mixture, of_map = (score_of(tmp_path, 12, name, metric) for name in ("mole_rlinear", "ridge"))
        assert low < of_mixture / of_map < high, metric
        assert score_of(tmp_path, 12, "rlinear", metric) == pytest.approx(of_map, rel=0.02)


def test_networks_start_as_the_ridge_and_are_never_behind_it_on_validation_rows(tmp_path: Path) -> None:
    """At a learning rate of next to nothing they are the ridge, and at one that ruins them they stay it."""
    points = POINTS | {"rmlp": {"backbone": "rmlp"}, "mole_rmlp": {"backbone": "rmlp", "experts": 2}}
    start: dict[str, Any] = {"start": "ridge", "lookback": 72, "lookbacks": [24]}
    configure(tmp_path, points, **start, learning_rate=1e-9, router_learning_rate=1e-9)
    here(tmp_path, *points, first=True, last=True)
    about = read_json(tmp_path / "models/mole/series/ridge/about.json")
    assert set(about["lookback"].values()) == {24}
    for name in points:
        found = read_json(tmp_path / f"models/mole/series/{name}/about.json")
        assert found["lookback"] == about["lookback"]
        for horizon, of_ridge in about["origins"].items():
            of_point = found["origins"][horizon]
            wanted = [(one["start"], one["least_squares"]) for one in of_ridge[-len(of_point) :]]
            assert [(one["start"], one["least_squares"]) for one in of_point] == wanted
            losses = [one["loss"] for one in of_ridge[-len(of_point) :]]
            np.testing.assert_allclose([one["loss"] for one in of_point], losses, rtol=1e-4)
            for metric in ("mse", "mae", "validation_mse"):
                wanted = score_of(tmp_path, int(horizon), "ridge", metric)
                assert score_of(tmp_path, int(horizon), name, metric) == pytest.approx(wanted, rel=1e-4)
    rows = read_results(tmp_path / "reports/mole/series/results.csv", "dvc repro evaluate@mole-series")
    differences = {row.method: [] for row in rows if row.role == "difference" and row.method.endswith("- ridge")}
    for row in rows:
        if row.method in differences:
            differences[row.method].append((row.value, row.low, row.high))
    of_another_ridge = differences.pop("channel_ridge - ridge")
    assert len(of_another_ridge) == len(HORIZONS) * 2  # of MSE and MAE
    assert (0.0, 0.0, 0.0) not in of_another_ridge
    assert len(differences) == 3  # mixtures
    assert all(of == [(0.0, 0.0, 0.0)] * len(HORIZONS) * 2 for of in differences.values())
    configure(tmp_path, points, **start, learning_rate=1.0)
    here(tmp_path, "mole_dlinear")
    numbers = read_json(tmp_path / "reports/mole/series/training/mole_dlinear.json")
    assert {one["best_epoch"] for one in numbers.values()} == {0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": POINTS | {"m": {"backbone": "rlinear", "experts": 2, "top_k": 3}}}, "top_k (3) must not exceed"),
        ({"points": POINTS | {"m": {"backbone": "arima", "experts": 2}}}, "'dlinear', 'rlinear', 'rmlp' or 'cycle'"),
        ({"horizons": [4, 4]}, "horizons holds a value twice"),
        ({"lookback": 12}, "mole.studies.series: evaluate.season (24) must not exceed sweep.recipe.lookback (12)"),
    ],
)
def test_training_what_makes_no_sense_is_one_message(project: Path, changes: dict[str, Any], words: str) -> None:
    configure(project, **changes)
    assert words in refusal(project, "mole_dlinear")


@pytest.mark.parametrize(
    ("horizon", "words"),
    [
        (300, "mole.sweep.recipe.earlier_origins (2) leaves 140 rows to train on"),
        (60, "the validation rows of the series and the lookback before them are 64 rows, but one"),
    ],
)
def test_horizons_without_a_window_are_one_message(project: Path, horizon: int, words: str) -> None:
    configure(project, horizons=[4, horizon])
    assert f"has no horizon {horizon}: `dvc repro ridge@series` adds it" in refusal(project, "mole_dlinear")
    study = load_params(project / "params.yaml").mole.studies["series"]
    with chdir(project), pytest.raises(ExpectedError) as caught:
        ridge.run(study.ridge, study.sweep, AT)
    assert words in str(caught.value)


def test_a_refusal_is_exit_code_2(project: Path) -> None:
    fewer = {name: point for name, point in POINTS.items() if name != "two_of_four"}
    configure(project, fewer, horizons=[4, 8, 300])
    outputs = [
        train(project, "two_of_four", code=2),
        evaluate(project, code=2),
    ]
    for output, words in zip(
        outputs, ("no instance 'series-two_of_four' of a stage of mole: ", "has no horizon 300"), strict=True
    ):
        assert words in output
        assert output.count("error: ") == 1


def test_points_removed_and_points_to_come(project: Path) -> None:
    fewer = {name: point for name, point in POINTS.items() if name != "two_of_four"}
    configure(project, fewer)
    here(
        project, last=True
    )  # what is left is judged: what lies in models/mole/series of a point removed is not looked at
    assert set(scores(project)["method"]) == {*fewer, *BASELINES}
    configure(project, POINTS | {"more": {"backbone": "rlinear", "experts": 2}})
    words = "models/mole/series/more/about.json not found: `dvc repro mole_train@series-more` makes it"
    assert words in refusal(project, last=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"horizons": [4, 8, 12]}, "has no horizon 12: `dvc repro mole_train@series-dlinear` adds it"),
        (
            {"lookback": 25},  # read where the start is random
            "models/mole/series/dlinear was trained by other parameters than mole.sweep.recipe and mole.",
        ),
        ({"seeds": [0, 1]}, "`dvc repro mole_train@series-dlinear` trains anew"),
        (
            {"points": POINTS | {"mole_dlinear": {"backbone": "rlinear", "experts": 3}}},
            "repro mole_train@series-mole_dlinear",
        ),
    ],
)
def test_what_was_trained_by_other_parameters_is_not_judged(project: Path, changes: dict[str, Any], words: str) -> None:
    configure(project, **changes)
    assert words in refusal(project, last=True)


def test_what_was_trained_on_other_channels_is_not_judged(project: Path) -> None:
    configure(project, channels=dict.fromkeys("abcde", ALIKE))
    here(project, first=True)
    assert "models/mole/series/dlinear is of other channels: `dvc repro mole_train@series-dlinear`" in refusal(
        project, last=True
    )


def test_without_a_series_or_points_the_stage_that_makes_them_is_named(tmp_path: Path) -> None:
    configure(tmp_path)
    assert "`dvc repro ingest@mole-series` makes it" in refusal(tmp_path, "dlinear")
    here(tmp_path, first=True)
    assert "`dvc repro mole_train@series-dlinear` makes it" in refusal(tmp_path, last=True)


def test_cycles_are_solved_judged_and_used_as_networks_are(tmp_path: Path) -> None:
    points = {"cycle": {"backbone": "cycle"}, "mole_cycle": {"backbone": "cycle", "experts": 2}}
    configure(tmp_path, points, rows=1000)
    here(tmp_path, *points, first=True, last=True)
    found = {name: read_point(tmp_path / f"models/mole/series/{name}") for name in (*points, "channel_ridge")}
    series = series_of(tmp_path)
    for horizon in HORIZONS:
        mixture, ridge_there = found["mole_cycle"], found["channel_ridge"]
        assert mixture.lookback[horizon] == ridge_there.lookback[horizon]
        assert mixture.relative_loss(horizon) <= ridge_there.relative_loss(horizon) * (1 + 1e-6)
        for seed in SEEDS:  # in closed form, seeds do not differ
            assert mixture.validation[horizon][seed] == mixture.validation[horizon][SEEDS[0]]
            loss = score_of(tmp_path, horizon, "mole_cycle", "validation_mse")
            assert mixture.validation[horizon][seed] == pytest.approx(loss, rel=1e-5)
        forecaster = Forecaster.load(tmp_path / "models/mole/series", horizon, "mole_cycle")
        known = series.splits["test"][1] - horizon
        frame = pd.DataFrame(series.value_TC[:known], columns=list(series.channels))
        frame.insert(0, "date", series.date_T[:known].astype("datetime64[s]"))
        forecast = forecaster.forecast(frame, level=[80], experts=True)
        truth = series.value_TC[known:]
        error = ((forecast[list(series.channels)].to_numpy() - truth) / forecaster.scaler.deviation_C) ** 2
        assert error.mean() < 1.5
        assert (forecast["offices-lo-80"] < forecast["offices-hi-80"]).all()
        assert {"offices (expert 1)", "offices (expert 2)"} <= set(forecast)
    weekdays = table(tmp_path, "expert_weights").query("by == 'weekday' and channel == 'offices' and expert == 0")
    weights = weekdays.groupby("value")["weight"].mean()
    assert abs(weights[5] - weights[2]) > 0.9  # the known regime: Saturdays are not as Wednesdays
    assert not list((tmp_path / ".checkpoints").glob("*/*/*"))
    before = written(tmp_path)
    here(tmp_path, *points, last=True)
    assert written(tmp_path) == before


def test_cycles_take_nothing_of_a_network(tmp_path: Path) -> None:
    configure(tmp_path, POINTS | {"m": {"backbone": "cycle", "learning_rate": 0.1}})
    with chdir(tmp_path), pytest.raises(ExpectedError, match="learning_rate says nothing about cycles"):
        load_params(Path("params.yaml"))
