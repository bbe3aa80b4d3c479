"""A predicted population of cells against the true one, in principal components of the truth and its controls.

B: cells; G: genes; K: components. Distances over thousands of noisy genes are dominated by noise, so they are taken in
the first K components of log-normalised expression. The space and the kernel's bandwidth come from the true and the
control cells only: they are the same for every method compared.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.metrics.components import Components, principal_components
from pipeline.metrics.distances import e_distance, median_distance, mmd

Expression = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Space:
    """The components, the true cells in them (B, K), and the bandwidth of the kernel, in the units of expression."""

    components: Components
    true_BK: npt.NDArray[np.float64]
    bandwidth: float


def space_of(true_BG: Expression, control_BG: Expression, components: int) -> Space:
    """Principal components fitted on true and control cells together; the bandwidth is their median distance there."""
    both_BG = np.concatenate([true_BG, control_BG])
    axes = principal_components(both_BG, components)
    return Space(axes, axes.project(true_BG), median_distance(axes.project(both_BG)))


def population_scores(predicted_BG: Expression, space: Space) -> dict[str, float]:
    """`e_distance` (plain Euclidean) and `mmd` (squared), both unbiased, of the predicted against the true cells.

    See `pipeline.metrics.distances` for the exact definitions.
    """
    predicted_BK = space.components.project(predicted_BG)
    return {
        "e_distance": e_distance(predicted_BK, space.true_BK),
        "mmd": mmd(predicted_BK, space.true_BK, space.bandwidth),
    }
