"""Each section held out in turn, or blocks of the only one: the model beside all baselines, over several seeds.

    python -m benchmarks.leave_section_out benchmarks/starmap.yaml
    python -m benchmarks.leave_section_out benchmarks/osmfish.yaml --without-ablation

A seed is that of the training, of the validation blocks, and of the test blocks where there is one section. With the
ablation, each section and seed is trained for again with one part left out: hidden values, the gate of attention,
experts. Writes <name>.csv (columns: pipeline/metrics/results.py), <name>_ablation.csv and <name>.json to
reports/alphastomics/measured, which the report shows.
"""

import argparse
import csv
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pipeline.alphastomics.paths import PATHS

from benchmarks.other_data import commit, laid_over, working_in
from pipeline.alphastomics.decisive import MODEL
from pipeline.alphastomics.evaluation.result_rows import result_rows, score_rows
from pipeline.alphastomics.glossary import GLOSSARIES
from pipeline.alphastomics.stages import ingest, preprocess
from pipeline.alphastomics.stages.diffusion_train import train_model
from pipeline.alphastomics.stages.evaluate import DIGITS, judge_sections
from pipeline.core.files import read_json
from pipeline.data.standard_h5ad_reader import open_standard_h5ad
from pipeline.data.store import open_store
from pipeline.metrics.results import ALL, Row, read_results, write_results
from pipeline.params.reading import validated
from pipeline.registry import Params
from pipeline.training.weights import save_model

ROOT = Path(__file__).parents[1]
OUT = ROOT / PATHS.measured

REFERENCE = "reference"
VARIANTS: dict[str, dict[str, Any]] = {  # changes to alphastomics.diffusion of params.yaml
    REFERENCE: {"masking": "random", "gate": "headwise", "ffn": "moe"},
    "unmasked": {"masking": "none", "gate": "headwise", "ffn": "moe"},
    "plain_attention": {"masking": "random", "gate": "none", "ffn": "moe"},
    "dense": {"masking": "random", "gate": "headwise", "ffn": "dense"},
}
ABLATION = ("variant", "section", "seed", "metric", "value")


class Job(NamedTuple):
    """Train one variant without the held-out cells, and evaluate it on them."""

    study: str
    params: dict[str, Any]
    raw: Path  # folder that ingest wrote
    section: str | None  # None: blocks of the only one
    seed: int
    variant: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="YAML: title, and params to lay over params.yaml")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ablation-seeds", type=int, default=2)
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--without-ablation", action="store_true")
    alone.add_argument("--only-ablation", action="store_true", help="beside the scores that are in <name>.csv already")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    name, described = arguments.data.stem, yaml.safe_load(arguments.data.read_text())
    params = laid_over(yaml.safe_load((ROOT / "params.yaml").read_text()), described["params"])
    params["alphastomics"]["ingest"]["path"] = str((ROOT / params["alphastomics"]["ingest"]["path"]).resolve())
    of = commit()  # before anything is written here
    with tempfile.TemporaryDirectory() as folder:
        raw = folder / PATHS.raw
        with working_in(folder):
            ingest.run(validated(Params, params, str(arguments.data)).alphastomics.ingest)
        with open_standard_h5ad(raw / "cells.h5ad") as reader:
            names = reader.covariate("section").labels
            about: dict[str, Any] = {"cells": reader.cells, "genes": len(reader.genes), "sections": names}
        about["data_sha256"] = read_json(raw / "source.json")["input_sha256"]
        held_out: Sequence[str | None] = names if len(names) > 1 else [None]
        every = range(arguments.seeds)
        jobs = [Job(name, params, raw, section, seed, REFERENCE) for seed in every for section in held_out]
        seeds = range(0 if arguments.without_ablation else min(arguments.ablation_seeds, arguments.seeds))
        left_out = [
            Job(name, params, raw, section, seed, variant)
            for seed in seeds
            for section in held_out
            for variant in VARIANTS
            if variant != REFERENCE
        ]
        # One thread a process: the default settings train with one.
        with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn")) as pool:
            table = arguments.out / f"{name}.csv"
            scores = scores_of(table) if arguments.only_ablation else run_all(pool, jobs)
            write_results(table, PATHS.name, result_rows(scores), DIGITS)
            if left_out:
                ablated = [(REFERENCE, row) for row in scores if row.method == MODEL and row.seed in seeds]
                for variant in list(VARIANTS)[1:]:
                    found = run_all(pool, [job for job in left_out if job.variant == variant])
                    ablated += [(variant, row) for row in found if row.method == MODEL]
                write_ablation(arguments.out / f"{name}_ablation.csv", ablated)
    path = arguments.out / f"{name}.json"
    before = json.loads(path.read_text())["commands"] if arguments.only_ablation else []
    about |= {
        "description": described["title"],
        "commit": of,
        "commands": [*before, "python -m benchmarks.leave_section_out " + " ".join(sys.argv[1:])],
        "seeds": arguments.seeds,
        "changed": described["params"],
    }
    path.write_text(json.dumps(about, indent=2) + "\n")


def scores_of(path: Path) -> list[Row]:
    """The reference's scores of an earlier run, without means and differences."""
    rows = read_results(path, "python -m benchmarks.leave_section_out")
    return [row for row in rows if row.unit != ALL and row.role != "difference"]


def run_all(pool: ProcessPoolExecutor, jobs: Sequence[Job]) -> list[Row]:
    """The scores of all jobs, in their order."""
    scores: list[Row] = []
    for number, (job, found) in enumerate(zip(jobs, pool.map(run_job, jobs), strict=True), 1):
        print(f"{number} of {len(jobs)}: {job.variant}, {job.section or 'blocks'}, seed {job.seed}", flush=True)
        scores += found
    return scores


def run_job(job: Job) -> list[Row]:
    """Scores of the test cells, of all methods."""
    changes = {
        "preprocess": {"seed": job.seed, "test_sections": [job.section] if job.section else []},
        "diffusion": {"seed": job.seed, **VARIANTS[job.variant]},
        "evaluate": {"seed": job.seed},
    }
    params = validated(Params, laid_over(job.params, {"alphastomics": changes}), "params")
    with tempfile.TemporaryDirectory() as folder, working_in(folder):
        PATHS.raw.parent.mkdir(parents=True)
        PATHS.raw.symlink_to(job.raw)
        preprocess.run(params.alphastomics.preprocess)
        _, model, description = train_model(params.alphastomics.diffusion, PATHS.store, None)
        save_model(PATHS.models, model, description)
        store = open_store(PATHS.store, "spatial")
        judged = judge_sections(store, PATHS.models, params.alphastomics.evaluate, jackknife=False)
    return score_rows(judged, job.seed, job.study)


def write_ablation(path: Path, rows: Sequence[tuple[str, Row]]) -> None:
    """The model's scores by variant, with six significant digits."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ABLATION)
        for variant, row in rows:
            if any(row.metric in glossary for glossary in GLOSSARIES.values()):
                writer.writerow([variant, row.unit, row.seed, row.metric, f"{row.value:.{DIGITS}g}"])


if __name__ == "__main__":
    main()
