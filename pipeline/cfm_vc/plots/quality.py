"""Quality control: distributions before and after filtering."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pipeline.plots.theme import Picture, Theme, halo, legend_above, picture, shortened


def draw_histogram(
    title: str,
    unit: str,
    edges: Sequence[float],
    before: Sequence[int],
    after: Sequence[int],
    threshold: float | None = None,
) -> Picture:
    """Histogram before (outline) and after (filled) filtering: `edges` (n+1), from 1, on a logarithmic axis; cells
    `before` and `after` (n).

    `threshold` is the smallest value kept, in the unit of the edges.
    """

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.grid(axis="y")
        axes.stairs(after, edges, fill=True, color=theme.truth, alpha=0.75, label=f"kept ({sum(after):,})")
        axes.stairs(before, edges, color=theme.ink, linewidth=1.2, label=f"before ({sum(before):,})")
        if threshold is not None and edges[0] <= threshold <= edges[-1]:
            axes.axvline(threshold, color=theme.model, linewidth=1.2)
            halo(
                axes.annotate(
                    f"kept from {threshold:,.4g}",
                    (threshold, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(5, -12),
                    textcoords="offset points",
                    color=theme.model,
                    fontsize=11.5,
                )
            )
        axes.set_xlabel(unit)
        axes.set_ylabel("cells")
        axes.set_ylim(bottom=0, top=1.1 * max(*before, *after, 1))
        axes.margins(x=0.02)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        legend_above(axes)

    alt = (
        f"Histogram of {title[:1].lower()}{title[1:]}, from {edges[0]:,.4g} to {edges[-1]:,.4g} {unit}: "
        f"{sum(before):,} cells before and {sum(after):,} after filtering."
    )
    return picture(draw, alt)
