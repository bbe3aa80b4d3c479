"""Selective classification: the error that is left where a classifier may abstain on the examples it is least sure of.

N: examples, B: resamples, G: groups of equal confidence. Sources: Geifman and El-Yaniv (2017), "Selective
classification for deep neural networks"; of the area under the curve (AURC), Geifman, Uziel and El-Yaniv (2019).
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def risk_coverage(confidence_N: Array, right_N: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """The shares of examples that are answered, 1/N to 1, and the share of wrong answers among these, both (N,).

    The surest come first. Equally sure ones share their errors evenly, so that the curve does not depend on their
    order.
    """
    order = np.argsort(-confidence_N, kind="stable")
    _, first, group, count = np.unique(-confidence_N[order], return_index=True, return_inverse=True, return_counts=True)
    wrong = np.add.reduceat((~right_N[order]).astype(np.float64), first) / count
    answered = np.arange(1, len(order) + 1)
    return answered / len(order), np.cumsum(wrong[group]) / answered


def area_under_risk(confidence_N: Array, right_N: npt.NDArray[np.bool_]) -> float:
    """AURC: the mean risk over all coverages. The error rate where confidence says nothing; 0 without errors."""
    _, risk_N = risk_coverage(confidence_N, right_N)
    return float(risk_N.mean())


def resampled_areas(confidence_N: Array, right_N: npt.NDArray[np.bool_], times_BN: npt.NDArray[np.int64]) -> Array:
    """`area_under_risk` of resamples in which each example is so many times, (B,); all resamples are equally large.

    In closed form over groups of equally sure examples: c of them, e wrong, after n others of which E are wrong, add
    Σ_j (E + j e/c) / (n + j) = e + (E − n e/c) (H(n + c) − H(n)), j from 1 to c, H the harmonic numbers.
    """
    order = np.argsort(-confidence_N, kind="stable")
    _, first_G = np.unique(-confidence_N[order], return_index=True)
    count_BG = np.add.reduceat(times_BN[:, order], first_G, axis=1)
    wrong_BG = np.add.reduceat((times_BN * ~right_N)[:, order], first_G, axis=1)
    after_BG = count_BG.cumsum(axis=1)
    before_BG, wrong_before_BG = after_BG - count_BG, wrong_BG.cumsum(axis=1) - wrong_BG
    size = int(after_BG[0, -1])
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, size + 1))])
    share_BG = wrong_BG / np.maximum(count_BG, 1)
    steps_BG = harmonic[after_BG] - harmonic[before_BG]
    area_B: Array = (wrong_BG + (wrong_before_BG - before_BG * share_BG) * steps_BG).sum(axis=1) / size
    return area_B
