"""Baselines: closed-form predictions that a model has to beat, on the same cells and scores.

B: cells; G: genes; P: treatments; C: perturbation labels; R: training groups; K: components. A method maps a question
to a prediction; register a new one in `BASELINES`. A context is a cell type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.data.cells import Cells
from pipeline.data.groups import Group, Moments, sources
from pipeline.nn.ridge import Linear, choose_penalty, fit_ridge

Array = npt.NDArray[np.float64]

CONTEXT_COMPONENTS = 3  # principal components of the control means, features of the ridge regression


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

    They are separate because a method with an exact mean should not be scored on a sample of it.
    """

    mean_G: Array
    population_BG: npt.NDArray[np.float32]


Method = Callable[[Question], Prediction]


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
    """The perturbation's mean change in other contexts, `additive_change`, added to this cell type's controls.

    Both the mean and the shifted cells are clipped at 0, since expression is not negative.
    """
    return _shifted(question, additive_change(question))


def shuffled_labels(shuffled: Mapping[Group, Moments]) -> Method:
    """The negative control: the additive shift fitted to `shuffled`, groups with permuted perturbation labels.

    It starts from the true controls. The labels carry no information, so it must not beat "no effect".
    """

    def answer(question: Question) -> Prediction:
        return _shifted(question, additive_change(question, shuffled))

    return answer


class Ridge:
    """Ridge regression of a training group's mean change on its doses and its context, `features`.

    Controls are included with change 0 at dose 0; without them the intercept would count twice in a combination of
    treatments seen only alone. The penalty is chosen by leave-one-context-out cross-validation on the training groups;
    with a single context, by leave-one-perturbation-out. Mean and shifted cells are clipped at 0. The last fit is
    cached, since all questions of an evaluation share their training groups.
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
        return _shifted(question, self._fit(features(question.p_P, context_K[question.cell_type])))


BASELINES: dict[str, Method] = {
    "control_mean": control_mean,
    "perturbation_mean": perturbation_mean,
    "additive_shift": additive_shift,
    "ridge": Ridge(),
}


def additive_change(question: Question, known: Mapping[Group, Moments] | None = None) -> Array:
    """The expected change (G,) if effects are additive and the same in every context; `known` defaults to the
    question's.

    A change is a group's mean minus the mean of its cell type's controls. The first available of:

    1. the perturbation's mean change over the other cell types, weighted equally;
    2. the sum over its treatments of their single-treatment changes: in this cell type if known, otherwise the mean
       over the others; linearly interpolated between known doses (0 has no change), constant beyond the largest. A
       treatment never seen alone adds nothing;
    3. the mean change of the groups that `sources` names;
    4. no change.
    """
    changes = {
        group: change
        for group, change in _changes(known or question.known, question.control).items()
        if group != question.group
    }
    same = [change for (_, label), change in changes.items() if label == question.perturbation]
    if same:
        return np.asarray(np.mean(same, axis=0))
    treatments = [
        by_dose
        for treatment in np.flatnonzero(question.p_P)
        if (by_dose := _by_dose(question, changes, int(treatment))) is not None
    ]
    if treatments:
        return np.asarray(np.sum(treatments, axis=0))
    rest = [changes[group] for group in sources(changes, question.group, question.control)]
    return np.asarray(np.mean(rest, axis=0)) if rest else np.zeros_like(question.control_mean_G)


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
    perturbed = _changes(training, control)
    if not perturbed:
        return None
    none_G = np.zeros_like(next(iter(perturbed.values())))
    changes = {**perturbed, **{(cell_type, control): none_G for cell_type in context_K}}
    x_RF = np.stack([features(doses_CP[label], context_K[cell_type]) for cell_type, label in changes])
    y_RG = np.stack(list(changes.values()))
    cell_type_R, label_R = np.array(list(changes)).T
    penalty = choose_penalty(x_RF, y_RG, cell_type_R if len(set(cell_type_R.tolist())) > 1 else label_R)
    return fit_ridge(x_RF, y_RG, penalty)


def _changes(known: Mapping[Group, Moments], control: int) -> dict[Group, Array]:
    """The change (G,) of every perturbed group whose cell type has controls."""
    return {
        (cell_type, label): moments.mean_G - known[cell_type, control].mean_G
        for (cell_type, label), moments in known.items()
        if label != control and (cell_type, control) in known
    }


def _by_dose(question: Question, changes: Mapping[Group, Array], treatment: int) -> Array | None:
    """The change (G,) at the question's dose of one treatment, from single-treatment groups; None without any."""
    doses_CP = question.doses_CP
    alone = {label for _, label in changes if np.flatnonzero(doses_CP[label]).tolist() == [treatment]}
    if not alone:
        return None
    labels = sorted(alone, key=lambda label: float(doses_CP[label, treatment]))
    known_DG = [np.zeros_like(question.control_mean_G)]
    for label in labels:
        own = changes.get((question.cell_type, label))
        others = [change for (_, other), change in changes.items() if other == label]
        known_DG.append(np.mean(others, axis=0) if own is None else own)
    doses_D = [0.0, *(float(doses_CP[label, treatment]) for label in labels)]
    weights_D = [np.interp(question.p_P[treatment], doses_D, one_D) for one_D in np.eye(len(doses_D))]
    return np.asarray(np.array(weights_D) @ np.stack(known_DG))


def _shifted(question: Question, change_G: Array) -> Prediction:
    shifted_BG = np.maximum(question.expression_BG + change_G.astype(np.float32), 0)
    return Prediction(np.maximum(question.control_mean_G + change_G, 0), shifted_BG)
