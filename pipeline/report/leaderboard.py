"""Tables of scores: methods and metrics, with the best marked, and ceilings and controls set apart."""

from collections.abc import Sequence

from pipeline.metrics.glossary import Method, Metric
from pipeline.metrics.results import ALL
from pipeline.metrics.scoreboard import Estimate, Scoreboard
from pipeline.report.page import Cell, Table
from pipeline.report.scores import decimals_for, distinct_decimals, joined, shown


def metric_table(board: Scoreboard, caption: str, unit: str = ALL, folded: str = "") -> Table:
    """A row per metric that tells methods apart and a column per method, in one unit."""
    rows = [
        [Cell(metric.heading), *score_cells(board, board.methods, metric, unit, decimals(board, metric, [unit]))]
        for metric in board.telling
    ]
    return Table(["metric", *(method.label for method in board.methods)], rows, caption, folded=folded)


def method_table(
    board: Scoreboard,
    metrics: Sequence[Metric],
    caption: str,
    units: Sequence[str] = (ALL,),
    folded: str = "",
) -> Table:
    """A row per method and a column per metric; with several units, a block per unit."""
    rows: list[list[Cell]] = []
    places = {metric: decimals(board, metric, units) for metric in metrics}
    for unit in units:
        rows += [[Cell(unit)]] if len(units) > 1 else []
        columns = [score_cells(board, board.methods, metric, unit, places[metric]) for metric in metrics]
        rows += [
            [Cell(method.label, quiet=_apart(method)), *cells]
            for method, *cells in zip(board.methods, *columns, strict=True)
        ]
    return Table(["method", *(metric.heading for metric in metrics)], rows, caption, folded=folded)


def unit_table(board: Scoreboard, metric: Metric, caption: str) -> Table:
    """For one metric, a row per unit and one for the mean, and a column per method."""
    places = decimals(board, metric, board.units)
    rows = [
        [Cell("mean" if unit == ALL else unit), *score_cells(board, board.methods, metric, unit, places)]
        for unit in (*board.units, ALL)
    ]
    return Table([metric.heading, *(method.label for method in board.methods)], rows, caption)


def score_cells(board: Scoreboard, methods: Sequence[Method], metric: Metric, unit: str, decimals: int) -> list[Cell]:
    """A cell per method: the score, and below it the interval or the standard deviation over seeds."""
    best = board.best(metric, unit)
    return [
        Cell(
            shown(found.value, decimals),
            best=method in best,
            quiet=_apart(method),
            remark=uncertainty(found, decimals),
        )
        for method in methods
        for found in [board.estimate(method, metric, unit)]
    ]


def uncertainty(found: Estimate, decimals: int) -> str:
    """ "0.71 to 0.74", "± 0.02", or nothing."""
    if found.low is not None and found.high is not None:
        return f"{shown(found.low, decimals)} to {shown(found.high, decimals)}"
    return f"± {shown(found.deviation, decimals)}" if found.deviation else ""


def left_out(board: Scoreboard) -> str:
    """A sentence on the metrics that tell nothing and are not shown, or nothing."""
    silent = [metric for metric in board.metrics if metric not in board.telling]
    undefined, tied = ([m.label for m in silent if board.scored(m) == scored] for scored in (False, True))
    parts = [
        *([f"{joined(undefined)}, undefined for every method"] if undefined else []),
        *([f"{joined(tied)}, in which every method has the best possible score"] if tied else []),
    ]
    return f"Not shown: {'; '.join(parts)}." if parts else ""


def decimals(board: Scoreboard, metric: Metric, units: Sequence[str]) -> int:
    """Common decimals for the scores of a metric in these units, controls aside.

    For a single unit, enough to distinguish different scores.
    """
    methods = [method for method in board.methods if method.role != "control"]
    values = [board.estimate(method, metric, unit).value for method in methods for unit in units]
    return distinct_decimals(values) if len(units) == 1 else decimals_for(values)


def _apart(method: Method) -> bool:
    return method.role in ("ceiling", "control")
