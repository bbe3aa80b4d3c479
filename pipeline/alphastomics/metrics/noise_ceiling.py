"""What there is to gain: the PCC of a gene that a prediction without error has, given the noise of its counts.

N: cells of a section, G: genes.
"""

import numpy as np
import numpy.typing as npt

from pipeline.data.expression import log_normalise
from pipeline.metrics.perturbation import pearson

Array = npt.NDArray[np.float64]


def noise_ceiling(counts_NG: npt.NDArray[np.integer], target: float, seed: int) -> Array:
    """The correlation of measured log-normalised expression with that of noiseless cells, (G,), 0 to 1.

    Every count is thinned to two halves by tosses of a coin, which are independent where counts are Poisson given a
    cell's expression. Their correlation r is the reliability of half of the counts, 2 r / (1 + r) that of all, and its
    square root the correlation with what is measured. So counts alone are the noise here: what differs between two
    cells at one place and is no noise of counts cannot be foreseen either, and is left in. An upper bound, and the
    looser the more cells differ in depth: the two halves of a cell share it, and the logarithm of few counts depends on
    it, so that r is above 0 even for a gene that is the same everywhere. Chance adds to that, since a reliability below
    0 counts as 0.

    Sources: Spearman (1910) and Brown (1910), British Journal of Psychology 3, 271 and 296, for the reliability of the
    whole; Neufeld et al. (2024), Biostatistics 25, 270, for thinning.
    """
    first_NG = np.random.default_rng(seed).binomial(counts_NG, 0.5)
    halves = [log_normalise(half_NG, half_NG.sum(axis=1), target) for half_NG in (first_NG, counts_NG - first_NG)]
    correlation_G = pearson(*(half_NG.T.astype(np.float64) for half_NG in halves))
    reliability_G = 2 * correlation_G / (1 + np.maximum(correlation_G, 0))
    return np.asarray(np.sqrt(np.clip(reliability_G, 0, 1)))
