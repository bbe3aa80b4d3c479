"""A forecast of new rows as one picture, a panel for each channel: what was measured before, the forecast, its band."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.plots.scatter import Floats
from pipeline.plots.theme import LIGHT, PANEL_WIDTH, settings, shortened

Dates = npt.NDArray[np.datetime64]

_COLUMNS, _HEIGHT = 2, 230  # panels in a row; CSS pixels of one
_METADATA = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}  # the same bytes at every call


@dataclass(frozen=True)
class Panel:
    """One channel, in its units: `past` (P,) before, `forecast` (H,), and by level (per cent) the ends (H,) of its
    intervals."""

    name: str
    past: Floats
    forecast: Floats
    band: Mapping[float, tuple[Floats, Floats]]


def draw_sheet(past: Dates, dates: Dates, panels: Sequence[Panel], kind: str) -> bytes:
    """The picture as a file of this kind, svg or png.

    past (P,) and dates (H,) are those of the rows before and of the forecast.
    """
    rows = -(-len(panels) // _COLUMNS)
    columns = min(_COLUMNS, len(panels))
    with mpl.rc_context(settings(LIGHT)):
        size = (columns * PANEL_WIDTH / 72, rows * _HEIGHT / 72)
        figure = Figure(figsize=size, layout="constrained", facecolor=LIGHT.surface)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            axes.set_title(shortened(panel.name, 40))
            axes.grid(axis="y")
            widest_first = sorted(panel.band.items(), reverse=True)
            for place, (level, (low, high)) in enumerate(widest_first):
                shade = {"color": LIGHT.model, "alpha": min(0.6, 0.16 + 0.14 * place), "linewidth": 0}
                axes.fill_between(dates, low, high, label=f"{level:g} %", **shade)
            axes.plot(past, panel.past, color=LIGHT.truth, linewidth=1.4, label="measured")
            marker = "o" if len(dates) == 1 else ""
            axes.plot(dates, panel.forecast, color=LIGHT.model, linewidth=1.6, marker=marker, label="forecast")
            locator = AutoDateLocator(minticks=3, maxticks=6)  # type: ignore[no-untyped-call]
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
            axes.yaxis.set_major_locator(MaxNLocator(5))
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, dpi=144, metadata=_METADATA[kind])
    return stream.getvalue()
