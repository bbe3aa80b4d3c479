"""The ridge map whose lookback, offset and penalty validate best, at the validation rows and at earlier origins.

C: channels, L: rows of the lookback, H: rows of the horizon.
"""

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from torch import Tensor

from pipeline.mole.data.ridge_choice import Groups, Offset
from pipeline.mole.data.windows import Windows
from pipeline.mole.model.held_out import held_out, over_origins
from pipeline.mole.model.ridge import RidgePath, moments_of

PENALTIES = (0.0, *(10 ** (power / 4) for power in range(-16, 9)))  # over the mean eigenvalue: 1e-4 to 1e2

# Of a lookback, the train and validation windows at every origin, the last of which is that of the validation rows.
WindowsOf = Callable[[int], Sequence[tuple[Windows, Windows]]]


class Ridge(NamedTuple):
    """A ridge map, of a group of channels, and what it was chosen by."""

    lookback: int
    offset: Offset
    penalty: float  # over the mean eigenvalue of the windows' second moments
    losses: tuple[float, ...]  # mean squared validation errors, one for each origin
    held_out: tuple[float, ...] = ()  # those of the settings that the other origins choose

    @property
    def loss(self) -> float:
        return over_origins(self.losses)


def best_of(tried: Sequence[Ridge]) -> Ridge:
    """The one of the lowest loss, and what the search for it is worth (`held_out`)."""
    return min(tried, key=lambda one: one.loss)._replace(held_out=held_out([one.losses for one in tried]))


def search_ridge(
    windows_of: WindowsOf,
    lookbacks: Iterable[int],
    offsets: Sequence[Offset],
    penalties: Sequence[float] = PENALTIES,
) -> list[Ridge]:
    """For each lookback and offset, the penalty of the lowest loss."""
    found = try_ridges(windows_of, lookbacks, offsets, penalties)
    parts = [found[first : first + len(penalties)] for first in range(0, len(found), len(penalties))]
    return [min(part, key=lambda one: one.loss) for part in parts]


def try_ridges(
    windows_of: WindowsOf,
    lookbacks: Iterable[int],
    offsets: Sequence[Offset],
    penalties: Sequence[float] = PENALTIES,
) -> list[Ridge]:
    """Of each lookback, offset and penalty, penalties together.

    Each map is fitted to the train windows of an origin and judged on its validation windows. One eigendecomposition
    for each origin serves all penalties, and no window is materialised.
    """
    found = []
    for lookback in lookbacks:
        moments = [(moments_of(train), moments_of(validation)) for train, validation in windows_of(lookback)]
        for offset in offsets:
            errors = [RidgePath(train, offset).errors(validation, penalties) for train, validation in moments]
            found += [
                Ridge(lookback, offset, penalty, losses)
                for penalty, losses in zip(penalties, zip(*errors, strict=True), strict=True)
            ]
    return found


def search_each(
    windows_of: WindowsOf, lookbacks: Sequence[int], offsets: Sequence[Offset], groups: Groups
) -> list[Ridge]:
    """For each group of channels, the map of the lowest loss, fitted to and judged on these channels alone."""
    known = {lookback: windows_of(lookback) for lookback in lookbacks}
    return [
        best_of(try_ridges(lambda lookback, group=group: of_group(known[lookback], group), lookbacks, offsets))  # type: ignore[misc]
        for group in groups
    ]


def of_group(origins: Sequence[tuple[Windows, Windows]], group: Sequence[int]) -> list[tuple[Windows, Windows]]:
    """The windows of these channels alone."""
    return [(train.of(group), validation.of(group)) for train, validation in origins]


def joint_losses(own: Iterable[Sequence[float]], groups: Groups) -> tuple[float, ...]:
    """Of losses of groups of channels, the mean over channels at each origin."""
    sizes = [len(group) for group in groups]
    weights = sizes if len(set(sizes)) > 1 else None  # of one group, exactly its own losses
    return tuple(fmean(losses, weights) for losses in zip(*own, strict=True))


def fitted(ridge: Ridge, train: Windows) -> Tensor:
    """(H, L): its map, fitted to these windows."""
    return RidgePath(moments_of(train), ridge.offset).weights(ridge.penalty)
