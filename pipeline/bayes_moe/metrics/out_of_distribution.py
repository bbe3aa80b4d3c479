"""Can a classifier tell that an example is of another kind than it was trained on? From a score of each example.

N: examples of the known distribution, M: of the other one. A score is larger for what looks known.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Array = npt.NDArray[np.float64]


def auroc(known_N: Array, other_M: Array) -> float:
    """P(known > other) + P(known = other)/2: the area under the ROC curve (Mann-Whitney). 0.5 says nothing."""
    rank = rankdata(np.concatenate([known_N, other_M]))
    n, m = len(known_N), len(other_M)
    return float((rank[:n].sum() - n * (n + 1) / 2) / (n * m))


def false_positive_rate(known_N: Array, other_M: Array, recall: float = 0.95) -> float:
    """Share of the other distribution taken for known at the threshold that `recall` of the known pass (FPR95).

    The threshold is the largest score that at least `recall` of the known reach; what equals it passes.
    """
    descending = np.sort(known_N)[::-1]
    threshold = descending[int(np.ceil(recall * len(known_N))) - 1]
    return float((other_M >= threshold).mean())
