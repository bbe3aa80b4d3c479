"""Train one forecaster of the sweep, for every horizon and seed.

Nothing is judged here: `evaluate` compares the points. Test rows are never read. A mixture is also trained
at earlier origins, of which the losses are kept, by which `pipeline.mole.points.chosen_mixture` chooses, and the
errors' quantiles: prediction intervals are calibrated on the validation windows of all its origins.

By default a network starts as the ridge that was searched for its horizon, refitted to the train rows of its origin,
and keeps the weights of its start where no epoch validates better: on validation rows it is never behind the ridge.
"""

from dataclasses import asdict, replace
from statistics import fmean
from typing import Any, NamedTuple

import torch

from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder, sha256
from pipeline.core.paths import StudyPaths
from pipeline.core.sealed import write_sealed
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.ridge_choice import RIDGE, RidgeChoice
from pipeline.mole.data.rolling_origin import earlier_origins
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import Series, read_series
from pipeline.mole.data.windows import Windows, windows_of
from pipeline.mole.interval_files import write_intervals
from pipeline.mole.model.calibration import calibrate
from pipeline.mole.model.mixture import ForecastObjective, Mole, MoleConfig, start_from
from pipeline.mole.model.ridge import RidgePath, moments_of
from pipeline.mole.params.sweep import Point, Recipe, Sweep
from pipeline.mole.points import ABOUT, read_point, refuse_missing_horizon
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
    ridge = read_point(at.models / RIDGE)
    refuse_missing_horizon(ridge, recipe.horizons)
    channels = len(series.channels)
    dataset_sha256 = sha256(at.raw / "series.parquet")
    device = prepare_device(recipe.device, recipe.threads)
    lookbacks: dict[str, int] = {}
    losses: dict[str, dict[str, float]] = {}
    origins: dict[str, list[dict[str, Any]]] = {}
    inputs = [at.raw / "series.parquet", at.raw / "source.json", ridge.folder / ABOUT]
    trainings = PointTraining(at, "mole_train", inputs, device)
    with atomic_folder(at.model) as folder:
        for horizon in recipe.horizons:
            start = ridge.maps[horizon][0] if recipe.start == "ridge" else None
            data = _data(series, recipe, start, horizon, device)
            lookbacks[str(horizon)] = data.train.lookback
            count = recipe.earlier_origins if point.experts > 1 else 0  # the choice is one among mixtures
            found_at, earlier = [], []
            for origin, known in enumerate(earlier_origins(series, count, data.train.lookback, horizon), start=1):
                data_then = _data(known, recipe, start, horizon, device)
                training = Training.of(recipe, point, recipe.seeds[0], horizon=horizon, origin=origin)
                then, loss = _trained(trainings, f"h{horizon}_origin{origin}", training, data_then, channels)
                found_at.append(loss)
                earlier.append((then.forecast, data_then.validation))
            of_seed = losses[str(horizon)] = {}
            for seed in recipe.seeds:
                training, key = Training.of(recipe, point, seed, horizon=horizon, origin=0), f"h{horizon}_seed{seed}"
                model, of_seed[str(seed)] = _trained(trainings, key, training, data, channels)
                config: dict[str, Any] = {
                    "channels": list(series.channels),
                    "scaler": fit_scaler(series).described(),
                    **series.step.described(),
                    "validation_loss": of_seed[str(seed)],
                    "provenance": {"dataset_sha256": dataset_sha256, "parameters": training.model_dump()},
                }
                save_model(folder / key, model, config)
                stretches = [*earlier, (model.forecast, data.validation)]
                write_intervals(folder / key, calibrate(stretches, series.step))
            found_at.append(fmean(of_seed.values()))
            origins[str(horizon)] = [
                asdict(replace(of_ridge, loss=loss))
                for of_ridge, loss in zip(ridge.origins[horizon][-len(found_at) :], found_at, strict=True)
            ]
        about = {
            "point": point.model_dump(),
            "lookback": lookbacks,
            "validation_loss": losses,
            "origins": origins,
        }
        write_sealed(folder / "about.json", about)
    trainings.write()


def _data(series: Series, recipe: Recipe, start: RidgeChoice | None, horizon: int, device: torch.device) -> Data:
    scaler = fit_scaler(series)
    lookback = start.lookback if start else recipe.lookback
    train, validation = (windows_of(series, scaler, split, lookback, horizon) for split in ("train", "validation"))
    weight_HL = RidgePath(moments_of(train), start.offset).weights(start.penalty) if start else None
    return Data(train, ResidentWindows(validation, AT_ONCE, device), start, weight_HL)


def _trained(trainings: PointTraining, key: str, training: Training, data: Data, channels: int) -> tuple[Mole, float]:
    """The model with its best weights, and its validation loss."""
    recipe = training.recipe
    model = untrained(channels, training, data.start, data.start_HL)
    router_rate = recipe.router_learning_rate or recipe.learning_rate
    train = ResidentWindows(data.train, recipe.batch_size, trainings.device, recipe.seed)
    found = trainings.fit(
        key,
        training,
        ForecastObjective(model),
        train,
        data.validation,
        keep_initial=data.start is not None,
        rate_factors={"model.router.": router_rate / recipe.learning_rate},
    )
    return model, found.validation["loss"]


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
