"""The end of a chapter: what each score means, what the methods beside the model are for, and what "ahead" says."""

from collections.abc import Sequence

from pipeline.metrics.glossary import Method, Metric
from pipeline.report.page import Facts, Heading, Section


def definitions(lead: str, metrics: Sequence[Metric], methods: Sequence[Method], interval: str) -> Section:
    """One line per metric and per method. interval: what the intervals of differences cover, as sentences."""
    scores = {m.title: m.definition + f" Unit: {m.unit}." * bool(m.unit) for m in metrics if m.definition}
    distances = {metric.title for metric in metrics if metric.unbiased_distance}
    floor = f"Differences in {' or '.join(sorted(distances))} below that of two halves of the truth are level too. "
    rule = (
        "A model is ahead or behind where the 95 % interval of its difference to the best baseline excludes 0; else "
        f"level. {floor if distances else ''}{interval}"
    )
    return Section(
        "What the scores mean",
        "definitions",
        lead,
        [
            Heading("Metrics"),
            Facts([*scores.items(), ("Ahead, level, behind", rule)]),
            Heading("Methods and controls"),
            Facts([(method.label, method.definition) for method in methods if method.definition]),
        ],
    )
