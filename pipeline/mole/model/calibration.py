"""Prediction intervals of a forecaster, calibrated on windows that it was not fitted to.

N: windows, C: channels, G: some of them, L: rows of the lookback, H: rows of the horizon.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from pipeline.mole.data.resident_windows import ResidentWindows, WindowBatch
from pipeline.mole.data.season import phase_of, season_of
from pipeline.mole.data.step import Step
from pipeline.mole.model.intervals import SEASONS, Intervals, calibrated

Forecast = Callable[[WindowBatch], Tensor]  # (B, C, H)

MOST_ERRORS = 1 << 26  # held at once, 256 MB: series of many channels take several passes over their windows


def calibrate(stretches: Sequence[tuple[Forecast, ResidentWindows]], step: Step, seasons: int = SEASONS) -> Intervals:
    """Intervals from each forecast on its windows, in the order of time and the first a row after the last of the
    stretch before, of a series of this step. ValueError where they are not, or there is no window."""
    parts, season = [], season_of(step)[0]
    for (_, before), (_, after) in pairwise(stretches):
        if before.after != after.stamps[0]:  # the phase does not tell: clocks are put forward and back
            raise ValueError("the windows do not follow each other")
    phase_N = torch.cat([phases_of(windows, step) for _, windows in stretches])
    for channels in channel_groups(stretches[0][1], len(phase_N)):
        error_NGH = torch.cat([errors_of(forecast, windows, channels) for forecast, windows in stretches])
        parts.append(calibrated(error_NGH, phase_N, season, seasons))
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


def channel_groups(windows: ResidentWindows, rows: int) -> Iterator[slice]:
    """The channels, so many at a time as there is room for."""
    channels, horizon = windows.sizes
    size = max(1, MOST_ERRORS // (rows * horizon))
    return (slice(first, min(first + size, channels)) for first in range(0, channels, size))
