"""Small tables of results for tests: two groups, a model, two baselines, a ceiling and a control."""

from collections.abc import Mapping

from pipeline.metrics.differences import difference_rows, mean_rows
from pipeline.metrics.glossary import Glossary, Metric
from pipeline.metrics.results import Row
from pipeline.metrics.scoreboard import Scoreboard, scoreboard

ROLES = {"ridge": "baseline", "truth": "control", "net": "model", "half": "ceiling", "no_change": "baseline"}
GLOSSARY = Glossary(
    (
        Metric("pearson", "Pearson", True, bounds=(-1, 1)),
        Metric("pearson_top{n}", "Pearson top {n}", True, "Over the n most changed genes."),
        Metric("distance", "Distance", False, "How far.", unbiased_distance=True),
    ),
    (("net", "Net", "The model."), ("half", "split half", "")),
)
METRICS = ("pearson", "pearson_top5", "distance")
PEARSON, TOP, DISTANCE = (GLOSSARY.metric(name) for name in METRICS)


def single_rows(values: Mapping[tuple[str, str, str], float | None], units: int = 2, seeds: int = 1) -> list[Row]:
    """A score is 0.5 unless `values` has it by unit, method and metric."""
    return [
        Row(f"group {u}", method, role, metric, values.get((f"group {u}", method, metric), 0.5), seed=seed)
        for u in range(units)
        for method, role in ROLES.items()
        for metric in METRICS
        for seed in range(seeds)
    ]


def board_of(values: Mapping[tuple[str, str, str], float | None], units: int = 2, seeds: int = 1) -> Scoreboard:
    rows = single_rows(values, units, seeds)
    return scoreboard([*rows, *mean_rows(rows), *difference_rows(rows)], GLOSSARY)
