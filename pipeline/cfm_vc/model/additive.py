"""Changes of perturbed groups, and what they come to in a new context if effects are additive.

G: genes, or dimensions of a latent space: all of this holds for means in either. A context is a cell type.
"""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from pipeline.cfm_vc.data.groups import Group, sources
from pipeline.cfm_vc.model.question import Question

Array = npt.NDArray[np.float64]
Doses = npt.NDArray[np.float32]


def changes(means: Mapping[Group, Array], control: int) -> dict[Group, Array]:
    """The change (G,) of every perturbed group whose cell type has controls: its mean minus that of the controls."""
    return {
        (cell_type, label): mean_G - means[cell_type, control]
        for (cell_type, label), mean_G in means.items()
        if label != control and (cell_type, control) in means
    }


def elsewhere(question: Question, means: Mapping[Group, Array]) -> dict[int, Array]:
    """The change (G,) of the question's perturbation in every other context where it was seen, by cell type."""
    return {
        cell_type: change_G
        for (cell_type, label), change_G in changes(means, question.control).items()
        if label == question.perturbation and cell_type != question.cell_type
    }


def additive_change(question: Question, means: Mapping[Group, Array] | None = None) -> Array:
    """The expected change (G,) if effects are additive and the same in every context; `means` defaults to those of the
    question.

    The first available of:

    1. the perturbation's mean change over the other cell types, weighted equally;
    2. the sum over its treatments of their single-treatment changes: in this cell type if known, otherwise the mean
       over the others; linearly interpolated between known doses (0 has no change), constant beyond the largest. A
       treatment never seen alone adds nothing;
    3. the mean change of the groups that `sources` names;
    4. no change.
    """
    means = question.means if means is None else means
    same = elsewhere(question, means)
    if same:
        return np.asarray(np.mean(list(same.values()), axis=0))
    known = {group: change for group, change in changes(means, question.control).items() if group != question.group}
    treatments = [
        by_dose
        for treatment in np.flatnonzero(question.p_P)
        if (by_dose := _by_dose(question, known, int(treatment))) is not None
    ]
    if treatments:
        return np.asarray(np.sum(treatments, axis=0))
    rest = [known[group] for group in sources(known, question.group, question.control)]
    return np.asarray(np.mean(rest, axis=0)) if rest else np.zeros_like(means[question.cell_type, question.control])


def adds_up(p_P: Doses, doses_CP: Doses, measured: Collection[Group]) -> bool:
    """Whether each treatment of these doses was measured alone, so that `additive_change` knows all parts of a sum."""
    alone = {int(treatments[0]) for _, label in measured if len(treatments := np.flatnonzero(doses_CP[label])) == 1}
    return alone.issuperset(np.flatnonzero(p_P).tolist())


def _by_dose(question: Question, known: Mapping[Group, Array], treatment: int) -> Array | None:
    """The change (G,) at the question's dose of one treatment, from single-treatment groups; None without any."""
    doses_CP = question.doses_CP
    alone = {label for _, label in known if np.flatnonzero(doses_CP[label]).tolist() == [treatment]}
    if not alone:
        return None
    labels = sorted(alone, key=lambda label: float(doses_CP[label, treatment]))
    known_DG = [np.zeros_like(next(iter(known.values())))]
    for label in labels:
        own = known.get((question.cell_type, label))
        others = [change for (_, other), change in known.items() if other == label]
        known_DG.append(np.mean(others, axis=0) if own is None else own)
    doses_D = [0.0, *(float(doses_CP[label, treatment]) for label in labels)]
    weights_D = [np.interp(question.p_P[treatment], doses_D, one_D) for one_D in np.eye(len(doses_D))]
    return np.asarray(np.array(weights_D) @ np.stack(known_DG))
