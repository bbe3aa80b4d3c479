"""Selection of held-out groups for figures, if there are too many to show all."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.cfm_vc.decisive import decisive
from pipeline.metrics.scoreboard import Scoreboard

MOST = 5


@dataclass(frozen=True)
class Selection:
    """The groups to show with their titles, and a sentence on what is left out (empty if nothing is)."""

    titles: Mapping[str, str]
    note: str = ""


def select(board: Scoreboard) -> Selection:
    """All groups up to `MOST`; of more, the model's worst, median and best, to be unbiased."""
    if len(board.units) <= MOST:
        return Selection({unit: unit for unit in board.units})
    metric = decisive(board)[0]

    def rank(unit: str) -> float:
        loss = board.loss(board.model, metric, unit)
        return float("-inf") if loss is None else -loss

    ordered = sorted(board.units, key=rank)
    chosen = {"worst": ordered[0], "median": ordered[(len(ordered) - 1) // 2], "best": ordered[-1]}
    return Selection(
        {unit: f"{place}: {unit}" for place, unit in chosen.items()},
        f"Shown: the model's worst, median and best of {len(ordered)} held-out groups by {metric.label}; for the "
        f"other {len(ordered) - len(chosen)} see the tables.",
    )
