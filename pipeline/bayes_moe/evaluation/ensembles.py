"""Every method at its cost, in deep-ensemble equivalents; and what the seeds can show of the chosen point."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.bayes_moe.decisive import DECISIVE
from pipeline.bayes_moe.evaluation.methods import Method, alone, ensembles, sampled
from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.metrics.crossed import crossed
from pipeline.bayes_moe.metrics.deep_ensembles import equivalents, subsets
from pipeline.bayes_moe.metrics.paired import SCORES, contributions
from pipeline.bayes_moe.metrics.power import seeds_needed, smallest_difference
from pipeline.bayes_moe.params.sweep import Sweep

Array = npt.NDArray[np.float64]


def ensemble_table(points: Mapping[str, PointPredictions], sweep: Sweep, bins: int) -> pd.DataFrame:
    """A row per twin and number of its networks that are averaged; and per other point, one without noise (0 samples)
    and, where it has noise, one of the average over the most passes.

    Scores are those of `Method.scores`; for the equivalents see `worth_of`.
    """
    rows: list[dict[str, Any]] = []
    for twin in dict.fromkeys(map(sweep.twin_of, points)):
        dense = ensembles(points[twin])
        dense_LRN = pseudo_losses(dense)
        for method in dense:
            worth = {"equivalents": float(method.networks), "low": np.nan, "high": np.nan}
            rows.append(_row(method, worth, bins))
        for name in (name for name in points if sweep.twin_of(name) == twin != name):
            others = filter(None, (alone(points[name]), sampled(points[name])))
            rows += [_row(one, worth_of(one.losses(), dense_LRN), bins) for one in others]
    return pd.DataFrame(rows)


def power_table(points: Mapping[str, PointPredictions], sweep: Sweep, chosen: str, bins: int) -> pd.DataFrame:
    """Of each decisive score of the chosen point: its difference to the twin, the standard deviation of this over
    seeds and, of all seeds together, over images; the smallest difference that the seeds find, and the seeds that would
    find the one that was seen (NaN: more than can be told, or none). No rows for a single seed."""
    sparse, dense = points[chosen], points[sweep.twin_of(chosen)]
    rows = []
    for metric, unit in DECISIVE if len(sparse.seeds) > 1 else ():
        ours, theirs = (
            contributions(one.test_logits(unit), one.labels("test"), bins)[..., SCORES.index(metric)]
            for one in (sparse, dense)
        )
        of, seeds = crossed(ours - theirs), len(ours)
        deviation, floor = math.sqrt(seeds * of.of_trainings), math.sqrt(of.of_examples)
        needed = seeds_needed(of.value, deviation, floor)
        rows.append(
            {
                "metric": metric,
                "kind": unit,
                "difference": of.value,
                "deviation": deviation,
                "floor": floor,
                "smallest": smallest_difference(deviation, seeds, floor),
                "needed": np.nan if needed is None else float(needed),
            }
        )
    return pd.DataFrame(rows, columns=["metric", "kind", "difference", "deviation", "floor", "smallest", "needed"])


def worth_of(loss_RN: Array, dense_LRN: list[Array]) -> dict[str, float]:
    """Deep-ensemble equivalents with their 95 % interval: the sizes of which the NLL is not told apart from this one.

    An interval for the difference to each size's NLL, with other test images, other seeds and other dense networks
    (`crossed`), is turned into one for the size, as Fieller (1954) does for a ratio; so it need not be narrow where
    ensembles of several sizes are nearly alike. loss_RN: of each seed of a method on each test image; dense_LRN: of
    each size the `pseudo_losses`.
    """
    nll, nll_L = loss_RN.mean(), np.array([dense_RN.mean() for dense_RN in dense_LRN])
    half_L = np.array([crossed(loss_RN, -dense_RN).half for dense_RN in dense_LRN])
    value, low, high = (float(equivalents(nll, moved_L)) for moved_L in (nll_L, nll_L - half_L, nll_L + half_L))
    return {"equivalents": value, "low": low, "high": high}


def pseudo_losses(dense: list[Method]) -> list[Array]:
    """Of ensembles of 1, ..., R networks, a value for each network whose variance is that of the mean over all choices,
    times R; their mean is that mean, (R, N) each.

    The jackknife (Tukey, 1958): R times the mean over all choices, less R − 1 times that over choices without the
    network. All R together leave no choice without one: theirs are as far from their mean as those of R − 1.
    """
    found: list[Array] = []
    networks = len(dense)
    for method in dense:
        loss_CN, chosen = method.losses(), subsets(networks, method.networks)
        mean_N = loss_CN.mean(axis=0)
        if networks == 1:
            return [loss_CN]
        if method.networks == networks:
            found.append(found[-1] - found[-1].mean(axis=0) + mean_N)
            continue
        without_RN = np.stack([loss_CN[[r not in of for of in chosen]].mean(axis=0) for r in range(networks)])
        found.append(mean_N - (networks - 1) * (without_RN - without_RN.mean(axis=0)))
    return found


def _row(method: Method, worth: dict[str, float], bins: int) -> dict[str, Any]:
    what = {"point": method.point.name, "networks": method.networks, "samples": method.samples}
    return {**what, **method.scores(bins), **worth, "flops": method.flops}
