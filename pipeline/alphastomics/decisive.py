"""Which scores decide whether AlphaSTomics worked, and how the scores of its two tasks are told apart."""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.alphastomics.glossary import EXPR_TO_POS, GLOSSARIES, POS_TO_EXPR
from pipeline.core.errors import ExpectedError
from pipeline.metrics.glossary import Metric
from pipeline.metrics.results import Row
from pipeline.metrics.scoreboard import Scoreboard, scoreboard
from pipeline.metrics.verdict import Comparison, compare

Boards = Mapping[str, Scoreboard]  # by task

MODEL, CEILING = "model", "noise_ceiling"
COVERAGE = "coverage_"  # begins the metrics of regions; the level follows, in percent
DECISIVE = {EXPR_TO_POS: ("spearman_distances", "knn_overlap", "contact_f1"), POS_TO_EXPR: ("pcc",)}
# Contact F1 asks for neighbours as the kNN overlap does.
DIGITS = 6  # of a score, as it is written
HEADLINES = ("spearman_distances", "knn_overlap", "pcc")
DRAWN = {EXPR_TO_POS: DECISIVE[EXPR_TO_POS], POS_TO_EXPR: ("pcc", "ssim", "js")}


def boards(rows: Iterable[Row]) -> Boards:
    """The scoreboard of each task: no metric is in both. ExpectedError where a task lacks a model, a baseline or a
    decisive score."""
    rows = list(rows)
    found = {}
    for task, glossary in GLOSSARIES.items():
        try:
            found[task] = scoreboard([row for row in rows if row.metric in glossary], glossary)
        except ExpectedError as error:
            raise ExpectedError(f"{task}: {error}") from error
        model = found[task].models[0]
        for name in DECISIVE[task]:
            if name not in [m.name for m in found[task].metrics if found[task].points(model, m)]:
                raise ExpectedError(f"{task}: no {name} of {MODEL}")
    return found


def metrics_named(board: Scoreboard, names: Sequence[str]) -> list[Metric]:
    """Those of them that the model has a score of, in the order of the table."""
    model = board.method(MODEL)
    return [metric for metric in board.metrics if metric.name in names and board.points(model, metric)]


def comparisons(found: Boards, unit: str = "all") -> dict[str, list[Comparison]]:
    """The model beside its best baseline in the decisive scores of each task."""
    return {
        task: [compare(board, metric, unit, board.method(MODEL)) for metric in metrics_named(board, DECISIVE[task])]
        for task, board in found.items()
    }
