"""Did the model predict what perturbations do? In words that never say more than the numbers."""

from pipeline.cfm_vc.decisive import decisive
from pipeline.cfm_vc.report.results import PerturbationResults
from pipeline.metrics.scoreboard import Scoreboard
from pipeline.metrics.verdict import Comparison, compare
from pipeline.report.scores import answer, verdict

INTERVAL = (
    "The interval is of a bootstrap over the cells of each held-out group, the same for both methods: it covers other "
    "cells of the same groups, not other groups, nor another training run."
)


def comparisons(board: Scoreboard) -> list[Comparison]:
    """The decisive ones, of the means over the held-out groups."""
    return [compare(board, metric) for metric in decisive(board)]


def answer_of(results: PerturbationResults) -> str:
    """Did it work, in a few words: no stronger than the weakest decisive comparison."""
    return answer(comparisons(results.board))


def data_of(results: PerturbationResults) -> str:
    """Which data it is, and whether it is simulated, as a sentence."""
    kind = "Simulated" if results.dataset["simulated"] else "Measured"
    return f"{kind} cells: {str(results.dataset['description']).removeprefix('Simulated: ').rstrip('.')}."


def lead(results: PerturbationResults) -> str:
    """The data, how the model stands, and how broad that is."""
    board = results.board
    groups = len(board.units)
    where = "On the held-out group" if groups == 1 else f"On the {groups} held-out groups"
    said = verdict(where, board.model.label, comparisons(board))
    return f"{data_of(results)} {said} {breadth(board, results.cells)}"


def breadth(board: Scoreboard, cells: int) -> str:
    """How broad the verdict is: over all metrics, and over the groups."""
    standings = [compare(board, metric).standing for metric in board.metrics if board.defined(metric)]
    level = standings.count("level")
    parts = [
        f"Over all {len(standings)} metrics, {board.model.label} is ahead of the best baseline in "
        f"{standings.count('ahead')}, level in {level} and behind in {standings.count('behind')}."
    ]
    if len(board.units) == 1:
        parts.append(f"One held-out group of {cells:,} cells is an example, not a statistic.")
    else:
        metric = decisive(board)[0]
        won = [compare(board, metric, unit).standing for unit in board.units].count("ahead")
        parts.append(f"By {metric.label} it is ahead in {won} of {len(board.units)} groups ({cells:,} cells).")
    return " ".join(parts)
