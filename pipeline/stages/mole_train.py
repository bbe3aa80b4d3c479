"""Train one forecaster of the sweep, for every horizon and seed.

Nothing is judged here: `evaluate@forecasting` compares the points. Test rows are never read.
"""

from typing import Any

import torch

from pipeline import paths
from pipeline.data.resident_windows import ResidentWindows
from pipeline.data.scaler import fit_scaler
from pipeline.data.series import read_series
from pipeline.data.series_windows import windows_of
from pipeline.entry import run_point_stage
from pipeline.files import atomic_folder, sha256, write_json
from pipeline.models.forecast_baselines import least_squares
from pipeline.models.mole import ForecastObjective, Mole, start_from
from pipeline.params.mole import Mole as Settings
from pipeline.params.mole import Point, Recipe
from pipeline.params.sweep import Training as SweepTraining
from pipeline.training.determinism import initial_weights, prepare_device
from pipeline.training.sweep import PointTraining
from pipeline.training.weights import save_model

SECTION = "mole"

RAW = paths.RAW / "series"
INPUTS = [RAW / "series.parquet", RAW / "source.json"]
AT_ONCE = 256  # windows forecast together where the order is no matter


class Training(SweepTraining[Recipe, Point]):
    horizon: int


def run(settings: Settings, name: str) -> None:
    """Write models/mole/<point>, its learning curves and its final losses."""
    recipe, point = settings.recipe, settings.points[name]
    series = read_series(RAW)
    scaler = fit_scaler(series)
    dataset_sha256 = sha256(RAW / "series.parquet")
    device = prepare_device(recipe.device, recipe.threads)
    losses: dict[str, dict[str, float]] = {}
    trainings = PointTraining("mole_train", name, INPUTS, device)
    with atomic_folder(paths.MODELS / "mole" / name) as folder:
        for horizon in recipe.horizons:
            train, validation = (
                windows_of(series, scaler, split, recipe.lookback, horizon) for split in ("train", "validation")
            )
            held = ResidentWindows(validation, AT_ONCE, device)
            start_HL = (
                least_squares(ResidentWindows(train, AT_ONCE, device).epoch(0))
                if recipe.start == "least_squares"
                else None
            )
            for seed in recipe.seeds:
                training, key = Training.of(recipe, point, seed, horizon=horizon), f"h{horizon}_seed{seed}"
                model = untrained(len(series.channels), training, start_HL)
                batches = ResidentWindows(train, recipe.batch_size, device, seed)
                found = trainings.fit(key, training, ForecastObjective(model), batches, held)
                config: dict[str, Any] = {
                    "channels": list(series.channels),
                    "scaler": scaler.described(),
                    "step_seconds": series.step_seconds,
                    "validation_loss": found.validation["loss"],
                    "provenance": {"dataset_sha256": dataset_sha256, "parameters": training.model_dump()},
                }
                save_model(folder / key, model, config)
                losses.setdefault(str(horizon), {})[str(seed)] = found.validation["loss"]
        about = {"point": point.model_dump(), "lookback": recipe.lookback, "validation_loss": losses}
        write_json(folder / "about.json", about)
    trainings.write()


def untrained(channels: int, training: Training, start_HL: torch.Tensor | None) -> Mole:
    """The forecaster of a point, with the initial weights of its seed or those of the closed form."""
    recipe, point = training.recipe, training.point
    with initial_weights(recipe.seed):
        model = Mole(
            point.backbone,
            recipe.lookback,
            training.horizon,
            channels,
            experts=point.experts,
            top_k=point.top_k,
            head_dropout=recipe.head_dropout,
            kernel=recipe.kernel,
            offset=recipe.offset,
            hidden=recipe.hidden,
        )
    if start_HL is not None:
        start_from(model, start_HL)
    return model


if __name__ == "__main__":
    run_point_stage(SECTION, run)
