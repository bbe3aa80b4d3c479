"""The first screen: did it work, and the ranking of methods that says so."""

from collections.abc import Sequence

from pipeline.report.inputs import PerturbationResults
from pipeline.report.page import Headline, Pointer
from pipeline.report.ranking import rankings
from pipeline.report.scoreboard import Scoreboard
from pipeline.report.scores import answer, compare, verdict


def headline(results: PerturbationResults, elsewhere: Sequence[str] = (), pointers: Sequence[Pointer] = ()) -> Headline:
    """What the first screen says, computed from the scores alone; `elsewhere`: what other data say of the same;
    `pointers`: to what other chapters answer."""
    board = results.board
    comparisons = [board.comparison(metric) for metric in board.decisive]
    groups = len(board.groups)
    where = "On the held-out group" if groups == 1 else f"On the {groups} held-out groups"
    caption = (
        "Methods in order of their means (large dots) over the held-out groups (small dots). Blue: the split-half "
        "ceiling, how well one half of the truth predicts the other, and its range over the groups. Hollow: controls; "
        "the truth has to win, and what knows nothing has to lose."
    )
    return Headline(
        simulated=bool(results.dataset["simulated"]),
        data=_sentence(results.dataset["description"]),
        answer=answer(comparisons),
        verdict=verdict(where, board.model.label, comparisons),
        detail=" ".join([_breadth(board, results.cells), *elsewhere]),
        figures=rankings(board, caption),
        notes=results.dataset["notes"],
        pointers=pointers,
    )


def _sentence(description: str) -> str:
    """The description as a sentence of its own; that data is simulated, the line's first words say already."""
    bare = description.removeprefix("Simulated: ")
    first = bare[:1] if bare == description else bare[:1].upper()
    return f"{first}{bare[1:].rstrip('.')}."


def _breadth(board: Scoreboard, cells: int) -> str:
    """How broad the headline is: over all metrics, and over the groups."""
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
