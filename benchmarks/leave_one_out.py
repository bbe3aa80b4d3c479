"""Each cell type held out in turn under every perturbation: the model beside all baselines, over several seeds.

    python -m benchmarks.leave_one_out benchmarks/kang.yaml

First the ablation: every pair of cell types is held out together, and each variant of the flow predicts both. The
ablation selects the variant for each cell type: from its pairs, by the scores of the *other* type, so that its own
perturbed cells are not used. Then every cell type is held out alone. Writes results.csv, ablation.csv and about.json to
reports/cfm_vc/measured, which the report shows.
"""

import argparse
import csv
import hashlib
import itertools
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from math import isnan
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import yaml
from pipeline.cfm_vc.paths import PATHS

from benchmarks.other_data import commit, laid_over, working_in
from pipeline.cfm_vc.data.held_out import read_held_out
from pipeline.cfm_vc.decisive import unit_of
from pipeline.cfm_vc.evaluation.judge import CEILING, MODEL, judge, role_of
from pipeline.cfm_vc.model.baselines import BASELINES
from pipeline.cfm_vc.stages import flow_train, ingest, preprocess, vae_pretrain
from pipeline.cfm_vc.stages.evaluate import load_models
from pipeline.data.standard_h5ad_reader import open_standard_h5ad
from pipeline.data.store import open_store
from pipeline.metrics import results
from pipeline.metrics.differences import difference_rows, mean_rows
from pipeline.params.reading import validated
from pipeline.registry import Params
from pipeline.training.determinism import prepare_device

ROOT = Path(__file__).parents[1]
OUT = ROOT / PATHS.measured

FULL = "+ distribution loss"
VARIANTS: dict[str, dict[str, Any]] = {  # changes to cfm_vc.flow of params.yaml; the first four add up
    "base field only": {"perturbation_dropout": 1.0, "coupling": "independent", "distribution_weight": 0.0},
    "+ basis adapter": {"coupling": "independent", "distribution_weight": 0.0},
    "+ OT coupling": {"distribution_weight": 0.0},
    FULL: {},
    "from noise": {"source": "noise"},
}
CHOOSABLE = tuple(VARIANTS)[1:]
CHOSEN_BY = "e_distance"
DECISIVE = ("pearson_change_top100", "e_distance")
ABLATED = ("pearson_change", "pearson_change_top100", "e_distance", "mmd")


class Job(NamedTuple):
    """Train every variant without the perturbed cells of these types, and evaluate on them."""

    params: Mapping[str, Any]
    raw: Path  # folder that ingest wrote
    cell_types: tuple[str, ...]
    perturbations: tuple[str, ...]
    variants: tuple[str, ...]
    seed: int


class Row(NamedTuple):
    """One score."""

    held_out: tuple[str, ...]  # the cell types held out together
    variant: str
    cell_type: str
    perturbation: str
    seed: int
    method: str
    metric: str
    value: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="YAML: title, and params to lay over params.yaml")
    parser.add_argument("--seeds", type=int, default=3, help="for the cell types held out alone; the ablation has one")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()

    of = commit()  # before anything is written here
    described = yaml.safe_load(arguments.data.read_text())
    params = laid_over(yaml.safe_load((ROOT / "params.yaml").read_text()), described["params"])
    path = (ROOT / params["cfm_vc"]["ingest"]["path"]).resolve()
    params["cfm_vc"]["ingest"]["path"] = str(path)
    with tempfile.TemporaryDirectory() as folder:
        raw = folder / PATHS.raw
        with working_in(folder):
            ingest.run(validated(Params, params, str(arguments.data)).cfm_vc.ingest)
        with open_standard_h5ad(raw / "cells.h5ad") as reader:
            cell_types, labels = (reader.covariate(name).labels for name in ("cell_type", "perturbation"))
        perturbations = tuple(label for label in labels if label != params["cfm_vc"]["ingest"]["control"])

        def job(types: tuple[str, ...], variants: Sequence[str], seed: int) -> Job:
            return Job(params, raw, types, perturbations, tuple(variants), seed)

        # One thread a process: the default settings train with one.
        with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn")) as pool:
            pairs = list(itertools.combinations(sorted(cell_types), 2))
            ablation = run_all(pool, [job(pair, tuple(VARIANTS), 0) for pair in pairs])
            chosen = {cell_type: choose(ablation, cell_type) for cell_type in sorted(cell_types)}
            print(f"chosen on validation pairs: {chosen}")
            alone = [job((name,), [chosen[name]], seed) for name in chosen for seed in range(arguments.seeds)]
            scores = run_all(pool, alone)
    write_ablation(arguments.out / "ablation.csv", ablation)
    write_scores(arguments.out / "results.csv", scores)
    about = {
        "title": described["title"],
        "command": f"python -m benchmarks.leave_one_out {arguments.data}",
        "data_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "commit": of,
        "chosen_by": CHOSEN_BY,
        "chosen": chosen,
        "parameters": {section: params["cfm_vc"][section] for section in ("preprocess", "vae", "flow", "evaluate")},
    }
    (arguments.out / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    print(summary(scores))


def run_all(pool: ProcessPoolExecutor, jobs: Sequence[Job]) -> list[Row]:
    rows: list[Row] = []
    for number, (job, found) in enumerate(zip(jobs, pool.map(run, jobs), strict=True), 1):
        print(f"{number} of {len(jobs)}: {' and '.join(job.cell_types)}, seed {job.seed}", flush=True)
        rows += found
    return rows


def run(job: Job) -> list[Row]:
    """The stages themselves, in a folder of their own; one VAE serves all variants of the flow."""
    params = laid_over(job.params, {"cfm_vc": {"vae": {"seed": job.seed}, "flow": {"seed": job.seed}}})
    params["cfm_vc"]["preprocess"] = {
        **params["cfm_vc"]["preprocess"],
        "held_out": [{"cell_type": t, "perturbation": p} for t in job.cell_types for p in job.perturbations],
    }
    params["cfm_vc"]["evaluate"] = {**params["cfm_vc"]["evaluate"], "bootstrap_replicates": 0}
    rows = []
    with tempfile.TemporaryDirectory() as folder, working_in(folder):
        PATHS.raw.parent.mkdir(parents=True)
        PATHS.raw.symlink_to(job.raw)
        settings = validated(Params, params, "params")
        preprocess.run(settings.cfm_vc.preprocess)
        vae_pretrain.run(settings.cfm_vc.vae)
        store = open_store(PATHS.store)
        evaluate = settings.cfm_vc.evaluate
        device = prepare_device(evaluate.device, evaluate.threads)
        held_out = read_held_out(store, evaluate.cells_per_group, evaluate.seed)
        for variant in job.variants:
            flow = laid_over(params, {"cfm_vc": {"flow": VARIANTS[variant]}})
            flow_train.run(validated(Params, flow, variant).cfm_vc.flow)
            methods = {MODEL: load_models(evaluate, device)[1], **BASELINES}
            for group, method, scores in judge(store, held_out, methods, evaluate).scores:
                names = (
                    store.categories["cell_type"][group.cell_type],
                    store.categories["perturbation"][group.perturbation],
                )
                found = {metric: float(values_R[0]) for metric, values_R in scores.items()}
                rows += [
                    Row(job.cell_types, variant, *names, job.seed, method, m, None if isnan(v) else v)
                    for m, v in found.items()
                ]
    return rows


def choose(ablation: Sequence[Row], cell_type: str) -> str:
    """The variant with the least error on the validation pairs of a cell type: those it is held out with.

    Errors are relative to those of the control mean on the same pair, since response sizes differ between cell types.
    """
    found = [r for r in ablation if cell_type in r.held_out and r.cell_type != cell_type and r.metric == CHOSEN_BY]
    error = {(row.held_out, row.variant, row.perturbation, row.method): row.value for row in found}

    def relative(variant: str) -> float:
        asked = [key for key in error if key[1] == variant and key[3] == MODEL]
        return mean(error[key] / error[*key[:3], "control_mean"] for key in asked)

    return min(CHOOSABLE, key=relative)


def write_ablation(path: Path, rows: Sequence[Row]) -> None:
    """The model's scores by variant, and those of the baselines, which no variant changes."""
    lines = [
        ("", r.cell_type, r.perturbation, r.seed, r.metric, r.value, " and ".join(r.held_out), r.variant, r.method)
        for r in rows
        if r.metric in ABLATED and (r.method == MODEL or (r.method in BASELINES and r.variant == FULL))
    ]
    named = [(line[7] if line[8] == MODEL else line[8].replace("_", " "), *line[1:7]) for line in lines]
    write_csv(path, ["variant", "cell_type", "perturbation", "seed", "metric", "value", "held_out"], named)


def write_scores(path: Path, rows: Sequence[Row]) -> None:
    """Every score of every method, their means over groups, and the differences between the model and the baselines."""
    single = [
        results.Row(unit_of(r.cell_type, r.perturbation), r.method, role_of(r.method), r.metric, r.value, seed=r.seed)
        for r in rows
    ]
    results.write_results(path, PATHS.name, [*single, *mean_rows(single), *difference_rows(single)])


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)


def summary(rows: Sequence[Row]) -> str:
    """Means over seeds, a markdown line per cell type, for the decisive metrics."""
    methods = [MODEL, *BASELINES, CEILING]
    lines = ["| metric | cell type | " + " | ".join(methods) + " |", "|---|---|" + "---|" * len(methods)]
    for metric in DECISIVE:
        for cell_type in [*sorted({row.cell_type for row in rows}), "mean"]:
            found = [
                r for r in rows if r.metric == metric and cell_type in (r.cell_type, "mean") and r.value is not None
            ]
            means = {m: mean([r.value for r in found if r.method == m] or [float("nan")]) for m in methods}
            lines.append(f"| {metric} | {cell_type} | " + " | ".join(f"{means[m]:.3f}" for m in methods) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
