"""Comparison of methods as text, for the terminal."""

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
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(map(_padded, line, widths, range(len(line)))).rstrip() for line in lines)


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _padded(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 2 else cell.rjust(width)
