"""Comparison of methods as text, for the terminal."""

from pipeline.core.text_table import aligned
from pipeline.metrics.results import ALL
from pipeline.metrics.scoreboard import Scoreboard


def table(board: Scoreboard, unit: str = ALL) -> str:
    """A line per metric and a column per method; * marks the best model or baseline."""
    lines = [["metric", "better", *(method.name for method in board.methods)]]
    for metric in board.metrics:
        best = board.best(metric, unit)
        scores = {method: board.estimate(method, metric, unit).value for method in board.methods}
        shown = [_shown(score) + ("*" if method in best else " ") for method, score in scores.items()]
        better = "higher" if metric.higher_is_better else "lower"
        lines.append([metric.name, better if metric.best_value is None else f"at {metric.best_value:g}", *shown])
    return "\n".join(line.rstrip() for line in aligned(lines, left=2))


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
