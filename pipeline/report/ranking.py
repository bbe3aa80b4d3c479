"""The ranking of methods, as a picture per metric."""

from collections.abc import Sequence

from pipeline.metrics.glossary import Method, Metric
from pipeline.metrics.scoreboard import Scoreboard
from pipeline.plots.ranking import SMALL_WIDTH, RankingRow, draw_ranking
from pipeline.plots.theme import PANEL_WIDTH, Picture
from pipeline.report.page import Figures
from pipeline.report.scores import decimals_for, shown


def rankings(board: Scoreboard, metrics: Sequence[Metric], caption: str) -> Figures:
    """A picture per metric: the ceiling, then methods by their mean, the best first, then controls.

    A small dot is a unit, of one seed where there are several.
    """
    small = len(metrics) > 2
    width = SMALL_WIDTH if small else PANEL_WIDTH
    return Figures([_ranking(board, metric, width) for metric in metrics], caption, small)


def _ranking(board: Scoreboard, metric: Metric, width: int) -> Picture:
    means = {method: board.estimate(method, metric).value for method in board.methods}
    decimals = decimals_for([means[method] for method in board.methods if method.role != "control"])
    sign = 1 if metric.higher_is_better else -1

    def place(method: Method) -> tuple[int, float]:
        mean = means[method]
        part = {"ceiling": 0, "control": 2}.get(method.role, 1)
        return part, float("inf") if mean is None else -sign * mean

    # A ceiling that is not defined here says nothing; a method that is not has failed, and is shown to.
    drawn = [method for method in board.methods if method.role != "ceiling" or means[method] is not None]
    rows = [
        RankingRow(m.label, m.role, board.points(m, metric), means[m], shown(means[m], decimals))
        for m in sorted(drawn, key=place)
    ]
    return draw_ranking(metric.label, metric.direction, rows, metric.chance, width)
