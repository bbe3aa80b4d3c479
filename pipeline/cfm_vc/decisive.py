"""The metrics that decide the verdict on CFM-VC, and the names of held-out groups."""

from pipeline.metrics.glossary import Metric
from pipeline.metrics.scoreboard import Scoreboard


def unit_of(cell_type: str, perturbation: str) -> str:
    """The name of a held-out group in results and report."""
    return f"{perturbation} in {cell_type}"


def decisive(board: Scoreboard) -> list[Metric]:
    """Pearson correlation of change over the largest set of top genes, and E-distance; those that are available.

    Most genes do not change, so a correlation over all genes is mostly noise; E-distance compares populations rather
    than means.
    """
    tops = [metric for metric in board.metrics if metric.title == "Pearson top n"]
    correlation = max(tops, key=lambda metric: metric.number or 0).name if tops else "pearson_change"
    return [metric for name in (correlation, "e_distance") for metric in board.metrics if metric.name == name]


def key_metrics(board: Scoreboard) -> list[Metric]:
    """The decisive metrics and, where it tells methods apart, discrimination between perturbations."""
    others = [metric for metric in board.telling if metric.name == "discrimination" and board.defined(metric)]
    return [*decisive(board), *others]
