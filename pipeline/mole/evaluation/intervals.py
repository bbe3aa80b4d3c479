"""Prediction intervals on the test windows: of the chosen mixture, the ridges and seasonal naive."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch

from pipeline.metrics.glossary import Metric, Role
from pipeline.metrics.results import Row
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.rolling_origin import calibration_windows
from pipeline.mole.data.step import DAY
from pipeline.mole.evaluation.horizon import BATCH_SIZE, Horizon, loaded
from pipeline.mole.evaluation.interval_scores import interval_scores
from pipeline.mole.evaluation.result_rows import block_means
from pipeline.mole.glossary import (
    COVERAGE,
    CRPS,
    INTERVAL_SCORE,
    LEVEL,
    SPLIT_COVERAGE,
    SPLIT_CRPS,
    WIDTH,
    unit_of,
)
from pipeline.mole.interval_files import read_intervals
from pipeline.mole.metrics.intervals import IntervalScores
from pipeline.mole.model.baselines import seasonal_naive
from pipeline.mole.model.calibration import Forecast, calibrate
from pipeline.mole.model.intervals import Intervals
from pipeline.mole.points import ForecastPoint

COVERAGE_COLUMNS = ("horizon", "method", "by", "value", "coverage")


class Banded(NamedTuple):
    """What the intervals of a method did on the test windows: those it is used with, and plain split-conformal ones of
    its validation errors. None: too few windows to calibrate by."""

    method: str
    role: Role
    seed: int | None
    running: IntervalScores | None
    plain: IntervalScores | None


def judge_intervals(
    chosen: ForecastPoint, ridges: Sequence[ForecastPoint], horizon: Horizon, origins: int
) -> list[Banded]:
    """origins: earlier ones, by which the intervals of seasonal naive are calibrated, as those of the others are."""
    found = []
    for point in (chosen, *ridges):
        for seed in point.validation[horizon.rows]:
            forecast = loaded(point, horizon, seed).forecast
            intervals = read_intervals(point.network(horizon.rows, seed), point.stage)
            lookback = point.lookback[horizon.rows]
            scores = _both(forecast, lookback, intervals, horizon)
            found.append(
                Banded(point.name, "baseline", None, *scores)
                if point in ridges
                else Banded(point.name, "model", seed, *scores)
            )

    def naive(batch: Any) -> torch.Tensor:
        return seasonal_naive(batch.x_BCL, horizon.rows, horizon.season)

    stretches = [
        (naive, ResidentWindows(windows, BATCH_SIZE, horizon.device))
        for windows in calibration_windows(horizon.series, origins, horizon.lookback, horizon.rows)
    ]
    intervals = calibrate(stretches, horizon.series.step)
    found.append(Banded("seasonal_naive", "baseline", None, *_both(naive, horizon.lookback, intervals, horizon)))
    return found


def _both(
    forecast: Forecast, lookback: int, intervals: Intervals, horizon: Horizon
) -> tuple[IntervalScores | None, IntervalScores | None]:
    step = horizon.series.step
    plain = calibrate([(forecast, horizon.windows("validation", lookback))], step, seasons=0)
    later, judged, hour_NH = horizon.later(lookback), horizon.windows("test", lookback).windows, _hours(horizon)
    running, fixed = (
        interval_scores(forecast, later, judged, one, step, LEVEL / 100, hour_NH) for one in (intervals, plain)
    )
    return running, fixed


def _hours(horizon: Horizon) -> torch.Tensor | None:
    """(N, H): the hour of the day of every row that a test window forecasts; None of days and longer steps."""
    step = horizon.series.step.seconds
    if step is None or step >= DAY:
        return None
    first, after = horizon.series.splits["test"]
    hour_T = horizon.series.date_T[first:after] // 3600 % 24
    return torch.from_numpy(np.lib.stride_tricks.sliding_window_view(hour_T, horizon.rows).copy())


def interval_rows(found: Iterable[Banded], horizon: int) -> list[Row]:
    """Scores of the intervals at a horizon; what could not be calibrated has none."""
    rows = []
    for one in found:
        values: dict[Metric, float] = {}
        if one.running:
            running = one.running
            values = {
                COVERAGE: running.coverage,
                WIDTH: running.width,
                INTERVAL_SCORE: running.score,
                CRPS: running.crps,
            }
        if one.plain:
            values |= {SPLIT_COVERAGE: one.plain.coverage, SPLIT_CRPS: one.plain.crps}
        unit = unit_of(horizon)
        rows += [Row(unit, one.method, one.role, metric.name, value, seed=one.seed) for metric, value in values.items()]
    return rows


def coverage_rows(found: Iterable[Banded], horizon: int) -> list[dict[str, Any]]:
    """The share inside, over seeds, by step ahead, by hour of the day, by channel and by block of test windows (both
    counted from 0)."""
    by_method: dict[str, list[IntervalScores]] = {}
    for one in found:
        if one.running:
            by_method.setdefault(one.method, []).append(one.running)
    rows = []
    for method, seeds in by_method.items():
        covered_CH = torch.stack([one.covered_CH for one in seeds]).mean(0)
        hours = seeds[0].coverage_by_hour
        covered_N = torch.stack([one.coverage_N for one in seeds]).mean(0)
        parts = {
            "step": dict(enumerate(covered_CH.mean(0).tolist(), start=1)),
            "hour": {hour: fmean(one.coverage_by_hour[hour] for one in seeds) for hour in hours},
            "channel": dict(enumerate(covered_CH.mean(1).tolist())),
            "block": dict(enumerate(block_means(covered_N.numpy(), horizon).tolist())),
        }
        place = {"horizon": horizon, "method": method}
        rows += [
            {**place, "by": by, "value": value, "coverage": coverage}
            for by, values in parts.items()
            for value, coverage in values.items()
        ]
    return rows
