"""What an answer costs in time, over how many are asked for together: both axes are logarithmic."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from pipeline.plots.theme import Picture, Theme, legend_above, picture, shortened


@dataclass(frozen=True)
class Timing:
    """One program: positive values by batch size, in growing size."""

    label: str
    rank: int  # which colour
    solid: bool
    batch: Sequence[int]
    value: Sequence[float]


def draw_timings(title: str, axis: str, timings: Sequence[Timing], limit: float | None = None) -> Picture:
    """A line per program over batch size; `limit` is a dashed line."""

    def draw(axes: Axes, theme: Theme) -> None:
        colours = (theme.model, theme.truth, *theme.categories[2:])
        axes.set_title(shortened(title, 46))
        axes.grid()
        for timing in timings:
            colour = colours[timing.rank % len(colours)]
            style = "-" if timing.solid else (0, (3, 2))
            axes.plot(
                timing.batch,
                timing.value,
                color=colour,
                linestyle=style,
                linewidth=1.8,
                marker="o",
                markersize=5,
                markeredgecolor=theme.surface,
                label=shortened(timing.label, 28),
            )
        if limit is not None:
            axes.axhline(limit, color=theme.muted, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
        axes.set(xscale="log", yscale="log")
        sizes = sorted({size for timing in timings for size in timing.batch})
        axes.set_xticks(sizes[:: -(-len(sizes) // 8)], [str(size) for size in sizes[:: -(-len(sizes) // 8)]])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        for side in (axes.xaxis, axes.yaxis):
            side.set_minor_locator(NullLocator())
        axes.set_xlabel("sequences at once (batch)")
        axes.set_ylabel(axis)
        legend_above(axes, 2)

    said = "; ".join(
        f"{one.label} from {one.value[0]:.3g} at {one.batch[0]} to {one.value[-1]:.3g} at {one.batch[-1]}"
        for one in timings
    )
    return picture(draw, f"{title}, {axis}, over batch size: {said}.", height=330)
