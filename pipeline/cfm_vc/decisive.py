"""Which scores decide whether CFM-VC worked, and what a held-out group is called in the results."""

from pipeline.metrics.glossary import Metric
from pipeline.metrics.scoreboard import Scoreboard


def unit_of(cell_type: str, perturbation: str) -> str:
    """A held-out group, as the results name it and the report shows it."""
    return f"{perturbation} in {cell_type}"


def decisive(board: Scoreboard) -> list[Metric]:
    """Pearson of change over most top genes, and E-distance; those of them that there are.

    Correlation over all genes, most of which do not change, is mostly noise; and a mean is not a population.
    """
    tops = [metric for metric in board.metrics if metric.title == "Pearson top n"]
    correlation = max(tops, key=lambda metric: metric.number or 0).name if tops else "pearson_change"
    return [metric for name in (correlation, "e_distance") for metric in board.metrics if metric.name == name]


def key_metrics(board: Scoreboard) -> list[Metric]:
    """The decisive metrics and, where there are perturbations to tell apart, discrimination."""
    others = [metric for metric in board.metrics if metric.name == "discrimination" and board.defined(metric)]
    return [*decisive(board), *others]
