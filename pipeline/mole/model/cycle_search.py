"""Cycles and the ridge map of what they leave, fitted to the train windows of every origin in closed form.

C: channels, L: rows of the lookback, H: rows of the horizon.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from pipeline.mole.data.calendar_place import Calendar
from pipeline.mole.data.ridge_choice import Groups, RidgeChoice
from pipeline.mole.data.windows import Windows
from pipeline.mole.model.cycle_mixture import CycleMixture
from pipeline.mole.model.cycles import CERTAIN, Cycles, fit_cycles
from pipeline.mole.model.held_out import held_out, optimism
from pipeline.mole.model.ridge_search import Ridge, fitted, joint_losses, of_group, try_ridges

Origins = Sequence[tuple[Windows, Windows]]  # train and validation windows, the validation rows' origin last


class Solved(NamedTuple):
    """Of each origin the mixture, and how many times as large its loss is where these rows have no part in the choice
    of its cycles' number and its penalty."""

    models: list[CycleMixture]
    optimism: list[float]


class _Part(NamedTuple):
    """Of the channels of one map: the cycles of each origin, the map's settings, the windows less cycles."""

    cycles: Sequence[Cycles]
    ridge: Ridge
    origins: Origins


def solve_cycles(
    windows_of: Callable[[int], Origins],
    ridges: Sequence[RidgeChoice],
    groups: Groups,
    calendar: Calendar,
    experts: int,
) -> Solved:
    """The mixture at every origin. windows_of: by lookback; ridges: the maps to start from, of groups of channels.

    Lookback and offset stay those of the ridge; its penalty is searched again for what the cycles leave. A group has as
    many cycles, up to the number of experts, as have the lowest loss over the origins, and none, which is the ridge,
    where none lowers it: other experts have no weight there.
    """
    known = {one.lookback: windows_of(one.lookback) for one in ridges}
    parts = [
        _better(of_group(known[choice.lookback], group), choice, calendar, experts)
        for choice, group in zip(ridges, groups, strict=True)
    ]
    longest, found = max(known), []
    group_C = torch.tensor([(place, channel) for place, group in enumerate(groups) for channel in group])
    order_C = group_C[:, 1].argsort()  # from channels group by group to channels as they are
    for origin in range(len(known[longest])):
        cycles = Cycles(*(torch.cat(of)[order_C] for of in zip(*(part.cycles[origin] for part in parts), strict=True)))
        maps = [pad(fitted(part.ridge, part.origins[origin][0]), (longest - part.ridge.lookback, 0)) for part in parts]
        weight_CHL = torch.stack(maps)[group_C[order_C, 0]]
        found.append(CycleMixture.of(cycles, weight_CHL, calendar.step))
    losses, without = (
        joint_losses((getattr(part.ridge, name) for part in parts), groups) for name in ("losses", "held_out")
    )
    return Solved(found, optimism(without, losses))


def _better(origins: Origins, choice: RidgeChoice, calendar: Calendar, experts: int) -> _Part:
    """Of the ridge alone and of each number of cycles, what has the lowest loss over the origins."""
    (alone,) = tried = try_ridges(lambda _: origins, [choice.lookback], [choice.offset], [choice.penalty])
    one = [_fitted(train, calendar, 1) for train, _ in origins]
    found = [_Part([Cycles(*map(torch.zeros_like, of)) for of in one], alone, origins)]
    for number in range(1, experts + 1):
        cycles = [_fitted(train, calendar, number) for train, _ in origins]
        rest = [
            (_less(train, of, calendar), _less(validation, of, calendar))
            for of, (train, validation) in zip(cycles, origins, strict=True)
        ]
        of_number = try_ridges(lambda _, rest=rest: rest, [choice.lookback], [choice.offset])  # type: ignore[misc]
        found.append(_Part(cycles, min(of_number, key=lambda one: one.loss), rest))
        tried = [*tried, *of_number]
    best = min(found, key=lambda part: part.ridge.loss)
    ridge = best.ridge._replace(held_out=held_out([one.losses for one in tried]))
    return best._replace(cycles=[_of_experts(one, experts) for one in best.cycles], ridge=ridge)


def _of_experts(cycles: Cycles, experts: int) -> Cycles:
    """As many, of which those that are added have no weight."""
    more = experts - cycles.cycle_CES.shape[1]
    return Cycles(pad(cycles.logit_CDE, (0, more), value=-CERTAIN), pad(cycles.cycle_CES, (0, 0, 0, more)))


def _fitted(train: Windows, calendar: Calendar, experts: int) -> Cycles:
    place_T = torch.from_numpy(calendar.place(train.stamp_T))
    return fit_cycles(torch.from_numpy(train.value_CT), place_T, calendar.season, calendar.groups, experts)


def _less(windows: Windows, cycles: Cycles, calendar: Calendar) -> Windows:
    expected_CT = cycles.expected()[:, torch.from_numpy(calendar.place(windows.stamp_T))]
    return replace(windows, value_CT=windows.value_CT - expected_CT.float().numpy())
