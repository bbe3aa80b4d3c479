"""Heatmaps: a grid of cells coloured by value."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from pipeline.plots.scatter import Floats
from pipeline.plots.theme import STEPS, Theme, scale_of

_CODES = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
_CORNERS = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], float)


def draw_heatmap(axes: Axes, theme: Theme, share_RC: Floats, line: float) -> None:
    """Unit squares, the first row at the top, coloured by their shares (0 to 1). R: rows, C: columns.

    `line` is the width of the grid lines. All cells of a colour share one path.
    """
    step_RC = np.clip(np.rint((STEPS - 1) * share_RC), 0, STEPS - 1).astype(int)
    colours = scale_of(theme, "share")
    for step in np.unique(step_RC):
        corner_F2 = np.argwhere(step_RC == step)[:, ::-1]
        path = Path((corner_F2[:, None] + _CORNERS).reshape(-1, 2), _CODES * len(corner_F2))
        path.should_simplify = False
        edge = theme.rule if line else colours(step)
        axes.add_artist(PathPatch(path, facecolor=colours(step), edgecolor=edge, linewidth=line or 0.3))
    axes.set(xlim=(0, share_RC.shape[1]), ylim=(share_RC.shape[0], 0))
