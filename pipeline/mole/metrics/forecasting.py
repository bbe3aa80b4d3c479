"""Errors of forecasts in the scaled space of the protocol, added up window by window so that every one counts.

B: windows, C: channels, H: rows of the horizon. Source of the protocol: Zhou et al., "Informer" (2021). Published code
(of DLinear and others) leaves out the last minibatch where it is not full, so that a score depends on the batch size;
see Qiu et al., "TFB" (2024). Nothing is left out here.
"""

from typing import NamedTuple, Self

from torch import Tensor


class ForecastErrors(NamedTuple):
    """Sums over windows, in double precision: of squared and of absolute errors of each channel and step."""

    windows: int
    squared_CH: Tensor
    absolute_CH: Tensor

    def joined(self, other: Self) -> "ForecastErrors":
        """Of both sets of windows."""
        return ForecastErrors(
            self.windows + other.windows,
            self.squared_CH + other.squared_CH,
            self.absolute_CH + other.absolute_CH,
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


def forecast_errors(forecast_BCH: Tensor, truth_BCH: Tensor) -> ForecastErrors:
    """Of one minibatch. ValueError where the shapes differ: a broadcast would be no error of a forecast."""
    if forecast_BCH.shape != truth_BCH.shape:
        raise ValueError(f"a forecast of shape {tuple(forecast_BCH.shape)} for a truth of {tuple(truth_BCH.shape)}")
    error_BCH = (forecast_BCH - truth_BCH).double()
    return ForecastErrors(len(error_BCH), error_BCH.square().sum(0), error_BCH.abs().sum(0))
