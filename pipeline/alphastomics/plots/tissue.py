"""Maps of a tissue: measured and predicted positions by cell type, and the expression of a gene.

The aspect ratio is kept: one unit is as long on both axes. Pictures that belong together share one `Frame`, so that
positions can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.plots.ranking import SMALL_WIDTH
from pipeline.plots.scatter import Floats, dense, listed
from pipeline.plots.theme import PANEL_WIDTH, Picture, Theme, halo, legend_above, picture, scale_of, shortened

MOST_COLOURS = 12
OTHER = "other"

_MARGIN = 0.03  # of the longer side, around the cells
_HIGHEST = 460  # CSS pixels of the tissue itself


@dataclass(frozen=True)
class Frame:
    """The part of the plane that is shown."""

    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def around(cls, true_NS: Floats, predicted_NS: Floats) -> Self:
        """All measured cells and all predicted ones but, on each side, the outermost half per cent.

        A few cells that a model throws far away would shrink the tissue to a dot.
        """
        low = np.minimum(true_NS[:, :2].min(axis=0), np.quantile(predicted_NS[:, :2], 0.005, 0, method="higher"))
        high = np.maximum(true_NS[:, :2].max(axis=0), np.quantile(predicted_NS[:, :2], 0.995, 0, method="lower"))
        margin = _MARGIN * float((high - low).max()) or 1.0
        return cls(float(low[0]) - margin, float(high[0]) + margin, float(low[1]) - margin, float(high[1]) + margin)

    def outside(self, place_NS: Floats) -> int:
        """How many cells are not shown."""
        x, y = place_NS[:, 0], place_NS[:, 1]
        return int(((x < self.left) | (x > self.right) | (y < self.bottom) | (y > self.top)).sum())

    def height(self, width: float) -> float:
        """CSS pixels that the tissue takes on a panel of this width."""
        return float(np.clip(width * (self.top - self.bottom) / (self.right - self.left), 0.3 * width, _HIGHEST))


def colour_names(labels: Sequence[str]) -> list[str]:
    """The labels that get a colour of their own, by name: all, or the commonest eleven, and `OTHER` for the rest."""
    names, counts = np.unique(np.asarray(labels, dtype=object).astype(str), return_counts=True)
    if len(names) <= MOST_COLOURS:
        return [str(name) for name in names]
    common = names[np.lexsort((names, -counts))[: MOST_COLOURS - 1]]
    return [*sorted(str(name) for name in common), OTHER]


def draw_tissue(
    title: str, place_NS: Floats, labels: Sequence[str], names: Sequence[str], frame: Frame, unit: str = ""
) -> Picture:
    """Cells coloured by label, with a scale bar. `names` (see `colour_names`), and so colours, are the same for all
    pictures of a tissue. unit: of the positions, where it is known."""
    colour_of = [name if name in set(names) else OTHER for name in labels]
    entries = len(names) + (OTHER not in names and OTHER in colour_of)
    columns = _columns([*names, *([OTHER] if entries > len(names) else [])])
    frame = replace(frame, bottom=frame.bottom - 0.06 * (frame.top - frame.bottom))
    outside = frame.outside(place_NS)

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        colours = dict(zip(names, theme.categories + theme.further, strict=False)) | {OTHER: theme.baseline}
        _cells(axes, place_NS, [colours[name] for name in colour_of], frame, PANEL_WIDTH)
        for name in [*names, *([OTHER] if entries > len(names) else [])]:
            axes.scatter([], [], s=36, color=colours[name], label=shortened(name, 16))
        legend_above(axes, columns)
        _scale_bar(axes, theme, frame, unit)
        if outside:
            words = f"{outside} cell{'s' * (outside > 1)} outside"
            halo(axes.text(0.99, 0.01, words, transform=axes.transAxes, ha="right", color=theme.muted, fontsize=11))

    present = [name for name in names if name in colour_of]
    alt = (
        f"{title}: {len(place_NS):,} cells at their positions in the tissue, coloured by cell type, of which there are "
        f"{len(set(labels))}: {listed(present)}." + (f" {outside} lie outside the frame." if outside else "")
    )
    rows = -(-entries // columns)
    return picture(draw, alt, height=round(48 + 19 * rows + frame.height(PANEL_WIDTH - 16)))


def draw_expression(
    title: str, note: str, place_NS: Floats, true_N: Floats, predicted_N: Floats, frame: Frame
) -> Picture:
    """One gene: measured above, predicted below, at the measured places, on one scale.

    The scale goes from the 1st to the 99th percentile of the measured values; it is of standardised log expression.
    `note` stands beside "predicted".
    """
    low, high = (float(value) for value in np.quantile(true_N, [0.01, 0.99]))
    if not high > low:
        low, high = float(true_N.min()) - 0.5, float(true_N.max()) + 0.5

    def draw(axes: Axes, theme: Theme) -> None:
        figure = _figure(axes)
        axes.remove()
        colours = scale_of(theme, "amount")
        both = figure.subplots(2, 1)
        for panel, value_N, words in zip(both, (true_N, predicted_N), ("measured", f"predicted, {note}"), strict=True):
            # The strongest last: they are few, and would be hidden.
            order = np.argsort(value_N, kind="stable")
            shade = colours((np.clip(value_N[order], low, high) - low) / (high - low))
            _cells(panel, place_NS[order], shade, frame, SMALL_WIDTH, alpha=1.0)
            panel.set_title(words, fontweight="normal", fontsize=11.5, color=theme.muted, pad=4)
        figure.suptitle(shortened(title, 34), x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=theme.ink)
        scale = panel.scatter([], [], c=[], cmap=colours, vmin=low, vmax=high)
        bar = figure.colorbar(scale, ax=both, location="bottom", fraction=0.03, pad=0.02, aspect=34)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelsize=11)
        bar.set_label("standardised log expression", fontsize=11)
        bar.locator = MaxNLocator(4)
        bar.update_ticks()

    alt = (
        f"{title}: expression of {len(place_NS):,} cells at their positions, measured (from {true_N.min():.3g} to "
        f"{true_N.max():.3g}) and predicted (from {predicted_N.min():.3g} to {predicted_N.max():.3g}), {note}."
    )
    return picture(draw, alt, SMALL_WIDTH, round(140 + 2 * frame.height(SMALL_WIDTH - 12)))


def _columns(names: Sequence[str]) -> int:
    """How many columns of a legend fit; each is as wide as its longest name."""
    for columns in range(6, 2, -1):
        parts = np.array_split(np.array([len(shortened(name, 16)) for name in names]), columns)
        if sum(34 + 6.6 * int(part.max()) for part in parts if len(part)) <= PANEL_WIDTH:
            return columns
    return 2


def _cells(
    axes: Axes, place_NS: Floats, colours: list[str] | Floats, frame: Frame, width: float, alpha: float = 0.9
) -> None:
    """All cells in one scatter, in the order given, as large as fits beside each other."""
    area = float(np.clip(0.4 * width * frame.height(width) / len(place_NS), 1.2, 42))
    dense(axes, place_NS[:, 0], place_NS[:, 1], area, colours, alpha)
    axes.set(xlim=(frame.left, frame.right), ylim=(frame.bottom, frame.top), xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="box", anchor="NW")
    axes.spines[:].set_visible(False)


def _scale_bar(axes: Axes, theme: Theme, frame: Frame, unit: str) -> None:
    """A bar of a round length, about a fifth of the picture's width."""
    wanted = 0.2 * (frame.right - frame.left)
    power = 10.0 ** np.floor(np.log10(wanted))
    length = float(max(step for step in (power, 2 * power, 5 * power) if step <= wanted * (1 + 1e-9)))
    x, y = frame.left + 0.01 * (frame.right - frame.left), frame.bottom
    axes.plot([x, x + length], [y, y], color=theme.ink, linewidth=2.5, clip_on=False, solid_capstyle="butt")
    words = axes.annotate(
        f"{length:g} {unit}".rstrip(),
        (x + length / 2, y),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        fontsize=11,
    )
    halo(words)


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure
