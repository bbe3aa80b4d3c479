"""The chapter with all scores: the ranking, means, and each held-out group with its intervals."""

from collections.abc import Sequence

from pipeline.cfm_vc.paths import PATHS
from pipeline.cfm_vc.plots.forest import ForestRow, draw_forest
from pipeline.cfm_vc.report.ranking import rankings
from pipeline.cfm_vc.report.results import PerturbationResults
from pipeline.cfm_vc.report.scoreboard import Estimate, Group, Scoreboard, group_name
from pipeline.cfm_vc.report.selection import MOST, Selection, select
from pipeline.cfm_vc.report.verdict import answer_of, lead
from pipeline.metrics.ranking import best
from pipeline.plots.theme import Picture
from pipeline.report.names import Method, Metric
from pipeline.report.page import Block, Cell, Figures, Heading, Notes, Section, Table
from pipeline.report.scores import Score, decimals_for, shown

ANCHOR = "scores"
_FILE = PATHS.reports / "table.csv"


def against_baselines(results: PerturbationResults) -> Section:
    """The verdict, the ranking, the table of means, the forest plots, and the table of every held-out group."""
    board = results.board
    selection = select(board)
    metrics = _pictured(board)
    caption = (
        "Methods in order of their means (large dots) over the held-out groups (small dots), cell types under a "
        "perturbation that they were never shown with. Blue: the split-half ceiling, how well one half of the truth "
        "predicts the other, and its range over the groups. Hollow: controls; the truth has to win, and what knows "
        "nothing has to lose."
    )
    notes = results.dataset["notes"]
    blocks: list[Block] = [
        *([Notes(notes)] if notes else []),
        rankings(board, caption),
        _means(board),
        Heading("Held-out groups, with their uncertainty"),
        Figures(
            [_forest(board, selection, metric) for metric in metrics],
            "Dots: scores; lines: 95 % bootstrap intervals over the cells. Orange: the model, grey: baselines, blue: "
            f"the split-half ceiling. {selection.note}".rstrip(),
        ),
        _groups(board, metrics),
        *(_full(board, group) for group in selection.titles),
    ]
    return Section("The model against the baselines", ANCHOR, lead(results), blocks, answer_of(results))


def winners(scores: dict[Method, Score], metric: Metric) -> set[str]:
    """The names of the best of the methods that compete: more than one where they are equal."""
    rivals = {method.name: score for method, score in scores.items() if method.role in ("model", "baseline")}
    first = best(metric.name, rivals)
    return {name for name, score in rivals.items() if first is not None and score == rivals[first]}


def _named(metric: Metric) -> str:
    return f"{metric.label}\N{NO-BREAK SPACE}{metric.arrow}"


def _pictured(board: Scoreboard) -> list[Metric]:
    """The key metrics, and with them the overlap of DE genes: an even number, for two stand beside each other."""
    overlaps = [metric for metric in board.metrics if metric.title == "DE overlap top n" and board.defined(metric)]
    chosen = [*board.key, *overlaps[-1:]]
    return chosen[: len(chosen) // 2 * 2] or chosen


def _means(board: Scoreboard) -> Table:
    rows = []
    for metric in board.metrics:
        means = board.means(metric)
        first = winners(means, metric)
        decimals = decimals_for([mean for method, mean in means.items() if method.role != "control"])
        rows.append(
            [
                Cell(_named(metric)),
                *(
                    Cell(shown(mean, decimals), best=method.name in first, quiet=_apart(method))
                    for method, mean in means.items()
                ),
            ]
        )
    caption = (
        "Means over the held-out groups. ↑ higher is better, ↓ lower is better; ▸ and bold mark the best of each row. "
        "The ceiling and the controls do not compete. “Undefined”: too few cells or perturbations for a score."
    )
    return Table(["metric", *(method.label for method in board.methods)], rows, caption)


def _forest(board: Scoreboard, selection: Selection, metric: Metric) -> Picture:
    methods = [method for method in board.methods if method.role != "control"]
    found = {(group, m): board.estimate(group, m, metric) for group in selection.titles for m in methods}
    decimals = decimals_for([estimate.value for estimate in found.values()])
    groups = {}
    for group, title in selection.titles.items():
        estimates = [(method, found[group, method]) for method in methods]
        groups[title] = [
            ForestRow(
                m.label, m.role, e.value, e.low, e.high, "\N{EN DASH}" if e.value is None else shown(e.value, decimals)
            )
            for m, e in estimates
        ]
    return draw_forest(metric.label, metric.direction, groups)


def _groups(board: Scoreboard, metrics: Sequence[Metric]) -> Table:
    """A row per method, below the name of each group, with the metrics of the pictures."""
    decimals = {metric.name: _decimals(board, board.groups, metric) for metric in metrics}
    rows = []
    for group in board.groups:
        first = {metric.name: winners(board.of_group(group, metric), metric) for metric in metrics}
        rows.append([Cell(group_name(group))])
        for method in board.methods:
            cells = [
                _estimate(
                    board.estimate(group, method, metric),
                    decimals[metric.name],
                    method.name in first[metric.name],
                    _apart(method),
                )
                for metric in metrics
            ]
            rows.append([Cell(method.label, quiet=_apart(method)), *cells])
    caption = (
        "Scores with their 95 % intervals; ▸ and bold mark the best of each group. A bootstrap resamples the true and "
        "the predicted cells: it shows the noise of few cells, not that of another training run."
    )
    folded = "" if len(board.groups) <= 2 else f"All {len(board.groups)} held-out groups as a table"
    return Table(["method", *map(_named, metrics)], rows, caption, folded=folded)


def _full(board: Scoreboard, group: Group) -> Table:
    """All metrics of one group."""
    rows = []
    for metric in board.metrics:
        first = winners(board.of_group(group, metric), metric)
        decimals = _decimals(board, [group], metric)
        cells = [
            _estimate(board.estimate(group, method, metric), decimals, method.name in first, _apart(method))
            for method in board.methods
        ]
        rows.append([Cell(_named(metric)), *cells])
    more = f" Those of the groups that are not drawn are in {_FILE}." if len(board.groups) > MOST else ""
    header = ["metric", *(method.label for method in board.methods)]
    return Table(header, rows, f"Scores with their 95 % intervals.{more}", folded=f"All metrics of {group_name(group)}")


def _estimate(estimate: Estimate, decimals: int, first: bool, apart: bool) -> Cell:
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f"{shown(estimate.low, decimals)} to {shown(estimate.high, decimals)}"
    return Cell(shown(estimate.value, decimals), best=first, quiet=apart, remark=interval)


def _decimals(board: Scoreboard, groups: Sequence[Group], metric: Metric) -> int:
    competing = [method for method in board.methods if method.role != "control"]
    return decimals_for([board.estimate(group, method, metric).value for group in groups for method in competing])


def _apart(method: Method) -> bool:
    return method.role in ("ceiling", "control")
