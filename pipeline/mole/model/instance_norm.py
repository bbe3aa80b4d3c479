"""What is taken out of each window before it is forecast, and put back into its forecast: level, scale, or both.

B: windows, C: channels, L: rows of the lookback, H: rows of the horizon.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.mole.data.ridge_choice import Offset

EPSILON = 1e-5


class Level(NamedTuple):
    """What was taken out of a window."""

    offset_BC1: Tensor  # subtracted: the mean or the last value
    deviation_BC1: Tensor  # divided by


class WindowOffset(nn.Module):
    """x − its last row, or − its mean: a window that is higher by a constant is forecast higher by it.

    Source: NLinear in Zeng et al., "Are transformers effective for time series forecasting?" (2023).
    """

    def __init__(self, offset: Offset) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x_BCL: Tensor) -> tuple[Tensor, Level]:
        """The window less its offset, and what `restore` needs."""
        offset_BC1 = x_BCL[:, :, -1:] if self.offset == "last" else x_BCL.mean(2, keepdim=True)
        return x_BCL - offset_BC1, Level(offset_BC1, torch.ones_like(offset_BC1))

    def restore(self, y_BCH: Tensor, level: Level) -> Tensor:
        """The inverse, for a forecast of any length."""
        return y_BCH + level.offset_BC1


class ReversibleNorm(nn.Module):
    """(x − mean) / √(variance + 1e-5) over a window's rows, then a learned scale and shift of each channel.

    Not `centred`: x in place of x − mean, so that a map which depends on the level can follow. Source: Kim et al.,
    "Reversible instance normalization" (2022).
    """

    def __init__(self, channels: int, centred: bool = True) -> None:
        super().__init__()
        self.centred = centred
        self.scale_C = nn.Parameter(torch.ones(channels))
        self.shift_C = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCL: Tensor) -> tuple[Tensor, Level]:
        """The normalised window, and what `restore` needs."""
        mean_BC1 = x_BCL.mean(2, keepdim=True)
        centred_BCL = x_BCL - mean_BC1
        variance_BC1 = centred_BCL.square().mean(2, keepdim=True)  # torch.var_mean is slower on so short rows
        deviation_BC1 = (variance_BC1 + EPSILON).sqrt()
        level = Level(mean_BC1 if self.centred else torch.zeros_like(mean_BC1), deviation_BC1)
        scaled_BCL = (centred_BCL if self.centred else x_BCL) / deviation_BC1
        return torch.addcmul(self.shift_C[:, None], scaled_BCL, self.scale_C[:, None]), level

    def restore(self, y_BCH: Tensor, level: Level) -> Tensor:
        """The inverse, for a forecast of any length. The published code keeps the scale from 0 by 1e-10, as here."""
        plain_BCH = (y_BCH - self.shift_C[:, None]) / (self.scale_C[:, None] + EPSILON**2)
        return plain_BCH * level.deviation_BC1 + level.offset_BC1
