"""The first screen: standings and numbers of the cards, which each system fills in."""

from collections.abc import Sequence

from pipeline.metrics.verdict import Comparison, Standing
from pipeline.report.page import Number
from pipeline.report.scores import distinct_decimals, joined, shown

MOST = 4  # numbers per system


def overall(found: Sequence[Comparison]) -> Standing:
    """The standing of an answer: ahead if all comparisons are, behind if none is ahead and any is behind."""
    standings = {one.standing for one in found}
    if standings == {"ahead"}:
        return "ahead"
    return "behind" if "behind" in standings and "ahead" not in standings else "level"


def tally(found: Sequence[Comparison]) -> str:
    """Counts of comparisons by standing: "ahead in 1 and behind in 1 of 2 decisive scores"."""
    words: tuple[Standing, ...] = ("ahead", "level", "behind")
    counts = [(word, sum(one.standing == word for one in found)) for word in words]
    said = joined([f"{word} in {count}" for word, count in counts if count])
    return f"{said} of {len(found)} decisive scores"


def number_of(one: Comparison) -> Number:
    """A score beside that of the best baseline."""
    decimals = distinct_decimals([one.model, one.baseline_score])
    ours, theirs = (shown(value, decimals) for value in (one.model, one.baseline_score))
    return Number(f"{one.metric.label} {one.metric.arrow}", ours, f"{theirs} {one.baseline.label}", one.standing)
