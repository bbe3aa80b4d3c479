"""Whether the uncertainty of predicted places can be trusted: coverage of their regions on held-out sections."""

import numpy as np
import pandas as pd

from pipeline.alphastomics.plots.coverage import draw_coverage
from pipeline.alphastomics.report.results import Spatial
from pipeline.plots.theme import Picture
from pipeline.report.page import Cell, Table
from pipeline.report.scores import joined

LEVEL, LOWEST, HIGHEST = 0.9, 0.85, 0.95  # a region's probability, and the coverage with which it can be trusted
_SHOWN = (0.5, 0.8, 0.9, 0.95)


def coverage_curve(spatial: Spatial) -> Picture:
    """A curve for each section, and their mean."""
    curves = {
        str(section): (of["level"].to_numpy(np.float64), of["coverage"].to_numpy(np.float64))
        for section, of in spatial.coverage.groupby("section", sort=False)
    }
    mean = spatial.coverage.groupby("level")["coverage"].mean()
    bold = "mean of sections" if len(curves) > 1 else next(iter(curves))
    curves[bold] = (mean.index.to_numpy(np.float64), mean.to_numpy(np.float64))
    return draw_coverage("Coverage of the regions", curves, bold)


def coverage_table(spatial: Spatial) -> Table:
    """A row per section: the share of true places in its regions."""
    by_section = spatial.coverage.pivot_table(index="section", columns="level", values="coverage", sort=False)
    rows = [
        [Cell(str(section)), *(Cell(f"{100 * _at(of, level):.1f} %") for level in _SHOWN)]
        for section, of in by_section.iterrows()
    ]
    caption = (
        "Share of held-out cells whose measured position lies within the region (a disc or ball) around the predicted "
        "one, by the probability that the region was made for."
    )
    return Table(["section", *(f"{100 * level:.0f} % region" for level in _SHOWN)], rows, caption)


def trust(spatial: Spatial) -> str:
    """When the regions can be trusted, in sentences that say no more than the numbers."""
    of_level = spatial.coverage[np.isclose(spatial.coverage["level"], LEVEL)].groupby("section", sort=False)["coverage"]
    found = of_level.mean()
    narrow, wide = found[found < LOWEST], found[found > HIGHEST]
    said = []
    if len(found) > len(narrow) + len(wide):
        good = found.drop([*narrow.index, *wide.index])
        said.append(f"On {_sections(good)}, the 90 % regions can be trusted: they cover {_range(good)} of true places.")
    if len(narrow):
        said.append(f"On {_sections(narrow)}, they are too narrow: they cover {_range(narrow)}.")
    if len(wide):
        said.append(f"On {_sections(wide)}, they are too wide: they cover {_range(wide)}.")
    said.append(
        "They were calibrated on validation cells, and hold for tissue as far from what was measured as these; for a "
        "section that differs from the training sections more than they do from each other, expect less."
    )
    return " ".join(said)


def _at(of: pd.Series, level: float) -> float:
    return float(of[np.isclose(of.index.to_numpy(np.float64), level)].iloc[0])


def _sections(found: pd.Series) -> str:
    return joined([str(name) for name in found.index]) if len(found) <= 3 else f"{len(found)} sections"


def _range(found: pd.Series) -> str:
    low, high = (f"{100 * value:.0f}" for value in (found.min(), found.max()))
    return f"{low} %" if low == high else f"{low} to {high} %"
