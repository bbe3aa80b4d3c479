"""What a choice is worth on rows that had no part in it.

The lowest loss of many tried, be they settings or epochs, is lower than that of new rows will be, and the more so the
more were tried: for each of seven channels by itself more than for all at once. So each origin is judged by what the
other origins choose. Sources: Varma and Simon, "Bias in error estimation when using cross-validation for model
selection" (2006); Cawley and Talbot, "On over-fitting in model selection and subsequent selection bias in performance
evaluation" (2010).
"""

from collections.abc import Sequence
from math import isfinite
from statistics import fmean, geometric_mean
from sys import float_info


def over_origins(losses: Sequence[float]) -> float:
    """One loss of those at several origins, which count alike whatever their level: the geometric mean."""
    if not all(map(isfinite, losses)):
        return float("inf")
    return geometric_mean(max(loss, float_info.min) for loss in losses)


def held_out(tried: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """At each origin, the loss of what has the lowest loss over the others; of a single origin, the lowest.

    tried: of each that was tried, the losses at all origins.
    """
    origins = range(len(tried[0]))
    if len(origins) == 1:
        return (min(losses[0] for losses in tried),)

    def best_of_others(origin: int) -> Sequence[float]:
        return min(tried, key=lambda losses: over_origins([*losses[:origin], *losses[origin + 1 :]]))

    return tuple(best_of_others(origin)[origin] for origin in origins)


def optimism(without: Sequence[float], losses: Sequence[float]) -> list[float]:
    """How many times as large losses are `without` a part in the choice; 1 where a loss is 0, as of a constant."""
    return [held / loss if loss else 1.0 for held, loss in zip(without, losses, strict=True)]


def held_out_of_epochs(curves: Sequence[Sequence[Sequence[float]]]) -> tuple[float, ...]:
    """At each origin, the mean loss over its trainings at the epoch that the others choose.

    curves: of each origin, and of each training there, the losses epoch by epoch. A training that stopped early counts
    on with its last.
    """
    epochs = max(len(curve) for origin in curves for curve in origin)
    tried = [
        tuple(fmean(curve[min(epoch, len(curve) - 1)] for curve in origin) for origin in curves)
        for epoch in range(epochs)
    ]
    return held_out(tried)
