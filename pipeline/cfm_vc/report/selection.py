"""Which held-out groups are drawn, where there are too many to draw them all."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.cfm_vc.report.scoreboard import Group, Scoreboard, group_name

MOST = 5


@dataclass(frozen=True)
class Selection:
    """The groups to draw, each with its title, and the sentence that says what is left out (empty: nothing)."""

    titles: Mapping[Group, str]
    note: str = ""


def select(board: Scoreboard) -> Selection:
    """All groups up to `MOST`; of more, the model's worst, median and best, so that neither side is favoured."""
    if len(board.groups) <= MOST:
        return Selection({group: group_name(group) for group in board.groups})
    metric = board.decisive[0]
    sign = 1 if metric.higher_is_better else -1

    def rank(group: Group) -> float:
        value = board.estimate(group, board.model, metric).value
        return float("-inf") if value is None else sign * value

    ordered = sorted(board.groups, key=rank)
    chosen = {"worst": ordered[0], "median": ordered[(len(ordered) - 1) // 2], "best": ordered[-1]}
    return Selection(
        {group: f"{place}: {group_name(group)}" for place, group in chosen.items()},
        f"Drawn are the model's worst, median and best of {len(ordered)} held-out groups by {metric.label}; the other "
        f"{len(ordered) - len(chosen)} are in the tables only.",
    )
