"""The scale on which forecasts are learned and scored: each channel with mean 0 and deviation 1 over the train rows.

As the field has it (Zhou et al. 2021, Informer; Zeng et al. 2023, DLinear): mean and population deviation (ddof 0) of
the train rows alone, so that no later row is known before its time. T: rows, C: channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.data.source import listed
from pipeline.mole.data.series import Series

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scaler:
    """Mean and deviation of each channel, in the units of the file."""

    mean_C: Floats
    deviation_C: Floats  # positive

    def scale(self, value_TC: Floats) -> Floats:
        """Values in the units of the file, (..., C), in deviations from the mean."""
        scaled_TC: Floats = (value_TC - self.mean_C) / self.deviation_C
        return scaled_TC

    def unscale(self, scaled_TC: npt.NDArray[np.floating]) -> Floats:
        """Deviations from the mean, (..., C), in the units of the file again."""
        value_TC: Floats = np.asarray(scaled_TC, np.float64) * self.deviation_C + self.mean_C
        return value_TC

    def described(self) -> dict[str, list[float]]:
        """What a model's config.json keeps of it; `Scaler.restored(described)` is the scaler again."""
        return {"mean": self.mean_C.tolist(), "deviation": self.deviation_C.tolist()}

    @classmethod
    def restored(cls, described: Mapping[str, Sequence[float]]) -> Self:
        """The scaler that `described` came from."""
        return cls(np.array(described["mean"], np.float64), np.array(described["deviation"], np.float64))


def fit_scaler(series: Series) -> Scaler:
    """The scaler of the train rows. ExpectedError where a channel has one value over all of them."""
    first, after = series.splits["train"]
    train_TC = series.value_TC[first:after]
    constant = np.ptp(train_TC, axis=0) == 0
    if constant.any():
        names = [repr(name) for name, is_constant in zip(series.channels, constant, strict=True) if is_constant]
        raise ExpectedError(
            f"{listed(names)} of the series is constant over the train rows ({first + 1:,} to {after:,}): there is no "
            "deviation to scale by and nothing to learn from; leave the channel out of the file, or bring a series in "
            "which it changes earlier"
        )
    return Scaler(train_TC.mean(axis=0), train_TC.std(axis=0))
