"""Held-out perturbation responses: the model and the baselines beside the truth, on the same cells and scores."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from pipeline import paths
from pipeline.data.cells import Cells
from pipeline.data.expression import log_normalise
from pipeline.data.groups import Group
from pipeline.data.held_out import HeldOut, HeldOutGroup, read_held_out, read_sample
from pipeline.data.store import Store, open_store
from pipeline.files import atomic_file, atomic_folder, write_json
from pipeline.metrics.ceiling import split_half_scores
from pipeline.metrics.components import principal_components
from pipeline.metrics.perturbation import de_rank, mean_scores, pearson
from pipeline.metrics.populations import population_scores, space_of
from pipeline.metrics.ranking import Scores, mean_by_method, table
from pipeline.models.baselines import BASELINES, Method, Question
from pipeline.models.flow import FlowField
from pipeline.models.latents import intrinsic_latents
from pipeline.models.predict import cfm_vc
from pipeline.models.vae import Vae
from pipeline.params import EvaluatePerturbation
from pipeline.training.determinism import prepare_device
from pipeline.training.weights import load_model

SECTION = "evaluate.perturbation"
KIND = "perturbation"
MODEL, CEILING = "cfm_vc", "split_half"
LATENT_CELLS = 2000  # in the picture of the latent space

Expression = npt.NDArray[np.float32]
Truth = Mapping[Group, npt.NDArray[np.float64]]  # simulated log fold change of each gene, (G,)


@dataclass
class Findings:
    """Scores per held-out group and method, and the tables behind the figures."""

    scores: list[tuple[HeldOutGroup, str, Scores]] = field(default_factory=list)
    changes: list[pa.Table] = field(default_factory=list)
    populations: list[pa.Table] = field(default_factory=list)


def run(settings: EvaluatePerturbation) -> None:
    """Score every method on every held-out group; write the scores and what the figures show; print a table."""
    device = prepare_device(settings.device, settings.threads)
    with threadpool_limits(settings.threads):  # torch's threads are not numpy's
        store = open_store(paths.PROCESSED / KIND)
        vae, _ = load_model(paths.MODELS / KIND / "vae", Vae, device)
        flow, trained = load_model(paths.MODELS / KIND / "flow", FlowField, device)
        model = cfm_vc(vae, flow, trained["source"], settings.steps, settings.seed, device)
        held_out = read_held_out(store, settings.cells_per_group, settings.seed)
        findings = judge(store, held_out, {MODEL: model, **BASELINES}, settings)
        sample = read_sample(store, list(held_out.known), LATENT_CELLS, settings.seed)
        latent = latent_table(store, sample, held_out.target, intrinsic_latents(vae, sample, device))
    means = mean_by_method([(method, scores) for _, method, scores in findings.scores])
    write_json(paths.METRICS / f"{KIND}.json", means)
    write_scores(paths.TABLES / f"{KIND}.csv", store, findings)
    with atomic_folder(paths.EVALUATION / KIND) as folder:
        pq.write_table(pa.concat_tables(findings.changes), folder / "change.parquet")
        pq.write_table(pa.concat_tables(findings.populations), folder / "population.parquet")
        pq.write_table(latent, folder / "expression_latent.parquet")
    print(f"mean over {len(held_out.groups)} held-out groups (* best; {CEILING}: the truth against itself)")
    print(table(means, ceiling=CEILING))


def judge(store: Store, held_out: HeldOut, methods: Mapping[str, Method], settings: EvaluatePerturbation) -> Findings:
    """Put every held-out group to every method, and score the answers; the truth's halves come last, as the ceiling."""
    findings = Findings()
    simulated = simulated_truth(store)
    doses_CP = store.doses.matrix(store.categories["perturbation"])
    for group in held_out.groups:
        control_G = held_out.known[group.cell_type, held_out.control].mean_G
        true_BG = _expression(group.truth_cells, held_out.target)
        control_BG = _expression(group.control_cells, held_out.target)
        true_G = group.truth.mean_G - control_G
        rank_G = de_rank(group.truth, held_out.known[group.cell_type, held_out.control])
        space = space_of(true_BG, control_BG, settings.principal_components)
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
        for name, method in methods.items():
            answer = method(question)
            change_G = answer.mean_G - control_G
            scores: dict[str, float | None] = {**mean_scores(change_G, true_G, rank_G, settings.top_genes)}
            scores |= population_scores(answer.population_BG, space)
            if simulated:
                scores["truth_pearson_change"] = pearson(change_G, simulated[group.cell_type, group.perturbation])
            findings.scores.append((group, name, scores))
            columns = {"change_true": true_G, "change_predicted": change_G, "de_rank": rank_G}
            genes = {"gene": store.genes, "method": [name] * len(store.genes)}
            findings.changes.append(_of_group(store, group, {**genes, **columns}))
            if name == MODEL:
                origins = {"true": true_BG, "generated": answer.population_BG, "control": control_BG}
                findings.populations.append(population_table(store, group, origins))
        found: dict[str, float | None] = dict.fromkeys(scores)
        if group.halves:
            found |= split_half_scores(group.halves, true_BG, control_G, rank_G, settings.top_genes, space)
        if simulated:
            found["truth_pearson_change"] = pearson(true_G, simulated[group.cell_type, group.perturbation])
        findings.scores.append((group, CEILING, found))
    return findings


def simulated_truth(store: Store) -> Truth:
    """The log fold changes the cells were simulated with, in the store's order of genes; empty for real cells."""
    if not store.dataset["simulated"]:
        return {}
    truth = pq.read_table(store.folder / "truth.parquet").to_pandas()
    found = {}
    for (cell_type, perturbation), rows in truth.groupby(["cell_type", "perturbation"]):
        group = (
            store.categories["cell_type"].index(cell_type),
            store.categories["perturbation"].index(perturbation),
        )
        found[group] = rows.set_index("gene")["log_fold_change"].loc[store.genes].to_numpy(np.float64)
    return found


def population_table(store: Store, group: HeldOutGroup, origins: Mapping[str, Expression]) -> pa.Table:
    """Each population in the two principal components of true and control cells."""
    plane = principal_components(np.concatenate([origins["true"], origins["control"]]), 2)
    xy = np.concatenate([_xy(plane.project(expression_BG)) for expression_BG in origins.values()])
    origin = [name for name, expression_BG in origins.items() for _ in range(len(expression_BG))]
    return _of_group(store, group, {"origin": origin, "x": xy[:, 0], "y": xy[:, 1]})


def latent_table(store: Store, cells: Cells, target: float, int_BI: Expression) -> pa.Table:
    """The cells in two components of their expression and two of z_int: before the model and after."""
    spaces = {"expression": _expression(cells, target), "z_int": int_BI}
    tables = []
    for space, x_BD in spaces.items():
        xy = _xy(principal_components(x_BD, 2).project(x_BD))
        labels = {
            covariate: [store.categories[covariate][code] for code in getattr(cells, covariate)]
            for covariate in ("cell_type", "batch", "perturbation")
        }
        columns = {"cell": list(cells.names), **labels, "space": [space] * len(cells), "x": xy[:, 0], "y": xy[:, 1]}
        tables.append(pa.table(columns))
    return pa.concat_tables(tables)


def write_scores(path: Path, store: Store, findings: Findings) -> None:
    """One line per held-out group and method; a score that is not defined is an empty field."""
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["cell_type", "perturbation", "method", "cells", *findings.scores[0][2]])
        for group, method, scores in findings.scores:
            writer.writerow([*_names(store, group), method, group.truth.cells, *scores.values()])


def _expression(cells: Cells, target: float) -> Expression:
    return log_normalise(cells.dense(slice(None)), cells.library_size, target)


def _xy(projected_BK: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Two columns, the second zero where the data has one component only."""
    return np.pad(projected_BK, ((0, 0), (0, 2 - projected_BK.shape[1])))


def _names(store: Store, group: HeldOutGroup) -> tuple[str, str]:
    return store.categories["cell_type"][group.cell_type], store.categories["perturbation"][group.perturbation]


def _of_group(store: Store, group: HeldOutGroup, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> pa.Table:
    rows = len(next(iter(columns.values())))
    cell_type, perturbation = _names(store, group)
    return pa.table({"cell_type": [cell_type] * rows, "perturbation": [perturbation] * rows, **columns})
