"""Reliability diagrams: accuracy by confidence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from pipeline.plots.scatter import Floats
from pipeline.plots.theme import Picture, Theme, legend_above, picture, shortened

_JOINED = 0.01  # share of the predictions that a bin needs for the line to pass through it


@dataclass(frozen=True)
class Reliability:
    """One classifier in M bins of confidence, each array of length M; NaN in empty bins."""

    label: str
    strong: bool  # stands out
    count: Floats
    confidence: Floats
    accuracy: Floats
    text: str  # its calibration error, as it is to be read


def draw_reliability(title: str, classifiers: Sequence[Reliability]) -> Picture:
    """Accuracy against confidence: on the diagonal where perfectly calibrated. The area of a dot is its bin's size, and
    the line leaves out bins with next to no predictions, whose accuracy is noise."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.set(xlim=(0, 1.03), ylim=(0, 1.06))
        axes.grid()
        axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        for rank, one in enumerate(classifiers):
            colour = theme.model if one.strong else theme.baseline
            used, filled = one.count > 0, one.count >= _JOINED * one.count.sum()
            area = 18 + 420 * one.count[used] / one.count.sum()
            x, y = one.confidence[used], one.accuracy[used]
            axes.plot(
                one.confidence[filled], one.accuracy[filled], color=colour, linewidth=1.6, alpha=0.8, zorder=2 + rank
            )
            axes.scatter(
                x, y, s=area, color=colour, alpha=0.85, edgecolors=theme.surface, linewidths=1, zorder=3 + rank
            )
            axes.scatter([], [], s=60, color=colour, label=f"{shortened(one.label, 20)}, {one.text}")
        axes.text(0.04, 0.92, "underconfident", color=theme.muted, fontsize=11, va="top")
        axes.text(1.0, 0.03, "overconfident", color=theme.muted, fontsize=11, ha="right")
        axes.set_xlabel("confidence (probability of the predicted class)")
        axes.set_ylabel("accuracy")
        legend_above(axes, 1)

    said = "; ".join(f"{one.label}, {one.text}: {_fullest(one)}" for one in classifiers)
    return picture(draw, f"{title}: accuracy by confidence. {said}.", height=380)


def _fullest(one: Reliability) -> str:
    """What the fullest bin says, in words."""
    place = int(np.argmax(one.count))
    share = one.count[place] / max(one.count.sum(), 1)
    return (
        f"{share:.0%} of the predictions have a confidence near {one.confidence[place]:.2f}, and "
        f"{one.accuracy[place]:.0%} of those are right"
    )
