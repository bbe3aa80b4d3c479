"""Which held-out groups are drawn, where there are too many to draw them all."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.cfm_vc.decisive import decisive
from pipeline.metrics.scoreboard import Scoreboard

MOST = 5


@dataclass(frozen=True)
class Selection:
    """The groups to draw, each with its title, and the sentence that says what is left out (empty: nothing)."""

    titles: Mapping[str, str]
    note: str = ""


def select(board: Scoreboard) -> Selection:
    """All groups up to `MOST`; of more, the model's worst, median and best, so that neither side is favoured."""
    if len(board.units) <= MOST:
        return Selection({unit: unit for unit in board.units})
    metric = decisive(board)[0]
    sign = 1 if metric.higher_is_better else -1

    def rank(unit: str) -> float:
        value = board.estimate(board.model, metric, unit).value
        return float("-inf") if value is None else sign * value

    ordered = sorted(board.units, key=rank)
    chosen = {"worst": ordered[0], "median": ordered[(len(ordered) - 1) // 2], "best": ordered[-1]}
    return Selection(
        {unit: f"{place}: {unit}" for place, unit in chosen.items()},
        f"Drawn are the model's worst, median and best of {len(ordered)} held-out groups by {metric.label}; the other "
        f"{len(ordered) - len(chosen)} are in the tables only.",
    )
