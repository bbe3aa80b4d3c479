"""Deep ensembles of independently trained networks, and how many of them one method is worth.

R: networks, each of its own seed; N: examples; K: classes; L: sizes of ensembles, from 1 to R.

Source: Ashukha, Lyzhov, Molchanov and Vetrov (2020), "Pitfalls of in-domain uncertainty estimation and ensembling in
deep learning": likelihoods are compared after temperature scaling, and a method is worth as many networks as an
ensemble needs to reach its likelihood, the deep-ensemble equivalents.
"""

from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, logsumexp

MOST_SUBSETS = 32  # of one size: more hardly move the mean

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def averaged(logit_RNK: Array) -> Array:
    """The logarithm of the mean probability of the networks, (N, K); N may be several axes."""
    return np.asarray(logsumexp(log_softmax(logit_RNK, axis=-1), axis=0) - np.log(len(logit_RNK)))


def subsets(networks: int, size: int, seed: int = 0) -> list[tuple[int, ...]]:
    """All choices of so many networks, or `MOST_SUBSETS` random ones where there are more."""
    if comb(networks, size) <= MOST_SUBSETS:
        return list(combinations(range(networks), size))
    random = np.random.default_rng([seed, size])
    found: set[tuple[int, ...]] = set()
    while len(found) < MOST_SUBSETS:
        found.add(tuple(sorted(random.choice(networks, size, replace=False).tolist())))
    return sorted(found)


def losses(logit_NK: Array, label_N: Labels) -> Array:
    """−log p(label) of each example, (N,), in nats."""
    return np.asarray(-np.take_along_axis(log_softmax(logit_NK, axis=1), label_N[:, None], 1)[:, 0])


def equivalents(nll: Array | float, nll_L: Array) -> Array:
    """The smallest size, between whole ones by linear interpolation, whose ensembles have this NLL or a lower one.

    nll: (...), nll_L: (..., L). 1 where single networks have it, and L where no ensemble has: at least as many.
    """
    nll, nll_L = np.broadcast_arrays(np.asarray(nll, np.float64)[..., None], nll_L)
    best_L = np.minimum.accumulate(nll_L, axis=-1)  # a larger ensemble that is worse by chance counts for nothing
    reached_L = best_L <= nll
    place = np.where(reached_L.any(axis=-1), reached_L.argmax(axis=-1), nll_L.shape[-1])[..., None]
    inside = (place > 0) & (place < nll_L.shape[-1])
    above, below = (np.take_along_axis(best_L, np.clip(place - back, 0, nll_L.shape[-1] - 1), -1) for back in (1, 0))
    gap = np.where(inside, above - below, 1.0)
    part = np.where(inside, (above - nll[..., :1]) / gap, 0.0)
    return np.asarray(np.where(inside, place + part, np.clip(place + 1, 1, nll_L.shape[-1]))[..., 0])
