"""Predicted against true change, gene by gene."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.plots.labels import place_labels
from pipeline.plots.scatter import Floats, dense, listed
from pipeline.plots.theme import Picture, Theme, halo, picture, shortened


def slope_of(true: Floats, predicted: Floats) -> float | None:
    """Least-squares slope of predicted on true change through the origin, Σ xy / Σ x²; None if nothing changed.

    Below 1 a prediction underestimates the effect, above 1 it overestimates it.
    """
    square = float(true @ true)
    return float(true @ predicted) / square if square > 0 else None


def draw_change(
    title: str,
    true: Floats,
    predicted: Floats,
    genes: Sequence[str],
    top: npt.NDArray[np.bool_],
    named: Sequence[int],
    note: str,
    limits: tuple[float, float],
    by_model: bool,
) -> Picture:
    """Predicted against true change of each gene (all of length G): genes of `top` are highlighted, those at the
    indices `named` are labelled.

    `note`, in the corner, gives the method and its score on this group. A perfect prediction lies on the grey diagonal;
    the other line is the slope over `top`. Both axes cover `limits`, so that effect sizes are comparable by eye.
    """
    slope = slope_of(true[top], predicted[top])

    def draw(axes: Axes, theme: Theme) -> None:
        colour = theme.model if by_model else theme.muted
        axes.set_title(shortened(title, 46))
        axes.set(xlim=limits, ylim=limits)
        axes.axhline(0, color=theme.rule, linewidth=0.8, zorder=0)
        axes.axline((0, 0), slope=1, color=theme.rule, linewidth=2, zorder=0)
        dense(axes, true[~top], predicted[~top], 9, theme.baseline, 0.45)
        axes.scatter(true[top], predicted[top], s=26, color=colour, alpha=0.85, linewidths=0, zorder=3)
        if slope is not None:
            ends = np.array([min(true[top].min(), 0), max(true[top].max(), 0)])
            axes.plot(ends, slope * ends, color=colour, linewidth=1.4, zorder=2)
        axes.set_xlabel("true change")
        axes.set_ylabel("predicted change")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        halo(axes.text(0.02, 0.98, note, transform=axes.transAxes, va="top", fontweight="bold", color=colour))
        points = [(float(true[gene]), float(predicted[gene])) for gene in named]
        place_labels(axes, theme, points, [shortened(genes[gene], 14) for gene in named])

    names = listed([genes[gene] for gene in named])
    return picture(
        draw,
        f"{title}: predicted against true change of {len(genes):,} genes, {int(top.sum())} of them marked; "
        f"{' '.join(note.split())}. Named: {names}.",
        height=350,
    )
