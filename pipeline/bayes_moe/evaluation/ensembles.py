"""Every method at its cost, in deep-ensemble equivalents; and what the seeds can show of the chosen point."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.bayes_moe.decisive import DECISIVE
from pipeline.bayes_moe.evaluation.methods import Method, alone, ensembles, sampled
from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.metrics.classification import class_scores
from pipeline.bayes_moe.metrics.deep_ensembles import equivalents
from pipeline.bayes_moe.metrics.power import seeds_needed, smallest_difference
from pipeline.bayes_moe.params.evaluate import Evaluate
from pipeline.bayes_moe.params.sweep import Sweep

Array = npt.NDArray[np.float64]


def ensemble_table(points: Mapping[str, PointPredictions], sweep: Sweep, evaluation: Evaluate) -> pd.DataFrame:
    """A row per twin and number of its networks that are averaged; and per other point, one without noise (0 samples)
    and, where it has noise, one of the average over the most passes.

    Scores are those of `Method.scores`. The interval of the equivalents is over test images and the point's seeds.
    """
    rows: list[dict[str, Any]] = []
    for twin in dict.fromkeys(map(sweep.twin_of, points)):
        dense = ensembles(points[twin])
        loss_LN = np.stack([method.losses().mean(axis=0) for method in dense])
        for method in dense:
            worth = {"equivalents": float(method.networks), "low": np.nan, "high": np.nan}
            rows.append(_row(method, worth, evaluation.bins))
        for name in (name for name in points if sweep.twin_of(name) == twin != name):
            others = filter(None, (alone(points[name]), sampled(points[name])))
            rows += [_row(one, worth_of(one.losses(), loss_LN, evaluation), evaluation.bins) for one in others]
    return pd.DataFrame(rows)


def power_table(points: Mapping[str, PointPredictions], sweep: Sweep, chosen: str, bins: int) -> pd.DataFrame:
    """Of each decisive score of the chosen point: its difference to the twin, the standard deviation of this over
    seeds, the smallest difference that the seeds find, and the seeds that would find the one that was seen (NaN: more
    than can be told). No rows for a single seed."""
    sparse, dense = points[chosen], points[sweep.twin_of(chosen)]
    rows = []
    for metric, unit in DECISIVE if len(sparse.seeds) > 1 else ():
        ours, theirs = (
            np.array([class_scores(logit_NK, one.labels("test"), bins)[metric] for logit_NK in one.test_logits(unit)])
            for one in (sparse, dense)
        )
        difference, deviation = float((ours - theirs).mean()), float((ours - theirs).std(ddof=1))
        needed = seeds_needed(difference, deviation)
        rows.append(
            {
                "metric": metric,
                "kind": unit,
                "difference": difference,
                "deviation": deviation,
                "smallest": smallest_difference(deviation, len(ours)),
                "needed": np.nan if needed is None else float(needed),
            }
        )
    return pd.DataFrame(rows, columns=["metric", "kind", "difference", "deviation", "smallest", "needed"])


def worth_of(loss_RN: Array, loss_LN: Array, evaluation: Evaluate) -> dict[str, float]:
    """Deep-ensemble equivalents, with the 95 % interval of a bootstrap over test images and seeds.

    loss_RN: of each seed of a method on each test image; loss_LN: of the ensembles of 1, ..., L networks, mean over
    their choices. N: images, R: seeds, B: replicates.
    """
    random, (seeds, images) = np.random.default_rng(evaluation.seed), loss_RN.shape
    times_BN = random.multinomial(images, np.full(images, 1 / images), size=evaluation.replicates) / images
    times_BR = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=evaluation.replicates) / seeds
    nll_B = np.einsum("br,br->b", times_BR, times_BN @ loss_RN.T)
    drawn_B = equivalents(nll_B, times_BN @ loss_LN.T)
    value = float(equivalents(loss_RN.mean(), loss_LN.mean(axis=1)))
    low, high = np.quantile(drawn_B, (0.025, 0.975)) if len(drawn_B) else (value, value)
    return {"equivalents": value, "low": min(float(low), value), "high": max(float(high), value)}


def _row(method: Method, worth: dict[str, float], bins: int) -> dict[str, Any]:
    what = {"point": method.point.name, "networks": method.networks, "samples": method.samples}
    return {**what, **method.scores(bins), **worth, "flops": method.flops}
