"""The tables of benchmarks/peers, from rows of scores: means over groups and seeds, each group, and who is ahead."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.effects import SHOWN
from pipeline.cfm_vc.evaluation.judge import MODEL
from pipeline.cfm_vc.glossary import GLOSSARY

OURS = MODEL
LABELS = {name: label for name, label, _ in GLOSSARY.methods}
OF_GROUPS = ("pearson_change_top100", "e_distance")  # shown of each held-out group

Rows = list[dict[str, Any]]


def as_markdown(rows: Rows) -> Iterator[str]:
    """The lines of all tables."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    groups = list(dict.fromkeys((row["cell_type"], row["perturbation"]) for row in rows))
    yield f"| mean of {len(groups)} held-out groups | seeds | {' | '.join(heading(name) for name in SHOWN)} |"
    yield f"|---|--:|{'--:|' * len(SHOWN)}"
    for method in methods:
        seeds = {row["seed"] for row in rows if row["method"] == method} - {None}
        cells = [number(name, mean(rows, method, name)) for name in SHOWN]
        yield f"| {method} | {len(seeds) or ''} | {' | '.join(cells)} |"
    alike = len({perturbation for _, perturbation in groups}) == 1
    names = [cell_type if alike else f"{cell_type}, {perturbation}" for cell_type, perturbation in groups]
    for metric in OF_GROUPS:
        yield ""
        yield f"| {heading(metric)} | {' | '.join(names)} |"
        yield f"|---|{'--:|' * len(groups)}"
        for method in methods:
            values = (number(metric, mean(rows, method, metric, group)) for group in groups)
            yield f"| {method} | {' | '.join(values)} |"
    yield from ahead(rows, methods, groups)


def ahead(rows: Rows, methods: list[str], groups: list[tuple[str, str]]) -> Iterator[str]:
    """In how many groups our model, on average over its seeds, scores better than each other method."""
    ours = LABELS[OURS]
    if ours not in methods:
        return
    yield ""
    yield f"| {ours} is ahead of, groups of {len(groups)} | {' | '.join(heading(name) for name in OF_GROUPS)} |"
    yield f"|---|{'--:|' * len(OF_GROUPS)}"
    for method in methods:
        if method != ours:
            counts = (str(sum(leads(rows, ours, method, name, group) for group in groups)) for name in OF_GROUPS)
            yield f"| {method} | {' | '.join(counts)} |"


def leads(rows: Rows, first: str, second: str, metric: str, group: tuple[str, str]) -> bool:
    """Whether the first method scores better in this group."""
    difference = mean(rows, first, metric, group) - mean(rows, second, metric, group)
    return bool(difference > 0) if GLOSSARY.metric(metric).higher_is_better else bool(difference < 0)


def mean(rows: Rows, method: str, metric: str, group: tuple[str, str] | None = None) -> float:
    """Over the seeds and, unless one is named, the groups: of each group's mean, so that all count alike."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if (row["method"], row["metric"]) == (method, metric):
            values.setdefault((row["cell_type"], row["perturbation"]), []).append(row["value"])
    return float(np.mean([np.mean(found) for key, found in values.items() if group in (None, key)]))


def heading(metric: str) -> str:
    """What the report calls a metric."""
    return GLOSSARY.metric(metric).heading


def number(metric: str, value: float) -> str:
    """With as many digits as the metric needs."""
    return f"{value:.4f}" if metric == "mse" else f"{value:.3f}"
