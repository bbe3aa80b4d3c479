"""What the sweep compares: networks alone, several averaged, and one averaged over passes with its noise.

V: validation images, N: test images, M: out-of-distribution images, Q: test images that are corrupted, T: corruptions,
L: severities, K: classes.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.bayes_moe.evaluation.point_predictions import PointPredictions
from pipeline.bayes_moe.metrics.classification import aurc, class_scores, known_from_other
from pipeline.bayes_moe.metrics.deep_ensembles import averaged, losses, subsets
from pipeline.bayes_moe.metrics.temperature import fit_temperature

PARTS = ("validation", "test", "other", "corrupted")
SHOWN = ("accuracy", "nll", "brier", "ece")

Array = npt.NDArray[np.float64]


class Answers(NamedTuple):
    """Logits of one trained network, or of one average."""

    validation_VK: Array
    test_NK: Array
    other_MK: Array
    corrupted_TLQK: Array


class Method(NamedTuple):
    """networks: that are averaged; samples: passes with noise that are averaged, 0: one pass without noise.

    answers: of every seed, or of every choice of `networks` seeds; flops: of all passes for one image.
    """

    point: PointPredictions
    networks: int
    samples: int
    answers: list[Answers]
    flops: int

    def scaled(self) -> list[Array]:
        """The answers on the test images, (N, K) each, divided by the temperature that fits the validation images."""
        return [one.test_NK / temperature for one, temperature in zip(self.answers, self._temperatures(), strict=True)]

    def losses(self) -> Array:
        """−log p(label) of the scaled answers on each test image, (answers, N)."""
        return np.stack([losses(logit_NK, self.point.labels("test")) for logit_NK in self.scaled()])

    def scores(self, bins: int) -> dict[str, float]:
        """Means over the answers: those in SHOWN after temperature scaling; aurc and auroc of unscaled probabilities;
        under corruption the accuracy, and the NLL with the same temperature."""
        label_N, found = self.point.labels("test"), []
        for one, scaled_NK, temperature in zip(self.answers, self.scaled(), self._temperatures(), strict=True):
            scores = class_scores(scaled_NK, label_N, bins)
            flat_XK = one.corrupted_TLQK.reshape(-1, scaled_NK.shape[1]) / temperature
            label_X = np.tile(self.point.labels("corrupted"), np.prod(one.corrupted_TLQK.shape[:2]))
            more = {
                "aurc": aurc(one.test_NK, label_N),
                "auroc": known_from_other(one.test_NK, one.other_MK)["auroc"],
                "corrupted_accuracy": float((flat_XK.argmax(1) == label_X).mean()),
                "corrupted_nll": float(losses(flat_XK, label_X).mean()),
            }
            found.append({name: scores[name] for name in SHOWN} | more)
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}

    def _temperatures(self) -> list[float]:
        label_V = self.point.labels("validation")
        return [fit_temperature(one.validation_VK, label_V) for one in self.answers]


def alone(point: PointPredictions) -> Method:
    """Each network by itself, without noise."""
    return Method(point, 1, 0, _of_seeds([point.logits(part) for part in PARTS]), _flops(point))


def sampled(point: PointPredictions) -> Method | None:
    """Each network averaged over the most passes with noise that there are; None where it has no noise."""
    if "sampled_test" not in point.arrays:
        return None
    parts = [point.logits(f"sampled_{part}") for part in PARTS]
    parts[1] = parts[1][:, -1]  # of several numbers of passes the largest
    samples, cost = max(point.about["samples"]), point.about["cost"]
    flops = cost["trunk_flops"] + samples * (cost["activated_flops"] - cost["trunk_flops"])
    return Method(point, 1, samples, _of_seeds(parts), flops)


def ensembles(point: PointPredictions) -> list[Method]:
    """Every number of the point's networks averaged, from one to all of them."""
    parts = [point.logits(part) for part in PARTS]
    return [
        Method(
            point,
            size,
            0,
            [Answers(*(averaged(part[list(of)]) for part in parts)) for of in subsets(len(point.seeds), size)],
            size * _flops(point),
        )
        for size in range(1, len(point.seeds) + 1)
    ]


def _of_seeds(parts: list[Array]) -> list[Answers]:
    return [Answers(*of) for of in zip(*parts, strict=True)]


def _flops(point: PointPredictions) -> int:
    return int(point.about["cost"]["activated_flops"])
