"""Which score to abstain by: the classifier's confidence, what its gate says of an image, or both.

R: seeds, N: test images, V: validation images.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression

from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.glossary import CONFIDENCE
from pipeline.bayes_moe.metrics.calibration import confidence
from pipeline.bayes_moe.metrics.crossed import crossed
from pipeline.bayes_moe.metrics.selective import area_contributions, risk_coverage

GATE, EXPERTS, BOTH = "gate entropy", "experts used", "confidence and gate"
COVERAGES = 20  # of the curve of risk against coverage

Array = npt.NDArray[np.float64]
Right = npt.NDArray[np.bool_]


def abstention_table(points: Iterable[PointPredictions]) -> pd.DataFrame:
    """A row per sparse point and score: the AURC, mean over seeds, and its difference to that by confidence, with the
    95 % interval for other test images and other seeds."""
    rows = []
    for point in points:
        scores = [dict(abstention_scores(point, place)) for place in range(len(point.seeds))]
        if GATE not in scores[0]:
            continue
        areas_RN = {
            name: np.stack([area_contributions(of[name], right_of(point, place)) for place, of in enumerate(scores)])
            for name in scores[0]
        }
        for name, area_RN in areas_RN.items():
            of = crossed(area_RN - areas_RN[CONFIDENCE])
            rows.append((point.name, name, float(area_RN.mean()), of.value, of.value - of.half, of.value + of.half))
    return pd.DataFrame(rows, columns=["point", "score", "aurc", "difference", "low", "high"])


def coverage_table(points: Mapping[str, PointPredictions], twin: str, chosen: str) -> pd.DataFrame:
    """The error among the images that are answered first, at `COVERAGES` shares of them: of the twin by confidence, of
    the chosen point also by gate entropy."""
    rows = []
    for point in (points[twin], points[chosen]):
        for place, seed in enumerate(point.seeds):
            for name, score_N in abstention_scores(point, place):
                if name not in (CONFIDENCE, GATE):
                    continue
                _, risk_N = risk_coverage(score_N, right_of(point, place))
                for step in range(1, COVERAGES + 1):
                    last = max(len(risk_N) * step // COVERAGES, 1) - 1
                    rows.append((point.name, name, seed, step / COVERAGES, float(risk_N[last])))
    return pd.DataFrame(rows, columns=["point", "score", "seed", "coverage", "risk"])


def abstention_scores(point: PointPredictions, place: int) -> Iterator[tuple[str, Array]]:
    """Scores of the test images of one seed by name, (N,) each, the surest highest. A dense point has its confidence
    alone; the experts used are a score where their number adapts to the image."""
    sure_N, _ = confidence(point.logits("test")[place], point.labels("test"))
    yield CONFIDENCE, sure_N
    if "gate_entropy" not in point.arrays:
        return
    entropy_N = point.logits("gate_entropy")[place]
    yield GATE, -entropy_N
    if np.ptp(point.arrays["experts_used"]) > 0:
        yield EXPERTS, -point.logits("experts_used")[place]
    sure_V, right_V = confidence(point.logits("validation")[place], point.labels("validation"))
    entropy_V = point.logits("validation_gate_entropy")[place]
    yield BOTH, combined((sure_V, entropy_V), right_V, (sure_N, entropy_N))


def combined(fitted: tuple[Array, Array], right_V: Right, asked: tuple[Array, Array]) -> Array:
    """The log odds of being right from confidence and gate entropy, by logistic regression on the validation images:
    (N,). The confidence itself where all of these are right, or all wrong."""
    if right_V.all() or not right_V.any():
        return asked[0]
    features_V2, features_N2 = (np.stack([_log_odds(sure), entropy], axis=1) for sure, entropy in (fitted, asked))
    mean_2, deviation_2 = features_V2.mean(axis=0), np.maximum(features_V2.std(axis=0), 1e-12)
    model = LogisticRegression().fit((features_V2 - mean_2) / deviation_2, right_V)
    return np.asarray(model.decision_function((features_N2 - mean_2) / deviation_2), np.float64)


def right_of(point: PointPredictions, place: int) -> Right:
    """Which test images one seed classifies rightly, (N,)."""
    return confidence(point.logits("test")[place], point.labels("test"))[1]


def _log_odds(probability: Array) -> Array:
    clipped = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.log(clipped) - np.log1p(-clipped)
