"""Coverage curves: the share of true places within regions, by the probability that regions are made for."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from pipeline.plots.scatter import Floats
from pipeline.plots.theme import Picture, Theme, legend_above, picture, shortened


def draw_coverage(title: str, curves: Mapping[str, tuple[Floats, Floats]], bold: str) -> Picture:
    """Levels and coverage, by label; on the diagonal where regions are calibrated. The `bold` curve in the model's
    colour, the others grey; a band of 5 points on either side of the diagonal."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="probability the regions are made for", ylabel="coverage")
        axes.grid()
        ends = np.array([0.0, 1.0])
        axes.fill_between(ends, ends - 0.05, ends + 0.05, color=theme.muted, alpha=0.15, linewidth=0, zorder=1)
        axes.plot(ends, ends, color=theme.muted, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        for label, (level_L, covered_L) in curves.items():
            strong = label == bold
            colour, width = (theme.model, 2.4) if strong else (theme.baseline, 1.2)
            axes.plot(level_L, covered_L, color=colour, linewidth=width, zorder=3 if strong else 2)
        for label, colour in ((bold, theme.model), ("sections", theme.baseline)):
            if label == bold or len(curves) > 1:
                axes.plot([], [], color=colour, label=shortened(label, 30))
        axes.text(0.04, 0.94, "too wide", color=theme.muted, fontsize=11, va="top")
        axes.text(0.98, 0.05, "too narrow", color=theme.muted, fontsize=11, ha="right")
        legend_above(axes, 1)

    said = "; ".join(
        f"{label}: {covered_L[-2]:.0%} within regions of {level_L[-2]:.0%}"
        for label, (level_L, covered_L) in curves.items()
    )
    return picture(draw, f"{title}. {said}.", height=360)
