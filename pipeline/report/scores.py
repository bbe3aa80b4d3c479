"""What metrics and methods are called, which way is better, and what may be said of a model beside its baselines."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.metrics.ranking import best, higher_is_better

Score = float | None  # None: undefined
Scores = Mapping[str, Mapping[str, Score]]  # method -> metric -> mean over the held-out groups

# Differences below these are within what another seed would change, and are called "level".
LEVEL_CORRELATION = 0.01  # absolute
LEVEL_ERROR = 0.02  # relative to the larger of the two


@dataclass(frozen=True)
class Metric:
    name: str
    label: str
    higher_is_better: bool

    @property
    def arrow(self) -> str:
        return "↑" if self.higher_is_better else "↓"


@dataclass(frozen=True)
class Method:
    name: str
    label: str
    role: Literal["model", "baseline", "ceiling"]


_METRICS = (
    (r"pearson_change", "Pearson of change"),
    (r"pearson_change_top(\d+)", r"Pearson, top \1"),
    (r"truth_pearson_change", "Pearson, simulated truth"),
    (r"mse", "MSE"),
    (r"mae", "MAE"),
    (r"e_distance", "E\N{NON-BREAKING HYPHEN}distance"),
    (r"mmd", "MMD"),
)
_MINUS = "\N{MINUS SIGN}"
_MODELS = {"cfm_vc": "CFM-VC"}
_CEILINGS = {"split_half": "split-half ceiling"}


def metric_of(name: str) -> Metric:
    """The metric of this name; one not known here goes by its own name."""
    for pattern, label in _METRICS:
        if re.fullmatch(pattern, name):
            return Metric(name, re.sub(pattern, label, name), higher_is_better(name))
    return Metric(name, name.replace("_", " "), higher_is_better(name))


def method_of(name: str) -> Method:
    """The method of this name; what is neither a model nor a ceiling is a baseline."""
    if name in _MODELS:
        return Method(name, _MODELS[name], "model")
    if name in _CEILINGS:
        return Method(name, _CEILINGS[name], "ceiling")
    return Method(name, name.replace("_", " "), "baseline")


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


def compare(scores: Scores, metric_name: str) -> Comparison:
    """The model beside the baseline that is best on this metric.

    ValueError unless there is exactly one model and at least one baseline.
    """
    metric = metric_of(metric_name)
    methods = [method_of(name) for name in scores]
    models = [method for method in methods if method.role == "model"]
    baselines = {method.name: scores[method.name][metric_name] for method in methods if method.role == "baseline"}
    if len(models) != 1 or not baselines:
        raise ValueError(f"one model and at least one baseline can be compared, not {', '.join(scores) or 'nothing'}")
    rival = best(metric_name, baselines) or next(iter(baselines))
    model = scores[models[0].name][metric_name]
    return Comparison(metric, model, method_of(rival), baselines[rival], standing(metric, model, baselines[rival]))


def answer(comparisons: Sequence[Comparison]) -> str:
    """Did it work? No stronger than the weakest of the comparisons."""
    standings = {comparison.standing for comparison in comparisons}
    if standings == {"ahead"}:
        return "It worked."
    if "ahead" in standings:
        return "It worked in part."
    return "It did not work." if "behind" in standings else "No gain."


def verdict(model: str, comparisons: Sequence[Comparison], groups: int) -> str:
    """How well, in one sentence: what the model is ahead, level and behind in, with both numbers."""
    words = {
        "ahead": "ahead of every baseline",
        "level": "level with the best baseline",
        "behind": "behind the best baseline",
    }
    phrases = [
        f"{phrase} in {_joined([_numbers(comparison) for comparison in alike])}"
        for standing, phrase in words.items()
        if (alike := [comparison for comparison in comparisons if comparison.standing == standing])
    ]
    where = "the held-out group" if groups == 1 else f"the {groups} held-out groups"
    return f"On {where}, {model} is {', but '.join(phrases)}."


def _numbers(comparison: Comparison) -> str:
    decimals = decimals_for([comparison.model, comparison.baseline_score])
    model, rival = (shown(value, decimals) for value in (comparison.model, comparison.baseline_score))
    return f"{comparison.metric.label} ({model} against {rival} for {comparison.baseline.label})"


def _joined(phrases: Sequence[str]) -> str:
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
