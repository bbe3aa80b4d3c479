"""The tables behind the figures: points, reliability diagrams, corruptions, experts, sampled routes."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from pipeline.bayes_moe.data.corruptions import CORRUPTIONS, SEVERITIES
from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.glossary import RAW, SCALED
from pipeline.bayes_moe.metrics.calibration import reliability
from pipeline.bayes_moe.metrics.classification import class_scores, corrupted_scores
from pipeline.bayes_moe.params.sweep import Sweep

_SCORES = ("accuracy", "nll", "ece")
_SAMPLED = ["point", "seed", "samples", *_SCORES, "flops"]


def point_table(points: Iterable[PointPredictions], sweep: Sweep, chosen: str) -> pd.DataFrame:
    """A row per point: its dense twin, whether validation chose it, what params.yaml says of it, and what it costs."""
    return pd.DataFrame(
        {
            "point": point.name,
            "twin": sweep.twin_of(point.name),
            "chosen": point.name == chosen,
            **point.about["point"],
            **point.about["cost"],
        }
        for point in points
    )


def reliability_table(points: Iterable[PointPredictions], bins: int) -> pd.DataFrame:
    """A row per point, unit and bin of confidence, with the answers of all seeds together."""
    rows = []
    for point in points:
        label_N = np.tile(point.labels("test"), len(point.seeds))
        for unit in (RAW, SCALED):
            found = reliability(np.concatenate(point.test_logits(unit)), label_N, bins)
            rows += [
                {"point": point.name, "kind": unit, "bin": number, "count": count, "confidence": c, "accuracy": a}
                for number, (count, c, a) in enumerate(zip(*(part.tolist() for part in found), strict=True))
            ]
    return pd.DataFrame(rows)


def corruption_table(points: Iterable[PointPredictions], bins: int) -> pd.DataFrame:
    """A row per point, seed, corruption and severity."""
    rows: list[dict[str, Any]] = []
    for point in points:
        for place, seed in enumerate(point.seeds):
            found_TLS = corrupted_scores(point.logits("corrupted")[place], point.labels("corrupted"), bins)
            rows += [
                {
                    "point": point.name,
                    "seed": seed,
                    "corruption": name,
                    "severity": severity,
                    **dict(zip(_SCORES, found_TLS[t, level].tolist(), strict=True)),
                }
                for t, name in enumerate(CORRUPTIONS)
                for level, severity in enumerate(SEVERITIES)
            ]
    return pd.DataFrame(rows)


def expert_table(points: Iterable[PointPredictions]) -> pd.DataFrame:
    """A row per sparse point, seed, expert and class: how many tokens of the class the expert was given."""
    return pd.DataFrame(
        {"point": point.name, "seed": seed, "expert": e, "label": point.about["classes"][label], "tokens": int(tokens)}
        for point in points
        if "expert_label" in point.arrays
        for seed, tokens_EK in zip(point.seeds, point.arrays["expert_label"], strict=True)
        for (e, label), tokens in np.ndenumerate(tokens_EK)
    )


def sampled_table(points: Iterable[PointPredictions], bins: int) -> pd.DataFrame:
    """A row per point with noise, seed and number of passes that probabilities are averaged over.

    0 samples: the one pass without noise. What comes before the noise is computed once per image.
    """
    rows = []
    for point in points:
        if "sampled_test" not in point.arrays:
            continue
        cost, label_N = point.about["cost"], point.labels("test")
        for place, seed in enumerate(point.seeds):
            logits = [point.logits("test")[place], *point.logits("sampled_test")[place]]
            for samples, logit_NK in zip([0, *point.about["samples"]], logits, strict=True):
                found = class_scores(logit_NK, label_N, bins)
                flops = cost["trunk_flops"] + max(samples, 1) * (cost["activated_flops"] - cost["trunk_flops"])
                rows.append((point.name, seed, samples, *(found[name] for name in _SCORES), flops))
    return pd.DataFrame(rows, columns=_SAMPLED)
