"""Paired comparison of two classifiers, each trained once per seed, on the same examples.

Every score here is a mean over examples of what each contributes; the expected calibration error is the sum over bins
of absolute values, and an example contributes its part of its bin's with the sign of the whole.

R: seeds, N: examples, K: classes, M: bins, S: scores.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.bayes_moe.metrics.calibration import equal_width, probabilities
from pipeline.bayes_moe.metrics.crossed import crossed

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

SCORES = ("accuracy", "nll", "brier", "ece")


class Difference(NamedTuple):
    """Mean over seeds of the second's score minus the first's, with its 95 % interval."""

    value: float
    low: float
    high: float


def contributions(logit_RNK: Array, label_N: Labels, bins: int) -> Array:
    """What each example adds to the mean that each of `SCORES` is, (R, N, S)."""
    found = []
    for logit_NK in logit_RNK:
        probability_NK = probabilities(logit_NK)
        label_N1 = label_N[:, None]
        of_label_N = np.take_along_axis(probability_NK, label_N1, 1)[:, 0]
        confidence_N, right_N = probability_NK.max(1), (logit_NK.argmax(1) == label_N).astype(np.float64)
        bin_N, gap_N = equal_width(confidence_N, bins), right_N - confidence_N
        sign_M = np.sign(np.bincount(bin_N, gap_N, minlength=bins))
        nll_N = -np.log(np.maximum(of_label_N, np.finfo(np.float64).tiny))
        square_N = (probability_NK**2).sum(1) - 2 * of_label_N + 1
        found.append(np.column_stack([right_N, nll_N, square_N, sign_M[bin_N] * gap_N]))
    return np.stack(found)


def compare(first_RNS: Array, second_RNS: Array) -> dict[str, Difference]:
    """Each score of the second minus that of the first, the mean over seeds. The arguments are `contributions`.

    The interval is for other seeds and other examples, both classifiers always having the same ones; see `crossed`.
    """
    difference_SRN = np.moveaxis(second_RNS - first_RNS, 2, 0)
    found = {}
    for name, difference_RN in zip(SCORES, difference_SRN, strict=True):
        of = crossed(difference_RN)
        found[name] = Difference(of.value, of.value - of.half, of.value + of.half)
    return found
