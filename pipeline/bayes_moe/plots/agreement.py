"""How alike trainings with other seeds divide the images between their experts."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from pipeline.plots.heatmap import draw_heatmap
from pipeline.plots.scatter import Floats
from pipeline.plots.theme import PANEL_WIDTH, Picture, Theme, picture, shortened

_MOST_WRITTEN = 10  # seeds whose numbers are written


def draw_agreement(title: str, agreement_RR: Floats, seeds: Sequence[int]) -> Picture:
    """Heatmap of the agreement of every two seeds, symmetric, 1 on the diagonal. R: seeds."""
    count = len(seeds)

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        draw_heatmap(axes, theme, np.clip(agreement_RR, 0, 1), 0.5)
        for (row, column), value in np.ndenumerate(agreement_RR) if count <= _MOST_WRITTEN else ():
            ink = theme.surface if value > 0.55 else theme.ink
            axes.text(column + 0.5, row + 0.5, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=11)
        axes.set_xticks(np.arange(count) + 0.5, [str(seed) for seed in seeds])
        axes.set_yticks(np.arange(count) + 0.5, [str(seed) for seed in seeds])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="seed", ylabel="seed")

    off = agreement_RR[~np.eye(count, dtype=bool)]
    alt = f"{title}: between {count} seeds, from {off.min():.2f} to {off.max():.2f}, mean {off.mean():.2f}."
    return picture(draw, alt, PANEL_WIDTH, 300)
