"""The verdict in words, no stronger than the numbers."""

from pipeline.cfm_vc.decisive import decisive
from pipeline.cfm_vc.report.results import PerturbationResults
from pipeline.metrics.scoreboard import Scoreboard
from pipeline.metrics.verdict import Comparison, compare
from pipeline.report.scores import answer, verdict
from pipeline.report.uncertainty import over_all, within_unit

_OVER_CELLS = (
    "Intervals are from a paired bootstrap over the cells of each held-out group: they cover the sampling of cells, "
    "not the choice of groups or the training run."
)
_OVER_SEEDS = (
    "Intervals are by Student's t over seeds: they cover the training run, not the sampling of cells or the choice of "
    "groups."
)
_OVER_GROUPS = (
    "Over all groups the interval is by Student's t over the groups' differences: it covers the choice of groups."
)
_IN_A_GROUP = {
    "resamples": (
        "Within a group it is from a paired bootstrap over its cells: it covers the sampling of cells, not the "
        "training run."
    ),
    "seeds": (
        "Each is a mean over seeds. Within a group the interval is by Student's t over seeds: it covers the training "
        "run, not the sampling of cells."
    ),
}


def interval(board: Scoreboard) -> str:
    """What the intervals of differences are over and cover, in sentences."""
    if over_all(board) != "units":
        return _OVER_CELLS if over_all(board) == "resamples" else _OVER_SEEDS
    return f"{_OVER_GROUPS} {_IN_A_GROUP[within_unit(board)]}"


def comparisons(board: Scoreboard) -> list[Comparison]:
    """Decisive comparisons of the means over held-out groups."""
    return [compare(board, metric) for metric in decisive(board)]


def answer_of(results: PerturbationResults) -> str:
    """Did it work? No stronger than the weakest decisive comparison."""
    return answer(comparisons(results.board))


def data_of(results: PerturbationResults) -> str:
    """A sentence on the data: its description, and whether it is simulated."""
    kind = "Simulated" if results.dataset["simulated"] else "Measured"
    return f"{kind} cells: {str(results.dataset['description']).removeprefix('Simulated: ').rstrip('.')}."


def lead(results: PerturbationResults) -> str:
    """The data, the verdict, and its breadth."""
    board = results.board
    groups = len(board.units)
    where = "On the held-out group" if groups == 1 else f"On the {groups} held-out groups"
    said = verdict(where, board.model.label, comparisons(board))
    return f"{data_of(results)} {said} {breadth(board, results.cells)}"


def breadth(board: Scoreboard, cells: int) -> str:
    """Breadth of the verdict: over all metrics, and over the groups."""
    standings = [compare(board, metric).standing for metric in board.telling if board.contested(metric)]
    level = standings.count("level")
    parts = [
        f"Over all {len(standings)} metrics, {board.model.label} is ahead of the best baseline in "
        f"{standings.count('ahead')}, level in {level} and behind in {standings.count('behind')}."
    ]
    if len(board.units) == 1:
        parts.append(f"A single held-out group ({cells:,} cells) is an example, not a statistic.")
    else:
        metric = decisive(board)[0]
        won = [compare(board, metric, unit).standing for unit in board.units].count("ahead")
        of = f"{len(board.units)} groups ({cells:,} cells)"
        parts.append(f"By {metric.label} it is ahead of every baseline in {won} of {of}, beyond the interval.")
    return " ".join(parts)
