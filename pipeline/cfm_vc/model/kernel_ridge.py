"""Kernel ridge regression of a perturbation's change on the context, by how alike the contexts' controls are.

C: contexts, that is cell types with controls; R: those in which a perturbation was seen; G: genes; L: penalties.
Source: Saunders, Gammerman and Vovk (1998, ICML), ridge regression in dual variables.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from pipeline.cfm_vc.data.groups import Group, Moments
from pipeline.cfm_vc.metrics.distances import median_distance
from pipeline.cfm_vc.model.additive import additive_change, changes, elsewhere
from pipeline.cfm_vc.model.question import Prediction, Question, shifted

Array = npt.NDArray[np.float64]

# Strongest first, which wins ties.
PENALTIES: tuple[float, ...] = tuple(10.0 ** (power / 2) for power in range(6, -7, -1))


class KernelRidge:
    """The perturbation's mean change over the other contexts, plus what depends on the context.

    In a context with kernel values k to those where the perturbation was seen, the change is
    mean + kᵀ (K + penalty · I)⁻¹ (Y − mean), Y being its changes there. K is one Gaussian kernel for all perturbations,
    exp(−d² / (2 m²)): d is the Euclidean distance between mean control expression of two contexts, and m the median of
    these distances. A strong penalty, and a context unlike all others, leave the mean change. One penalty is chosen for
    all perturbations together, by leaving out one context at a time.

    A perturbation not seen in other contexts has its additive change. The last choice of the penalty is kept, since all
    questions of an evaluation share their training groups.
    """

    def __init__(self) -> None:
        self._training: dict[Group, Moments] = {}
        self._penalty = PENALTIES[0]

    def __call__(self, question: Question) -> Prediction:
        """As every method."""
        seen = elsewhere(question, question.means)
        if not seen:
            return shifted(question, additive_change(question))
        training = {group: moments for group, moments in question.known.items() if group != question.group}
        means = {group: moments.mean_G for group, moments in training.items()}
        place, kernel_CC = kernel_of(means, question.control)
        if training != self._training:
            self._training = training
            self._penalty = choose_penalty(changes(means, question.control), place, kernel_CC)
        rows = [place[cell_type] for cell_type in seen]
        change_LG = _predicted(kernel_CC, rows, place[question.cell_type], np.stack(list(seen.values())), self._penalty)
        return shifted(question, change_LG[0])


def kernel_of(means: Mapping[Group, Array], control: int) -> tuple[dict[int, int], Array]:
    """The row of each context, by cell type, and the kernel (C, C) between their mean controls."""
    codes = [cell_type for cell_type, label in means if label == control]
    mean_CG = np.stack([means[code, control] for code in codes])
    width = median_distance(mean_CG)
    return {code: row for row, code in enumerate(codes)}, np.exp(-(cdist(mean_CG, mean_CG) ** 2) / (2 * width**2))


def choose_penalty(known: Mapping[Group, Array], place: Mapping[int, int], kernel_CC: Array) -> float:
    """The penalty of `PENALTIES` with the smallest squared error over all changes, each predicted from the same
    perturbation in the other contexts; the strongest where no perturbation was seen in two contexts."""
    error_L = np.zeros(len(PENALTIES))
    for perturbation in sorted({label for _, label in known}):
        rows = [place[code] for code, label in known if label == perturbation]
        y_RG = np.stack([change_G for (_, label), change_G in known.items() if label == perturbation])
        for left_out in range(len(rows) if len(rows) > 1 else 0):
            rest = [row for row in range(len(rows)) if row != left_out]
            found_LG = _predicted(kernel_CC, [rows[row] for row in rest], rows[left_out], y_RG[rest], *PENALTIES)
            error_L += np.sum((found_LG - y_RG[left_out]) ** 2, axis=1)
    return PENALTIES[int(error_L.argmin())]


def _predicted(kernel_CC: Array, rows: list[int], asked: int, y_RG: Array, *penalties: float) -> Array:
    """The change in the context `asked` from the changes in the contexts `rows`, for each penalty, (L, G)."""
    values_R, vectors_RR = np.linalg.eigh(kernel_CC[np.ix_(rows, rows)])
    mean_G = y_RG.mean(axis=0)
    # Rounding can leave an eigenvalue slightly below 0.
    weight_LR = (kernel_CC[asked, rows] @ vectors_RR) / (np.maximum(values_R, 0) + np.array(penalties)[:, None])
    found_LG: Array = mean_G + weight_LR @ (vectors_RR.T @ (y_RG - mean_G))
    return found_LG
