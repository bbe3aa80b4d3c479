"""Selective classification: the error that is left where a classifier may abstain on the examples it is least sure of.

N: examples. Sources: Geifman and El-Yaniv (2017), "Selective
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


def area_contributions(confidence_N: Array, right_N: npt.NDArray[np.bool_]) -> Array:
    """What each example adds to the mean that the area is, (N,): its influence on the area, and the area itself.

    By the derivative of (1/N) Σ_k R_k with respect to the weight of example i: R_i + Σ_k≥i (wrong_i − R_k) / k, where
    R_k is the risk of the k surest; means over equally sure ones but for whether i itself is wrong.
    """
    order = np.argsort(-confidence_N, kind="stable")
    _, first, group, count = np.unique(-confidence_N[order], return_index=True, return_inverse=True, return_counts=True)
    coverage_N, risk_N = risk_coverage(confidence_N, right_N)
    answered = coverage_N * len(order)

    def among_equals(value_N: Array) -> Array:
        return np.asarray((np.add.reduceat(value_N, first) / count)[group])

    def from_here_on(value_N: Array) -> Array:
        return np.asarray(value_N[::-1].cumsum()[::-1])

    contribution_N = np.empty(len(order))
    contribution_N[order] = among_equals(risk_N - from_here_on(risk_N / answered)) + ~right_N[order] * among_equals(
        from_here_on(1 / answered)
    )
    return contribution_N


def area_under_risk(confidence_N: Array, right_N: npt.NDArray[np.bool_]) -> float:
    """AURC: the mean risk over all coverages. The error rate where confidence says nothing; 0 without errors."""
    _, risk_N = risk_coverage(confidence_N, right_N)
    return float(risk_N.mean())
