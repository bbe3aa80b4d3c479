"""The end of the chapters on scores: what each of them means, and what the methods beside the model are for."""

from collections.abc import Sequence

from pipeline.report.names import Method, Metric
from pipeline.report.page import Facts, Heading, Section
from pipeline.report.scores import LEVEL_CORRELATION, LEVEL_ERROR


def definitions(metrics: Sequence[Metric], methods: Sequence[Method]) -> Section:
    """One line per metric and per method of this report."""
    lead = (
        "Expression is log-normalised; its mean is over cells. A change is a mean minus the mean of the control cells "
        "of the same cell type. Genes are ranked as differentially expressed (DE) by |Welch's t| of the held-out truth "
        "against control. The docstrings in pipeline/metrics/ have the formulas and their sources."
    )
    scores = {metric.title: metric.definition for metric in metrics if metric.definition}
    level = (
        f"A model is ahead or behind where scores differ by more than {LEVEL_CORRELATION:g} (higher is better) or "
        f"{100 * LEVEL_ERROR:g} % of the larger one (lower is better); else level."
    )
    return Section(
        "What the scores mean",
        "definitions",
        lead,
        [
            Heading("Metrics"),
            Facts([*scores.items(), ("Ahead, level, behind", level)]),
            Heading("Methods and controls"),
            Facts([(method.label, method.definition) for method in methods if method.definition]),
        ],
    )
