"""Forest plot: a score with its interval for each method in each held-out group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.plots.theme import PANEL_WIDTH, Picture, Theme, halo, picture, shortened

_ROW = 19  # CSS pixels
_BETWEEN = 1.7  # height of a group's name, in rows


@dataclass(frozen=True)
class ForestRow:
    """One method in one group; `low` to `high` is its interval. None: undefined."""

    label: str
    role: str  # model, baseline or ceiling
    value: float | None
    low: float | None
    high: float | None
    text: str  # the formatted value


def draw_forest(title: str, axis: str, groups: Mapping[str, Sequence[ForestRow]]) -> Picture:
    """Dots and intervals of one metric: a block of rows per group, under its name, in the order given."""
    places: list[tuple[float, ForestRow]] = []
    names: list[tuple[float, str]] = []
    height = 0.0
    for name, rows in groups.items():
        names.append((height, name))
        places += [(height + _BETWEEN / 2 + 0.35 + rank, row) for rank, row in enumerate(rows)]
        height += _BETWEEN + len(rows)

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        across = axes.get_yaxis_transform()
        axes.grid(axis="x")
        for place, row in places:
            _draw_row(axes, theme, row, place)
            weight = "bold" if row.role == "model" else "normal"
            value = axes.text(1.02, place, row.text, transform=across, va="center", fontsize=11, fontweight=weight)
            value.set_color(_ink(theme, row.role))
        for place, name in names:
            halo(axes.text(0, place, shortened(name, 40), transform=across, va="center", fontweight="bold"))
        axes.set_yticks([place for place, _ in places], [shortened(row.label) for _, row in places])
        for tick, (_, row) in zip(axes.get_yticklabels(), places, strict=True):
            tick.set_color(_ink(theme, row.role))
            tick.set_fontweight("bold" if row.role == "model" else "normal")
            tick.set_fontsize(11)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(height - 0.5, -0.8)
        axes.margins(x=0.04)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel(axis)

    said = "; ".join(
        f"{name}: " + ", ".join(f"{row.label} {row.text}" for row in rows) for name, rows in groups.items()
    )
    return picture(draw, f"{title}, {axis}, with 95 % intervals. {said}.", PANEL_WIDTH, round(90 + _ROW * height))


def _draw_row(axes: Axes, theme: Theme, row: ForestRow, place: float) -> None:
    if row.value is None:
        return
    colour = {"model": theme.model, "baseline": theme.baseline, "ceiling": theme.truth}[row.role]
    model = row.role == "model"
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=3 if model else 1.8, alpha=0.75)
    axes.plot(row.value, place, "o", color=colour, markersize=9 if model else 6.5, markeredgecolor=theme.surface)


def _ink(theme: Theme, role: str) -> str:
    return {"model": theme.model, "ceiling": theme.truth}.get(role, theme.ink)
