"""Cells in two dimensions of an embedding: by label, and predicted over true populations."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from pipeline.plots.labels import place_labels
from pipeline.plots.scatter import Floats, bare, dense, listed, point_area
from pipeline.plots.theme import Picture, Theme, legend_above, picture, shortened

Limits = tuple[tuple[float, float], tuple[float, float]]  # of x and of y


def draw_embedding(title: str, x: Floats, y: Floats, labels: Sequence[str], axis: str, named_in_place: bool) -> Picture:
    """Scatter of cells (`x`, `y`: one entry per cell) coloured by label.

    `named_in_place` writes each label where its cells are densest, otherwise there is a legend, which suits overlapping
    groups. Colours repeat from the ninth label on.
    """
    names = sorted(set(labels))  # by name, so that a label has the same colour in every figure
    label_array = np.asarray(labels, dtype=object)
    members = [label_array == name for name in names]
    centres = [_densest(x[chosen], y[chosen]) for chosen in members]

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        colours = {name: theme.categories[rank % len(theme.categories)] for rank, name in enumerate(names)}
        # One scatter of all cells in file order: drawn label by label, the last would hide the others.
        dense(axes, x, y, point_area(len(x)), [colours[name] for name in labels], 0.7)
        bare(axes, axis)
        axes.margins(0.04)
        if named_in_place:
            place_labels(axes, theme, centres, [shortened(name) for name in names], centred=True, weight="bold")
        else:
            shown = names[: len(theme.categories)]
            for name in shown:
                axes.scatter([], [], s=36, color=colours[name], label=shortened(name, 14))
            if len(names) > len(shown):
                axes.scatter([], [], s=0, label=f"… {len(names) - len(shown)} more")
            legend_above(axes)

    alt = f"{title}: {len(x):,} cells on two principal components, in {len(names)} groups: {listed(names)}."
    return picture(draw, alt, height=340)


def draw_population(
    title: str, cells: Mapping[str, tuple[Floats, Floats]], method: str, by_model: bool, limits: Limits
) -> Picture:
    """Control, true and predicted cells of one held-out group, in that order in `cells`, as x and y of each.

    `method` names the source of the predicted cells. Lines lead from the mean control cell to the mean true and the
    mean predicted cell: the closer their ends, the better. `limits` are shared by the methods compared.
    """
    control, true, predicted = cells.values()

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.set(xlim=limits[0], ylim=limits[1])
        ours = theme.model if by_model else theme.ink
        size = point_area(sum(len(x) for x, _ in cells.values()))
        drawn = (
            ("control", control, theme.baseline, 0.3),
            ("true", true, theme.truth, 0.5),
            (method, predicted, ours, 0.5 if by_model else 0.4),
        )
        for name, (x, y), colour, alpha in drawn:
            dense(axes, x, y, size, colour, alpha)
            axes.scatter([], [], s=40, color=colour, label=f"{shortened(name, 16)} ({len(x):,})")
        start = _mean(control)
        # The line of the truth is wider, so that it stays visible below that of the prediction.
        for colour, width, end in (
            (theme.surface, 9, true),
            (theme.truth, 6.5, true),
            (theme.surface, 3.5, predicted),
            (ours, 2, predicted),
        ):
            axes.plot(*zip(start, _mean(end), strict=True), color=colour, linewidth=width)
        for _, population, colour, _ in drawn:
            axes.plot(*_mean(population), "o", color=colour, markersize=10, markeredgecolor=theme.surface)
        legend_above(axes)
        bare(axes, "principal component")

    counts = ", ".join(f"{len(x):,} {origin}" for origin, (x, _) in cells.items())
    return picture(draw, f"{title}: {counts} cells on two principal components; predicted by {method}.", height=330)


def _mean(cells: tuple[Floats, Floats]) -> tuple[float, float]:
    return float(np.mean(cells[0])), float(np.mean(cells[1]))


def _densest(x: Floats, y: Floats) -> tuple[float, float]:
    """Median of the cells in the densest of 8 x 8 bins: inside a cluster, whereas an overall median may lie between
    two."""
    cells, x_edges, y_edges = np.histogram2d(x, y, bins=8)
    column, row = np.unravel_index(int(cells.argmax()), cells.shape)
    # searchsorted bins like histogram2d: half-open bins, the last one closed.
    columns = np.clip(np.searchsorted(x_edges, x, side="right") - 1, 0, 7)
    rows = np.clip(np.searchsorted(y_edges, y, side="right") - 1, 0, 7)
    chosen = (columns == column) & (rows == row)
    return float(np.median(x[chosen])), float(np.median(y[chosen]))
