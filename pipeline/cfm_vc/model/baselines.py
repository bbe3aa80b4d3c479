"""Baselines: closed-form predictions that a model has to beat, on the same cells and scores.

G: genes; P: treatments; C: perturbation labels; R: training groups; K: components. Register a new one in `BASELINES`. A
context is a cell type.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.data.groups import Group, Moments, sources
from pipeline.cfm_vc.model.additive import additive_change, changes, elsewhere
from pipeline.cfm_vc.model.kernel_ridge import KernelRidge
from pipeline.cfm_vc.model.question import Method, Prediction, Question, shifted
from pipeline.nn.ridge import Linear, choose_penalty, fit_ridge

Array = npt.NDArray[np.float64]

CONTEXT_COMPONENTS = 3  # principal components of the control means, features of the ridge regression


def control_mean(question: Question) -> Prediction:
    """No effect: the mean and the cells of the controls themselves."""
    return Prediction(question.control_mean_G, question.expression_BG)


def perturbation_mean(question: Question) -> Prediction:
    """The mean of the perturbed cells of the other cell types, each type weighted equally, regardless of context.

    The population is a sample of these cells, the same number from each cell type: real cells of the wrong types. For
    an unseen perturbation other groups are used (see `sources`); without any perturbed cells it is the control mean.
    ValueError if the question lacks the perturbed cells although there are some.
    """
    groups = sources(question.known, question.group, question.control)
    if not groups:
        return control_mean(question)
    if question.perturbed_BG is None:
        raise ValueError("the question brings no perturbed cells of other groups to predict from")
    return Prediction(np.mean([question.known[group].mean_G for group in groups], axis=0), question.perturbed_BG)


def additive_shift(question: Question) -> Prediction:
    """The perturbation's mean change in other contexts, `additive_change`, added to this cell type's controls."""
    return shifted(question, additive_change(question))


def nearest_context(question: Question) -> Prediction:
    """The perturbation's change in the one other context whose controls are most alike, added to this cell type's.

    Alike: the smallest Euclidean distance between mean expression of controls. The additive change where no other
    context has seen the perturbation.
    """
    seen = elsewhere(question, question.means)
    if not seen:
        return additive_shift(question)

    def distance(cell_type: int) -> float:
        return float(np.linalg.norm(question.known[cell_type, question.control].mean_G - question.control_mean_G))

    return shifted(question, seen[min(seen, key=distance)])


def shuffled_labels(shuffled: Mapping[Group, Moments]) -> Method:
    """The negative control: the additive shift fitted to `shuffled`, groups with permuted perturbation labels.

    It starts from the true controls. The labels carry no information, so it must not beat "no effect".
    """
    means = {group: moments.mean_G for group, moments in shuffled.items()}

    def answer(question: Question) -> Prediction:
        return shifted(question, additive_change(question, means))

    return answer


class Ridge:
    """Ridge regression of a training group's mean change on its doses and its context, `features`.

    Controls are included with change 0 at dose 0; without them the intercept would count twice in a combination of
    treatments seen only alone. The penalty is chosen by leave-one-context-out cross-validation on the training groups;
    with a single context, by leave-one-perturbation-out. The last fit is cached, since all questions of an evaluation
    share their training groups.
    """

    def __init__(self) -> None:
        self._training: dict[Group, Moments] = {}
        self._doses_CP = np.zeros((0, 0), np.float32)
        self._fit: Linear | None = None

    def __call__(self, question: Question) -> Prediction:
        """As every method."""
        training = {group: moments for group, moments in question.known.items() if group != question.group}
        context_K = contexts(training, question.control)
        if training != self._training or not np.array_equal(self._doses_CP, question.doses_CP):
            self._training, self._doses_CP = training, question.doses_CP
            self._fit = _regression(training, question.control, question.doses_CP, context_K)
        if self._fit is None:
            return control_mean(question)
        return shifted(question, self._fit(features(question.p_P, context_K[question.cell_type])))


BASELINES: dict[str, Method] = {
    "control_mean": control_mean,
    "perturbation_mean": perturbation_mean,
    "additive_shift": additive_shift,
    "nearest_context": nearest_context,
    "ridge": Ridge(),
    "kernel_ridge": KernelRidge(),
}


def features(p_P: npt.NDArray[np.float32], context_K: Array) -> Array:
    """Doses, context, and their products: (P + K + P · K,)."""
    doses_P = p_P.astype(np.float64)
    return np.concatenate([doses_P, context_K, np.outer(doses_P, context_K).reshape(-1)])


def contexts(known: Mapping[Group, Moments], control: int) -> dict[int, Array]:
    """Cell types in at most `CONTEXT_COMPONENTS` principal components of their control means, by code.

    Scaled by the standard deviation of the first component, so that coordinates and doses are comparable.
    """
    codes = [cell_type for cell_type, label in known if label == control]
    mean_CG = np.stack([known[code, control].mean_G for code in codes])
    left_CK, size_K, _ = np.linalg.svd(mean_CG - mean_CG.mean(axis=0), full_matrices=False)
    count = min(CONTEXT_COMPONENTS, len(codes) - 1)
    scale = size_K[0] / np.sqrt(len(codes))
    scores_CK = left_CK[:, :count] * (size_K[:count] / scale if scale > 0 else 0.0)
    return dict(zip(codes, scores_CK, strict=True))


def _regression(
    training: Mapping[Group, Moments], control: int, doses_CP: npt.NDArray[np.float32], context_K: Mapping[int, Array]
) -> Linear | None:
    perturbed = changes({group: moments.mean_G for group, moments in training.items()}, control)
    if not perturbed:
        return None
    none_G = np.zeros_like(next(iter(perturbed.values())))
    learned = {**perturbed, **{(cell_type, control): none_G for cell_type in context_K}}
    x_RF = np.stack([features(doses_CP[label], context_K[cell_type]) for cell_type, label in learned])
    y_RG = np.stack(list(learned.values()))
    cell_type_R, label_R = np.array(list(learned)).T
    penalty = choose_penalty(x_RF, y_RG, cell_type_R if len(set(cell_type_R.tolist())) > 1 else label_R)
    return fit_ridge(x_RF, y_RG, penalty)
