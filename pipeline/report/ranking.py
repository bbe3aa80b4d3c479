"""The ranking of methods, as a picture per metric."""

from collections.abc import Sequence

from pipeline.metrics.glossary import Method, Metric
from pipeline.metrics.scoreboard import Scoreboard
from pipeline.plots.ranking import SMALL_WIDTH, RankingRow, draw_ranking
from pipeline.plots.theme import PANEL_WIDTH, Picture
from pipeline.report.page import Figures
from pipeline.report.scores import distinct_decimals, shown


def rankings(board: Scoreboard, metrics: Sequence[Metric], caption: str) -> Figures:
    """A picture per metric: the ceiling, then methods by their mean, best first, then controls.

    A small dot is a unit, of one seed where there are several. A saturated metric is left out, and named in the caption
    instead.
    """
    drawn = [metric for metric in metrics if not _is_saturated(board, metric)] or list(metrics)
    for metric in metrics:
        if metric not in drawn:
            best = board.best(metric)
            score = shown(board.estimate(best[0], metric).value)
            caption += f" Not drawn: {metric.label}, since {len(best)} of {len(board.competing)} methods score {score}."
    small = len(drawn) > 2
    width = SMALL_WIDTH if small else PANEL_WIDTH
    return Figures([_ranking(board, metric, width) for metric in drawn], caption, small)


def _is_saturated(board: Scoreboard, metric: Metric) -> bool:
    """Whether most of the competing methods, the models among them, share the best score: the metric ranks nothing."""
    best = board.best(metric)
    return 2 * len(best) > len(board.competing) and all(model in best for model in board.models)


def _ranking(board: Scoreboard, metric: Metric, width: int) -> Picture:
    means = {method: board.estimate(method, metric).value for method in board.methods}
    decimals = distinct_decimals([means[method] for method in board.methods if method.role != "control"])

    def place(method: Method) -> tuple[int, float]:
        loss = board.loss(method, metric)
        part = {"ceiling": 0, "control": 2}.get(method.role, 1)
        return part, float("inf") if loss is None else loss

    # An undefined ceiling is left out; an undefined method has failed, which is shown.
    drawn = [method for method in board.methods if method.role != "ceiling" or means[method] is not None]
    rows = [
        RankingRow(m.label, m.role, board.points(m, metric), means[m], shown(means[m], decimals))
        for m in sorted(drawn, key=place)
    ]
    return draw_ranking(metric.label, metric.direction, rows, metric.chance, width)
