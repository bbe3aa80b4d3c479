"""Figures of tissue from made-up numbers, one of each kind."""

import numpy as np

from pipeline.alphastomics.plots.coverage import draw_coverage
from pipeline.alphastomics.plots.identity_scatter import draw_against
from pipeline.alphastomics.plots.tissue import Frame, colour_names, draw_expression, draw_tissue
from pipeline.plots.differences import DifferenceRow, Interval, draw_differences

RNG = np.random.default_rng(2)
PLACES = RNG.uniform(size=(200, 2)) * [1400, 900]
PREDICTED = PLACES + RNG.normal(0, 80, PLACES.shape)
LABELS = [f"type {i % 5}" for i in range(200)]
FRAME = Frame.around(PLACES, PREDICTED)
LEVEL = RNG.normal(size=200)

FIGURES = {
    "tissue": lambda: draw_tissue("Measured", PLACES, LABELS, colour_names(LABELS), FRAME),
    "expression": lambda: draw_expression("Best: Cux2", "PCC 0.80", PLACES, LEVEL, 0.5 * LEVEL, FRAME),
    "against": lambda: draw_against("Distances", ("measured", "predicted"), PLACES[:, 0], PREDICTED[:, 0], "0.9"),
    "coverage": lambda: draw_coverage(
        "Coverage of the regions", {"section_4": (np.arange(1, 10) / 10, np.arange(1, 10) / 11)}, "section_4"
    ),
    "gains": lambda: draw_differences(
        "PCC",
        False,
        [DifferenceRow("experts", False, [Interval(0.1, -0.1, 0.3, True)], "+0.1")],
        "with − without",  # noqa: RUF001
    ),
}
