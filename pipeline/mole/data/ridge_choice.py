"""What was chosen for the tuned ridge of a horizon, in which networks start."""

from typing import Literal

from pipeline.params.section import NotNegative, Section, Window

# The tuned linear baselines, beside the points in the models of a study and in the results: one map of all channels,
# and a map of each channel's own.
RIDGE, CHANNEL_RIDGE = "ridge", "channel_ridge"
RIDGES = (RIDGE, CHANNEL_RIDGE)

Offset = Literal["none", "last", "mean"]  # what is subtracted from a window: nothing, its last value, its mean


class RidgeChoice(Section):
    """The penalty is over the mean eigenvalue of the windows' second moments."""

    lookback: Window
    offset: Offset
    penalty: NotNegative
