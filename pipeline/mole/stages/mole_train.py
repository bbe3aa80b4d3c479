"""Train one forecaster of the sweep, for every horizon and seed.

Nothing is judged here: `evaluate` compares the points. Test rows are never read. A mixture is also trained
at earlier origins, of which only the losses are kept: by them `pipeline.mole.points.chosen_mixture` chooses.
"""

from statistics import fmean
from typing import Any, NamedTuple

import torch

from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder, sha256
from pipeline.core.paths import StudyPaths
from pipeline.core.sealed import write_sealed
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.rolling_origin import earlier_origins, first_validation_stamp
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import Series, read_series
from pipeline.mole.data.windows import Windows, windows_of
from pipeline.mole.model.mixture import ForecastObjective, Mole, MoleConfig, start_from
from pipeline.mole.model.mixture_scores import score
from pipeline.mole.model.ridge import least_squares
from pipeline.mole.params.sweep import Point, Recipe, Sweep
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
    """What a training sees of one horizon at one origin, and what the closed form does there."""

    train: Windows
    validation: ResidentWindows
    least_squares_HL: torch.Tensor
    least_squares_loss: float


def run(settings: Sweep, at: StudyPaths) -> None:
    """Write the forecasters of a point, their learning curves and its final losses."""
    recipe, point = settings.recipe, settings.points[str(at.point)]
    series = read_series(at.raw)
    channels = len(series.channels)
    dataset_sha256 = sha256(at.raw / "series.parquet")
    device = prepare_device(recipe.device, recipe.threads)
    losses: dict[str, dict[str, float]] = {}
    origins: dict[str, list[dict[str, Any]]] = {}
    trainings = PointTraining(at, "mole_train", [at.raw / "series.parquet", at.raw / "source.json"], device)
    with atomic_folder(at.model) as folder:
        for horizon in recipe.horizons:
            data = _data(series, recipe, horizon, device)
            count = recipe.earlier_origins if point.experts > 1 else 0  # the choice is one among mixtures
            found_at = []
            for origin, known in enumerate(earlier_origins(series, count, recipe.lookback, horizon), start=1):
                data_then = _data(known, recipe, horizon, device)
                training = Training.of(recipe, point, recipe.seeds[0], horizon=horizon, origin=origin)
                _, loss = _trained(trainings, f"h{horizon}_origin{origin}", training, data_then, channels)
                found_at.append(_origin(known, data_then, loss))
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
            origins[str(horizon)] = [*found_at, _origin(series, data, fmean(of_seed.values()))]
        about = {
            "point": point.model_dump(),
            "lookback": recipe.lookback,
            "validation_loss": losses,
            "origins": origins,
        }
        write_sealed(folder / "about.json", about)
    trainings.write()


def _data(series: Series, recipe: Recipe, horizon: int, device: torch.device) -> Data:
    scaler = fit_scaler(series)
    train, validation = (
        windows_of(series, scaler, split, recipe.lookback, horizon) for split in ("train", "validation")
    )
    held = ResidentWindows(validation, AT_ONCE, device)
    weight_HL = least_squares(train).to(device)
    errors = score(lambda batch: batch.x_BCL @ weight_HL.float().T, held.epoch(0))
    return Data(train, held, weight_HL, errors.mse)


def _trained(trainings: PointTraining, key: str, training: Training, data: Data, channels: int) -> tuple[Mole, float]:
    """The model with its best weights, and its validation loss."""
    recipe = training.recipe
    model = untrained(channels, training, data.least_squares_HL if recipe.start == "least_squares" else None)
    train = ResidentWindows(data.train, recipe.batch_size, trainings.device, recipe.seed)
    found = trainings.fit(key, training, ForecastObjective(model), train, data.validation)
    return model, found.validation["loss"]


def _origin(series: Series, data: Data, loss: float) -> dict[str, Any]:
    """What `pipeline.mole.points.Origin` holds."""
    return {"start": first_validation_stamp(series), "loss": loss, "least_squares": data.least_squares_loss}


def untrained(channels: int, training: Training, start_HL: torch.Tensor | None) -> Mole:
    """The forecaster of a point, with the initial weights of its seed or those of the closed form."""
    recipe, point = training.recipe, training.point
    config = MoleConfig.of(recipe, point, horizon=training.horizon, channels=channels)
    with initial_weights(recipe.seed):
        model = Mole(config)
    if start_HL is not None:
        start_from(model, start_HL)
    return model


if __name__ == "__main__":
    run_study_stage(SECTION, run, trains=True)
