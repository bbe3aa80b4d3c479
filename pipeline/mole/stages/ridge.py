"""Search the tuned linear baseline of a series at each horizon: lookback, offset and penalty of a ridge regression.

Chosen by validation rows and earlier origins, as mixtures are, by which its prediction intervals are calibrated, too;
test rows are never read. The map is fitted to the train rows alone and kept as a network of one linear layer, so that
it is loaded, judged and used as any other.
"""

from typing import Any

import torch
from torch import Tensor

from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder, sha256
from pipeline.core.paths import StudyPaths
from pipeline.core.sealed import write_sealed
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.ridge_choice import RIDGE
from pipeline.mole.data.rolling_origin import (
    earlier_origins,
    first_validation_stamp,
    longest_lookback,
    origin_windows,
)
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import Series, read_series
from pipeline.mole.data.windows import Windows, windows_of
from pipeline.mole.interval_files import write_intervals
from pipeline.mole.model.calibration import Forecast, calibrate
from pipeline.mole.model.intervals import Intervals
from pipeline.mole.model.mixture import Mole, MoleConfig, start_from
from pipeline.mole.model.ridge_search import Ridge, fitted, search_ridge
from pipeline.mole.params.ridge import RidgeGrid
from pipeline.mole.params.sweep import Recipe, Sweep
from pipeline.mole.points import ABOUT
from pipeline.training.determinism import initial_weights, prepare_device
from pipeline.training.weights import save_model

SECTIONS = ("mole.ridge", "mole.sweep")

AT_ONCE = 256  # windows forecast together


def run(grid: RidgeGrid, sweep: Sweep, at: StudyPaths) -> None:
    """Write the map of each horizon, what was chosen, and its validation losses at all origins."""
    recipe = sweep.recipe
    prepare_device("cpu", recipe.threads)
    series = read_series(at.raw)
    scaler = fit_scaler(series)
    chosen: dict[str, dict[str, Any]] = {}
    losses: dict[str, dict[str, float]] = {}
    origins: dict[str, list[dict[str, Any]]] = {}
    config: dict[str, Any] = {
        "channels": list(series.channels),
        "scaler": scaler.described(),
        **series.step.described(),
        "provenance": {
            "dataset_sha256": sha256(at.raw / "series.parquet"),
            "parameters": {
                "ridge": grid.model_dump(),
                "recipe": recipe.model_dump(include={"lookback", "horizons", "earlier_origins"}),
            },
        },
    }
    with atomic_folder(at.models / RIDGE) as folder:
        for horizon in recipe.horizons:
            best, least_squares = searched(series, grid, recipe, horizon)
            weight_HL = fitted(best, windows_of(series, scaler, "train", best.lookback, horizon))
            model, network = linear_forecaster(weight_HL, len(series.channels)), folder / f"h{horizon}_seed0"
            save_model(network, model, config | {"validation_loss": best.losses[-1]})
            write_intervals(network, _intervals(series, best, recipe.earlier_origins, horizon))
            key, choice = str(horizon), {"lookback": best.lookback, "offset": best.offset, "penalty": best.penalty}
            chosen[key], losses[key] = choice, {"0": best.losses[-1]}
            known = [*earlier_origins(series, recipe.earlier_origins, recipe.lookback, horizon), series]
            origins[key] = [
                {"start": first_validation_stamp(one), "loss": loss, "least_squares": reference}
                for one, loss, reference in zip(known, best.losses, least_squares.losses, strict=True)
            ]
            told = f"lookback {best.lookback}, offset {best.offset}, penalty {best.penalty:.3g}"
            print(f"horizon {horizon}: {told}; validation MSE {best.losses[-1]:.4f}", flush=True)
        about = {
            "point": {"backbone": model.config.backbone, "experts": 1, "top_k": None},
            "lookback": {horizon: choice["lookback"] for horizon, choice in chosen.items()},
            "validation_loss": losses,
            "origins": origins,
            "ridge": chosen,
        }
        write_sealed(folder / ABOUT, about)


def searched(series: Series, grid: RidgeGrid, recipe: Recipe, horizon: int) -> tuple[Ridge, Ridge]:
    """The best map of the grid, and least squares of the recipe's lookback, which is in the grid if its offset is."""
    count = recipe.earlier_origins

    def windows(lookback: int) -> list[tuple[Windows, Windows]]:
        return origin_windows(series, count, lookback, horizon)

    (least_squares,) = search_ridge(windows, [recipe.lookback], ["last"], [0.0])
    longest = longest_lookback(series, count, horizon)
    lookbacks = sorted({recipe.lookback, *(lookback for lookback in grid.lookbacks if lookback <= longest)})
    return min(search_ridge(windows, lookbacks, grid.offsets), key=lambda one: one.loss), least_squares


def _intervals(series: Series, ridge: Ridge, count: int, horizon: int) -> Intervals:
    """Those of the map fitted at each origin, calibrated on its validation windows."""
    stretches = []
    for train, validation in origin_windows(series, count, ridge.lookback, horizon):
        windows = ResidentWindows(validation, AT_ONCE, torch.device("cpu"))
        stretches.append((mapped(fitted(ridge, train)), windows))
    return calibrate(stretches, series.step)


def mapped(weight_HL: Tensor) -> Forecast:
    """Forecasts by a linear map."""
    weight_LH = weight_HL.float().T
    return lambda batch: batch.x_BCL @ weight_LH


def linear_forecaster(weight_HL: Tensor, channels: int) -> Mole:
    """The network that is this one linear map."""
    horizon, lookback = weight_HL.shape
    with initial_weights(0):  # all of which are replaced
        model = Mole(MoleConfig(backbone="linear", lookback=lookback, horizon=horizon, channels=channels))
    start_from(model, weight_HL)
    return model


if __name__ == "__main__":
    run_study_stage(SECTIONS, run, kind="ridge")
