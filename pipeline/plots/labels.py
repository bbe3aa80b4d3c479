"""Labels beside points, placed without overlap."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from pipeline.plots.theme import Theme, halo

_LETTER = 0.7  # width of a letter relative to the font size: that of capitals, as in gene names
_LINE = 1.25  # height of a line, likewise

Box = tuple[float, float, float, float]  # left, bottom, right, top


def place_labels(
    axes: Axes,
    theme: Theme,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    size: float = 11,
    centred: bool = False,
    weight: str = "normal",
    bars: Sequence[tuple[float, float, float]] = (),
) -> None:
    """Write each name near its point (data coordinates), earlier names have priority.

    Each label takes, of a fixed list of places around its point, the one that overlaps least with the labels already
    placed, with the points, with vertical `bars` (x, low, high) and with what lies outside the axes; a thin line leads
    back from a far one. `centred` tries the point itself first. The limits of the axes must be final.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # the layout determines where the axes, and so the points, are
    scale = 72 / figure.dpi
    frame = axes.get_window_extent()
    inside: Box = (frame.x0 * scale, frame.y0 * scale, frame.x1 * scale, frame.y1 * scale)

    def spot(point: tuple[float, float]) -> tuple[float, float]:
        x, y = axes.transData.transform(point)
        return float(x) * scale, float(y) * scale

    spots = [spot(point) for point in points]
    taken: list[Box] = [] if centred else [(x - 3, y - 3, x + 3, y + 3) for x, y in spots]
    for x, low, high in bars:
        (across, bottom), (_, top) = spot((x, low)), spot((x, high))
        taken.append((across - 3, bottom, across + 3, top))
    for (x, y), point, name in zip(spots, points, names, strict=True):
        width, height = len(name) * _LETTER * size, _LINE * size
        best_cost, best_place = math.inf, (0.0, 0.0)
        for dx, dy, distance in _places(width, height, centred):
            box = (x + dx - width / 2, y + dy - height / 2, x + dx + width / 2, y + dy + height / 2)
            area = width * height
            cost = sum(_overlap(box, other) for other in taken) + 2 * (area - _overlap(box, inside)) + 0.5 * distance
            if cost < best_cost:
                best_cost, best_place = cost, (dx, dy)
        dx, dy = best_place
        taken.append((x + dx - width / 2, y + dy - height / 2, x + dx + width / 2, y + dy + height / 2))
        far = math.hypot(max(0.0, abs(dx) - width / 2), max(0.0, abs(dy) - height / 2)) > 8
        label = halo(
            axes.annotate(
                name,
                point,
                xytext=(dx, dy),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=size,
                fontweight=weight,
                arrowprops={"arrowstyle": "-", "color": theme.muted, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 3}
                if far
                else None,
            )
        )
        label.set_in_layout(False)  # otherwise the layout would make room for it and move the point


def _places(width: float, height: float, centred: bool) -> list[tuple[float, float, float]]:
    """Offsets of a label's centre from its point, and their distances, nearest first."""
    places = [(0.0, 0.0, 0.0)] if centred else []
    for distance in (6.0, 16.0, 28.0, 42.0, 58.0):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            places.append((dx * (width / 2 + distance), dy * (height / 2 + distance), distance))
    return places


def _overlap(one: Box, other: Box) -> float:
    """Area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
