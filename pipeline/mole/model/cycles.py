"""A mixture of seasonal cycles: which of a few courses of the season holds in which of its kinds, such as weekdays.

C: channels, T: rows, P: places of the calendar (`pipeline.mole.data.calendar_place`), D: groups of seasons, S: rows of
a season, E: experts. P = D S.

Sources: Lin et al., "CycleNet: enhancing time series forecasting through modeling periodic patterns" (2024), for a
cycle that is taken out of window and horizon, and a linear map of the rest; Dempster, Laird and Rubin, "Maximum
likelihood from incomplete data via the EM algorithm" (1977); Jordan and Jacobs, "Hierarchical mixtures of experts and
the EM algorithm" (1994), for gates that see what is known beforehand.
"""

from typing import NamedTuple

import torch
from torch import Tensor

ROUNDS = 100  # at most; the assignment of seven weekdays settles within a few
CERTAIN = 50.0  # largest difference of two logits: a gate of e^-50 is 0 in sums of 32-bit numbers, and no -inf is kept


class Cycles(NamedTuple):
    """Gates and the course of each expert, in double precision."""

    logit_CDE: Tensor
    cycle_CES: Tensor

    def expected(self) -> Tensor:
        """(C, P): the mixture at each place of the calendar."""
        found_CDS = torch.einsum("cde,ces->cds", self.logit_CDE.softmax(2), self.cycle_CES)
        return found_CDS.flatten(1)


def fit_cycles(value_CT: Tensor, place_T: Tensor, season: int, groups: int, experts: int) -> Cycles:
    """By expectation maximisation, where each group belongs to one expert that is not known.

    The logit of expert e for group d is -n m / (2 v), less the largest: n the seasons of the group, m the mean square
    of the group's mean course minus the cycle of e, v the variance of values around their group's course. A season
    counts as one observation, since what is by chance lasts for many rows. A cycle is the mean of its groups' values,
    weighted by their gates. The first expert starts as the mean of all groups, each further one as the group farthest
    from all cycles so far: nothing is drawn, and groups that do not differ are left to the first.
    """
    value_CT = value_CT.double()
    channels, places = len(value_CT), season * groups
    sum_CDS = value_CT.new_zeros(channels, places).index_add(1, place_T, value_CT).view(channels, groups, season)
    count_DS = torch.bincount(place_T, minlength=places).double().view(groups, season)
    mean_CDS, all_CS = sum_CDS / count_DS.clamp(min=1), sum_CDS.sum(1) / count_DS.sum(0).clamp(min=1)
    mean_CDS = mean_CDS.where(count_DS > 0, all_CS[:, None])
    square_C = (value_CT - mean_CDS.flatten(1)[:, place_T]).square().mean(1)
    variance_C = square_C.clamp(min=torch.finfo(torch.float64).eps)
    weight_CD = count_DS.mean(1) / (2 * variance_C[:, None])
    cycle_CES = _started(mean_CDS, all_CS, experts)
    logit_CDE = value_CT.new_zeros(channels, groups, experts)
    for _ in range(ROUNDS):
        logit_CDE, before_CDE = -weight_CD[..., None] * _distances(mean_CDS, cycle_CES), logit_CDE
        logit_CDE = (logit_CDE - logit_CDE.amax(2, keepdim=True)).clamp(min=-CERTAIN)
        gate_CDE = logit_CDE.softmax(2)
        total_CES = torch.einsum("cde,cds->ces", gate_CDE, sum_CDS)
        number_CES = torch.einsum("cde,ds->ces", gate_CDE, count_DS)
        served_CES = number_CES > 1e-9  # an expert that no group belongs to has no course of its own
        cycle_CES = (total_CES / number_CES.clamp(min=1e-9)).where(served_CES, all_CS[:, None])
        if torch.equal(logit_CDE, before_CDE):
            break
    return Cycles(logit_CDE, cycle_CES)


def _started(mean_CDS: Tensor, all_CS: Tensor, experts: int) -> Tensor:
    """(C, E, S)"""
    cycle_CES = all_CS[:, None]
    for _ in range(1, experts):
        farthest_C = _distances(mean_CDS, cycle_CES).amin(2).argmax(1)
        cycle_CES = torch.cat([cycle_CES, mean_CDS[torch.arange(len(mean_CDS)), farthest_C][:, None]], 1)
    return cycle_CES


def _distances(mean_CDS: Tensor, cycle_CES: Tensor) -> Tensor:
    """(C, D, E)"""
    return (mean_CDS[:, :, None] - cycle_CES[:, None]).square().mean(3)
