"""When a model is ahead of a baseline, level with it, or behind: one rule for all systems.

Level: the 95 % interval of the difference contains 0, or there is no interval. Each system decides what its intervals
cover (cells, images, sections, seeds).

Unbiased distances (0 on average for samples of one population) also have a noise floor: the split-half distance of the
truth is noise alone, and smaller differences between methods are level. Other scores have none: the noise of the truth
affects both methods equally, and cancels.
"""

from dataclasses import dataclass, field
from typing import Literal

from pipeline.metrics.glossary import Method, Metric
from pipeline.metrics.results import ALL
from pipeline.metrics.scoreboard import Estimate, Scoreboard

Standing = Literal["ahead", "level", "behind"]

_ROUNDING = 1e-12  # of a bound that is 0 but for the order of a sum


@dataclass(frozen=True)
class Comparison:
    """A model against a baseline on one metric; `difference` is model minus baseline (`Metric.difference`)."""

    metric: Metric
    model: float | None
    baseline: Method
    baseline_score: float | None
    standing: Standing
    difference: Estimate = field(default_factory=Estimate)


def standing_of(difference: Estimate, higher_is_better: bool, floor: float = 0.0) -> Standing:
    """The standing of a model from its difference to a baseline; absolute differences up to `floor` are level."""
    value, low, high = difference.value, difference.low, difference.high
    if value is None or low is None or high is None or abs(value) <= floor or (low <= _ROUNDING and high >= -_ROUNDING):
        return "level"
    return "ahead" if (value > 0) == higher_is_better else "behind"


def compare(
    board: Scoreboard, metric: Metric, unit: str = ALL, model: Method | None = None, baseline: Method | None = None
) -> Comparison:
    """Compare the model (None: the only one) with a baseline (None: the best on this metric and unit).

    If only one of them is defined, it is ahead; an undefined model is behind. A baseline that is used in place of a
    model may be the best itself: it is level. ValueError if both are defined but the table lacks their difference, or
    `model` is None and there are several.
    """
    model = board.model if model is None else model
    if baseline is None:
        baseline = next(iter(board.best(metric, unit, board.baselines)), board.baselines[0])
    ours, theirs = (board.estimate(method, metric, unit).value for method in (model, baseline))
    if ours is None or theirs is None:
        return Comparison(metric, ours, baseline, theirs, "behind" if ours is None else "ahead")
    if model.name == baseline.name:
        return Comparison(metric, ours, baseline, theirs, "level", Estimate(0.0, 0.0, 0.0))
    difference = board.difference(model, baseline, metric, unit)
    if difference is None:
        raise ValueError(f"no difference between {model.name} and {baseline.name} in {metric.name}, {unit}")
    floor = noise_floor(board, metric, unit)
    return Comparison(
        metric, ours, baseline, theirs, standing_of(difference, metric.higher_is_better, floor), difference
    )


def noise_floor(board: Scoreboard, metric: Metric, unit: str = ALL) -> float:
    """Largest absolute split-half score on an unbiased distance, interval included."""
    if not metric.unbiased_distance:
        return 0.0
    found = [board.estimate(method, metric, unit) for method in board.methods if method.role == "ceiling"]
    return max((abs(x) for one in found for x in (one.value, one.low, one.high) if x is not None), default=0.0)
