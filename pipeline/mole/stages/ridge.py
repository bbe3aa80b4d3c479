"""Search the tuned linear baseline of a series at each horizon: lookback, offset and penalty of a ridge regression.

Chosen by validation rows and earlier origins, as mixtures are, by which its prediction intervals are calibrated, too;
test rows are never read. Beside one map of all channels, from which networks start, since their experts serve all of
them, one of the channels of each static value and one of each channel's own are searched. Maps are fitted to the train
rows alone and kept as a network of one linear layer, so that it is loaded, judged and used as any other.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from pipeline.core.entry import run_study_stage
from pipeline.core.files import atomic_folder, sha256
from pipeline.core.paths import StudyPaths
from pipeline.core.sealed import write_sealed
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.ridge_choice import CHANNEL_RIDGE, Groups, groups_of
from pipeline.mole.data.rolling_origin import (
    calibration_windows,
    earlier_origins,
    longest_lookback,
    origin_windows,
    validation_stamps,
)
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.series import Series, read_series
from pipeline.mole.data.windows import Windows
from pipeline.mole.interval_files import write_intervals
from pipeline.mole.model.calibration import Forecast, calibrate
from pipeline.mole.model.intervals import Intervals
from pipeline.mole.model.mixture import Mole, MoleConfig, start_from
from pipeline.mole.model.ridge_search import (
    Ridge,
    fitted,
    joint_losses,
    search_each,
    search_ridge,
)
from pipeline.mole.params.ridge import RidgeGrid
from pipeline.mole.params.sweep import Recipe, Sweep
from pipeline.mole.points import ABOUT
from pipeline.training.determinism import initial_weights, prepare_device
from pipeline.training.weights import save_model

SECTIONS = ("mole.ridge", "mole.sweep")

AT_ONCE = 256  # windows forecast together


def run(grid: RidgeGrid, sweep: Sweep, at: StudyPaths) -> None:
    """Write the maps of each horizon, what was chosen, and their validation losses at all origins."""
    recipe = sweep.recipe
    prepare_device("cpu", recipe.threads)
    series = read_series(at.raw)
    groups = groups_of(series) | ({} if grid.per_channel else {CHANNEL_RIDGE: []})
    found = {  # of no horizon where there is no group: the folder names none
        name: {horizon: searched(series, grid, recipe, horizon, of) for horizon in recipe.horizons if of}
        for name, of in groups.items()
    }
    parameters = {
        "ridge": grid.model_dump(),
        "recipe": recipe.model_dump(include={"lookback", "horizons", "earlier_origins"}),
    }
    config: dict[str, Any] = {
        "channels": list(series.channels),
        "scaler": fit_scaler(series).described(),
        **series.described(),
        "provenance": {"dataset_sha256": sha256(at.raw / "series.parquet"), "parameters": parameters},
    }
    least_squares = {horizon: least_squares_of(series, recipe, horizon).losses for horizon in recipe.horizons}
    for name, of_horizon in found.items():
        with atomic_folder(at.models / name) as folder:
            about = _written(folder, series, recipe, of_horizon, groups[name], least_squares, config)
            write_sealed(folder / ABOUT, about)


def _written(
    folder: Path,
    series: Series,
    recipe: Recipe,
    of_horizon: Mapping[int, Sequence[Ridge]],
    groups: Groups,
    least_squares: Mapping[int, Sequence[float]],
    config: Mapping[str, Any],
) -> dict[str, Any]:
    """Write a network of each horizon, and return what about.json says of all."""
    about: dict[str, Any] = {"point": {"backbone": "linear", "experts": 1, "top_k": None}}
    about |= {key: {} for key in ("lookback", "validation_loss", "origins", "maps")}
    for horizon, ridges in of_horizon.items():
        key, network = str(horizon), folder / f"h{horizon}_seed0"
        losses, held_out = (
            joint_losses((getattr(one, name) for one in ridges), groups) for name in ("losses", "held_out")
        )
        maps = fitted_maps(series, ridges, groups, recipe.earlier_origins, horizon)
        model = linear_forecaster(maps[-1], len(series.channels))
        save_model(network, model, {**config, "validation_loss": losses[-1]})
        write_intervals(network, _intervals(series, maps, horizon))
        known = [*earlier_origins(series, recipe.earlier_origins, recipe.lookback, horizon), series]
        about["maps"][key] = [
            {"lookback": one.lookback, "offset": one.offset, "penalty": one.penalty} for one in ridges
        ]
        about["validation_loss"][key], about["lookback"][key] = {"0": losses[-1]}, model.lookback
        about["origins"][key] = [
            {**validation_stamps(one), "loss": loss, "held_out": without, "least_squares": reference}
            for one, loss, without, reference in zip(known, losses, held_out, least_squares[horizon], strict=True)
        ]
        first = ridges[0]
        settings = f"lookback {first.lookback}, offset {first.offset}, penalty {first.penalty:.3g}"
        told = settings if len(ridges) == 1 else f"{len(ridges):,} maps for {len(series.channels):,} channels"
        print(f"horizon {horizon}: {told}; validation MSE {losses[-1]:.4f}", flush=True)
    return about


def searched(series: Series, grid: RidgeGrid, recipe: Recipe, horizon: int, groups: Groups) -> list[Ridge]:
    """The best map of the grid for each group of channels."""

    def windows(lookback: int) -> list[tuple[Windows, Windows]]:
        return origin_windows(series, recipe.earlier_origins, lookback, horizon)

    longest = longest_lookback(series, recipe.earlier_origins, horizon)
    lookbacks = sorted({recipe.lookback, *(lookback for lookback in grid.lookbacks if lookback <= longest)})
    return search_each(windows, lookbacks, grid.offsets, groups)


def least_squares_of(series: Series, recipe: Recipe, horizon: int) -> Ridge:
    """Of the recipe's lookback, one map for all channels, which is in the grid if its offset is."""
    windows = origin_windows(series, recipe.earlier_origins, recipe.lookback, horizon)
    (found,) = search_ridge(lambda _: windows, [recipe.lookback], ["last"], [0.0])
    return found


def fitted_maps(series: Series, ridges: Sequence[Ridge], groups: Groups, count: int, horizon: int) -> list[Tensor]:
    """At `count` earlier origins and at last that of the validation rows, (H, L): the one map of all channels, or
    (C, H, L): that of the group of each, which sees nothing of what is before its own lookback."""
    longest = max(one.lookback for one in ridges)
    windows = {one.lookback: origin_windows(series, count, one.lookback, horizon) for one in ridges}
    found = []
    for origin in range(count + 1):
        maps = [
            pad(fitted(one, windows[one.lookback][origin][0].of(group)), (longest - one.lookback, 0))
            for one, group in zip(ridges, groups, strict=True)
        ]
        of_channel = {channel: one for one, group in zip(maps, groups, strict=True) for channel in group}
        found.append(maps[0] if len(maps) == 1 else torch.stack([of_channel[c] for c in range(len(of_channel))]))
    return found


def _intervals(series: Series, maps: Sequence[Tensor], horizon: int) -> Intervals:
    """Those of the maps fitted at each origin, calibrated on the rows after it."""
    unseen = calibration_windows(series, len(maps) - 1, maps[-1].shape[-1], horizon)
    stretches = [
        (mapped(weight), ResidentWindows(windows, AT_ONCE, torch.device("cpu")))
        for weight, windows in zip(maps, unseen, strict=True)
    ]
    return calibrate(stretches, series.step)


def mapped(weight: Tensor) -> Forecast:
    """Forecasts by one linear map, (H, L), or by one for each channel, (C, H, L)."""
    weight_LH = weight.float().mT
    return lambda batch: (batch.x_BCL.transpose(0, 1) @ weight_LH).transpose(0, 1)


def linear_forecaster(weight: Tensor, channels: int) -> Mole:
    """The network that is this one linear map, (H, L), or those of each channel, (C, H, L)."""
    horizon, lookback = weight.shape[-2:]
    backbone: Literal["linear", "linear_per_channel"] = "linear" if weight.ndim == 2 else "linear_per_channel"
    with initial_weights(0):  # all of which are replaced
        model = Mole(MoleConfig(backbone=backbone, lookback=lookback, horizon=horizon, channels=channels))
    if weight.ndim == 2:
        start_from(model, weight)
    else:
        with torch.no_grad():
            model.weight_CHL.copy_(weight)
    return model


if __name__ == "__main__":
    run_study_stage(SECTIONS, run, kind="ridge")
