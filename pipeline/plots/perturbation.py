"""Perturbation predictions: scores, latent space, generated populations, predicted against true changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.plots.labels import place_labels
from pipeline.plots.theme import Picture, Theme, halo, legend_above, picture, shortened

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoreRow:
    """One method's scores of one metric: defined values of held-out groups, and their mean (None: undefined)."""

    label: str
    role: str  # model, baseline or ceiling
    groups: Sequence[float]
    mean: float | None
    text: str  # the mean as it is to be read


def draw_scores(title: str, axis: str, rows: Sequence[ScoreRow]) -> Picture:
    """Dot plot of one metric: a row per method in the order given, a faint dot per group, a strong one for the mean."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        colours = {"model": theme.model, "baseline": theme.baseline, "ceiling": theme.truth}
        for height, row in enumerate(rows):
            colour = colours[row.role]
            axes.axhline(height, color=theme.rule, linewidth=0.8, zorder=0)
            axes.plot(
                row.groups, [height] * len(row.groups), "o", color=colour, alpha=0.4, markersize=6, markeredgewidth=0
            )
            if row.mean is None:
                axes.text(0.02, height, row.text, transform=axes.get_yaxis_transform(), va="bottom", fontsize=11.5)
                continue
            axes.plot(row.mean, height, "o", color=colour, markersize=11, markeredgecolor=theme.surface)
            weight = "bold" if row.role == "model" else "normal"
            halo(
                axes.annotate(
                    row.text,
                    (row.mean, height),
                    xytext=(0, 9),
                    textcoords="offset points",
                    ha="center",
                    fontweight=weight,
                )
            )
        axes.set_yticks(range(len(rows)), [shortened(row.label) for row in rows])
        for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_color(theme.model if row.role == "model" else theme.ink)
            tick.set_fontweight("bold" if row.role == "model" else "normal")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(len(rows) - 0.4, -0.75)
        axes.margins(x=0.08)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(axis)

    means = "; ".join(f"{row.label} {row.text}" for row in rows)
    return picture(draw, f"{title}, {axis}. Means over the held-out groups: {means}.", height=96 + 44 * len(rows))


def draw_embedding(title: str, x: Floats, y: Floats, labels: Sequence[str], axis: str, named_in_place: bool) -> Picture:
    """Scatter of cells (`x`, `y`: one entry per cell) coloured by label.

    `named_in_place` writes each label where its cells are densest; where groups overlap, a legend reads better. A ninth
    label and further ones share the colours of the first.
    """
    names = sorted(set(labels))  # by name, so that a label has the same colour in every picture
    label_array = np.asarray(labels, dtype=object)
    members = [label_array == name for name in names]
    centres = [_densest(x[chosen], y[chosen]) for chosen in members]

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        colours = {name: theme.categories[rank % len(theme.categories)] for rank, name in enumerate(names)}
        # All cells in one scatter, in the order of the file: drawn label by label, the last would hide the others.
        _dense(axes, x, y, _point_area(len(x)), [colours[name] for name in labels], 0.7)
        _bare(axes, axis)
        if named_in_place:
            place_labels(axes, theme, centres, [shortened(name) for name in names], centred=True, weight="bold")
        else:
            shown = names[: len(theme.categories)]
            for name in shown:
                axes.scatter([], [], s=36, color=colours[name], label=shortened(name, 14))
            if len(names) > len(shown):
                axes.scatter([], [], s=0, label=f"… {len(names) - len(shown)} more")
            legend_above(axes)

    alt = f"{title}: {len(x):,} cells on two principal components, in {len(names)} groups: {_listed(names)}."
    return picture(draw, alt, height=340)


def draw_population(title: str, cells: Mapping[str, tuple[Floats, Floats]]) -> Picture:
    """Control, true and generated cells of one held-out group on two principal components.

    `cells` maps "control", "true" and "generated" to their x and y. Lines lead from the mean control cell to the mean
    true and the mean generated one: the closer the two ends, the better.
    """

    def draw(axes: Axes, theme: Theme) -> None:
        colours = {"control": theme.baseline, "true": theme.truth, "generated": theme.model}
        axes.set_title(shortened(title, 46))
        size = _point_area(sum(len(x) for x, _ in cells.values()))
        for origin, (x, y) in cells.items():
            _dense(axes, x, y, size, colours[origin], 0.45)
            axes.scatter([], [], s=40, color=colours[origin], label=f"{origin} ({len(x):,})")
        start = _mean(cells["control"])
        # The truth's line is the broader one, so that it shows where the generated one lies on top of it.
        for colour, width, origin in (
            (theme.surface, 9, "true"),
            (theme.truth, 6.5, "true"),
            (theme.model, 2, "generated"),
        ):
            axes.plot(*zip(start, _mean(cells[origin]), strict=True), color=colour, linewidth=width)
        for origin in ("control", "true", "generated"):
            axes.plot(*_mean(cells[origin]), "o", color=colours[origin], markersize=10, markeredgecolor=theme.surface)
        legend_above(axes)
        _bare(axes, "principal component")

    counts = ", ".join(f"{len(x):,} {origin}" for origin, (x, _) in cells.items())
    return picture(draw, f"{title}: {counts} cells on two principal components.", height=330)


def draw_change(
    title: str,
    true: Floats,
    predicted: Floats,
    genes: Sequence[str],
    top: Sequence[int],
    note: str,
    limits: tuple[float, float],
) -> Picture:
    """Predicted against true change of each gene (all of length G), with the genes at the indices `top` named.

    `note` stands in the corner: the method's score on this group. A perfect prediction lies on the line. Both axes
    cover `limits`, so that a timid prediction looks timid.
    """
    others = np.setdiff1d(np.arange(len(genes)), top)

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.set(xlim=limits, ylim=limits)
        axes.axline((0, 0), slope=1, color=theme.rule, linewidth=1.5, zorder=0)
        _dense(axes, true[others], predicted[others], 14, theme.baseline, 0.6)
        axes.scatter(true[top], predicted[top], s=30, color=theme.model, linewidths=0, zorder=3)
        axes.set_xlabel("true change")
        axes.set_ylabel("predicted change")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        halo(axes.text(0.02, 0.98, note, transform=axes.transAxes, va="top", fontweight="bold"))
        place_labels(axes, theme, [(float(true[g]), float(predicted[g])) for g in top], [_gene(genes[g]) for g in top])

    named = _listed([genes[g] for g in top])
    return picture(
        draw, f"{title}: predicted against true change of {len(genes):,} genes; {note}. Named: {named}.", height=340
    )


def _dense(axes: Axes, x: Floats, y: Floats, area: float, colour: str | list[str], alpha: float) -> None:
    """Scatter whose points are kept as an image inside the SVG: small, while text and axes stay sharp at any size."""
    axes.scatter(x, y, s=area, c=colour, alpha=alpha, linewidths=0, rasterized=True)


def _mean(cells: tuple[Floats, Floats]) -> tuple[float, float]:
    return float(np.mean(cells[0])), float(np.mean(cells[1]))


def _densest(x: Floats, y: Floats) -> tuple[float, float]:
    """Median of the cells in the fullest of 8 x 8 squares: inside a cluster, where a median may lie between two."""
    cells, x_edges, y_edges = np.histogram2d(x, y, bins=8)
    column, row = np.unravel_index(int(cells.argmax()), cells.shape)
    # searchsorted as histogram2d bins: half-open squares, the last one closed.
    columns = np.clip(np.searchsorted(x_edges, x, side="right") - 1, 0, 7)
    rows = np.clip(np.searchsorted(y_edges, y, side="right") - 1, 0, 7)
    chosen = (columns == column) & (rows == row)
    return float(np.median(x[chosen])), float(np.median(y[chosen]))


def _gene(name: str) -> str:
    return shortened(name, 14)


def _point_area(points: int) -> float:
    """Area of a scatter's points (square pixels): smaller the more there are."""
    return float(np.clip(20000 / max(points, 1), 2.5, 16))


def _bare(axes: Axes, axis: str) -> None:
    """Axes of principal components: their values mean nothing, so only the names stay."""
    axes.set(xticks=[], yticks=[], xlabel=f"{axis} 1", ylabel=f"{axis} 2")
    axes.margins(0.04)


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])
