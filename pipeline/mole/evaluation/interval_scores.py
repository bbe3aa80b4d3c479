"""Prediction intervals of a forecaster, scored on windows later than those they were calibrated on.

N: windows, G: some channels, H: rows of the horizon.
"""

import torch
from torch import Tensor

from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.step import Step
from pipeline.mole.metrics.intervals import IntervalScores, crps_of_quantiles, interval_score
from pipeline.mole.model.calibration import Forecast, channel_groups, errors_of, phases_of
from pipeline.mole.model.intervals import CRPS_LEVELS, Intervals
from pipeline.mole.model.tracking import factors


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
    for channels in channel_groups(windows, windows.windows):
        of = intervals.of(channels)
        error_NGH = errors_of(forecast, windows, channels)
        scale_NGH = of.running_scale(error_NGH, phase_N)
        scale_NGH, error_NGH = (scale_NGH * factors(of, error_NGH, scale_NGH))[-judged:], error_NGH[-judged:]
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
                covered_N=covered_NGH.sum((1, 2), dtype=torch.float64),
                covered_by_hour=hours,
                rows_by_hour=rows,
            )
        )
    return IntervalScores.joined(found)
