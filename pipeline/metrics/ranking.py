"""Methods beside each other: which score is better, means over groups, and a table to print."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

Scores = Mapping[str, float | None]  # metric -> value, None where it is not defined


def higher_is_better(metric: str) -> bool:
    """Correlations, discrimination and shares of DE genes are better the higher; errors and distances the lower."""
    return "pearson" in metric or metric == "discrimination" or metric.startswith("de_")


def bounds(metric: str) -> tuple[float, float]:
    """The smallest and the largest value that the metric can take; E-distance and MMD are estimated without bounds."""
    if "pearson" in metric:
        return -1.0, 1.0
    if higher_is_better(metric):
        return 0.0, 1.0
    return (-np.inf, np.inf) if metric in ("e_distance", "mmd") else (0.0, np.inf)


def best(metric: str, values: Mapping[str, float | None]) -> str | None:
    """The name of the best of the defined values, the first of equals; None where none is defined."""
    sign = 1 if higher_is_better(metric) else -1
    defined = {name: sign * value for name, value in values.items() if value is not None}
    return max(defined, key=defined.__getitem__) if defined else None


def mean_by_method(rows: Sequence[tuple[str, Scores]]) -> dict[str, dict[str, float | None]]:
    """{method: {metric: mean over its rows}}, in order of appearance; each held-out group counts once.

    A score that is not defined (None) is left out of its mean; a mean of nothing is None.
    """
    by_method: dict[str, list[Scores]] = {}
    for method, scores in rows:
        by_method.setdefault(method, []).append(scores)
    return {
        method: {metric: _mean([scores[metric] for scores in found]) for metric in found[0]}
        for method, found in by_method.items()
    }


def table(scores: Mapping[str, Scores], aside: Collection[str] = ()) -> str:
    """A line per metric and a column per method; * marks the best, where the methods `aside` do not compete."""
    methods = list(scores)
    lines = [["metric", "better", *methods]]
    for metric in scores[methods[0]]:
        winner = best(metric, {method: scores[method][metric] for method in methods if method not in aside})
        shown = [_shown(scores[method][metric]) + ("*" if method == winner else " ") for method in methods]
        lines.append([metric, "higher" if higher_is_better(metric) else "lower", *shown])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(map(_padded, line, widths, range(len(line)))).rstrip() for line in lines)


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _padded(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 2 else cell.rjust(width)
