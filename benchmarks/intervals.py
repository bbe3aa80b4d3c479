"""Prediction intervals of the searched ridge on a series: how their running scale was chosen.

    python -m benchmarks.intervals --data ../shared/data/ETTh1.csv
    python -m benchmarks.intervals --data data/raw/mole/series --lookback 96 --horizons 24 96 --origins 1

`choice`: intervals calibrated at `--origins` earlier origins and judged on the validation rows, for numbers of seasons
that the scale is averaged over and that the calibration rows count for; 0 seasons are plain split-conformal intervals.
`rates`: how fast they are corrected online, judged so, and on the last earlier origin, calibrated on those before.
Test rows are not read. What is chosen is judged on test rows by the stage `evaluate`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean

import torch

from benchmarks.tables import print_tables
from pipeline.mole.data.csv_form import CsvOptions
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.ridge_choice import RIDGE, groups_of
from pipeline.mole.data.rolling_origin import calibration_windows, origin_windows
from pipeline.mole.data.season import season_of
from pipeline.mole.data.series import Series, read_series
from pipeline.mole.data.source import accept_series
from pipeline.mole.metrics.intervals import crps_of_quantiles
from pipeline.mole.model.calibration import errors_of, phases_of
from pipeline.mole.model.intervals import CRPS_LEVELS, Intervals, calibrated
from pipeline.mole.model.ridge_search import fitted
from pipeline.mole.model.tracking import factors
from pipeline.mole.params.ridge import RidgeGrid
from pipeline.mole.params.sweep import Recipe
from pipeline.mole.stages.ridge import mapped, searched

SEASONS, PRIORS = (0, 7, 14, 30, 60), (1, 3, 7, 14)
RATES = (0.0, 0.02, 0.05, 0.1, 0.2)


def choice(arguments: argparse.Namespace) -> None:
    """CRPS and coverage of each pair, and the geometric mean of its CRPS over the horizons."""
    series = _series(arguments)
    errors = {horizon: _errors(series, arguments, horizon) for horizon in arguments.horizons}
    columns = "".join(f" | CRPS {horizon} | coverage {horizon}" for horizon in errors)
    print(f"| seasons | prior{columns} | CRPS, geometric mean |\n|--:|--:{'|--:|--:' * len(errors)}|--:|")
    for seasons in SEASONS:
        for prior in PRIORS if seasons else PRIORS[:1]:
            scores = [_judged(*of, season_of(series.step)[0], seasons, prior) for of in errors.values()]
            cells = "".join(f" | {crps:.4f} | {coverage:.3f}" for crps, coverage in scores)
            mean = geometric_mean(crps for crps, _ in scores)
            print(f"| {seasons} | {prior}{cells} | {mean:.4f} |", flush=True)


def rates(arguments: argparse.Namespace) -> None:
    """Of each horizon and rate, CRPS, coverage and the least and most of it by hour, on both stretches."""
    series = _series(arguments)
    rows = season_of(series.step)[0]
    cells = " | CRPS | coverage | by place in the season" * 2
    print(f"| horizon | rate{cells} |\n|--:|--:{'|--:|--:|---' * 2}|")
    for horizon in arguments.horizons:
        errors, phases = _errors(series, arguments, horizon)
        calibrations = [_calibrated(errors[:last], phases[:last], rows) for last in (-1, -2)]
        for rate in RATES:
            found = [
                _tracked(intervals, errors, phases, last, rate)
                for intervals, last in zip(calibrations, (-1, -2), strict=True)
            ]
            print(f"| {horizon} | {rate:g}{''.join(found)} |", flush=True)


def _tracked(
    intervals: Intervals, errors: list[torch.Tensor], phases: list[torch.Tensor], last: int, rate: float
) -> str:
    error_NCH, scale_NCH, phase_N = _of_stretch(intervals, errors, phases, last)
    scale_NCH = scale_NCH * factors(intervals, error_NCH, scale_NCH, rate)
    crps, covered_NH = _scores(intervals, error_NCH, scale_NCH)
    row_NH = (phase_N[:, None] + torch.arange(covered_NH.shape[1])) % intervals.season  # up to one shift of all
    of_hour = [float(covered_NH[row_NH == place].mean()) for place in range(intervals.season)]
    return f" | {crps:.4f} | {float(covered_NH.mean()):.3f} | {min(of_hour):.3f} to {max(of_hour):.3f}"


def _errors(
    series: Series, arguments: argparse.Namespace, horizon: int
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Errors and phases of the windows at earlier origins and, last, of those of the validation rows."""
    recipe = Recipe(lookback=arguments.lookback, horizons=arguments.horizons, earlier_origins=arguments.origins)
    (best,) = searched(series, RidgeGrid(), recipe, horizon, groups_of(series)[RIDGE])
    errors, phases = [], []
    origins = origin_windows(series, arguments.origins, best.lookback, horizon)
    unseen = calibration_windows(series, arguments.origins, best.lookback, horizon)
    for (train, _), of_origin in zip(origins, unseen, strict=True):
        windows = ResidentWindows(of_origin, 256, torch.device("cpu"))
        errors.append(errors_of(mapped(fitted(best, train)), windows))
        phases.append(phases_of(windows, series.step))
    return errors, phases


def _calibrated(errors: Sequence[torch.Tensor], phases: Sequence[torch.Tensor], *of: int) -> Intervals:
    """By the windows whose truth is known before the stretch that is judged begins."""
    horizon = errors[0].shape[2]
    known = 1 - horizon if horizon > 1 else None
    return calibrated(torch.cat(list(errors))[:known], torch.cat(list(phases))[:known], *of)


def _judged(
    errors: Sequence[torch.Tensor], phases: Sequence[torch.Tensor], season: int, seasons: int, prior: int
) -> tuple[float, float]:
    """CRPS, and coverage of 90 % intervals."""
    intervals = _calibrated(errors[:-1], phases[:-1], season, seasons, prior)
    error_NCH, scale_NCH, _ = _of_stretch(intervals, errors, phases, -1)
    crps, covered_NH = _scores(intervals, error_NCH, scale_NCH)
    return crps, float(covered_NH.mean())


def _of_stretch(
    intervals: Intervals, errors: Sequence[torch.Tensor], phases: Sequence[torch.Tensor], last: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Errors, their scale, by errors before the stretch, too, and phases of the windows whose truth lies in it."""
    end = len(errors) + last + 1
    error_NCH, phase_N = torch.cat(list(errors[:end])), torch.cat(list(phases[:end]))
    scale_NCH = intervals.running_scale(error_NCH, phase_N)
    first, horizon = len(error_NCH) - len(errors[last]), error_NCH.shape[2]
    judged = slice(first, len(error_NCH) - (horizon - 1 if last < -1 else 0))  # of the last they all do
    return error_NCH[judged], scale_NCH[judged], phase_N[judged]


def _scores(intervals: Intervals, error_NCH: torch.Tensor, scale_NCH: torch.Tensor) -> tuple[float, torch.Tensor]:
    """CRPS, and (N, H): the share of channels that are covered."""
    crps_NCH = crps_of_quantiles(((level, scale_NCH * intervals.quantile(level)) for level in CRPS_LEVELS), error_NCH)
    low_NCH, high_NCH = (scale_NCH * intervals.quantile(level) for level in (0.05, 0.95))
    covered_NCH = (low_NCH <= error_NCH) & (error_NCH <= high_NCH)
    return float(crps_NCH.double().mean()), covered_NCH.double().mean(1)


def _series(arguments: argparse.Namespace) -> Series:
    """A CSV file, or the folder that ingest wrote of a recipe."""
    if arguments.data.is_dir():
        return read_series(arguments.data)
    return accept_series(arguments.data, CsvOptions("date"), arguments.layout).series


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="the series (.csv), or data/raw/mole/<study>"
    )
    parser.add_argument("--layout", default="etth", help="of mole.ingest.layout (default: %(default)s)")
    parser.add_argument("--lookback", type=int, default=336, metavar="N", help="of the recipe (default: %(default)s)")
    parser.add_argument("--horizons", type=int, nargs="+", default=[96, 336], metavar="N")
    parser.add_argument("--origins", type=int, default=3, metavar="N", help="earlier ones (default: %(default)s)")


if __name__ == "__main__":
    print_tables(__doc__, {"choice": choice, "rates": rates}, _add_arguments)
