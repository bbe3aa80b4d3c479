"""The chapter on populations: generated cells over the true ones."""

from collections.abc import Iterable

import numpy as np

from pipeline.cfm_vc.glossary import GLOSSARY
from pipeline.cfm_vc.plots.embedding import Limits, draw_population
from pipeline.cfm_vc.report.results import PerturbationResults, incomplete
from pipeline.cfm_vc.report.selection import select
from pipeline.plots.scatter import Floats
from pipeline.plots.theme import Picture
from pipeline.report.page import Figures, Section

_RIVAL = GLOSSARY.method("additive_shift", "baseline")  # the baseline that predicts cells, not only their mean


def population(results: PerturbationResults) -> Section:
    """The model's cells and those of the additive shift, over the same true cells."""
    selection = select(results.board)
    pictures = [picture for unit, title in selection.titles.items() for picture in _pair(results, unit, title)]
    caption = (
        "Cells in one embedding of log-normalised expression. Lines lead from the mean control cell to the mean true "
        "and the mean predicted one: the closer their ends, the better. A good prediction also covers the truth's "
        f"whole cloud, not only its middle. {selection.note}"
    )
    lead = f"Cells that {results.board.model.label} generated, and those of {_RIVAL.label}, over the true ones."
    return Section("Generated cells over true ones", "cells", lead, [Figures(pictures, caption.rstrip())])


def _pair(results: PerturbationResults, unit: str, title: str) -> list[Picture]:
    rows = results.population
    rows = rows[rows["unit"] == unit]
    cells: dict[str, tuple[Floats, Floats]] = {}
    for origin in ("control", "true", "generated", _RIVAL.name):
        part = rows[rows["origin"] == origin]
        if part.empty:
            raise incomplete("population.parquet", f"{origin} cells", unit)
        cells[origin] = (part["x"].to_numpy(np.float64), part["y"].to_numpy(np.float64))
    limits = _limits(cells.values())
    return [
        draw_population(
            title,
            {origin: cells[origin] for origin in ("control", "true", predicted)},
            label,
            predicted == "generated",
            limits,
        )
        for predicted, label in (("generated", results.board.model.label), (_RIVAL.name, _RIVAL.label))
    ]


def _limits(populations: Iterable[tuple[Floats, Floats]]) -> Limits:
    """Of both axes: all cells, and a margin."""
    spans = []
    for values in (np.concatenate(axis) for axis in zip(*populations, strict=True)):
        low, high = float(values.min()), float(values.max())
        margin = 0.04 * (high - low) or 1.0
        spans.append((low - margin, high + margin))
    return spans[0], spans[1]
