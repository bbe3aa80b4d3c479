"""Prediction intervals of a forecaster: calibrated on windows that it was not fitted to, and scored on later ones.

N: windows, C: channels, G: some of them, L: rows of the lookback, H: rows of the horizon.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pipeline.mole.data.resident_windows import ResidentWindows, WindowBatch
from pipeline.mole.data.season import phase_of, season_of
from pipeline.mole.data.step import Step
from pipeline.mole.metrics.intervals import IntervalScores, crps_of_quantiles, interval_score
from pipeline.mole.model.intervals import CRPS_LEVELS, SEASONS, Intervals, calibrated

Forecast = Callable[[WindowBatch], Tensor]  # (B, C, H)

MOST_ERRORS = 1 << 26  # held at once, 256 MB: series of many channels take several passes over their windows


def calibrate(stretches: Sequence[tuple[Forecast, ResidentWindows]], step: Step, seasons: int = SEASONS) -> Intervals:
    """Intervals from each forecast on its windows, in the order of time, of a series of this step. ValueError where
    there is no window."""
    parts = []
    most = max(windows.windows for _, windows in stretches)
    phases = [phases_of(windows, step) for _, windows in stretches]
    for channels in _groups(stretches[0][1], most * len(stretches)):
        errors = [errors_of(forecast, windows, channels) for forecast, windows in stretches]
        parts.append(calibrated(errors, phases, season_of(step)[0], seasons))
    quantile_QCH, scale_SCH = (
        torch.cat([getattr(part, name) for part in parts], 1) for name in ("quantile_QCH", "scale_SCH")
    )
    return replace(parts[0], quantile_QCH=quantile_QCH, scale_SCH=scale_SCH)


def phases_of(windows: ResidentWindows, step: Step) -> Tensor:
    """(N,): the place in the season of the first row of each window."""
    return torch.from_numpy(phase_of(step, windows.stamps))


@torch.no_grad()
def errors_of(forecast: Forecast, windows: ResidentWindows, channels: slice = slice(None)) -> Tensor:
    """(N, G, H): truth minus forecast, on the CPU."""
    return torch.cat([(batch.y_BCH - forecast(batch))[:, channels].cpu() for batch in windows.epoch(0)])


def interval_scores(
    forecast: Forecast,
    windows: ResidentWindows,
    judged: int,
    intervals: Intervals,
    step: Step,
    level: float,
    hour_NH: Tensor | None,
) -> IntervalScores | None:
    """Scores of the intervals of `level` on the last `judged` windows; errors of those before them, in the order of
    time, are known by then as far as their truth is.

    hour_NH: hour of the day of every row that is forecast in the judged windows. None where the level, or one of the
    quantiles that the distribution is scored by, is not calibrated.
    """
    tail = round((1 - level) / 2, 9)
    if not {tail, *CRPS_LEVELS} <= set(intervals.levels):
        return None
    found, phase_N = [], phases_of(windows, step)
    for channels in _groups(windows, windows.windows):
        of = intervals.of(channels)
        error_NGH = errors_of(forecast, windows, channels)
        scale_NGH, error_NGH = of.running_scale(error_NGH, phase_N)[-judged:], error_NGH[-judged:]
        low_NGH, high_NGH = (scale_NGH * of.quantile(q) for q in (tail, round(1 - tail, 9)))
        covered_NGH = ((low_NGH <= error_NGH) & (error_NGH <= high_NGH)).float()
        crps_NGH = crps_of_quantiles(((q, scale_NGH * of.quantile(q)) for q in CRPS_LEVELS), error_NGH)
        hours = rows = None
        if hour_NH is not None:
            of_row = hour_NH.flatten()
            hours = torch.zeros(24, dtype=torch.float64).index_add(0, of_row, covered_NGH.sum(1).double().flatten())
            rows = torch.bincount(of_row, minlength=24) * covered_NGH.shape[1]
        found.append(
            IntervalScores(
                covered_CH=covered_NGH.mean(0, dtype=torch.float64),
                width_CH=(high_NGH - low_NGH).mean(0, dtype=torch.float64),
                score_C=interval_score(low_NGH, high_NGH, error_NGH, level).mean((0, 2), dtype=torch.float64),
                crps_C=crps_NGH.mean((0, 2), dtype=torch.float64),
                covered_by_hour=hours,
                rows_by_hour=rows,
            )
        )
    return IntervalScores.joined(found)


def _groups(windows: ResidentWindows, rows: int) -> Iterator[slice]:
    """The channels, so many at a time as there is room for."""
    channels, horizon = windows.sizes
    size = max(1, MOST_ERRORS // (rows * horizon))
    return (slice(first, min(first + size, channels)) for first in range(0, channels, size))
