"""Train one forecaster of the sweep, for every horizon and seed.

Nothing is judged here: `evaluate` compares the points. Test rows are never read. A mixture is also trained
at earlier origins, of which the losses are kept, by which `pipeline.mole.points.chosen_mixture` chooses, and the
errors' quantiles: prediction intervals are calibrated on the rows after all its origins.

Cycles are fitted in closed form, from the ridge that validation prefers: their seeds do not differ.

By default a network starts as the ridge that was searched for its horizon, refitted to the train rows of its origin,
and keeps the weights of its start where no epoch validates better: on validation rows it is never behind the ridge.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any, NamedTuple

import torch

from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder, sha256
from pipeline.core.paths import StudyPaths
from pipeline.core.sealed import write_sealed
from pipeline.mole.data.calendar_place import calendar_of
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.ridge_choice import RIDGES, RidgeChoice, groups_of
from pipeline.mole.data.rolling_origin import calibration_windows, earlier_origins, origin_windows
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import Series, read_series
from pipeline.mole.data.windows import Windows, windows_of
from pipeline.mole.interval_files import write_intervals
from pipeline.mole.model.calibration import calibrate
from pipeline.mole.model.cycle_search import solve_cycles
from pipeline.mole.model.held_out import held_out_of_epochs, optimism
from pipeline.mole.model.mixture import ForecastObjective, Mole, MoleConfig, start_from
from pipeline.mole.model.mixture_scores import Network, mean_squared_error
from pipeline.mole.model.ridge import RidgePath, moments_of
from pipeline.mole.params.sweep import Point, Recipe, Sweep
from pipeline.mole.points import ABOUT, ForecastPoint, preferred, read_point, refuse_missing_horizon
from pipeline.params.sweep import Training as SweepTraining
from pipeline.training.determinism import initial_weights, prepare_device
from pipeline.training.sweep import PointTraining
from pipeline.training.weights import save_model

SECTION = "mole.sweep"

AT_ONCE = 256  # windows forecast together where the order is no matter


class Training(SweepTraining[Recipe, Point]):
    """One training of a point, for one horizon; `origin` counts earlier origins from 1 on, 0 is the series as it is."""

    horizon: int
    origin: int


class Trained(NamedTuple):
    """A forecaster, its validation loss, and the loss before and after each epoch."""

    model: Network
    loss: float
    curve: list[float]


Train = Callable[[PointTraining, str, Training, Series], Trained]


class Data(NamedTuple):
    """What a training sees of one horizon at one origin, and the map that it starts from."""

    train: Windows
    validation: ResidentWindows
    start: RidgeChoice | None  # None: at random
    start_HL: torch.Tensor | None


def run(settings: Sweep, at: StudyPaths) -> None:
    """Write the forecasters of a point, their learning curves and its final losses."""
    recipe, point = settings.recipe, settings.points[str(at.point)]
    series = read_series(at.raw)
    ridge, *_ = ridges = [read_point(at.models / name) for name in RIDGES]
    refuse_missing_horizon(ridge, recipe.horizons)
    dataset_sha256 = sha256(at.raw / "series.parquet")
    device = prepare_device(recipe.device, recipe.threads)
    lookbacks: dict[str, int] = {}
    losses: dict[str, dict[str, float]] = {}
    origins: dict[str, list[dict[str, Any]]] = {}
    inputs = [at.raw / "series.parquet", at.raw / "source.json", *(of.folder / ABOUT for of in ridges)]
    trainings = PointTraining(at, "mole_train", inputs, device)
    with atomic_folder(at.model) as folder:
        for horizon in recipe.horizons:
            train: Train
            starts_from, of_search = ridge if recipe.start == "ridge" else None, None
            if point.backbone == "cycle":
                starts_from = preferred(ridges, horizon)
                lookback, train, of_search = _of_cycles(series, recipe, point, starts_from, horizon, device)
            else:
                start = ridge.maps[horizon][0] if starts_from else None
                lookback = start.lookback if start else recipe.lookback
                train = _of_networks(recipe, start, device)
            lookbacks[str(horizon)] = lookback
            count = recipe.earlier_origins if point.experts > 1 else 0  # the choice is one among mixtures
            unseen = [
                ResidentWindows(windows, AT_ONCE, device)
                for windows in calibration_windows(series, count, lookback, horizon)
            ]
            earlier = []
            for origin, known in enumerate(earlier_origins(series, count, lookback, horizon), start=1):
                training = Training.of(recipe, point, recipe.seeds[0], horizon=horizon, origin=origin)
                earlier.append(train(trainings, f"h{horizon}_origin{origin}", training, known))
            of_seed = losses[str(horizon)] = {}
            curves = [[then.curve] for then in earlier] + [[]]
            for seed in recipe.seeds:
                training, key = Training.of(recipe, point, seed, horizon=horizon, origin=0), f"h{horizon}_seed{seed}"
                now = train(trainings, key, training, series)
                of_seed[str(seed)] = now.loss
                curves[-1].append(now.curve)
                config: dict[str, Any] = {
                    "channels": list(series.channels),
                    "scaler": fit_scaler(series).described(),
                    **series.described(),
                    "validation_loss": of_seed[str(seed)],
                    "provenance": {"dataset_sha256": dataset_sha256, "parameters": training.model_dump()},
                }
                save_model(folder / key, now.model, config)
                stretches = zip((one.model.forecast for one in (*earlier, now)), unseen, strict=True)
                write_intervals(folder / key, calibrate(list(stretches), series.step))
            found_at = [*(then.loss for then in earlier), fmean(of_seed.values())]
            own_part = of_search or optimism(held_out_of_epochs(curves), found_at)
            origins[str(horizon)] = _judged(horizon, found_at, own_part, ridge, starts_from)
        about = {
            "point": point.model_dump(),
            "lookback": lookbacks,
            "validation_loss": losses,
            "origins": origins,
        }
        write_sealed(folder / "about.json", about)
    trainings.write()


def _judged(
    horizon: int, losses: Sequence[float], own_part: Sequence[float], ridge: ForecastPoint, start: ForecastPoint | None
) -> list[dict[str, Any]]:
    """At each origin the losses, as they are and as they would be without what was won by choosing on the same rows,
    as many times as large: settings or epochs, and the settings of the start."""
    last = slice(-len(losses), None)
    of_start = [1.0] * len(losses) if start is None else [origin.optimism for origin in start.origins[horizon][last]]
    parts = zip(ridge.origins[horizon][last], losses, own_part[last], of_start, strict=True)
    return [asdict(replace(of_ridge, loss=loss, held_out=loss * own * theirs)) for of_ridge, loss, own, theirs in parts]


def _of_cycles(
    series: Series, recipe: Recipe, point: Point, start: ForecastPoint | None, horizon: int, device: torch.device
) -> tuple[int, Train, list[float]]:
    """Rows of the lookback, what is called for each origin and seed, and the optimism of the search at each origin: all
    are solved at once."""
    assert start is not None, "a ridge is there"
    count = recipe.earlier_origins

    def windows(lookback: int) -> list[tuple[Windows, Windows]]:
        return origin_windows(series, count, lookback, horizon)

    groups, calendar = groups_of(series)[start.name], calendar_of(series.step)
    solved, of_search = solve_cycles(windows, start.maps[horizon], groups, calendar, point.experts)
    lookback = solved[0].lookback
    resident = [[ResidentWindows(one, AT_ONCE, device) for one in origin] for origin in windows(lookback)]

    def train(trainings: PointTraining, key: str, training: Training, _: Series) -> Trained:
        place = training.origin - 1  # the origin of the validation rows, 0, is the last
        model, (fitted_to, validation) = solved[place].to(device), resident[place]
        train_loss, loss = (mean_squared_error(model.forecast, of.epoch(0)) for of in (fitted_to, validation))
        trainings.solved(key, training, model, train_loss, loss)
        return Trained(model, loss, [loss])

    return lookback, train, of_search


def _of_networks(recipe: Recipe, start: RidgeChoice | None, device: torch.device) -> Train:
    """What is called for each origin and seed."""
    of_origin: dict[tuple[int, int], Data] = {}

    def train(trainings: PointTraining, key: str, training: Training, series: Series) -> Trained:
        place = training.horizon, training.origin
        if place not in of_origin:
            of_origin[place] = _data(series, recipe, start, training.horizon, device)
        data = of_origin[place]
        return _trained(trainings, key, training, data, len(series.channels))

    return train


def _data(series: Series, recipe: Recipe, start: RidgeChoice | None, horizon: int, device: torch.device) -> Data:
    scaler = fit_scaler(series)
    lookback = start.lookback if start else recipe.lookback
    train, validation = (windows_of(series, scaler, split, lookback, horizon) for split in ("train", "validation"))
    weight_HL = RidgePath(moments_of(train), start.offset).weights(start.penalty) if start else None
    return Data(train, ResidentWindows(validation, AT_ONCE, device), start, weight_HL)


def _trained(trainings: PointTraining, key: str, training: Training, data: Data, channels: int) -> Trained:
    """The model with its best weights."""
    recipe = training.recipe
    model = untrained(channels, training, data.start, data.start_HL)
    router_rate = recipe.router_learning_rate or recipe.learning_rate
    train = ResidentWindows(data.train, recipe.batch_size, trainings.device, recipe.seed)
    initial = mean_squared_error(model.eval().forecast, data.validation.epoch(0))
    found = trainings.fit(
        key,
        training,
        ForecastObjective(model),
        train,
        data.validation,
        keep_initial=data.start is not None,
        rate_factors={"model.router.": router_rate / recipe.learning_rate},
    )
    curve = [row["validation_loss"] for row in found.curve]
    if data.start_HL is not None:
        curve.insert(0, initial)
    return Trained(model, found.validation["loss"], curve)


def untrained(
    channels: int, training: Training, start: RidgeChoice | None = None, start_HL: torch.Tensor | None = None
) -> Mole:
    """The forecaster of a point, with the initial weights of its seed or those of the ridge."""
    recipe, point = training.recipe, training.point
    own = {"lookback": start.lookback, "offset": start.offset} if start else {}
    config = MoleConfig.of(recipe.model_copy(update=own), point, horizon=training.horizon, channels=channels)
    with initial_weights(recipe.seed):
        model = Mole(config)
    if start_HL is not None:
        start_from(model, start_HL)
    return model


if __name__ == "__main__":
    run_study_stage(SECTION, run, trains=True)
