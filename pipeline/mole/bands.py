"""Prediction intervals around a forecast of new rows, as wide as the forecaster's own latest errors on the rows before
say. C: channels, L: rows of the lookback, H: rows of the horizon, D: earlier windows, a season apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import counted, listed
from pipeline.mole.data.season import phase_of
from pipeline.mole.data.step import Step
from pipeline.mole.model.intervals import Intervals
from pipeline.mole.model.tracking import SEASONS as TRACKED
from pipeline.mole.model.tracking import factor_after


@dataclass(frozen=True)
class Bands:
    """Intervals of some levels (per cent), such as 90."""

    intervals: Intervals
    level: tuple[float, ...]
    lookback: int
    horizon: int
    step: Step

    @property
    def before(self) -> int:
        """Rows before the lookback from which the scale is learned, if they are there."""
        return (self._late + self.intervals.seasons + TRACKED) * self.intervals.season

    @property
    def _late(self) -> int:
        """Seasons before a window whose truth at the last step is not known yet."""
        return (self.horizon - 1) // self.intervals.season

    def scale(
        self,
        scaled_TC: npt.NDArray[np.float32],
        date_T: npt.NDArray[np.int64],
        forecast: Callable[[Tensor, Tensor], Tensor],
    ) -> tuple[Tensor, int]:
        """(C, H), and how many earlier windows there were; forecast: of windows (D, C, L) whose first rows are at these
        places (D,), (D, C, H)."""
        season, rows, channels = self.intervals.season, *scaled_TC.shape
        phase = int(phase_of(self.step, date_T[-self.lookback :][:1])[0])
        first_D = np.arange(rows, self.lookback - 1, -season)[:0:-1]  # the rows that the windows forecast first
        error_DCH = torch.zeros(len(first_D), channels, self.horizon)
        if len(first_D):
            x_DCL = np.stack([scaled_TC[first - self.lookback : first].T for first in first_D])
            y_DCH = forecast(torch.from_numpy(x_DCL), torch.from_numpy(first_D - self.lookback)).cpu()
            for place, first in enumerate(first_D):
                truth_CH = torch.from_numpy(scaled_TC[first : first + self.horizon].T.copy())
                known = truth_CH.shape[1]
                error_DCH[place, :, :known] = truth_CH - y_DCH[place, :, :known]
        factor_CH = factor_after(self.intervals, error_DCH, phase)
        return factor_CH * self.intervals.scale_after(error_DCH, phase), len(first_D)

    def ends(self, scale_CH: Tensor) -> dict[str, Tensor]:
        """(C, H) to be added to the forecast, by what columns are called, as Nixtla's are: "lo-90", "hi-90"."""
        found = {}
        for level in self.level:
            tail = (100 - level) / 200
            found[f"lo-{level:g}"] = scale_CH * self.intervals.quantile(tail)
            found[f"hi-{level:g}"] = scale_CH * self.intervals.quantile(1 - tail)
        return found

    def note(self, earlier: int) -> str:
        """What the width is of."""
        said = f"{listed(f'{level:g} %' for level in self.level)} intervals: conformal, calibrated on validation rows"
        if not earlier:
            return f"{said}; the input holds no rows before the lookback, so that they are as wide as there"
        return f"{said}, scaled by the errors of {counted(earlier, 'forecast')} from the rows before"


def bands_of(intervals: Intervals, level: Sequence[float], lookback: int, horizon: int, step: Step) -> Bands:
    """ExpectedError where a level is not calibrated."""
    known = [round(100 - 200 * tail, 6) for tail in intervals.levels if tail < 0.5]
    for one in level:
        if not any(abs(one - other) < 1e-6 for other in known):
            expected = (
                f"one of {listed((f'{other:g}' for other in known), 20)} (per cent)" if known else "none: too few"
            )
            raise ExpectedError(f"intervals of level {one:g} are not calibrated: expected {expected}")
    return Bands(intervals, tuple(dict.fromkeys(level)), lookback, horizon, step)
