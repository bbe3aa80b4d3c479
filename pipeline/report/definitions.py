"""The last section of a chapter: definitions of scores, methods, and "ahead"."""

from collections.abc import Sequence

from pipeline.metrics.glossary import Method, Metric
from pipeline.report.page import Facts, Heading, Section


def definitions(
    lead: str, metrics: Sequence[Metric], methods: Sequence[Method], interval: str, anchor: str = "definitions"
) -> Section:
    """One line per metric and per method. interval: sentences on what the intervals of differences cover."""
    scores = {m.title: m.definition + f" Unit: {m.unit}." * bool(m.unit) for m in metrics if m.definition}
    distances = {metric.title for metric in metrics if metric.unbiased_distance}
    floor = f"Differences in {' or '.join(sorted(distances))} below the split-half distance are level too. "
    rule = (
        "A model is ahead or behind if the 95 % interval of its difference to the best baseline excludes 0, otherwise "
        f"level. {floor if distances else ''}{interval}"
    )
    return Section(
        "What the scores mean",
        anchor,
        lead,
        [
            Heading("Metrics"),
            Facts([*scores.items(), ("Ahead, level, behind", rule)]),
            Heading("Methods and controls"),
            Facts([(method.label, method.definition) for method in methods if method.definition]),
        ],
    )
