"""Scores on held-out sections as rows of results: scores, their means over sections, and differences to baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.alphastomics.evaluation.judge import Judged, role_of
from pipeline.alphastomics.glossary import GLOSSARIES
from pipeline.alphastomics.metrics.block_jackknife import jackknife_interval
from pipeline.metrics.differences import difference_rows, mean_rows
from pipeline.metrics.results import ALL, Row, difference_name

Interval = tuple[float, float] | None
Intervals = Mapping[tuple[str, str, str], Interval]  # by unit, method and metric


def score_rows(judged: Sequence[Judged]) -> list[Row]:
    """A row per task, section, method and metric. Intervals: of the jackknife over blocks, if it has any."""
    return [
        Row(
            one.section.name,
            method,
            role_of(method),
            metric,
            float(values_K1[0]),
            *_bounds(jackknife_interval(values_K1, glossary.metric(metric).bounds if metric in glossary else _ANY)),
        )
        for task, glossary in GLOSSARIES.items()
        for one in judged
        for method, of_method in one.scores[task].items()
        for metric, values_K1 in of_method.items()
    ]


def difference_intervals(judged: Sequence[Judged]) -> Intervals:
    """Of every model minus every baseline in each section, by the jackknife over the same blocks."""
    return {
        (one.section.name, difference_name(model, baseline), metric): jackknife_interval(ours_K1 - theirs[metric])
        for one in judged
        for of_task in one.scores.values()
        for model, ours in of_task.items()
        for baseline, theirs in of_task.items()
        if (role_of(model), role_of(baseline)) == ("model", "baseline")
        for metric, ours_K1 in ours.items()
        if metric in theirs  # baselines have no regions
    }


def result_rows(scores: Sequence[Row], intervals: Intervals | None = None) -> list[Row]:
    """The scores of single sections, then their means, then every model minus every baseline, for each task.

    intervals: of differences in single sections; None: by Student's t over seeds. Over several sections they are by
    Student's t over the sections' differences, and so cover other sections too; the mean over one section is that
    section's score, with its interval.
    """
    alone = len({row.unit for row in scores}) == 1
    means = [replace(row, unit=ALL) for row in scores] if alone else mean_rows(scores)
    found = [*scores, *means]
    for glossary in GLOSSARIES.values():
        for row in difference_rows([row for row in scores if row.metric in glossary]):
            if row.unit != ALL and intervals is not None:
                low, high = _bounds(intervals[row.unit, row.method, row.metric])
                row = replace(row, low=low, high=high)
            if not (alone and row.unit == ALL):
                found.append(row)
            if alone and row.unit != ALL:
                found.append(replace(row, unit=ALL))
    return found


_ANY = (float("-inf"), float("inf"))


def _bounds(interval: Interval) -> tuple[float | None, float | None]:
    return interval or (None, None)
