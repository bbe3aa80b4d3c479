"""Errors of forecasts in the scaled space of the protocol and, free of any scale, in the series' own units, added up
window by window so that every one counts.

B: windows, C: channels, H: rows of the horizon, T: rows of a series. Source of the protocol: Zhou et al., "Informer"
(2021). Published code (of DLinear and others) leaves out the last minibatch where it is not full, so that a score
depends on the batch size; see Qiu et al., "TFB" (2024). Nothing is left out here.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor


class Units(NamedTuple):
    """How values (C) came from those of the file, and what a naive forecast errs there."""

    mean_C: Tensor
    deviation_C: Tensor
    seasonal_error_C: Tensor


class ForecastErrors(NamedTuple):
    """Sums over windows, in double precision, of each channel and step: of squared and of absolute errors and, in the
    units of the file, of symmetric relative ones; and each window's own means of the first two."""

    windows: int
    squared_CH: Tensor
    absolute_CH: Tensor
    symmetric_CH: Tensor
    squared_B: Tensor
    absolute_B: Tensor

    def joined(self, other: Self) -> "ForecastErrors":
        """Of both sets of windows, these first."""
        return ForecastErrors(
            self.windows + other.windows,
            self.squared_CH + other.squared_CH,
            self.absolute_CH + other.absolute_CH,
            self.symmetric_CH + other.symmetric_CH,
            torch.cat([self.squared_B, other.squared_B]),
            torch.cat([self.absolute_B, other.absolute_B]),
        )

    @property
    def mse(self) -> float:
        """Over windows, channels and steps."""
        return float(self.squared_CH.mean() / self.windows)

    @property
    def mae(self) -> float:
        """Over windows, channels and steps."""
        return float(self.absolute_CH.mean() / self.windows)

    @property
    def smape(self) -> float:
        """Symmetric mean absolute percentage error, over windows, channels and steps: 0 to 200."""
        return float(100 * self.symmetric_CH.mean() / self.windows)

    def mase(self, units: Units) -> float | None:
        """Mean absolute scaled error: of each channel, over that of the seasonal-naive forecast one season ahead on the
        training rows, and the mean over channels; None where that is 0 for one.

        Source: Hyndman and Koehler, "Another look at measures of forecast accuracy" (2006).
        """
        if not (units.seasonal_error_C > 0).all():
            return None
        absolute_C = self.absolute_CH.mean(1) / self.windows * units.deviation_C
        return float((absolute_C / units.seasonal_error_C).mean())

    @property
    def mse_C(self) -> list[float]:
        """Of each channel."""
        return (self.squared_CH.mean(1) / self.windows).tolist()

    @property
    def mae_C(self) -> list[float]:
        """Of each channel."""
        return (self.absolute_CH.mean(1) / self.windows).tolist()

    @property
    def mse_H(self) -> list[float]:
        """Of each step of the horizon."""
        return (self.squared_CH.mean(0) / self.windows).tolist()


def forecast_errors(forecast_BCH: Tensor, truth_BCH: Tensor, units: Units) -> ForecastErrors:
    """Of one minibatch. ValueError where the shapes differ: a broadcast would be no error of a forecast.

    The symmetric relative error is 2 |y - f| / (|y| + |f|) in the units of the file, and 0 where both are 0. Source:
    Makridakis, Spiliotis and Assimakopoulos, "The M4 competition" (2020). Near 0 it says little.
    """
    if forecast_BCH.shape != truth_BCH.shape:
        raise ValueError(f"a forecast of shape {tuple(forecast_BCH.shape)} for a truth of {tuple(truth_BCH.shape)}")
    error_BCH = (forecast_BCH - truth_BCH).double()
    deviation_C1, mean_C1 = (value_C.to(error_BCH)[:, None] for value_C in (units.deviation_C, units.mean_C))
    sizes = (torch.addcmul(mean_C1, value.double(), deviation_C1).abs() for value in (forecast_BCH, truth_BCH))
    absolute_BCH, size_BCH = error_BCH.abs(), sum(sizes, torch.zeros_like(error_BCH))
    symmetric_BCH = (2 * absolute_BCH * deviation_C1 / size_BCH).where(size_BCH > 0, 0)
    square_BCH = error_BCH.square()
    return ForecastErrors(
        len(error_BCH),
        square_BCH.sum(0),
        absolute_BCH.sum(0),
        symmetric_BCH.sum(0),
        square_BCH.mean((1, 2)),
        absolute_BCH.mean((1, 2)),
    )


def seasonal_error(value_CT: Tensor, season: int) -> Tensor:
    """(C,): mean size of the change from one season to the next. ValueError where there is none."""
    if value_CT.shape[1] <= season:
        raise ValueError(f"{value_CT.shape[1]} rows hold no change over a season of {season}")
    return (value_CT[:, season:] - value_CT[:, :-season]).abs().mean(1)
