"""Online correction of prediction intervals: wider after the truth lay outside of them too often, narrower after it
hardly did.

The scale of an interval is multiplied by a factor of its own for each channel, step and place in the season. From one
season to the next it follows whether the latest error whose truth is known lies in the interval of the present factor.

Sources: Gibbs and Candes, "Adaptive conformal inference under distribution shift" (2021); Angelopoulos, Candes and
Tibshirani, "Conformal PID control for time series prediction" (2023), for tracking a quantile of the error, here by its
logarithm, in place of a level. An error is held against the factor of the time at which it becomes known, not of the
time of its forecast, which lies a horizon before: so the factor does not swing.

N: windows, one row apart, C: channels, H: rows of the horizon, S: rows of a season, D: seasons, P: places in one.
"""

import math

import torch
from torch import Tensor

from pipeline.mole.model.intervals import Intervals

LEVEL = 0.9  # of the interval that is held against errors

# Chosen on the validation rows of ETTh1 and on those of its last earlier origin, calibrated on the origins before
# (`python -m benchmarks.intervals --only rates`): coverage comes nearer to 90 %, most of all by hour, for 0 to 3 % of
# CRPS. By faster rates CRPS grows at long horizons, whose errors are known late.
RATE = 0.05
SEASONS = 60  # before a forecast of new rows, in which its factor is found
ROUNDING = 1e-5  # the errors that the quantiles are of lie on an end of their interval: inside, however it is rounded
LARGEST = math.log(4)  # of the logarithm: where errors vanish or explode, the calibration is to blame


def factors(intervals: Intervals, error_NCH: Tensor, scale_NCH: Tensor, rate: float = RATE) -> Tensor:
    """(N, C, H): by which the scale of each window is multiplied, 1 at first; windows are in the order of time.

    log f of step h moves, from the window a season before n to window n, by rate (1 - LEVEL) down where the error of
    window m = n - S (h // S + 1), the latest of its place whose truth is known before window n, lies in the interval of
    f times its scale, and by rate LEVEL up where it does not. All factors are 1 where the level is not calibrated, and
    for plain split-conformal intervals.
    """
    tail = round((1 - LEVEL) / 2, 9)
    if not intervals.seasons or tail not in intervals.levels:
        return torch.ones_like(error_NCH)
    windows, season = len(error_NCH), intervals.season
    missing = -windows % season
    error_DPCH, scale_DPCH = (
        torch.cat([part, part.new_ones(missing, *part.shape[1:])]).view(-1, season, *part.shape[1:])
        for part in (error_NCH, scale_NCH)
    )
    found_DPCH = _tracked(intervals, error_DPCH, scale_DPCH, tail, rate)
    return found_DPCH.flatten(0, 1)[:windows]


def factor_after(intervals: Intervals, error_DCH: Tensor, phase: int) -> Tensor:
    """(C, H): that of the window a season after the last of these, which lie a season apart and whose errors may be any
    finite number where their truth is not known by then; D may be 0."""
    tail = round((1 - LEVEL) / 2, 9)
    if not intervals.seasons or tail not in intervals.levels:
        return torch.ones_like(intervals.scale_SCH[0])
    scales = [intervals.scale_after(error_DCH[:number], phase) for number in range(len(error_DCH) + 1)]
    error_DPCH = torch.cat([error_DCH, torch.zeros_like(intervals.scale_SCH[:1])])[:, None]
    return _tracked(intervals, error_DPCH, torch.stack(scales)[:, None], tail, RATE)[-1, 0]


def _tracked(intervals: Intervals, error_DPCH: Tensor, scale_DPCH: Tensor, tail: float, rate: float) -> Tensor:
    """(D, P, C, H)"""
    season, horizon = intervals.season, error_DPCH.shape[3]
    low_CH, high_CH = intervals.quantile(tail).clamp(max=0), intervals.quantile(round(1 - tail, 9)).clamp(min=0)
    log_DPCH, log_PCH = torch.empty_like(error_DPCH), torch.zeros_like(error_DPCH[0])
    for place in range(len(error_DPCH)):
        for first in range(0, min(place * season, horizon), season):
            steps, known = slice(first, first + season), place - first // season - 1
            error_PCH, scale_PCH = error_DPCH[known][..., steps], scale_DPCH[known][..., steps]
            width_PCH = log_PCH[..., steps].exp() * scale_PCH * (1 + ROUNDING)
            outside_PCH = (error_PCH < width_PCH * low_CH[:, steps]) | (error_PCH > width_PCH * high_CH[:, steps])
            log_PCH[..., steps] += rate * (outside_PCH.to(log_PCH.dtype) - (1 - LEVEL))
        log_DPCH[place] = log_PCH.clamp_(-LARGEST, LARGEST)
    return log_DPCH.exp_()
