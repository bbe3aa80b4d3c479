"""A scatter plot of two quantities that should be equal, with the line of equality and running quartiles."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.plots.scatter import Floats, dense, point_area
from pipeline.plots.theme import Picture, Theme, halo, picture, shortened

_BINS = 12
_FEWEST = 120  # points for which a line through medians says more than the points do


def running_quartiles(x: Floats, y: Floats, bins: int = _BINS) -> tuple[Floats, Floats]:
    """In `bins` parts of equal count, in growing x: the median of x, (B,), and the quartiles of y, (3, B)."""
    parts = [part for part in np.array_split(np.argsort(x, kind="stable"), bins) if len(part)]
    middle = np.array([np.median(x[part]) for part in parts])
    return middle, np.array([np.quantile(y[part], [0.25, 0.5, 0.75]) for part in parts]).T


def draw_against(
    title: str,
    axes_names: tuple[str, str],
    x: Floats,
    y: Floats,
    note: str,
    trend: bool = True,
    equal: bool = True,
) -> Picture:
    """Dots (`x`, `y`) with the line of equality; `note` stands in the corner.

    trend: of many dots, a line through the medians of y in twelve parts of x, and the band of its quartiles. equal:
    both axes cover the same values. The outermost thousandth of the values on either side may lie outside.
    """
    both = np.concatenate([x, y])
    limits = [_limits(both if equal else values) for values in (x, y)]
    followed = trend and len(x) >= _FEWEST

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 40))
        axes.set(xlim=limits[0], ylim=limits[1], xlabel=axes_names[0], ylabel=axes_names[1])
        axes.axline(
            (limits[0][0], limits[0][0]), slope=1, color=theme.muted, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1
        )
        dense(axes, x, y, 1.6 * point_area(len(x)), theme.baseline if followed else theme.model, 0.4)
        if followed:
            middle, quartiles = running_quartiles(x, y)
            axes.fill_between(middle, quartiles[0], quartiles[2], color=theme.model, alpha=0.25, linewidth=0, zorder=3)
            axes.plot(middle, quartiles[1], color=theme.surface, linewidth=4, zorder=4)
            axes.plot(middle, quartiles[1], color=theme.model, zorder=4)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4))
        halo(axes.text(0.03, 0.97, note, transform=axes.transAxes, va="top", fontweight="bold", fontsize=11.5))

    said = f"; {' '.join(note.split())}" if note else ""
    alt = f"{title}: {axes_names[1]} against {axes_names[0]} of {len(x):,} points{said}."
    return picture(draw, alt, height=360)


def _limits(values: Floats) -> tuple[float, float]:
    low, high = (float(value) for value in np.quantile(values, [0.001, 0.999]))
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin
