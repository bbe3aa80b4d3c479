"""What was chosen for the tuned ridge of a horizon, in which networks start; and which channels share a map."""

from collections.abc import Sequence
from typing import Literal

from pipeline.mole.data.series import Series
from pipeline.params.section import NotNegative, Section, Window

# The tuned linear baselines, beside the points in the models of a study and in the results: one map of all channels,
# one of the channels whose static values are equal, and a map of each channel's own.
RIDGE, GROUP_RIDGE, CHANNEL_RIDGE = "ridge", "group_ridge", "channel_ridge"
RIDGES = (RIDGE, GROUP_RIDGE, CHANNEL_RIDGE)

Groups = Sequence[Sequence[int]]  # of channels, which share a map

Offset = Literal["none", "last", "mean"]  # what is subtracted from a window: nothing, its last value, its mean


class RidgeChoice(Section):
    """The penalty is over the mean eigenvalue of the windows' second moments."""

    lookback: Window
    offset: Offset
    penalty: NotNegative


def groups_of(series: Series) -> dict[str, Groups]:
    """Of each of RIDGES; none where another one of them has the same."""
    channels = range(len(series.channels))
    by_value: dict[tuple[str, ...], list[int]] = {}
    for channel in channels:
        by_value.setdefault(tuple(values[channel] for values in series.static.values()), []).append(channel)
    each = [[channel] for channel in channels] if len(channels) > 1 else []
    alike = list(by_value.values()) if 1 < len(by_value) < len(channels) else []
    return {RIDGE: [channels], GROUP_RIDGE: alike, CHANNEL_RIDGE: each}
