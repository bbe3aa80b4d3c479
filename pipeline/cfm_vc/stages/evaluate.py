"""Held-out perturbation responses: the model and the baselines beside the truth, on the same cells and scores."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from threadpoolctl import threadpool_limits

from pipeline.cfm_vc.data.held_out import HeldOut, HeldOutGroup, read_held_out, read_sample
from pipeline.cfm_vc.data.simulated_effects import simulated_effects
from pipeline.cfm_vc.evaluation.tables import change_table, group_names, latent_table, population_table
from pipeline.cfm_vc.metrics.populations import space_of
from pipeline.cfm_vc.metrics.response import (
    Response,
    control_misses,
    response_of,
    scores_of,
    split_half_scores,
    yardstick,
)
from pipeline.cfm_vc.model.baselines import BASELINES, Method, Prediction, Question, shuffled_labels
from pipeline.cfm_vc.model.flow import FlowField
from pipeline.cfm_vc.model.latents import intrinsic_latents
from pipeline.cfm_vc.model.predict import Solution, cfm_vc
from pipeline.cfm_vc.model.vae import Vae
from pipeline.cfm_vc.params.evaluate import Evaluate
from pipeline.cfm_vc.paths import PATHS
from pipeline.core.entry import run_stage
from pipeline.core.errors import ExpectedError
from pipeline.core.files import atomic_file, atomic_folder, write_json
from pipeline.data.cells import Cells
from pipeline.data.expression import log_normalise
from pipeline.data.store import Store, open_store
from pipeline.metrics.bootstrap import draws, percentile_interval
from pipeline.metrics.perturbation import pearson
from pipeline.metrics.ranking import Scores, bounds, mean_by_method, table
from pipeline.training.determinism import prepare_device
from pipeline.training.weights import load_model

SECTION = "cfm_vc.evaluate"
KIND = "perturbation"
MODEL, NEGATIVE, POSITIVE, CEILING = "cfm_vc", "shuffled_labels", "truth", "split_half"
PICTURED = {MODEL: "generated", "additive_shift": "additive_shift"}  # methods whose cells are drawn, and as what
LATENT_CELLS = 2000  # in the picture of the latent space

Expression = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]
Interval = tuple[float, float] | None
Role = Literal["model", "baseline", "control", "ceiling"]


@dataclass
class Findings:
    """Scores per held-out group and method with their 95 % intervals, and the tables behind the figures.

    `intervals` are those of `scores`, in the same order; None without resamples.
    """

    scores: list[tuple[HeldOutGroup, str, Scores]] = field(default_factory=list)
    intervals: list[Mapping[str, Interval]] = field(default_factory=list)
    changes: list[pa.Table] = field(default_factory=list)
    populations: list[pa.Table] = field(default_factory=list)

    def add(self, group: HeldOutGroup, method: str, values: Mapping[str, Array]) -> None:
        """Scores (R,) by name, NaN where not defined: the first value is the score, the others are of resamples."""
        first = {name: float(values_R[0]) for name, values_R in values.items()}
        self.scores.append((group, method, {name: None if np.isnan(score) else score for name, score in first.items()}))
        self.intervals.append({name: percentile_interval(values_R, bounds(name)) for name, values_R in values.items()})


def run(settings: Evaluate) -> None:
    """Score every method on every held-out group; write the scores and what the figures show; print a table."""
    device = prepare_device(settings.device, settings.threads)
    with threadpool_limits(settings.threads):  # torch's threads are not numpy's
        store = open_store(PATHS.store)
        vae, model = load_models(settings, device)
        held_out = read_held_out(store, settings.cells_per_group, settings.seed)
        findings = judge(store, held_out, {MODEL: model, **BASELINES}, settings)
        sample = read_sample(store, list(held_out.known), LATENT_CELLS, settings.seed)
        expression_BG = _expression(sample, held_out.target)
        latent = latent_table(store, sample, expression_BG, intrinsic_latents(vae, sample, device))
    means = mean_by_method([(method, scores) for _, method, scores in findings.scores])
    write_json(PATHS.reports / "metrics.json", means)
    write_scores(PATHS.reports / "table.csv", store, findings)
    with atomic_folder(PATHS.details) as folder:
        pq.write_table(pa.concat_tables(findings.changes), folder / "change.parquet")
        pq.write_table(pa.concat_tables(findings.populations), folder / "population.parquet")
        pq.write_table(latent, folder / "expression_latent.parquet")
    aside = [method for method in means if role_of(method) in ("control", "ceiling")]
    print(f"mean over {len(held_out.groups)} held-out groups (* best, where {', '.join(aside)} do not compete)")
    print(table(means, aside))


def load_models(settings: Evaluate, device: torch.device) -> tuple[Vae, Method]:
    """The trained VAE, and CFM-VC as a method."""
    vae, _ = load_model(PATHS.models / "vae", Vae, device)
    flow, trained = load_model(PATHS.models / "flow", FlowField, device)
    solution = Solution(trained["source"], settings.steps, settings.solver, settings.guidance)
    return vae, cfm_vc(vae, flow, solution, settings.seed, device)


def judge(store: Store, held_out: HeldOut, methods: Mapping[str, Method], settings: Evaluate) -> Findings:
    """Put every held-out group to every method, and score the answers; then the controls and the ceiling.

    ExpectedError where the positive control, the truth against itself, misses a perfect score, or where a method
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
        true_BG = _expression(group.truth_cells, held_out.target)
        control_BG = _expression(group.control_cells, held_out.target)
        space = space_of(true_BG, control_BG, settings.principal_components)
        random = _random(settings, group, 0)
        true, resampled = response_of(group.truth, control.mean_G, true_BG, replicates, random)
        by = yardstick(resampled, control, other_changes(held_out, group), space, settings.top_genes)
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
            None if group.perturbed_cells is None else _expression(group.perturbed_cells, held_out.target),
        )
        pictured = {"true": true_BG, "control": control_BG}
        for name, method in {**methods, NEGATIVE: shuffled_labels(held_out.shuffled)}.items():
            answer = method(question)
            _check_finite(answer, name, names)
            # The same stream for every method: populations of one size are resampled alike.
            times_RB = draws(len(answer.population_BG), replicates, _random(settings, group, 1))
            predicted = Response((answer.mean_G - control.mean_G)[None], answer.population_BG, times_RB)
            scores = scores_of(predicted, true, by)
            findings.add(group, name, _beside_simulated(scores, predicted.change_RG, effect_G))
            if name != NEGATIVE:
                changes = (true.change_RG[0], predicted.change_RG[0], by.rank_RG[0])
                findings.changes.append(change_table(store, group, name, *changes))
            if name in PICTURED:
                pictured[PICTURED[name]] = answer.population_BG
        findings.populations.append(population_table(store, group, space.components, pictured))
        itself = scores_of(true, true, by)
        _check_control(control_misses(itself, true), names)
        findings.add(group, POSITIVE, _beside_simulated(itself, true.change_RG, effect_G))
        ceiling = {name: np.full(len(true.change_RG), np.nan) for name in itself}
        if group.halves:
            random = _random(settings, group, 2)
            ceiling = split_half_scores(group.halves, control.mean_G, true_BG, by, replicates, random)
        findings.add(group, CEILING, _beside_simulated(ceiling, true.change_RG, effect_G))
    return findings


def role_of(method: str) -> Role:
    """What a method is there for; one that is neither a baseline nor of the stage's own is a model."""
    if method in BASELINES:
        return "baseline"
    if method in (NEGATIVE, POSITIVE):
        return "control"
    return "ceiling" if method == CEILING else "model"


def other_changes(held_out: HeldOut, group: HeldOutGroup) -> Array:
    """True changes of all other perturbations known in the group's cell type, held out or trained on, (Q, G)."""
    control_G = held_out.known[group.cell_type, held_out.control].mean_G
    truths = {other.perturbation: other.truth for other in held_out.groups if other.cell_type == group.cell_type}
    known = {label: moments for (code, label), moments in held_out.known.items() if code == group.cell_type}
    others = [
        moments.mean_G - control_G
        for label, moments in sorted({**known, **truths}.items())
        if label not in (group.perturbation, held_out.control)
    ]
    return np.stack(others) if others else np.zeros((0, len(control_G)))


def write_scores(path: Path, store: Store, findings: Findings) -> None:
    """One line per held-out group, method and metric; what is not defined is an empty field."""
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["cell_type", "perturbation", "method", "role", "cells", "metric", "value", "low", "high"])
        for (group, method, scores), intervals in zip(findings.scores, findings.intervals, strict=True):
            for metric, value in scores.items():
                which = [*group_names(store, group), method, role_of(method), group.truth.cells, metric]
                writer.writerow([*which, value, *(intervals[metric] or (None, None))])


def _beside_simulated(scores: dict[str, Array], change_RG: Array, effect_G: Array | None) -> dict[str, Array]:
    """The scores, and for simulated cells the correlation with the effects that they were made with."""
    return scores if effect_G is None else {**scores, "truth_pearson_change": pearson(change_RG, effect_G)}


def _check_finite(answer: Prediction, method: str, names: tuple[str, str]) -> None:
    if not (np.isfinite(answer.mean_G).all() and np.isfinite(answer.population_BG).all()):
        raise ExpectedError(
            f"{method} predicts values for {' under '.join(names)} that are not finite: train its model again, with a "
            "smaller learning_rate if it was a model that diverged"
        )


def _check_control(misses: list[str], names: tuple[str, str]) -> None:
    if misses:
        raise ExpectedError(
            f"the truth of {' under '.join(names)}, against itself, misses a perfect score: {', '.join(misses)}. No "
            "score of this run can be trusted: check the store (dvc repro --force preprocess@cfm_vc), and "
            "report it as a fault of pipeline/metrics if it stays"
        )


def _random(settings: Evaluate, group: HeldOutGroup, stream: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, group.cell_type, group.perturbation, stream])


def _expression(cells: Cells, target: float) -> Expression:
    return log_normalise(cells.dense(slice(None)), cells.library_size, target)


if __name__ == "__main__":
    run_stage(SECTION, run)
