"""Scores of all points as rows of results, and the differences of sparse points to their dense twins."""

from collections.abc import Iterator, Mapping

import pandas as pd

from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.glossary import RAW, SCALED
from pipeline.bayes_moe.metrics import paired
from pipeline.bayes_moe.metrics.classification import aurc, class_scores, known_from_other, least_used
from pipeline.bayes_moe.params.evaluate import Evaluate
from pipeline.bayes_moe.params.sweep import Sweep
from pipeline.metrics.results import Row, difference_name


def result_rows(
    sweep: Sweep, points: Mapping[str, PointPredictions], corruption: pd.DataFrame, evaluation: Evaluate
) -> list[Row]:
    """A row per point, seed, unit (raw, scaled) and metric; then every sparse point minus each dense one in its place.

    Sparse points are models, dense ones baselines. The intervals of differences are for other test images and other
    seeds, see `paired.compare`; single scores have none. corruption: `details.corruption_table` of the points.
    """
    rows = [row for point in points.values() for row in _scores(point, sweep, corruption, evaluation.bins)]
    for name in sweep.sparse:
        twin = sweep.twin_of(name)
        for dense in (other for other in points if other not in sweep.sparse and sweep.twin_of(other) == twin):
            rows += _differences(points[name], points[dense], evaluation.bins)
    return rows


def _scores(point: PointPredictions, sweep: Sweep, corruption: pd.DataFrame, bins: int) -> Iterator[Row]:
    role = "model" if point.name in sweep.sparse else "baseline"
    corrupted = corruption[corruption["point"] == point.name].groupby("seed")[["accuracy", "nll", "ece"]].mean()
    for place, seed in enumerate(point.seeds):
        test, validation = point.logits("test")[place], point.logits("validation")[place]
        raw = class_scores(test, point.labels("test"), bins)
        of_validation = class_scores(validation, point.labels("validation"), bins)
        raw |= {f"validation_{name}": value for name, value in of_validation.items()}
        raw |= {"temperature": float(point.temperature_R[place])}
        raw |= {"aurc": aurc(test, point.labels("test"))}
        raw |= known_from_other(test, point.logits("other")[place])
        raw |= {f"corrupted_{name}": float(value) for name, value in corrupted.loc[seed].items()}
        if "expert_label" in point.arrays:
            raw["least_used"] = least_used(point.arrays["expert_label"][place])
        scaled = class_scores(point.test_logits(SCALED)[place], point.labels("test"), bins)
        for unit, scores in ((RAW, raw), (SCALED, scaled)):
            for metric, value in scores.items():
                yield Row(unit, point.name, role, metric, value, seed=seed)


def _differences(sparse: PointPredictions, dense: PointPredictions, bins: int) -> Iterator[Row]:
    name = difference_name(sparse.name, dense.name)
    for unit in (RAW, SCALED):
        first, second = (
            paired.contributions(point.test_logits(unit), point.labels("test"), bins) for point in (dense, sparse)
        )
        for metric, difference in paired.compare(first, second).items():
            yield Row(unit, name, "difference", metric, *difference)
