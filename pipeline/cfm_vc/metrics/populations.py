"""The space in which a predicted population of cells is compared with the true one.

B: cells; G: genes; K: components. Distances over thousands of genes are dominated by noise, so they are computed in the
first K principal components of log-normalised expression. The space and the kernel bandwidth come from the true and the
control cells only, and are the same for all methods.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.metrics.components import Components, principal_components
from pipeline.cfm_vc.metrics.distances import median_distance

Expression = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Space:
    """Principal components, and the kernel bandwidth in units of expression."""

    components: Components
    bandwidth: float


def space_of(true_BG: Expression, control_BG: Expression, components: int) -> Space:
    """Principal components fitted on true and control cells together; the bandwidth is their median distance there."""
    both_BG = np.concatenate([true_BG, control_BG])
    axes = principal_components(both_BG, components)
    return Space(axes, median_distance(axes.project(both_BG)))
