"""Predict every held-out group with every method, and score all predictions on the same cells.

R: bootstrap resamples of the cells, the first row being the original cells (see `pipeline.cfm_vc.metrics.bootstrap`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.cfm_vc.data.groups import Moments
from pipeline.cfm_vc.data.held_out import HeldOut, HeldOutGroup
from pipeline.cfm_vc.data.simulated_effects import simulated_effects
from pipeline.cfm_vc.evaluation.tables import change_table, expression_of, group_names, population_table
from pipeline.cfm_vc.metrics.bootstrap import draws
from pipeline.cfm_vc.metrics.populations import space_of
from pipeline.cfm_vc.metrics.response import (
    Response,
    control_misses,
    response_of,
    scores_of,
    split_half_scores,
    yardstick,
)
from pipeline.cfm_vc.model.baselines import BASELINES, shuffled_labels
from pipeline.cfm_vc.model.question import Method, Prediction, Question
from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.core.errors import ExpectedError
from pipeline.data.store import Store
from pipeline.metrics.glossary import Role
from pipeline.metrics.perturbation import coverage, pearson

MODEL, NEGATIVE, POSITIVE, CEILING = "cfm_vc", "shuffled_labels", "truth", "split_half"
LATENT = "latent_arithmetic"  # a baseline that needs the model's VAE, so not one of `BASELINES`
PICTURED = {MODEL: "generated", "additive_shift": "additive_shift"}  # methods whose cells the report draws, and as what

Array = npt.NDArray[np.float64]


@dataclass
class Findings:
    """Scores (R,) by held-out group, method and metric, NaN where undefined, and the tables behind the figures.

    All methods share the resamples of a group, so differences between methods are paired.
    """

    scores: list[tuple[HeldOutGroup, str, Mapping[str, Array]]] = field(default_factory=list)
    changes: list[pa.Table] = field(default_factory=list)
    populations: list[pa.Table] = field(default_factory=list)


def judge(store: Store, held_out: HeldOut, methods: Mapping[str, Method], settings: Evaluate) -> Findings:
    """Score every method on every held-out group, then the controls and the split-half ceiling.

    ExpectedError if the positive control (the truth as its own prediction) does not score perfectly, or a method
    predicts a value that is not finite.
    """
    findings = Findings()
    simulated = simulated_effects(store)
    doses_CP = store.doses.matrix(store.categories["perturbation"])
    replicates = settings.bootstrap_replicates
    for group in held_out.groups:
        names = group_names(store, group)
        effect_G = simulated.get((group.cell_type, group.perturbation))
        control = held_out.known[group.cell_type, held_out.control]
        true_BG = expression_of(group.truth_cells, held_out.target)
        control_BG = expression_of(group.control_cells, held_out.target)
        space = space_of(true_BG, control_BG, settings.principal_components)
        random = _random(settings, group, 0)
        true, resampled = response_of(group.truth, control.mean_G, true_BG, replicates, random)
        by = yardstick(resampled, control, other_perturbations(held_out, group), space, settings.top_genes)
        question = Question(
            group.cell_type,
            group.perturbation,
            held_out.control,
            doses_CP[group.perturbation],
            doses_CP,
            group.control_cells,
            control_BG,
            held_out.target,
            held_out.known,
            None if group.perturbed_cells is None else expression_of(group.perturbed_cells, held_out.target),
        )
        pictured = {"true": true_BG, "control": control_BG}
        for name, method in {**methods, NEGATIVE: shuffled_labels(held_out.shuffled)}.items():
            answer = method(question)
            _check_finite(answer, name, names)
            # The same random stream for every method: populations of equal size are resampled identically.
            times_RB = draws(len(answer.population_BG), replicates, _random(settings, group, 1))
            predicted = Response((answer.mean_G - control.mean_G)[None], answer.population_BG, times_RB)
            scores = scores_of(predicted, true, by)
            if answer.interval is not None:
                half_width_G = answer.interval.half_width_G(group.truth.noise_G)
                covered = (predicted.change_RG, half_width_G, true.change_RG)
                scores |= coverage(*covered, by.rank_RG, max(settings.top_genes))
            told_RG = predicted.change_RG if answer.effect_G is None else answer.effect_G[None]
            findings.scores.append((group, name, _beside_simulated(scores, told_RG, effect_G)))
            if name != NEGATIVE:
                changes = (true.change_RG[0], predicted.change_RG[0], by.rank_RG[0])
                findings.changes.append(change_table(store, group, name, *changes))
            if name in PICTURED:
                pictured[PICTURED[name]] = answer.population_BG
        findings.populations.append(population_table(store, group, space.components, pictured))
        itself = scores_of(true, true, by)
        _check_control(control_misses(itself, true), names)
        findings.scores.append((group, POSITIVE, _beside_simulated(itself, true.change_RG, effect_G)))
        ceiling = {name: np.full(len(true.change_RG), np.nan) for name in itself}
        if group.halves:
            random = _random(settings, group, 2)
            ceiling = split_half_scores(group.halves, control.mean_G, true_BG, by, replicates, random)
        findings.scores.append((group, CEILING, _beside_simulated(ceiling, true.change_RG, effect_G)))
    return findings


def role_of(method: str) -> Role:
    """The role of a method: a model unless it is a baseline, ceiling or control."""
    if method in BASELINES or method == LATENT:
        return "baseline"
    if method in (NEGATIVE, POSITIVE):
        return "control"
    return "ceiling" if method == CEILING else "model"


def other_perturbations(held_out: HeldOut, group: HeldOutGroup) -> list[Moments]:
    """The true cells of each other perturbation of the group's cell type, held out or not."""
    truths = {other.perturbation: other.truth for other in held_out.groups if other.cell_type == group.cell_type}
    known = {label: moments for (code, label), moments in held_out.known.items() if code == group.cell_type}
    return [
        moments
        for label, moments in sorted({**known, **truths}.items())
        if label not in (group.perturbation, held_out.control)
    ]


def _beside_simulated(scores: dict[str, Array], change_RG: Array, effect_G: Array | None) -> dict[str, Array]:
    """The scores and, for simulated cells, the correlation with the true effects."""
    return scores if effect_G is None else {**scores, "truth_pearson_change": pearson(change_RG, effect_G)}


def _check_finite(answer: Prediction, method: str, names: tuple[str, str]) -> None:
    if not (np.isfinite(answer.mean_G).all() and np.isfinite(answer.population_BG).all()):
        raise ExpectedError(
            f"{method} predicts values for {' under '.join(names)} that are not finite: retrain its model, with a "
            "smaller learning_rate if training diverged"
        )


def _check_control(misses: list[str], names: tuple[str, str]) -> None:
    if misses:
        raise ExpectedError(
            f"the positive control of {' under '.join(names)} does not score perfectly: {', '.join(misses)}. No score "
            "of this run can be trusted: rebuild the store (dvc repro --force preprocess), and report a bug in "
            "pipeline/metrics if this persists"
        )


def _random(settings: Evaluate, group: HeldOutGroup, stream: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, group.cell_type, group.perturbation, stream])
