"""The space in which a predicted population of cells is compared with the true one.

B: true cells; N: predicted cells; G: genes; K: components; R: bootstrap resamples. Distances over thousands of genes
are dominated by noise, so they are computed in the first K principal components of log-normalised expression. The space
and the kernel bandwidth come from the true and the control cells only, and are the same for all methods.

Components fit the noise of the cells they are made of, along which other cells of the same population vary less. In
them a perfect prediction would be at a distance from the truth, and nearer if its spread were inflated; and one that
keeps the noise of its control cells would have an advantage. So cells are compared in components of cells that are not
among them: even rows of each population in those of the odd rows, and the other way round. (A prediction that starts
from control cells keeps their order.)
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.metrics.components import Components, principal_components
from pipeline.cfm_vc.metrics.distances import e_distance, median_distance, mmd

Array = npt.NDArray[np.float64]
Expression = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Space:
    """Principal components of all cells, for pictures; those in which even and odd rows are compared; and the kernel
    bandwidth, in units of expression."""

    components: Components
    halves: tuple[Components, Components]
    bandwidth: float


def space_of(true_BG: Expression, control_BG: Expression, components: int) -> Space:
    """Principal components fitted on true and control cells together; the bandwidth is their median distance there."""
    both_BG = np.concatenate([true_BG, control_BG])
    axes = principal_components(both_BG, components)
    of_even, of_odd = (
        principal_components(np.concatenate([true_BG[start::2], control_BG[start::2]]), components) for start in (0, 1)
    )
    return Space(axes, (of_odd, of_even), median_distance(axes.project(both_BG)))


def population_distances(
    x_NG: Expression, y_BG: Expression, times_RN: Array, times_RB: Array, space: Space
) -> dict[str, Array]:
    """E-distance and MMD of predicted and true cells, (R,): means over the even and the odd rows.

    Halves with fewer than two cells of either population are left out; NaN if both are.
    """
    found: dict[str, list[Array]] = {"e_distance": [], "mmd": []}
    for start, components in enumerate(space.halves):
        half = slice(start, None, 2)
        if min(len(x_NG[half]), len(y_BG[half])) < 2:
            continue
        x_NK, y_BK = components.project(x_NG[half]), components.project(y_BG[half])
        times = (times_RN[:, half], times_RB[:, half])
        found["e_distance"].append(e_distance(x_NK, y_BK, *times))
        found["mmd"].append(mmd(x_NK, y_BK, space.bandwidth, *times))
    undefined_R = np.full(len(times_RB), np.nan)
    return {name: np.mean(halves, axis=0) if halves else undefined_R for name, halves in found.items()}
