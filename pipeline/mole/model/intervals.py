"""Prediction intervals by split-conformal calibration, of errors in multiples of a running scale of their own.

Plain split-conformal intervals are as wide as errors were on the calibration rows; where a later stretch is calmer, or
the night is easier than the day, they cover too much or too little. Here an error is divided by the mean size of the
forecaster's latest errors at the same channel, step ahead and place in the season whose truth is known by then, and it
is these ratios that are calibrated. Where such errors are few, the scale is that of the calibration rows.

Sources: Vovk, Gammerman and Shafer, "Algorithmic learning in a random world" (2005); Papadopoulos, Vovk and Gammerman,
"Regression conformal prediction with nearest neighbours" (2011), for errors over a scale; Zaffran et al., "Adaptive
conformal predictions for time series" (2022), for errors of the latest past. Rows of a series are not exchangeable, so
coverage is not guaranteed but measured.

N: windows, one row apart, C: channels, H: rows of the horizon, Q: levels, S: rows of a season. The phase of a window is
the place in the season of its first row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted

CRPS_LEVELS = tuple(n / 20 for n in range(1, 20))  # of the quantiles by which a forecast's distribution is scored
LEVELS = (0.01, 0.025, *CRPS_LEVELS, 0.975, 0.99)  # of the quantiles that are kept

# Chosen on the validation rows of ETTh1 and of the embedded series, calibrated on earlier origins: of those within
# 0.3 % of the lowest CRPS, geometric mean of both, what covers nearest to 90 % (`python -m benchmarks.intervals`).
SEASONS = 7  # of which the errors are averaged at most
PRIOR_SEASONS = 3  # that the scale of the calibration rows counts for, and in it the mean over phases


@dataclass(frozen=True)
class Intervals:
    """Quantiles of errors (truth minus forecast) over their scale, of every channel and step."""

    levels: tuple[float, ...]
    quantile_QCH: Tensor  # ascending along Q
    scale_SCH: Tensor  # mean size of the errors on the calibration rows, by phase
    seasons: int = SEASONS  # 0: plain split-conformal intervals, of one scale
    prior: int = PRIOR_SEASONS

    @property
    def season(self) -> int:
        """Rows."""
        return len(self.scale_SCH)

    def running_scale(self, error_NCH: Tensor, phase_N: Tensor) -> Tensor:
        """(N, C, H): that of every window, from the errors that were known before its first forecast row."""
        return running_scale(error_NCH, self.scale_SCH, phase_N, self.seasons, self.prior)

    def scale_after(self, error_DCH: Tensor, phase: int) -> Tensor:
        """(C, H): that of the window a season after the last of these, which lie a season apart and whose errors may be
        any finite number where their truth is not known by then; D may be 0."""
        size_D1CH = torch.cat([error_DCH.abs(), torch.zeros_like(self.scale_SCH[:1])])[:, None]
        known, number_DH = _latest(size_D1CH, self.season, self.seasons)
        return (known[-1, 0] + self.prior * self.scale_SCH[phase]) / (number_DH[-1] + self.prior)

    def quantile(self, level: float) -> Tensor:
        """(C, H): of errors over their scale. ExpectedError where too few windows were there to calibrate it."""
        for place, known in enumerate(self.levels):
            if math.isclose(known, level):
                return self.quantile_QCH[place]
        if any(math.isclose(level, one) for one in LEVELS):
            raise ExpectedError(
                f"the quantile {level:g} is not calibrated: that takes {counted(_needed(level), 'window')} of "
                f"validation rows and earlier origins; {_calibrated(self.levels)}"
            )
        raise ExpectedError(f"the quantile {level:g} is not calibrated: {_calibrated(self.levels)}")

    def of(self, channels: slice) -> "Intervals":
        """Those of some channels alone."""
        return replace(self, quantile_QCH=self.quantile_QCH[:, channels], scale_SCH=self.scale_SCH[:, channels])


def calibrated(
    error_NCH: Tensor,
    phase_N: Tensor,
    season: int,
    seasons: int = SEASONS,
    prior: int = PRIOR_SEASONS,
) -> Intervals:
    """Intervals from the errors and phases of windows, in the order of time and one row apart, of rows that the
    forecasters were not fitted to. ValueError where there is no window.

    Of n ratios in order, the quantile of a level a < 1/2 is the one of rank floor(a (n + 1)), of a > 1/2 that of rank
    ceil(a (n + 1)): with exchangeable errors an interval covers at least what it says. Levels of which there is no such
    rank are left out.
    """
    windows = len(error_NCH)
    if not windows:
        raise ValueError("no window to calibrate by")
    scale_SCH = _scale(error_NCH, phase_N, season, prior if seasons else None)
    ranks = {level: rank for level in LEVELS if 1 <= (rank := _rank(level, windows)) <= windows}
    places = torch.tensor([rank - 1 for rank in ranks.values()], dtype=torch.int64)
    quantiles = []
    for channel in range(scale_SCH.shape[1]):  # one by one: a sort of all takes several times their memory
        one = slice(channel, channel + 1)
        running_N1H = running_scale(error_NCH[:, one], scale_SCH[:, one], phase_N, seasons, prior)
        quantiles.append((error_NCH[:, one] / running_N1H).sort(0).values[places, 0])
    return Intervals(tuple(ranks), torch.stack(quantiles, 1), scale_SCH, seasons, prior)


def running_scale(error_NCH: Tensor, scale_SCH: Tensor, phase_N: Tensor, seasons: int, prior: int) -> Tensor:
    """(N, C, H): for each window, the mean size of the errors of the latest `seasons` windows that lie whole seasons
    before it and whose truth at this step is known before its first forecast row; the scale of its phase joins in as
    `prior` more errors.

    Step h of window m is row m + h of those that are forecast, so before window n it is known where m + h < n: the
    latest with m = n - k season is that of k = h // season + 1, with h from 0.
    """
    windows, channels, horizon = error_NCH.shape
    season = len(scale_SCH)
    count = -(-windows // season)
    size_NCH = error_NCH.new_zeros(count * season, channels, horizon)
    size_NCH[:windows] = error_NCH.abs()
    known, number_DH = _latest(size_NCH.view(count, season, channels, horizon), season, seasons)
    known_NCH = known.view(-1, channels, horizon)[:windows]
    number_NH = number_DH.repeat_interleave(season, 0)[:windows]
    return (known_NCH + prior * scale_SCH[phase_N]) / (number_NH + prior)[:, None]


def _latest(size: Tensor, season: int, seasons: int) -> tuple[Tensor, Tensor]:
    """Of sizes of errors (D, phases, C, H), a season from one to the next along D: for each, the sum of those of the
    latest `seasons` before it whose truth is known, and how many (D, H) these are."""
    horizon, place_D = size.shape[3], torch.arange(len(size))
    total = torch.cat([size.new_zeros(1, *size.shape[1:], dtype=torch.float64), size.cumsum(0, dtype=torch.float64)])
    known, number_DH = torch.empty_like(size), size.new_empty(len(size), horizon)
    for first in range(0, horizon, season):
        steps = slice(first, first + season)
        after_D = (place_D - first // season).clamp(min=0)
        before_D = (after_D - seasons).clamp(min=0)
        known[..., steps] = total[..., steps][after_D] - total[..., steps][before_D]
        number_DH[:, steps] = (after_D - before_D)[:, None].to(size.dtype)
    return known, number_DH


def _scale(error_NCH: Tensor, phase_N: Tensor, season: int, prior: int | None) -> Tensor:
    """(S, C, H): the mean size of the errors of a phase, with `prior` errors of that of all; None: that of all."""
    size_SCH = torch.zeros(season, *error_NCH.shape[1:], dtype=torch.float64)
    size_SCH.index_add_(0, phase_N, error_NCH.abs().double())
    number_S = torch.bincount(phase_N, minlength=season).double()
    mean_CH = size_SCH.sum(0) / number_S.sum()
    if prior is None:
        scale_SCH = mean_CH.expand(season, -1, -1)
    else:
        scale_SCH = (size_SCH + prior * mean_CH) / (number_S + prior)[:, None, None]
    return scale_SCH.float().clamp(min=torch.finfo(torch.float32).tiny)  # an error of 0 is 0 of any scale


def _rank(level: float, windows: int) -> int:
    place = round(level * (windows + 1), 9)  # 0.95 * 20 is 19 but for rounding
    return math.floor(place) if level < 0.5 else math.ceil(place)


def _needed(level: float) -> int:
    return math.ceil(round(1 / min(level, 1 - level), 9)) - 1


def _calibrated(levels: Sequence[float]) -> str:
    return f"there are {', '.join(f'{level:g}' for level in levels)}" if levels else "none is"
