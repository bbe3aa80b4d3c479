"""Scores against the arithmetic that they cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from pipeline.plots.labels import place_labels
from pipeline.plots.theme import Picture, Theme, legend_above, picture, shortened


@dataclass(frozen=True)
class Cost:
    """One classifier: operations per image, and mean and standard deviation of a score over seeds, or its interval."""

    label: str
    role: str  # model, baseline or other
    flops: float
    mean: float
    deviation: float | None
    interval: tuple[float, float] | None = None

    @property
    def bar(self) -> tuple[float, float] | None:
        """From where to where a line is drawn."""
        if self.interval is None and self.deviation is not None:
            return self.mean - self.deviation, self.mean + self.deviation
        return self.interval


@dataclass(frozen=True)
class Sampling:
    """One classifier that averages over sampled routes: `samples` (S) of them, at `flops` (S), with `means` (S) of the
    score over seeds. `single` is the score of the one route without noise, at `base` FLOPs, and `deviations` (S) are
    those over seeds of the difference to it.
    """

    label: str
    role: str
    samples: Sequence[int]
    flops: Sequence[float]
    means: Sequence[float]
    deviations: Sequence[float | None]
    base: float
    single: float


def draw_tradeoff(title: str, axis: str, points: Sequence[Cost]) -> Picture:
    """A dot per classifier with its deviation or interval; FLOPs on a logarithmic axis. `axis` says what is better."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.grid()
        for point in points:
            colour = _colour(theme, point.role)
            low, high = point.bar or (point.mean, point.mean)
            axes.errorbar(
                point.flops,
                point.mean,
                yerr=[[point.mean - low], [high - point.mean]],
                fmt="o",
                color=colour,
                markersize=10 if point.role == "model" else 8,
                markeredgecolor=theme.surface,
                elinewidth=1.4,
                alpha=0.9,
            )
        _arithmetic_axis(axes, [point.flops for point in points])
        axes.set_ylabel(axis)
        axes.margins(y=0.12)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
        ordered = sorted(points, key=lambda point: point.role == "other")  # the chosen and the dense are named first
        bars = [(point.flops, *point.bar) for point in points if point.bar]
        spots, names = [(p.flops, p.mean) for p in ordered], [shortened(p.label, 18) for p in ordered]
        place_labels(axes, theme, spots, names, bars=bars)

    said = "; ".join(f"{point.label}: {point.mean:.3g} at {point.flops:.3g}" for point in points)
    return picture(draw, f"{title} against active FLOPs per image. {said}.", height=320)


def draw_sampling(title: str, axis: str, samplings: Sequence[Sampling], dense: Cost) -> Picture:
    """A line per classifier over the number of sampled routes; hollow: its one route without noise; dashed: `dense`."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.grid()
        axes.axhline(dense.mean, color=theme.baseline, linewidth=1.6, linestyle=(0, (4, 3)), zorder=1)
        axes.plot([], [], color=theme.baseline, linestyle=(0, (4, 3)), linewidth=1.6, label=shortened(dense.label, 20))
        others = 0
        for one in samplings:
            colour = theme.model
            if one.role != "model":
                colour, others = theme.categories[others % len(theme.categories)], others + 1
            axes.errorbar(
                one.flops,
                one.means,
                yerr=[value or 0.0 for value in one.deviations],
                fmt="-o",
                color=colour,
                markersize=7,
                markeredgecolor=theme.surface,
                elinewidth=1,
                zorder=3,
            )
            axes.plot([], [], "-o", color=colour, label=shortened(one.label, 20))
            axes.plot(
                one.base, one.single, "o", color=theme.surface, markeredgecolor=colour, markersize=9, markeredgewidth=2,
                zorder=4,
            )  # fmt: skip
            for number, x, y, deviation in zip(one.samples, one.flops, one.means, one.deviations, strict=True):
                axes.annotate(
                    str(number),
                    (x, y + (deviation or 0.0)),
                    xytext=(0, 5),
                    textcoords="offset points",
                    ha="center",
                    color=theme.muted,
                    fontsize=11,
                )
        _arithmetic_axis(axes, [flops for one in samplings for flops in (*one.flops, one.base)])
        axes.set_ylabel(axis)
        axes.margins(y=0.15)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        legend_above(axes, 2)

    said = "; ".join(
        f"{one.label}: {one.single:.3g} without noise, "
        + ", ".join(f"{mean:.3g} with {number}" for number, mean in zip(one.samples, one.means, strict=True))
        for one in samplings
    )
    alt = f"{title} by sampled routes averaged over, against FLOPs. {said}. {dense.label}: {dense.mean:.3g}."
    return picture(draw, alt, height=330)


def _arithmetic_axis(axes: Axes, flops: Sequence[float]) -> None:
    low, high = min(flops), max(flops)
    axes.set_xscale("log")
    margin = max(high / low, 1.02) ** 0.25
    axes.set_xlim(low / margin, high * margin)
    axes.xaxis.set_major_locator(MaxNLocator(4) if high < 4 * low else LogLocator(subs=(1, 2, 5), numticks=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep="\N{NO-BREAK SPACE}"))
    axes.set_xlabel("active FLOPs per image")


def _colour(theme: Theme, role: str) -> str:
    return {"model": theme.model, "baseline": theme.ink}.get(role, theme.baseline)
