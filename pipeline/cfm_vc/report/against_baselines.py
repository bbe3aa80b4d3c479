"""The section with all scores: ranking, means, and each held-out group with intervals."""

from pipeline.cfm_vc.decisive import key_metrics
from pipeline.cfm_vc.plots.forest import ForestRow, draw_forest
from pipeline.cfm_vc.report.results import PerturbationResults
from pipeline.cfm_vc.report.selection import MOST, Selection, select
from pipeline.cfm_vc.report.verdict import answer_of, lead
from pipeline.metrics.glossary import Metric
from pipeline.metrics.scoreboard import Estimate, Scoreboard
from pipeline.plots.theme import Picture
from pipeline.report.leaderboard import decimals, left_out, method_table, metric_table
from pipeline.report.page import Block, Figures, Heading, Notes, Section
from pipeline.report.ranking import rankings
from pipeline.report.scores import shown
from pipeline.report.uncertainty import beside_scores, within_unit

ANCHOR = "scores"


def against_baselines(results: PerturbationResults) -> Section:
    """The verdict, the ranking, the table of means, the forest plots, and the table of every held-out group."""
    board = results.board
    selection = select(board)
    metrics = _pictured(board)
    dots = (
        "Methods ranked by their mean (large dots) over the held-out groups (small dots): cell types under a "
        "perturbation not seen together in training. Blue: split-half ceiling, how well one half of the true cells "
        "predicts the other, with its range over groups. Hollow: positive and negative controls."
    )
    means = (
        f"Means over the held-out groups{beside_scores(board)}. ↑ higher is better, ↓ lower is better, → nearer to the "
        "number after it is better; ▸ and bold mark the best of each row, ceiling and controls aside. “Undefined”: too "
        "few cells or perturbations for a score, or a method without intervals. "
        f"{left_out(board)}"
    ).rstrip()
    scores = f"Scores{beside_scores(board, board.units)}"
    if within_unit(board) == "seeds":
        covered = "The deviation is that between training runs; it does not cover the sampling of cells."
        lines = f"Dots: means over {len(board.seeds)} seeds; lines: one standard deviation over them to each side."
    else:
        covered = (
            "The bootstrap resamples true and predicted cells: it covers sampling noise, not variation between "
            "training runs."
        )
        lines = "Dots: scores; lines: 95 % bootstrap intervals over cells."
    each = f"{scores}; ▸ and bold mark the best of each group. {covered}"
    more = " The results file holds the other groups." if len(board.units) > MOST else ""
    folded = "" if len(board.units) <= 2 else f"All {len(board.units)} held-out groups as a table"
    notes = results.dataset["notes"]
    blocks: list[Block] = [
        *([Notes(notes)] if notes else []),
        rankings(board, key_metrics(board), dots),
        metric_table(board, means),
        Heading("Held-out groups with uncertainty"),
        Figures(
            [_forest(board, selection, metric) for metric in metrics],
            f"{lines} Orange: model; grey: baselines; blue: split-half ceiling. {selection.note}".rstrip(),
        ),
        method_table(board, metrics, each, board.units, folded=folded),
        *(metric_table(board, f"{scores}.{more}", unit, folded=f"All metrics of {unit}") for unit in selection.titles),
    ]
    return Section("Model and baselines", ANCHOR, lead(results), blocks, answer_of(results))


def _pictured(board: Scoreboard) -> list[Metric]:
    """The key metrics and the overlap of DE genes: an even number, since figures stand in pairs."""
    overlaps = [metric for metric in board.telling if metric.title == "DE overlap top n" and board.defined(metric)]
    chosen = [*key_metrics(board), *overlaps[-1:]]
    return chosen[: len(chosen) // 2 * 2] or chosen


def _forest(board: Scoreboard, selection: Selection, metric: Metric) -> Picture:
    places = decimals(board, metric, list(selection.titles))
    groups = {
        title: [
            ForestRow(
                m.label, m.role, e.value, *_reach(e), "\N{EN DASH}" if e.value is None else shown(e.value, places)
            )
            for m in board.methods
            if m.role != "control"
            for e in [board.estimate(m, metric, unit)]
        ]
        for unit, title in selection.titles.items()
    }
    return draw_forest(metric.label, metric.direction, groups)


def _reach(found: Estimate) -> tuple[float | None, float | None]:
    """The interval of a score; of several seeds, one standard deviation over them to each side."""
    if found.value is None or found.low is not None or found.deviation is None:
        return found.low, found.high
    return found.value - found.deviation, found.value + found.deviation
