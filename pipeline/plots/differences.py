"""Forest plot of differences to a twin, with intervals, around a zero line."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.plots.ranking import SMALL_WIDTH
from pipeline.plots.theme import Picture, Theme, halo, picture, shortened

_ROW = 54  # CSS pixels
_MINUS = "\N{MINUS SIGN}"
_MARK = 0.24  # rows between the intervals of one row


@dataclass(frozen=True)
class Interval:
    """A difference with its interval; `full` marks are filled, others hollow."""

    value: float
    low: float
    high: float
    full: bool


@dataclass(frozen=True)
class DifferenceRow:
    """One point of a sweep: its intervals one below the other, with name and number above them."""

    label: str
    strong: bool  # stands out
    intervals: Sequence[Interval]
    text: str  # the first difference, formatted


def draw_differences(
    title: str, lower_is_better: bool, rows: Sequence[DifferenceRow], what: str = "sparse \N{MINUS SIGN} dense"
) -> Picture:
    """Rows in the order given; the better side of zero is tinted and labelled. `what` describes the difference."""
    values = [bound for row in rows for interval in row.intervals for bound in (interval.low, interval.high)]
    low, high = min([0.0, *values]), max([0.0, *values])
    margin = 0.08 * (high - low) or 0.5
    left, right = low - margin, high + margin

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 40))
        axes.set(xlim=(left, right), ylim=(len(rows) - 0.32, -0.75))
        axes.axvspan(*((left, 0) if lower_is_better else (0, right)), color=theme.truth, alpha=0.07, linewidth=0)
        axes.axvline(0, color=theme.ink, linewidth=1)
        across = axes.get_yaxis_transform()
        for place, row in enumerate(rows):
            colour, ink = (theme.model, theme.model) if row.strong else (theme.baseline, theme.ink)
            for step, interval in enumerate(row.intervals):
                height = place + step * _MARK
                axes.plot([interval.low, interval.high], [height] * 2, color=colour, linewidth=2.2, alpha=0.8)
                axes.plot(
                    interval.value,
                    height,
                    "o",
                    color=colour if interval.full else theme.surface,
                    markeredgecolor=theme.surface if interval.full else colour,
                    markersize=9 if interval.full else 7,
                    markeredgewidth=1 if interval.full else 1.8,
                    zorder=3,
                )
            for x, words, side in ((0.0, shortened(row.label, 26), "left"), (1.0, row.text, "right")):
                weight = "bold" if row.strong else "normal"
                text = axes.text(x, place - 0.2, words, transform=across, ha=side, va="bottom", fontweight=weight)
                halo(text).set(fontsize=11.5, color=ink)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel(f"{what}; {'below' if lower_is_better else 'above'} 0 is better")

    said = "; ".join(
        f"{row.label} " + ", then ".join(f"{i.value:+.3g} ({i.low:+.3g} to {i.high:+.3g})" for i in row.intervals)
        for row in rows
    )
    alt = (
        f"{title}: {what.replace(_MINUS, 'minus')} with 95 % intervals, {'below' if lower_is_better else 'above'} 0 is "
        f"better. {said}."
    )
    return picture(draw, alt, SMALL_WIDTH, round(76 + _ROW * (len(rows) + 0.43)))
