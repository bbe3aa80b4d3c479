"""Did the model foresee what perturbations do? In words that never say more than the numbers."""

from pipeline.cfm_vc.report.results import PerturbationResults
from pipeline.cfm_vc.report.scoreboard import Scoreboard
from pipeline.report.scores import Comparison, answer, compare, verdict


def comparisons(board: Scoreboard) -> list[Comparison]:
    """The decisive ones."""
    return [board.comparison(metric) for metric in board.decisive]


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
    groups = len(board.groups)
    where = "On the held-out group" if groups == 1 else f"On the {groups} held-out groups"
    said = verdict(where, board.model.label, comparisons(board))
    return f"{data_of(results)} {said} {breadth(board, results.cells)}"


def breadth(board: Scoreboard, cells: int) -> str:
    """How broad the verdict is: over all metrics, and over the groups."""
    standings = [compare(metric, board.means(metric)).standing for metric in board.metrics if board.defined(metric)]
    level = standings.count("level")
    parts = [
        f"Over all {len(standings)} metrics, {board.model.label} is ahead of the best baseline in "
        f"{standings.count('ahead')}, level in {level} and behind in {standings.count('behind')}."
    ]
    if len(board.groups) == 1:
        parts.append(f"One held-out group of {cells:,} cells is an example, not a statistic.")
    else:
        metric = board.decisive[0]
        won = list(board.standings(metric).values()).count("ahead")
        parts.append(f"By {metric.label} it is ahead in {won} of {len(board.groups)} groups ({cells:,} cells).")
    return " ".join(parts)
