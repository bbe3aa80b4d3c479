"""Means and differences, from rows of single units and seeds.

For results without paired resamples: benchmarks on measured data, which repeat training and hold out each unit in turn.
"""

from collections.abc import Sequence
from operator import sub
from statistics import fmean

from pipeline.metrics.glossary import Glossary
from pipeline.metrics.mean_interval import mean_interval
from pipeline.metrics.results import ALL, Row, difference_name


def mean_rows(rows: Sequence[Row]) -> list[Row]:
    """The mean over units, unit "all", of every method, metric and seed, over the units where it is defined."""
    found: dict[tuple[str, str, str, str, int | None], list[float | None]] = {}
    for row in rows:
        found.setdefault((row.study, row.method, row.role, row.metric, row.seed), []).append(row.value)
    means = []
    for (study, method, role, metric, seed), values in found.items():
        defined = [value for value in values if value is not None]
        mean = fmean(defined) if defined else None
        means.append(Row(ALL, method, role, metric, mean, seed=seed, study=study))
    return means


def difference_rows(rows: Sequence[Row], glossary: Glossary | None = None) -> list[Row]:
    """Every model minus every baseline, in each unit and over all, with 95 % intervals by Student's t.

    rows: of single units, without "all"; glossary: says which metrics have a best value (None: none has), whose
    differences are those of the distances to it. Within a unit the interval is that of the mean over seeds; over all,
    that of the mean over units, each represented by its mean over seeds, so it covers the choice of units. A score
    without a seed applies to all seeds. None for a single seed or unit.
    """
    scores: dict[tuple[str, str, str, str], dict[int | None, float]] = {}
    for row in rows:
        of_method = scores.setdefault((row.study, row.metric, row.unit, row.method), {})
        if row.value is not None:
            of_method[row.seed] = row.value
    names = {role: dict.fromkeys(row.method for row in rows if row.role == role) for role in ("model", "baseline")}
    metrics = dict.fromkeys((row.study, row.metric) for row in rows)
    units = dict.fromkeys(row.unit for row in rows)
    found = []
    for study, metric in metrics:
        minus = glossary.metric(metric).difference if glossary and metric in glossary else sub
        for model in names["model"]:
            for baseline in names["baseline"]:
                means = []
                for unit in units:
                    ours, theirs = (scores.get((study, metric, unit, name), {}) for name in (model, baseline))
                    values = [minus(*pair) for pair in _paired(ours, theirs)]
                    means += [fmean(values)] if values else []
                    found.append(_row(unit, difference_name(model, baseline), metric, values, study))
                found.append(_row(ALL, difference_name(model, baseline), metric, means, study))
    return found


def _paired(ours: dict[int | None, float], theirs: dict[int | None, float]) -> list[tuple[float, float]]:
    """Both scores, seed by seed."""
    alone = theirs.get(None)
    return [(value, other) for seed, value in ours.items() if (other := theirs.get(seed, alone)) is not None]


def _row(unit: str, method: str, metric: str, values: Sequence[float], study: str) -> Row:
    if len(values) < 2:
        return Row(unit, method, "difference", metric, values[0] if values else None, study=study)
    return Row(unit, method, "difference", metric, *mean_interval(values), study=study)
