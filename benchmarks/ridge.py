"""The searched ridge regression on a series: what is chosen, and its errors.

    python -m benchmarks.ridge --data ../shared/data/ETTh1.csv

`choice`: errors on all test windows of what is chosen as the stage `ridge` chooses (by validation rows and `--origins`
earlier origins), of what the validation rows alone would choose, and of least squares of one lookback. `channels`: of
one map of all channels and of maps of each channel's own. Test rows have no part in any choice. How long the search
takes: `python -m benchmarks.forecast_speed`.
"""

import argparse
import time
from pathlib import Path

import torch

from benchmarks.tables import print_tables
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.ridge_choice import CHANNEL_RIDGE, RIDGE, groups_of
from pipeline.mole.data.scaler import fit_scaler
from pipeline.mole.data.season import season_of
from pipeline.mole.data.series import Series
from pipeline.mole.data.source import accept_series
from pipeline.mole.evaluation.horizon import Horizon
from pipeline.mole.metrics.forecasting import ForecastErrors
from pipeline.mole.model.held_out import over_origins
from pipeline.mole.model.mixture_scores import score
from pipeline.mole.model.ridge_search import Ridge, joint_losses
from pipeline.mole.params.ridge import RidgeGrid
from pipeline.mole.params.sweep import Recipe
from pipeline.mole.stages.ridge import fitted_maps, least_squares_of, mapped, searched


def choice(arguments: argparse.Namespace) -> None:
    """Test errors of what was chosen, and of what would have been."""
    series = _series(arguments)
    print("| horizon | chosen by | lookback | offset | penalty | validation MSE | test MSE | test MAE |")
    print("|--:|---|--:|---|--:|--:|--:|--:|")
    for horizon in arguments.horizons:
        recipes, shared = [_recipe(arguments, count) for count in (arguments.origins, 0)], groups_of(series)[RIDGE]
        by_all, by_validation = (searched(series, RidgeGrid(), recipe, horizon, shared)[0] for recipe in recipes)
        least_squares = least_squares_of(series, recipes[0], horizon)
        origins = f"validation rows and {arguments.origins} earlier origins"
        rows = {origins: by_all, "validation rows alone": by_validation, "nothing: least squares": least_squares}
        for name, ridge in rows.items():
            _print_row(series, horizon, name, ridge)


def channels(arguments: argparse.Namespace) -> None:
    """One map of all channels beside maps of each channel's own, both chosen by validation rows and earlier origins."""
    series = _series(arguments)
    print("| horizon | map | loss over origins | validation MSE | test MSE | test MAE | CPU seconds of the search |")
    print("|--:|---|--:|--:|--:|--:|--:|")
    for horizon in arguments.horizons:
        recipe = _recipe(arguments, arguments.origins)
        for kind, name in ((RIDGE, "of all channels"), (CHANNEL_RIDGE, "of each channel")):
            started, groups = time.process_time(), groups_of(series)[kind]
            maps = searched(series, RidgeGrid(), recipe, horizon, groups)
            seconds, losses = time.process_time() - started, joint_losses((one.losses for one in maps), groups)
            weight = fitted_maps(series, maps, groups, 0, horizon)[-1]
            errors = _test_errors(series, horizon, weight)
            told = (
                f"{over_origins(losses):.4f} | {losses[-1]:.4f} | {errors.mse:.4f} | {errors.mae:.4f} | {seconds:.1f}"
            )
            print(f"| {horizon} | {name} | {told} |", flush=True)


def _test_errors(series: Series, horizon: int, weight: torch.Tensor) -> ForecastErrors:
    season, _ = season_of(series.step)
    of = Horizon(horizon, series, fit_scaler(series), torch.device("cpu"), weight.shape[-1], season)
    return score(mapped(weight), of.windows("test").epoch(0), of.units)


def _print_row(series: Series, horizon: int, name: str, ridge: Ridge) -> None:
    errors = _test_errors(series, horizon, fitted_maps(series, [ridge], groups_of(series)[RIDGE], 0, horizon)[-1])
    settings = f"{ridge.lookback} | {ridge.offset} | {ridge.penalty:.2g}"
    print(
        f"| {horizon} | {name} | {settings} | {ridge.losses[-1]:.4f} | {errors.mse:.4f} | {errors.mae:.4f} |",
        flush=True,
    )


def _series(arguments: argparse.Namespace) -> Series:
    return accept_series(arguments.data, CsvOptions("date"), arguments.layout).series


def _recipe(arguments: argparse.Namespace, origins: int) -> Recipe:
    return Recipe(lookback=arguments.lookback, horizons=arguments.horizons, earlier_origins=origins)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="the series (.csv)")
    parser.add_argument("--layout", default="etth", help="of mole.ingest.layout (default: %(default)s)")
    parser.add_argument(
        "--lookback", type=int, default=336, metavar="N", help="of least squares (default: %(default)s)"
    )
    parser.add_argument("--horizons", type=int, nargs="+", default=[96, 192, 336, 720], metavar="N")
    parser.add_argument("--origins", type=int, default=3, metavar="N", help="earlier ones (default: %(default)s)")


if __name__ == "__main__":
    print_tables(__doc__, {"choice": choice, "channels": channels}, _add_arguments)
