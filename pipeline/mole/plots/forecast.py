"""Forecasts: single ones beside what came, and how errors grow with the step ahead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from pipeline.plots.scatter import Floats
from pipeline.plots.theme import Picture, Theme, legend_above, picture, shortened

Kind = Literal["model", "twin", "fit", "naive", "other naive"]
_FAR = 2.5  # times the worst of the models: an error beyond leaves the frame, or the others could not be told apart


@dataclass(frozen=True)
class StepErrors:
    """The error of one method at each step ahead: `step` (H,), `error` (H,)."""

    label: str
    kind: Kind
    step: Floats
    error: Floats


@dataclass(frozen=True)
class Forecast:
    """One channel of one window. `history` and `truth` are what was measured, before and after the forecast's start;
    each is (step, value); `experts` are the forecasts of single ones, `band` is (step, low, high) of an interval."""

    history: tuple[Floats, Floats]
    truth: tuple[Floats, Floats]
    mixture: tuple[Floats, Floats]
    baseline: tuple[Floats, Floats]
    experts: Sequence[tuple[Floats, Floats]]
    band: tuple[Floats, Floats, Floats] | None = None


def draw_errors_by_step(title: str, lines: Sequence[StepErrors]) -> Picture:
    """A line per method. What is far above the models' errors is cut off at the frame, and said to be."""
    learned = [line.error for line in lines if line.kind in ("model", "twin", "fit")]
    ceiling = _FAR * float(np.max(np.concatenate(learned)))
    highest = min(ceiling, 1.08 * max(float(line.error.max()) for line in lines))

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.grid(axis="y")
        for line in lines:
            above = ", in part above" if float(line.error.max()) > highest else ""
            marker = "o" if len(line.step) == 1 else ""
            label = f"{shortened(line.label, 16)}{above}"
            axes.plot(line.step, line.error, label=label, marker=marker, markersize=6, **_style(theme, line.kind))
        axes.set_ylim(0, highest)
        axes.set_xlabel("step ahead")
        axes.set_ylabel("MSE")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        legend_above(axes, 2)

    said = "; ".join(f"{line.label} from {line.error[0]:.3g} to {line.error[-1]:.3g}" for line in lines)
    return picture(draw, f"{title}: mean squared error by step ahead. {said}.", height=330)


def draw_forecast(title: str, found: Forecast, unit: str, baseline: str) -> Picture:
    """What came, the mixture, its experts one by one (thin), and a baseline, in the unit of the data."""

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_title(shortened(title, 46))
        axes.grid(axis="y")
        axes.axvline(0.5, color=theme.rule, linewidth=1)
        if found.band is not None:
            axes.fill_between(*found.band, color=theme.model, alpha=0.15, linewidth=0, label="interval")
        measured = [np.concatenate(parts) for parts in zip(found.history, found.truth, strict=True)]
        for number, (step, value) in enumerate(found.experts):
            label = "single experts" if number == 0 else None
            axes.plot(step, value, color=theme.model, linewidth=0.9, alpha=0.5, label=label)
        axes.plot(*measured, color=theme.truth, linewidth=1.6, label="measured")
        axes.plot(*found.baseline, label=shortened(baseline, 16), **_style(theme, "fit"))
        axes.plot(*found.mixture, label="mixture", **_style(theme, "model"))
        axes.set_xlabel(f"steps of {unit}, the forecast from 1")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))  # the corner, where "1e6" would stand, is the legend's
        legend_above(axes, 3)

    low, high = float(found.truth[1].min()), float(found.truth[1].max())
    inside = ""
    if found.band is not None:
        _, below, above = found.band
        held = int(((below <= found.truth[1]) & (found.truth[1] <= above)).sum())
        inside = f" Its interval holds {held} of {len(below)} measured steps."
    alt = (
        f"{title}: {len(found.truth[0])} steps measured (from {low:.3g} to {high:.3g}), forecast by the mixture (from "
        f"{found.mixture[1].min():.3g} to {found.mixture[1].max():.3g}), its {len(found.experts)} experts and "
        f"{baseline}.{inside}"
    )
    return picture(draw, alt)


def _style(theme: Theme, kind: Kind) -> dict[str, Any]:
    return {
        "model": {"color": theme.model, "zorder": 4},
        "twin": {"color": theme.truth, "linewidth": 1.6},
        "fit": {"color": theme.ink, "linewidth": 1.4, "linestyle": (0, (4, 2))},
        "naive": {"color": theme.baseline, "linewidth": 1.4},
        "other naive": {"color": theme.baseline, "linewidth": 1.4, "linestyle": (0, (1, 1.5))},
    }[kind]
