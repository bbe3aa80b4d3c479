"""Sentences and formatted numbers on a model and its baselines."""

import math
from collections.abc import Sequence

from pipeline.metrics.verdict import Comparison

_MINUS = "\N{MINUS SIGN}"


def answer(comparisons: Sequence[Comparison]) -> str:
    """Did it work? No stronger than the weakest comparison."""
    standings = {comparison.standing for comparison in comparisons}
    if standings == {"ahead"}:
        return "It worked."
    if "ahead" in standings:
        return "It worked in part."
    return "It did not work." if "behind" in standings else "No gain."


def verdict(where: str, model: str, comparisons: Sequence[Comparison], rival: str = "") -> str:
    """How well, in one sentence: what the model is ahead, level and behind in `where`, with both numbers.

    rival: what the baseline is called where there is a single one, in place of "the best baseline".
    """
    words = {
        "ahead": f"ahead of {rival or 'every baseline'}",
        "level": f"level with {rival or 'the best baseline'}",
        "behind": f"behind {rival or 'the best baseline'}",
    }
    phrases = [
        f"{phrase} in {joined([_numbers(comparison) for comparison in alike])}"
        for standing, phrase in words.items()
        if (alike := [comparison for comparison in comparisons if comparison.standing == standing])
    ]
    return f"{where}, {model} is {', but '.join(phrases)}."


def _numbers(comparison: Comparison) -> str:
    decimals = distinct_decimals([comparison.model, comparison.baseline_score])
    model, rival = (shown(value, decimals) for value in (comparison.model, comparison.baseline_score))
    said = interval_text(comparison, decimals)
    return f"{comparison.metric.label} ({model} against {rival} for {comparison.baseline.label}{said})"


def interval_text(comparison: Comparison, decimals: int) -> str:
    """ "; difference ..., 95 % interval ...", or nothing if there is none."""
    found = comparison.difference
    if found.value is None or found.low is None or found.high is None:
        return ""
    value, low, high = (signed(number, decimals) for number in (found.value, found.low, found.high))
    return f"; difference {value}, 95 % interval {low} to {high}"


def joined(phrases: Sequence[str]) -> str:
    """Join as "a, b and c"."""
    return " and ".join(phrases) if len(phrases) < 3 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def shown(value: float | None, decimals: int | None = None) -> str:
    """Format a score: three significant digits without an exponent, or a fixed number of decimals."""
    if value is None or not math.isfinite(value):
        return "undefined"
    if decimals is None:
        decimals = decimals_for([value])
    text = f"{value:.{decimals}f}"
    return text.replace("-", _MINUS if float(text) else "")


def decimals_for(values: Sequence[float | None]) -> int:
    """Decimals that show the largest of the values with three significant digits (at most six, at least none)."""
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=0.0)
    return 3 if largest == 0 else min(6, max(0, 2 - math.floor(math.log10(largest))))


def distinct_decimals(values: Sequence[float | None]) -> int:
    """As `decimals_for`, with one more where different values would read the same: 1.032, 1.107 and 1.112."""
    decimals = decimals_for(values)
    different = {value for value in values if value is not None and math.isfinite(value)}
    return min(6, decimals + (len({shown(value, decimals) for value in different}) < len(different)))


def signed(value: float, decimals: int) -> str:
    """Format with a sign, also for positive values; zero has none."""
    text = shown(value, decimals)
    return f"+{text}" if value > 0 and float(text) else text
