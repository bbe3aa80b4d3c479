"""When a router calls on which expert: mean weights by hour, weekday or whatever the time gives."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from pipeline.plots.heatmap import draw_heatmap
from pipeline.plots.scatter import Floats
from pipeline.plots.theme import PANEL_WIDTH, Picture, Theme, picture, shortened

_MOST_WRITTEN = 84  # fields with a number
_MOST_NAMED = 12  # columns; of more, every third is named


def draw_weights(title: str, axis: str, weight_EV: Floats, names: Sequence[str]) -> Picture:
    """Heatmap: the mean weight of each expert (row) at each value of time (column). E: experts, V: values.

    The scale goes from 0 to the largest weight, which is named below.
    """
    experts, values = weight_EV.shape
    highest = float(weight_EV.max()) or 1.0

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        draw_heatmap(axes, theme, weight_EV / highest, 0.5)
        if weight_EV.size <= _MOST_WRITTEN:
            for (expert, value), weight in np.ndenumerate(weight_EV):
                ink = theme.surface if weight > 0.55 * highest else theme.ink
                axes.text(
                    value + 0.5, expert + 0.5, f"{100 * weight:.0f}", ha="center", va="center", color=ink, fontsize=11
                )
        shown = range(0, experts, max(1, -(-experts // 16)))
        axes.set_yticks([expert + 0.5 for expert in shown], [str(expert + 1) for expert in shown])
        named = range(0, values, 1 if values <= _MOST_NAMED else 3)
        axes.set_xticks([value + 0.5 for value in named], [names[value] for value in named])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(f"{axis}; darkest: {100 * highest:.0f} %")
        axes.set_ylabel("expert")

    most = "; ".join(
        f"expert {expert + 1} from {row.min():.0%} ({names[int(row.argmin())]}) to {row.max():.0%} "
        f"({names[int(row.argmax())]})"
        for expert, row in enumerate(weight_EV[:8])
    )
    alt = f"{title}: mean weight of {experts} experts by {axis}. {most}."
    return picture(draw, alt, PANEL_WIDTH, round(96 + min(300, 34 * experts)))
