"""Figures of the mixture of experts from made-up numbers, one of each kind and some of odd shapes."""

import numpy as np

from pipeline.bayes_moe.plots.cost import Cost, Sampling, draw_sampling, draw_tradeoff
from pipeline.bayes_moe.plots.reliability import Reliability, draw_reliability
from pipeline.plots.differences import DifferenceRow, Interval, draw_differences
from pipeline.plots.experts import draw_classes, draw_usage, draw_usage_by_epoch
from pipeline.plots.lines import Line, draw_lines

RNG = np.random.default_rng(1)
EPOCHS = np.arange(1.0, 5.0)
DIFFERENCES = [
    DifferenceRow("top 1", True, [Interval(-0.02, -0.03, -0.01, True), Interval(0.0, -0.01, 0.01, False)], "-0.020"),
    DifferenceRow("eight", False, [Interval(0.01, -0.01, 0.02, True)], "+0.010"),
]
BINS = Reliability(
    "dense", False, np.array([0.0, 10, 90]), np.array([np.nan, 0.5, 0.9]), np.array([np.nan, 0.6, 0.8]), "ECE 0.100"
)
POINTS = [
    Cost("dense", "baseline", 3e5, 0.9, 0.01),
    Cost("top 1", "model", 2.8e5, 0.91, 0.02),
    Cost("top 2", "other", 2.8e5, 0.91, None),
]
SAMPLING = Sampling("gumbel", "other", [1, 4], [1e6, 2e7], [0.4, 0.3], [0.1, None], 1e6, 0.35)
SHARE_RE = RNG.dirichlet(np.ones(4), 3)

FIGURES = {
    "differences": lambda: draw_differences("ECE", True, DIFFERENCES),
    "reliability": lambda: draw_reliability("As trained", [BINS]),
    "tradeoff": lambda: draw_tradeoff("Accuracy", "higher is better", POINTS),
    "sampling": lambda: draw_sampling("NLL", "lower is better", [SAMPLING], POINTS[0]),
    "lines": lambda: draw_lines(
        "NLL", "epoch", [Line("dense", "baseline", [(EPOCHS, 40 / EPOCHS**3)] * 2)], logarithmic=True
    ),
    "usage": lambda: draw_usage("Tokens", SHARE_RE),
    "classes": lambda: draw_classes("Classes", RNG_TOKENS, [f"class {k}" for k in range(5)]),
    "usage_by_epoch": lambda: draw_usage_by_epoch("Usage", EPOCHS, np.full((4, 2), 0.5)),
}
RNG_TOKENS = RNG.integers(0, 9, (4, 5))
