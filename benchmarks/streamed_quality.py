"""Is the VAE that is trained on streamed cells as good as the one trained on cells in memory?

    python -m benchmarks.streamed_quality [--seeds 5]

The default study of CFM-VC, embedded data, with the settings of params.yaml: ingest, preprocess and `vae_pretrain` as
they are, for each seed both ways. These few thousand cells would be a single pool: here they have row groups of 64 and
pools of 512 cells, so that an epoch has several, of 8 row groups each, like that of a large store. Prints the
validation ELBO of each in nats per cell, and the mean difference beside the spread of the seeds.
"""

import argparse
import statistics
import tempfile
from contextlib import chdir, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import yaml

from benchmarks.processes import load
from pipeline.cfm_vc.data import count_source
from pipeline.cfm_vc.data.folds import folds
from pipeline.cfm_vc.data.streamed import StreamedCounts
from pipeline.cfm_vc.params.system import CfmVc
from pipeline.cfm_vc.stages import ingest, preprocess, vae_pretrain
from pipeline.core.files import read_json
from pipeline.core.paths import StudyPaths
from pipeline.data.store import open_store

ROOT = Path(__file__).resolve().parents[1]
CELLS_PER_ROW_GROUP, CELLS_PER_POOL = 64, 512
WAYS = {"held in memory": 1000, "streamed": 0}  # resident_mb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="two or more")
    arguments = parser.parse_args()
    print(load(), flush=True)
    count_source.StreamedCounts = partial(StreamedCounts, cells_per_pool=CELLS_PER_POOL)  # type: ignore[misc, assignment]
    content = yaml.safe_load((ROOT / "params.yaml").read_text())["cfm_vc"]
    study = content["studies"] = {"pbmc": content["studies"]["pbmc"]}
    study["pbmc"]["ingest"]["path"] = str(ROOT / study["pbmc"]["ingest"]["path"])
    content["preprocess"] |= {"cells_per_row_group": CELLS_PER_ROW_GROUP, "cells_per_shard": 16 * CELLS_PER_ROW_GROUP}
    system = CfmVc.model_validate(content)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        found = elbos(system, arguments.seeds)
    print("| seed | " + " | ".join(WAYS) + " | difference |\n|---" + "|---" * (len(WAYS) + 1) + "|")
    differences: list[float] = []
    for seed in range(arguments.seeds):
        held, streamed = (found[way][seed] for way in WAYS)
        differences.append(streamed - held)
        print(f"| {seed} | {held:.2f} | {streamed:.2f} | {streamed - held:+.2f} |")
    spread = statistics.mean(statistics.stdev(found[way]) for way in WAYS)
    print(
        f"| mean | {statistics.mean(found['held in memory']):.2f} | {statistics.mean(found['streamed']):.2f} "
        f"| {statistics.mean(differences):+.2f} |\n\nStandard deviation between seeds: {spread:.2f}"
    )


def elbos(system: CfmVc, seeds: int) -> dict[str, list[float]]:
    """Validation ELBO of each seed, by the way its cells are read."""
    study = system.studies["pbmc"]
    at = StudyPaths("cfm_vc", "pbmc", "held_out", 0)
    with redirect_stdout(StringIO()):
        ingest.run(study.ingest, at)
        preprocess.run(folds(study, at.key)["held_out"].preprocess, at)
    store = open_store(at.store)
    row_groups = len(store.row_groups("train"))
    print(f"{store.cells('train'):,} training cells in {row_groups} row groups\n", flush=True)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(seeds):
        at = StudyPaths("cfm_vc", "pbmc", "held_out", seed)
        for way, limit in WAYS.items():
            with redirect_stdout(StringIO()):
                vae_pretrain.run(study.vae.model_copy(update={"resident_mb": limit}), at)
            parts = read_json(at.training / f"{at.run}-vae.json")["validation"]
            found[way].append(-(parts["reconstruction"] + parts["kl_int"] + parts["kl_tech"]))
    return found


if __name__ == "__main__":
    main()
