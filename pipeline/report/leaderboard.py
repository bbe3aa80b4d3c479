"""Scores as tables: methods beside metrics, the best of those that compete marked, all others set apart."""

from collections.abc import Sequence

from pipeline.metrics.glossary import Method, Metric
from pipeline.metrics.results import ALL
from pipeline.metrics.scoreboard import Estimate, Scoreboard
from pipeline.report.page import Cell, Table
from pipeline.report.scores import decimals_for, distinct_decimals, shown


def metric_table(
    board: Scoreboard, caption: str, unit: str = ALL, metrics: Sequence[Metric] = (), folded: str = ""
) -> Table:
    """A row per metric (all, unless given) and a column per method, in one unit."""
    rows = [
        [Cell(metric.heading), *score_cells(board, board.methods, metric, unit, decimals(board, metric, [unit]))]
        for metric in metrics or board.metrics
    ]
    return Table(["metric", *(method.label for method in board.methods)], rows, caption, folded=folded)


def method_table(
    board: Scoreboard,
    metrics: Sequence[Metric],
    caption: str,
    units: Sequence[str] = (ALL,),
    methods: Sequence[Method] = (),
    folded: str = "",
) -> Table:
    """A row per method (all, unless given) and a column per metric; of several units, below the name of each."""
    rows: list[list[Cell]] = []
    places = {metric: decimals(board, metric, units) for metric in metrics}
    for unit in units:
        rows += [[Cell(unit)]] if len(units) > 1 else []
        columns = [score_cells(board, methods or board.methods, metric, unit, places[metric]) for metric in metrics]
        rows += [
            [Cell(method.label, quiet=_apart(method)), *cells]
            for method, *cells in zip(methods or board.methods, *columns, strict=True)
        ]
    return Table(["method", *(metric.heading for metric in metrics)], rows, caption, folded=folded)


def unit_table(board: Scoreboard, metric: Metric, caption: str, names: Sequence[str] = ()) -> Table:
    """A row per unit (`names`: as the reader knows them) and one for their mean, a column per method, of one metric."""
    places = decimals(board, metric, board.units)
    rows = [
        [Cell(name), *score_cells(board, board.methods, metric, unit, places)]
        for unit, name in zip((*board.units, ALL), (*(names or board.units), "mean"), strict=True)
    ]
    return Table([metric.heading, *(method.label for method in board.methods)], rows, caption)


def score_cells(board: Scoreboard, methods: Sequence[Method], metric: Metric, unit: str, decimals: int) -> list[Cell]:
    """A cell per method: the score, and below it its interval or else its standard deviation over seeds."""
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


def decimals(board: Scoreboard, metric: Metric, units: Sequence[str]) -> int:
    """Decimals that suit all scores of the metric in these units, without those of controls.

    In one unit they also tell different scores apart.
    """
    methods = [method for method in board.methods if method.role != "control"]
    values = [board.estimate(method, metric, unit).value for method in methods for unit in units]
    return distinct_decimals(values) if len(units) == 1 else decimals_for(values)


def _apart(method: Method) -> bool:
    return method.role in ("ceiling", "control")
