"""Detection of out-of-distribution examples from a score of each example.

N: in-distribution examples, M: out-of-distribution ones. A larger score is more in-distribution.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Array = npt.NDArray[np.float64]


def auroc(known_N: Array, other_M: Array) -> float:
    """P(known > other) + P(known = other)/2: the area under the ROC curve (Mann-Whitney). 0.5 is chance."""
    rank = rankdata(np.concatenate([known_N, other_M]))
    n, m = len(known_N), len(other_M)
    return float((rank[:n].sum() - n * (n + 1) / 2) / (n * m))


def false_positive_rate(known_N: Array, other_M: Array, recall: float = 0.95) -> float:
    """Share of out-of-distribution examples above the threshold that `recall` of the known ones reach (FPR95).

    The threshold is the largest score that at least `recall` of the known ones reach; a score equal to it is above.
    """
    descending = np.sort(known_N)[::-1]
    threshold = descending[int(np.ceil(recall * len(known_N))) - 1]
    return float((other_M >= threshold).mean())
