"""Whether a forecaster gains over a simpler one, by their losses on the same stretches of rows."""

from collections.abc import Mapping
from math import exp, inf, log, sqrt
from statistics import fmean, geometric_mean, stdev
from sys import float_info
from typing import NamedTuple

ROUNDING = 1e-5  # of the logarithm of a ratio: losses of one map, computed in two ways and written in six digits

Losses = Mapping[str, float]  # by the stretch that they are of


class Gain(NamedTuple):
    """Of the logarithm of losses: by how much they are lower in the mean, and the standard error of that mean, which is
    infinite where there is one stretch alone."""

    mean: float
    error: float

    @property
    def share(self) -> float:
        """By which losses are lower in the geometric mean."""
        return 1 - exp(-self.mean)

    @property
    def clear(self) -> bool:
        """Whether it exceeds its standard error."""
        return self.mean > self.error * (1 + ROUNDING)


def gain(ours: Losses, theirs: Losses) -> Gain:
    """On the stretches that both have.

    By logarithms, since one stretch is harder than another (Davydenko and Fildes, "Measuring forecasting accuracy",
    2013); paired, since what is hard is hard for both (Diebold and Mariano, "Comparing predictive accuracy", 1995). A
    stretch counts as one observation: its windows overlap, and one fit forecasts them all.
    """
    logs = [_log(theirs[key]) - _log(ours[key]) for key in ours if key in theirs]
    logs = [0.0 if abs(one) < ROUNDING else one for one in logs]
    return Gain(fmean(logs), stdev(logs) / sqrt(len(logs)) if len(logs) > 1 else inf)


def _log(loss: float) -> float:
    return log(max(loss, float_info.min))


def preferred(candidates: Mapping[str, Losses]) -> str:
    """The first of the candidates, the simplest, unless others gain over it by more than one standard error: then of
    these the one of the lowest geometric mean of losses, and of equals the first.

    The rule of one standard error: Breiman et al., "Classification and regression trees" (1984), section 3.4.3; Hastie
    et al., "The elements of statistical learning" (2009), section 7.10. One lucky stretch, the others level, lifts the
    mean by exactly one, however lucky: that is not enough. Losses should be of rows that had no part in any choice
    (`pipeline.mole.model.held_out`): no such rule sees what was won by choosing.
    """
    simplest = next(iter(candidates))
    clear = [name for name, losses in candidates.items() if gain(losses, candidates[simplest]).clear]
    return min(clear or [simplest], key=lambda name: geometric_mean(candidates[name].values()))
