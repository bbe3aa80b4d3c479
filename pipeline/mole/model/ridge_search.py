"""The ridge map whose lookback, offset and penalty validate best, at the validation rows and at earlier origins.

C: channels, L: rows of the lookback, H: rows of the horizon.
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf, isfinite
from statistics import fmean, geometric_mean
from sys import float_info
from typing import NamedTuple

from torch import Tensor

from pipeline.mole.data.ridge_choice import Offset
from pipeline.mole.data.windows import Windows
from pipeline.mole.model.ridge import RidgePath, moments_of

PENALTIES = (0.0, *(10 ** (power / 4) for power in range(-16, 9)))  # over the mean eigenvalue: 1e-4 to 1e2

# Of a lookback, the train and validation windows at every origin, the last of which is that of the validation rows.
WindowsOf = Callable[[int], Sequence[tuple[Windows, Windows]]]


class Ridge(NamedTuple):
    """A ridge map, of all channels or of one, and what it was chosen by."""

    lookback: int
    offset: Offset
    penalty: float  # over the mean eigenvalue of the windows' second moments
    losses: tuple[float, ...]  # mean squared validation errors, one for each origin

    @property
    def loss(self) -> float:
        return over_origins(self.losses)


def over_origins(losses: Sequence[float]) -> float:
    """One loss of those at several origins, which count alike whatever their level: the geometric mean."""
    if not all(map(isfinite, losses)):
        return inf
    return geometric_mean(max(loss, float_info.min) for loss in losses)


def search_ridge(
    windows_of: WindowsOf,
    lookbacks: Iterable[int],
    offsets: Sequence[Offset],
    penalties: Sequence[float] = PENALTIES,
) -> list[Ridge]:
    """For each lookback and offset, the penalty of the lowest loss.

    Each map is fitted to the train windows of an origin and judged on its validation windows. One eigendecomposition
    for each origin serves all penalties, and no window is materialised.
    """
    found = []
    for lookback in lookbacks:
        moments = [(moments_of(train), moments_of(validation)) for train, validation in windows_of(lookback)]
        for offset in offsets:
            errors = [RidgePath(train, offset).errors(validation, penalties) for train, validation in moments]
            of_penalty = [
                Ridge(lookback, offset, penalty, losses)
                for penalty, losses in zip(penalties, zip(*errors, strict=True), strict=True)
            ]
            found.append(min(of_penalty, key=lambda one: one.loss))
    return found


def search_each(
    windows_of: WindowsOf, lookbacks: Sequence[int], offsets: Sequence[Offset], channels: int
) -> list[Ridge]:
    """For each channel, the map of its own of the lowest loss, fitted to and judged on this channel alone."""
    known = {lookback: windows_of(lookback) for lookback in lookbacks}
    found = []
    for channel in range(channels):
        of_channel = {
            lookback: [(train.of(channel), validation.of(channel)) for train, validation in origins]
            for lookback, origins in known.items()
        }
        found.append(min(search_ridge(of_channel.__getitem__, lookbacks, offsets), key=lambda one: one.loss))
    return found


def joint_losses(own: Sequence[Ridge]) -> tuple[float, ...]:
    """Of maps of single channels together, the mean squared error over channels at each origin."""
    return tuple(fmean(losses) for losses in zip(*(one.losses for one in own), strict=True))


def fitted(ridge: Ridge, train: Windows) -> Tensor:
    """(H, L): its map, fitted to these windows."""
    return RidgePath(moments_of(train), ridge.offset).weights(ridge.penalty)
