"""Accuracy, likelihood and calibration of classifiers from logits and labels. Pure functions, in float64.

N: examples, C: classes, M: bins.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

BINS = 15


class Bins(NamedTuple):
    """A reliability diagram: count, mean confidence and accuracy of each bin; NaN in empty bins."""

    count_M: npt.NDArray[np.int64]
    confidence_M: Array
    accuracy_M: Array

    def error(self) -> float:
        """Σ_m n_m/N |accuracy_m − confidence_m|: the expected calibration error of these bins."""
        used = self.count_M > 0
        gap_M = np.abs(self.accuracy_M[used] - self.confidence_M[used])
        return float((self.count_M[used] * gap_M).sum() / self.count_M.sum())


def accuracy(logit_NC: Array, label_N: Labels) -> float:
    """Share of examples whose largest logit is the label's; of equal logits the first counts."""
    return float((logit_NC.argmax(1) == label_N).mean())


def negative_log_likelihood(logit_NC: Array, label_N: Labels) -> float:
    """Mean of −log p(label), in nats."""
    log_probability_NC = log_softmax(np.asarray(logit_NC, np.float64), axis=1)
    return float(-np.take_along_axis(log_probability_NC, label_N[:, None], 1).mean())


def brier(logit_NC: Array, label_N: Labels) -> float:
    """Mean over examples of Σ_c (p_c − [c = label])²: 0 to 2. Brier (1950), the original, not halved."""
    probability_NC = probabilities(logit_NC)
    probability_NC[np.arange(len(label_N)), label_N] -= 1
    return float((probability_NC**2).sum(1).mean())


def reliability(logit_NC: Array, label_N: Labels, bins: int = BINS) -> Bins:
    """Confidence (the largest probability) against accuracy in equal-width bins.

    Bin m of M holds confidences in ((m−1)/M, m/M], and the first 0 too. Guo et al., "On calibration" (2017).
    """
    confidence_N, right_N = confidence(logit_NC, label_N)
    return _binned(confidence_N, right_N, equal_width(confidence_N, bins), bins)


def expected_calibration_error(logit_NC: Array, label_N: Labels, bins: int = BINS) -> float:
    """ECE over equal-width bins, see `reliability`."""
    return reliability(logit_NC, label_N, bins).error()


def adaptive_calibration_error(logit_NC: Array, label_N: Labels, bins: int = BINS) -> float:
    """ECE over bins of equal count: sorted by confidence and cut into `bins` parts that differ by one at most.

    Nguyen and O'Connor (2015); "adaptive ECE" of Mukhoti et al. (2020). Ties in confidence keep the examples' order.
    """
    confidence_N, right_N = confidence(logit_NC, label_N)
    bin_N = np.empty(len(label_N), np.int64)
    for number, members in enumerate(np.array_split(np.argsort(confidence_N, kind="stable"), bins)):
        bin_N[members] = number
    return _binned(confidence_N, right_N, bin_N, bins).error()


def classwise_calibration_error(logit_NC: Array, label_N: Labels, bins: int = BINS) -> float:
    """Mean over classes of the error of p(class) against the class's frequency, in equal-width bins of p(class).

    Kull et al., "Beyond temperature scaling" (2019), eq. 4.
    """
    probability_NC = probabilities(logit_NC)
    errors = [
        _binned(p_N, label_N == c, equal_width(p_N, bins), bins).error() for c, p_N in enumerate(probability_NC.T)
    ]
    return float(np.mean(errors))


def probabilities(logit_NC: Array) -> Array:
    """Softmax over classes, (N, C), in float64."""
    found: Array = softmax(np.asarray(logit_NC, np.float64), axis=1)
    return found


def confidence(logit_NC: Array, label_N: Labels) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The largest probability of each example, and whether its class is the right one: both (N,)."""
    return probabilities(logit_NC).max(1), logit_NC.argmax(1) == label_N


def equal_width(p_N: Array, bins: int) -> Labels:
    """The bin of each probability, (N,): see `reliability`."""
    # The edges themselves, not p · bins, decide: 0.6 · 15 is more than 9 in floating point.
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, p_N, side="left").astype(np.int64)


def _binned(p_N: Array, right_N: npt.NDArray[np.bool_], bin_N: Labels, bins: int) -> Bins:
    count_M = np.bincount(bin_N, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence_M = np.bincount(bin_N, p_N, bins) / count_M
        accuracy_M = np.bincount(bin_N, right_N.astype(np.float64), bins) / count_M
    return Bins(count_M, confidence_M, accuracy_M)
