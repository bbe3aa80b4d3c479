"""Tables and rankings of one task."""

from dataclasses import replace

from pipeline.alphastomics.decisive import DRAWN, metrics_named
from pipeline.alphastomics.glossary import EXPR_TO_POS, POS_TO_EXPR
from pipeline.metrics.glossary import Metric
from pipeline.metrics.scoreboard import Scoreboard
from pipeline.report import ranking
from pipeline.report.leaderboard import method_table, unit_table
from pipeline.report.page import Figures, Table
from pipeline.report.uncertainty import beside_scores

MAIN = {
    EXPR_TO_POS: ("spearman_distances", "spearman_per_cell", "knn_overlap", "contact_f1", "rmsd_over_gyration"),
    POS_TO_EXPR: ("pcc", "ssim", "js", "pcc_per_cell", "moran_difference"),
}


def main_table(board: Scoreboard, task: str) -> Table:
    """The most telling scores: a row per method, the model first."""
    caption = (
        f"{_over(board)}. ↑ higher is better, ↓ lower is better; ▸ and bold mark the best of each column. Controls "
        "(grey) do not compete."
    )
    return method_table(board, metrics_named(board, MAIN[task]), caption)


def other_table(board: Scoreboard, task: str) -> Table:
    """All scores that are not in the main table."""
    names = [metric.name for metric in board.metrics if metric.name not in MAIN[task]]
    return method_table(board, metrics_named(board, names), f"{_over(board)}.", folded="The other scores")


def section_table(board: Scoreboard, metric: Metric, folded: bool = False) -> Table:
    """One score: a row per section, and one for their mean where there are several."""
    table = unit_table(board, metric, f"{metric.label}, {metric.direction}{beside_scores(board, board.units)}.")
    rows = table.rows if len(board.units) > 1 else table.rows[:1]
    return replace(table, rows=rows, folded=f"{metric.label} of each section" if folded else "")


def rankings(board: Scoreboard, task: str, caption: str) -> Figures:
    """A picture per drawn metric. Without the truth, which is in the tables: its known score would press the others
    together."""
    others = replace(board, methods=tuple(method for method in board.methods if method.name != "truth"))
    return ranking.rankings(others, metrics_named(board, DRAWN[task]), caption)


def _over(board: Scoreboard) -> str:
    sections = len(board.units)
    said = "Scores on the held-out section" if sections == 1 else f"Means over {sections} held-out sections"
    return said + beside_scores(board)
