"""Paired comparison of two classifiers, each trained once per seed, on the same examples.

Every score here is a function of sums over examples: a mean, or the sum of the absolute values of sums within bins. So
resampling examples is a product of matrices.

R: seeds, N: examples, K: classes, M: bins, P: parts, that is three means and M bins, B: replicates.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.bayes_moe.metrics.calibration import equal_width, probabilities
from pipeline.metrics.bootstrap import percentile_interval

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

SCORES = ("accuracy", "nll", "brier", "ece")
_MEANS = 3  # of the scores are means


class Difference(NamedTuple):
    """Mean over seeds of the second's score minus the first's, with its 95 % interval."""

    value: float
    low: float
    high: float


def parts(logit_RNK: Array, label_N: Labels, bins: int) -> Array:
    """What the scores are sums of, (R, N, P): right, −log p(label), squared error, right − confidence in its bin."""
    found = []
    for logit_NK in logit_RNK:
        probability_NK = probabilities(logit_NK)
        label_N1 = label_N[:, None]
        of_label_N = np.take_along_axis(probability_NK, label_N1, 1)[:, 0]
        confidence_N, right_N = probability_NK.max(1), (logit_NK.argmax(1) == label_N).astype(np.float64)
        gap_NM = np.zeros((len(label_N), bins))
        gap_NM[np.arange(len(label_N)), equal_width(confidence_N, bins)] = right_N - confidence_N
        nll_N = -np.log(np.maximum(of_label_N, np.finfo(np.float64).tiny))
        square_N = (probability_NK**2).sum(1) - 2 * of_label_N + 1
        found.append(np.column_stack([right_N, nll_N, square_N, gap_NM]))
    return np.stack(found)


def scores(mean_P: Array) -> Array:
    """The `SCORES` from means of the parts over examples: (..., P) -> (..., 4)."""
    return np.concatenate([mean_P[..., :_MEANS], np.abs(mean_P[..., _MEANS:]).sum(-1, keepdims=True)], axis=-1)


def compare(first_RNP: Array, second_RNP: Array, replicates: int, seed: int) -> dict[str, Difference]:
    """Each score of the second minus that of the first, the mean over seeds. The arguments are `parts`.

    The interval is of a bootstrap that draws seeds and, the same for all of them, examples anew, both classifiers
    always the same ones. There is no p-value beside it: a permutation test over examples takes the seeds as given, and
    so calls differences significant that another training would not repeat.
    """
    random = np.random.default_rng(seed)
    seeds, examples, _ = first_RNP.shape
    value = (scores(second_RNP.mean(1)) - scores(first_RNP.mean(1))).mean(0)

    times_BN = random.multinomial(examples, np.full(examples, 1 / examples), size=replicates) / examples
    times_BR = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=replicates) / seeds
    one_RBS, other_RBS = (scores(times_BN @ part) for part in (first_RNP, second_RNP))
    drawn_BS = np.einsum("br,rbs->bs", times_BR, other_RBS - one_RBS)

    found = {}
    for place, name in enumerate(SCORES):
        interval = percentile_interval(np.r_[value[place], drawn_BS[:, place]])
        assert interval is not None  # every score is defined
        found[name] = Difference(float(value[place]), *interval)
    return found
