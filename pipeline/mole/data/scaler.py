"""The scale on which forecasts are learned and scored: each channel with mean 0 and deviation 1 over the train rows.

As the field has it (Zhou et al. 2021, Informer; Zeng et al. 2023, DLinear): mean and population deviation (ddof 0) of
the train rows alone, so that no later row is known before its time. What known columns add is taken out as the mean is.
T: rows, C: channels, K: known columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import ExpectedError
from pipeline.core.wording import listed
from pipeline.mole.data.calendar_place import calendar_of
from pipeline.mole.data.known_effects import KnownEffects, fit_effects
from pipeline.mole.data.series import Series

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scaler:
    """Mean and deviation of each channel, in the units of the file, and what known columns add to it."""

    mean_C: Floats
    deviation_C: Floats  # positive
    effects: KnownEffects | None = None

    def scale(self, value_TC: Floats, known_TCK: Floats | None = None) -> Floats:
        """Values in the units of the file, (..., C), in deviations from the mean and less the effects of known columns,
        where there are any."""
        scaled_TC: Floats = (value_TC - self.mean_C) / self.deviation_C
        return scaled_TC if self.effects is None else scaled_TC - self.effect(known_TCK)

    def effect(self, known_TCK: Floats | None) -> Floats:
        """(T, C), in deviations, of known columns, which have to be there."""
        assert self.effects is not None
        assert known_TCK is not None
        return self.effects.of(known_TCK)

    def unscale(self, scaled_TC: npt.NDArray[np.floating]) -> Floats:
        """Deviations from the mean, (..., C), effects included, in the units of the file again."""
        value_TC: Floats = np.asarray(scaled_TC, np.float64) * self.deviation_C + self.mean_C
        return value_TC

    def described(self) -> dict[str, Any]:
        """What a model's config.json keeps of it; `Scaler.restored(described)` is the scaler again."""
        known = {} if self.effects is None else {"known": self.effects.described()}
        return {"mean": self.mean_C.tolist(), "deviation": self.deviation_C.tolist(), **known}

    @classmethod
    def restored(cls, described: Mapping[str, Any]) -> Self:
        """The scaler that `described` came from."""
        effects = KnownEffects.restored(described["known"]) if "known" in described else None
        mean_C, deviation_C = (np.array(described[name], np.float64) for name in ("mean", "deviation"))
        return cls(mean_C, deviation_C, effects)


def fit_scaler(series: Series) -> Scaler:
    """The scaler of the train rows. Effects of known columns are those of differences over a week or a season, where
    there are two of them. ExpectedError where a channel has one value over all of them."""
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
    scaler = Scaler(train_TC.mean(axis=0), train_TC.std(axis=0))
    if series.known_TCK is None:
        return scaler
    _, season, groups = calendar_of(series.step)
    lag = next(lag for lag in (season * groups, season, 1) if 2 * lag < after - first or lag == 1)
    effects = fit_effects(series.known, scaler.scale(train_TC), series.known_TCK[first:after], lag)
    return replace(scaler, effects=effects)
