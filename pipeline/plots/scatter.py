"""Scatter plots: compact drawing of many points, axes without units, lists of names."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch
from matplotlib.path import Path

Floats = npt.NDArray[np.float64]

_MOST = 10_000  # points drawn as vector shapes
_LAYERS = 16


def dense(axes: Axes, x: Floats, y: Floats, area: float, colour: str | list[str] | Floats, alpha: float) -> None:
    """Scatter of many points in few bytes, in the order given. `area` in square pixels; `colour` of all or of each.

    Points are zero-length lines with round caps, many per path. Within a path, transparency does not add up where
    points overlap, so there are several paths. More than `_MOST` points are rasterised.
    """
    if len(x) > _MOST:
        axes.scatter(x, y, s=area, c=colour, alpha=alpha, linewidths=0, rasterized=True)
        return
    place_N2 = np.column_stack([x, y]).astype(np.float64)
    colours = [colour] * len(x) if isinstance(colour, str) else [to_hex(one) for one in colour]
    for part in np.array_split(np.arange(len(x)), 1 if alpha == 1 else _LAYERS):
        rows_of: dict[str, list[int]] = {}
        for row in part.tolist():
            rows_of.setdefault(colours[row], []).append(row)
        for one, rows in rows_of.items():
            path = Path(np.repeat(place_N2[rows], 2, axis=0), [Path.MOVETO, Path.LINETO] * len(rows))
            path.should_simplify = False  # it would drop zero-length lines
            dots = PathPatch(path, edgecolor=one, facecolor="none", alpha=alpha, linewidth=area**0.5, capstyle="round")
            dots.set_in_layout(False)
            axes.add_artist(dots).set_zorder(1)
    axes.update_datalim(place_N2)
    axes.autoscale_view()


def point_area(points: int) -> float:
    """Area of a scatter's points (square pixels), decreasing with their number."""
    return float(np.clip(20000 / max(points, 1), 2.5, 16))


def bare(axes: Axes, axis: str) -> None:
    """Axes of principal components: names only, since their values have no meaning."""
    axes.set(xticks=[], yticks=[], xlabel=f"{axis} 1", ylabel=f"{axis} 2")


def listed(names: Sequence[str], most: int = 12) -> str:
    """The first names, and how many more there are: for a picture's alternative text."""
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])
