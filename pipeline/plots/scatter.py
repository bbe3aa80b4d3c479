"""Clouds of points: many dots in little space, their names, and axes without meaning."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]


def dense(axes: Axes, x: Floats, y: Floats, area: float, colour: str | list[str] | Floats, alpha: float) -> None:
    """Scatter whose points are kept as an image inside the SVG: small, while text and axes stay sharp at any size."""
    axes.scatter(x, y, s=area, c=colour, alpha=alpha, linewidths=0, rasterized=True)


def point_area(points: int) -> float:
    """Area of a scatter's points (square pixels): smaller the more there are."""
    return float(np.clip(20000 / max(points, 1), 2.5, 16))


def bare(axes: Axes, axis: str) -> None:
    """Axes of principal components: their values mean nothing, so only the names stay."""
    axes.set(xticks=[], yticks=[], xlabel=f"{axis} 1", ylabel=f"{axis} 2")


def listed(names: Sequence[str], most: int = 12) -> str:
    """The first names, and how many more there are: for a picture's alternative text."""
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])
