"""Learning curves: loss by epoch."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.plots.theme import Picture, Theme, legend_above, picture, shortened


def draw_learning_curve(
    title: str, epochs: Sequence[int], train: Sequence[float], validation: Sequence[float]
) -> Picture:
    """Training and validation loss by epoch, with the epoch of the lowest validation loss marked.

    The three sequences have one entry per epoch. An outlying first epoch would flatten the rest, so the vertical axis
    ends at the 95th percentile of the losses, and says so.
    """
    best = int(np.argmin(validation))
    both = np.concatenate([np.asarray(train, float), np.asarray(validation, float)])
    lowest, usual, highest = float(both.min()), float(np.quantile(both, 0.95)), float(both.max())
    cut = len(epochs) > 10 and highest - lowest > 2 * (usual - lowest) > 0

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.grid(axis="y")
        axes.axvline(epochs[best], color=theme.rule, linewidth=1)
        axes.plot(epochs, train, color=theme.truth, label="training")
        axes.plot(
            epochs,
            validation,
            color=theme.model,
            label=f"validation, best {validation[best]:.4g} in epoch {epochs[best]}",
        )
        axes.plot(epochs[best], validation[best], "o", color=theme.model, markeredgecolor=theme.surface, markersize=8)
        if cut:
            axes.set_ylim(lowest - 0.06 * (usual - lowest), usual + 0.1 * (usual - lowest))
        axes.set_xlabel("epoch" + (f" (above the frame: up to {highest:.4g})" if cut else ""))
        axes.set_ylabel("loss")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        legend_above(axes)

    alt = (
        f"{title}: training loss from {train[0]:.4g} to {train[-1]:.4g} and validation loss from "
        f"{validation[0]:.4g} to {validation[-1]:.4g} over {len(epochs)} epochs; lowest validation loss "
        f"{validation[best]:.4g} in epoch {epochs[best]}."
    )
    return picture(draw, alt)
