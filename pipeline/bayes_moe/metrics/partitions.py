"""Do two gates divide the same tokens alike, whatever they number their experts? N: tokens.

Source: Hubert and Arabie (1985), "Comparing partitions": the adjusted Rand index.
"""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer]


def adjusted_rand(first_N: Labels, second_N: Labels) -> float:
    """1 where both divide the tokens into the same groups, 0 on average where they are independent; it may be negative.

    Of pairs of tokens, those together in both partitions, less what chance expects, over the most there could be.
    """
    _, first_N = np.unique(first_N, return_inverse=True)
    _, second_N = np.unique(second_N, return_inverse=True)
    count = np.zeros((first_N.max() + 1, second_N.max() + 1), np.int64)
    np.add.at(count, (first_N, second_N), 1)
    both, of_first, of_second = (_pairs(part) for part in (count, count.sum(1), count.sum(0)))
    expected = of_first * of_second / max(_pairs(np.array(len(first_N))), 1.0)
    most = (of_first + of_second) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def _pairs(count: npt.NDArray[np.int64]) -> float:
    return float((count * (count - 1) // 2).sum())
