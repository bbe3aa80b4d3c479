"""All scores of one trained classifier, from its logits. N: images, K: classes, T: corruptions, L: severities."""

import numpy as np
import numpy.typing as npt

from pipeline.bayes_moe.metrics import calibration, out_of_distribution
from pipeline.bayes_moe.metrics.selective import area_under_risk

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def class_scores(logit_NK: Array, label_N: Labels, bins: int) -> dict[str, float]:
    """accuracy, nll (nats), brier, and the three calibration errors: see `calibration`."""
    return {
        "accuracy": calibration.accuracy(logit_NK, label_N),
        "nll": calibration.negative_log_likelihood(logit_NK, label_N),
        "brier": calibration.brier(logit_NK, label_N),
        "ece": calibration.expected_calibration_error(logit_NK, label_N, bins),
        "adaptive_ece": calibration.adaptive_calibration_error(logit_NK, label_N, bins),
        "classwise_ece": calibration.classwise_calibration_error(logit_NK, label_N, bins),
    }


def known_from_other(logit_NK: Array, other_MK: Array) -> dict[str, float]:
    """auroc and fpr95 of out-of-distribution detection by the largest probability. Hendrycks and Gimpel (2017)."""
    known_N, other_M = (calibration.probabilities(part).max(1) for part in (logit_NK, other_MK))
    return {
        "auroc": out_of_distribution.auroc(known_N, other_M),
        "fpr95": out_of_distribution.false_positive_rate(known_N, other_M),
    }


def aurc(logit_NK: Array, label_N: Labels) -> float:
    """Area under risk and coverage, by the largest probability."""
    return area_under_risk(*calibration.confidence(logit_NK, label_N))


def corrupted_scores(corrupted_TLNK: Array, label_N: Labels, bins: int) -> Array:
    """accuracy, nll and ece under every corruption at every severity, (T, L, 3)."""
    found = [
        [
            (
                calibration.accuracy(logit_NK, label_N),
                calibration.negative_log_likelihood(logit_NK, label_N),
                calibration.expected_calibration_error(logit_NK, label_N, bins),
            )
            for logit_NK in by_severity
        ]
        for by_severity in corrupted_TLNK
    ]
    return np.array(found)


def least_used(expert_label_EK: npt.NDArray[np.int64]) -> float:
    """Share of tokens of the expert with the fewest, times the number of experts: 1 where all have as many."""
    load_E = expert_label_EK.sum(1)
    return float(load_E.min() / load_E.sum() * len(load_E))
