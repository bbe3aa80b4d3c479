"""Predictions without a model: what any model has to beat, on the same cells and the same scores.

B: cells; G: genes. A method is a function from a question to a prediction, and a new one is an entry of `BASELINES`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.data.cells import Cells
from pipeline.data.groups import Group, Moments


@dataclass(frozen=True)
class Question:
    """What would these control cells of one cell type look like under this perturbation?

    cell_type, perturbation, control: codes; p_P: the vector of the perturbation's doses, and doses_CP those of all
    codes (see `pipeline.data.doses`; a perturbation without a code is one past the last); start: control cells to start
    from; expression_BG: their log-normalised expression; target: library size it was scaled to; known: moments of
    log-normalised expression of every group of the training data, the cell type's own controls included, the group
    asked for not.
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

    @property
    def control_mean_G(self) -> npt.NDArray[np.float64]:
        """Mean log-normalised expression of all training controls of this cell type."""
        return self.known[self.cell_type, self.control].mean_G


@dataclass(frozen=True)
class Prediction:
    """Log-normalised expression of a predicted population, and the mean that the method predicts for it.

    The two are separate since a method that knows its mean exactly should not be scored on a sample of it.
    """

    mean_G: npt.NDArray[np.float64]
    population_BG: npt.NDArray[np.float32]


Method = Callable[[Question], Prediction]


def control_mean(question: Question) -> Prediction:
    """No effect: the mean and the cells of the controls themselves."""
    return Prediction(question.control_mean_G, question.expression_BG)


def perturbation_mean(question: Question) -> Prediction:
    """The perturbation's mean change in the other cell types, each counted once, added to this one's controls.

    A perturbation never seen is given the mean change over all the perturbations and cell types seen. Both the mean
    and the shifted cells are clipped at 0, since expression is not negative.
    """
    change_G = mean_change(question)
    shifted_BG = np.maximum(question.expression_BG + change_G.astype(np.float32), 0)
    return Prediction(np.maximum(question.control_mean_G + change_G, 0), shifted_BG)


BASELINES: dict[str, Method] = {
    "control_mean": control_mean,
    "perturbation_mean": perturbation_mean,
}


def mean_change(question: Question) -> npt.NDArray[np.float64]:
    """Mean over the other cell types of (mean under the perturbation − mean of their controls), shape (G,).

    0 where nothing was ever perturbed.
    """
    changes = {
        (cell_type, perturbation): moments.mean_G - question.known[cell_type, question.control].mean_G
        for (cell_type, perturbation), moments in question.known.items()
        if perturbation != question.control
        and cell_type != question.cell_type
        and (cell_type, question.control) in question.known
    }
    same = [change for (_, perturbation), change in changes.items() if perturbation == question.perturbation]
    chosen = same or list(changes.values())
    return np.mean(chosen, axis=0) if chosen else np.zeros_like(question.control_mean_G)
