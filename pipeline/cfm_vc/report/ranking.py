"""The ranking of methods, as a picture per metric."""

from collections.abc import Mapping, Sequence

from pipeline.cfm_vc.report.scoreboard import Scoreboard
from pipeline.plots.ranking import SMALL_WIDTH, RankingRow, draw_ranking
from pipeline.plots.theme import PANEL_WIDTH, Picture
from pipeline.report.names import Method, Metric
from pipeline.report.page import Figures
from pipeline.report.scores import decimals_for, shown

Points = Mapping[tuple[str, str], Sequence[float]]  # by method's and metric's name


def rankings(board: Scoreboard, caption: str, points: Points | None = None) -> Figures:
    """A picture per key metric: the ceiling, then methods by their mean, the best first, then controls.

    A small dot is a held-out group, or one of `points` where these are given.
    """
    small = len(board.key) > 2
    pictures = [_ranking(board, metric, points, SMALL_WIDTH if small else PANEL_WIDTH) for metric in board.key]
    return Figures(pictures, caption, small)


def _ranking(board: Scoreboard, metric: Metric, points: Points | None, width: int) -> Picture:
    means = board.means(metric)
    decimals = decimals_for([mean for method, mean in means.items() if method.role != "control"])
    sign = 1 if metric.higher_is_better else -1

    def place(method: Method) -> tuple[int, float]:
        mean = means[method]
        part = {"ceiling": 0, "control": 2}.get(method.role, 1)
        return part, float("inf") if mean is None else -sign * mean

    def row(method: Method) -> RankingRow:
        dots = board.values(method, metric) if points is None else points[method.name, metric.name]
        return RankingRow(method.label, method.role, dots, means[method], shown(means[method], decimals))

    # A ceiling that is not defined here says nothing; a method that is not has failed, and is shown to.
    drawn = [method for method in board.methods if method.role != "ceiling" or means[method] is not None]
    rows = [row(method) for method in sorted(drawn, key=place)]
    return draw_ranking(metric.label, metric.direction, rows, metric.chance, width)
