"""What may be said of a model beside its baselines: never more than the numbers carry."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.metrics.ranking import best
from pipeline.report.names import Method, Metric

Score = float | None  # None: undefined

# Differences below these are within what another seed would change, and are called "level".
LEVEL_CORRELATION = 0.01  # absolute
LEVEL_ERROR = 0.02  # relative to the larger of the two

_MINUS = "\N{MINUS SIGN}"

Standing = Literal["ahead", "level", "behind"]


def standing(metric: Metric, model: Score, baseline: Score) -> Standing:
    """Where the model stands beside a baseline; an undefined score is behind a defined one."""
    if model is None or not math.isfinite(model):
        return "behind"
    if baseline is None or not math.isfinite(baseline):
        return "ahead"
    tolerance = LEVEL_CORRELATION if metric.higher_is_better else LEVEL_ERROR * max(abs(model), abs(baseline))
    if abs(model - baseline) <= tolerance:
        return "level"
    return "ahead" if (model > baseline) == metric.higher_is_better else "behind"


@dataclass(frozen=True)
class Comparison:
    """The model beside its best baseline on one metric."""

    metric: Metric
    model: Score
    baseline: Method
    baseline_score: Score
    standing: Standing


def compare(metric: Metric, scores: Mapping[Method, Score]) -> Comparison:
    """The model beside the baseline that is best on this metric; ceilings and controls do not compete.

    ValueError unless there is exactly one model and at least one baseline.
    """
    models = [method for method in scores if method.role == "model"]
    baselines = {method.name: method for method in scores if method.role == "baseline"}
    if len(models) != 1 or not baselines:
        found = ", ".join(method.name for method in scores) or "nothing"
        raise ValueError(f"one model and at least one baseline can be compared, not {found}")
    rival = best(metric.name, {name: scores[method] for name, method in baselines.items()}) or next(iter(baselines))
    model, score = scores[models[0]], scores[baselines[rival]]
    return Comparison(metric, model, baselines[rival], score, standing(metric, model, score))


def answer(comparisons: Sequence[Comparison]) -> str:
    """Did it work? No stronger than the weakest of the comparisons."""
    standings = {comparison.standing for comparison in comparisons}
    if standings == {"ahead"}:
        return "It worked."
    if "ahead" in standings:
        return "It worked in part."
    return "It did not work." if "behind" in standings else "No gain."


def verdict(where: str, model: str, comparisons: Sequence[Comparison]) -> str:
    """How well, in one sentence: what the model is ahead, level and behind in `where`, with both numbers."""
    words = {
        "ahead": "ahead of every baseline",
        "level": "level with the best baseline",
        "behind": "behind the best baseline",
    }
    phrases = [
        f"{phrase} in {joined([_numbers(comparison) for comparison in alike])}"
        for standing, phrase in words.items()
        if (alike := [comparison for comparison in comparisons if comparison.standing == standing])
    ]
    return f"{where}, {model} is {', but '.join(phrases)}."


def _numbers(comparison: Comparison) -> str:
    decimals = decimals_for([comparison.model, comparison.baseline_score])
    model, rival = (shown(value, decimals) for value in (comparison.model, comparison.baseline_score))
    return f"{comparison.metric.label} ({model} against {rival} for {comparison.baseline.label})"


def joined(phrases: Sequence[str]) -> str:
    """A list in words: "a, b and c"."""
    return " and ".join(phrases) if len(phrases) < 3 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def shown(value: Score, decimals: int | None = None) -> str:
    """A score for reading: three significant digits without an exponent, or a fixed number of decimals."""
    if value is None or not math.isfinite(value):
        return "undefined"
    if decimals is None:
        decimals = decimals_for([value])
    text = f"{value:.{decimals}f}"
    return text.replace("-", _MINUS if float(text) else "")


def decimals_for(values: Sequence[Score]) -> int:
    """Decimals that show the largest of the values with three significant digits (at most six, at least none)."""
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=0.0)
    return 3 if largest == 0 else min(6, max(0, 2 - math.floor(math.log10(largest))))
