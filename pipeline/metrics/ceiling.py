"""The split-half ceiling: how well one half of the truth predicts the other, with the scores that judge predictions.

A prediction that beats it says more about the truth's mean than so many cells of the truth do. Each half has half of
the cells, so for small groups the noise of their means keeps the ceiling low.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipeline.data.groups import Moments
from pipeline.metrics.perturbation import mean_scores
from pipeline.metrics.populations import Space, population_scores


def split_half_scores(
    halves: tuple[Moments, Moments],
    sample_BG: npt.NDArray[np.float32],
    control_mean_G: npt.NDArray[np.float64],
    rank_G: npt.NDArray[np.int64],
    top_genes: list[int],
    space: Space,
) -> dict[str, float | None]:
    """The first half as the prediction, the second as the truth; ranks and space are those of the whole truth.

    The means are those of `halves`. The populations are every second cell of `sample_BG`, a sample of the truth, and
    the cells between; with fewer than four cells their distances are not defined (None).
    """
    predicted_G, true_G = (half.mean_G - control_mean_G for half in halves)
    means = mean_scores(predicted_G, true_G, rank_G, top_genes)
    if len(sample_BG) < 4:
        return {**means, "e_distance": None, "mmd": None}
    second = replace(space, true_BK=space.components.project(sample_BG[1::2]))
    return {**means, **population_scores(sample_BG[::2], second)}
