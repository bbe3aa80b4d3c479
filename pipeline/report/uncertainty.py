"""What stands beside scores and what intervals are over, in words, as the runs of a study left it."""

from collections.abc import Sequence
from typing import Literal

from pipeline.metrics.results import ALL
from pipeline.metrics.scoreboard import Scoreboard

Over = Literal["resamples", "units", "seeds"]


def beside_scores(board: Scoreboard, units: Sequence[str] = (ALL,)) -> str:
    """How the caption of scores in these units goes on: ", with 95 % intervals", ", ± standard deviation over 3 seeds",
    or "" where there is neither."""
    found = [board.estimate(method, m, unit) for method in board.methods for m in board.metrics for unit in units]
    if any(one.low is not None for one in found):
        return ", with 95 % intervals"
    return f", ± standard deviation over {len(board.seeds)} seeds" if any(one.deviation for one in found) else ""


def over_all(board: Scoreboard) -> Over:
    """What intervals of differences over all units are over: resamples of the only run, or units, or seeds."""
    if not board.seeds:
        return "resamples"
    return "units" if len(board.units) > 1 else "seeds"


def within_unit(board: Scoreboard) -> Over:
    """What intervals of differences within a unit are over: resamples of the run that scored it, or seeds."""
    repeated = any(len(rows) > 1 for (unit, _, _), rows in board.rows.items() if unit != ALL)
    return "seeds" if repeated else "resamples"
