"""Ranking of methods on one metric: a small dot per held-out group, a large one for the mean."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from pipeline.plots.theme import PANEL_WIDTH, Picture, Theme, halo, picture, shortened

SMALL_WIDTH = 300  # CSS pixels: three side by side on a wide page
_ROW = 43  # CSS pixels
_GAP = 0.3  # rows between competing methods and the others
_REACH = 0.2  # half height of the ceiling's mark, in rows; labels are above it


@dataclass(frozen=True)
class RankingRow:
    """One method's scores of one metric: defined values of held-out groups, and their mean (None: undefined)."""

    label: str
    role: str  # model, variant (of the model), baseline, ceiling or control
    points: Sequence[float]
    mean: float | None
    text: str  # the formatted mean


def draw_ranking(
    title: str, axis: str, rows: Sequence[RankingRow], chance: float | None = None, width: int = PANEL_WIDTH
) -> Picture:
    """Dot plot of one metric: a row per method in the order given, ceiling and controls set apart by a gap.

    The mean and the range of a ceiling are marked in all rows below its own. `chance`, the score of a random guess, is
    a dotted line, named at the bottom, that leaves out the labels of the rows.
    """
    heights, ceiling = [0.0], None
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        apart = following is not None and (row.role == "ceiling" or following.role == "control" != row.role)
        heights.append(heights[-1] + 1 + _GAP * apart)
        ceiling = row if row.role == "ceiling" and row.points else ceiling
    bottom = heights.pop()
    values = [value for row in rows for value in (*row.points, *([] if row.mean is None else [row.mean]))]
    values += [] if chance is None else [chance]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 40))
        axes.set(xlim=(low - margin, high + margin), ylim=(bottom - 0.4 + 0.25 * (chance is not None), -0.8))
        for height, row in zip(heights, rows, strict=True):
            if ceiling is not None and row.role != "control":
                _mark(axes, theme, ceiling, height)
            _draw_row(axes, theme, row, height)
        if chance is not None:
            for height in heights:
                dots = [height - _REACH, height + _REACH + 0.1]
                axes.plot([chance] * 2, dots, color=theme.muted, linewidth=1, linestyle=(0, (2, 2)), zorder=0)
            side = "left" if chance < (low + high) / 2 else "right"
            axes.annotate(
                "chance",
                (chance, bottom - 0.4),
                xytext=(4 if side == "left" else -4, 0),
                textcoords="offset points",
                ha=side,
                va="center",
                color=theme.muted,
                fontsize=11,
            )
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel(axis)

    means = "; ".join(f"{row.label} {row.text}" for row in rows)
    alt = f"{title}, {axis}. Means over the held-out groups: {means}."
    return picture(draw, alt, width, round(78 + _ROW * (bottom + 0.4 + 0.25 * (chance is not None))))


def _draw_row(axes: Axes, theme: Theme, row: RankingRow, height: float) -> None:
    colour = {"model": theme.model, "variant": theme.model, "ceiling": theme.truth}.get(row.role, theme.baseline)
    ink = {"model": theme.model, "ceiling": theme.truth, "control": theme.muted}.get(row.role, theme.ink)
    weight = "bold" if row.role == "model" else "normal"
    axes.axhline(height, color=theme.rule, linewidth=0.8, zorder=0)
    beside = [height + 0.19] * len(row.points)  # below the line, so that the mean does not hide a group
    axes.plot(row.points, beside, "o", color=colour, alpha=0.5, markersize=4.5, markeredgewidth=0)
    if row.mean is not None:
        full = row.role != "control"
        axes.plot(
            row.mean,
            height,
            "o",
            color=colour if full else theme.surface,
            markeredgecolor=theme.surface if full else colour,
            markersize=11 if full else 8,
            markeredgewidth=1 if full else 1.5,
            zorder=3,
        )
    across = axes.get_yaxis_transform()
    for x, words, side in ((0.0, shortened(row.label, 30), "left"), (1.0, row.text, "right")):
        text = axes.text(x, height - 0.25, words, transform=across, ha=side, va="bottom", color=ink, fontweight=weight)
        halo(text).set_fontsize(11.5)


def _mark(axes: Axes, theme: Theme, ceiling: RankingRow, height: float) -> None:
    """Mark the ceiling in one row."""
    low, high = min(ceiling.points), max(ceiling.points)
    box = Rectangle(
        (low, height - _REACH), high - low, 2 * _REACH, color=theme.truth, alpha=0.15, linewidth=0, zorder=0
    )
    axes.add_patch(box)
    if ceiling.mean is not None:
        axes.vlines(ceiling.mean, height - _REACH, height + _REACH, color=theme.truth, linewidth=1.5, zorder=1)
