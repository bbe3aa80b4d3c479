"""One horizon of a series as its judges see it: the windows of its rows, and the forecasters of it."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pipeline.core.errors import ExpectedError
from pipeline.mole.data.resident_windows import ResidentWindows
from pipeline.mole.data.scaler import Scaler
from pipeline.mole.data.series import Series
from pipeline.mole.data.windows import windows_of
from pipeline.mole.metrics.forecasting import Units, seasonal_error
from pipeline.mole.model.mixture_scores import Network
from pipeline.mole.model.ridge import least_squares
from pipeline.mole.points import ForecastPoint

BATCH_SIZE = 256  # windows forecast together; no score depends on it


@dataclass(frozen=True)
class Horizon:
    """One horizon of so many rows of a series; windows of any lookback lie before the same rows to forecast."""

    rows: int
    series: Series
    scaler: Scaler
    device: torch.device
    lookback: int  # of least squares
    season: int  # rows after which the seasonal-naive forecast repeats itself

    def windows(self, split: str, lookback: int | None = None) -> ResidentWindows:
        """Every window of a split, in the order of time; lookback: by default that of least squares."""
        found = windows_of(self.series, self.scaler, split, lookback or self.lookback, self.rows)
        return ResidentWindows(found, BATCH_SIZE, self.device)

    def later(self, lookback: int) -> ResidentWindows:
        """Every window of the validation and test rows, of which the last are the test windows."""
        splits = self.series.splits
        joined = replace(self.series, splits={"validation and test": (splits["validation"][0], splits["test"][1])})
        found = windows_of(joined, self.scaler, "validation and test", lookback, self.rows)
        return ResidentWindows(found, BATCH_SIZE, self.device)

    @property
    def plain(self) -> "Horizon":
        """The same without known columns, in the same scale."""
        series, scaler = replace(self.series, known=(), known_TCK=None), replace(self.scaler, effects=None)
        return replace(self, series=series, scaler=scaler)

    @cached_property
    def units(self) -> Units:
        """Of the series, with what a seasonal-naive forecast errs on its train rows."""
        first, after = self.series.splits["train"]
        naive_C = seasonal_error(torch.from_numpy(self.series.value_TC[first:after].T), self.season)
        return Units(torch.from_numpy(self.scaler.mean_C), torch.from_numpy(self.scaler.deviation_C), naive_C)

    @cached_property
    def least_squares_HL(self) -> Tensor:
        """The map of least squares on the train windows."""
        train = windows_of(self.series, self.scaler, "train", self.lookback, self.rows)
        return least_squares(train).float().to(self.device)


def loaded(point: ForecastPoint, horizon: Horizon, seed: int) -> Network:
    """A network of the point. ExpectedError where it is of other channels, missing or damaged."""
    model, config = point.load(horizon.rows, seed, horizon.device)
    if tuple(config["channels"]) != horizon.series.channels:
        raise ExpectedError(f"{point.folder} is of other channels: `dvc repro {point.stage}` trains anew")
    return model
