"""Deep ensembles of the dense networks, how many of these each sparse point is worth, and what the seeds can show."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.bayes_moe.decisive import DECISIVE
from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.glossary import SCALED
from pipeline.bayes_moe.metrics import deep_ensembles
from pipeline.bayes_moe.metrics.calibration import probabilities
from pipeline.bayes_moe.metrics.classification import class_scores, known_from_other
from pipeline.bayes_moe.metrics.power import seeds_needed, smallest_difference
from pipeline.bayes_moe.metrics.selective import area_under_risk, risk_coverage
from pipeline.bayes_moe.params.evaluate import Evaluate
from pipeline.bayes_moe.params.sweep import Sweep

SHOWN = ("accuracy", "nll", "brier", "ece")
COVERAGES = 20  # of the curve of risk against coverage

Array = npt.NDArray[np.float64]


def ensemble_table(points: Mapping[str, PointPredictions], sweep: Sweep, evaluation: Evaluate) -> pd.DataFrame:
    """A row per dense point and number of its networks that are averaged, and one per sparse point.

    Scores are means over the choices of networks, or over seeds, after temperature scaling; AUROC is of unscaled
    probabilities. The interval of the equivalents is over test images and the sparse point's seeds.
    """
    rows = []
    for name, point in points.items():
        flops, label_N = point.about["cost"]["activated_flops"], point.labels("test")
        if name in sweep.sparse:
            logits, others = list(point.test_logits(SCALED)), list(point.logits("other"))
            scored = _mean_scores(logits, list(point.logits("test")), others, label_N, evaluation.bins)
            worth = _worth(point, points[sweep.twin_of(name)], evaluation)
            rows.append({"point": name, "networks": 1, **scored, **worth, "flops": flops})
            continue
        for size in range(1, len(point.seeds) + 1):
            logits = _ensembles(point, size)
            raw, others = (
                [deep_ensembles.averaged(point.logits(part)[list(of)]) for of in _subsets(point, size)]
                for part in ("test", "other")
            )
            scored = _mean_scores(logits, raw, others, label_N, evaluation.bins)
            worth = {"equivalents": float(size), "low": np.nan, "high": np.nan}
            rows.append({"point": name, "networks": size, **scored, **worth, "flops": size * flops})
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


def coverage_table(points: Mapping[str, PointPredictions], sweep: Sweep, chosen: str) -> pd.DataFrame:
    """The error among the most confident images of the chosen point and of its twin, at `COVERAGES` shares of them."""
    rows = []
    for point in (points[sweep.twin_of(chosen)], points[chosen]):
        for seed, logit_NK in zip(point.seeds, point.logits("test"), strict=True):
            _, risk_N = risk_coverage(*_confidence(logit_NK, point.labels("test")))
            for step in range(1, COVERAGES + 1):
                place = max(len(risk_N) * step // COVERAGES, 1) - 1
                rows.append((point.name, seed, step / COVERAGES, float(risk_N[place])))
    return pd.DataFrame(rows, columns=["point", "seed", "coverage", "risk"])


def aurc(logit_NK: Array, label_N: npt.NDArray[np.int64]) -> float:
    """Area under risk and coverage, by the largest probability."""
    return area_under_risk(*_confidence(logit_NK, label_N))


def _confidence(logit_NK: Array, label_N: npt.NDArray[np.int64]) -> tuple[Array, npt.NDArray[np.bool_]]:
    return probabilities(logit_NK).max(1), logit_NK.argmax(1) == label_N


def _subsets(point: PointPredictions, size: int) -> list[tuple[int, ...]]:
    return deep_ensembles.subsets(len(point.seeds), size)


def _ensembles(point: PointPredictions, size: int) -> list[Array]:
    parts = point.logits("validation"), point.labels("validation"), point.logits("test")
    return deep_ensembles.scaled_ensembles(*parts, size)


def _mean_scores(
    scaled: list[Array], raw: list[Array], others: list[Array], label_N: npt.NDArray[np.int64], bins: int
) -> dict[str, float]:
    found = []
    for scaled_NK, raw_NK, other_MK in zip(scaled, raw, others, strict=True):
        scores = class_scores(scaled_NK, label_N, bins)
        more = {"aurc": aurc(raw_NK, label_N), "auroc": known_from_other(raw_NK, other_MK)["auroc"]}
        found.append({name: scores[name] for name in SHOWN} | more)
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def _worth(sparse: PointPredictions, dense: PointPredictions, evaluation: Evaluate) -> dict[str, float]:
    """The deep-ensemble equivalents of a sparse point with their 95 % interval, of a bootstrap over test images and the
    point's seeds. N: images, R: seeds, L: sizes, B: replicates."""
    label_N = sparse.labels("test")
    loss_RN = np.stack([deep_ensembles.losses(logit_NK, label_N) for logit_NK in sparse.test_logits(SCALED)])
    loss_LN = np.stack(
        [
            np.mean([deep_ensembles.losses(logit_NK, label_N) for logit_NK in _ensembles(dense, size)], axis=0)
            for size in range(1, len(dense.seeds) + 1)
        ]
    )
    random, images, seeds = np.random.default_rng(evaluation.seed), len(label_N), len(loss_RN)
    times_BN = random.multinomial(images, np.full(images, 1 / images), size=evaluation.replicates) / images
    times_BR = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=evaluation.replicates) / seeds
    nll_B = np.einsum("br,br->b", times_BR, times_BN @ loss_RN.T)
    drawn_B = deep_ensembles.equivalents(nll_B, times_BN @ loss_LN.T)
    value = float(deep_ensembles.equivalents(loss_RN.mean(), loss_LN.mean(axis=1)))
    low, high = np.quantile(drawn_B, (0.025, 0.975)) if len(drawn_B) else (value, value)
    return {"equivalents": value, "low": min(float(low), value), "high": max(float(high), value)}
