"""The tables on tissue: methods beside each other, on average and section by section."""

from collections.abc import Sequence

from pipeline.alphastomics.report.board import Board
from pipeline.alphastomics.report.names import MAIN
from pipeline.metrics.glossary import Method, Metric
from pipeline.plots.ranking import SMALL_WIDTH, RankingRow, draw_ranking
from pipeline.plots.theme import Picture
from pipeline.report.page import Cell, Figures, Table
from pipeline.report.scores import decimals_for, shown


def main_table(board: Board, mode: str) -> Table:
    """The scores that most is said by: a row per method, the model first."""
    metrics = [metric for metric in board.metrics(mode) if metric.name in MAIN[mode]]
    caption = (
        f"{_over(board)}. ↑ higher is better, ↓ lower is better; ▸ and bold mark the best of each column, where the "
        "controls (grey) do not compete."
    )
    return _table(board, mode, metrics, caption)


def other_table(board: Board, mode: str) -> Table | None:
    """The scores that are not in the main table; None where there are none."""
    metrics = [metric for metric in board.metrics(mode) if metric.name not in MAIN[mode]]
    return _table(board, mode, metrics, f"{_over(board)}.", folded="The other scores") if metrics else None


def section_table(board: Board, mode: str, metric: Metric, folded: bool = False) -> Table:
    """One score: a row per section and one for their mean, a column per method."""
    methods = board.methods(mode)
    competing = [m for m in methods if m.role != "control"]
    decimals = decimals_for([board.mean(mode, m, metric, s) for m in competing for s in board.sections])
    places: list[str | None] = [*board.sections, *([None] if len(board.sections) > 1 else [])]
    rows = []
    for section in places:
        best = board.best(mode, metric, section)
        name = Cell("mean" if section is None else section)
        rows.append([name, *(_cell(board, mode, m, metric, section, decimals, m in best) for m in methods)])
    header = [_heading(metric), *(method.label for method in methods)]
    spread = (
        f"mean ± standard deviation over {len(board.seeds)} seeds (none: every seed gives the same)"
        if len(board.seeds) > 1
        else "one seed"
    )
    caption = f"{metric.label}, {metric.direction}: {spread}."
    return Table(header, rows, caption, folded=f"{metric.label} of each section" if folded else "")


def rankings(board: Board, mode: str, caption: str) -> Figures:
    """A picture per key metric: the methods that compete by their mean, the best first, then the negative control.

    The truth is in the tables only: its score is known, and far from the others would press these together.
    """
    return Figures([_ranking(board, mode, metric) for metric in board.key(mode)], caption, small=True)


def _ranking(board: Board, mode: str, metric: Metric) -> Picture:
    means = {method: board.mean(mode, method, metric) for method in board.methods(mode)}
    decimals = min(3, decimals_for([mean for method, mean in means.items() if method.role != "control"]))
    sign = 1 if metric.higher_is_better else -1

    def place(method: Method) -> tuple[bool, float]:
        mean = means[method]
        return method.role == "control", float("inf") if mean is None else -sign * mean

    dots = len(board.sections) * len(board.seeds) > 1
    rows = [
        RankingRow(m.label, m.role, board.points(mode, m, metric) if dots else [], means[m], shown(means[m], decimals))
        for m in sorted(means, key=place)
        if m.name != "truth"
    ]
    return draw_ranking(metric.label, metric.direction, rows, width=SMALL_WIDTH)


def _table(board: Board, mode: str, metrics: Sequence[Metric], caption: str, folded: str = "") -> Table:
    methods = board.methods(mode)
    decimals = {
        metric: min(3, decimals_for([board.mean(mode, m, metric) for m in methods if m.role != "control"]))
        for metric in metrics
    }
    best = {metric: board.best(mode, metric) for metric in metrics}
    rows = [
        [
            Cell(m.label, quiet=m.role == "control"),
            *(_cell(board, mode, m, metric, None, decimals[metric], m in best[metric]) for metric in metrics),
        ]
        for m in methods
    ]
    return Table(["method", *map(_heading, metrics)], rows, caption, folded=folded)


def _cell(
    board: Board, mode: str, method: Method, metric: Metric, section: str | None, decimals: int, best: bool
) -> Cell:
    deviation = board.deviation(mode, method, metric, section)
    remark = f"± {shown(deviation, decimals)}" if deviation else ""
    text = shown(board.mean(mode, method, metric, section), decimals)
    return Cell(text, best=best, quiet=method.role == "control", remark=remark)


def _heading(metric: Metric) -> str:
    return f"{metric.label}\N{NO-BREAK SPACE}{metric.arrow}"


def _over(board: Board) -> str:
    sections, seeds = len(board.sections), len(board.seeds)
    where = "the held-out section" if sections == 1 else f"{sections} sections, each held out"
    spread = f", ± standard deviation over {seeds} seeds" if seeds > 1 else ""
    return f"Scores on {where}{spread}" if sections == 1 else f"Means over {where}{spread}"
