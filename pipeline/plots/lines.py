"""Scores along an axis, such as epochs: a thick line for the mean over seeds, a thin one for each seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pipeline.plots.ranking import SMALL_WIDTH
from pipeline.plots.scatter import Floats
from pipeline.plots.theme import Picture, Theme, legend_above, picture, shortened

Role = Literal["model", "baseline", "other"]


@dataclass(frozen=True)
class Line:
    """One classifier: `seeds` has (x, y) of each, in growing x; some may end sooner than others."""

    label: str
    role: Role
    seeds: Sequence[tuple[Floats, Floats]]


def mean_line(line: Line) -> tuple[Floats, Floats]:
    """x common to all seeds, and the mean over seeds there."""
    common = sorted(set.intersection(*(set(x.tolist()) for x, _ in line.seeds)))
    values = [dict(zip(x.tolist(), y.tolist(), strict=True)) for x, y in line.seeds]
    means = [float(np.mean([of_seed[x] for of_seed in values])) for x in common]
    return np.array(common, float), np.array(means)


def draw_lines(
    title: str,
    axis: str,
    lines: Sequence[Line],
    width: int = SMALL_WIDTH,
    dots: bool = False,
    logarithmic: bool = False,
) -> Picture:
    """`axis` is the label of x, whole numbers; `dots` marks each. `logarithmic`: y is on a logarithmic axis if positive
    and spanning more than a factor of 15."""
    means = [mean_line(line) for line in lines]
    everything = np.concatenate([y for line in lines for _, y in line.seeds])
    lowest, highest = float(np.nanmin(everything)), float(np.nanmax(everything))
    steep = logarithmic and lowest > 0 and highest > 15 * lowest

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 40))
        axes.grid(axis="y")
        for line, (x, mean) in zip(lines, means, strict=True):
            colour = {"model": theme.model, "baseline": theme.baseline, "other": theme.truth}[line.role]
            for seed_x, seed_y in line.seeds if len(line.seeds) > 1 else []:
                axes.plot(seed_x, seed_y, color=colour, linewidth=0.9, alpha=0.45)
            marker = "o" if dots or len(x) == 1 else ""
            axes.plot(x, mean, color=colour, marker=marker, markersize=7, markeredgecolor=theme.surface, zorder=3)
            axes.plot([], [], color=colour, label=shortened(line.label, 18))
        if steep:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if highest < 200 * lowest else (1,)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_locator(NullLocator())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(axis)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        legend_above(axes, 2)

    said = "; ".join(
        f"{line.label} from {mean[0]:.3g} to {mean[-1]:.3g}" for line, (_, mean) in zip(lines, means, strict=True)
    )
    alt = f"{title} by {axis}, means over seeds: {said}."
    return picture(draw, alt, width, 250 if width == SMALL_WIDTH else 300)
