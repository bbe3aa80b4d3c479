"""What a method of the evaluation is asked, and what it answers.

B: cells; G: genes; P: treatments; C: perturbation labels. A method maps a question to a prediction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.data.groups import Group, Moments
from pipeline.cfm_vc.model.intervals import Interval
from pipeline.data.cells import Cells

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """What would these control cells of one cell type look like under this perturbation?

    cell_type, perturbation, control: codes; p_P: the vector of the perturbation's doses, and doses_CP those of all
    codes (see `pipeline.data.doses`; the code of an unseen perturbation is one past the last); start: control cells to
    start from; expression_BG: their log-normalised expression; target: the library size it was scaled to; known:
    moments of log-normalised expression of every training group, including the controls of this cell type but not the
    group in question; perturbed_BG: log-normalised expression of training cells of the groups listed by `sources`, the
    same number from each or all it has (None if there are none, or none were read).
    """

    cell_type: int
    perturbation: int
    control: int
    p_P: npt.NDArray[np.float32]
    doses_CP: npt.NDArray[np.float32]
    start: Cells
    expression_BG: npt.NDArray[np.float32]
    target: float
    known: Mapping[Group, Moments]
    perturbed_BG: npt.NDArray[np.float32] | None = None

    @property
    def means(self) -> dict[Group, Array]:
        """Mean log-normalised expression of every training group."""
        return {group: moments.mean_G for group, moments in self.known.items()}

    @property
    def control_mean_G(self) -> Array:
        """Mean log-normalised expression of all training controls of this cell type."""
        return self.known[self.cell_type, self.control].mean_G

    @property
    def group(self) -> Group:
        """The group to predict."""
        return self.cell_type, self.perturbation


@dataclass(frozen=True)
class Prediction:
    """Log-normalised expression of a predicted population, and the mean that the method predicts for it.

    They are separate because a method with an exact mean should not be scored on a sample of it. interval: the 90 %
    interval of each gene's mean, where the method has one. effect_G: the change of the mean, where the method tells it
    apart from the noise of the measured controls.
    """

    mean_G: Array
    population_BG: npt.NDArray[np.float32]
    interval: Interval | None = None
    effect_G: Array | None = None


Method = Callable[[Question], Prediction]


def shifted(question: Question, change_G: Array) -> Prediction:
    """The question's control cells, and the mean of all controls, plus a change; clipped at 0, since expression is not
    negative."""
    shifted_BG = np.maximum(question.expression_BG + change_G.astype(np.float32), 0)
    return Prediction(np.maximum(question.control_mean_G + change_G, 0), shifted_BG)
